"""The patients of an account: one document, so that every rule over all of them is one compare-and-set."""

from collections.abc import Collection as Ids
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import orjson
from pymongo.errors import DuplicateKeyError

from accounts.domain.identity import IdType, Sex
from accounts.domain.patients import Guardian, Patient, PatientBook
from accounts.mongo.collections import PATIENTS
from server.kernel.crypto import HospitalKeys, Keyring
from server.kernel.ids import derived_id
from server.kernel.mongo import Collection, Database, Document
from server.kernel.outbox import Event, Relay, to_outbox

_DETAILS: Final = f"{PATIENTS}.details"


class MongoPatients:
    """`accounts.ports.PatientRepository`. Who somebody is stands sealed in `details`; look-ups go by blind indexes."""

    def __init__(self, database: Database, keyring: Keyring, relay: Relay) -> None:
        self._books: Collection = database[PATIENTS]
        self._keyring = keyring
        self._relay = relay

    async def load(self, hospital_id: str, account_id: str) -> PatientBook:
        document = await self._books.find_one({"_id": _key(hospital_id, account_id), "hospital_id": hospital_id})
        if document is None:
            return PatientBook(hospital_id, account_id)
        return _book(document, await self._keyring.hospital(hospital_id))

    async def save(self, book: PatientBook, event: Event) -> bool:
        keys, key = await self._keyring.hospital(book.hospital_id), _key(book.hospital_id, book.account_id)
        changes = {"default_id": book.default_id, "items": [_item(patient, keys) for patient in book.items]}
        try:
            result = await self._books.update_one(
                {"_id": key, "hospital_id": book.hospital_id, "version": book.version},
                {
                    "$set": changes,
                    "$setOnInsert": {"account_id": book.account_id},
                    "$inc": {"version": 1},
                    "$push": {"outbox": to_outbox(event)},
                },
                upsert=book.version == 0,
            )
        except DuplicateKeyError:
            return False
        saved = result.matched_count == 1 or result.upserted_id is not None
        if saved:
            self._relay.soon(PATIENTS, key, book.hospital_id)
        return saved

    async def list_default_names(self, hospital_id: str, account_ids: Ids[str]) -> Mapping[str, str]:
        keys = await self._keyring.hospital(hospital_id)
        cursor = self._books.find(
            {"_id": {"$in": [_key(hospital_id, account_id) for account_id in account_ids]}, "hospital_id": hospital_id}
        )
        names = {}
        for document in await cursor.to_list():
            patient = _book(document, keys).default()
            if patient is not None:
                names[document["account_id"]] = patient.name
        return names

    async def list_holders(self, hospital_id: str, id_type: str, id_number: str, *, limit: int) -> list[Patient]:
        """This person in every account that has them."""
        keys = await self._keyring.hospital(hospital_id)
        blind = keys.blind(f"{id_type}\0{id_number}", field=f"{PATIENTS}.id_number")
        cursor = self._books.find({"hospital_id": hospital_id, "items.id_blind": blind}, limit=limit)
        books = [_book(document, keys) async for document in cursor]
        wanted = (id_type, id_number)
        return [p for book in books for p in book.items if (p.id_type.value, p.id_number) == wanted]


def _key(hospital_id: str, account_id: str) -> str:
    return derived_id("patients", hospital_id, account_id)


def _book(document: Document, keys: HospitalKeys) -> PatientBook:
    hospital_id, account_id = document["hospital_id"], document["account_id"]
    return PatientBook(
        hospital_id=hospital_id,
        account_id=account_id,
        version=document["version"],
        default_id=document["default_id"],
        items=tuple(_patient(item, hospital_id, account_id, keys) for item in document["items"]),
    )


def _item(patient: Patient, keys: HospitalKeys) -> Document:
    guardian = patient.guardian
    details: dict[str, Any] = {
        "name": patient.name,
        "id_type": patient.id_type.value,
        "id_number": patient.id_number,
        "phone": patient.phone,
        "sex": patient.sex.value,
        "birth_date": None if patient.birth_date is None else patient.birth_date.isoformat(),
        "guardian": None if guardian is None else {"name": guardian.name, "id_number": guardian.id_number},
    }
    return {
        "id": patient.id,
        "created_at": patient.created_at,
        "details": keys.seal_bytes(orjson.dumps(details), field=_DETAILS, owner=patient.id),
        "id_blind": keys.blind(f"{patient.id_type.value}\0{patient.id_number}", field=f"{PATIENTS}.id_number"),
        "phone_blind": keys.blind(patient.phone, field=f"{PATIENTS}.phone"),
        "name_blind": keys.blind(patient.name, field=f"{PATIENTS}.name"),
    }


def _patient(item: Document, hospital_id: str, account_id: str, keys: HospitalKeys) -> Patient:
    details = orjson.loads(keys.open_bytes(item["details"], field=_DETAILS, owner=item["id"]))
    guardian, birth_date = details["guardian"], details["birth_date"]
    return Patient(
        id=item["id"],
        hospital_id=hospital_id,
        account_id=account_id,
        name=details["name"],
        id_type=IdType(details["id_type"]),
        id_number=details["id_number"],
        phone=details["phone"],
        sex=Sex(details["sex"]),
        birth_date=None if birth_date is None else date.fromisoformat(birth_date),
        guardian=None if guardian is None else Guardian(guardian["name"], guardian["id_number"]),
        created_at=item["created_at"],
    )
