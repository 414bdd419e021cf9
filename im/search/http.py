"""Search over HTTP."""

import orjson

from im.errors import ConversationNotFound
from im.search.domain import Hit
from im.search.service import MessageSearch
from im.search.wire import HitPage, SearchIn
from server.kernel.edge import PATIENT_OR_DOCTOR, Call, Idempotency, Reply, Route


def routes(search: MessageSearch) -> list[Route]:
    async def find(call: Call) -> Reply:
        body: SearchIn = call.body
        found = await search.search(
            call.actor, body.q, conversation_id=body.conversation_id, limit=body.limit, cursor=body.cursor
        )
        items = b",".join(map(_encoded, found.hits))
        page = b'{"items":[%b],"next_cursor":%b}' % (items, orjson.dumps(found.cursor))
        return Reply(page, content_type="application/json", headers={"Cache-Control": "no-store"})

    return [
        Route(
            "POST",
            "/messages/search",
            "search_messages",
            "Find messages in one's own conversations by their words.",
            PATIENT_OR_DOCTOR,
            find,
            body=SearchIn,
            answer=HitPage,
            idempotency=Idempotency.NONE,  # it changes nothing
            errors=(ConversationNotFound,),
        )
    ]


def _encoded(hit: Hit) -> bytes:
    head = orjson.dumps({"conversation_id": hit.conversation_id, "order_id": hit.order_id})
    return head[:-1] + b',"message":' + hit.message + b"}"
