"""Messages, records that came, and the hospital's own numbers, in MongoDB.

Who somebody is, and what is said of them, is sealed; look-ups go by blind index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec
import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from ehr_view.domain.records import ExamReport, Form, ImagingStudy, LabReport, Note, Prescription, Record
from ehr_view.hl7.domain import HeldMessage, HeldRecord, Identity, MessageStatus, PersonFacts, StoredForm, Version
from ehr_view.hl7.ports import MOST_RECORDS
from server.kernel.crypto import HospitalKeys, Keyring
from server.kernel.ids import new_id
from server.kernel.mongo import Collection, Database, Document, Indexes

MESSAGES: Final = "hl7_messages"
RECORDS: Final = "held_records"
CARDS: Final = "hl7_cards"

_DATA: Final = f"{MESSAGES}.data"
_NAME: Final = f"{MESSAGES}.name"
_BODY: Final = f"{RECORDS}.body"
_PERSON: Final = f"{CARDS}.person"
_LISTED: Final = "listed"
_WITHDRAWN: Final = "withdrawn"
_MOST_FAILED: Final = 1_000

INDEXES: Final[Indexes] = {
    MESSAGES: [
        IndexModel([("hospital_id", ASCENDING), ("status", ASCENDING), ("received_at", ASCENDING)]),
        IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
    ],
    RECORDS: [
        IndexModel([("hospital_id", ASCENDING), ("person", ASCENDING), ("state", ASCENDING), ("occurred_at", DESCENDING)]),
        IndexModel([("hospital_id", ASCENDING), ("person", ASCENDING), ("changed", DESCENDING)]),
        IndexModel([("hospital_id", ASCENDING), ("cards", ASCENDING)]),
    ],
    CARDS: [],
}

_CONTENTS: Final[Mapping[Form, Any]] = {
    Form.NOTE: Note,
    Form.PRESCRIPTION: Prescription,
    Form.LAB: LabReport,
    Form.EXAM: ExamReport,
    Form.IMAGING: ImagingStudy,
}


class MongoMessages:
    """Implements `ports.Messages`. Accepted ones go after `kept`: so long a repeated one is known again."""

    def __init__(self, database: Database, keyring: Keyring, *, kept: timedelta, most_failed: int = _MOST_FAILED) -> None:
        self._messages: Collection = database[MESSAGES]
        self._keyring = keyring
        self._kept = kept
        self._most_failed = most_failed

    async def find(self, hospital_id: str, message_id: str) -> HeldMessage | None:
        document = await self._messages.find_one({"_id": message_id, "hospital_id": hospital_id}, projection={"data": False})
        return None if document is None else self._message(document, await self._keyring.hospital(hospital_id))

    async def read(self, hospital_id: str, message_id: str) -> HeldMessage | None:
        document = await self._messages.find_one({"_id": message_id, "hospital_id": hospital_id})
        return None if document is None else self._message(document, await self._keyring.hospital(hospital_id))

    async def accept(self, message: HeldMessage) -> None:
        keys = await self._keyring.hospital(message.hospital_id)
        values = self._document(message, keys) | {
            "status": MessageStatus.ACCEPTED.value,
            "expires_at": message.received_at + self._kept,
        }
        query, update = {"_id": message.id, "hospital_id": message.hospital_id}, {"$set": values, "$inc": {"tries": 1}}
        try:
            await self._messages.update_one(query, update, upsert=True)
        except DuplicateKeyError:  # another of two at once was first
            await self._messages.update_one(query, update)

    async def fail(self, message: HeldMessage) -> bool:
        keys = await self._keyring.hospital(message.hospital_id)
        values = self._document(message, keys) | {"status": MessageStatus.FAILED.value}
        first = values.pop("received_at")
        waiting = {"hospital_id": message.hospital_id, "status": MessageStatus.FAILED.value}
        known = await self._messages.find_one({"_id": message.id, "hospital_id": message.hospital_id}, projection={"_id": True})
        if known is None and await self._messages.count_documents(waiting, limit=self._most_failed) >= self._most_failed:
            return False
        try:
            await self._messages.update_one(
                {
                    "_id": message.id,
                    "hospital_id": message.hospital_id,
                    "status": {"$in": [MessageStatus.FAILED.value, MessageStatus.DROPPED.value]},
                },
                {"$set": values, "$setOnInsert": {"received_at": first}, "$inc": {"tries": 1}, "$unset": {"expires_at": ""}},
                upsert=True,
            )
        except DuplicateKeyError:
            return True  # it was accepted meanwhile
        return True

    async def drop(self, hospital_id: str, message_id: str) -> bool:
        done = await self._messages.update_one(
            {"_id": message_id, "hospital_id": hospital_id, "status": MessageStatus.FAILED.value},
            {"$set": {"status": MessageStatus.DROPPED.value}, "$unset": {"data": ""}},
        )
        return done.matched_count == 1

    async def list_failed(self, hospital_id: str, *, limit: int) -> Sequence[HeldMessage]:
        keys = await self._keyring.hospital(hospital_id)
        cursor = self._messages.find(
            {"hospital_id": hospital_id, "status": MessageStatus.FAILED.value},
            projection={"data": False},
            sort=[("received_at", ASCENDING)],
            limit=limit,
        )
        return [self._message(document, keys) async for document in cursor]

    def _document(self, message: HeldMessage, keys: HospitalKeys) -> Document:
        return {
            "kind": message.kind,
            "name": keys.seal_bytes(orjson.dumps([message.control_id, message.digest.hex()]), field=_NAME, owner=message.id),
            "reason": message.reason,
            "where": message.where,
            "received_at": message.received_at,
            "data": keys.seal_bytes(message.data, field=_DATA, owner=message.id),
        }

    def _message(self, document: Document, keys: HospitalKeys) -> HeldMessage:
        data = document.get("data")
        control_id, digest = orjson.loads(keys.open_bytes(bytes(document["name"]), field=_NAME, owner=document["_id"]))
        return HeldMessage(
            id=document["_id"],
            hospital_id=document["hospital_id"],
            kind=document["kind"],
            control_id=control_id,
            status=MessageStatus(document["status"]),
            reason=document["reason"],
            where=document["where"],
            received_at=document["received_at"],
            tries=document["tries"],
            digest=bytes.fromhex(digest),
            data=b"" if data is None else keys.open_bytes(bytes(data), field=_DATA, owner=document["_id"]),
        )


class MongoHeldRecords:
    """Implements `ports.HeldRecords`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._records: Collection = database[RECORDS]
        self._cards: Collection = database[CARDS]
        self._keyring = keyring

    async def put(self, hospital_id: str, identity: Identity, held: HeldRecord, version: Version, *, withdrawn: bool) -> bool:
        keys = await self._keyring.hospital(hospital_id)
        record = held.record
        values: Document = {
            "person": _blind(keys, identity),
            "cards": [_card(keys, card) for card in held.person.cards],
            "form": record.form.value,
            "occurred_at": record.occurred_at,
            "state": _WITHDRAWN if withdrawn else _LISTED,
            "body": keys.seal_bytes(_packed(held), field=_BODY, owner=record.id),
            "version": version.text,
            "changed": new_id(),
        }
        query = {"_id": record.id, "hospital_id": hospital_id, "version": _not_above(version)}
        try:
            done = await self._records.update_one(query, {"$set": values}, upsert=True)
        except DuplicateKeyError:  # a newer one is there, or another of two at once was first
            done = await self._records.update_one(query, {"$set": values})
        return done.matched_count == 1 or done.upserted_id is not None

    async def find_form(self, hospital_id: str, record_id: str) -> StoredForm | None:
        keys = await self._keyring.hospital(hospital_id)
        document = await self._records.find_one({"_id": record_id, "hospital_id": hospital_id})
        if document is None:
            return None
        held = _unpacked(keys.open_bytes(bytes(document["body"]), field=_BODY, owner=record_id))
        return StoredForm(held, document.get("version", ""), document["state"] == _WITHDRAWN)

    async def withdraw(self, hospital_id: str, record_ids: Sequence[str], version: Version) -> None:
        await self._records.update_many(
            {"_id": {"$in": list(record_ids)}, "hospital_id": hospital_id, "version": _not_above(version)},
            {"$set": {"state": _WITHDRAWN, "version": version.text, "changed": new_id()}},
        )

    async def list_of(self, hospital_id: str, identity: Identity, *, limit: int = MOST_RECORDS) -> Sequence[HeldRecord]:
        keys = await self._keyring.hospital(hospital_id)
        cursor = self._records.find(
            {"hospital_id": hospital_id, "person": _blind(keys, identity), "state": _LISTED},
            sort=[("occurred_at", DESCENDING)],
            limit=limit,
        )
        return [
            _unpacked(keys.open_bytes(bytes(document["body"]), field=_BODY, owner=document["_id"])) async for document in cursor
        ]

    async def stamp(self, hospital_id: str, identity: Identity) -> str:
        keys = await self._keyring.hospital(hospital_id)
        newest = await self._records.find_one(
            {"hospital_id": hospital_id, "person": _blind(keys, identity)},
            projection={"changed": True},
            sort=[("changed", DESCENDING)],
        )
        return "" if newest is None else str(newest["changed"])

    async def find_cards(self, hospital_id: str, cards: Sequence[str]) -> frozenset[Identity]:
        if not cards:
            return frozenset()
        keys = await self._keyring.hospital(hospital_id)
        wanted = [_card_key(hospital_id, _card(keys, card)) for card in cards]
        found = await self._cards.find({"_id": {"$in": wanted}, "hospital_id": hospital_id}).to_list()
        return frozenset(_owner(keys, document) for document in found)

    async def give_cards(self, hospital_id: str, identity: Identity, cards: Sequence[str], sent_at: datetime) -> None:
        keys = await self._keyring.hospital(hospital_id)
        for blind in (_card(keys, card) for card in cards):
            if await self._moves(keys, hospital_id, identity, _card_key(hospital_id, blind), sent_at):
                await self._records.update_many(
                    {"hospital_id": hospital_id, "cards": blind, "person": {"$ne": _blind(keys, identity)}},
                    {"$set": {"person": _blind(keys, identity), "changed": new_id()}},
                )

    async def _moves(self, keys: HospitalKeys, hospital_id: str, identity: Identity, key: str, sent_at: datetime) -> bool:
        """Give one number; whether it was another's, or nobody's, until now."""
        person = keys.seal_bytes(orjson.dumps(asdict(identity)), field=_PERSON, owner=key)
        query = {"_id": key, "hospital_id": hospital_id, "sent_at": {"$lte": sent_at}}
        values = {"person": person, "sent_at": sent_at}
        try:
            before = await self._cards.find_one_and_update(query, {"$set": values}, upsert=True)
        except DuplicateKeyError:  # what is there came from a later message, or another of two at once was first
            before = await self._cards.find_one_and_update(query, {"$set": values})
            return before is not None and _owner(keys, before) != identity
        return before is None or _owner(keys, before) != identity


def _not_above(version: Version) -> Document:
    """That what is there is not newer; also what is there without a version."""
    return {"$not": {"$gt": version.text}}


def _blind(keys: HospitalKeys, identity: Identity) -> bytes:
    return keys.blind(f"{identity.id_type}\0{identity.id_number}", field=f"{RECORDS}.person")


def _card(keys: HospitalKeys, card: str) -> bytes:
    return keys.blind(card, field=f"{CARDS}.number")


def _card_key(hospital_id: str, blind: bytes) -> str:
    return f"{hospital_id}:{blind.hex()}"


def _owner(keys: HospitalKeys, document: Document) -> Identity:
    return Identity(**orjson.loads(keys.open_bytes(bytes(document["person"]), field=_PERSON, owner=document["_id"])))


def _packed(held: HeldRecord) -> bytes:
    return msgspec.json.encode([held.record, held.person])


def _unpacked(body: bytes) -> HeldRecord:
    fields, person = orjson.loads(body)
    form = Form(fields["form"])
    at = datetime.fromisoformat(fields["occurred_at"]).astimezone(UTC)
    content = msgspec.convert(fields["content"], _CONTENTS[form])
    record = Record(**fields | {"form": form, "occurred_at": at, "content": content})
    found = person["identity"]
    return HeldRecord(
        record,
        PersonFacts(
            identity=None if found is None else Identity(**found),
            cards=tuple(person["cards"]),
            names=tuple(person["names"]),
            birth_date=None if person["birth_date"] is None else date.fromisoformat(person["birth_date"]),
            sex=person["sex"],
        ),
    )
