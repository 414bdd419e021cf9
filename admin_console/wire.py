"""What of supervision crosses the network."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, StringConstraints

from admin_console.domain.audit import AuditFilter, Place, ShownRow
from admin_console.domain.orders import HospitalFigures, OrderFilter
from admin_console.domain.traces import Trace, TracedView
from consult.domain.order import Order
from consult.domain.status import OrderStatus
from consult.wire import OrderOut, order_out
from ehr_view.domain.access import view_text
from im.search.wire import HitOut, SearchWords
from server.kernel.clock import from_ms, to_ms
from server.kernel.errors import RequestInvalid
from server.kernel.wire import Id, Instant, Page, PageQuery, QueryModel, WireModel, decode_cursor

_RFC3339: Final = re.compile(r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$")
_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2999, 1, 1, tzinfo=UTC)
_LAST_MS: Final = to_ms(_LAST)
_LAST_SEQ: Final = 2**53


def _rfc3339(value: Any) -> Any:
    if isinstance(value, str) and not _RFC3339.match(value):
        raise ValueError("must be an RFC 3339 instant, such as 2026-01-05T02:00:00.000Z")
    return value


def _in_range(value: datetime) -> datetime:
    if not to_ms(_FIRST) <= to_ms(value) <= _LAST_MS:
        raise ValueError("must be between the years 2000 and 2999")
    return from_ms(to_ms(value))


InstantIn = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_in_range)]
"""An RFC 3339 instant; whole milliseconds, UTC."""

_Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class AuditSearch(PageQuery):
    """`since` is included, `until` is not. With `order_id` the entries of its conversation are rows too."""

    actor: _Word | None = None
    subject: _Word | None = None
    action: _Word | None = None
    order_id: Id | None = None
    since: InstantIn | None = None
    until: InstantIn | None = None

    def to_filter(self, hospital_id: str) -> AuditFilter:
        return AuditFilter(hospital_id, self.actor, self.subject, self.action, self.order_id, self.since, self.until)


class ActorOut(WireModel):
    account_id: str
    role: str


class AuditRowOut(WireModel):
    """`request_id` is null for an entry of a conversation: its `subject` (`conversation:seq`) says where it stands."""

    audit_id: str
    at: Instant
    actor: ActorOut
    action: str
    subject: str
    order_id: str | None
    outcome: Literal["ok", "denied"]
    request_id: str | None


class AuditPage(Page[AuditRowOut]):
    """Newest first; a timeline oldest first."""


class StaffOrdersQuery(PageQuery):
    """`since` (included) and `until` (not) are about when the order was made; `number` is the whole order
    number, `patient_account` the account that ordered."""

    status: OrderStatus | None = None
    doctor_id: Id | None = None
    number: Annotated[str, StringConstraints(min_length=1, max_length=32)] | None = None
    patient_account: Id | None = None
    since: InstantIn | None = None
    until: InstantIn | None = None

    def to_filter(self, hospital_id: str) -> OrderFilter:
        return OrderFilter(hospital_id, self.status, self.doctor_id, self.number, self.patient_account, self.since, self.until)


class StaffOrderPage(Page[OrderOut]):
    """Newest first."""


class CountsOut(WireModel):
    pending_payment: int
    awaiting_doctor: int
    in_session: int
    completed: int
    cancelled: int
    refunding: int
    refunded: int


class MoneyOut(WireModel):
    """paid = held + earned + refunded, to the fen."""

    paid_fen: int
    held_fen: int
    earned_fen: int
    refunded_fen: int


class HospitalFiguresOut(WireModel):
    """`replied_rate` from 0 to 1: of the paid orders that were answered or are over, the part that was answered; null where
    there is none."""

    orders: int
    by_status: CountsOut
    replied_rate: float | None
    money: MoneyOut


def row_out(row: ShownRow) -> AuditRowOut:
    return AuditRowOut(
        audit_id=row.audit_id,
        at=row.at,
        actor=ActorOut(account_id=row.account_id, role=row.role),
        action=row.action,
        subject=row.subject,
        order_id=row.order_id,
        outcome=row.outcome.value,
        request_id=row.request_id,
    )


def staff_order_out(order: Order) -> OrderOut:
    return order_out(order)


def figures_out(figures: HospitalFigures) -> HospitalFiguresOut:
    by_status, money = figures.counts.by_status, figures.money
    return HospitalFiguresOut(
        orders=sum(by_status.values()),
        by_status=CountsOut(**{status.value: count for status, count in by_status.items()}),
        replied_rate=figures.counts.replied_rate,
        money=MoneyOut(
            paid_fen=money.paid_fen,
            held_fen=money.held_fen,
            earned_fen=money.earned_fen,
            refunded_fen=money.refunded_fen,
        ),
    )


def place_from(cursor: str | None) -> Place | None:
    """Raises RequestInvalid for a cursor that is not one of ours."""
    if cursor is None:
        return None
    at_ms, audit_id, seq = decode_cursor(cursor, int, str, int)
    if not 0 <= at_ms <= _LAST_MS or not 0 <= seq <= _LAST_SEQ or not 0 < len(audit_id) <= 64:
        raise RequestInvalid(cursor="is not one of ours")
    return Place(at_ms, audit_id, seq)


def order_place_from(cursor: str | None) -> tuple[datetime, str] | None:
    """Raises RequestInvalid for a cursor that is not one of ours."""
    if cursor is None:
        return None
    at_ms, order_id = decode_cursor(cursor, int, str)
    if not 0 <= at_ms <= _LAST_MS:
        raise RequestInvalid(cursor="is not one of ours")
    return from_ms(at_ms), order_id


class Attachments(StrEnum):
    """Whether pictures and recordings are in the file, or only named."""

    REFERENCE = "reference"
    INLINE = "inline"


class ExportQuery(QueryModel):
    attachments: Attachments = Attachments.REFERENCE


class TraceQuery(QueryModel):
    """`since`: a mark too weak to be decoded is compared with views from then on; the last 90 days where it is not given."""

    since: InstantIn | None = None


class TracedDoctorOut(WireModel):
    id: str
    name: str
    staff_number: str


class TracedViewOut(WireModel):
    """One look at a record that the picture shows. `confidence`: the share (0.5–1) of the mark's bits that agree; `decoded`:
    the mark was read and passed its check, else it was found by comparison."""

    view_id: str
    order_id: str
    order_number: str
    record_id: str
    page: int
    viewed_at: Instant
    doctor: TracedDoctorOut
    confidence: float
    decoded: bool


class TraceOut(WireModel):
    """`items` is empty where nothing was found; it holds several where views were mixed. `sha256` is the file's, as audited."""

    sha256: str
    width: int
    height: int
    items: list[TracedViewOut]


def trace_out(trace: Trace) -> TraceOut:
    items = [_traced(traced) for traced in trace.views]
    return TraceOut(sha256=trace.sha256, width=trace.width, height=trace.height, items=items)


def _traced(traced: TracedView) -> TracedViewOut:
    view = traced.view
    return TracedViewOut(
        view_id=view_text(view.view_id),
        order_id=view.order_id,
        order_number=view.order_number,
        record_id=view.record_id,
        page=view.page,
        viewed_at=view.at,
        doctor=TracedDoctorOut(id=view.viewer.account_id, name=view.viewer.name, staff_number=view.viewer.staff_number),
        confidence=round(traced.hint.confidence, 4),
        decoded=traced.hint.decoded,
    )


class StaffSearchIn(SearchWords):
    """`order_id` or `patient_id`, exactly one."""

    order_id: Id | None = None
    patient_id: Id | None = None


class StaffHitOut(HitOut):
    """`corrected_by` is the number of a correction that stands. What was recalled is not found: see `ask_reveal`."""

    corrected_by: int | None


class StaffHitPage(Page[StaffHitOut]):
    """Newest conversation first, newest message first. Short or empty pages with a cursor: go on."""
