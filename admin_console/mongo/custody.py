"""Requests to see what was taken back, as documents; the reasons sealed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymongo import DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from admin_console.domain.custody import Reveal, RevealState
from server.kernel.crypto import Keyring
from server.kernel.mongo import Collection, Database, Document

REVEALS: Final = "reveals"
_REASON: Final = "reveals.reason"

REVEAL_INDEXES: Final = [IndexModel([("hospital_id", DESCENDING), ("asked_at", DESCENDING), ("_id", DESCENDING)])]


class MongoReveals:
    """Implements `ports.RevealBook`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._reveals: Collection = database[REVEALS]
        self._keyring = keyring

    async def insert(self, reveal: Reveal) -> Reveal:
        keys = await self._keyring.hospital(reveal.hospital_id)
        document: Document = {
            "_id": reveal.id,
            "hospital_id": reveal.hospital_id,
            "order_id": reveal.order_id,
            "seq": reveal.seq,
            "reason": keys.seal_text(reveal.reason, field=_REASON, owner=reveal.id),
            "asked_by": reveal.asked_by,
            "asked_at": reveal.asked_at,
            "state": reveal.state.value,
            "decided_by": None,
            "decided_at": None,
        }
        try:
            await self._reveals.insert_one(document)
        except DuplicateKeyError:
            known = await self.find(reveal.hospital_id, reveal.id)
            if known is None:
                raise
            return known
        return reveal

    async def find(self, hospital_id: str, reveal_id: str) -> Reveal | None:
        document = await self._reveals.find_one({"_id": reveal_id, "hospital_id": hospital_id})
        return None if document is None else await self._open(document)

    async def save(self, reveal: Reveal) -> bool:
        decided = {"state": reveal.state.value, "decided_by": reveal.decided_by, "decided_at": reveal.decided_at}
        asked = {"_id": reveal.id, "hospital_id": reveal.hospital_id, "state": RevealState.ASKED.value}
        return (await self._reveals.update_one(asked, {"$set": decided})).matched_count == 1

    async def list_newest(self, hospital_id: str, *, limit: int) -> Sequence[Reveal]:
        newest = [("asked_at", DESCENDING), ("_id", DESCENDING)]
        cursor = self._reveals.find({"hospital_id": hospital_id}, sort=newest, limit=limit)
        return [await self._open(document) async for document in cursor]

    async def _open(self, document: Mapping[str, Any]) -> Reveal:
        keys = await self._keyring.hospital(document["hospital_id"])
        values = {name: value for name, value in document.items() if name != "_id"}
        values["reason"] = keys.open_text(document["reason"], field=_REASON, owner=document["_id"])
        return Reveal(id=document["_id"], **values | {"state": RevealState(document["state"])})
