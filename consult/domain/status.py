"""What an order can be, what it can become, and what may be done to it then: allow-lists, so that the unknown is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from consult.errors import OrderTransitionRefused


class Phase(StrEnum):
    """The part of an order's life that its document decides. From `captured` on, only the log does."""

    PENDING_PAYMENT = "pending_payment"
    CAPTURED = "captured"
    CANCELLED = "cancelled"


class OrderStatus(StrEnum):
    PENDING_PAYMENT = "pending_payment"
    AWAITING_DOCTOR = "awaiting_doctor"
    IN_SESSION = "in_session"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


class CloseReason(StrEnum):
    QUOTA = "quota"
    EXPIRED = "expired"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    DECLINED = "declined"
    UNPAID = "unpaid"
    AFTER_SALES = "after_sales"


class Outcome(StrEnum):
    """Where the fee went, by the last word of the log."""

    EARNED = "earned"
    REFUND = "refund"


class Command(StrEnum):
    """What people do to an order."""

    PAY = "pay"
    CANCEL = "cancel"
    DECLINE = "decline"
    FINISH = "finish"
    GIFT = "gift"
    RATE = "rate"
    REFER = "refer"
    TAKE = "take"
    AFTER_SALES = "after_sales"


_S = OrderStatus

ALLOWED: Final[Mapping[Command, frozenset[OrderStatus]]] = MappingProxyType(
    {
        Command.PAY: frozenset({_S.PENDING_PAYMENT}),
        Command.CANCEL: frozenset({_S.PENDING_PAYMENT, _S.AWAITING_DOCTOR}),
        Command.DECLINE: frozenset({_S.AWAITING_DOCTOR}),
        Command.FINISH: frozenset({_S.IN_SESSION}),
        Command.GIFT: frozenset({_S.AWAITING_DOCTOR, _S.IN_SESSION}),
        Command.RATE: frozenset({_S.COMPLETED}),
        Command.REFER: frozenset({_S.AWAITING_DOCTOR}),
        Command.TAKE: frozenset({_S.AWAITING_DOCTOR}),
        Command.AFTER_SALES: frozenset({_S.IN_SESSION, _S.COMPLETED}),
    }
)
"""The statuses in which each command is taken. `awaiting_doctor` says that the order is open and no reply counts,
`in_session` that it is open and one does."""

TRANSITIONS: Final[frozenset[tuple[OrderStatus, OrderStatus]]] = frozenset(
    {
        (_S.PENDING_PAYMENT, _S.CANCELLED),  # patient, or unpaid in time
        (_S.PENDING_PAYMENT, _S.AWAITING_DOCTOR),  # payment captured
        (_S.AWAITING_DOCTOR, _S.IN_SESSION),  # first reply
        (_S.AWAITING_DOCTOR, _S.COMPLETED),  # first reply where the quota is one
        (_S.AWAITING_DOCTOR, _S.REFUNDING),  # no reply in time, cancelled, declined
        (_S.IN_SESSION, _S.AWAITING_DOCTOR),  # the only counted reply is recalled
        (_S.IN_SESSION, _S.COMPLETED),  # quota, expiry, finished
        (_S.COMPLETED, _S.IN_SESSION),  # a reply is recalled after the quota closed it
        (_S.COMPLETED, _S.AWAITING_DOCTOR),  # likewise, and no other reply counts
        (_S.COMPLETED, _S.REFUNDING),  # the only counted reply is recalled after the close; after-sales, granted in full
        (_S.REFUNDING, _S.REFUNDED),  # the gateway confirmed
    }
)
"""What may follow on what from one write to the next. Nothing else ever shows."""


NOBODY: Final = ""
"""The doctor of a quick consult that waits in its department's pool: no account has this id."""


@dataclass(frozen=True, slots=True)
class LogDoctor:
    """A doctor as shown when the order came, or was to come, to them by a referral or from the pool; or `NOBODY`, who has a
    department only."""

    id: str
    name: str
    title: str
    department: str

    def as_data(self) -> dict[str, str]:
        """As it stands in entries and documents."""
        return {"id": self.id, "name": self.name, "title": self.title, "department": self.department}


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What an order's log says at entry `seq`: all that its status, its lists and its money need.

    Instants are milliseconds. `settle_due_at_ms` is set while the order is closed and not settled.
    `doctor` is set once a referral or a take changed who it is; `referral_to` while one is offered to that doctor.
    `lapse_due_at_ms` is when a quick consult goes back to its pool unless its doctor reads it.
    """

    seq: int
    open: bool
    closes_at_ms: int
    counted_replies: int
    gifted: int
    limit: int
    first_reply_at_ms: int | None = None
    closed_at_ms: int | None = None
    close_reason: CloseReason | None = None
    settle_due_at_ms: int | None = None
    settled: Outcome | None = None
    doctor: LogDoctor | None = None
    referral_to: str | None = None
    lapse_due_at_ms: int | None = None


def log_status(facts: LogFacts | None) -> OrderStatus:
    """The status by the log alone; a captured order whose log has not begun waits for its doctor."""
    if facts is None:
        return _S.AWAITING_DOCTOR
    if facts.open:
        return _S.IN_SESSION if facts.counted_replies else _S.AWAITING_DOCTOR
    return _S.COMPLETED if facts.counted_replies and facts.settled is not Outcome.REFUND else _S.REFUNDING


def derive_status(phase: Phase, facts: LogFacts | None, *, refunded_fen: int, fee_fen: int) -> OrderStatus:
    """The one place that says what status an order has."""
    if phase is Phase.PENDING_PAYMENT:
        return _S.PENDING_PAYMENT
    if phase is Phase.CANCELLED:
        return _S.CANCELLED
    status = log_status(facts)
    if status is _S.REFUNDING and refunded_fen >= fee_fen and facts is not None and facts.settled is Outcome.REFUND:
        return _S.REFUNDED
    return status


def require_allowed(command: Command, status: OrderStatus) -> None:
    """Raises OrderTransitionRefused where the command is not on the list for this status."""
    if status not in ALLOWED[command]:
        raise OrderTransitionRefused(status=status.value)
