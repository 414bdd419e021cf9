"""The list of one's conversations: newest first, page by page, each with its last message and what is unread."""

from collections.abc import Sequence
from dataclasses import dataclass

from im.domain import Marks, Snapshot
from im.history import History
from im.receipts import Receipts
from im.search.domain import Place, Scoped
from im.search.ports import Scope
from server.kernel.actor import Actor
from server.kernel.wire import cursor_instant, decode_cursor, encode_cursor


@dataclass(frozen=True, slots=True)
class ListedConversation:
    """As of now; `last` is its last entry, encoded."""

    snapshot: Snapshot
    last: bytes
    marks: Marks


@dataclass(slots=True)
class ConversationList:
    """One page is a fixed number of queries, whatever the conversations hold."""

    scope: Scope
    history: History
    receipts: Receipts

    async def list_conversations(
        self, actor: Actor, *, open_only: bool, limit: int, cursor: str | None
    ) -> tuple[Sequence[ListedConversation], str | None]:
        """Of the actor's paid orders, the newest order first; a page may be shorter than asked for though more follow."""
        scoped = list(await self.scope.list_scope(actor, limit=limit + 1, start=_start(cursor), open_only=open_only))
        behind = scoped[limit].place if len(scoped) > limit else None
        shown = await self._show(actor, scoped[:limit])
        return shown, None if behind is None else encode_cursor(*behind)

    async def _show(self, actor: Actor, scoped: Sequence[Scoped]) -> list[ListedConversation]:
        lasts = await self.history.last_of(actor, [each.conversation_id for each in scoped])
        marks = await self.receipts.marks_of(actor.account_id, list(lasts))
        return [ListedConversation(snapshot, last, marks[name]) for name, (snapshot, last) in lasts.items() if name in marks]


def _start(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    at_ms, order_id = decode_cursor(cursor, int, str)
    cursor_instant(at_ms)
    return at_ms, order_id
