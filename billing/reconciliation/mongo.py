"""Comparisons of bills in MongoDB, and our books as they read them."""

from collections.abc import Collection as Several
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from billing.domain import Payment, PaymentStatus, Refund, RefundStatus
from billing.mongo import PAYMENTS, REFUNDS, payment_from, refund_from
from billing.reconciliation.domain import Difference, EntryKind, Finding, Reconciliation, Total
from billing.reconciliation.service import RECONCILIATIONS
from server.kernel.ids import derived_id
from server.kernel.mongo import Collection, Database, Document, Indexes, upsert_guarded
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

BILLED_REFUNDS: Final = "billed_refunds"
_BATCH: Final = 500

OUTBOXES: Final[tuple[str, ...]] = (RECONCILIATIONS,)
INDEXES: Final[Indexes] = {
    RECONCILIATIONS: [
        OUTBOX_INDEX,
        IndexModel([("hospital_id", ASCENDING), ("day", DESCENDING), ("_id", DESCENDING)]),
    ],
    BILLED_REFUNDS: [],
    PAYMENTS: [
        IndexModel(
            [("hospital_id", ASCENDING), ("gateway_paid_at", ASCENDING)],
            name="paid_at_gateway",
            partialFilterExpression={"status": PaymentStatus.CAPTURED.value},
        )
    ],
    REFUNDS: [
        IndexModel(
            [("hospital_id", ASCENDING), ("refunded_at", ASCENDING)],
            name="refunded",
            partialFilterExpression={"status": RefundStatus.REFUNDED.value},
        )
    ],
}


class MongoBooks:
    """Implements `ports.Books`."""

    def __init__(self, database: Database) -> None:
        self._payments: Collection = database[PAYMENTS]
        self._refunds: Collection = database[REFUNDS]

    async def find_payments(self, hospital_id: str, numbers: Several[str]) -> Sequence[Payment]:
        found: list[Payment] = []
        for batch in _batches(numbers):
            cursor = self._payments.find({"out_trade_no": {"$in": batch}, "hospital_id": hospital_id})
            found += [payment_from(document) async for document in cursor]
        return found

    async def find_refunds(self, hospital_id: str, numbers: Several[str]) -> Sequence[Refund]:
        found: list[Refund] = []
        for batch in _batches(numbers):
            either = [{"out_refund_no": {"$in": batch}}, {"former_numbers": {"$in": batch}}]
            cursor = self._refunds.find({"$or": either, "hospital_id": hospital_id})
            found += [refund_from(document) async for document in cursor]
        return found

    async def list_paid(self, hospital_id: str, start: datetime, end: datetime) -> Sequence[Payment]:
        cursor = self._payments.find(
            {
                "hospital_id": hospital_id,
                "status": PaymentStatus.CAPTURED.value,
                "gateway_paid_at": {"$gte": start, "$lt": end},
            }
        )
        return [payment_from(document) async for document in cursor]

    async def list_refunded(self, hospital_id: str, start: datetime, end: datetime) -> Sequence[Refund]:
        cursor = self._refunds.find(
            {"hospital_id": hospital_id, "status": RefundStatus.REFUNDED.value, "refunded_at": {"$gte": start, "$lt": end}}
        )
        return [refund_from(document) async for document in cursor]


class MongoReconciliations:
    """Implements `ports.Reconciliations`. Numbers of refunds are kept before the comparison, so that one that is there has
    them all."""

    def __init__(self, database: Database) -> None:
        self._done: Collection = database[RECONCILIATIONS]
        self._billed: Collection = database[BILLED_REFUNDS]

    async def save(self, reconciliation: Reconciliation, refund_numbers: Several[str], event: Event) -> None:
        day = reconciliation.day.isoformat()
        for batch in _batches(refund_numbers):
            updates = [
                UpdateOne(
                    {"_id": _billed_id(reconciliation.hospital_id, number), "hospital_id": reconciliation.hospital_id},
                    {"$set": {"number": number}, "$addToSet": {"days": day}},
                    upsert=True,
                )
                for number in batch
            ]
            await upsert_guarded(self._billed, updates)
        document = _document(reconciliation)
        key = {"_id": document.pop("_id"), "hospital_id": document.pop("hospital_id")}
        update = {"$set": document, "$push": {"outbox": to_outbox(event)}}
        await upsert_guarded(self._done, [UpdateOne(key, update, upsert=True)])

    async def list_final(self, hospital_id: str, channel: str, since: date) -> Sequence[date]:
        cursor = self._done.find(
            {"hospital_id": hospital_id, "day": {"$gte": since.isoformat()}, "channel": channel, "final": True},
            projection={"day": True},
        )
        return [date.fromisoformat(document["day"]) async for document in cursor]

    async def find_billed(self, hospital_id: str, numbers: Several[str], other_than: date) -> frozenset[str]:
        found: set[str] = set()
        for batch in _batches(numbers):
            ids = [_billed_id(hospital_id, number) for number in batch]
            cursor = self._billed.find({"_id": {"$in": ids}, "hospital_id": hospital_id})
            async for document in cursor:
                if set(document["days"]) - {other_than.isoformat()}:
                    found.add(document["number"])
        return frozenset(found)

    async def list_of(self, hospital_id: str, *, limit: int, before: tuple[str, str] | None) -> Sequence[Reconciliation]:
        query: Document = {"hospital_id": hospital_id}
        if before is not None:
            day, place = before
            query["$or"] = [{"day": {"$lt": day}}, {"day": day, "_id": {"$lt": place}}]
        cursor = self._done.find(query, sort=[("day", DESCENDING), ("_id", DESCENDING)], limit=limit)
        return [_reconciliation(document) async for document in cursor]


def _billed_id(hospital_id: str, number: str) -> str:
    return derived_id("billed_refund", hospital_id, number)


def _batches(numbers: Several[str]) -> list[list[str]]:
    listed = sorted(set(numbers))
    return [listed[at : at + _BATCH] for at in range(0, len(listed), _BATCH)]


def _document(done: Reconciliation) -> Document:
    return {
        "_id": done.id,
        "hospital_id": done.hospital_id,
        "channel": done.channel,
        "day": done.day.isoformat(),
        "compared_at": done.compared_at,
        "final": done.final,
        "payments": asdict(done.payments),
        "refunds": asdict(done.refunds),
        "findings": [{**asdict(f), "difference": f.difference.value, "entry": f.entry.value} for f in done.findings],
        "finding_count": done.finding_count,
    }


def _reconciliation(document: Mapping[str, Any]) -> Reconciliation:
    return Reconciliation(
        id=document["_id"],
        hospital_id=document["hospital_id"],
        channel=document["channel"],
        day=date.fromisoformat(document["day"]),
        compared_at=document["compared_at"],
        final=document["final"],
        payments=Total(**document["payments"]),
        refunds=Total(**document["refunds"]),
        findings=tuple(
            Finding(**{**each, "difference": Difference(each["difference"]), "entry": EntryKind(each["entry"])})
            for each in document["findings"]
        ),
        finding_count=document["finding_count"],
    )
