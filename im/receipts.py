"""Receipts: how far each member's devices got, and how far the member read.

Marks are no entries. They only rise (`$max`), never pass the head, and what comes while a write is under way is coalesced into
the next one, so that many receipts cost one bulk write. A mark is acknowledged when it is stored. Unread is a count above the
mark and never a counter; sending reads up to one's own message, which the log knows by itself.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from im.domain import Marked, Marks, Receipt
from im.head import Head
from im.mongo import ReceiptStore
from im.service import ConversationLog
from server.kernel.actor import Actor
from server.kernel.errors import Unavailable
from server.kernel.mongo import Database

log = structlog.get_logger(__name__)

_BATCH: Final = 500
_REMEMBERED: Final = 50_000
_PATIENCE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 2.0
_SHOWN_AGE_SECONDS: Final = 1.0
"""How old a head may be that unread counts are taken from."""

_Key = tuple[str, str]


class _Waiting:
    """Marks of one account in one conversation that wait for the next write, and who waits for it."""

    __slots__ = ("delivered", "hospital_id", "read", "waiters")

    def __init__(self, hospital_id: str) -> None:
        self.hospital_id = hospital_id
        self.delivered = self.read = 0
        self.waiters: list[asyncio.Future[Receipt]] = []

    def join(self, other: "_Waiting") -> None:
        self.delivered = max(self.delivered, other.delivered)
        self.read = max(self.read, other.read)
        self.waiters += other.waiters


class Receipts:
    """One per process. `close` stores what waits."""

    def __init__(self, database: Database, conversations: ConversationLog) -> None:
        self._store = ReceiptStore(database)
        self._log = conversations
        self._waiting: dict[_Key, _Waiting] = {}
        self._stored: OrderedDict[_Key, Receipt] = OrderedDict()
        self._flusher: asyncio.Task[None] | None = None
        self._closed = self._ended = False

    async def deliver(self, actor: Actor, conversation_id: str, seq: int) -> Marked:
        """A device of the member has everything up to `seq`."""
        return await self._mark(actor, conversation_id, seq, is_read=False)

    async def read(self, actor: Actor, conversation_id: str, seq: int) -> Marked:
        """The member has read everything up to `seq`."""
        return await self._mark(actor, conversation_id, seq, is_read=True)

    async def receipts_of(self, conversation_ids: Sequence[str]) -> dict[str, tuple[Receipt, ...]]:
        """The receipts of all members, by conversation."""
        return {key: marks.receipts for key, marks in (await self.marks_of("", conversation_ids)).items()}

    async def read_seq(self, conversation_id: str, account_id: str) -> int:
        """Up to which entry this member has read, as of now; 0 where nothing is known."""
        marks = (await self.marks_of(account_id, [conversation_id], fresh=True)).get(conversation_id)
        own = [] if marks is None else [mark.read_seq for mark in marks.receipts if mark.account_id == account_id]
        return max(own, default=0)

    async def unread(self, conversation_id: str, account_id: str) -> int:
        """Others' messages above the read mark that are not recalled."""
        marks = (await self.marks_of(account_id, [conversation_id])).get(conversation_id)
        return 0 if marks is None else marks.unread

    async def marks_of(self, account_id: str, conversation_ids: Sequence[str], *, fresh: bool = False) -> dict[str, Marks]:
        """Receipts of all members and the account's unread count, by conversation, in one query; `fresh`: as of now."""
        heads = await self._log.find_heads(conversation_ids, age_seconds=0.0 if fresh else _SHOWN_AGE_SECONDS)
        keys = [(conversation_id, member) for conversation_id, head in heads.items() for member in head.summary.members]
        hospitals = sorted({head.hospital_id for head in heads.values()})
        found = {(mark.conversation_id, mark.account_id): mark for mark in await self._store.find(keys, hospitals)}
        return {conversation_id: _marks(head, account_id, found) for conversation_id, head in heads.items()}

    async def close(self) -> None:
        """Take nothing more; store what waits, or give it up."""
        self._closed = True
        if self._flusher is not None:
            await asyncio.wait([self._flusher], timeout=_LONGEST_PAUSE_SECONDS)
            if not self._flusher.done():
                self._ended = True  # the driver can lose a cancellation: see the follower
                self._flusher.cancel()
                await asyncio.wait([self._flusher])
        for waiter in [waiter for waiting in self._waiting.values() for waiter in waiting.waiters]:
            if not waiter.done():
                waiter.set_exception(Unavailable())
        self._waiting.clear()

    async def _mark(self, actor: Actor, conversation_id: str, seq: int, *, is_read: bool) -> Marked:
        head = await self._log.cached_head(conversation_id)
        account_id = actor.account_id
        if account_id not in head.summary.members or seq > head.seq:
            await self._log.access(actor, conversation_id)
            head = await self._log.cached_head(conversation_id)
        seq = max(0, min(seq, head.seq))
        key, members = (conversation_id, account_id), tuple(head.summary.members)
        known = self._stored.get(key)
        if known is not None and seq <= (known.read_seq if is_read else known.delivered_seq):
            return Marked(_effective(known, head), False, members)
        stored = await self._raise(key, head.hospital_id, seq, is_read=is_read)
        moved = known is None or stored != known
        return Marked(_effective(stored, head), moved, members)

    async def _raise(self, key: _Key, hospital_id: str, seq: int, *, is_read: bool) -> Receipt:
        """Let the mark take part in the next write; what is stored then is the answer."""
        if self._closed:
            raise Unavailable
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Receipt] = loop.create_future()
        waiting = self._waiting.setdefault(key, _Waiting(hospital_id))
        waiting.waiters.append(waiter)
        waiting.delivered = max(waiting.delivered, seq)
        if is_read:
            waiting.read = max(waiting.read, seq)
        if self._flusher is None or self._flusher.done():
            self._flusher = loop.create_task(self._flush(), name="receipts-flush")
        try:
            return await asyncio.wait_for(waiter, _PATIENCE_SECONDS)
        except TimeoutError as error:
            raise Unavailable from error

    async def _flush(self) -> None:
        """Write what waits until nothing does. What could not be written waits on, together with what came meanwhile."""
        pause = _PAUSE_SECONDS
        while self._waiting and not self._ended:
            keys = list(self._waiting)[:_BATCH]
            batch = {key: self._waiting.pop(key) for key in keys}
            try:
                found = await self._store.raise_marks([(each.hospital_id, _receipt(key, each)) for key, each in batch.items()])
            except BaseException as error:
                self._put_back(batch)
                if not isinstance(error, Unavailable):
                    raise
                log.warning("receipts.not_stored", receipts=len(batch))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            pause = _PAUSE_SECONDS
            for key, waiting in batch.items():
                self._remember(key, found[key])
                for waiter in waiting.waiters:
                    if not waiter.done():
                        waiter.set_result(found[key])

    def _put_back(self, batch: Mapping[_Key, _Waiting]) -> None:
        """Marks that are still to be written join those that came meanwhile."""
        for key, earlier in batch.items():
            if (later := self._waiting.setdefault(key, earlier)) is not earlier:
                later.join(earlier)

    def _remember(self, key: _Key, receipt: Receipt) -> None:
        self._stored[key] = receipt
        self._stored.move_to_end(key)
        while len(self._stored) > _REMEMBERED:
            self._stored.popitem(last=False)


def _receipt(key: _Key, waiting: _Waiting) -> Receipt:
    return Receipt(*key, max(waiting.delivered, waiting.read), waiting.read)


def _effective(stored: Receipt, head: Head) -> Receipt:
    """What is stored, and what the log knows: whoever sends has read up to the own message."""
    read = max(stored.read_seq, head.last_sent.get(stored.account_id, 0))
    return Receipt(stored.conversation_id, stored.account_id, max(stored.delivered_seq, read), read)


def _marks(head: Head, account_id: str, found: Mapping[_Key, Receipt]) -> Marks:
    receipts = []
    unread = 0
    for member in head.summary.members:
        key = (head.conversation_id, member)
        receipt = _effective(found.get(key) or Receipt(*key, 0, 0), head)
        receipts.append(receipt)
        if member == account_id:
            unread = head.unread(account_id, receipt.read_seq)
    return Marks(tuple(receipts), unread)
