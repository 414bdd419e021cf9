"""Orders as the product stores them, read for staff."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from pymongo import DESCENDING, IndexModel

from admin_console.domain.orders import OrderCounts, OrderFilter
from consult.domain.order import Order
from consult.domain.status import OrderStatus, Phase
from consult.mongo.codec import ORDERS, order_from
from server.kernel.crypto import Keyring
from server.kernel.mongo import Collection, Database, Document

_NEWEST: Final = [("created_at", DESCENDING), ("_id", DESCENDING)]

STAFF_ORDER_INDEXES: Final = [
    IndexModel([("hospital_id", DESCENDING), *_NEWEST], name="staff_newest"),
    IndexModel([("hospital_id", DESCENDING), ("status", DESCENDING), *_NEWEST], name="staff_status"),
    IndexModel(
        [("hospital_id", DESCENDING), ("expire_at", DESCENDING)],
        name="staff_deadline",
        partialFilterExpression={"expire_at": {"$type": "date"}},
    ),
    IndexModel([("hospital_id", DESCENDING), ("patient_id", DESCENDING), *_NEWEST], name="staff_patient"),
]

_ANSWERED: Final = {"$gt": [{"$ifNull": ["$log.counted_replies", 0]}, 0]}
_OVER: Final = {"$eq": [{"$ifNull": ["$log.open", True]}, False]}
_PAID: Final = {"$eq": ["$phase", Phase.CAPTURED.value]}


def _sum_if(*conditions: Any) -> Document:
    return {"$sum": {"$cond": [{"$and": list(conditions)}, 1, 0]}}


class MongoStaffOrders:
    """Implements `ports.StaffOrders`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._orders: Collection = database[ORDERS]
        self._keyring = keyring

    async def find_order(self, hospital_id: str, order_id: str) -> Order | None:
        document = await self._orders.find_one({"_id": order_id, "hospital_id": hospital_id})
        return None if document is None else order_from(document, await self._keyring.hospital(hospital_id))

    async def list_orders_for_staff(
        self, wanted: OrderFilter, *, limit: int, after: tuple[datetime, str] | None
    ) -> Sequence[Order]:
        keys = await self._keyring.hospital(wanted.hospital_id)
        cursor = self._orders.find(_query(wanted, after), sort=_NEWEST, limit=limit)
        return [order_from(document, keys) async for document in cursor]

    async def has_ordered(self, hospital_id: str, patient_account: str) -> bool:
        query = {"patient_account": patient_account, "hospital_id": hospital_id}
        return await self._orders.find_one(query, projection={"_id": True}) is not None

    async def count_orders(self, hospital_id: str) -> OrderCounts:
        cursor = await self._orders.aggregate(
            [
                {"$match": {"hospital_id": hospital_id}},
                {
                    "$group": {
                        "_id": "$status",
                        "orders": {"$sum": 1},
                        "answered": _sum_if(_PAID, _ANSWERED),
                        "decided": _sum_if(_PAID, {"$or": [_OVER, _ANSWERED]}),
                    }
                },
            ]
        )
        groups = {document["_id"]: document for document in await cursor.to_list()}
        answered = sum(group["answered"] for group in groups.values())
        decided = sum(group["decided"] for group in groups.values())
        return OrderCounts(
            by_status={status: groups.get(status.value, {}).get("orders", 0) for status in OrderStatus},
            replied_rate=round(answered / decided, 4) if decided else None,
        )


def _query(wanted: OrderFilter, after: tuple[datetime, str] | None) -> Document:
    query: Document = {"hospital_id": wanted.hospital_id}
    if wanted.status is not None:
        query["status"] = wanted.status.value
    if wanted.doctor_id is not None:
        query["doctor_id"] = wanted.doctor_id
    if wanted.patient_account is not None:
        query["patient_account"] = wanted.patient_account
    if wanted.patient_id is not None:
        query["patient_id"] = wanted.patient_id
    if wanted.paid:
        query["phase"] = Phase.CAPTURED.value
    if wanted.number is not None:
        query["number"] = wanted.number
    span: Document = {}
    if wanted.since is not None:
        span["$gte"] = wanted.since
    if wanted.until is not None:
        span["$lt"] = wanted.until
    if span:
        query["created_at"] = span
    if after is not None:
        created_at, order_id = after
        query["$or"] = [{"created_at": {"$lt": created_at}}, {"created_at": created_at, "_id": {"$lt": order_id}}]
    return query
