"""Who may look at records, and what a look leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ehr_view.domain.records import PatientRef
from server.kernel.errors import DomainError

VIEW_ID_BITS: Final = 48
"""What the forensic mark carries."""

LISTED: Final = "record.listed"
SHARED: Final = "record.shared"
VIEWED: Final = "record.page_viewed"
VIEWS_LISTED: Final = "record.views_listed"
CHAT_MARKED: Final = "record.chat_marked"
MISMATCHED: Final = "record.identity_mismatch"


@dataclass(frozen=True, slots=True)
class Viewer:
    """The doctor who looks, as the visible mark names them. `phone_tail`: the last four digits."""

    account_id: str
    name: str
    staff_number: str
    phone_tail: str


@dataclass(frozen=True, slots=True)
class Grant:
    """That this doctor may see this order's patient's records as of now. `patient_account` is told of each look."""

    order_id: str
    order_number: str
    hospital_id: str
    patient: PatientRef
    patient_account: str
    viewer: Viewer
    closes_at: datetime


@dataclass(frozen=True, slots=True)
class Lease:
    """That this session, on this device, may open pages of this order: made by listing its records, good for no other.

    It is no permission by itself: each page asks for that anew. It dies with the order, with the session, and with the consent.
    """

    order_id: str
    hospital_id: str
    doctor_id: str
    session_id: str
    device_id: str | None
    opened_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True)
class ChatView:
    """That the actor is the order's current doctor, who may have its chat on the screen, open or not."""

    order_id: str
    order_number: str
    hospital_id: str
    viewer: Viewer


@dataclass(frozen=True, slots=True)
class Refused:
    """That the actor may not. `error` is what they are told: `record.access_denied` where they may see the order,
    `order.not_found` where not. `hospital_id` of the order, for the audit; None where there is no order."""

    error: DomainError
    hospital_id: str | None = None


@dataclass(frozen=True, slots=True)
class PatientView:
    """That the actor is the order's patient's account, and may see who looked."""

    order_id: str
    hospital_id: str


@dataclass(frozen=True, slots=True)
class RecordView:
    """One look at one page. `view_id` stands hidden in the page; names and titles as they were shown then."""

    view_id: int
    hospital_id: str
    order_id: str
    order_number: str
    record_id: str
    form: str
    title: str
    page: int
    viewer: Viewer
    patient_account: str
    session_id: str
    device_id: str | None
    at: datetime
    drawn: Mapping[str, str | int] = field(default_factory=dict)
    """How it was drawn (width, theme), so that it can be drawn again."""


def is_open(grant: Grant, now: datetime) -> bool:
    """The window is half-open: at its last instant it is over."""
    return now < grant.closes_at


def view_text(view_id: int) -> str:
    """A view id as people and the audit see it: 12 hexadecimal digits."""
    return f"{view_id:012x}"
