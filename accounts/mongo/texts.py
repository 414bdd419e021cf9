"""SMS to doctors in MongoDB: the same states as those that carry codes."""

from collections.abc import Sequence
from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from accounts.domain.codes import OPEN_SMS_STATES, SmsState
from accounts.domain.texts import DoctorText
from accounts.mongo.collections import DOCTOR_TEXTS
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document


class MongoTexts:
    """`accounts.ports.TextRepository`."""

    def __init__(self, database: Database) -> None:
        self._texts: Collection = database[DOCTOR_TEXTS]

    async def insert(self, text: DoctorText) -> bool:
        document = {
            "_id": text.id,
            "hospital_id": text.hospital_id,
            "doctor_id": text.doctor_id,
            "template": text.template,
            "params": dict(text.params),
            "state": text.state.value,
            "open": True,
            "created_at": text.created_at,
            "expires_at": text.expires_at,
            "next_at": text.next_at,
            "tries": 0,
            "queries": 0,
        }
        try:
            await self._texts.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def claim(self, text_id: str, state: SmsState, *, now: datetime, until: datetime) -> DoctorText | None:
        pending = state is SmsState.PENDING
        document = await self._texts.find_one_and_update(
            {"_id": text_id, "state": state.value, "next_at": {"$lte": now}},
            {
                "$set": {"state": (SmsState.SENDING if pending else SmsState.IN_DOUBT).value, "next_at": until},
                "$inc": {"tries" if pending else "queries": 1},
            },
            return_document=ReturnDocument.AFTER,
            comment=ALL_HOSPITALS,
        )
        return None if document is None else _text(document)

    async def finish(self, text: DoctorText, state: SmsState, *, next_at: datetime) -> None:
        """Only by whoever still has it."""
        await self._texts.update_one(
            {
                "_id": text.id,
                "hospital_id": text.hospital_id,
                "state": text.state.value,
                "tries": text.tries,
                "queries": text.queries,
            },
            {"$set": {"state": state.value, "open": state in OPEN_SMS_STATES, "next_at": next_at}},
        )

    async def list_due(self, now: datetime, limit: int) -> Sequence[tuple[str, SmsState]]:
        cursor = self._texts.find(
            {"open": True, "next_at": {"$lte": now}}, projection={"state": True}, sort=[("next_at", 1)], limit=limit
        ).comment(ALL_HOSPITALS)
        return [(document["_id"], SmsState(document["state"])) async for document in cursor]

    async def tidy(self, before: datetime) -> None:
        await self._texts.delete_many({"open": False, "created_at": {"$lt": before}}, comment=ALL_HOSPITALS)


def _text(document: Document) -> DoctorText:
    values = {name: value for name, value in document.items() if name not in ("_id", "open")}
    return DoctorText(**{**values, "id": document["_id"], "state": SmsState(document["state"])})
