"""Favourites over HTTP."""

from typing import Final

import orjson

from im.errors import ConversationNotFound, FavouriteNotFound, FavouritesFull, MessageNotFound
from im.favourites.domain import ShownFavourite
from im.favourites.service import FavouriteService
from im.favourites.wire import FavouriteIn, FavouriteLabelIn, FavouriteOut, FavouritePage
from server.kernel.clock import iso
from server.kernel.edge import DOCTOR, Call, Reply, Route
from server.kernel.wire import PageQuery

_PATH: Final = "/desk/favourites"
_ONE: Final = "/desk/favourites/{favourite_id}"
_TAG: Final = "desk"
_JSON: Final = "application/json"


def routes(favourites: FavouriteService) -> list[Route]:
    async def list_own(call: Call) -> Reply:
        query: PageQuery = call.query
        shown, cursor = await favourites.list_favourites(call.actor, query.limit, query.cursor)
        items = b",".join(map(_encoded, shown))
        return Reply(b'{"items":[%b],"next_cursor":%b}' % (items, orjson.dumps(cursor)), content_type=_JSON)

    async def add(call: Call) -> Reply:
        body: FavouriteIn = call.body
        shown = await favourites.add(call.actor, body.conversation_id, body.seq, body.label)
        return Reply(_encoded(shown), content_type=_JSON)

    async def label(call: Call) -> Reply:
        body: FavouriteLabelIn = call.body
        return Reply(_encoded(await favourites.label(call.actor, call.path["favourite_id"], body.label)), content_type=_JSON)

    async def remove(call: Call) -> None:
        await favourites.remove(call.actor, call.path["favourite_id"])

    return [
        Route(
            "GET",
            _PATH,
            "list_favourites",
            "Messages that one keeps at hand, newest first, as they stand now.",
            DOCTOR,
            list_own,
            query=PageQuery,
            answer=FavouritePage,
            tag=_TAG,
        ),
        Route(
            "POST",
            _PATH,
            "add_favourite",
            "Keep a message at hand.",
            DOCTOR,
            add,
            body=FavouriteIn,
            answer=FavouriteOut,
            status=201,
            errors=(ConversationNotFound, MessageNotFound, FavouritesFull),
            tag=_TAG,
        ),
        Route(
            "PATCH",
            _ONE,
            "label_favourite",
            "Call a favourite something else.",
            DOCTOR,
            label,
            body=FavouriteLabelIn,
            answer=FavouriteOut,
            errors=(FavouriteNotFound, FavouritesFull),
            tag=_TAG,
        ),
        Route(
            "DELETE",
            _ONE,
            "remove_favourite",
            "Keep it no more; the message itself stays.",
            DOCTOR,
            remove,
            status=204,
            errors=(FavouriteNotFound,),
            tag=_TAG,
        ),
    ]


def _encoded(shown: ShownFavourite) -> bytes:
    favourite = shown.favourite
    head = orjson.dumps(
        {
            "id": favourite.id,
            "conversation_id": favourite.conversation_id,
            "seq": favourite.seq,
            "label": favourite.label,
            "created_at": iso(favourite.created_at),
        }
    )
    return head[:-1] + b',"message":' + (shown.message or b"null") + b"}"
