"""Payments, refunds and the ledger: pure rules. Money is integer fen.

The ledger has four kinds of accounts. A posting set is one event in the life of money; its lines sum to zero. What a line adds
to an account is positive for what we have (clearing) and negative for what we owe (held, income, refunds payable), so that the
sum over all accounts is always zero, and

    paid = held + earned + refunded

holds per payment and in all, where *refunded* counts refunds that are payable, paid out or not.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from billing.errors import PaymentMismatch, RefundRefused, RefundTransitionRefused
from server.kernel.ids import derived_id


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


class PaymentEvent(StrEnum):
    """What the gateway said of a payment."""

    CLOSED = "closed"
    CAPTURED = "captured"


PAYMENT_TRANSITIONS: Final[Mapping[tuple[PaymentStatus, PaymentEvent], PaymentStatus]] = MappingProxyType(
    {
        (PaymentStatus.OPEN, PaymentEvent.CLOSED): PaymentStatus.CLOSED,
        (PaymentStatus.OPEN, PaymentEvent.CAPTURED): PaymentStatus.CAPTURED,
        # Money that came is booked, whatever was believed before.
        (PaymentStatus.CLOSED, PaymentEvent.CAPTURED): PaymentStatus.CAPTURED,
    }
)


@dataclass(frozen=True, slots=True)
class Payable:
    """What is to be paid. `expires_at` is when the gateway must stop taking it. `description` is what the wallet and the bank
    statement show: nothing of people."""

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
    RESUMED = "resumed"


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
        # A person asked, and the gateway is working on it after all.
        (RefundStatus.NEEDS_PERSON, RefundEvent.RESUMED): RefundStatus.PROCESSING,
    }
)


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that is owed to a payer. Its id derives from payment and cause. `out_refund_no` is its number at the gateway: every
    try is the same request. Only a person starts another number, after the gateway said that the old one is dead; the old ones
    stay in `former_numbers`, since the gateway may yet speak of them. `refusals` counts the tries that it answered with no."""

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
    refusals: int = 0
    former_numbers: tuple[str, ...] = ()
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
"""Tries without an answer: with the pauses below about 17 hours; then a person looks."""

MOST_REFUSALS: Final = 8
"""Tries that the gateway answered with no: about 8 minutes; then a person looks (an empty account needs one)."""


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


SURPLUS: Final = "surplus"
"""The cause of a refund of a payment for nothing: late, or beyond an order's first."""


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


# --- how money moves ---


@dataclass(frozen=True, slots=True)
class Movement:
    """A payment as it is after its money moved, and the postings that say so. `payment.version` is still the one that was read:
    the write stands on it."""

    payment: Payment
    posting: PostingSet


def decide_capture(payment: Payment, report: TradeReport, now: datetime) -> Movement | None:
    """The gateway has the money: it is held for the order. None when that is booked already.

    Raises PaymentMismatch for another amount, for a success without a number, and for a second success of one payment.
    """
    if report.amount_fen != payment.amount_fen or not report.transaction_id:
        raise PaymentMismatch(amount="is not what was asked for")
    if payment.status is PaymentStatus.CAPTURED:
        if report.transaction_id != payment.transaction_id:
            raise PaymentMismatch(transaction="is another than the one that is booked")
        return None
    after = replace(
        payment,
        status=PAYMENT_TRANSITIONS[payment.status, PaymentEvent.CAPTURED],
        transaction_id=report.transaction_id,
        captured_at=now,
        gateway_paid_at=report.paid_at,
        captured_fen=payment.amount_fen,
    )
    lines = captured_lines(payment.channel, payment.amount_fen)
    return Movement(after, _posting(payment, Entry.CAPTURED, payment.id, now, lines))


def decide_earning(payment: Payment, now: datetime) -> Movement | None:
    """What is held becomes the hospital's income. None when nothing is held."""
    if payment.held_fen <= 0:
        return None
    after = replace(payment, earned_fen=payment.earned_fen + payment.held_fen)
    return Movement(after, _posting(payment, Entry.EARNED, payment.id, now, earned_lines(payment.held_fen)))


def decide_reservation(
    payment: Payment, refund_id: str, cause: str, wanted_fen: int | None, now: datetime
) -> tuple[Refund, Movement]:
    """Owe the payer this much: first of what is held, then of what was earned. Raises RefundRefused."""
    amount = refund_amount(payment, wanted_fen)
    from_held = min(amount, payment.held_fen)
    after = replace(
        payment,
        refund_reserved_fen=payment.refund_reserved_fen + amount,
        earned_fen=payment.earned_fen - (amount - from_held),
    )
    refund = Refund(
        id=refund_id,
        hospital_id=payment.hospital_id,
        order_id=payment.order_id,
        payment_id=payment.id,
        cause=cause,
        amount_fen=amount,
        status=RefundStatus.RESERVED,
        out_refund_no=refund_id,
        created_at=now,
        next_try_at=now,
    )
    lines = reserved_lines(from_held, amount - from_held)
    return refund, Movement(after, _posting(payment, Entry.REFUND_RESERVED, refund_id, now, lines))


def decide_payout(payment: Payment, refund: Refund, gateway_refund_id: str | None, now: datetime) -> tuple[Refund, Movement]:
    """The payer has the money. Raises RefundTransitionRefused where that is booked already."""
    done = replace(
        refund,
        status=next_refund_status(refund.status, RefundEvent.SUCCEEDED),
        gateway_refund_id=gateway_refund_id or refund.gateway_refund_id,
        refunded_at=now,
        next_try_at=None,
        problem=None,
    )
    after = replace(payment, refunded_fen=payment.refunded_fen + refund.amount_fen)
    lines = refunded_lines(payment.channel, refund.amount_fen)
    return done, Movement(after, _posting(payment, Entry.REFUNDED, refund.id, now, lines))


def _posting(payment: Payment, entry: Entry, subject: str, at: datetime, lines: Mapping[str, int]) -> PostingSet:
    return PostingSet(
        id=derived_id("posting", entry.value, subject),
        hospital_id=payment.hospital_id,
        order_id=payment.order_id,
        payment_id=payment.id,
        entry=entry,
        at=at,
        lines=lines,
    )


# --- proof ---


@dataclass(frozen=True, slots=True)
class LedgerFault:
    """Something that does not add up: where, and what."""

    where: str
    what: str


MOST_FAULTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class LedgerReport:
    payments: int
    posting_sets: int
    totals: Mapping[str, int]
    faults: tuple[LedgerFault, ...]
    fault_count: int
    """All of them, though `faults` names `MOST_FAULTS` at most."""

    @property
    def balanced(self) -> bool:
        return not self.fault_count


def check_payment(
    payment: Payment, booked: Collection[tuple[Entry, Mapping[str, int]]], refunds: Collection[tuple[RefundStatus, int]]
) -> list[LedgerFault]:
    """Whether a payment's sums are what its postings (entry and lines) and its refunds (status and amount) say, and money is
    conserved in it."""
    by_entry = dict.fromkeys(Entry, 0)
    accounts: dict[str, int] = {}
    for entry, lines in booked:
        by_entry[entry] += sum(amount for amount in lines.values() if amount > 0)
        for account, amount in lines.items():
            accounts[account] = accounts.get(account, 0) + amount
    paid_out = sum(amount for status, amount in refunds if status is RefundStatus.REFUNDED)
    found: dict[str, Any] = {
        "captured": (payment.captured_fen, by_entry[Entry.CAPTURED]),
        "reserved": (payment.refund_reserved_fen, by_entry[Entry.REFUND_RESERVED]),
        "refunded": (payment.refunded_fen, by_entry[Entry.REFUNDED]),
        "at the gateway": (payment.captured_fen - payment.refunded_fen, accounts.pop(clearing(payment.channel), 0)),
        "held": (payment.held_fen, -accounts.pop(HELD, 0)),
        "earned": (payment.earned_fen, -accounts.pop(INCOME, 0)),
        "payable": (payment.refund_reserved_fen - payment.refunded_fen, -accounts.pop(REFUNDS_PAYABLE, 0)),
        "in other accounts": (0, sum(abs(amount) for amount in accounts.values())),
        "refunds": (payment.refund_reserved_fen, sum(amount for _, amount in refunds)),
        "refunds paid out": (payment.refunded_fen, paid_out),
        "conserved": (payment.captured_fen, payment.held_fen + payment.earned_fen + payment.refund_reserved_fen),
        "what was asked for": (payment.amount_fen if payment.status is PaymentStatus.CAPTURED else 0, payment.captured_fen),
    }
    faults = [LedgerFault(payment.id, f"{n}: {a} in the payment, {b} found") for n, (a, b) in found.items() if a != b]
    if (
        min(payment.held_fen, payment.earned_fen, payment.refunded_fen) < 0
        or payment.refunded_fen > payment.refund_reserved_fen
    ):
        faults.append(LedgerFault(payment.id, "a sum is out of its bounds"))
    return faults
