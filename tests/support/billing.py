"""Billing over a real MongoDB and the simulated gateway, spoken to in the gateway's own protocol."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from billing import mongo
from billing.domain import Channel, Payable, Payment, Refund, StartedPayment
from billing.mongo import MongoPayments
from billing.service.payments import PaymentService
from billing.service.refunds import RefundService
from billing.wechatpay import WechatChannel, WechatPay, WechatPayConfig
from server.kernel import audit
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.audit import AuditLog
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from server.kernel.outbox import Relay
from simulators.app import build_app
from simulators.config import SimulatorConfig
from simulators.keys import WechatKeys, ensure_wechat_keys
from tests.support.clock import ManualClock
from tests.support.indexes import make_indexes

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
    queue: Queue
    audit: AuditLog

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

    async def payment(self, payment_id: str) -> Payment:
        found = await self.books.find(payment_id)
        assert found is not None
        return found

    async def stored_refund(self, refund_id: str) -> Refund:
        found = await self.books.find_refund(refund_id)
        assert found is not None
        return found

    async def told(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        """The callbacks that came, once there are that many."""
        async with asyncio.timeout(10):
            while len(self.callbacks) < count:
                await asyncio.sleep(0.01)
        return self.callbacks

    async def balanced(self) -> None:
        report = await self.books.verify()
        assert report.faults == ()
        assert sum(report.totals.values()) == 0


def config_of(keys: WechatKeys, base_url: str, callbacks: str) -> WechatPayConfig:
    return WechatPayConfig(
        mchid=keys.mchid,
        appid=keys.appid,
        api_v3_key=keys.api_v3_key,
        merchant_serial=keys.merchant_serial,
        merchant_private_key=keys.merchant_private_key_path.read_bytes(),
        platform_serial=keys.platform_serial,
        platform_certificate=keys.platform_certificate_path.read_bytes(),
        base_url=base_url,
        payment_notify_url=f"{callbacks}/payments",
        refund_notify_url=f"{callbacks}/refunds",
    )


@asynccontextmanager
async def billing_world(folder: Path, clock: ManualClock, database: Database) -> AsyncIterator[World]:
    """`folder` holds the gateway's keys and state; the state is forgotten first."""
    (folder / "simulators" / "state.sqlite").unlink(missing_ok=True)
    await make_indexes(database, mongo.INDEXES, audit.INDEXES)
    keys = ensure_wechat_keys(folder)
    callbacks: list[tuple[dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        callbacks.append(({n.title(): v for n, v in request.headers.items()}, await request.read()))
        return web.Response(status=204)

    receiver = web.Application()
    receiver.router.add_post("/{what}", take)
    simulators = build_app(SimulatorConfig(data_dir=folder, port=0, server_url="http://127.0.0.1:1"), clock)
    async with TestServer(simulators) as outside, TestServer(receiver) as inside, aiohttp.ClientSession() as http:
        base = str(outside.make_url("")).rstrip("/")
        config = config_of(keys, base, str(inside.make_url("")).rstrip("/"))
        wechat = WechatPay(config, clock)
        await wechat.start()
        log = AuditLog(database)
        relay = Relay(database, log)
        books, queue = MongoPayments(database), Queue()
        gateways: Any = {c: WechatChannel(wechat, c) for c in (Channel.WECHAT_H5, Channel.WECHAT_JSAPI)}
        yield World(
            PaymentService(books, gateways, clock, relay, log),
            RefundService(books, gateways, clock, relay, log, queue),
            books, wechat, relay, clock, database, http, base, callbacks, queue, log,
        )  # fmt: skip
        await relay.close()
        await wechat.close()
