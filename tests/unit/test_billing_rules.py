import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain import (
    HELD,
    INCOME,
    PAYMENT_TRANSITIONS,
    REFUND_TRANSITIONS,
    REFUNDS_PAYABLE,
    Channel,
    Entry,
    Movement,
    Payment,
    PaymentEvent,
    PaymentStatus,
    PostingSet,
    Refund,
    RefundEvent,
    RefundStatus,
    TradeReport,
    TradeState,
    captured_lines,
    check_payment,
    clearing,
    decide_capture,
    decide_earning,
    decide_payout,
    decide_reservation,
    earned_lines,
    next_refund_status,
    pause_after,
    refund_amount,
    refunded_lines,
    reserved_lines,
)
from billing.errors import PaymentMismatch, RefundRefused, RefundTransitionRefused
from server.kernel.ids import derived_id

NOW = datetime(2026, 1, 5, tzinfo=UTC)
PAYMENT = Payment(
    id="p", hospital_id="h", order_id="o", payer_account_id="a", channel=Channel.WECHAT_H5, amount_fen=5_000,
    description="图文咨询", expires_at=NOW, out_trade_no="p", status=PaymentStatus.CAPTURED, created_at=NOW, captured_fen=5_000,
)  # fmt: skip
PAID = TradeReport("p", TradeState.PAID, 5_000, "4200", NOW - timedelta(seconds=3))


@pytest.mark.parametrize(("status", "event"), list(product(RefundStatus, RefundEvent)))
def test_a_refund_goes_only_where_the_table_says(status: RefundStatus, event: RefundEvent) -> None:
    if (status, event) in REFUND_TRANSITIONS:
        assert next_refund_status(status, event) is REFUND_TRANSITIONS[status, event]
    else:
        with pytest.raises(RefundTransitionRefused):
            next_refund_status(status, event)


def test_a_payment_is_captured_from_anywhere_once_and_closed_only_while_open() -> None:
    assert set(PAYMENT_TRANSITIONS) == {
        (PaymentStatus.OPEN, PaymentEvent.CLOSED),
        (PaymentStatus.OPEN, PaymentEvent.CAPTURED),
        (PaymentStatus.CLOSED, PaymentEvent.CAPTURED),
    }
    for status in (PaymentStatus.OPEN, PaymentStatus.CLOSED):
        movement = decide_capture(replace(PAYMENT, status=status, captured_fen=0), PAID, NOW)
        assert movement is not None
        assert (movement.payment.status, movement.payment.held_fen) == (PaymentStatus.CAPTURED, 5_000)
        assert (movement.payment.captured_at, movement.payment.gateway_paid_at) == (NOW, NOW - timedelta(seconds=3))
        assert decide_capture(movement.payment, PAID, NOW) is None


@pytest.mark.parametrize(
    "change", [{"amount_fen": 4_999}, {"amount_fen": None}, {"transaction_id": None}, {"transaction_id": ""}]
)
def test_a_success_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(PaymentMismatch):
        decide_capture(replace(PAYMENT, status=PaymentStatus.OPEN, captured_fen=0), replace(PAID, **change), NOW)  # type: ignore[arg-type]


def test_a_refund_takes_what_is_held_before_what_was_earned() -> None:
    _, movement = decide_reservation(PAYMENT, "r", "cause", 1_000, NOW)
    assert movement.posting.lines == {HELD: 1_000, REFUNDS_PAYABLE: -1_000}
    earned = decide_earning(movement.payment, NOW)
    assert earned is not None
    assert earned.posting.lines == {HELD: 4_000, INCOME: -4_000}
    assert decide_earning(earned.payment, NOW) is None
    _, rest = decide_reservation(earned.payment, "q", "cause", None, NOW)
    assert rest.posting.lines == {INCOME: 4_000, REFUNDS_PAYABLE: -4_000}
    partly = replace(PAYMENT, earned_fen=3_000)
    _, both = decide_reservation(partly, "s", "cause", 2_500, NOW)
    assert both.posting.lines == {HELD: 2_000, INCOME: 500, REFUNDS_PAYABLE: -2_500}


def test_a_payout_books_once() -> None:
    refund, movement = decide_reservation(PAYMENT, "r", "cause", None, NOW)
    done, paid = decide_payout(movement.payment, refund, "5030", NOW)
    assert (done.status, done.refunded_at, done.gateway_refund_id) == (RefundStatus.REFUNDED, NOW, "5030")
    assert paid.posting.lines == {REFUNDS_PAYABLE: 5_000, clearing(Channel.WECHAT_H5): -5_000}
    with pytest.raises(RefundTransitionRefused):
        decide_payout(paid.payment, done, None, NOW)


class Books:
    """The ledger in memory: applies movements, refuses what is booked already, and counts."""

    def __init__(self, payments: list[Payment]) -> None:
        self.payments = {payment.id: payment for payment in payments}
        self.refunds: dict[str, Refund] = {}
        self.sets: dict[str, PostingSet] = {}
        self.accounts: dict[str, int] = {}

    def book(self, movement: Movement | None) -> None:
        if movement is None:
            return
        assert movement.posting.id not in self.sets
        self.sets[movement.posting.id] = movement.posting
        self.payments[movement.payment.id] = movement.payment
        for account, amount in movement.posting.lines.items():
            self.accounts[account] = self.accounts.get(account, 0) + amount

    def conserved(self) -> bool:
        paid = sum(payment.captured_fen for payment in self.payments.values())
        held, earned, payable = (-self.accounts.get(name, 0) for name in (HELD, INCOME, REFUNDS_PAYABLE))
        paid_out = sum(payment.refunded_fen for payment in self.payments.values())
        at_gateways = sum(self.accounts.get(clearing(channel), 0) for channel in Channel)
        return paid == held + earned + payable + paid_out and at_gateways == paid - paid_out and min(held, earned, payable) >= 0


def test_a_hundred_thousand_random_steps_conserve_money() -> None:
    """Every step in any order, repeated, wrong and too much: after each one paid = held + earned + refunded."""
    dice = random.Random(5_000)
    channels = (Channel.WECHAT_H5, Channel.WECHAT_JSAPI)
    books = Books(
        [
            replace(PAYMENT, id=f"p{n}", channel=dice.choice(channels), amount_fen=dice.randrange(1, 9_999),
                    status=PaymentStatus.OPEN, captured_fen=0)
            for n in range(4_000)
        ]
    )  # fmt: skip
    names = list(books.payments)
    refused = 0
    for number in range(100_000):
        payment = books.payments[dice.choice(names)]
        step = dice.randrange(5)
        try:
            if step == 0:
                amount = payment.amount_fen + (dice.random() < 0.05)
                books.book(decide_capture(payment, replace(PAID, amount_fen=amount), NOW))
            elif step == 1:
                books.book(decide_earning(payment, NOW))
            elif step in (2, 3):
                refund_id = derived_id(payment.id, str(dice.randrange(4)))
                if refund_id not in books.refunds:
                    wanted = None if dice.random() < 0.2 else dice.randrange(0, payment.amount_fen + 2)
                    refund, movement = decide_reservation(payment, refund_id, "cause", wanted, NOW)
                    books.book(movement)
                    books.refunds[refund_id] = refund
            elif books.refunds:
                refund = books.refunds[dice.choice(list(books.refunds)[-50:])]
                done, movement = decide_payout(books.payments[refund.payment_id], refund, None, NOW)
                books.book(movement)
                books.refunds[refund.id] = done
        except (PaymentMismatch, RefundRefused, RefundTransitionRefused):
            refused += 1
        if number % 500 == 0:
            assert books.conserved()
    assert refused > 1_000
    assert books.conserved()
    by_payment: dict[str, list[tuple[Entry, dict[str, int]]]] = {name: [] for name in names}
    for posting in books.sets.values():
        by_payment[posting.payment_id].append((posting.entry, dict(posting.lines)))
    for payment in books.payments.values():
        refunds = [(r.status, r.amount_fen) for r in books.refunds.values() if r.payment_id == payment.id]
        assert check_payment(payment, by_payment[payment.id], refunds) == []


def test_what_is_refunded_stays_refunded() -> None:
    assert not any(status is RefundStatus.REFUNDED for status, _ in REFUND_TRANSITIONS)


def test_no_more_is_refunded_than_was_paid() -> None:
    assert refund_amount(PAYMENT, None) == 5_000
    assert refund_amount(replace(PAYMENT, refund_reserved_fen=2_000), None) == 3_000
    for wanted in (0, -1, 3_001):
        with pytest.raises(RefundRefused) as refusal:
            refund_amount(replace(PAYMENT, refund_reserved_fen=2_000), wanted)
        assert refusal.value.fields == {"refundable_fen": 3_000}


def test_pauses_double_up_to_half_an_hour() -> None:
    assert [pause_after(n) // timedelta(seconds=1) for n in (0, 1, 2, 10, 11, 40)] == [2, 4, 8, 1_800, 1_800, 1_800]


@given(st.integers(min_value=1, max_value=10**9), st.integers(min_value=0, max_value=10**9))
def test_all_lines_sum_to_zero(amount: int, other: int) -> None:
    for lines in (
        captured_lines(Channel.WECHAT_H5, amount),
        earned_lines(amount),
        reserved_lines(amount, other),
        refunded_lines(Channel.WECHAT_JSAPI, amount),
    ):
        assert sum(lines.values()) == 0


def test_postings_that_do_not_sum_to_zero_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="zero"):
        PostingSet("i", "h", "o", "p", Entry.EARNED, NOW, {"held": 1, "income": -2})


def test_a_sum_that_its_postings_do_not_say_is_found() -> None:
    booked = (Entry.CAPTURED, captured_lines(Channel.WECHAT_H5, 5_000))
    assert check_payment(PAYMENT, [booked], []) == []
    for wrong in (
        replace(PAYMENT, earned_fen=1),
        replace(PAYMENT, refund_reserved_fen=1),
        replace(PAYMENT, captured_fen=4_999),
        replace(PAYMENT, refunded_fen=1),
    ):
        assert check_payment(wrong, [booked], []) != []
    assert check_payment(PAYMENT, [], []) != []
    assert check_payment(PAYMENT, [booked], [(RefundStatus.RESERVED, 1)]) != []
