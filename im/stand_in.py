"""What the bus did not carry, carried by the log.

While hints of other processes may be missing (Redis is down or frozen, the listener is deaf, a letter was lost on its way) this
process reads the log's change stream itself, from shortly before the trouble began until a while after it ended, and tells its
own sockets what others appended. So a member hears of a message within three seconds, wherever it was sent and whatever Redis
does. What is no entry (typing, receipts, notices) waits for the next sync.

It costs nothing while all is well. During the trouble an entry may be told twice: clients go by its number.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

from im.announcer import Announcer
from im.domain import Entry
from im.live import LiveHub
from im.mongo import LogChanges, PlaceLost
from im.service import ConversationLog
from server.kernel.errors import DomainError
from server.kernel.mongo import Database, Document

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 0.2
_WAIT_SECONDS: Final = 0.5
_BEFORE_SECONDS: Final = 2.0
_AFTER_SECONDS: Final = 5.0
"""Another process may need so long to publish again after this one hears again."""

_LONGEST_AGO_SECONDS: Final = 60.0
_OWN: Final = 10_000
_UNDER_WAY_SECONDS: Final = 0.5
_UNDER_WAY_STEP: Final = 0.01


class StandIn:
    """An `im.ports.EntryListener` too: what this process appended was announced already."""

    def __init__(self, database: Database, entries: ConversationLog, announcer: Announcer, hub: LiveHub) -> None:
        self._database = database
        self._entries = entries
        self._announcer = announcer
        self._hub = hub
        self._own: set[tuple[str, int]] = set()
        self._own_before: set[tuple[str, int]] = set()
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.is_reading = False
        self.told = 0
        """Entries that were told to somebody here, since the start."""

    def entry_appended(self, entry: Entry, _state: Any) -> None:
        self._own.add((entry.conversation_id, entry.seq))
        if len(self._own) > _OWN:
            self._own, self._own_before = set(), self._own

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="live-stand-in")

    async def close(self) -> None:
        self._over.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._over.is_set():
            if self._hub.deaf_since is not None:
                if self._hub.has_sockets:
                    await self._read_guarded()
                elif self._hub.healthy:
                    self._hub.all_heard()  # whoever comes later begins with a sync
            await _pause(self._over, _LOOK_SECONDS)

    async def _read_guarded(self) -> None:
        """Until the trouble is over. Whatever fails is tried again at once: this is what is left when something else failed."""
        self.is_reading = True
        try:
            await self._read()
        except (DomainError, PlaceLost) as error:
            log.warning("live.stand_in_interrupted", error=type(error).__name__)
        except Exception as error:  # it must outlive whatever happens to it
            log.exception("live.stand_in_failed", error=type(error).__name__)
        finally:
            self.is_reading = False

    async def _read(self) -> None:
        loop, changes = asyncio.get_running_loop(), LogChanges(self._database)
        since = self._hub.deaf_since
        ago = min(loop.time() - (loop.time() if since is None else since) + _BEFORE_SECONDS, _LONGEST_AGO_SECONDS)
        try:
            await changes.open(None, seconds_ago=ago)
            log.info("live.stand_in_began", seconds_ago=round(ago, 1))
            well_since = loop.time()
            while not self._over.is_set():
                documents = await changes.next(_WAIT_SECONDS)
                await self._tell(documents)
                if not self._hub.healthy:
                    well_since = loop.time()
                elif not documents and loop.time() - well_since > _AFTER_SECONDS:
                    self._hub.all_heard()
                    log.info("live.stand_in_ended", told=self.told)
                    return
        finally:
            await changes.close()

    async def _tell(self, documents: Sequence[Document]) -> None:
        """Each conversation's new entries, in their order, to those members who are here."""
        by_conversation: dict[str, list[int]] = {}
        for document in documents:
            conversation_id, seq = _place(document)
            if not self._is_own(conversation_id, seq):
                by_conversation.setdefault(conversation_id, []).append(seq)
        for conversation_id, seqs in by_conversation.items():
            try:
                await self._tell_one(conversation_id, seqs)
            except DomainError as error:  # one conversation that does not open must not stop the others
                log.warning("live.stand_in_passed_over", conversation_id=conversation_id, error=error.code)

    async def _tell_one(self, conversation_id: str, seqs: Sequence[int]) -> None:
        members = (await self._entries.read(conversation_id)).summary.members
        if not any(map(self._hub.is_here, members)):
            return
        await self._until_settled(conversation_id)
        wanted = {seq for seq in seqs if not self._is_own(conversation_id, seq)}
        while wanted:
            page = await self._entries.read_entries(conversation_id, after_seq=min(wanted) - 1, limit=len(wanted))
            if not page.entries:
                return
            found = [entry for entry in page.entries if entry.seq in wanted]
            await self._announcer.tell_here(found, page.snapshot.summary.members, page.recalled)
            self.told += len(found)
            wanted -= set(range(page.entries[-1].seq + 1))

    async def _until_settled(self, conversation_id: str) -> None:
        """What this process has under way there may be the very entry that the stream just showed: let it be announced."""
        head, waited = await self._entries.cached_head(conversation_id), 0.0
        while head.busy and waited < _UNDER_WAY_SECONDS:
            await asyncio.sleep(_UNDER_WAY_STEP)
            waited += _UNDER_WAY_STEP

    def _is_own(self, conversation_id: str, seq: int) -> bool:
        return (conversation_id, seq) in self._own or (conversation_id, seq) in self._own_before


def _place(document: Mapping[str, Any]) -> tuple[str, int]:
    return document["_id"][:16].hex(), int.from_bytes(document["_id"][16:], "big")


async def _pause(over: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(over.wait(), seconds)
    except TimeoutError:
        return
