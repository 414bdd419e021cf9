"""Orders as documents. Names, birth dates, complaints and words of ratings are sealed."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import orjson

from consult.domain.after_sales import AfterSales, AfterSalesState
from consult.domain.log import LogDepartment, Policy
from consult.domain.order import ORDERS as ORDERS
from consult.domain.order import ConsentGiven, DueOrder, IdentityDocument, Order, OrderDoctor, OrderKind, OrderPatient, Rating
from consult.domain.proofs import TimedOrder
from consult.domain.status import CloseReason, LogDoctor, LogFacts, Outcome, Phase
from server.kernel.crypto import HospitalKeys
from server.kernel.mongo import Document

_PATIENT: Final = "orders.patient"
_COMPLAINT: Final = "orders.complaint"
_RATING: Final = "orders.rating"
_AFTER_SALES: Final = "orders.after_sales"


def order_document(order: Order, keys: HospitalKeys) -> Document:
    """A new order, unpaid. `unpaid_at`, `expire_at` and `settle_at` are instants while that is what the order waits for, else
    null: the sweeps' indexes hold just those that wait."""
    patient = order.patient
    birth_date = patient.birth_date.isoformat() if patient.birth_date else None
    document = None if patient.document is None else [patient.document.id_type, patient.document.id_number]
    sealed_patient = orjson.dumps({"name": patient.name, "sex": patient.sex, "birth_date": birth_date, "document": document})
    return {
        "_id": order.id,
        "hospital_id": order.hospital_id,
        "version": order.version,
        "number": order.number,
        "phase": order.phase.value,
        "status": order.status.value,
        "kind": order.kind.value,
        "patient_account": order.patient_account,
        "patient_id": patient.id,
        "patient": keys.seal_bytes(sealed_patient, field=_PATIENT, owner=order.id),
        "doctor_id": order.doctor.id,
        "department_id": None if order.department is None else order.department.id,
        "department": None if order.department is None else order.department.name,
        "doctor": {"name": order.doctor.name, "title": order.doctor.title, "department": order.doctor.department},
        "complaint": keys.seal_text(order.complaint, field=_COMPLAINT, owner=order.id),
        "image_ids": list(order.image_ids),
        "consent": {"version": order.consent.version, "sha256": order.consent.sha256},
        "record_access": order.consent.record_access,
        "fee_fen": order.fee_fen,
        "refunded_fen": 0,
        "refund_ids": [],
        "planned_replies": order.planned_replies,
        "conversation_id": order.conversation_id,
        "created_at": order.created_at,
        "unpaid_until": order.unpaid_until,
        "unpaid_at": order.unpaid_until,
        "expire_at": None,
        "settle_at": None,
        "place_day": None,
        "place_held": False,
        "payment_ids": [],
        "shown_seq": 0,
        "log_seq": 0,
        "log": None,
        "rating": None,
        "outbox": [],
    }


def order_from(document: Mapping[str, Any], keys: HospitalKeys) -> Order:
    order_id = document["_id"]
    patient = orjson.loads(keys.open_bytes(document["patient"], field=_PATIENT, owner=order_id))
    doctor, consent = document["doctor"], document["consent"]
    cancel_reason = document.get("cancel_reason")
    return Order(
        id=order_id,
        hospital_id=document["hospital_id"],
        version=document["version"],
        number=document["number"],
        phase=Phase(document["phase"]),
        kind=OrderKind(document["kind"]),
        patient_account=document["patient_account"],
        patient=OrderPatient(
            id=document["patient_id"],
            name=patient["name"],
            sex=patient["sex"],
            birth_date=date.fromisoformat(patient["birth_date"]) if patient["birth_date"] else None,
            document=IdentityDocument(*patient["document"]) if patient.get("document") else None,
        ),
        doctor=OrderDoctor(document["doctor_id"], doctor["name"], doctor["title"], doctor["department"]),
        complaint=keys.open_text(document["complaint"], field=_COMPLAINT, owner=order_id),
        image_ids=tuple(document["image_ids"]),
        consent=ConsentGiven(consent["version"], consent["sha256"], document["record_access"]),
        fee_fen=document["fee_fen"],
        conversation_id=document["conversation_id"],
        created_at=document["created_at"],
        unpaid_until=document["unpaid_until"],
        planned_replies=document["planned_replies"],
        refunded_fen=document["refunded_fen"],
        place_day=document["place_day"],
        payment_ids=tuple(document.get("payment_ids", ())),
        policy=_policy_from(document) if document.get("policy") else None,
        paid_at=document.get("paid_at"),
        captured_payment_id=document.get("captured_payment_id"),
        cancelled_at=document.get("cancelled_at"),
        cancel_reason=CloseReason(cancel_reason) if cancel_reason else None,
        facts=None if document["log"] is None else facts_from(document["log"]),
        department=LogDepartment(document["department_id"], document["department"]) if document.get("department_id") else None,
        rating=None if document["rating"] is None else _rating_from(document["rating"], order_id, keys),
        after_sales=_after_sales_from(document["after_sales"], order_id, keys) if document.get("after_sales") else None,
    )


def _policy_from(document: Mapping[str, Any]) -> Policy:
    """What came later stands beside it, so that processes of an older version still read it."""
    return Policy(**document["policy"], quick_patience_ms=document.get("quick_patience_ms", 0))


def policy_document(policy: Policy) -> Document:
    return {
        "validity_ms": policy.validity_ms,
        "replies": policy.replies,
        "recall_window_ms": policy.recall_window_ms,
        "patient_burst": policy.patient_burst,
    }


def facts_document(facts: LogFacts) -> Document:
    return {
        "seq": facts.seq,
        "open": facts.open,
        "closes_at_ms": facts.closes_at_ms,
        "counted_replies": facts.counted_replies,
        "gifted": facts.gifted,
        "limit": facts.limit,
        "first_reply_at_ms": facts.first_reply_at_ms,
        "closed_at_ms": facts.closed_at_ms,
        "close_reason": facts.close_reason.value if facts.close_reason else None,
        "settle_due_at_ms": facts.settle_due_at_ms,
        "settled": facts.settled.value if facts.settled else None,
        "doctor": facts.doctor.as_data() if facts.doctor else None,
        "referral_to": facts.referral_to,
    }


def facts_from(document: Mapping[str, Any]) -> LogFacts:
    reason, settled, doctor = document["close_reason"], document["settled"], document.get("doctor")
    return LogFacts(
        **{
            **document,
            "close_reason": CloseReason(reason) if reason else None,
            "settled": Outcome(settled) if settled else None,
            "doctor": LogDoctor(**doctor) if doctor else None,
        }
    )


def rating_document(rating: Rating, order_id: str, keys: HospitalKeys) -> Document:
    words = orjson.dumps({"tags": rating.tags, "text": rating.text})
    return {
        "stars": rating.stars,
        "words": keys.seal_bytes(words, field=_RATING, owner=order_id),
        "rated_at": rating.rated_at,
    }


def _rating_from(document: Mapping[str, Any], order_id: str, keys: HospitalKeys) -> Rating:
    words = orjson.loads(keys.open_bytes(document["words"], field=_RATING, owner=order_id))
    rated_at: datetime = document["rated_at"]
    return Rating(stars=document["stars"], tags=tuple(words["tags"]), text=words["text"], rated_at=rated_at)


def after_sales_document(case: AfterSales, order_id: str, keys: HospitalKeys) -> Document:
    """The words of both sides are sealed together."""
    words = orjson.dumps({"reason": case.reason, "text": case.text, "answer": case.answer})
    return {
        "state": case.state.value,
        "words": keys.seal_bytes(words, field=_AFTER_SALES, owner=order_id),
        "image_ids": list(case.image_ids),
        "asked_at": case.asked_at,
        "amount_fen": case.amount_fen,
        "decided_by": case.decided_by,
        "decided_at": case.decided_at,
    }


def _after_sales_from(document: Mapping[str, Any], order_id: str, keys: HospitalKeys) -> AfterSales:
    words = orjson.loads(keys.open_bytes(document["words"], field=_AFTER_SALES, owner=order_id))
    return AfterSales(
        reason=words["reason"],
        text=words["text"],
        image_ids=tuple(document["image_ids"]),
        asked_at=document["asked_at"],
        state=AfterSalesState(document["state"]),
        amount_fen=document["amount_fen"],
        answer=words["answer"],
        decided_by=document["decided_by"],
        decided_at=document["decided_at"],
    )


DUE_FIELDS: Final = {"hospital_id": True, "conversation_id": True, "doctor_id": True, "place_day": True}


def due_order_from(document: Mapping[str, Any]) -> DueOrder:
    return DueOrder(
        id=document["_id"],
        hospital_id=document["hospital_id"],
        conversation_id=document["conversation_id"],
        doctor_id=document["doctor_id"],
        place_day=document["place_day"],
    )


TIMED_FIELDS: Final = {
    "hospital_id": True,
    "conversation_id": True,
    "phase": True,
    "unpaid_until": True,
    "cancelled_at": True,
    "cancel_reason": True,
    "deadline_at": True,
    "log.closes_at_ms": True,
}


def timed_order_from(document: Mapping[str, Any]) -> TimedOrder:
    reason, log = document.get("cancel_reason"), document.get("log")
    return TimedOrder(
        id=document["_id"],
        hospital_id=document["hospital_id"],
        conversation_id=document["conversation_id"],
        phase=Phase(document["phase"]),
        unpaid_until=document["unpaid_until"],
        cancelled_at=document.get("cancelled_at"),
        cancel_reason=CloseReason(reason) if reason else None,
        deadline_at=document.get("deadline_at"),
        shown_deadline_ms=log["closes_at_ms"] if log else None,
    )
