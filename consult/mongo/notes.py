"""Internal notes in MongoDB: sealed, in a collection of their own, and who has which order open."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from consult.domain.notes import MOST_WATCHERS, STAFF_NOTES, StaffNote
from server.kernel.crypto import HospitalKeys, Keyring
from server.kernel.mongo import Collection, Database, Document
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

NOTE_WATCHES: Final = "staff_note_watches"
_TEXT: Final = "staff_notes.text"
_FORGOTTEN_AFTER_SECONDS: Final = 24 * 3_600

_ORDER: Final = [("hospital_id", ASCENDING), ("order_id", ASCENDING)]
NOTE_INDEXES: Final = {
    STAFF_NOTES: [OUTBOX_INDEX, IndexModel([*_ORDER, ("number", DESCENDING)], unique=True)],
    NOTE_WATCHES: [
        IndexModel([*_ORDER, ("expires_at", DESCENDING)]),
        IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=_FORGOTTEN_AFTER_SECONDS),
    ],
}


class MongoNotes:
    """Implements `ports.NoteRepository`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._notes: Collection = database[STAFF_NOTES]
        self._watches: Collection = database[NOTE_WATCHES]
        self._keyring = keyring

    async def insert(self, note: StaffNote, event: Event) -> bool:
        keys = await self._keyring.hospital(note.hospital_id)
        try:
            await self._notes.insert_one(_document(note, keys) | {"outbox": [to_outbox(event)]})
        except DuplicateKeyError:
            return False
        return True

    async def find(self, hospital_id: str, order_id: str, note_id: str) -> StaffNote | None:
        found = await self._notes.find_one({"_id": note_id, "hospital_id": hospital_id, "order_id": order_id})
        return None if found is None else _note_from(found, await self._keyring.hospital(hospital_id))

    async def last_number(self, hospital_id: str, order_id: str) -> int:
        query = {"hospital_id": hospital_id, "order_id": order_id}
        found = await self._notes.find_one(query, {"number": 1}, sort=[("number", DESCENDING)])
        return 0 if found is None else int(found["number"])

    async def list_of(self, hospital_id: str, order_id: str, *, limit: int, before: int | None) -> list[StaffNote]:
        query: Document = {"hospital_id": hospital_id, "order_id": order_id}
        if before is not None:
            query["number"] = {"$lt": before}
        keys = await self._keyring.hospital(hospital_id)
        cursor = self._notes.find(query, sort=[("number", DESCENDING)], limit=limit)
        return [_note_from(document, keys) for document in await cursor.to_list()]

    async def watch(self, hospital_id: str, order_id: str, account_id: str, until: datetime) -> None:
        place = {"_id": f"{order_id}:{account_id}", "hospital_id": hospital_id}
        values = {"order_id": order_id, "account_id": account_id, "expires_at": until}
        try:
            await self._watches.update_one(place, {"$set": values}, upsert=True)
        except DuplicateKeyError:
            return  # two of the account's devices at once: the other one is as late

    async def list_watchers(self, hospital_id: str, order_id: str, now: datetime) -> list[str]:
        query = {"hospital_id": hospital_id, "order_id": order_id, "expires_at": {"$gt": now}}
        cursor = self._watches.find(query, sort=[("expires_at", DESCENDING)], limit=MOST_WATCHERS)
        return [document["account_id"] for document in await cursor.to_list()]


def _document(note: StaffNote, keys: HospitalKeys) -> Document:
    return {
        "_id": note.id,
        "hospital_id": note.hospital_id,
        "order_id": note.order_id,
        "number": note.number,
        "author_id": note.author_id,
        "author_role": note.author_role,
        "text": keys.seal_text(note.text, field=_TEXT, owner=note.id),
        "created_at": note.created_at,
    }


def _note_from(document: Mapping[str, Any], keys: HospitalKeys) -> StaffNote:
    return StaffNote(
        id=document["_id"],
        hospital_id=document["hospital_id"],
        order_id=document["order_id"],
        number=document["number"],
        author_id=document["author_id"],
        author_role=document["author_role"],
        text=keys.open_text(document["text"], field=_TEXT, owner=document["_id"]),
        created_at=document["created_at"],
    )
