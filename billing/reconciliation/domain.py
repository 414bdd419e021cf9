"""What a gateway's bill of one day says, what our books say, and where they differ.

A day is a Beijing day by the gateway's time: of a payment when it was paid, of a refund when the gateway began it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from enum import StrEnum
from typing import Final

from billing.domain import Payment, PaymentStatus, Refund, RefundStatus
from server.kernel.ids import derived_id

SHANGHAI: Final = timezone(timedelta(hours=8))
WECHATPAY: Final = "wechatpay"
"""One bill holds all ways of paying by this gateway."""

READY_HOUR: Final = 10
"""From then on, the next day, a bill is whole."""

LOOKS_BACK: Final = timedelta(days=7)
MOST_FINDINGS: Final = 200
"""Kept and shown; all are counted."""


class EntryKind(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"


class LineState(StrEnum):
    DONE = "done"
    UNDER_WAY = "under_way"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BillLine:
    """`number` is ours: what we called the payment or the refund at the gateway."""

    kind: EntryKind
    number: str
    amount_fen: int
    state: LineState
    transaction_id: str


class Difference(StrEnum):
    """`unknown_here`: the gateway has it, our books do not. `missing_there`: the other way round. `doubled_there`: twice in one
    bill. `state_differs`: it moved there and not here, or here and not there, or under another number of the gateway's."""

    UNKNOWN_HERE = "unknown_here"
    MISSING_THERE = "missing_there"
    AMOUNT_DIFFERS = "amount_differs"
    STATE_DIFFERS = "state_differs"
    DOUBLED_THERE = "doubled_there"


@dataclass(frozen=True, slots=True)
class Finding:
    """`ours_fen` None: not in our books. `theirs_fen` None: not in the bill."""

    difference: Difference
    entry: EntryKind
    number: str
    order_id: str | None
    ours_fen: int | None
    theirs_fen: int | None


@dataclass(frozen=True, slots=True)
class Total:
    count: int = 0
    amount_fen: int = 0


@dataclass(frozen=True, slots=True)
class Books:
    """Our side: what bears one of the bill's numbers, and what must stand in the bill of the day.

    `refunds` is by the number at the gateway, former ones too. `billed` are numbers of due refunds that another day's bill
    holds.
    """

    payments: Mapping[str, Payment]
    refunds: Mapping[str, Refund]
    due_payments: Collection[Payment]
    due_refunds: Collection[Refund]
    billed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One day of one gateway, compared. `final`: the bill was whole by then; until it is, the day is compared again."""

    id: str
    hospital_id: str
    channel: str
    day: date
    compared_at: datetime
    final: bool
    payments: Total
    refunds: Total
    findings: tuple[Finding, ...]
    finding_count: int


def reconciliation_id(hospital_id: str, channel: str, day: date) -> str:
    return derived_id("reconciliation", hospital_id, channel, day.isoformat())


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """The day's first instant and the one behind its last."""
    start = datetime.combine(day, time(), SHANGHAI)
    return start, start + timedelta(days=1)


def local_date(at: datetime) -> date:
    return at.astimezone(SHANGHAI).date()


def is_whole(day: date, now: datetime) -> bool:
    """Whether the bill of `day` is whole by now."""
    return now >= day_bounds(day)[1] + timedelta(hours=READY_HOUR)


def days_to_compare(now: datetime, final: Collection[date]) -> list[date]:
    """Of the last week the days whose bill is whole and that were not compared with it, oldest first."""
    today = local_date(now)
    days = [today - timedelta(days=back) for back in range(LOOKS_BACK.days, 0, -1)]
    return [day for day in days if is_whole(day, now) and day not in final]


def reconcile(
    hospital_id: str, channel: str, day: date, lines: Sequence[BillLine], books: Books, now: datetime
) -> Reconciliation:
    """Line by line, both ways."""
    findings = list(_differences(lines, books))
    return Reconciliation(
        id=reconciliation_id(hospital_id, channel, day),
        hospital_id=hospital_id,
        channel=channel,
        day=day,
        compared_at=now,
        final=is_whole(day, now),
        payments=_total(lines, EntryKind.PAYMENT),
        refunds=_total(lines, EntryKind.REFUND),
        findings=tuple(findings[:MOST_FINDINGS]),
        finding_count=len(findings),
    )


def _total(lines: Iterable[BillLine], kind: EntryKind) -> Total:
    amounts = [line.amount_fen for line in lines if line.kind is kind]
    return Total(len(amounts), sum(amounts))


def _differences(lines: Sequence[BillLine], books: Books) -> Iterator[Finding]:
    billed: set[tuple[EntryKind, str]] = set()
    for line in lines:
        if (line.kind, line.number) in billed:
            yield Finding(Difference.DOUBLED_THERE, line.kind, line.number, None, None, line.amount_fen)
            continue
        billed.add((line.kind, line.number))
        check = _check_payment if line.kind is EntryKind.PAYMENT else _check_refund
        yield from check(line, books)
    for payment in books.due_payments:
        if (EntryKind.PAYMENT, payment.out_trade_no) not in billed:
            yield Finding(
                Difference.MISSING_THERE,
                EntryKind.PAYMENT,
                payment.out_trade_no,
                payment.order_id,
                payment.captured_fen,
                None,
            )
    for refund in books.due_refunds:
        numbers = {refund.out_refund_no, *refund.former_numbers}
        if numbers & books.billed or any((EntryKind.REFUND, number) in billed for number in numbers):
            continue
        yield Finding(
            Difference.MISSING_THERE, EntryKind.REFUND, refund.out_refund_no, refund.order_id, refund.amount_fen, None
        )


def _check_payment(line: BillLine, books: Books) -> Iterator[Finding]:
    payment = books.payments.get(line.number)
    if payment is None:
        yield Finding(Difference.UNKNOWN_HERE, line.kind, line.number, None, None, line.amount_fen)
        return
    captured = payment.status is PaymentStatus.CAPTURED
    ours = payment.captured_fen if captured else 0
    if not captured or payment.transaction_id != line.transaction_id:
        yield Finding(Difference.STATE_DIFFERS, line.kind, line.number, payment.order_id, ours, line.amount_fen)
    elif ours != line.amount_fen:
        yield Finding(Difference.AMOUNT_DIFFERS, line.kind, line.number, payment.order_id, ours, line.amount_fen)


def _check_refund(line: BillLine, books: Books) -> Iterator[Finding]:
    refund = books.refunds.get(line.number)
    if refund is None:
        yield Finding(Difference.UNKNOWN_HERE, line.kind, line.number, None, None, line.amount_fen)
        return
    if refund.amount_fen != line.amount_fen:
        yield Finding(Difference.AMOUNT_DIFFERS, line.kind, line.number, refund.order_id, refund.amount_fen, line.amount_fen)
        return
    done = refund.status is RefundStatus.REFUNDED
    current = line.number == refund.out_refund_no
    if (line.state is LineState.DONE and not done) or (line.state is LineState.FAILED and done and current):
        yield Finding(Difference.STATE_DIFFERS, line.kind, line.number, refund.order_id, refund.amount_fen, line.amount_fen)
