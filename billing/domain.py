"""Payments, refunds and the ledger: pure rules. Money is integer fen.

The ledger has four kinds of accounts. A posting set is one event in the life of money; its lines sum to zero. What a line adds
to an account is positive for what we have (clearing) and negative for what we owe (held, income, refunds payable), so that the
sum over all accounts is always zero, and

    paid = held + earned + refunded

holds per payment and in all, where *refunded* counts refunds that are payable, paid out or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from billing.errors import RefundRefused, RefundTransitionRefused


class Channel(StrEnum):
    """How a patient pays; the wire's `channel`."""

    WECHAT_H5 = "wechat_h5"
    WECHAT_JSAPI = "wechat_jsapi"
    ALIPAY_WAP = "alipay_wap"


class PaymentStatus(StrEnum):
    """`open`: asked for. `closed`: nobody can pay it any more, as far as the gateway said; a capture still counts."""

    OPEN = "open"
    CAPTURED = "captured"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Payable:
    """What is to be paid. `expires_at` is when the gateway must stop taking it."""

    order_id: str
    hospital_id: str
    payer_account_id: str
    amount_fen: int
    description: str
    expires_at: datetime
    payer_address: str


@dataclass(frozen=True, slots=True)
class StartedPayment:
    """What a wallet needs to go on. `prepay_id` is the gateway's; `params` are the channel's."""

    payment_id: str
    channel: Channel
    prepay_id: str
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Payment:
    """One attempt to pay an order. The sums guard every money transaction: `earned + refund_reserved <= captured`, and
    `refunded <= refund_reserved`. `out_trade_no` is our number at the gateway, fixed before it is first asked."""

    id: str
    hospital_id: str
    order_id: str
    payer_account_id: str
    channel: Channel
    amount_fen: int
    description: str
    expires_at: datetime
    out_trade_no: str
    status: PaymentStatus
    created_at: datetime
    prepay_id: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    transaction_id: str | None = None
    captured_at: datetime | None = None
    gateway_paid_at: datetime | None = None
    captured_fen: int = 0
    earned_fen: int = 0
    refund_reserved_fen: int = 0
    refunded_fen: int = 0
    queries: int = 0
    version: int = 1

    @property
    def held_fen(self) -> int:
        return self.captured_fen - self.earned_fen - self.refund_reserved_fen


class RefundStatus(StrEnum):
    """`reserved`: booked, not yet asked for. `processing`: the gateway has it. `needs_person`: no machine goes on with it."""

    RESERVED = "reserved"
    PROCESSING = "processing"
    REFUNDED = "refunded"
    NEEDS_PERSON = "needs_person"


class RefundEvent(StrEnum):
    """What the gateway said, or a person did."""

    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RESTARTED = "restarted"


REFUND_TRANSITIONS: Final[Mapping[tuple[RefundStatus, RefundEvent], RefundStatus]] = MappingProxyType(
    {
        (RefundStatus.RESERVED, RefundEvent.ACCEPTED): RefundStatus.PROCESSING,
        (RefundStatus.RESERVED, RefundEvent.SUCCEEDED): RefundStatus.REFUNDED,
        (RefundStatus.RESERVED, RefundEvent.FAILED): RefundStatus.NEEDS_PERSON,
        (RefundStatus.PROCESSING, RefundEvent.ACCEPTED): RefundStatus.PROCESSING,
        (RefundStatus.PROCESSING, RefundEvent.SUCCEEDED): RefundStatus.REFUNDED,
        (RefundStatus.PROCESSING, RefundEvent.FAILED): RefundStatus.NEEDS_PERSON,
        # A late success is the truth, whatever was believed before.
        (RefundStatus.NEEDS_PERSON, RefundEvent.SUCCEEDED): RefundStatus.REFUNDED,
        (RefundStatus.NEEDS_PERSON, RefundEvent.RESTARTED): RefundStatus.RESERVED,
    }
)


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that is owed to a payer. Its id derives from payment and cause. `out_refund_no` is its number at the gateway: every
    try is the same request. Only a person starts another number, after the gateway said that the old one is dead."""

    id: str
    hospital_id: str
    order_id: str
    payment_id: str
    cause: str
    amount_fen: int
    status: RefundStatus
    out_refund_no: str
    created_at: datetime
    next_try_at: datetime | None
    tries: int = 0
    problem: str | None = None
    gateway_refund_id: str | None = None
    refunded_at: datetime | None = None
    version: int = 1


def next_refund_status(status: RefundStatus, event: RefundEvent) -> RefundStatus:
    """Raises RefundTransitionRefused for every pair that is not in the table."""
    try:
        return REFUND_TRANSITIONS[status, event]
    except KeyError:
        raise RefundTransitionRefused(status=status.value, event=event.value) from None


_FIRST_TRY_AFTER: Final = timedelta(seconds=2)
_LONGEST_PAUSE: Final = timedelta(minutes=30)
MOST_TRIES: Final = 40
"""With the pauses below about 17 hours; then a person looks."""


def pause_after(tries: int) -> timedelta:
    """How long to wait after that many tries: 2 s doubling to 30 min."""
    doubled: int = 2 ** min(tries, 12)
    return min(_FIRST_TRY_AFTER * doubled, _LONGEST_PAUSE)


def refund_amount(payment: Payment, wanted_fen: int | None) -> int:
    """How much to reserve: what is wanted, or all that is not yet reserved. Raises RefundRefused where that is not there."""
    free = payment.captured_fen - payment.refund_reserved_fen
    amount = free if wanted_fen is None else wanted_fen
    if amount <= 0 or amount > free:
        raise RefundRefused(refundable_fen=free)
    return amount


# --- the ledger ---

HELD: Final = "held"
INCOME: Final = "income"
REFUNDS_PAYABLE: Final = "refunds_payable"


class Entry(StrEnum):
    """What a posting set is about."""

    CAPTURED = "captured"
    EARNED = "earned"
    REFUND_RESERVED = "refund_reserved"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True)
class PostingSet:
    """Lines by account; they sum to zero. `id` derives from what it books, so that nothing is booked twice."""

    id: str
    hospital_id: str
    order_id: str
    payment_id: str
    entry: Entry
    at: datetime
    lines: Mapping[str, int]

    def __post_init__(self) -> None:
        if sum(self.lines.values()) != 0 or not self.lines:
            raise ValueError("postings must sum to zero")


def clearing(channel: Channel) -> str:
    """The account of money that is at this channel's gateway."""
    return f"clearing:{channel.value}"


def captured_lines(channel: Channel, amount_fen: int) -> dict[str, int]:
    return {clearing(channel): amount_fen, HELD: -amount_fen}


def earned_lines(amount_fen: int) -> dict[str, int]:
    return {HELD: amount_fen, INCOME: -amount_fen}


def reserved_lines(from_held_fen: int, from_income_fen: int) -> dict[str, int]:
    lines = {HELD: from_held_fen, INCOME: from_income_fen, REFUNDS_PAYABLE: -(from_held_fen + from_income_fen)}
    return {account: amount for account, amount in lines.items() if amount}


def refunded_lines(channel: Channel, amount_fen: int) -> dict[str, int]:
    return {REFUNDS_PAYABLE: amount_fen, clearing(channel): -amount_fen}


# --- what a gateway says ---


class TradeState(StrEnum):
    PAID = "paid"
    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN_THERE = "unknown_there"


@dataclass(frozen=True, slots=True)
class TradeReport:
    """What a gateway says of one of our numbers, verified to be the gateway's own words."""

    out_trade_no: str
    state: TradeState
    amount_fen: int | None = None
    transaction_id: str | None = None
    paid_at: datetime | None = None


class RefundState(StrEnum):
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    ABNORMAL = "abnormal"
    CLOSED = "closed"
    UNKNOWN_THERE = "unknown_there"


@dataclass(frozen=True, slots=True)
class RefundReport:
    out_refund_no: str
    state: RefundState
    amount_fen: int | None = None
    gateway_refund_id: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerFault:
    """Something that does not add up: where, and what."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class LedgerReport:
    payments: int
    posting_sets: int
    totals: Mapping[str, int]
    faults: tuple[LedgerFault, ...]

    @property
    def balanced(self) -> bool:
        return not self.faults


def check_payment(payment: Payment, booked: Sequence[tuple[Entry, Mapping[str, int]]]) -> list[LedgerFault]:
    """Whether a payment's sums are what its postings (entry and lines) say, and money is conserved in it."""
    by_entry = dict.fromkeys(Entry, 0)
    accounts: dict[str, int] = {}
    for entry, lines in booked:
        by_entry[entry] += sum(amount for amount in lines.values() if amount > 0)
        for account, amount in lines.items():
            accounts[account] = accounts.get(account, 0) + amount
    found: dict[str, Any] = {
        "captured": (payment.captured_fen, by_entry[Entry.CAPTURED]),
        "reserved": (payment.refund_reserved_fen, by_entry[Entry.REFUND_RESERVED]),
        "refunded": (payment.refunded_fen, by_entry[Entry.REFUNDED]),
        "held": (payment.held_fen, -accounts.get(HELD, 0)),
        "earned": (payment.earned_fen, -accounts.get(INCOME, 0)),
        "payable": (payment.refund_reserved_fen - payment.refunded_fen, -accounts.get(REFUNDS_PAYABLE, 0)),
        "conserved": (payment.captured_fen, payment.held_fen + payment.earned_fen + payment.refund_reserved_fen),
    }
    faults = [LedgerFault(payment.id, f"{n}: {a} in the payment, {b} booked") for n, (a, b) in found.items() if a != b]
    if (
        min(payment.held_fen, payment.earned_fen, payment.refunded_fen) < 0
        or payment.refunded_fen > payment.refund_reserved_fen
    ):
        faults.append(LedgerFault(payment.id, "a sum is out of its bounds"))
    return faults
