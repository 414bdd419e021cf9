from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain import (
    REFUND_TRANSITIONS,
    Channel,
    Entry,
    Payment,
    PaymentStatus,
    PostingSet,
    RefundEvent,
    RefundStatus,
    captured_lines,
    check_payment,
    earned_lines,
    next_refund_status,
    pause_after,
    refund_amount,
    refunded_lines,
    reserved_lines,
)
from billing.errors import RefundRefused, RefundTransitionRefused

NOW = datetime(2026, 1, 5, tzinfo=UTC)
PAYMENT = Payment(
    id="p", hospital_id="h", order_id="o", payer_account_id="a", channel=Channel.WECHAT_H5, amount_fen=5_000,
    description="图文咨询", expires_at=NOW, out_trade_no="p", status=PaymentStatus.CAPTURED, created_at=NOW, captured_fen=5_000,
)  # fmt: skip


@pytest.mark.parametrize(("status", "event"), list(product(RefundStatus, RefundEvent)))
def test_a_refund_goes_only_where_the_table_says(status: RefundStatus, event: RefundEvent) -> None:
    if (status, event) in REFUND_TRANSITIONS:
        assert next_refund_status(status, event) is REFUND_TRANSITIONS[status, event]
    else:
        with pytest.raises(RefundTransitionRefused):
            next_refund_status(status, event)


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
    assert check_payment(PAYMENT, [booked]) == []
    for wrong in (
        replace(PAYMENT, earned_fen=1),
        replace(PAYMENT, refund_reserved_fen=1),
        replace(PAYMENT, captured_fen=4_999),
        replace(PAYMENT, refunded_fen=1),
    ):
        assert check_payment(wrong, [booked]) != []
    assert check_payment(PAYMENT, []) != []
