"""Searching messages over HTTP, for auditors."""

import orjson

from admin_console.service.search import StaffSearch
from admin_console.wire import StaffHitPage, StaffSearchIn
from consult.errors import OrderNotFound
from im.search.domain import Hit
from server.kernel.edge import STAFF, Call, Idempotency, Reply, Route
from server.kernel.errors import Forbidden


def routes(search: StaffSearch) -> list[Route]:
    async def find(call: Call) -> Reply:
        asked: StaffSearchIn = call.body
        found = await search.search(
            call.actor,
            asked.q,
            order_id=asked.order_id,
            patient_id=asked.patient_id,
            limit=asked.limit,
            cursor=asked.cursor,
        )
        items = b",".join(map(_encoded, found.hits))
        page = b'{"items":[%b],"next_cursor":%b}' % (items, orjson.dumps(found.cursor))
        return Reply(page, content_type="application/json", headers={"Cache-Control": "no-store"})

    return [
        Route(
            method="POST",
            path="/admin/messages/search",
            name="search_staff_messages",
            summary="Find messages of an order or a patient by their words, also corrected ones",
            roles=STAFF,
            handler=find,
            body=StaffSearchIn,
            answer=StaffHitPage,
            idempotency=Idempotency.NONE,  # it changes nothing, and every time it is asked is a row of its own
            errors=(Forbidden, OrderNotFound),
            tag="admin",
        )
    ]


def _encoded(hit: Hit) -> bytes:
    head = orjson.dumps(
        {
            "conversation_id": hit.conversation_id,
            "order_id": hit.order_id,
            "corrected_by": hit.corrected_by,
        }
    )
    return head[:-1] + b',"message":' + hit.message + b"}"
