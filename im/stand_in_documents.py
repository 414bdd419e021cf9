"""What the bus did not carry and is no entry of a log: documents that say it.

Beside `StandIn`, for receipts, notices and what shows of orders: while hints of other processes may be missing, this process
reads the change stream of those collections itself and tells its own sockets what came. Typing alone is lost then: nothing
holds it.

It costs nothing while all is well. What is told may be older than what its client has: marks and versions only rise, and events
that are to be told once are not told again by the process that told them itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from math import ceil
from typing import Any, Final

import structlog
from bson import Timestamp
from pymongo.errors import PyMongoError

from im.announcer import Announcer
from im.live import LiveHub
from im.mongo import RECEIPTS, receipt_from
from im.service import ConversationLog
from server.kernel.errors import DomainError
from server.kernel.mongo import ALL_HOSPITALS, Database, Document

log = structlog.get_logger(__name__)

Teller = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Tells the sockets of this process alone what this document says, where anyone of them may know it."""

_LOOK_SECONDS: Final = 0.2
_WAIT_MS: Final = 500
_BEFORE_SECONDS: Final = 2.0
_LONGEST_AGO_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 0.05
"""What this process wrote it may be about to tell itself."""

_MOST_AT_ONCE: Final = 500


def _by_id(collection: str, document: Mapping[str, Any]) -> str:
    return str(document["_id"])


class DocumentStandIn:
    """`tellers`: by collection. `once`: events that a client must not be told twice. Of documents of one collection that come
    together and for which `speaks_for` gives the same, only the last is told. `close` at the end."""

    def __init__(
        self,
        database: Database,
        hub: LiveHub,
        tellers: Mapping[str, Teller],
        *,
        once: Collection[str] = (),
        speaks_for: Callable[[str, Mapping[str, Any]], str] = _by_id,
    ) -> None:
        self._database = database
        self._hub = hub
        self._tellers = dict(tellers)
        self._once = frozenset(once)
        self._speaks_for = speaks_for
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.is_reading = False

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="live-stand-in-documents")

    async def close(self) -> None:
        self._over.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._over.is_set():
            if self._is_wanted():
                self.is_reading = True
                self._hub.remember_sent(self._once)
                try:
                    await self._read()
                except PyMongoError as error:
                    log.warning("live.documents_interrupted", error=type(error).__name__)
                except Exception as error:  # it must outlive whatever happens to it
                    log.exception("live.documents_failed", error=type(error).__name__)
                finally:
                    self.is_reading = False
                    self._hub.remember_sent(frozenset())
            await _pause(self._over, _LOOK_SECONDS)

    def _is_wanted(self) -> bool:
        return self._hub.deaf_since is not None and self._hub.has_sockets

    async def _read(self) -> None:
        """Until the trouble is over, which `StandIn` says, a while after the bus is well."""
        loop = asyncio.get_running_loop()
        since = self._hub.deaf_since
        ago = min(loop.time() - (loop.time() if since is None else since) + _BEFORE_SECONDS, _LONGEST_AGO_SECONDS)
        now: Timestamp = (await self._database.command({"ping": 1}))["operationTime"]
        stages: list[Document] = [
            {"$match": {"ns.coll": {"$in": list(self._tellers)}, "operationType": {"$in": ["insert", "update"]}}},
            {"$project": {"ns": True, "documentKey": True, "fullDocument": True}},
        ]
        async with await self._database.watch(
            stages,
            full_document="updateLookup",
            start_at_operation_time=Timestamp(max(1, now.time - ceil(ago)), 0),
            max_await_time_ms=_WAIT_MS,
            batch_size=_MOST_AT_ONCE,
            comment=ALL_HOSPITALS,
        ) as changes:
            while not self._over.is_set() and self._is_wanted():
                if (first := await changes.try_next()) is None:
                    continue
                batch = [first]
                await asyncio.sleep(_SETTLE_SECONDS)
                while len(batch) < _MOST_AT_ONCE and (more := await changes.try_next()) is not None:
                    batch.append(more)
                await self._tell(batch)

    async def _tell(self, changes: Sequence[Mapping[str, Any]]) -> None:
        """Each document once, as it was last."""
        found = [(change["ns"]["coll"], change.get("fullDocument")) for change in changes]
        there = [(collection, document) for collection, document in found if document is not None]  # not gone meanwhile
        last = {(collection, self._speaks_for(collection, document)): document for collection, document in there}
        for (collection, _), document in last.items():
            try:
                await self._tellers[collection](document)
            except DomainError as error:  # one that cannot be told must not stop the others
                log.warning("live.document_passed_over", collection=collection, error=error.code)


class ReceiptTeller:
    """Receipts, to the members who are here."""

    collection: Final = RECEIPTS

    def __init__(self, entries: ConversationLog, announcer: Announcer, hub: LiveHub) -> None:
        self._entries = entries
        self._announcer = announcer
        self._hub = hub

    async def tell(self, document: Mapping[str, Any]) -> None:
        receipt = receipt_from(document)
        members = tuple((await self._entries.read(receipt.conversation_id)).summary.members)
        if any(map(self._hub.is_here, members)):
            self._announcer.receipt_here(receipt, members)


async def _pause(over: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(over.wait(), seconds)
    except TimeoutError:
        return
