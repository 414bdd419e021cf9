"""What of the board, dossiers, verifications and repairs crosses the network."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from accounts.domain.phones import PHONE_PATTERN
from admin_console.domain.board import MOST_DAYS, Board, DayFigures, DepartmentFigures, Series
from admin_console.domain.dossier import DeadlineProof, Dossier, shown_parts
from admin_console.domain.proofs import Proof, ProofState
from billing.domain import Channel, PaymentStatus, PostingSet, RefundStatus
from billing.domain import Entry as Booked
from consult.domain.proofs import Fault
from consult.domain.status import OrderStatus
from consult.domain.tasks import TaskState
from ehr_view.domain.access import view_text
from ehr_view.hl7.domain import HeldMessage
from im.domain import EntryKind
from server.kernel.clock import from_ms
from server.kernel.wire import Id, Instant, QueryModel, WireModel


class UrgentOrderOut(WireModel):
    order_id: str
    number: str
    status: OrderStatus
    doctor_name: str
    department: str
    paid_at: Instant
    deadline_at: Instant


class DayOut(WireModel):
    """Orders made on this local day, and what has become of them."""

    day: str
    orders: int
    paid: int
    answered: int
    completed: int
    cancelled: int
    refunded: int
    paid_fen: int
    refunded_fen: int


class BoardOut(WireModel):
    """`near`: open orders that end within six hours; `urgent`: those that end first."""

    at: Instant
    unpaid: int
    waiting: int
    in_session: int
    refunding: int
    near: int
    urgent: Sequence[UrgentOrderOut]
    refunds_under_way: int
    refunds_need_person: int
    tasks_open: int
    tasks_claimed: int
    tasks_overdue: int
    today: DayOut


class SeriesQuery(QueryModel):
    days: int = Field(default=30, ge=1, le=MOST_DAYS)


class DepartmentOut(WireModel):
    department: str
    orders: int
    answered: int
    paid_fen: int
    stars: float | None


class SeriesOut(WireModel):
    """Every day, the oldest first; departments by their number of paid orders."""

    days: Sequence[DayOut]
    departments: Sequence[DepartmentOut]


class PatientLookupIn(WireModel):
    """In a body, since addresses are written into logs."""

    phone: Annotated[str, Field(pattern=PHONE_PATTERN)]


class PatientLookupOut(WireModel):
    """The account, if it has ever ordered here; else both are null."""

    account_id: Id | None
    name: str | None


class PersonOut(WireModel):
    account_id: str
    name: str


class EntryOut(WireModel):
    """`sender` null: the product itself. `parts` empty where nothing was said, or what was said was taken back.
    `corrects`: the earlier message that this one puts right."""

    seq: int
    at: Instant
    kind: EntryKind
    sender: str | None
    role: str
    parts: Sequence[Mapping[str, Any]]
    recalled: bool
    recalls: int | None
    corrects: int | None
    closes: str | None


class PostingOut(WireModel):
    """One movement of money: `amount_fen` of a payment was captured, earned, became payable back, or was paid back."""

    at: Instant
    entry: Booked
    payment_id: str
    amount_fen: int


class PaymentOut(WireModel):
    payment_id: str
    channel: Channel
    amount_fen: int
    status: PaymentStatus
    created_at: Instant
    captured_at: Instant | None


class OrderRefundOut(WireModel):
    refund_id: str
    cause: str
    amount_fen: int
    status: RefundStatus
    problem: str | None
    tries: int
    created_at: Instant
    refunded_at: Instant | None


class OrderViewOut(WireModel):
    view_id: str
    at: Instant
    doctor_id: str
    doctor_name: str
    record_id: str
    title: str
    page: int


class TimedDecisionOut(WireModel):
    """What the sweep decided at `at`, and what it rested on; `due_at` null where an old entry does not name it."""

    seq: int
    at: Instant
    kind: EntryKind
    due_at: Instant | None
    late_ms: int | None
    inputs: Mapping[str, str | int | None]


class DeadlineFindingOut(WireModel):
    """`seq` 0: an entry that is not there."""

    fault: Fault
    seq: int
    detail: str


class DeadlinesOut(WireModel):
    """Each timed decision of the order, decided again just now. `holds`: once each, rightly and within a minute. `waiting`: the
    next one's time has not come."""

    holds: bool
    waiting: bool
    decisions: Sequence[TimedDecisionOut]
    findings: Sequence[DeadlineFindingOut]


class DossierOut(WireModel):
    people: Sequence[PersonOut]
    entries: Sequence[EntryOut]
    postings: Sequence[PostingOut]
    payments: Sequence[PaymentOut]
    refunds: Sequence[OrderRefundOut]
    views: Sequence[OrderViewOut]
    deadlines: DeadlinesOut


class ProofOut(WireModel):
    """`holds` is null until it is done. `findings` are the first of `broken` places, each with its stream and number."""

    verification_id: str
    requested_by: str
    requested_at: Instant
    state: ProofState
    started_at: Instant | None
    finished_at: Instant | None
    holds: bool | None
    items: int
    streams: int
    checkpoints: int
    uncovered: int
    broken: int
    findings: Sequence[str]


class ProofList(WireModel):
    """Newest first."""

    items: Sequence[ProofOut]


class Hl7MessageOut(WireModel):
    """A message that waits for repair, without its words. `where`: the segment or field that was refused."""

    message_id: str
    kind: str
    control_id: str
    reason: str
    where: str
    received_at: Instant
    tries: int


class Hl7List(WireModel):
    """Oldest first."""

    items: Sequence[Hl7MessageOut]


class Hl7RepairOut(WireModel):
    message_id: str
    accepted: bool
    reason: str


def day_out(day: DayFigures) -> DayOut:
    return DayOut(**{name: getattr(day, name) for name in DayOut.model_fields})


def board_out(board: Board) -> BoardOut:
    counts = board.counts
    return BoardOut(
        at=board.at,
        unpaid=counts.open_orders[OrderStatus.PENDING_PAYMENT],
        waiting=counts.open_orders[OrderStatus.AWAITING_DOCTOR],
        in_session=counts.open_orders[OrderStatus.IN_SESSION],
        refunding=counts.open_orders[OrderStatus.REFUNDING],
        near=counts.near,
        urgent=[
            UrgentOrderOut(**{name: getattr(order, name) for name in UrgentOrderOut.model_fields}) for order in counts.urgent
        ],
        refunds_under_way=counts.refunds_under_way,
        refunds_need_person=counts.refunds_need_person,
        tasks_open=counts.tasks[TaskState.OPEN],
        tasks_claimed=counts.tasks[TaskState.CLAIMED],
        tasks_overdue=counts.tasks_overdue,
        today=day_out(board.today),
    )


def series_out(series: Series) -> SeriesOut:
    return SeriesOut(days=[day_out(day) for day in series.days], departments=[_department(d) for d in series.departments])


def _department(figures: DepartmentFigures) -> DepartmentOut:
    return DepartmentOut(**{name: getattr(figures, name) for name in DepartmentOut.model_fields})


def dossier_out(dossier: Dossier) -> DossierOut:
    return DossierOut(
        people=[PersonOut(account_id=account_id, name=name) for account_id, name in sorted(dossier.names.items())],
        entries=[
            EntryOut(
                seq=entry.seq,
                at=from_ms(entry.at_ms),
                kind=entry.draft.kind,
                sender=entry.draft.sender,
                role=entry.draft.role,
                parts=list(shown_parts(entry, dossier.recalled)),
                recalled=entry.seq in dossier.recalled,
                recalls=entry.draft.recalls,
                corrects=entry.draft.corrects,
                closes=entry.draft.closes,
            )
            for entry in dossier.entries
        ],
        postings=[_posting(posting) for posting in dossier.postings],
        payments=[
            PaymentOut(
                payment_id=payment.id,
                channel=payment.channel,
                amount_fen=payment.amount_fen,
                status=payment.status,
                created_at=payment.created_at,
                captured_at=payment.captured_at,
            )
            for payment in dossier.payments
        ],
        refunds=[
            OrderRefundOut(
                refund_id=refund.id,
                cause=refund.cause,
                amount_fen=refund.amount_fen,
                status=refund.status,
                problem=refund.problem,
                tries=refund.tries,
                created_at=refund.created_at,
                refunded_at=refund.refunded_at,
            )
            for refund in dossier.refunds
        ],
        views=[
            OrderViewOut(
                view_id=view_text(view.view_id),
                at=view.at,
                doctor_id=view.viewer.account_id,
                doctor_name=view.viewer.name,
                record_id=view.record_id,
                title=view.title,
                page=view.page,
            )
            for view in dossier.views
        ],
        deadlines=_deadlines(dossier.deadlines),
    )


def _deadlines(proof: DeadlineProof) -> DeadlinesOut:
    return DeadlinesOut(
        holds=not proof.findings,
        waiting=proof.waiting,
        decisions=[
            TimedDecisionOut(
                seq=decision.seq,
                at=from_ms(decision.at_ms),
                kind=decision.kind,
                due_at=None if decision.due_at_ms is None else from_ms(decision.due_at_ms),
                late_ms=decision.late_ms,
                inputs=dict(decision.inputs),
            )
            for decision in proof.decisions
        ],
        findings=[DeadlineFindingOut(fault=found.fault, seq=found.seq, detail=found.detail) for found in proof.findings],
    )


def _posting(posting: PostingSet) -> PostingOut:
    """A set sums to zero; its positive lines are what moved."""
    moved = sum(amount for amount in posting.lines.values() if amount > 0)
    return PostingOut(at=posting.at, entry=posting.entry, payment_id=posting.payment_id, amount_fen=moved)


def proof_out(proof: Proof) -> ProofOut:
    names = [name for name in ProofOut.model_fields if name != "verification_id"]
    values: dict[str, Any] = {name: getattr(proof, name) for name in names}
    return ProofOut(**values | {"verification_id": proof.id, "findings": list(proof.findings)})


def hl7_out(message: HeldMessage) -> Hl7MessageOut:
    names = [name for name in Hl7MessageOut.model_fields if name != "message_id"]
    return Hl7MessageOut(message_id=message.id, **{name: getattr(message, name) for name in names})
