"""Searching messages: proposals by their pairs, each held against the message on a freshly read log before it is shown.

One call does a bounded piece of work: so many conversations, so many proposals. What is left is behind the cursor, so a page
may be short, or empty, though more follow.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from im.domain import Entry, EntryKind
from im.errors import ConversationNotFound
from im.search.domain import Candidate, Found, Hit, Place, Scoped, Sought, parse_sought
from im.search.ports import Conversations, Messages, Scope, TermRepository
from server.kernel.actor import Actor
from server.kernel.audit import Audit, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import RequestInvalid
from server.kernel.ids import is_id
from server.kernel.wire import cursor_instant, decode_cursor, encode_cursor

SEARCHED: Final = "im.messages_searched"

_CONVERSATIONS: Final = 200
"""Conversations that one query looks into."""

_PROPOSALS: Final = 100
_ROUNDS: Final = 4

ListScope = Callable[[int, Place | None], Awaitable[Sequence[Scoped]]]
Verify = Callable[[Sought, str, Sequence[Candidate]], Awaitable[list[Hit]]]
"""Those of the proposals of one conversation that are what is looked for, newest first."""


@dataclass(slots=True)
class MessageSearch:
    """`search` is for members and what they may see; `search_for_staff` guards nothing: who calls it does."""

    terms: TermRepository
    scope: Scope
    log: Conversations
    messages: Messages
    audit: Audit
    clock: Clock

    async def search(self, actor: Actor, text: str, *, conversation_id: str | None, limit: int, cursor: str | None) -> Found:
        """In one's own conversations, or in one of them. Raises ConversationNotFound, RequestInvalid."""
        sought = parse_sought(text)
        listed = self._one(actor, conversation_id) if conversation_id is not None else self._own(actor)

        async def verify(sought: Sought, conversation_id: str, candidates: Sequence[Candidate]) -> list[Hit]:
            seqs = [each.seq for each in candidates if each.corrected_by is None]
            if not seqs:
                return []
            try:
                order_id, found = await self.messages.find_messages(
                    actor, conversation_id, seqs, lambda entry: sought.is_in(entry.draft)
                )
            except ConversationNotFound:  # erased, or the list lags behind the log
                return []
            return [Hit(conversation_id, order_id, seq, message) for seq, message in reversed(found)]

        found = await self._search(sought, await listed, verify, limit=limit, cursor=cursor)
        await self.audit.record(audit_row(actor, SEARCHED, subject=conversation_id or actor.account_id, at=self.clock.now()))
        return found

    async def search_for_staff(self, text: str, listed: ListScope, *, limit: int, cursor: str | None) -> Found:
        """In these conversations, all that stands, what was corrected too, marked as such. What was taken back is not found: a
        search for it would tell its words."""

        async def verify(sought: Sought, conversation_id: str, candidates: Sequence[Candidate]) -> list[Hit]:
            try:
                page = await self.log.read_numbers(conversation_id, [each.seq for each in candidates])
            except ConversationNotFound:
                return []
            standing = (each for each in page.entries if _is_message(each) and each.seq not in page.recalled)
            entries = [entry for entry in standing if sought.is_in(entry.draft)]
            corrected = {each.seq: each.corrected_by for each in candidates}
            shown = await self.messages.render_for_staff(page, entries)
            order_id = page.snapshot.summary.order_id
            return [
                Hit(conversation_id, order_id, entry.seq, message, corrected[entry.seq])
                for entry, message in zip(reversed(entries), reversed(shown), strict=True)
            ]

        return await self._search(parse_sought(text), listed, verify, limit=limit, cursor=cursor)

    async def _one(self, actor: Actor, conversation_id: str) -> ListScope:
        snapshot = await self.log.access(actor, conversation_id)
        only = Scoped(conversation_id, snapshot.summary.hospital_id, (0, conversation_id))

        async def listed(limit: int, start: Place | None) -> Sequence[Scoped]:
            return [only]

        return listed

    async def _own(self, actor: Actor) -> ListScope:
        async def listed(limit: int, start: Place | None) -> Sequence[Scoped]:
            return await self.scope.list_scope(actor, limit=limit, start=start)

        return listed

    async def _search(self, sought: Sought, listed: ListScope, verify: Verify, *, limit: int, cursor: str | None) -> Found:
        start, below = _parse(cursor)
        hits: list[Hit] = []
        for _ in range(_ROUNDS):
            conversations = await listed(_CONVERSATIONS + 1, start)
            if not conversations:
                return Found(tuple(hits), None)
            start, behind = conversations[0].place, conversations[_CONVERSATIONS:]
            candidates = await self.terms.find(sought, conversations[:_CONVERSATIONS], below=below, limit=_PROPOSALS)
            for conversation_id, group in groupby(candidates, key=lambda each: each.conversation_id):
                for hit in await verify(sought, conversation_id, list(group)):
                    hits.append(hit)
                    if len(hits) == limit:
                        return Found(tuple(hits), _cursor(start, (hit.conversation_id, hit.seq)))
            if len(candidates) == _PROPOSALS:
                below = candidates[-1].conversation_id, candidates[-1].seq
            elif behind:
                start, below = behind[0].place, None
            else:
                return Found(tuple(hits), None)
        return Found(tuple(hits), _cursor(start, below))


def _is_message(entry: Entry) -> bool:
    return entry.draft.kind is EntryKind.MESSAGE


def _cursor(start: Place | None, below: tuple[str, int] | None) -> str:
    at_ms, key = start or (0, "")
    return encode_cursor(at_ms, key, *(below or ("", 0)))


def _parse(cursor: str | None) -> tuple[Place | None, tuple[str, int] | None]:
    if cursor is None:
        return None, None
    at_ms, key, conversation_id, seq = decode_cursor(cursor, int, str, str, int)
    cursor_instant(at_ms)
    if not is_id(key) or seq < 0 or (conversation_id and not is_id(conversation_id)):
        raise RequestInvalid(cursor="is not one of ours")
    return (at_ms, key), (conversation_id, seq) if conversation_id else None
