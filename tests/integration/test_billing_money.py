"""Money against a real MongoDB and the simulated gateway, over the gateway's own protocol."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from billing import mongo
from billing.domain import Channel, Payable, RefundStatus, StartedPayment, TradeReport, TradeState
from billing.errors import (
    ChannelUnavailable,
    GatewayUnknown,
    PaymentMismatch,
    PaymentSignatureInvalid,
    RefundRefused,
    RefundTransitionRefused,
)
from billing.mongo import PAYMENTS, POSTINGS, REFUNDS, MongoPayments
from billing.service.payments import PaymentService
from billing.service.refunds import RefundService
from billing.wechatpay import WechatChannel, WechatPay, WechatPayConfig
from server.kernel import audit
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.audit import AUDIT, AuditLog
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from server.kernel.outbox import Relay
from simulators.app import build_app
from simulators.config import SimulatorConfig
from simulators.keys import ensure_wechat_keys
from tests.support.clock import ManualClock

PATIENT = Actor("a" * 32, Role.PATIENT, "default", "r" * 32)
FINANCE = Actor("f" * 32, Role.STAFF, "default", "r" * 32, staff_roles=frozenset({StaffRole.FINANCE}))
FEE = 5_000


class Queue:
    """Remembers what was asked for; tests run it when they choose."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def request(self, name: str, *arguments: str) -> None:
        self.asked.append((name, *arguments))


@dataclass
class World:
    payments: PaymentService
    refunds: RefundService
    books: MongoPayments
    wechat: WechatPay
    relay: Relay
    clock: ManualClock
    database: Database
    http: aiohttp.ClientSession
    base: str
    callbacks: list[tuple[dict[str, str], bytes]]

    def payable(self, order_id: str | None = None) -> Payable:
        expires = self.clock.now() + timedelta(minutes=30)
        return Payable(order_id or new_id(), "default", PATIENT.account_id, FEE, "图文咨询", expires, "127.0.0.1")

    async def start(self, payable: Payable, payment_id: str | None = None) -> StartedPayment:
        return await self.payments.start(PATIENT, payable, Channel.WECHAT_H5, payment_id or new_id())

    async def pay(self, started: StartedPayment) -> None:
        async with self.http.post(f"{self.base}/wechatpay/wallet/{started.prepay_id}/pay") as answer:
            assert answer.status == 200, await answer.text()

    async def paid(self, payable: Payable | None = None) -> StartedPayment:
        started = await self.start(payable or self.payable())
        await self.pay(started)
        await self.payments.report(await self.payments.gateways[Channel.WECHAT_H5].query(started.payment_id))
        return started

    async def wallet(self, started: StartedPayment) -> Any:
        async with self.http.get(f"{self.base}/wechatpay/wallet/{started.prepay_id}") as answer:
            return await answer.json()

    async def faults(self, **settings: Any) -> None:
        async with self.http.put(f"{self.base}/wechatpay/faults", json=settings) as answer:
            assert answer.status == 200, await answer.text()

    async def balanced(self) -> None:
        report = await self.books.verify()
        assert report.faults == ()
        assert sum(report.totals.values()) == 0


@pytest.fixture(scope="session")
def wechat_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("billing")
    ensure_wechat_keys(folder)
    return folder


@pytest.fixture
async def world(wechat_keys: Path, clock: ManualClock, database: Database) -> AsyncIterator[World]:
    (wechat_keys / "simulators" / "state.sqlite").unlink(missing_ok=True)
    for indexes in (mongo.INDEXES, audit.INDEXES):
        for name, models in indexes.items():
            await database[name].create_indexes(list(models))
    keys = ensure_wechat_keys(wechat_keys)
    callbacks: list[tuple[dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        callbacks.append(({n.title(): v for n, v in request.headers.items()}, await request.read()))
        return web.Response(status=204)

    receiver = web.Application()
    receiver.router.add_post("/{what}", take)
    simulators = build_app(SimulatorConfig(data_dir=wechat_keys, port=0, server_url="http://127.0.0.1:1"), clock)
    async with TestServer(simulators) as outside, TestServer(receiver) as inside, aiohttp.ClientSession() as http:
        base = str(outside.make_url("")).rstrip("/")
        config = WechatPayConfig(
            mchid=keys.mchid,
            appid=keys.appid,
            api_v3_key=keys.api_v3_key,
            merchant_serial=keys.merchant_serial,
            merchant_private_key=keys.merchant_private_key_path.read_bytes(),
            platform_serial=keys.platform_serial,
            platform_certificate=keys.platform_certificate_path.read_bytes(),
            base_url=base,
            payment_notify_url=str(inside.make_url("/payments")),
            refund_notify_url=str(inside.make_url("/refunds")),
        )
        wechat = WechatPay(config, clock)
        await wechat.start()
        log = AuditLog(database)
        relay = Relay(database, log)
        books = MongoPayments(database)
        gateways: Any = {c: WechatChannel(wechat, c) for c in (Channel.WECHAT_H5, Channel.WECHAT_JSAPI)}
        yield World(
            PaymentService(books, gateways, clock, relay, log),
            RefundService(books, gateways, clock, relay, log, Queue()),
            books, wechat, relay, clock, database, http, base, callbacks,
        )  # fmt: skip
        await relay.close()
        await wechat.close()


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
    payment = await world.books.find(started.payment_id)
    assert payment is not None
    assert (payment.captured_fen, payment.held_fen, payment.version) == (FEE, FEE, 2)
    assert await world.database[POSTINGS].count_documents({}) == 1
    await world.relay.close()
    assert await world.database[AUDIT].count_documents({"action": "billing.payment_captured"}) == 1
    await world.balanced()


async def test_genuine_callbacks_are_read_and_forged_replayed_and_strange_ones_refused(world: World) -> None:
    started = await world.start(world.payable())
    await world.pay(started)
    async with asyncio.timeout(10):
        while not world.callbacks:
            await asyncio.sleep(0.01)
    headers, body = world.callbacks[0]
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
    assert (await world.books.find(started.payment_id)).status.value == "captured"  # type: ignore[union-attr]
    world.clock.advance(timedelta(minutes=40))
    await world.payments.query_open_payments()
    assert (await world.books.find(forgotten.payment_id)).status.value == "closed"  # type: ignore[union-attr]


async def test_a_refund_is_reserved_once_and_paid_out_once(world: World) -> None:
    started = await world.paid()
    refunds = await asyncio.gather(*(world.refunds.refund(started.payment_id, "default", "expired") for _ in range(8)))
    assert len({refund.id for refund in refunds}) == 1
    await asyncio.gather(*(world.refunds.submit_refund(refunds[0].id) for _ in range(8)))
    for _ in range(3):
        world.clock.advance(timedelta(minutes=1))
        await world.refunds.submit_due_refunds()
    refund = await world.books.find_refund(refunds[0].id)
    assert refund is not None
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
    payment = await world.books.find(started.payment_id)
    assert payment is not None
    assert (payment.refund_reserved_fen, payment.held_fen) == (4_000, 1_000)
    await world.balanced()


async def test_what_was_earned_can_be_refunded_and_earning_twice_is_earning_once(world: World) -> None:
    started = await world.paid()
    payment = await world.books.find(started.payment_id)
    assert payment is not None
    for _ in range(2):
        await world.payments.settle_earned(payment.order_id, "default", payment.id)
    assert (await world.books.totals("default")) == {"clearing:wechat_h5": FEE, "held": 0, "income": -FEE}
    await world.refunds.refund(payment.id, "default", "after_sales", 1_500)
    assert (await world.books.totals("default"))["income"] == -3_500
    await world.balanced()


async def test_a_time_out_after_success_refunds_once(world: World) -> None:
    started = await world.paid()
    await world.faults(timeouts_after_success=True, late_seconds=0, count=1)
    refund = await world.refunds.refund(started.payment_id, "default", "cancelled")
    for _ in range(6):
        await world.refunds.submit_due_refunds()
        world.clock.advance(timedelta(minutes=1))
    assert (await world.books.find_refund(refund.id)).status is RefundStatus.REFUNDED  # type: ignore[union-attr]
    assert len((await world.wallet(started))["refunds"]) == 1


@pytest.mark.parametrize("fault", ["abnormal", "closed"])
async def test_a_refund_that_fails_waits_for_a_person_who_may_begin_again(world: World, fault: str) -> None:
    started = await world.paid()
    await world.faults(refunds=fault, count=1)
    refund = await world.refunds.refund(started.payment_id, "default", "cancelled")
    for _ in range(4):
        await world.refunds.submit_due_refunds()
        world.clock.advance(timedelta(minutes=5))
    waiting = await world.books.find_refund(refund.id)
    assert waiting is not None
    assert (waiting.status, waiting.problem) == (RefundStatus.NEEDS_PERSON, fault)
    again = await world.refunds.restart_refund(FINANCE, refund.id)
    assert again.out_refund_no != refund.out_refund_no
    for _ in range(4):
        await world.refunds.submit_due_refunds()
        world.clock.advance(timedelta(minutes=5))
    assert (await world.books.find_refund(refund.id)).status is RefundStatus.REFUNDED  # type: ignore[union-attr]
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
    done = await world.books.find_refund(refund.id)
    assert done is not None
    assert (done.status, done.out_refund_no) == (RefundStatus.REFUNDED, refund.out_refund_no)


async def test_money_that_was_tampered_with_is_found(world: World) -> None:
    started = await world.paid()
    await world.refunds.refund(started.payment_id, "default", "cancelled", 1_000)
    for collection, change in (
        (PAYMENTS, {"$inc": {"earned_fen": 1}}),
        (REFUNDS, {"$inc": {"amount_fen": 1}}),
        (POSTINGS, {"$inc": {"lines.held": 1}}),
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
