"""Departments and doctors as documents. Names and fields of work are public; phones are sealed."""

import re
from collections.abc import Collection as Ids
from collections.abc import Mapping, Sequence
from typing import Final

from pymongo.errors import DuplicateKeyError

from accounts.domain.doctors import Department, Doctor, DoctorQuery, ListedDoctor, search_keys, search_terms, sort_key
from accounts.errors import DoctorPhoneTaken, DoctorStaffNumberTaken
from accounts.mongo.collections import DEPARTMENTS, DOCTORS
from server.kernel.crypto import Keyring
from server.kernel.errors import DomainError, Unavailable
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document
from server.kernel.outbox import Event, Relay, to_outbox
from server.kernel.wire import decode_cursor, encode_cursor

_PHONE: Final = f"{DOCTORS}.phone"
_MAX_DEPARTMENTS: Final = 1_000


class MongoDoctors:
    """`accounts.ports.DoctorRepository`. A doctor taken off the list has no blind index of a phone: it is free again."""

    def __init__(self, database: Database, keyring: Keyring, relay: Relay) -> None:
        self._doctors: Collection = database[DOCTORS]
        self._departments: Collection = database[DEPARTMENTS]
        self._keyring = keyring
        self._relay = relay

    async def find(self, doctor_id: str) -> Doctor | None:
        document = await self._doctors.find_one({"_id": doctor_id}, comment=ALL_HOSPITALS)
        return None if document is None else _doctor(document)

    async def find_many(self, doctor_ids: Ids[str]) -> Mapping[str, Doctor]:
        cursor = self._doctors.find({"_id": {"$in": list(doctor_ids)}}).comment(ALL_HOSPITALS)
        return {document["_id"]: _doctor(document) for document in await cursor.to_list()}

    async def find_by_phone(self, hospital_id: str, phone: str) -> Doctor | None:
        keys = await self._keyring.hospital(hospital_id)
        document = await self._doctors.find_one(
            {"hospital_id": hospital_id, "phone_blind": keys.blind(phone, field=_PHONE), "active": True}
        )
        return None if document is None else _doctor(document)

    async def list_page(self, query: DoctorQuery) -> tuple[Sequence[Doctor], str | None]:
        documents, next_cursor = await self._page(query)
        return [_doctor(document) for document in documents], next_cursor

    async def list_page_with_phones(self, query: DoctorQuery) -> tuple[Sequence[ListedDoctor], str | None]:
        documents, next_cursor = await self._page(query)
        return [ListedDoctor(_doctor(d), await self._phone(d)) for d in documents], next_cursor

    async def insert(self, doctor: Doctor, phone: str, event: Event) -> Doctor:
        document = {
            "_id": doctor.id,
            **_public(doctor),
            **await self._sealed(doctor, phone),
            "version": 1,
            "outbox": [to_outbox(event)],
        }
        try:
            await self._doctors.insert_one(document)
        except DuplicateKeyError as error:
            known = await self.find(doctor.id)
            if known is None or known.hospital_id != doctor.hospital_id:
                raise _taken(error) from None
            return known
        self._relay.soon(DOCTORS, doctor.id, doctor.hospital_id)
        return doctor

    async def save(self, doctor: Doctor, phone: str | None, event: Event) -> bool:
        changes = _public(doctor) | ({} if phone is None else await self._sealed(doctor, phone))
        update: Document = {"$set": changes, "$inc": {"version": 1}, "$push": {"outbox": to_outbox(event)}}
        if not doctor.active:
            update["$unset"] = {"phone_blind": ""}
        try:
            result = await self._doctors.update_one(
                {"_id": doctor.id, "hospital_id": doctor.hospital_id, "version": doctor.version}, update
            )
        except DuplicateKeyError as error:
            raise _taken(error) from None
        if result.matched_count:
            self._relay.soon(DOCTORS, doctor.id, doctor.hospital_id)
        return bool(result.matched_count)

    async def get_phone(self, doctor: Doctor) -> str:
        document = await self._doctors.find_one({"_id": doctor.id, "hospital_id": doctor.hospital_id})
        if document is None:
            raise Unavailable
        return await self._phone(document)

    async def list_departments(self, hospital_id: str) -> Sequence[Department]:
        cursor = self._departments.find({"hospital_id": hospital_id}, sort=[("sort_key", 1)], limit=_MAX_DEPARTMENTS)
        return [_department(document) for document in await cursor.to_list()]

    async def find_department(self, hospital_id: str, department_id: str) -> Department | None:
        document = await self._departments.find_one({"_id": department_id, "hospital_id": hospital_id})
        return None if document is None else _department(document)

    async def ensure_department(self, department: Department, event: Event) -> Department:
        try:
            await self._departments.insert_one(
                {
                    "_id": department.id,
                    "hospital_id": department.hospital_id,
                    "name": department.name,
                    "sort_key": sort_key(department.name),
                    "outbox": [to_outbox(event)],
                }
            )
        except DuplicateKeyError:
            return department
        self._relay.soon(DEPARTMENTS, department.id, department.hospital_id)
        return department

    async def _page(self, query: DoctorQuery) -> tuple[list[Document], str | None]:
        cursor = self._doctors.find(_filter(query), sort=[("sort_key", 1), ("_id", 1)], limit=query.limit + 1)
        documents = await cursor.to_list()
        if len(documents) <= query.limit:
            return documents, None
        last = documents[query.limit - 1]
        return documents[: query.limit], encode_cursor(last["sort_key"], last["_id"])

    async def _sealed(self, doctor: Doctor, phone: str) -> Document:
        keys = await self._keyring.hospital(doctor.hospital_id)
        return {
            "phone": keys.seal_text(phone, field=_PHONE, owner=doctor.id),
            "phone_blind": keys.blind(phone, field=_PHONE),
        }

    async def _phone(self, document: Document) -> str:
        keys = await self._keyring.hospital(document["hospital_id"])
        return keys.open_text(document["phone"], field=_PHONE, owner=document["_id"])


def _filter(query: DoctorQuery) -> Document:
    """Every word of the search must be in some key; the cursor names the last one seen, so that inserts shift nothing."""
    conditions: list[Document] = [{"search": {"$regex": re.escape(term)}} for term in search_terms(query.q or "")]
    if query.department_id is not None:
        conditions.append({"department_id": query.department_id})
    if query.ids is not None:
        conditions.append({"_id": {"$in": sorted(query.ids)}})
    if query.cursor is not None:
        key, doctor_id = decode_cursor(query.cursor, str, str)
        conditions.append({"$or": [{"sort_key": {"$gt": key}}, {"sort_key": key, "_id": {"$gt": doctor_id}}]})
    found: Document = {"hospital_id": query.hospital_id, "active": True}
    if conditions:
        found["$and"] = conditions
    return found


def _taken(error: DuplicateKeyError) -> DomainError:
    """Which of the two that must differ was the same."""
    return DoctorStaffNumberTaken() if "staff_number" in (error.details or {}).get("keyPattern", {}) else DoctorPhoneTaken()


def _public(doctor: Doctor) -> Document:
    return {
        "hospital_id": doctor.hospital_id,
        "name": doctor.name,
        "title": doctor.title,
        "department_id": doctor.department_id,
        "department_name": doctor.department_name,
        "good_at": doctor.good_at,
        "fee_fen": doctor.fee_fen,
        "active": doctor.active,
        "staff_number": doctor.given_number,
        "credentials": doctor.credentials,
        "search": search_keys(doctor),
        "sort_key": sort_key(doctor.name),
    }


def _doctor(document: Document) -> Doctor:
    return Doctor(
        id=document["_id"],
        hospital_id=document["hospital_id"],
        name=document["name"],
        title=document["title"],
        department_id=document["department_id"],
        department_name=document["department_name"],
        good_at=document["good_at"],
        fee_fen=document["fee_fen"],
        active=document["active"],
        credentials=document["credentials"],
        version=document["version"],
        given_number=document.get("staff_number"),
    )


def _department(document: Document) -> Department:
    return Department(document["_id"], document["hospital_id"], document["name"])
