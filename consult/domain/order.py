"""An order: what a patient asked of a doctor, what it costs, and how far it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from consult.domain.after_sales import AfterSales, Standing
from consult.domain.log import ConsultState, LogDepartment, Policy, facts_of, opening_of
from consult.domain.status import NOBODY, CloseReason, LogFacts, OrderStatus, Phase, derive_status
from im.domain import Opening
from server.kernel.clock import from_ms, to_ms

SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
"""China has one zone and no summer time."""

ORDERS: Final = "orders"
"""The collection, for the relay."""

MOST_IMAGES: Final = 9
MOST_TAGS: Final = 10
MOST_PAYMENTS: Final = 20
"""Attempts to pay one order. Each is a payment at the gateway that may have to be closed before the order can be cancelled."""

_NUMBER_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_NUMBER_LENGTH: Final = 8


class OrderKind(StrEnum):
    """`revisit` needs an offline visit in the hospital's records."""

    CONSULT = "consult"
    REVISIT = "revisit"


@dataclass(frozen=True, slots=True)
class IdentityDocument:
    """What the patient is known by at the hospital."""

    id_type: str
    id_number: str


@dataclass(frozen=True, slots=True)
class OrderPatient:
    """The patient as they were when the order was made. `birth_date` None: the document that was shown does not say.

    `document` is whom the consent to record access names, whatever becomes of the account's list of patients later. None on
    orders that were made before it was kept: their records are not shown.
    """

    id: str
    name: str
    sex: str
    birth_date: date | None
    document: IdentityDocument | None = None


@dataclass(frozen=True, slots=True)
class OrderDoctor:
    """The doctor as shown when the order was made or came to them; `NOBODY` while a quick consult waits in its pool."""

    id: str
    name: str
    title: str
    department: str


@dataclass(frozen=True, slots=True)
class ConsentGiven:
    """Which text was agreed to; `record_access` is the patient's to change at any time."""

    version: str
    sha256: str
    record_access: bool


@dataclass(frozen=True, slots=True)
class Rating:
    stars: int
    tags: tuple[str, ...]
    text: str
    rated_at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """An order with what its log says laid over it. `policy`, `paid_at` and `deadline_at` are there from capture on;
    `planned_replies` is shown until then.

    `department` is set on quick consults: any doctor of it may take the order.
    `unpaid_until` is when an order that nobody paid is cancelled; `place_day` is the local day whose daily maximum its first
    payment attempt counted against; `payment_ids` are all attempts, at most `MOST_PAYMENTS`.
    """

    id: str
    hospital_id: str
    version: int
    number: str
    phase: Phase
    kind: OrderKind
    patient_account: str
    patient: OrderPatient
    doctor: OrderDoctor
    complaint: str
    image_ids: tuple[str, ...]
    consent: ConsentGiven
    fee_fen: int
    conversation_id: str
    created_at: datetime
    unpaid_until: datetime
    planned_replies: int
    refunded_fen: int = 0
    place_day: str | None = None
    payment_ids: tuple[str, ...] = ()
    policy: Policy | None = None
    paid_at: datetime | None = None
    captured_payment_id: str | None = None
    cancelled_at: datetime | None = None
    cancel_reason: CloseReason | None = None
    facts: LogFacts | None = None
    rating: Rating | None = None
    department: LogDepartment | None = None
    after_sales: AfterSales | None = None

    @property
    def is_with_doctor(self) -> bool:
        """False while a quick consult is nobody's."""
        return self.doctor.id != NOBODY

    @property
    def members(self) -> tuple[str, ...]:
        """The accounts that the order is shown to once it is paid."""
        return (self.patient_account, self.doctor.id) if self.is_with_doctor else (self.patient_account,)

    @property
    def status(self) -> OrderStatus:
        return derive_status(self.phase, self.facts, refunded_fen=self.refunded_fen, fee_fen=self.fee_fen)

    @property
    def deadline_at(self) -> datetime | None:
        """When the consult ends by itself; fixed at capture."""
        if self.paid_at is None or self.policy is None:
            return None
        return self.paid_at + timedelta(milliseconds=self.policy.validity_ms)

    @property
    def closed_at(self) -> datetime | None:
        if self.phase is Phase.CANCELLED:
            return self.cancelled_at
        return None if self.facts is None or self.facts.closed_at_ms is None else from_ms(self.facts.closed_at_ms)

    @property
    def close_reason(self) -> CloseReason | None:
        if self.phase is Phase.CANCELLED:
            return self.cancel_reason
        return None if self.facts is None else self.facts.close_reason

    @property
    def standing(self) -> Standing:
        return Standing(self.status, self.closed_at, self.fee_fen, self.refunded_fen)

    @property
    def shown_version(self) -> int:
        """Rises with every change that an account may see: of the document, and of the log."""
        return self.version + (self.facts.seq if self.facts is not None else 0)

    def has_member(self, account_id: str) -> bool:
        """Whether this account may see the order: its patient's account, its current doctor."""
        return account_id in self.members

    def with_log(self, state: ConsultState) -> "Order":
        """The same order, seen at this entry of its log."""
        return self.with_facts(facts_of(state))

    def with_facts(self, facts: LogFacts) -> "Order":
        """The same order by what its log says: also whose it is now."""
        doctor = facts.doctor
        if doctor is None:
            return replace(self, facts=facts)
        return replace(self, facts=facts, doctor=OrderDoctor(doctor.id, doctor.name, doctor.title, doctor.department))


@dataclass(frozen=True, slots=True)
class StartedPayment:
    """What the client needs to open the wallet. `prepay_id` is the gateway's name of it, `params` its channel's parameters."""

    payment_id: str
    channel: str
    prepay_id: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DueOrder:
    """As much of an order as a sweep needs: nothing of the patient."""

    id: str
    hospital_id: str
    conversation_id: str
    doctor_id: str
    place_day: str | None


def find_opening(order: Order) -> Opening | None:
    """How the order's log begins; None while nothing is paid."""
    if order.phase is not Phase.CAPTURED or order.paid_at is None or order.policy is None:
        return None
    return opening_of(
        order_id=order.id,
        hospital_id=order.hospital_id,
        patient_account=order.patient_account,
        doctor_id=order.doctor.id if order.department is None else NOBODY,
        fee_fen=order.fee_fen,
        paid_at_ms=to_ms(order.paid_at),
        policy=order.policy,
        department=order.department,
    )


def local_day(at: datetime) -> str:
    """The local day of an instant, `2026-01-05`; days compare as text."""
    return at.astimezone(SHANGHAI).date().isoformat()


def order_number(order_id: str, created_at: datetime, attempt: int) -> str:
    """What people read to one another on the phone: the local day and eight letters and digits that cannot be confused."""
    value = int.from_bytes(sha256(f"{order_id}/{attempt}".encode()).digest()[:8], "big")
    letters = []
    for _ in range(_NUMBER_LENGTH):
        value, place = divmod(value, len(_NUMBER_ALPHABET))
        letters.append(_NUMBER_ALPHABET[place])
    return f"{local_day(created_at).replace('-', '')}-{''.join(letters)}"


def age_on(birth_date: date | None, at: datetime) -> int | None:
    """Whole years on the local day of `at`."""
    if birth_date is None:
        return None
    day = at.astimezone(SHANGHAI).date()
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))
