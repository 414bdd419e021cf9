"""A consult as a FHIR R4 bundle: a collection of what was asked, said, agreed and paid.

References inside are `urn:uuid:` of the ids that things have here. What was recalled is there as `entered-in-error`, without a
word of its content. Nothing that the order does not hold (identity numbers, phones) is in it.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from billing.domain import Payment, PaymentStatus, Refund, RefundStatus
from consult.domain.order import Order, OrderKind
from consult.domain.status import OrderStatus
from im.domain import Entry, EntryKind
from server.kernel.clock import from_ms, iso
from server.kernel.ids import derived_id
from server.kernel.money import yuan_text

Resource = dict[str, Any]

_TERMS: Final = "http://terminology.hl7.org/CodeSystem"
_ENCOUNTER: Final[Mapping[OrderStatus, str]] = {
    OrderStatus.PENDING_PAYMENT: "planned",
    OrderStatus.AWAITING_DOCTOR: "arrived",
    OrderStatus.IN_SESSION: "in-progress",
    OrderStatus.COMPLETED: "finished",
    OrderStatus.CANCELLED: "cancelled",
    OrderStatus.REFUNDING: "cancelled",
    OrderStatus.REFUNDED: "cancelled",
}
"""A consult whose fee goes back was not held, as far as the books are concerned; what was said is there all the same."""

_INVOICE: Final[Mapping[OrderStatus, str]] = {
    OrderStatus.PENDING_PAYMENT: "issued",
    OrderStatus.CANCELLED: "cancelled",
    OrderStatus.REFUNDED: "cancelled",
}
_GENDERS: Final = frozenset({"male", "female"})
_NOTHING: Final[Mapping[str, "Attached"]] = {}


@dataclass(frozen=True, slots=True)
class Attached:
    """The bytes of a picture or a recording, to be written into the bundle."""

    mime: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ConsultFile:
    """All that is exported of one order. `entries` from the first to the last; `media` those that go inline, by id."""

    order: Order
    entries: Sequence[Entry]
    payments: Sequence[Payment]
    refunds: Sequence[Refund]
    media: Mapping[str, Attached] = field(default_factory=lambda: _NOTHING)


def shown_media(order: Order, entries: Iterable[Entry]) -> list[tuple[str, str]]:
    """Owner (`order`, `conversation`) and id of each medium that the bundle shows, once each."""
    found = [("order", media_id) for media_id in order.image_ids]
    entries = list(entries)
    hidden = recalled(entries)
    for entry in entries:
        if entry.seq not in hidden:
            found += [("conversation", str(p["media_id"])) for p in entry.draft.parts if p.get("kind") in ("image", "voice")]
    return list(dict.fromkeys(found))


def recalled(entries: Iterable[Entry]) -> set[int]:
    """Which messages were taken back, as all of the log says."""
    return {e.draft.recalls for e in entries if e.draft.kind is EntryKind.RECALL and e.draft.recalls is not None}


def bundle(file: ConsultFile, *, now: datetime, exporter: str) -> Resource:
    """The bundle as JSON values. `exporter` is the account that asked for it."""
    order = file.order
    resources = [
        _patient(order),
        *([_practitioner(order)] if order.is_with_doctor else []),
        _organization(order),
        _encounter(order),
        *_consents(order),
        *(_document(order, media_id, file.media) for media_id in order.image_ids),
        *_communications(file),
        *_money(file),
    ]
    resources.append(_provenance(file, resources, now, exporter))
    return {
        "resourceType": "Bundle",
        "id": derived_id("fhir.bundle", order.id, iso(now)),
        "type": "collection",
        "identifier": {"system": "urn:yunzhen:order", "value": order.id},
        "timestamp": iso(now),
        "entry": [{"fullUrl": _urn(r["id"]), "resource": r} for r in resources],
    }


def _urn(identity: str) -> str:
    return f"urn:uuid:{identity[:8]}-{identity[8:12]}-{identity[12:16]}-{identity[16:20]}-{identity[20:]}"


def _ref(kind: str, identity: str) -> Resource:
    return {"reference": _urn(identity), "type": kind}


def _organization_id(order: Order) -> str:
    return derived_id("fhir.organization", order.hospital_id)


def _coded(system: str, code: str, text: str) -> Resource:
    return {"coding": [{"system": f"{_TERMS}/{system}", "code": code}], "text": text}


def _yuan(fen: int) -> Resource:
    return {"value": fen / 100, "currency": "CNY"}


def _patient(order: Order) -> Resource:
    patient = order.patient
    gender = patient.sex if patient.sex in _GENDERS else "unknown"
    found: Resource = {"resourceType": "Patient", "id": patient.id, "name": [{"text": patient.name}], "gender": gender}
    if patient.birth_date is not None:
        found["birthDate"] = patient.birth_date.isoformat()
    return found


def _practitioner(order: Order) -> Resource:
    doctor = order.doctor
    return {
        "resourceType": "Practitioner",
        "id": doctor.id,
        "name": [{"text": doctor.name}],
        "qualification": [{"code": {"text": doctor.title}}],
    }


def _organization(order: Order) -> Resource:
    identifier = {"system": "urn:yunzhen:hospital", "value": order.hospital_id}
    return {"resourceType": "Organization", "id": _organization_id(order), "identifier": [identifier]}


def _encounter(order: Order) -> Resource:
    text = "复诊" if order.kind is OrderKind.REVISIT else "图文咨询"
    period = {"start": iso(order.paid_at or order.created_at)}
    if order.closed_at is not None:
        period["end"] = iso(max(order.closed_at, order.paid_at or order.created_at))
    return {
        "resourceType": "Encounter",
        "id": order.id,
        "identifier": [{"system": "urn:yunzhen:order-number", "value": order.number}],
        "status": _ENCOUNTER[order.status],
        "class": {"system": f"{_TERMS}/v3-ActCode", "code": "VR", "display": "virtual"},
        "type": [{"text": text}],
        "serviceType": {"text": order.doctor.department},
        "subject": _ref("Patient", order.patient.id),
        **({"participant": [{"individual": _ref("Practitioner", order.doctor.id)}]} if order.is_with_doctor else {}),
        "period": period,
        "reasonCode": [{"text": order.complaint}],
        "serviceProvider": _ref("Organization", _organization_id(order)),
    }


def _consents(order: Order) -> Iterable[Resource]:
    """That to the consult, and that to the doctor's looks at the hospital's records, which may be withdrawn."""
    asked = (("treatment", "图文咨询知情同意", True), ("patient-privacy", "查阅病历授权", order.consent.record_access))
    for scope, text, granted in asked:
        yield {
            "resourceType": "Consent",
            "id": derived_id("fhir.consent", order.id, scope),
            "identifier": [{"system": "urn:yunzhen:consent-sha256", "value": order.consent.sha256}],
            "status": "active" if granted else "inactive",
            "scope": _coded("consentscope", scope, text),
            "category": [{"text": text}],
            "patient": _ref("Patient", order.patient.id),
            "dateTime": iso(order.created_at),
            "organization": [_ref("Organization", _organization_id(order))],
            "policyRule": {"text": f"{text} {order.consent.version}"},
            "provision": {
                "type": "permit" if granted else "deny",
                **({"actor": [_actor(order)]} if order.is_with_doctor else {}),
            },
        }


def _actor(order: Order) -> Resource:
    return {"role": _coded("v3-ParticipationType", "PRF", "doctor"), "reference": _ref("Practitioner", order.doctor.id)}


def _attachment(media_id: str, media: Mapping[str, Attached]) -> Resource:
    """By reference, or with its bytes where they are given."""
    attached = media.get(media_id)
    if attached is None:
        return {"url": _urn(media_id)}
    return {"contentType": attached.mime, "data": b64encode(attached.data).decode(), "size": len(attached.data)}


def _document(order: Order, media_id: str, media: Mapping[str, Attached]) -> Resource:
    """A picture that came with the complaint."""
    return {
        "resourceType": "DocumentReference",
        "id": derived_id("fhir.document", order.id, media_id),
        "status": "current",
        "subject": _ref("Patient", order.patient.id),
        "date": iso(order.created_at),
        "content": [{"attachment": _attachment(media_id, media)}],
        "context": {"encounter": [_ref("Encounter", order.id)]},
    }


def _communications(file: ConsultFile) -> Iterable[Resource]:
    """One for each message; what the log says besides (opening, gifts, close) is in the encounter and the money."""
    hidden = recalled(file.entries)
    ids = {entry.seq: entry.id for entry in file.entries if entry.draft.kind is EntryKind.MESSAGE}
    for entry in file.entries:
        if entry.seq in ids:
            yield _communication(file, entry, ids, is_hidden=entry.seq in hidden)


def _communication(file: ConsultFile, entry: Entry, ids: Mapping[int, str], *, is_hidden: bool) -> Resource:
    order, draft = file.order, entry.draft
    patient, doctor = _ref("Patient", order.patient.id), _ref("Practitioner", order.doctor.id)
    found: Resource = {
        "resourceType": "Communication",
        "id": entry.id,
        "identifier": [{"system": "urn:yunzhen:message", "value": f"{entry.conversation_id}:{entry.seq}"}],
        "status": "entered-in-error" if is_hidden else "completed",
        "subject": patient,
        "encounter": _ref("Encounter", order.id),
        "sent": iso(from_ms(entry.at_ms)),
    }
    if draft.role == "patient":
        found |= {"sender": patient, **({"recipient": [doctor]} if order.is_with_doctor else {})}
    elif draft.role == "doctor":
        # A doctor of before a referral is known by id only.
        sender = doctor if draft.sender == order.doctor.id else {"identifier": {"value": draft.sender}, "type": "Practitioner"}
        found |= {"sender": sender, "recipient": [patient]}
    if draft.corrects is not None and draft.corrects in ids:
        found["inResponseTo"] = [_ref("Communication", ids[draft.corrects])]
    if is_hidden:
        found["statusReason"] = {"text": "recalled by its sender"}
    elif draft.parts:
        found["payload"] = [_payload(part, file.media) for part in draft.parts]
    return found


def _payload(part: Mapping[str, Any], media: Mapping[str, Attached]) -> Resource:
    if part["kind"] == "text":
        return {"contentString": part["text"]}
    if part["kind"] in ("image", "voice"):
        return {"contentAttachment": _attachment(str(part["media_id"]), media)}
    return {"contentString": orjson.dumps(dict(part)).decode()}


def _money(file: ConsultFile) -> Iterable[Resource]:
    order = file.order
    organization = _ref("Organization", _organization_id(order))
    invoice = derived_id("fhir.invoice", order.id)
    fee = {"type": "base", "amount": _yuan(order.fee_fen)}
    yield {
        "resourceType": "Invoice",
        "id": invoice,
        "identifier": [{"system": "urn:yunzhen:order-number", "value": order.number}],
        "status": _INVOICE.get(order.status, "balanced"),
        "subject": _ref("Patient", order.patient.id),
        "date": iso(order.created_at),
        "issuer": organization,
        "lineItem": [{"chargeItemCodeableConcept": {"text": "图文咨询费"}, "priceComponent": [fee]}],
        "totalNet": _yuan(order.fee_fen),
        "totalGross": _yuan(order.fee_fen),
    }
    for payment in file.payments:
        if payment.status is PaymentStatus.CAPTURED and payment.captured_at is not None:
            own = [refund for refund in file.refunds if refund.payment_id == payment.id]
            yield from _payment(payment, payment.captured_at, own, organization, invoice)


def _payment(
    payment: Payment, captured_at: datetime, refunds: Iterable[Refund], organization: Resource, invoice: str
) -> Iterable[Resource]:
    """What came in, and what went back of it: the reconciliation holds the amounts, the notice says that it is paid."""
    system = f"{_TERMS}/payment-type"
    details = [
        {
            "type": {"coding": [{"system": system, "code": "payment"}]},
            "request": _ref("Invoice", invoice),
            "date": _day(captured_at),
            "amount": _yuan(payment.captured_fen),
        }
    ]
    details += [
        {
            "type": {"coding": [{"system": system, "code": "adjustment"}], "text": f"refund {refund.status.value}"},
            "date": _day(refund.refunded_at or refund.created_at),
            "amount": _yuan(-refund.amount_fen),
        }
        for refund in refunds
    ]
    reconciliation = derived_id("fhir.reconciliation", payment.id)
    back = sum(refund.amount_fen for refund in refunds if refund.status is RefundStatus.REFUNDED)
    yield {
        "resourceType": "PaymentReconciliation",
        "id": reconciliation,
        "identifier": [{"system": "urn:yunzhen:payment", "value": payment.out_trade_no}],
        "status": "active",
        "created": iso(captured_at),
        "paymentIssuer": organization,
        "outcome": "complete",
        "disposition": f"{payment.channel.value}: {yuan_text(payment.captured_fen)} paid, {yuan_text(back)} refunded",
        "paymentDate": _day(captured_at),
        "paymentAmount": _yuan(payment.captured_fen),
        "detail": details,
    }
    yield {
        "resourceType": "PaymentNotice",
        "id": derived_id("fhir.payment_notice", payment.id),
        "status": "active",
        "created": iso(captured_at),
        "request": _ref("Invoice", invoice),
        "payment": _ref("PaymentReconciliation", reconciliation),
        "paymentDate": _day(captured_at),
        "recipient": organization,
        "amount": _yuan(payment.captured_fen),
        "paymentStatus": _coded("paymentstatus", "paid", "paid"),
    }


def _day(at: datetime) -> str:
    return at.date().isoformat()


def _provenance(file: ConsultFile, resources: Iterable[Resource], now: datetime, exporter: str) -> Resource:
    """Who made the bundle, when, and from what: the last link of the log's chain says which entries it holds."""
    entity = []
    if file.entries:
        last = file.entries[-1]
        value = f"{last.conversation_id}:{last.seq}:{last.hash.hex()}"
        entity = [{"role": "source", "what": {"identifier": {"system": "urn:yunzhen:log", "value": value}}}]
    found: Resource = {
        "resourceType": "Provenance",
        "id": derived_id("fhir.provenance", file.order.id, iso(now)),
        "target": [_ref(resource["resourceType"], resource["id"]) for resource in resources],
        "recorded": iso(now),
        "activity": _coded("v3-DataOperation", "CREATE", "export"),
        "agent": [{"who": {"identifier": {"system": "urn:yunzhen:account", "value": exporter}}}],
    }
    return found | ({"entity": entity} if entity else {})
