"""While the bus between processes is lost: tells the sockets here of what other processes append, from the log itself.

What was told shortly before the loss may be told again, and is known by its number; what this process appended is not.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from im.announcer import Announcer
from im.domain import Entry
from im.live import LiveHub
from im.mongo import LogChanges, PlaceLost
from im.service import ConversationLog
from server.kernel.clock import Clock
from server.kernel.errors import DomainError, Unavailable
from server.kernel.mongo import Database, Document

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 0.5
_PATIENCE_LOOKS: Final = 4
"""So often must the bus be found lost: it is for a moment at each start."""

_WAIT_SECONDS: Final = 1.0
_LINGER_SECONDS: Final = 0.05
"""The stream may be quicker than the ack of what this process appends."""

_UNNOTICED: Final = timedelta(seconds=10)
"""Longer than a loss goes unnoticed, and than clocks may differ."""

_OWN: Final = 20_000
_AT_ONCE: Final = 16


class StandIn:
    """An `im.ports.EntryListener`: that is how it knows what was appended here."""

    def __init__(self, database: Database, entries: ConversationLog, announcer: Announcer, hub: LiveHub, clock: Clock) -> None:
        self._database = database
        self._entries = entries
        self._announcer = announcer
        self._hub = hub
        self._clock = clock
        self._own: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._task: asyncio.Task[None] | None = None

    def entry_appended(self, entry: Entry, state: Any) -> None:
        self._own[entry.conversation_id, entry.seq] = None
        if len(self._own) > _OWN:
            self._own.popitem(last=False)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="live-stand-in")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        well, lost = self._clock.now(), 0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._hub.healthy:
                well, lost = self._clock.now(), 0
                continue
            lost += 1
            if lost < _PATIENCE_LOOKS:
                continue
            try:
                await self._follow(well - _UNNOTICED)
            except PlaceLost:  # lost for longer than the database remembers: what is older is found by `conversation.sync`
                well = self._clock.now() + _UNNOTICED
            except Exception as error:  # it outlives whatever happens to it, and begins where it began
                log.warning("live.stand_in_interrupted", error=type(error).__name__)

    async def _follow(self, since: datetime) -> None:
        """Until the bus is back, and what was appended before that is told."""
        log.info("live.stand_in_began")
        changes = LogChanges(self._database)
        try:
            await changes.open(None, since=since)
            is_last = False
            while not is_last:
                is_well = self._hub.healthy
                documents = await changes.next(_WAIT_SECONDS)
                if documents:
                    await asyncio.sleep(_LINGER_SECONDS)
                    await self._tell(documents)
                is_last = is_well and not documents
        finally:
            await changes.close()
        log.info("live.stand_in_ended")

    async def _tell(self, documents: Iterable[Document]) -> None:
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for document in documents:
            place = bytes(document["_id"])
            conversation_id, seq = place[:16].hex(), int.from_bytes(place[16:], "big")
            if (conversation_id, seq) not in self._own:
                first.setdefault(conversation_id, seq)
                last[conversation_id] = seq
        await asyncio.gather(*(self._tell_one(each, first[each], last[each]) for each in first))

    async def _tell_one(self, conversation_id: str, first: int, last: int) -> None:
        async with self._slots:
            try:
                page = await self._entries.read_entries(conversation_id, after_seq=first - 1, limit=last - first + 1)
                others = [entry for entry in page.entries if (conversation_id, entry.seq) not in self._own]
                await self._announcer.tell_here(others, page.snapshot.summary.members, page.recalled)
            except Unavailable:
                raise
            except DomainError as error:  # one conversation that does not open must not stop all others
                log.warning("live.not_told", conversation_id=conversation_id, error=error.code)
