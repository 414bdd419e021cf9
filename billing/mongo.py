"""Payments, refunds and postings in MongoDB.

Each movement of money is one transaction: the posting set (whose id says what it books), the payment under its version with
its sums, and the event in the outbox. Snapshot isolation alone would let two refunds of one payment through, so the payment's
version is always part of the write.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import pymongo
from pymongo import ASCENDING, DESCENDING, IndexModel, ReadPreference, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from billing.domain import (
    MOST_FAULTS,
    Channel,
    Entry,
    LedgerFault,
    LedgerReport,
    Movement,
    Payment,
    PaymentStatus,
    PostingSet,
    Refund,
    RefundStatus,
    StartedPayment,
    check_payment,
    pause_after,
)
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document, Indexes
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

PAYMENTS: Final = "payments"
REFUNDS: Final = "refunds"
POSTINGS: Final = "postings"

OUTBOXES: Final[tuple[str, ...]] = (PAYMENTS, REFUNDS)
INDEXES: Final[Indexes] = {
    PAYMENTS: [
        IndexModel([("out_trade_no", ASCENDING)], unique=True),
        IndexModel([("hospital_id", ASCENDING), ("order_id", ASCENDING)]),
        IndexModel(
            [("next_query_at", ASCENDING)],
            name="open_queries",
            partialFilterExpression={"status": PaymentStatus.OPEN.value},
        ),
        OUTBOX_INDEX,
    ],
    REFUNDS: [
        IndexModel([("out_refund_no", ASCENDING)], unique=True),
        IndexModel([("former_numbers", ASCENDING)], sparse=True),
        IndexModel([("hospital_id", ASCENDING), ("order_id", ASCENDING)]),
        IndexModel([("payment_id", ASCENDING)]),
        IndexModel([("hospital_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)]),
        IndexModel(
            [("hospital_id", ASCENDING), ("status", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
        ),
        IndexModel([("next_try_at", ASCENDING)], sparse=True),
        OUTBOX_INDEX,
    ],
    POSTINGS: [
        IndexModel([("payment_id", ASCENDING)]),
        IndexModel([("hospital_id", ASCENDING), ("order_id", ASCENDING)]),
        IndexModel([("hospital_id", ASCENDING), ("at", ASCENDING)]),
    ],
}

_VERIFY_BATCH: Final = 500
_TRANSACTION_SECONDS: Final = 20.0
"""How long a transaction is tried again before the caller is told that it is not known; the caller may always ask again."""


class _Lost(Exception):
    """A guard did not match: the transaction is rolled back, and the caller looks again."""


@dataclass(slots=True)
class _Faults:
    """However much is wrong, no more than `MOST_FAULTS` are named; all are counted."""

    named: list[LedgerFault] = field(default_factory=list)
    count: int = 0

    def add(self, *faults: LedgerFault) -> None:
        self.count += len(faults)
        self.named += faults[: max(0, MOST_FAULTS - len(self.named))]


class MongoPayments:
    """Implements `ports.PaymentRepository`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._payments: Collection = database[PAYMENTS]
        self._refunds: Collection = database[REFUNDS]
        self._postings: Collection = database[POSTINGS]

    # --- payments ---

    async def insert(self, payment: Payment, event: Event) -> Payment:
        document = {
            **_payment_document(payment),
            "next_query_at": payment.created_at + pause_after(1),
            "outbox": [to_outbox(event)],
        }
        try:
            await self._payments.insert_one(document)
        except DuplicateKeyError:
            return payment_from(await self._payments.find_one({"_id": payment.id}, comment=ALL_HOSPITALS) or document)
        return payment

    async def find(self, payment_id: str) -> Payment | None:
        return _payment(await self._payments.find_one({"_id": payment_id}, comment=ALL_HOSPITALS))

    async def find_by_trade_no(self, out_trade_no: str) -> Payment | None:
        return _payment(await self._payments.find_one({"out_trade_no": out_trade_no}, comment=ALL_HOSPITALS))

    async def list_of_order(self, order_id: str, hospital_id: str) -> list[Payment]:
        cursor = self._payments.find({"hospital_id": hospital_id, "order_id": order_id}).sort("_id", ASCENDING)
        return [payment_from(document) async for document in cursor]

    async def set_prepaid(self, payment: Payment, started: StartedPayment) -> bool:
        result = await self._payments.update_one(
            {
                "_id": payment.id,
                "hospital_id": payment.hospital_id,
                "status": PaymentStatus.OPEN.value,
                "prepay_id": None,
            },
            {"$set": {"prepay_id": started.prepay_id, "params": dict(started.params)}},
        )
        return result.modified_count == 1

    async def close(self, payment: Payment, event: Event) -> bool:
        result = await self._payments.update_one(
            {"_id": payment.id, "hospital_id": payment.hospital_id, "status": PaymentStatus.OPEN.value},
            {
                "$set": {"status": PaymentStatus.CLOSED.value},
                "$inc": {"version": 1},
                "$push": {"outbox": to_outbox(event)},
            },
        )
        return result.modified_count == 1

    async def move(self, movement: Movement, event: Event) -> bool:
        async def write(session: AsyncClientSession) -> None:
            await self._move(movement, session, event)

        return await self._transact(write)

    async def reserve(self, movement: Movement, refund: Refund, event: Event) -> bool:
        async def write(session: AsyncClientSession) -> None:
            await self._move(movement, session, None)
            await self._refunds.insert_one({**_refund_document(refund), "outbox": [to_outbox(event)]}, session=session)

        return await self._transact(write)

    async def list_due_queries(self, now: datetime, limit: int) -> list[Payment]:
        cursor = (
            self._payments.find({"status": PaymentStatus.OPEN.value, "next_query_at": {"$lte": now}}, comment=ALL_HOSPITALS)
            .sort("next_query_at", ASCENDING)
            .limit(limit)
        )
        return [payment_from(document) async for document in cursor]

    async def claim_query(self, payment: Payment, until: datetime) -> bool:
        result = await self._payments.update_one(
            {
                "_id": payment.id,
                "hospital_id": payment.hospital_id,
                "status": PaymentStatus.OPEN.value,
                "queries": payment.queries,
            },
            {"$set": {"next_query_at": until}, "$inc": {"queries": 1}},
        )
        return result.modified_count == 1

    # --- refunds ---

    async def find_refund(self, refund_id: str) -> Refund | None:
        return _refund(await self._refunds.find_one({"_id": refund_id}, comment=ALL_HOSPITALS))

    async def find_refund_by_number(self, out_refund_no: str) -> Refund | None:
        either: Document = {"$or": [{"out_refund_no": out_refund_no}, {"former_numbers": out_refund_no}]}
        return _refund(await self._refunds.find_one(either, comment=ALL_HOSPITALS))

    async def list_refunds_of_order(self, order_id: str, hospital_id: str) -> list[Refund]:
        cursor = self._refunds.find({"hospital_id": hospital_id, "order_id": order_id}).sort("created_at", ASCENDING)
        return [refund_from(document) async for document in cursor]

    async def list_refunds(
        self, hospital_id: str, *, status: str | None, limit: int, after: tuple[datetime, str] | None
    ) -> list[Refund]:
        query: Document = {"hospital_id": hospital_id}
        if status is not None:
            query["status"] = status
        if after is not None:
            at, refund_id = after
            query["$or"] = [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": refund_id}}]
        cursor = self._refunds.find(query).sort([("created_at", DESCENDING), ("_id", DESCENDING)]).limit(limit)
        return [refund_from(document) async for document in cursor]

    async def save_refund(self, refund: Refund, event: Event | None) -> bool:
        result = await self._refunds.update_one(*_refund_update(refund, event))
        return result.modified_count == 1

    async def pay_out(self, movement: Movement, refund: Refund, event: Event) -> bool:
        async def write(session: AsyncClientSession) -> None:
            result = await self._refunds.update_one(*_refund_update(refund, event), session=session)
            _require(result.modified_count == 1)
            await self._move(movement, session, None)

        return await self._transact(write)

    async def list_postings_of_order(self, order_id: str, hospital_id: str) -> list[PostingSet]:
        cursor = self._postings.find({"hospital_id": hospital_id, "order_id": order_id})
        found = [_posting(document) async for document in cursor]
        return sorted(found, key=lambda posting: (posting.at, posting.id))

    async def list_due_refunds(self, now: datetime, limit: int) -> list[Refund]:
        cursor = (
            self._refunds.find({"next_try_at": {"$lte": now}}, comment=ALL_HOSPITALS)
            .sort("next_try_at", ASCENDING)
            .limit(limit)
        )
        return [refund_from(document) async for document in cursor]

    async def claim_refund(self, refund: Refund, until: datetime) -> bool:
        result = await self._refunds.update_one(
            {
                "_id": refund.id,
                "hospital_id": refund.hospital_id,
                "version": refund.version,
                "next_try_at": refund.next_try_at,
            },
            {"$set": {"next_try_at": until}, "$inc": {"version": 1, "tries": 1}},
        )
        return result.modified_count == 1

    # --- proof ---

    async def verify(self) -> LedgerReport:
        """Recount everything, in one snapshot: every payment against its postings and refunds, every set, and the whole."""
        payments, sets, attributed = 0, 0, 0
        totals: dict[str, int] = {}
        faults = _Faults()
        async with self._database.client.start_session(snapshot=True) as session:
            batch: list[Payment] = []
            cursor = self._payments.find({}, session=session, comment=ALL_HOSPITALS).sort("_id", ASCENDING)
            async for document in cursor:
                batch.append(payment_from(document))
                payments += 1
                if len(batch) == _VERIFY_BATCH:
                    attributed += await self._verify_batch(batch, session, faults)
                    batch = []
            attributed += await self._verify_batch(batch, session, faults)
            async for document in self._postings.find({}, session=session, comment=ALL_HOSPITALS):
                sets += 1
                if sum(document["lines"].values()) != 0:
                    faults.add(LedgerFault(document["_id"], "its lines do not sum to zero"))
                for account, amount in document["lines"].items():
                    totals[account] = totals.get(account, 0) + amount
        if sum(totals.values()) != 0:
            faults.add(LedgerFault("all accounts", "do not sum to zero"))
        if attributed != sets:
            faults.add(LedgerFault("all postings", f"{sets - attributed} sets belong to no payment"))
        return LedgerReport(payments, sets, totals, tuple(faults.named), faults.count)

    async def _verify_batch(self, payments: list[Payment], session: AsyncClientSession, faults: "_Faults") -> int:
        """Add what does not add up to `faults`; how many posting sets these payments have."""
        booked: dict[str, list[tuple[Entry, Mapping[str, int]]]] = {payment.id: [] for payment in payments}
        refunds: dict[str, list[tuple[RefundStatus, int]]] = {payment.id: [] for payment in payments}
        places = {payment.id: (payment.hospital_id, payment.order_id) for payment in payments}
        query = {"payment_id": {"$in": list(booked)}}
        async for document in self._postings.find(query, session=session, comment=ALL_HOSPITALS):
            payment_id = document["payment_id"]
            booked[payment_id].append((Entry(document["entry"]), document["lines"]))
            if (document["hospital_id"], document["order_id"]) != places[payment_id]:
                faults.add(LedgerFault(document["_id"], "it is another hospital's or order's than its payment"))
        async for document in self._refunds.find(query, session=session, comment=ALL_HOSPITALS):
            payment_id = document["payment_id"]
            refunds[payment_id].append((RefundStatus(document["status"]), document["amount_fen"]))
            if (document["hospital_id"], document["order_id"]) != places[payment_id]:
                faults.add(LedgerFault(document["_id"], "it is another hospital's or order's than its payment"))
        for payment in payments:
            faults.add(*check_payment(payment, booked[payment.id], refunds[payment.id]))
        return sum(len(sets) for sets in booked.values())

    # --- how ---

    async def _move(self, movement: Movement, session: AsyncClientSession, event: Event | None) -> None:
        """The payment's sums over the version that they were read at, and the postings that say the same."""
        payment = movement.payment
        moved = {
            "status": payment.status.value,
            "transaction_id": payment.transaction_id,
            "captured_at": payment.captured_at,
            "gateway_paid_at": payment.gateway_paid_at,
            "captured_fen": payment.captured_fen,
            "earned_fen": payment.earned_fen,
            "refund_reserved_fen": payment.refund_reserved_fen,
            "refunded_fen": payment.refunded_fen,
        }
        update: Document = {"$set": moved, "$inc": {"version": 1}}
        if event is not None:
            update["$push"] = {"outbox": to_outbox(event)}
        result = await self._payments.update_one(
            {"_id": payment.id, "hospital_id": payment.hospital_id, "version": payment.version}, update, session=session
        )
        _require(result.modified_count == 1)
        await self._postings.insert_one(_posting_document(movement.posting), session=session)

    async def _transact(self, write: Callable[[AsyncClientSession], Awaitable[None]]) -> bool:
        """Run it as a transaction, again on both transient labels. False when a guard did not match or it is booked already."""
        with pymongo.timeout(_TRANSACTION_SECONDS):
            async with self._database.client.start_session() as session:
                try:
                    await session.with_transaction(
                        write,
                        read_concern=ReadConcern("snapshot"),
                        write_concern=WriteConcern(w="majority", j=True),
                        read_preference=ReadPreference.PRIMARY,
                    )
                except (_Lost, DuplicateKeyError):
                    return False
        return True


def _require(matched: bool) -> None:
    if not matched:
        raise _Lost


def _payment_document(payment: Payment) -> Document:
    return {
        "_id": payment.id,
        "hospital_id": payment.hospital_id,
        "order_id": payment.order_id,
        "payer_account_id": payment.payer_account_id,
        "channel": payment.channel.value,
        "amount_fen": payment.amount_fen,
        "description": payment.description,
        "expires_at": payment.expires_at,
        "out_trade_no": payment.out_trade_no,
        "status": payment.status.value,
        "created_at": payment.created_at,
        "prepay_id": payment.prepay_id,
        "params": dict(payment.params),
        "transaction_id": payment.transaction_id,
        "captured_at": payment.captured_at,
        "gateway_paid_at": payment.gateway_paid_at,
        "captured_fen": payment.captured_fen,
        "earned_fen": payment.earned_fen,
        "refund_reserved_fen": payment.refund_reserved_fen,
        "refunded_fen": payment.refunded_fen,
        "queries": payment.queries,
        "version": payment.version,
    }


_PAYMENT_FIELDS: Final = frozenset(Payment.__dataclass_fields__) - {"id", "channel", "status"}


def payment_from(document: Document) -> Payment:
    return Payment(
        id=document["_id"],
        channel=Channel(document["channel"]),
        status=PaymentStatus(document["status"]),
        **{name: document[name] for name in _PAYMENT_FIELDS},
    )


def _payment(document: Document | None) -> Payment | None:
    return None if document is None else payment_from(document)


_REFUND_FIELDS: Final = frozenset(Refund.__dataclass_fields__) - {"id", "status", "next_try_at", "former_numbers"}


def _refund_document(refund: Refund) -> Document:
    document: dict[str, Any] = {name: getattr(refund, name) for name in _REFUND_FIELDS}
    document |= {"_id": refund.id, "status": refund.status.value}
    # Absent, not null or empty: these indexes are sparse.
    if refund.next_try_at is not None:
        document["next_try_at"] = refund.next_try_at
    if refund.former_numbers:
        document["former_numbers"] = list(refund.former_numbers)
    return document


def refund_from(document: Document) -> Refund:
    return Refund(
        id=document["_id"],
        status=RefundStatus(document["status"]),
        next_try_at=document.get("next_try_at"),
        former_numbers=tuple(document.get("former_numbers", ())),
        **{name: document[name] for name in _REFUND_FIELDS},
    )


def _refund(document: Document | None) -> Refund | None:
    return None if document is None else refund_from(document)


def _refund_update(refund: Refund, event: Event | None) -> tuple[Document, Document]:
    """Filter and update that store a changed refund over the version that it was read at."""
    document = _refund_document(replace(refund, version=refund.version + 1))
    update: Document = {"$set": {key: value for key, value in document.items() if key != "_id"}}
    if refund.next_try_at is None:
        update["$unset"] = {"next_try_at": ""}
    if event is not None:
        update["$push"] = {"outbox": to_outbox(event)}
    return {"_id": refund.id, "hospital_id": refund.hospital_id, "version": refund.version}, update


def _posting(document: Mapping[str, Any]) -> PostingSet:
    return PostingSet(
        id=document["_id"],
        hospital_id=document["hospital_id"],
        order_id=document["order_id"],
        payment_id=document["payment_id"],
        entry=Entry(document["entry"]),
        at=document["at"],
        lines=document["lines"],
    )


def _posting_document(posting: PostingSet) -> Document:
    return {
        "_id": posting.id,
        "hospital_id": posting.hospital_id,
        "order_id": posting.order_id,
        "payment_id": posting.payment_id,
        "entry": posting.entry.value,
        "at": posting.at,
        "lines": dict(posting.lines),
    }
