"""Money against a real MongoDB and the simulated gateway, over the gateway's own protocol."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from billing.domain import (
    MOST_REFUSALS,
    Channel,
    Payment,
    RefundReport,
    RefundState,
    RefundStatus,
    StartedPayment,
    TradeReport,
    TradeState,
)
from billing.errors import (
    ChannelUnavailable,
    GatewayUnknown,
    PaymentClosed,
    PaymentMismatch,
    PaymentNotFound,
    PaymentSignatureInvalid,
    RefundNotFound,
    RefundRefused,
    RefundStillAlive,
    RefundTransitionRefused,
)
from billing.mongo import PAYMENTS, POSTINGS, REFUNDS
from server.kernel.actor import StaffRole
from server.kernel.audit import AUDIT
from server.kernel.errors import Forbidden, IdempotencyMismatch
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.billing import FEE, FINANCE, PATIENT, World, billing_world
from tests.support.clock import ManualClock


@pytest.fixture
async def world(tmp_path_factory: pytest.TempPathFactory, clock: ManualClock, database: Database) -> AsyncIterator[World]:
    folder = tmp_path_factory.getbasetemp() / "billing"
    folder.mkdir(exist_ok=True)
    async with billing_world(folder, clock, database) as world:
        yield world


async def test_a_payment_is_asked_for_once_however_often_it_is_started(world: World) -> None:
    payable, payment_id = world.payable(), new_id()
    first, second = [await world.start(payable, payment_id) for _ in range(2)]
    assert first == second
    assert first.params["h5_url"].startswith("http")
    jsapi = await world.payments.start(PATIENT, payable, Channel.WECHAT_JSAPI, new_id())
    assert set(jsapi.params) == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert jsapi.params["package"] == f"prepay_id={jsapi.prepay_id}"
    with pytest.raises(ChannelUnavailable):
        await world.payments.start(PATIENT, payable, Channel.ALIPAY_WAP, new_id())


async def test_two_starts_of_one_payment_at_once_give_one_answer(world: World) -> None:
    payable, payment_id = world.payable(), new_id()
    jsapi = Channel.WECHAT_JSAPI
    answers = await asyncio.gather(*(world.payments.start(PATIENT, payable, jsapi, payment_id) for _ in range(5)))
    assert len({answer.params["paySign"] for answer in answers}) == 1
    payment = await world.payment(payment_id)
    assert payment.params == answers[0].params


async def test_a_payment_id_stands_for_one_order_amount_and_channel(world: World) -> None:
    payable, payment_id = world.payable(), new_id()
    await world.start(payable, payment_id)
    for other in (replace(payable, amount_fen=1), replace(payable, order_id=new_id()), replace(payable, hospital_id="other")):
        with pytest.raises(IdempotencyMismatch):
            await world.start(other, payment_id)
    with pytest.raises(IdempotencyMismatch):
        await world.payments.start(PATIENT, payable, Channel.WECHAT_JSAPI, payment_id)


async def test_a_payment_that_is_closed_while_it_is_asked_for_can_not_be_paid(world: World) -> None:
    payable, payment_id = world.payable(), new_id()
    gateway = world.payments.gateways[Channel.WECHAT_H5]

    class ClosesMeanwhile:
        async def prepay(self, payment: Payment, payer_address: str) -> StartedPayment:
            assert await world.payments.close_open_payments(payable.order_id, "default") is False
            return await gateway.prepay(payment, payer_address)

        def __getattr__(self, name: str) -> Any:
            return getattr(gateway, name)

    slow = replace(world.payments, gateways={Channel.WECHAT_H5: ClosesMeanwhile()})  # type: ignore[dict-item]
    with pytest.raises(PaymentClosed):
        await slow.start(PATIENT, payable, Channel.WECHAT_H5, payment_id)
    assert (await gateway.query(payment_id)).state is TradeState.CLOSED
    with pytest.raises(PaymentClosed):
        await world.start(payable, payment_id)


async def test_a_time_out_after_success_is_the_same_payment_when_asked_again(world: World) -> None:
    await world.faults(timeouts_after_success=True, late_seconds=0, count=1)
    payable, payment_id = world.payable(), new_id()
    with pytest.raises(GatewayUnknown):
        await world.start(payable, payment_id)
    started = await world.start(payable, payment_id)
    await world.pay(started)
    assert (await world.wallet(started))["amount_fen"] == FEE


async def test_the_callback_and_the_query_at_once_capture_once(world: World) -> None:
    started = await world.start(world.payable())
    await world.pay(started)
    report = await world.payments.gateways[Channel.WECHAT_H5].query(started.payment_id)
    await asyncio.gather(*(world.payments.report(report) for _ in range(10)))
    payment = await world.payment(started.payment_id)
    assert (payment.captured_fen, payment.held_fen, payment.version) == (FEE, FEE, 2)
    assert await world.database[POSTINGS].count_documents({}) == 1
    await world.relay.close()
    assert await world.database[AUDIT].count_documents({"action": "billing.payment_captured"}) == 1
    await world.balanced()


async def test_genuine_callbacks_are_read_and_forged_replayed_and_strange_ones_refused(world: World) -> None:
    started = await world.start(world.payable())
    await world.pay(started)
    headers, body = (await world.told(1))[0]
    report = await world.wechat.read_callback(headers, body)
    assert isinstance(report, TradeReport)
    assert (report.out_trade_no, report.state, report.amount_fen) == (started.payment_id, TradeState.PAID, FEE)
    forgeries: list[tuple[dict[str, str], bytes]] = [
        (headers, body.replace(b"TRANSACTION", b"TRANSACTIOM")),
        ({**headers, "Wechatpay-Nonce": "x"}, body),
        ({**headers, "Wechatpay-Serial": "0" * 40}, body),
        ({**headers, "Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + headers["Wechatpay-Signature"]}, body),
        ({**headers, "Wechatpay-Signature": "!"}, body),
        ({**headers, "Wechatpay-Timestamp": "-1"}, body),
        ({n: v for n, v in headers.items() if n != "Wechatpay-Signature"}, body),
        ({}, b""),
    ]
    for forged_headers, forged_body in forgeries:
        with pytest.raises(PaymentSignatureInvalid):
            await world.wechat.read_callback(forged_headers, forged_body)
    world.clock.advance(timedelta(minutes=6))
    with pytest.raises(PaymentSignatureInvalid):
        await world.wechat.read_callback(headers, body)


async def test_another_amount_is_refused_audited_and_books_nothing(world: World) -> None:
    started = await world.start(world.payable())
    wrong = TradeReport(started.payment_id, TradeState.PAID, FEE - 1, "4200", world.clock.now())
    with pytest.raises(PaymentMismatch):
        await world.payments.report(wrong)
    assert await world.database[POSTINGS].count_documents({}) == 0
    row = await world.database[AUDIT].find_one({"action": "billing.payment_captured"})
    assert row is not None
    assert row["outcome"] == "denied"


async def test_a_second_success_of_one_payment_is_refused(world: World) -> None:
    started = await world.paid()
    again = TradeReport(started.payment_id, TradeState.PAID, FEE, "another", world.clock.now())
    with pytest.raises(PaymentMismatch):
        await world.payments.report(again)
    with pytest.raises(PaymentMismatch):
        await world.payments.report(replace(again, transaction_id=None))
    with pytest.raises(PaymentNotFound):
        await world.payments.report(replace(again, out_trade_no="f" * 32))
    assert await world.database[POSTINGS].count_documents({}) == 1


async def test_money_that_comes_after_the_close_is_booked_and_goes_back_whole(world: World) -> None:
    payable = world.payable()
    started = await world.start(payable)
    report = TradeReport(started.payment_id, TradeState.PAID, FEE, "tx", world.clock.now())
    assert await world.payments.close_open_payments(payable.order_id, "default") is False
    await world.payments.report(report)
    assert (await world.payment(started.payment_id)).captured_fen == FEE
    refunds = await asyncio.gather(*(world.refunds.refund_surplus(started.payment_id, "default") for _ in range(4)))
    assert {(refund.amount_fen, refund.cause) for refund in refunds} == {(FEE, "surplus")}
    assert len({refund.id for refund in refunds}) == 1
    await world.balanced()


async def test_closing_before_a_cancel_finds_the_payment_that_nobody_told_of(world: World) -> None:
    await world.faults(callbacks="lost", count=100)
    payable = world.payable()
    unpaid, paid = await world.start(payable), await world.start(payable)
    await world.pay(paid)
    assert await world.payments.close_open_payments(payable.order_id, "default") is True
    assert {p.id: p.status.value for p in await world.books.list_of_order(payable.order_id, "default")} == {
        unpaid.payment_id: "closed",
        paid.payment_id: "captured",
    }
    other = world.payable()
    await world.start(other)
    assert await world.payments.close_open_payments(other.order_id, "default") is False


async def test_a_lost_callback_is_found_by_asking_and_an_expired_payment_is_closed(world: World) -> None:
    await world.faults(callbacks="lost", count=100)
    started, forgotten = await world.start(world.payable()), await world.start(world.payable())
    await world.pay(started)
    world.clock.advance(timedelta(seconds=10))
    await world.payments.query_open_payments()
    assert (await world.payment(started.payment_id)).status.value == "captured"
    world.clock.advance(timedelta(minutes=40))
    await world.payments.query_open_payments()
    assert (await world.payment(forgotten.payment_id)).status.value == "closed"


async def test_one_payment_that_the_gateway_refuses_to_speak_of_does_not_stop_the_others(world: World) -> None:
    await world.faults(callbacks="lost", count=100)
    odd, fine = await world.start(world.payable()), await world.start(world.payable())
    await world.pay(odd)
    await world.pay(fine)
    await world.database[PAYMENTS].update_one({"_id": odd.payment_id}, {"$set": {"amount_fen": 1}})
    world.clock.advance(timedelta(seconds=10))
    await world.payments.query_open_payments()
    assert (await world.payment(odd.payment_id)).status.value == "open"
    assert (await world.payment(fine.payment_id)).status.value == "captured"


async def test_nobody_is_told_that_a_payment_is_closed_while_the_gateway_is_silent(world: World) -> None:
    payable = world.payable()
    started = await world.start(payable)
    await world.faults(timeouts_after_success=True, late_seconds=0, count=1)
    with pytest.raises(GatewayUnknown):
        await world.payments.close_open_payments(payable.order_id, "default")
    assert (await world.payment(started.payment_id)).status.value == "open"
    assert await world.payments.close_open_payments(payable.order_id, "default") is False
    assert (await world.payment(started.payment_id)).status.value == "closed"


async def test_only_the_orders_own_payment_is_earned(world: World) -> None:
    started = await world.paid()
    with pytest.raises(PaymentNotFound):
        await world.payments.settle_earned(new_id(), "default", started.payment_id)
    with pytest.raises(PaymentNotFound):
        await world.payments.settle_earned(new_id(), "other", started.payment_id)
    with pytest.raises(PaymentNotFound):
        await world.refunds.refund(started.payment_id, "other", "cancelled")


async def test_a_refund_is_reserved_once_and_paid_out_once(world: World) -> None:
    started = await world.paid()
    refunds = await asyncio.gather(*(world.refunds.refund(started.payment_id, "default", "expired") for _ in range(8)))
    assert len({refund.id for refund in refunds}) == 1
    await asyncio.gather(*(world.refunds.submit_refund(refunds[0].id) for _ in range(8)))
    for _ in range(3):
        world.clock.advance(timedelta(minutes=1))
        await world.refunds.submit_due_refunds()
    refund = await world.stored_refund(refunds[0].id)
    assert refund.status is RefundStatus.REFUNDED
    wallet = await world.wallet(started)
    assert [(r["amount_fen"], r["status"]) for r in wallet["refunds"]] == [(FEE, "SUCCESS")]
    await world.relay.close()
    assert await world.database[AUDIT].count_documents({"action": "billing.refund_succeeded"}) == 1
    with pytest.raises(RefundRefused):
        await world.refunds.refund(started.payment_id, "default", "another cause")
    await world.balanced()


async def test_two_causes_at_once_never_refund_more_than_was_paid(world: World) -> None:
    started = await world.paid()
    outcomes = await asyncio.gather(
        *(world.refunds.refund(started.payment_id, "default", f"cause {n}", 2_000) for n in range(6)), return_exceptions=True
    )
    assert sum(isinstance(o, RefundRefused) for o in outcomes) == 4
    payment = await world.payment(started.payment_id)
    assert (payment.refund_reserved_fen, payment.held_fen) == (4_000, 1_000)
    await world.balanced()


async def test_what_was_earned_can_be_refunded_and_earning_twice_is_earning_once(world: World) -> None:
    started = await world.paid()
    payment = await world.payment(started.payment_id)
    for _ in range(2):
        await world.payments.settle_earned(payment.order_id, "default", payment.id)
    assert (await world.books.verify()).totals == {"clearing:wechat_h5": FEE, "held": 0, "income": -FEE}
    await world.refunds.refund(payment.id, "default", "after_sales", 1_500)
    assert (await world.books.verify()).totals["income"] == -3_500
    await world.balanced()


async def test_however_much_is_wrong_a_bounded_part_is_named_and_all_is_counted(world: World) -> None:
    wrong = [{"_id": new_id(), "hospital_id": "default", "payment_id": new_id(), "lines": {"held": 1}} for _ in range(1_200)]
    await world.database[POSTINGS].insert_many(wrong)
    report = await world.books.verify()
    assert (report.posting_sets, len(report.faults), report.fault_count, report.balanced) == (1_200, 1_000, 1_202, False)


async def test_a_time_out_after_success_refunds_once(world: World) -> None:
    started = await world.paid()
    await world.faults(timeouts_after_success=True, late_seconds=0, count=1)
    refund = await world.refunds.refund(started.payment_id, "default", "cancelled")
    for _ in range(6):
        await world.refunds.submit_due_refunds()
        world.clock.advance(timedelta(minutes=1))
    assert (await world.stored_refund(refund.id)).status is RefundStatus.REFUNDED
    assert len((await world.wallet(started))["refunds"]) == 1


@pytest.mark.parametrize("fault", ["abnormal", "closed"])
async def test_a_refund_that_fails_waits_for_a_person_who_may_begin_again(world: World, fault: str) -> None:
    started = await world.paid()
    await world.faults(refunds=fault, count=1)
    refund = await world.refunds.refund(started.payment_id, "default", "cancelled")
    for _ in range(4):
        await world.refunds.submit_due_refunds()
        world.clock.advance(timedelta(minutes=5))
    waiting = await world.stored_refund(refund.id)
    assert (waiting.status, waiting.problem) == (RefundStatus.NEEDS_PERSON, fault)
    again = await world.refunds.restart_refund(FINANCE, refund.id)
    assert again.out_refund_no != refund.out_refund_no
    for _ in range(4):
        await world.refunds.submit_due_refunds()
        world.clock.advance(timedelta(minutes=5))
    assert (await world.stored_refund(refund.id)).status is RefundStatus.REFUNDED
    with pytest.raises(RefundTransitionRefused):
        await world.refunds.restart_refund(FINANCE, refund.id)
    await world.balanced()


async def test_a_refused_refund_is_tried_again_under_the_same_number(world: World) -> None:
    started = await world.paid()
    await world.faults(refunds="refused", count=2)
    refund = await world.refunds.refund(started.payment_id, "default", "cancelled")
    for _ in range(6):
        await world.refunds.submit_due_refunds()
        world.clock.advance(timedelta(minutes=1))
    done = await world.stored_refund(refund.id)
    assert (done.status, done.out_refund_no) == (RefundStatus.REFUNDED, refund.out_refund_no)


async def test_a_gateway_that_keeps_refusing_brings_a_person_in(world: World) -> None:
    started = await world.paid()
    await world.faults(refunds="refused", count=1_000)
    refund = await world.refunds.refund(started.payment_id, "default", "cancelled")
    for _ in range(MOST_REFUSALS + 2):
        await world.refunds.submit_due_refunds()
        world.clock.advance(timedelta(minutes=5))
    stuck = await world.stored_refund(refund.id)
    assert (stuck.status, stuck.problem, stuck.tries) == (RefundStatus.NEEDS_PERSON, "NOT_ENOUGH", MOST_REFUSALS)
    await world.relay.close()
    assert await world.database[AUDIT].count_documents({"action": "billing.refund_needs_person"}) == 1
    await world.faults()
    await world.refunds.restart_refund(FINANCE, refund.id)
    await world.refunds.submit_due_refunds()
    world.clock.advance(timedelta(minutes=5))
    await world.refunds.submit_due_refunds()
    assert (await world.stored_refund(refund.id)).status is RefundStatus.REFUNDED
    await world.balanced()


async def test_reports_of_a_refund_converge_in_any_order(world: World) -> None:
    for first, then in (("abnormal", "succeeded"), ("succeeded", "abnormal"), ("closed", "succeeded")):
        started = await world.paid()
        refund = await world.refunds.refund(started.payment_id, "default", "cancelled")
        for state in (first, then, first):
            await world.refunds.report(RefundReport(refund.id, RefundState(state), FEE, "5030"))
        done = await world.stored_refund(refund.id)
        assert (done.status, done.problem, done.next_try_at) == (RefundStatus.REFUNDED, None, None)
    with pytest.raises(PaymentMismatch):
        await world.refunds.report(RefundReport(refund.id, RefundState.SUCCEEDED, FEE + 1))
    with pytest.raises(RefundNotFound):
        await world.refunds.report(RefundReport("f" * 32, RefundState.SUCCEEDED, FEE))
    await world.balanced()


async def test_a_number_that_is_alive_is_not_replaced(world: World) -> None:
    started = await world.paid()
    await world.faults(refunds="slow", late_seconds=3_600, count=1)
    refund = await world.refunds.refund(started.payment_id, "default", "cancelled")
    await world.refunds.submit_due_refunds()
    await world.database[REFUNDS].update_one(
        {"_id": refund.id}, {"$set": {"status": "needs_person"}, "$unset": {"next_try_at": 1}}
    )
    with pytest.raises(RefundStillAlive):
        await world.refunds.restart_refund(FINANCE, refund.id)
    resumed = await world.stored_refund(refund.id)
    assert (resumed.status, resumed.out_refund_no) == (RefundStatus.PROCESSING, refund.out_refund_no)
    world.clock.advance(timedelta(hours=2))
    await world.refunds.submit_due_refunds()
    assert (await world.stored_refund(refund.id)).status is RefundStatus.REFUNDED
    assert len((await world.wallet(started))["refunds"]) == 1


async def test_a_late_success_of_a_former_number_is_money_that_moved(world: World) -> None:
    started = await world.paid()
    await world.faults(refunds="closed", count=1)
    refund = await world.refunds.refund(started.payment_id, "default", "cancelled")
    await world.refunds.submit_due_refunds()
    world.clock.advance(timedelta(minutes=5))
    await world.refunds.submit_due_refunds()
    again = await world.refunds.restart_refund(FINANCE, refund.id)
    await world.refunds.report(RefundReport(refund.out_refund_no, RefundState.ABNORMAL, FEE))
    assert (await world.stored_refund(refund.id)).status is RefundStatus.RESERVED
    await world.refunds.report(RefundReport(refund.out_refund_no, RefundState.SUCCEEDED, FEE))
    await world.refunds.submit_refund(again.id)
    done = await world.stored_refund(refund.id)
    assert (done.status, done.former_numbers) == (RefundStatus.REFUNDED, (refund.out_refund_no,))
    assert [r["out_refund_no"] for r in (await world.wallet(started))["refunds"]] == [refund.out_refund_no]
    await world.balanced()


async def test_only_finance_starts_a_new_number_and_only_staff_with_the_right_reads(world: World) -> None:
    started = await world.paid()
    refund = await world.refunds.refund(started.payment_id, "default", "cancelled")
    doctor_admin = replace(FINANCE, staff_roles=frozenset({StaffRole.MEDICAL_ADMIN}))
    auditor = replace(FINANCE, staff_roles=frozenset({StaffRole.AUDITOR}))
    for actor in (doctor_admin, auditor, PATIENT):
        with pytest.raises(Forbidden):
            await world.refunds.restart_refund(actor, refund.id)
    for actor in (auditor, PATIENT):
        with pytest.raises(Forbidden):
            await world.refunds.list_refunds(actor, status=None, limit=10, cursor=None)
    with pytest.raises(RefundNotFound):
        await world.refunds.restart_refund(replace(FINANCE, hospital_id="other"), refund.id)
    assert await world.database[AUDIT].count_documents({"outcome": "denied"}) == 5
    listed = await world.refunds.list_refunds(doctor_admin, status="reserved", limit=10, cursor=None)
    assert [item.id for item in listed.items] == [refund.id]
    elsewhere = await world.refunds.list_refunds(replace(FINANCE, hospital_id="other"), status=None, limit=10, cursor=None)
    assert elsewhere.items == []


async def test_refunds_are_paged_newest_first_without_gap(world: World) -> None:
    made = []
    for _ in range(5):
        started = await world.paid()
        made.append((await world.refunds.refund(started.payment_id, "default", "cancelled")).id)
        world.clock.advance(timedelta(milliseconds=1))
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = await world.refunds.list_refunds(FINANCE, status=None, limit=2, cursor=cursor)
        seen += [refund.id for refund in page.items]
        cursor = page.next_cursor
    assert (seen, cursor) == (made[::-1], None)


async def test_money_that_was_tampered_with_is_found(world: World) -> None:
    started = await world.paid()
    await world.refunds.refund(started.payment_id, "default", "cancelled", 1_000)
    for collection, change in (
        (PAYMENTS, {"$inc": {"earned_fen": 1}}),
        (REFUNDS, {"$inc": {"amount_fen": 1}}),
        (POSTINGS, {"$inc": {"lines.held": 1}}),
        (POSTINGS, {"$set": {"order_id": "elsewhere"}}),
        (POSTINGS, {"$set": {"payment_id": "nobody's"}}),
        (POSTINGS, {"$rename": {"lines.held": "lines.elsewhere"}}),
        (REFUNDS, {"$set": {"status": "refunded"}}),
    ):
        document = await world.database[collection].find_one({})
        assert document is not None
        await world.database[collection].update_one({"_id": document["_id"]}, change)
        assert (await world.books.verify()).faults
        await world.database[collection].replace_one({"_id": document["_id"]}, document)
    await world.balanced()


async def test_random_histories_conserve_money(world: World) -> None:
    """Capture, earn, refund and lose in any order; at the end every fen is somewhere, exactly once."""
    dice = random.Random(20260105)
    books = world.books
    payments = [await world.start(world.payable()) for _ in range(30)]

    async def step() -> None:
        started = dice.choice(payments)
        payment = await books.find(started.payment_id)
        assert payment is not None
        match dice.randrange(4):
            case 0:
                await world.payments.report(
                    TradeReport(payment.id, TradeState.PAID, FEE, f"tx-{payment.id}", world.clock.now())
                )
            case 1:
                await world.payments.settle_earned(payment.order_id, "default", payment.id)
            case 2:
                amount = dice.randrange(1, FEE)
                await world.refunds.refund(payment.id, "default", f"cause {dice.randrange(5)}", amount)
            case _:
                await world.refunds.refund(payment.id, "default", "everything")

    for _ in range(40):
        await asyncio.gather(*(step() for _ in range(10)), return_exceptions=True)
    await world.balanced()
    report = await books.verify()
    paid = report.totals["clearing:wechat_h5"]
    owed = {account: -amount for account, amount in report.totals.items() if account != "clearing:wechat_h5"}
    assert paid == owed["held"] + owed["income"] + owed["refunds_payable"]
