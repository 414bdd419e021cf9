"""Looks at records in MongoDB: one document each, by its view id, which is unique over all hospitals."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError, PyMongoError

from ehr_view.domain.access import Lease, RecordView, Viewer
from ehr_view.ports import RECORD_VIEWS
from server.kernel.crypto import Keyring
from server.kernel.errors import Unavailable
from server.kernel.mongo import ALL_HOSPITALS, Database, Document, Indexes
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

RECORD_LEASES: Final = "record_leases"
_WORDS: Final = "record_views.words"

INDEXES: Final[Indexes] = {
    RECORD_VIEWS: [
        OUTBOX_INDEX,
        IndexModel([("hospital_id", ASCENDING), ("order_id", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)]),
        IndexModel([("at", DESCENDING)]),
    ],
    RECORD_LEASES: [
        IndexModel([("hospital_id", ASCENDING), ("order_id", ASCENDING)]),
        IndexModel([("closes_at", ASCENDING)], expireAfterSeconds=0),
    ],
}

OUTBOXES: Final = (RECORD_VIEWS,)


class MongoLeases:
    """Implements `ports.Leases`. The database forgets them when their order has closed by itself."""

    def __init__(self, database: Database) -> None:
        self._leases = database[RECORD_LEASES]

    async def open(self, lease: Lease) -> None:
        values = _bound(lease) | {"opened_at": lease.opened_at, "closes_at": lease.closes_at}
        try:
            await self._leases.update_one({"_id": _key(lease), "hospital_id": lease.hospital_id}, {"$set": values}, upsert=True)
        except PyMongoError as error:
            raise Unavailable from error

    async def is_open(self, lease: Lease) -> bool:
        found = await self._leases.find_one({"_id": _key(lease), **_bound(lease)}, projection={"_id": True})
        return found is not None

    async def end(self, hospital_id: str, order_id: str, until: datetime) -> None:
        await self._leases.delete_many({"hospital_id": hospital_id, "order_id": order_id, "opened_at": {"$lte": until}})


def _key(lease: Lease) -> str:
    return f"{lease.order_id}/{lease.session_id}"


def _bound(lease: Lease) -> Document:
    return {
        "hospital_id": lease.hospital_id,
        "order_id": lease.order_id,
        "doctor_id": lease.doctor_id,
        "device_id": lease.device_id,
    }


class MongoViews:
    """Implements `ports.Views`. Names and titles are sealed; ids and instants are not."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._views = database[RECORD_VIEWS]
        self._keyring = keyring

    async def add(self, view: RecordView, event: Event) -> bool:
        keys = await self._keyring.hospital(view.hospital_id)
        words = {
            "order_number": view.order_number,
            "title": view.title,
            "name": view.viewer.name,
            "staff_number": view.viewer.staff_number,
            "phone_tail": view.viewer.phone_tail,
        }
        document: Document = {
            "_id": Int64(view.view_id),
            "hospital_id": view.hospital_id,
            "order_id": view.order_id,
            "record_id": view.record_id,
            "form": view.form,
            "page": view.page,
            "doctor_id": view.viewer.account_id,
            "patient_account": view.patient_account,
            "session_id": view.session_id,
            "device_id": view.device_id,
            "at": view.at,
            "drawn": dict(view.drawn),
            "words": keys.seal_bytes(orjson.dumps(words), field=_WORDS, owner=str(view.view_id)),
            "outbox": [to_outbox(event)],
        }
        try:
            await self._views.insert_one(document)
        except DuplicateKeyError:
            return False
        except PyMongoError as error:
            raise Unavailable from error
        return True

    async def find(self, view_id: int) -> RecordView | None:
        document = await self._views.find_one({"_id": Int64(view_id)}, comment=ALL_HOSPITALS)
        return None if document is None else await self._view(document)

    async def list_of_order(
        self, hospital_id: str, order_id: str, *, before: tuple[datetime, int] | None, limit: int
    ) -> Sequence[RecordView]:
        query: Document = {"hospital_id": hospital_id, "order_id": order_id}
        if before is not None:
            at, view_id = before
            query["$or"] = [{"at": {"$lt": at}}, {"at": at, "_id": {"$lt": Int64(view_id)}}]
        cursor = self._views.find(query, sort=[("at", DESCENDING), ("_id", DESCENDING)], limit=limit)
        return [await self._view(document) async for document in cursor]

    async def list_between(self, since: datetime, until: datetime, *, limit: int) -> Sequence[RecordView]:
        cursor = self._views.find(
            {"at": {"$gte": since, "$lt": until}}, sort=[("at", DESCENDING)], limit=limit, comment=ALL_HOSPITALS
        )
        return [await self._view(document) async for document in cursor]

    async def _view(self, document: Document) -> RecordView:
        keys = await self._keyring.hospital(document["hospital_id"])
        sealed = bytes(document["words"])
        words: dict[str, Any] = orjson.loads(keys.open_bytes(sealed, field=_WORDS, owner=str(int(document["_id"]))))
        return RecordView(
            view_id=int(document["_id"]),
            hospital_id=document["hospital_id"],
            order_id=document["order_id"],
            order_number=words["order_number"],
            record_id=document["record_id"],
            form=document["form"],
            title=words["title"],
            page=document["page"],
            viewer=Viewer(document["doctor_id"], words["name"], words["staff_number"], words["phone_tail"]),
            patient_account=document["patient_account"],
            session_id=document["session_id"],
            device_id=document["device_id"],
            at=document["at"],
            drawn=document["drawn"],
        )
