"""The message centre: stored once by what caused it, told live by whoever stored it, read on one device for all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from consult.domain.notices import MOST_COUNTED, Notice, occasion_of
from consult.ports import Live, NoticeRepository
from consult.service.pages import cut_page, place_after
from consult.wire import to_payload
from consult.wire.notices import BadgeOut, notice_out
from im.push.ports import Pushes
from server.kernel.actor import Actor
from server.kernel.clock import Clock

NOTICE: Final = "notice"
NOTICES_READ: Final = "notices.read"


@dataclass(slots=True)
class NoticeService:
    notices: NoticeRepository
    live: Live
    clock: Clock
    pushes: Pushes | None = None

    async def tell(self, notices: Iterable[Notice], *, push: bool = True) -> None:
        """Store each; tell the sockets of those that were not told before. `push` False: the caller pushes what is worth it."""
        told = list(notices)
        fresh = await self.notices.insert(told) if told else ()
        for notice in told:
            if notice.id in fresh:
                self.live.send((notice.account_id,), NOTICE, to_payload(notice_out(notice)))
        if push and self.pushes is not None:
            await self.pushes.tell([occasion_of(notice) for notice in told])

    async def list_notices(self, actor: Actor, limit: int, cursor: str | None) -> tuple[list[Notice], str | None]:
        """The actor's own, newest first, and where to go on."""
        found = await self.notices.list_of(actor.account_id, limit=limit + 1, after=place_after(cursor))
        return cut_page(found, limit, lambda notice: (notice.created_at, notice.id))

    async def count_unread(self, actor: Actor) -> int:
        """The badge: counted, never kept, so that it cannot stick."""
        return await self.notices.count_unread(actor.account_id, MOST_COUNTED)

    async def read(self, actor: Actor, notice_ids: Sequence[str]) -> int:
        """Mark these as read, as far as they are the actor's own. Returns what is unread then."""
        changed = await self.notices.read(actor.account_id, notice_ids, self.clock.now())
        return await self._tell_badge(actor, changed)

    async def read_up_to(self, actor: Actor, notice_id: str) -> int:
        """Mark this one and all older ones as read; one that came meanwhile stays unread. Returns what is unread then."""
        notice = await self.notices.find(actor.account_id, notice_id)
        if notice is None:
            return await self.count_unread(actor)
        changed = await self.notices.read_up_to(actor.account_id, (notice.created_at, notice.id), self.clock.now())
        return await self._tell_badge(actor, changed)

    async def _tell_badge(self, actor: Actor, changed: int) -> int:
        unread = await self.count_unread(actor)
        if changed:
            self.live.send((actor.account_id,), NOTICES_READ, to_payload(BadgeOut(unread=unread)))
        return unread
