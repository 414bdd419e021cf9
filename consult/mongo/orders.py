"""Orders in MongoDB: every write states in its filter what must be so."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from consult.domain.after_sales import AfterSales, AfterSalesState
from consult.domain.log import Policy
from consult.domain.order import MOST_PAYMENTS, DueOrder, Order, Rating, order_number
from consult.domain.proofs import TimedOrder
from consult.domain.status import NOBODY, CloseReason, LogFacts, OrderStatus, Outcome, Phase, log_status
from consult.mongo.codec import (
    DUE_FIELDS,
    ORDERS,
    TIMED_FIELDS,
    after_sales_document,
    due_order_from,
    facts_document,
    order_document,
    order_from,
    policy_document,
    rating_document,
    timed_order_from,
)
from im.search.domain import Scoped
from server.kernel.actor import Actor, Role
from server.kernel.clock import from_ms, to_ms
from server.kernel.crypto import Keyring
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

_NUMBER_TRIES: Final = 8
_NEWEST: Final = [("created_at", DESCENDING), ("_id", DESCENDING)]
_DATE: Final = {"$type": "date"}

ORDER_INDEXES: Final = [
    OUTBOX_INDEX,
    IndexModel([("hospital_id", ASCENDING), ("number", ASCENDING)], unique=True),
    IndexModel([("conversation_id", ASCENDING)], unique=True),
    IndexModel([("patient_account", ASCENDING), *_NEWEST]),
    IndexModel([("patient_account", ASCENDING), ("status", ASCENDING), *_NEWEST]),
    IndexModel([("hospital_id", ASCENDING), ("doctor_id", ASCENDING), *_NEWEST]),
    IndexModel([("hospital_id", ASCENDING), ("doctor_id", ASCENDING), ("status", ASCENDING), *_NEWEST]),
    IndexModel(
        [("patient_account", ASCENDING), *_NEWEST],
        name="patient_open",
        partialFilterExpression={"expire_at": _DATE},
    ),
    IndexModel(
        [("hospital_id", ASCENDING), ("doctor_id", ASCENDING), *_NEWEST],
        name="doctor_open",
        partialFilterExpression={"expire_at": _DATE},
    ),
    IndexModel(
        [("hospital_id", ASCENDING), ("log.referral_to", ASCENDING), ("expire_at", ASCENDING)],
        name="offered",
        partialFilterExpression={"log.referral_to": {"$type": "string"}},
    ),
    IndexModel(
        [("hospital_id", ASCENDING), ("department_id", ASCENDING), ("doctor_id", ASCENDING), ("expire_at", ASCENDING)],
        name="pool",
        partialFilterExpression={"department_id": {"$type": "string"}},
    ),
    IndexModel([("unpaid_at", ASCENDING)], partialFilterExpression={"unpaid_at": _DATE}),
    IndexModel([("expire_at", ASCENDING)], partialFilterExpression={"expire_at": _DATE}),
    IndexModel([("settle_at", ASCENDING)], partialFilterExpression={"settle_at": _DATE}),
    IndexModel([("lapse_at", ASCENDING)], partialFilterExpression={"lapse_at": _DATE}),
    IndexModel(
        [
            ("hospital_id", ASCENDING),
            ("after_sales.state", ASCENDING),
            ("after_sales.asked_at", DESCENDING),
            ("_id", DESCENDING),
        ],
        name="after_sales",
        partialFilterExpression={"after_sales.asked_at": _DATE},
    ),
    IndexModel(
        [("cancelled_at", ASCENDING)],
        name="unfreed",
        partialFilterExpression={"place_held": True, "cancelled_at": _DATE},
    ),
]


class MongoOrders:
    """Implements `ports.OrderRepository`, `ports.DueOrders` and `ports.TimedOrders`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._orders: Collection = database[ORDERS]
        self._keyring = keyring

    async def insert(self, order: Order, event: Event) -> Order:
        keys = await self._keyring.hospital(order.hospital_id)
        for attempt in range(_NUMBER_TRIES):
            numbered = replace(order, number=order_number(order.id, order.created_at, attempt))
            document = order_document(numbered, keys) | {"outbox": [to_outbox(event)]}
            try:
                await self._orders.insert_one(document)
            except DuplicateKeyError:
                if (stored := await self.find(order.id)) is not None:
                    return stored
                continue
            return numbered
        raise RuntimeError("no free order number was found")

    async def find(self, order_id: str) -> Order | None:
        return await self._open(await self._orders.find_one({"_id": order_id}, comment=ALL_HOSPITALS))

    async def read_document(self, document: Mapping[str, Any]) -> Order:
        """The order that a document of the collection holds."""
        return order_from(document, await self._keyring.hospital(document["hospital_id"]))

    async def find_all(self, order_ids: Iterable[str]) -> list[Order]:
        cursor = self._orders.find({"_id": {"$in": list(order_ids)}}, comment=ALL_HOSPITALS)
        return [order for document in await cursor.to_list() if (order := await self._open(document)) is not None]

    async def find_by_conversation(self, conversation_id: str) -> Order | None:
        return await self._open(await self._orders.find_one({"conversation_id": conversation_id}, comment=ALL_HOSPITALS))

    async def list_of(
        self, actor: Actor, *, status: OrderStatus | None, limit: int, after: tuple[datetime, str] | None
    ) -> list[Order]:
        query: Document = _own(actor)
        if status is not None:
            query["status"] = status.value
        if after is not None:
            created_at, order_id = after
            query["$or"] = [{"created_at": {"$lt": created_at}}, {"created_at": created_at, "_id": {"$lt": order_id}}]
        cursor = self._orders.find(query, sort=_NEWEST, limit=limit, comment=ALL_HOSPITALS)
        return [order for document in await cursor.to_list() if (order := await self._open(document)) is not None]

    async def list_open_conversations(self, actor: Actor, limit: int) -> list[str]:
        cursor = self._orders.find(
            _own(actor) | {"expire_at": _DATE},
            projection={"conversation_id": True},
            sort=_NEWEST,
            limit=limit,
            comment=ALL_HOSPITALS,
        )
        return [document["conversation_id"] for document in await cursor.to_list()]

    async def list_scope(self, actor: Actor, limit: int, start: tuple[int, str] | None, *, open_only: bool) -> list[Scoped]:
        query: Document = _own(actor) | ({"expire_at": _DATE} if open_only else {"phase": Phase.CAPTURED.value})
        if start is not None:
            made_at, order_id = from_ms(start[0]), start[1]
            query["$or"] = [{"created_at": {"$lt": made_at}}, {"created_at": made_at, "_id": {"$lte": order_id}}]
        fields = {"hospital_id": True, "conversation_id": True, "created_at": True}
        cursor = self._orders.find(query, projection=fields, sort=_NEWEST, limit=limit, comment=ALL_HOSPITALS)
        return [
            Scoped(each["conversation_id"], each["hospital_id"], (to_ms(each["created_at"]), each["_id"]))
            for each in await cursor.to_list()
        ]

    async def list_offered(self, hospital_id: str, doctor_id: str, limit: int) -> list[Order]:
        cursor = self._orders.find(
            {"hospital_id": hospital_id, "log.referral_to": doctor_id}, sort=[("expire_at", ASCENDING)], limit=limit
        )
        return [order for document in await cursor.to_list() if (order := await self._open(document)) is not None]

    async def list_pool(self, hospital_id: str, department_id: str, limit: int) -> list[Order]:
        cursor = self._orders.find(
            {"hospital_id": hospital_id, "department_id": department_id, "doctor_id": NOBODY, "expire_at": _DATE},
            sort=[("expire_at", ASCENDING)],
            limit=limit,
        )
        return [order for document in await cursor.to_list() if (order := await self._open(document)) is not None]

    async def list_open_of(self, hospital_id: str, patient_accounts: Sequence[str], *, limit: int) -> list[Order]:
        """Paid orders of these accounts that no entry has closed yet, as far as the documents know."""
        cursor = self._orders.find(
            {"patient_account": {"$in": list(patient_accounts)}, "hospital_id": hospital_id, "expire_at": _DATE},
            sort=_NEWEST,
            limit=limit,
        )
        return [order for document in await cursor.to_list() if (order := await self._open(document)) is not None]

    async def list_open_with_records(self, hospital_id: str, *, limit: int) -> list[str]:
        cursor = self._orders.find(
            {"hospital_id": hospital_id, "expire_at": _DATE, "record_access": True},
            projection={"_id": True},
            sort=[("expire_at", ASCENDING)],
            limit=limit,
        )
        return [document["_id"] for document in await cursor.to_list()]

    async def begin_payment(self, order: Order, payment_id: str, day: str) -> bool:
        room: Document = {"$or": [{"payment_ids": payment_id}, {f"payment_ids.{MOST_PAYMENTS - 1}": {"$exists": False}}]}
        return await self._change(
            order,
            {"phase": Phase.PENDING_PAYMENT.value, "version": order.version, **room},
            {"place_day": order.place_day or day, "place_held": True},
            add={"payment_ids": payment_id},
        )

    async def forget_payment(self, order: Order, payment_id: str) -> None:
        await self._orders.update_one(
            {"_id": order.id, "hospital_id": order.hospital_id, "phase": Phase.PENDING_PAYMENT.value},
            {"$pull": {"payment_ids": payment_id}, "$inc": {"version": 1}},
        )

    async def cancel(self, order: Order, reason: CloseReason, at: datetime, event: Event) -> bool:
        return await self._change(
            order,
            {"phase": Phase.PENDING_PAYMENT.value, "version": order.version},
            {
                "phase": Phase.CANCELLED.value,
                "status": OrderStatus.CANCELLED.value,
                "cancelled_at": at,
                "cancel_reason": reason.value,
                "unpaid_at": None,
            },
            event,
        )

    async def capture(self, order: Order, payment_id: str, policy: Policy, at: datetime, event: Event) -> bool:
        deadline_at = at + timedelta(milliseconds=policy.validity_ms)
        return await self._change(
            order,
            {"phase": Phase.PENDING_PAYMENT.value},
            {
                "phase": Phase.CAPTURED.value,
                "status": OrderStatus.AWAITING_DOCTOR.value,
                "captured_payment_id": payment_id,
                "paid_at": at,
                "deadline_at": deadline_at,
                "policy": policy_document(policy),
                "quick_patience_ms": policy.quick_patience_ms,
                "unpaid_at": None,
                "expire_at": deadline_at,
            },
            event,
        )

    async def rate(self, order: Order, rating: Rating, event: Event) -> bool:
        keys = await self._keyring.hospital(order.hospital_id)
        return await self._change(
            order,
            {"phase": Phase.CAPTURED.value, "rating": None},
            {"rating": rating_document(rating, order.id, keys)},
            event,
        )

    async def ask_after_sales(self, order: Order, case: AfterSales, event: Event) -> bool:
        keys = await self._keyring.hospital(order.hospital_id)
        return await self._change(
            order,
            {"phase": Phase.CAPTURED.value, "after_sales": None},
            {"after_sales": after_sales_document(case, order.id, keys)},
            event,
        )

    async def decide_after_sales(self, order: Order, case: AfterSales, event: Event) -> bool:
        keys = await self._keyring.hospital(order.hospital_id)
        return await self._change(
            order,
            {"after_sales.state": AfterSalesState.REQUESTED.value},
            {"after_sales": after_sales_document(case, order.id, keys)},
            event,
        )

    async def list_after_sales(
        self, hospital_id: str, state: AfterSalesState | None, *, limit: int, after: tuple[datetime, str] | None
    ) -> list[Order]:
        states = AfterSalesState if state is None else (state,)
        query: Document = {
            "hospital_id": hospital_id,
            "after_sales.state": {"$in": [each.value for each in states]},
            "after_sales.asked_at": _DATE,
        }
        if after is not None:
            asked_at, order_id = after
            query["$or"] = [
                {"after_sales.asked_at": {"$lt": asked_at}},
                {"after_sales.asked_at": asked_at, "_id": {"$lt": order_id}},
            ]
        newest = [("after_sales.asked_at", DESCENDING), ("_id", DESCENDING)]
        cursor = self._orders.find(query, sort=newest, limit=limit)
        return [order for document in await cursor.to_list() if (order := await self._open(document)) is not None]

    async def set_record_access(self, order: Order, granted: bool, event: Event) -> bool:
        return await self._change(order, {"record_access": not granted}, {"record_access": granted}, event)

    async def add_refund(self, order: Order, refund_id: str, amount_fen: int, event: Event) -> bool:
        total = {"$add": ["$refunded_fen", amount_fen]}
        done = await self._orders.update_one(
            {"_id": order.id, "hospital_id": order.hospital_id, "refund_ids": {"$ne": refund_id}},
            [
                {
                    "$set": {
                        "refund_ids": {"$concatArrays": ["$refund_ids", [refund_id]]},
                        "refunded_fen": total,
                        "version": {"$add": ["$version", 1]},
                        "status": _refunded_or("$status", total, settled="$log.settled"),
                        "outbox": {"$concatArrays": ["$outbox", [{"$literal": to_outbox(event)}]]},
                    }
                }
            ],
        )
        return done.matched_count == 1

    async def show_log(self, order_id: str, hospital_id: str, facts: LogFacts, settled: Event | None) -> Order | None:
        shown = await self._orders.find_one_and_update(
            {"_id": order_id, "hospital_id": hospital_id, "shown_seq": {"$lt": facts.seq}},
            _projection(facts, settled),
            return_document=ReturnDocument.AFTER,
        )
        return await self._open(shown)

    async def show_logs(self, shown: Sequence[tuple[DueOrder, LogFacts, Event | None]]) -> None:
        updates = [
            UpdateOne(
                {"_id": order.id, "hospital_id": order.hospital_id, "shown_seq": {"$lt": facts.seq}},
                _projection(facts, settled),
            )
            for order, facts, settled in shown
        ]
        await self._orders.bulk_write(updates, ordered=False)

    async def follow_logs(self, followed: Sequence[tuple[str, str, LogFacts, Event | None]]) -> None:
        def key(order_id: str, hospital_id: str, facts: LogFacts) -> Document:
            return {"_id": order_id, "hospital_id": hospital_id, "log_seq": {"$lt": facts.seq}}

        shown = [
            UpdateOne(
                key(order_id, hospital_id, facts) | {"shown_seq": {"$lt": facts.seq}},
                _projection(facts, settled, log_seq=facts.seq),
            )
            for order_id, hospital_id, facts, settled in followed
        ]
        done = await self._orders.bulk_write(shown, ordered=False)
        if done.matched_count < len(followed):  # some show this entry already, or a later one
            noted = [UpdateOne(key(*each[:3]), {"$set": {"log_seq": each[2].seq}}) for each in followed]
            await self._orders.bulk_write(noted, ordered=False)

    async def find_log_seqs(self, conversation_ids: Iterable[str]) -> dict[str, int]:
        cursor = self._orders.find(
            {"conversation_id": {"$in": list(conversation_ids)}},
            projection={"conversation_id": True, "log_seq": True},
            comment=ALL_HOSPITALS,
        )
        return {document["conversation_id"]: int(document["log_seq"]) async for document in cursor}

    def expiring(self, now: datetime) -> AsyncIterator[DueOrder]:
        return self._due("expire_at", {"expire_at": {"$lte": now, **_DATE}})

    def settling(self, now: datetime) -> AsyncIterator[DueOrder]:
        return self._due("settle_at", {"settle_at": {"$lte": now, **_DATE}})

    def lapsing(self, now: datetime) -> AsyncIterator[DueOrder]:
        return self._due("lapse_at", {"lapse_at": {"$lte": now, **_DATE}})

    async def lapse_decided(self, order: DueOrder, now: datetime) -> None:
        await self._orders.update_one(
            {"_id": order.id, "hospital_id": order.hospital_id, "lapse_at": {"$lte": now}}, {"$set": {"lapse_at": None}}
        )

    def unpaid(self, now: datetime) -> AsyncIterator[DueOrder]:
        return self._due("unpaid_at", {"unpaid_at": {"$lte": now, **_DATE}})

    def unfreed(self, before: datetime) -> AsyncIterator[DueOrder]:
        return self._due("cancelled_at", {"place_held": True, "cancelled_at": {"$lte": before, **_DATE}})

    async def place_freed(self, order_id: str, hospital_id: str) -> None:
        await self._orders.update_one(
            {"_id": order_id, "hospital_id": hospital_id, "phase": Phase.CANCELLED.value}, {"$set": {"place_held": False}}
        )

    async def timed(self) -> AsyncIterator[TimedOrder]:
        cursor = self._orders.find({}, projection=TIMED_FIELDS, sort=[("_id", ASCENDING)], comment=ALL_HOSPITALS)
        async with cursor:
            async for document in cursor:
                yield timed_order_from(document)

    async def _due(self, field: str, query: Document) -> AsyncIterator[DueOrder]:
        cursor = self._orders.find(query, projection=DUE_FIELDS, sort=[(field, ASCENDING)], comment=ALL_HOSPITALS)
        async with cursor:
            async for document in cursor:
                yield due_order_from(document)

    async def _change(
        self, order: Order, guard: Document, values: Document, event: Event | None = None, *, add: Document | None = None
    ) -> bool:
        update: Document = {"$set": values, "$inc": {"version": 1}}
        if add is not None:
            update["$addToSet"] = add
        if event is not None:
            update["$push"] = {"outbox": to_outbox(event)}
        done = await self._orders.update_one({"_id": order.id, "hospital_id": order.hospital_id, **guard}, update)
        return done.matched_count == 1

    async def _open(self, document: Mapping[str, Any] | None) -> Order | None:
        if document is None:
            return None
        return order_from(document, await self._keyring.hospital(document["hospital_id"]))


def _own(actor: Actor) -> Document:
    """The orders of this account: a doctor's at their hospital, a patient's at any."""
    if actor.role is Role.DOCTOR:
        return {"hospital_id": actor.hospital_id, "doctor_id": actor.account_id}
    return {"patient_account": actor.account_id}


def _projection(facts: LogFacts, settled: Event | None, **also: int) -> Document | list[Document]:
    """An update with what the document takes over from the log. `refunded` is the document's own to know."""
    values: Document = {
        "log": facts_document(facts),
        "shown_seq": facts.seq,
        "expire_at": from_ms(facts.closes_at_ms) if facts.open else None,
        "settle_at": from_ms(facts.settle_due_at_ms) if facts.settle_due_at_ms is not None else None,
        "lapse_at": from_ms(facts.lapse_due_at_ms) if facts.lapse_due_at_ms is not None else None,
        "status": log_status(facts).value,
        **also,
    }
    if facts.doctor is not None:
        doctor = facts.doctor.as_data()
        values["doctor_id"] = doctor.pop("id")
        values["doctor"] = doctor
    if facts.settled is None:
        return {"$set": values}
    values = {name: {"$literal": value} for name, value in values.items()}
    values["status"] = _refunded_or(log_status(facts).value, "$refunded_fen", settled=facts.settled.value)
    if settled is not None:
        told = {"$concatArrays": ["$outbox", [{"$literal": to_outbox(settled)}]]}
        first = {"$eq": [{"$ifNull": ["$log.settled", None]}, None]}
        values["outbox"] = {"$cond": [first, told, "$outbox"]}
    return [{"$set": values}]


def _refunded_or(status: Any, total: Any, *, settled: Any) -> Document:
    """`refunded` once an order that was settled so has its whole fee back; what `derive_status` says, as an expression."""
    whole = {
        "$and": [
            {"$eq": [status, OrderStatus.REFUNDING.value]},
            {"$eq": [settled, Outcome.REFUND.value]},
            {"$gte": [total, "$fee_fen"]},
        ]
    }
    return {"$cond": [whole, OrderStatus.REFUNDED.value, status]}
