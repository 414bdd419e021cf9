"""What was said: paged history, and what a device missed. For members, on a freshly read log, and written down."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from im.domain import Appended, Entry, EntryKind, EntryPage, Marks, Snapshot
from im.errors import ConversationNotFound, MessageNotFound
from im.names import NameBook
from im.ports import Directory
from im.receipts import Receipts
from im.service import ConversationLog
from im.wire import render
from server.kernel.actor import Actor
from server.kernel.audit import Audit, audit_row
from server.kernel.clock import Clock

SYNC_ENTRIES: Final = 100
"""Entries of one conversation that one answer holds at most."""

SYNC_BYTES: Final = 96 * 1024
"""Messages that one answer holds at most; what does not fit is `more`. On a line of 64 kbit/s that is 12 s. A ping that waits
behind it must still be answered in time, or the client is cut, comes back, asks the same again and never gets anywhere."""

SYNC_ENTRIES_IN_ALL: Final = 300
"""Entries of all conversations together that one answer holds at most."""

OPEN_CONVERSATIONS: Final = 200
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Synced:
    """A conversation as of now; `messages` are encoded."""

    snapshot: Snapshot
    messages: tuple[bytes, ...]
    more: bool
    marks: Marks


@dataclass(frozen=True, slots=True)
class SyncResult:
    epoch: int
    conversations: tuple[Synced, ...]


class History:
    """`epoch` is the deployment's: it changes when a backup was restored, and devices then begin anew."""

    def __init__(
        self,
        log: ConversationLog,
        receipts: Receipts,
        directory: Directory,
        names: NameBook,
        audit: Audit,
        clock: Clock,
        *,
        epoch: int,
    ) -> None:
        self._log = log
        self._receipts = receipts
        self._directory = directory
        self._names = names
        self._audit = audit
        self._clock = clock
        self._epoch = epoch

    async def list_messages(
        self,
        actor: Actor,
        conversation_id: str,
        *,
        after_seq: int | None = None,
        before_seq: int | None = None,
        limit: int = 100,
    ) -> tuple[tuple[bytes, ...], EntryPage]:
        """A page of the conversation, ascending, encoded."""
        page = await self._read(actor, conversation_id, after_seq=after_seq, before_seq=before_seq, limit=limit)
        await self._record(actor, page)
        return await self._render(page), page

    async def sync(self, actor: Actor, cursors: Mapping[str, int]) -> SyncResult:
        """What each of these conversations holds above the number given; none named: all that are open, from their beginning.
        The newest conversation comes first, and has its messages first where there is not room for all.

        A conversation that is not the actor's is left out, unless it leaves nothing: then that is the answer.
        """
        if cursors:
            wanted = {name: cursors[name] for name in sorted(cursors, reverse=True)}
        else:
            wanted = dict.fromkeys(await self._directory.list_open_conversations(actor, OPEN_CONVERSATIONS), 0)
        found: list[Synced] = []
        names, room, entries = list(wanted), SYNC_BYTES, SYNC_ENTRIES_IN_ALL
        for start in range(0, len(names), _AT_ONCE):
            some = {name: wanted[name] for name in names[start : start + _AT_ONCE]}
            for synced in await self._sync_some(actor, some, entries if room > 0 else 0):
                fitting, room = _fit(synced, room, first=not found)
                entries -= len(synced.messages)
                found.append(fitting)
        if cursors and not found:
            raise ConversationNotFound
        return SyncResult(self._epoch, tuple(found))

    async def last_of(self, actor: Actor, conversation_ids: Sequence[str]) -> dict[str, tuple[Snapshot, bytes]]:
        """The last entry of each of these that the actor is a member of, encoded, in the order of the names."""
        pages = await self._log.read_lasts(conversation_ids)
        own = {name: page for name, page in pages.items() if actor.account_id in page.snapshot.summary.members}
        await asyncio.gather(*(self._record(actor, page) for page in own.values()))
        await self._names.learn({entry.draft.sender for page in own.values() for entry in page.entries if entry.draft.sender})
        return {name: (page.snapshot, (await self._render(page))[0]) for name, page in own.items()}

    async def get_message(self, actor: Actor, conversation_id: str, seq: int) -> bytes:
        """One message as it stands now, encoded. Raises ConversationNotFound, and MessageNotFound for what is no message."""
        page = await self._read(actor, conversation_id, after_seq=seq - 1, limit=1)
        if not page.entries or page.entries[0].seq != seq or page.entries[0].draft.kind is not EntryKind.MESSAGE:
            raise MessageNotFound
        await self._record(actor, page)
        return (await self._render(page))[0]

    async def find_messages(
        self, actor: Actor, conversation_id: str, seqs: Collection[int], accept: Callable[[Entry], bool]
    ) -> tuple[str, Sequence[tuple[int, bytes]]]:
        """The order, and those of these messages that stand and are accepted, encoded, ascending. What is not accepted is not
        shown, so only what is shown is written down as read. Raises ConversationNotFound for whoever is no member."""
        page = await self._log.read_numbers(conversation_id, seqs)
        if actor.account_id not in page.snapshot.summary.members:
            raise ConversationNotFound
        kept = tuple(
            entry
            for entry in page.entries
            if entry.draft.kind is EntryKind.MESSAGE and entry.seq not in page.recalled and accept(entry)
        )
        if kept:
            await self._record(actor, page)
        shown = await self._render(replace(page, entries=kept))
        return page.snapshot.summary.order_id, [(entry.seq, message) for entry, message in zip(kept, shown, strict=True)]

    async def render_for_staff(self, page: EntryPage, entries: Sequence[Entry]) -> Sequence[bytes]:
        """For whoever the caller says may see them."""
        return await self._render(replace(page, entries=tuple(entries)))

    async def render_repeated(self, appended: Appended) -> bytes:
        """The message that a repeated command had sent, as it stands now: it may have been recalled since."""
        entry = appended.entry
        page = await self._log.read_entries(entry.conversation_id, after_seq=entry.seq - 1, limit=1)
        return (await self._render(page))[0]

    async def _sync_some(self, actor: Actor, cursors: Mapping[str, int], entries: int) -> list[Synced]:
        """A piece of a sync in a fixed number of queries, with so many entries at most."""
        pages = await self._log.read_pages(cursors, each=SYNC_ENTRIES, in_all=entries)
        found = [pages[name] for name in cursors if name in pages and await self._is_member(actor, pages[name].snapshot)]
        await asyncio.gather(*(self._record(actor, page) for page in found if page.entries))
        await self._names.learn({entry.draft.sender for page in found for entry in page.entries if entry.draft.sender})
        marks = await self._receipts.marks_of(actor.account_id, [page.snapshot.conversation_id for page in found])
        return [
            Synced(page.snapshot, await self._render(page), page.more, marks[page.snapshot.conversation_id])
            for page in found
            if page.snapshot.conversation_id in marks
        ]

    async def _is_member(self, actor: Actor, snapshot: Snapshot) -> bool:
        """Whoever is not is refused, and that is written down."""
        if actor.account_id in snapshot.summary.members:
            return True
        with suppress(ConversationNotFound):
            await self._log.access(actor, snapshot.conversation_id)
        return False

    async def _read(
        self, actor: Actor, conversation_id: str, *, after_seq: int | None = None, before_seq: int | None = None, limit: int
    ) -> EntryPage:
        page = await self._log.read_entries(conversation_id, after_seq=after_seq, before_seq=before_seq, limit=limit)
        if actor.account_id not in page.snapshot.summary.members:
            await self._log.access(actor, conversation_id)  # refuses, and writes down that it did
        return page

    async def _render(self, page: EntryPage) -> tuple[bytes, ...]:
        senders = {entry.draft.sender for entry in page.entries if entry.draft.sender is not None}
        await self._names.learn(senders)
        return tuple(
            render(
                entry,
                None if entry.draft.sender is None else self._names.find(entry.draft.sender),
                recalled=entry.seq in page.recalled,
            )
            for entry in page.entries
        )

    async def _record(self, actor: Actor, page: EntryPage) -> None:
        summary = page.snapshot.summary
        await self._audit.record(
            audit_row(
                actor,
                "im.conversation_read",
                subject=page.snapshot.conversation_id,
                at=self._clock.now(),
                order_id=summary.order_id,
                hospital_id=summary.hospital_id,
            )
        )


def _fit(synced: Synced, room: int, *, first: bool) -> tuple[Synced, int]:
    """As many messages as there is room for; the first of all always, so that every answer goes on."""
    kept = 0
    for message in synced.messages:
        if len(message) > room and not (first and kept == 0):
            break
        room -= len(message)
        kept += 1
    if kept == len(synced.messages):
        return synced, room
    return Synced(synced.snapshot, synced.messages[:kept], True, synced.marks), 0
