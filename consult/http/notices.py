"""The message centre over HTTP."""

from consult.service.notices import NoticeService
from consult.wire.notices import BadgeOut, NoticePage, NoticesReadIn, notice_out
from server.kernel.edge import SIGNED_IN, Call, Route
from server.kernel.wire import PageQuery

_TAG = "notices"


def notice_routes(notices: NoticeService) -> list[Route]:
    async def list_own(call: Call) -> NoticePage:
        query: PageQuery = call.query
        found, cursor = await notices.list_notices(call.actor, query.limit, query.cursor)
        return NoticePage(items=[notice_out(notice) for notice in found], next_cursor=cursor)

    async def get_badge(call: Call) -> BadgeOut:
        return BadgeOut(unread=await notices.count_unread(call.actor))

    async def read(call: Call) -> BadgeOut:
        body: NoticesReadIn = call.body
        if body.up_to is not None:
            return BadgeOut(unread=await notices.read_up_to(call.actor, body.up_to))
        return BadgeOut(unread=await notices.read(call.actor, body.notice_ids or ()))

    return [
        Route(
            "GET",
            "/notices",
            "list_notices",
            "What one was told, newest first.",
            SIGNED_IN,
            list_own,
            query=PageQuery,
            answer=NoticePage,
            tag=_TAG,
        ),
        Route(
            "GET",
            "/notices/badge",
            "get_notice_badge",
            "How many notices wait to be read.",
            SIGNED_IN,
            get_badge,
            answer=BadgeOut,
            tag=_TAG,
        ),
        Route(
            "POST",
            "/notices/read",
            "read_notices",
            "Mark notices as read, here and on all other devices of the account.",
            SIGNED_IN,
            read,
            body=NoticesReadIn,
            answer=BadgeOut,
            tag=_TAG,
        ),
    ]
