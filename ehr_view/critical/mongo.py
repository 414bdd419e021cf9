"""Critical values in MongoDB. Whose they are, and what they say, stands sealed; look-ups go by blind index."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from ehr_view.critical.domain import (
    CRITICAL_VALUES,
    WITHDRAWABLE,
    CriticalStatus,
    CriticalValue,
    People,
    Recipient,
)
from ehr_view.hl7.domain import Identity
from server.kernel.crypto import HospitalKeys, Keyring
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document, Indexes
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

_IDENTITY: Final = f"{CRITICAL_VALUES}.identity"
_NEWEST: Final = [("raised_at", DESCENDING), ("_id", DESCENDING)]
_DATE: Final = {"$type": "date"}
_SWEPT: Final = 200
_MOST_BESIDE: Final = 200

INDEXES: Final[Indexes] = {
    CRITICAL_VALUES: [
        OUTBOX_INDEX,
        IndexModel([("hospital_id", ASCENDING), ("record_id", ASCENDING)]),
        IndexModel([("hospital_id", ASCENDING), ("person", ASCENDING), ("occurred_at", DESCENDING)]),
        IndexModel([("accounts", ASCENDING), *_NEWEST]),
        IndexModel([("deadline_at", ASCENDING)], partialFilterExpression={"deadline_at": _DATE}),
    ]
}

OUTBOXES: Final = (CRITICAL_VALUES,)


class MongoCriticalValues:
    """Implements `ports.CriticalValues`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._values: Collection = database[CRITICAL_VALUES]
        self._keyring = keyring

    async def insert(self, value: CriticalValue, event: Event) -> bool:
        keys = await self._keyring.hospital(value.hospital_id)
        words = orjson.dumps([asdict(value.identity), value.names, value.found])
        sealed = keys.seal_bytes(words, field=_IDENTITY, owner=value.id)
        document: Document = {
            "_id": value.id,
            "hospital_id": value.hospital_id,
            "record_id": value.record_id,
            "identity": sealed,
            "person": _blind(keys, value.identity),
            "occurred_at": value.occurred_at,
            "was_sent": value.was_sent,
            "raised_at": value.raised_at,
            **_changing(value),
            "outbox": [to_outbox(event)],
        }
        try:
            await self._values.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def find(self, value_id: str) -> CriticalValue | None:
        document = await self._values.find_one({"_id": value_id}, comment=ALL_HOSPITALS)
        return None if document is None else await self._value(document)

    async def save(self, value: CriticalValue, event: Event) -> bool:
        done = await self._values.update_one(
            {"_id": value.id, "hospital_id": value.hospital_id, "version": value.version - 1},
            {"$set": _changing(value), "$push": {"outbox": to_outbox(event)}},
        )
        return done.matched_count == 1

    async def list_of_record(self, hospital_id: str, record_id: str) -> Sequence[CriticalValue]:
        cursor = self._values.find(
            {
                "hospital_id": hospital_id,
                "record_id": record_id,
                "status": {"$in": sorted(status.value for status in WITHDRAWABLE)},
            }
        )
        return [await self._value(document) async for document in cursor]

    async def list_beside(self, value: CriticalValue, within: timedelta) -> Sequence[CriticalValue]:
        withdrawable = sorted(status.value for status in WITHDRAWABLE)
        ways: list[Document] = [{"_id": value.id}, {"record_id": value.record_id, "status": {"$in": withdrawable}}]
        if value.occurred_at is not None:
            near = {"$gte": value.occurred_at - within, "$lte": value.occurred_at + within}
            person = _blind(await self._keyring.hospital(value.hospital_id), value.identity)
            ways.append({"person": person, "occurred_at": near})
        own = [{"hospital_id": value.hospital_id, **way} for way in ways]
        cursor = self._values.find({"hospital_id": value.hospital_id, "$or": own}, limit=_MOST_BESIDE)
        return [await self._value(document) for document in await cursor.to_list()]

    async def list_of_account(
        self, account_id: str, *, limit: int, after: tuple[datetime, str] | None
    ) -> Sequence[CriticalValue]:
        query: Document = {"accounts": account_id}
        if after is not None:
            at, value_id = after
            query["$or"] = [{"raised_at": {"$lt": at}}, {"raised_at": at, "_id": {"$lt": value_id}}]
        cursor = self._values.find(query, sort=_NEWEST, limit=limit, comment=ALL_HOSPITALS)
        return [await self._value(document) async for document in cursor]

    async def due(self, now: datetime) -> AsyncIterator[CriticalValue]:
        cursor = self._values.find(
            {"deadline_at": {"$lte": now, **_DATE}},
            sort=[("deadline_at", ASCENDING)],
            limit=_SWEPT,
            comment=ALL_HOSPITALS,
        )
        for document in await cursor.to_list():
            yield await self._value(document)

    async def _value(self, document: Document) -> CriticalValue:
        keys = await self._keyring.hospital(document["hospital_id"])
        words = keys.open_bytes(bytes(document["identity"]), field=_IDENTITY, owner=document["_id"])
        identity, names, *found = orjson.loads(words)
        return CriticalValue(
            id=document["_id"],
            hospital_id=document["hospital_id"],
            record_id=document["record_id"],
            identity=Identity(**identity),
            raised_at=document["raised_at"],
            names=tuple(names),
            occurred_at=document.get("occurred_at"),
            found=tuple(found[0]) if found else (),
            was_sent=document.get("was_sent", True),
            status=CriticalStatus(document["status"]),
            version=document["version"],
            people=People(
                tuple(document["patient_accounts"]), tuple(Recipient(order, doctor) for order, doctor in document["doctors"])
            ),
            told_at=document["told_at"],
            deadline_at=document["deadline_at"],
            acknowledged_by=document["acknowledged_by"],
            acknowledged_at=document["acknowledged_at"],
        )


def _blind(keys: HospitalKeys, identity: Identity) -> bytes:
    return keys.blind(f"{identity.id_type}\0{identity.id_number}", field=f"{CRITICAL_VALUES}.person")


def _changing(value: CriticalValue) -> dict[str, Any]:
    """What changes; `accounts` are all that were told, for their lists."""
    people = value.people
    return {
        "status": value.status.value,
        "version": value.version,
        "patient_accounts": list(people.patient_accounts),
        "doctors": [[recipient.order_id, recipient.doctor_id] for recipient in people.doctors],
        "accounts": sorted({*people.patient_accounts, *(r.doctor_id for r in people.doctors)}),
        "told_at": value.told_at,
        "deadline_at": value.deadline_at,
        "acknowledged_by": value.acknowledged_by,
        "acknowledged_at": value.acknowledged_at,
    }
