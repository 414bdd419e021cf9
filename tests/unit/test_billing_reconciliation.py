"""Bills against books, by values alone: every seeded difference is found, and nothing else."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from billing.domain import Channel, Payment, PaymentStatus, Refund, RefundStatus
from billing.reconciliation.domain import (
    MOST_FINDINGS,
    WECHATPAY,
    BillLine,
    Books,
    Difference,
    EntryKind,
    LineState,
    Reconciliation,
    days_to_compare,
    is_whole,
    reconcile,
)
from billing.reconciliation.wechatpay import parse_bill

DAY = date(2026, 1, 5)
NOON = datetime(2026, 1, 5, 4, tzinfo=UTC)
WHOLE = datetime(2026, 1, 6, 2, tzinfo=UTC)
"""Ten o'clock in Beijing on the next day."""


def payment(number: str, fen: int = 5_000) -> Payment:
    return Payment(
        id=number,
        hospital_id="default",
        order_id=f"order-{number}",
        payer_account_id="p",
        channel=Channel.WECHAT_H5,
        amount_fen=fen,
        description="",
        expires_at=NOON,
        out_trade_no=number,
        status=PaymentStatus.CAPTURED,
        created_at=NOON,
        transaction_id=f"t-{number}",
        captured_fen=fen,
        gateway_paid_at=NOON,
    )


def refund(number: str, fen: int = 5_000) -> Refund:
    status = RefundStatus.REFUNDED
    return Refund(number, "default", f"order-{number}", "p", "declined", fen, status, number, NOON, None, refunded_at=NOON)


def line_of(ours: Payment | Refund) -> BillLine:
    if isinstance(ours, Payment):
        return BillLine(EntryKind.PAYMENT, ours.out_trade_no, ours.captured_fen, LineState.DONE, f"t-{ours.out_trade_no}")
    return BillLine(EntryKind.REFUND, ours.out_refund_no, ours.amount_fen, LineState.DONE, "t")


def compared(lines: list[BillLine], ours: list[Payment | Refund], billed: frozenset[str] = frozenset()) -> Reconciliation:
    payments = [each for each in ours if isinstance(each, Payment)]
    refunds = [each for each in ours if isinstance(each, Refund)]
    books = Books(
        {each.out_trade_no: each for each in payments},
        {number: each for each in refunds for number in (*each.former_numbers, each.out_refund_no)},
        [each for each in payments if each.status is PaymentStatus.CAPTURED],
        [each for each in refunds if each.status is RefundStatus.REFUNDED],
        billed,
    )
    return reconcile("default", WECHATPAY, DAY, lines, books, WHOLE)


def found(done: Reconciliation) -> set[tuple[Difference, EntryKind, str]]:
    return {(each.difference, each.entry, each.number) for each in done.findings}


@pytest.mark.parametrize("seed", range(20))
def test_seeded_differences_are_all_found_and_nothing_else_is(seed: int) -> None:
    random_ = random.Random(seed)
    fees = [random_.choice([1, 99, 5_000, 10_000]) for _ in range(200)]
    ours: list[Payment | Refund] = [payment(f"p{n}", fen) for n, fen in enumerate(fees)]
    ours += [refund(f"r{n}", fen) for n, fen in enumerate(fees[:80])]
    lines = {line.number: line for line in map(line_of, ours)}
    assert compared(list(lines.values()), ours).findings == ()
    numbers = random_.sample(sorted(lines), 12)
    seeded: set[tuple[Difference, EntryKind, str]] = set()
    extra: list[BillLine] = []
    for place, number in enumerate(numbers):
        line = lines[number]
        match place % 4:
            case 0:
                del lines[number]
                seeded.add((Difference.MISSING_THERE, line.kind, number))
            case 1:
                lines[number] = replace(line, amount_fen=line.amount_fen + random_.choice([-1, 1, 100]))
                seeded.add((Difference.AMOUNT_DIFFERS, line.kind, number))
            case 2:
                extra.append(line)
                seeded.add((Difference.DOUBLED_THERE, line.kind, number))
            case _:
                extra.append(replace(line, number=f"x{number}"))
                seeded.add((Difference.UNKNOWN_HERE, line.kind, f"x{number}"))
    bill = [*lines.values(), *extra]
    random_.shuffle(bill)
    done = compared(bill, ours)
    assert found(done) == seeded
    assert done.finding_count == len(seeded)


@pytest.mark.parametrize(
    ("ours", "line", "differs"),
    [
        (replace(payment("a"), status=PaymentStatus.CLOSED, captured_fen=0), line_of(payment("a")), True),
        (replace(payment("a"), transaction_id="another"), line_of(payment("a")), True),
        (replace(refund("a"), status=RefundStatus.PROCESSING), line_of(refund("a")), True),
        (replace(refund("a"), status=RefundStatus.NEEDS_PERSON), line_of(refund("a")), True),
        (replace(refund("a"), status=RefundStatus.PROCESSING), replace(line_of(refund("a")), state=LineState.UNDER_WAY), False),
        (replace(refund("a"), status=RefundStatus.NEEDS_PERSON), replace(line_of(refund("a")), state=LineState.FAILED), False),
        (refund("a"), replace(line_of(refund("a")), state=LineState.UNDER_WAY), False),
        (refund("a"), replace(line_of(refund("a")), state=LineState.FAILED), True),
    ],
)
def test_what_moved_on_one_side_only_differs_in_state(ours: Payment | Refund, line: BillLine, differs: bool) -> None:
    done = compared([line], [ours])
    assert found(done) == ({(Difference.STATE_DIFFERS, line.kind, "a")} if differs else set())


def test_a_number_that_failed_before_another_was_begun_is_no_difference() -> None:
    again = replace(refund("new"), former_numbers=("old",))
    failed = replace(line_of(refund("old")), state=LineState.FAILED)
    assert compared([failed, line_of(again)], [again]).findings == ()


def test_a_refund_that_stands_in_the_bill_of_the_day_before_is_not_missing() -> None:
    assert compared([], [refund("a")], frozenset({"a"})).findings == ()
    assert found(compared([], [refund("a")])) == {(Difference.MISSING_THERE, EntryKind.REFUND, "a")}


def test_all_differences_are_counted_and_some_named() -> None:
    done = compared([line_of(payment(str(n))) for n in range(MOST_FINDINGS + 5)], [])
    assert (done.finding_count, len(done.findings)) == (MOST_FINDINGS + 5, MOST_FINDINGS)
    assert (done.payments.count, done.payments.amount_fen) == (205, 205 * 5_000)


def test_a_day_is_compared_from_ten_of_the_next_once_oldest_first_for_a_week() -> None:
    early = WHOLE - timedelta(milliseconds=1)
    assert (is_whole(DAY, early), is_whole(DAY, WHOLE)) == (False, True)
    assert days_to_compare(early, [])[-1] == date(2026, 1, 4)
    week = [date(2025, 12, 30) + timedelta(days=n) for n in range(7)]
    assert days_to_compare(WHOLE, []) == week
    assert days_to_compare(WHOLE, week[:-1]) == [DAY]


HEADER = "交易时间,微信订单号,商户订单号,交易状态,订单金额,商户退款单号,申请退款金额,退款状态"
PAID = "`2026-01-05 12:00:00,`t-a,`a,`SUCCESS,`50.00,`0,`0.00,`"
BACK = "`2026-01-05 12:00:00,`t-a,`a,`REFUND,`0.00,`r,`12.50,`CHANGE"
TOTALS = "总交易单数,应结订单总金额\r\n`{},`0.00\r\n"


def bill(*lines: str, count: int | None = None) -> bytes:
    text = "\r\n".join([HEADER, *lines, TOTALS.format(len(lines) if count is None else count)])
    return b"\xef\xbb\xbf" + text.encode()


def test_a_bill_is_read_by_the_names_in_its_header() -> None:
    assert parse_bill(bill(PAID, BACK)) == [
        BillLine(EntryKind.PAYMENT, "a", 5_000, LineState.DONE, "t-a"),
        BillLine(EntryKind.REFUND, "r", 1_250, LineState.FAILED, "t-a"),
    ]
    assert parse_bill(bill()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"<html></html>",
        bill(PAID, count=2),
        bill(PAID)[:-20],
        bill(PAID.replace("50.00", "fifty")),
        bill(PAID.replace("SUCCESS", "MAYBE")),
        bill(PAID + ",`more"),
        bill(BACK.replace("CHANGE", "LOST")),
        HEADER.encode(),
    ],
)
def test_what_is_no_whole_bill_is_refused(content: bytes) -> None:
    with pytest.raises((ValueError, KeyError, StopIteration)):
        parse_bill(content)
