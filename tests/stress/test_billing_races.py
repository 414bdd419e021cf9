"""Money raced against itself: whoever wins, nothing is lost, doubled or made."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from billing.domain import Channel, PaymentStatus, RefundStatus
from billing.errors import GatewayUnknown
from server.kernel.mongo import Database
from tests.support.billing import FEE, World, billing_world
from tests.support.clock import ManualClock

pytestmark = pytest.mark.stress
ROUNDS = 15


@pytest.fixture
async def world(tmp_path_factory: pytest.TempPathFactory, clock: ManualClock, database: Database) -> AsyncIterator[World]:
    folder = tmp_path_factory.getbasetemp() / "billing"
    folder.mkdir(exist_ok=True)
    async with billing_world(folder, clock, database) as world:
        yield world


async def test_a_wallet_that_pays_while_the_order_is_cancelled_has_one_outcome(world: World) -> None:
    """Whoever won begins later the next time, and ever more so, until each has won: on a slow machine too."""
    outcomes: set[bool] = set()
    ahead_seconds, rounds = 0.0, 0
    while rounds < ROUNDS or (len(outcomes) < 2 and rounds < 4 * ROUNDS):
        payable = world.payable()
        started = await world.start(payable)

        async def pay(prepay_id: str = started.prepay_id, late: float = ahead_seconds) -> int:
            await asyncio.sleep(max(0.0, late))
            async with world.http.post(f"{world.base}/wechatpay/wallet/{prepay_id}/pay") as answer:
                return answer.status

        async def close(order_id: str = payable.order_id, late: float = -ahead_seconds) -> bool:
            await asyncio.sleep(max(0.0, late))
            return await world.payments.close_open_payments(order_id, "default")

        status, paid = await asyncio.gather(pay(), close())
        rounds += 1
        ahead_seconds += 0.001 * rounds * (1 if paid else -1)
        payment = await world.payment(started.payment_id)
        assert paid is (status == 200)
        assert payment.status is (PaymentStatus.CAPTURED if paid else PaymentStatus.CLOSED)
        outcomes.add(paid)
    assert outcomes == {True, False}
    await world.balanced()


async def test_earning_refunding_and_capturing_at_once_keep_the_books(world: World) -> None:
    for _ in range(ROUNDS):
        payable = world.payable()
        started = await world.start(payable)
        await world.pay(started)
        report = await world.payments.gateways[Channel.WECHAT_H5].query(started.payment_id)
        await world.payments.report(report)
        results = await asyncio.gather(
            world.payments.settle_earned(payable.order_id, "default", started.payment_id),
            world.refunds.refund(started.payment_id, "default", "after_sales", 1_500),
            world.refunds.refund(started.payment_id, "default", "goodwill", 2_000),
            world.refunds.refund(started.payment_id, "default", "goodwill", 2_000),
            world.payments.report(report),
            return_exceptions=True,
        )
        assert [result for result in results if isinstance(result, BaseException)] == []
        payment = await world.payment(started.payment_id)
        assert (payment.refund_reserved_fen, payment.held_fen + payment.earned_fen) == (3_500, FEE - 3_500)
    await world.balanced()


async def test_many_workers_pay_out_each_refund_once(world: World) -> None:
    started = [await world.paid() for _ in range(ROUNDS)]
    await asyncio.gather(*(world.refunds.refund(each.payment_id, "default", "expired") for each in started))
    await world.faults(timeouts_after_success=True, late_seconds=0, count=5)
    for _ in range(4):
        await asyncio.gather(*(world.refunds.submit_due_refunds() for _ in range(4)))
        world.clock.advance(timedelta(minutes=1))
    for each in started:
        assert [(r["amount_fen"], r["status"]) for r in (await world.wallet(each))["refunds"]] == [(FEE, "SUCCESS")]
        payment = await world.payment(each.payment_id)
        refunds = await world.books.list_refunds_of_order(payment.order_id, "default")
        assert [refund.status for refund in refunds] == [RefundStatus.REFUNDED]
    await world.balanced()


async def test_a_callback_a_query_and_a_cancel_at_once_capture_once(world: World) -> None:
    for _ in range(ROUNDS):
        payable = world.payable()
        started = await world.start(payable)
        await world.pay(started)
        report = await world.payments.gateways[Channel.WECHAT_H5].query(started.payment_id)
        world.clock.advance(timedelta(seconds=10))
        results = await asyncio.gather(
            world.payments.report(report),
            world.payments.report(report),
            world.payments.query_open_payments(),
            world.payments.close_open_payments(payable.order_id, "default"),
            return_exceptions=True,
        )
        assert [result for result in results if isinstance(result, BaseException)] in ([], [GatewayUnknown])
        assert results[3] is True
        payment = await world.payment(started.payment_id)
        assert (payment.captured_fen, payment.held_fen) == (FEE, FEE)
    await world.balanced()
