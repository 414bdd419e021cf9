"""Favourites in MongoDB: one document an account. What their owner calls them is sealed: it may speak of health."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from im.favourites.domain import FAVOURITES, MOST_FAVOURITES, Favourite
from server.kernel.actor import Actor
from server.kernel.crypto import HospitalKeys, Keyring
from server.kernel.mongo import Collection, Database, Document, Indexes

INDEXES: Final[Indexes] = {FAVOURITES: []}
_LABEL: Final = "favourites.label"


class MongoFavourites:
    """Implements `ports.FavouriteRepository`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._favourites: Collection = database[FAVOURITES]
        self._keyring = keyring

    async def list_all(self, actor: Actor) -> Sequence[Favourite]:
        document = await self._favourites.find_one(_key(actor)) or {}
        keys = await self._keyring.hospital(actor.hospital_id)
        return [_favourite_from(item, keys) for item in reversed(document.get("items", []))]

    async def add(self, actor: Actor, favourite: Favourite) -> bool:
        key, keys = _key(actor), await self._keyring.hospital(actor.hospital_id)
        with suppress(DuplicateKeyError):  # another request made it at this moment
            await self._favourites.update_one(key, {"$setOnInsert": {"items": []}}, upsert=True)
        room = {"items.id": {"$ne": favourite.id}, f"items.{MOST_FAVOURITES - 1}": {"$exists": False}}
        item = {
            "id": favourite.id,
            "conversation_id": favourite.conversation_id,
            "seq": favourite.seq,
            "label": keys.seal_text(favourite.label, field=_LABEL, owner=favourite.id),
            "created_at": favourite.created_at,
        }
        return (await self._favourites.update_one(key | room, {"$push": {"items": item}})).matched_count == 1

    async def label(self, actor: Actor, favourite_id: str, label: str) -> bool:
        keys = await self._keyring.hospital(actor.hospital_id)
        sealed = keys.seal_text(label, field=_LABEL, owner=favourite_id)
        one = _key(actor) | {"items.id": favourite_id}
        return (await self._favourites.update_one(one, {"$set": {"items.$.label": sealed}})).matched_count == 1

    async def remove(self, actor: Actor, favourite_id: str) -> bool:
        one = _key(actor) | {"items.id": favourite_id}
        return (await self._favourites.update_one(one, {"$pull": {"items": {"id": favourite_id}}})).matched_count == 1


def _key(actor: Actor) -> Document:
    return {"_id": actor.account_id, "hospital_id": actor.hospital_id}


def _favourite_from(item: Mapping[str, Any], keys: HospitalKeys) -> Favourite:
    label = keys.open_text(item["label"], field=_LABEL, owner=item["id"])
    return Favourite(item["id"], item["conversation_id"], item["seq"], label, item["created_at"])
