"""Notices: stored once by what caused them, told live by whoever stored them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from consult.domain.notices import Notice
from consult.ports import Live, NoticeRepository
from consult.service.pages import cut_page, place_after
from consult.wire import notice_out, to_payload
from server.kernel.actor import Actor

NOTICE: Final = "notice"


@dataclass(slots=True)
class NoticeService:
    notices: NoticeRepository
    live: Live

    async def tell(self, notices: Iterable[Notice]) -> None:
        """Store each; tell the sockets of those that were not told before."""
        for notice in notices:
            if await self.notices.insert(notice):
                self.live.send((notice.account_id,), NOTICE, to_payload(notice_out(notice)))

    async def list_notices(self, actor: Actor, limit: int, cursor: str | None) -> tuple[list[Notice], str | None]:
        """The actor's own, newest first, and where to go on."""
        found = await self.notices.list_of(actor.account_id, limit=limit + 1, after=place_after(cursor))
        return cut_page(found, limit, lambda notice: (notice.created_at, notice.id))
