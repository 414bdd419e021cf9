"""The live board, counted from orders, refunds and tasks as the product stores them."""

import asyncio
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING

from admin_console.domain.board import (
    MOST_URGENT,
    BoardCounts,
    DayFigures,
    DepartmentFigures,
    Series,
    UrgentOrder,
    with_empty_days,
)
from billing.domain import RefundStatus
from billing.mongo import REFUNDS
from consult.domain.order import SHANGHAI
from consult.domain.status import OrderStatus, Phase
from consult.domain.tasks import TASKS, TaskState
from consult.mongo.codec import ORDERS
from server.kernel.mongo import Collection, Database, Document

_OPEN: Final = (OrderStatus.PENDING_PAYMENT, OrderStatus.AWAITING_DOCTOR, OrderStatus.IN_SESSION, OrderStatus.REFUNDING)
_WORKED: Final = (TaskState.OPEN, TaskState.CLAIMED)
_OFFSET: Final = "+08:00"

_PAID: Final = {"$eq": ["$phase", Phase.CAPTURED.value]}
_ANSWERED: Final = {"$gt": [{"$ifNull": ["$log.counted_replies", 0]}, 0]}
_GIVEN_BACK: Final = [OrderStatus.REFUNDING.value, OrderStatus.REFUNDED.value]


def _count_if(condition: Any) -> Document:
    return {"$sum": {"$cond": [condition, 1, 0]}}


def _sum_if(condition: Any, field: str) -> Document:
    return {"$sum": {"$cond": [condition, field, 0]}}


class MongoBoard:
    """Implements `ports.BoardReader`."""

    def __init__(self, database: Database) -> None:
        self._orders: Collection = database[ORDERS]
        self._refunds: Collection = database[REFUNDS]
        self._tasks: Collection = database[TASKS]

    async def count_now(self, hospital_id: str, now: datetime, soon: datetime) -> BoardCounts:
        here: Document = {"hospital_id": hospital_id}
        near = here | {"expire_at": {"$type": "date", "$lte": soon}}
        done = [RefundStatus.REFUNDED.value, RefundStatus.NEEDS_PERSON.value]
        worked = [state.value for state in _WORKED]
        counted = await asyncio.gather(
            self._orders.count_documents(near),
            self._refunds.count_documents(here | {"status": {"$nin": done}}),
            self._refunds.count_documents(here | {"status": RefundStatus.NEEDS_PERSON.value}),
            self._tasks.count_documents(here | {"state": {"$in": worked}, "due_at": {"$lt": now}}),
            *(self._orders.count_documents(here | {"status": status.value}) for status in _OPEN),
            *(self._tasks.count_documents(here | {"state": state.value}) for state in _WORKED),
        )
        return BoardCounts(
            near=counted[0],
            refunds_under_way=counted[1],
            refunds_need_person=counted[2],
            tasks_overdue=counted[3],
            open_orders=dict(zip(_OPEN, counted[4:], strict=False)),
            tasks=dict(zip(_WORKED, counted[4 + len(_OPEN) :], strict=True)),
            urgent=tuple(await self._urgent(here | {"expire_at": {"$type": "date"}})),
        )

    async def _urgent(self, still_open: Document) -> list[UrgentOrder]:
        fields = {"number": 1, "status": 1, "doctor": 1, "paid_at": 1, "deadline_at": 1}
        cursor = self._orders.find(still_open, fields, sort=[("expire_at", ASCENDING)], limit=MOST_URGENT)
        return [
            UrgentOrder(
                order_id=document["_id"],
                number=document["number"],
                status=OrderStatus(document["status"]),
                doctor_name=document["doctor"]["name"],
                department=document["doctor"]["department"],
                paid_at=document["paid_at"],
                deadline_at=document["deadline_at"],
            )
            async for document in cursor
        ]

    async def series(self, hospital_id: str, since: datetime, now: datetime, days: int) -> Series:
        made = {"hospital_id": hospital_id, "created_at": {"$gte": since}}
        by_day, by_department = await asyncio.gather(self._days(made), self._departments(made))
        return Series(with_empty_days(by_day, now.astimezone(SHANGHAI), days), tuple(by_department))

    async def _days(self, made: Document) -> dict[str, DayFigures]:
        day = {"$dateToString": {"date": "$created_at", "format": "%Y-%m-%d", "timezone": _OFFSET}}
        sums = {
            "orders": {"$sum": 1},
            "paid": _count_if(_PAID),
            "answered": _count_if({"$and": [_PAID, _ANSWERED]}),
            "completed": _count_if({"$eq": ["$status", OrderStatus.COMPLETED.value]}),
            "cancelled": _count_if({"$eq": ["$status", OrderStatus.CANCELLED.value]}),
            "refunded": _count_if({"$in": ["$status", _GIVEN_BACK]}),
            "paid_fen": _sum_if(_PAID, "$fee_fen"),
            "refunded_fen": {"$sum": "$refunded_fen"},
        }
        cursor = await self._orders.aggregate([{"$match": made}, {"$group": {"_id": day, **sums}}])
        return {row["_id"]: DayFigures(day=row.pop("_id"), **row) for row in await cursor.to_list()}

    async def _departments(self, made: Document) -> list[DepartmentFigures]:
        group = {
            "_id": "$doctor.department",
            "orders": {"$sum": 1},
            "answered": _count_if(_ANSWERED),
            "paid_fen": {"$sum": "$fee_fen"},
            "stars": {"$avg": "$rating.stars"},
        }
        paid = made | {"phase": Phase.CAPTURED.value}
        cursor = await self._orders.aggregate(
            [{"$match": paid}, {"$group": group}, {"$sort": {"orders": -1, "_id": 1}}, {"$limit": 20}]
        )
        return [
            DepartmentFigures(row["_id"], row["orders"], row["answered"], row["paid_fen"], row["stars"])
            for row in await cursor.to_list()
        ]
