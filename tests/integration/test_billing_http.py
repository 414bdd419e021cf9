"""Callbacks and the staff's refunds through the product's own runner, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from billing.http import routes
from billing.mongo import POSTINGS
from server.app.address import address_of
from server.app.edge import Edge, outermost
from server.app.idempotency import IdempotencyStore
from server.app.limits import RateLimiter
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.audit import AUDIT
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.errors import AuthRequired
from server.kernel.mongo import Database
from server.kernel.settings import parse_rate
from server.kernel.wire import encode_cursor
from tests.support.billing import FEE, World, billing_world
from tests.support.clock import ManualClock

Client = TestClient[web.Request, web.Application]
PAYMENTS = "/api/v1/callbacks/wechatpay/payments"
REFUNDS = "/api/v1/callbacks/wechatpay/refunds"
FAR = encode_cursor(10**18, "f" * 32)
"""A cursor of the right form, with an instant that no calendar has."""


class Sessions:
    """Tokens are `role`, or a role of staff."""

    async def authenticate(self, token: str, *, request_id: str, address: str | None) -> Actor:
        if token in StaffRole.__members__.values():
            return Actor("f" * 32, Role.STAFF, "default", request_id, staff_roles=frozenset({StaffRole(token)}))
        if token not in Role.__members__.values():
            raise AuthRequired()
        return Actor("a" * 32, Role(token), "default", request_id, address=address)

    async def authenticate_media(self, token: str, *, request_id: str, address: str | None) -> Actor:
        raise AuthRequired()


@pytest.fixture
async def world(tmp_path_factory: pytest.TempPathFactory, clock: ManualClock, database: Database) -> AsyncIterator[World]:
    folder = tmp_path_factory.getbasetemp() / "billing"
    folder.mkdir(exist_ok=True)
    async with billing_world(folder, clock, database) as world:
        yield world


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    edge = Edge(
        sessions=Sessions(),
        idempotency=IdempotencyStore(world.database, Keyring(MasterKey(bytes(32)), world.database), world.clock),
        limiter=RateLimiter(parse_rate("1000/s"), world.clock),
        audit=world.audit,
        clock=world.clock,
        secure_cookies=False,
        address_of=address_of(0),
    )
    app = web.Application(middlewares=[outermost])
    edge.add(app, routes(world.payments, world.refunds, world.wechat))
    async with TestClient(TestServer(app)) as client:
        yield client


def _as(who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {who}"}


def _signed(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("Wechatpay-")}


async def test_a_genuine_callback_captures_once_however_often_it_comes(world: World, client: Client) -> None:
    started = await world.start(world.payable())
    await world.pay(started)
    headers, body = (await world.told(1))[0]

    async def tell() -> tuple[int, bytes]:
        async with client.post(PAYMENTS, data=body, headers=_signed(headers)) as answer:
            return answer.status, await answer.read()

    assert await asyncio.gather(*(tell() for _ in range(6))) == [(204, b"")] * 6
    assert await tell() == (204, b"")
    assert (await world.payment(started.payment_id)).captured_fen == FEE
    assert await world.database[POSTINGS].count_documents({}) == 1
    await world.relay.close()
    assert await world.database[AUDIT].count_documents({"action": "billing.payment_captured"}) == 1


async def test_forged_stale_and_broken_callbacks_are_refused_as_the_gateway_reads_it_and_leave_a_row(
    world: World, client: Client
) -> None:
    started = await world.start(world.payable())
    await world.pay(started)
    headers, body = (await world.told(1))[0]
    good = _signed(headers)
    forged: list[tuple[dict[str, str], bytes]] = [
        (good, body + b" "),
        (good, b""),
        (good, b"{"),
        (good, b"\xff\xfe\x00"),
        ({}, body),
        ({**good, "Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + good["Wechatpay-Signature"]}, body),
        ({**good, "Wechatpay-Serial": "0" * 40}, body),
        ({**good, "Wechatpay-Timestamp": str(int(good["Wechatpay-Timestamp"]) + 1)}, body),
        ({**good, "Wechatpay-Timestamp": "9" * 400}, body),
        ({**good, "Wechatpay-Signature-Type": "NONE"}, body),
    ]
    for bad_headers, bad_body in forged:
        for path in (PAYMENTS, REFUNDS):
            async with client.post(path, data=bad_body, headers=bad_headers) as answer:
                assert answer.status == 401
                assert await answer.json() == {"code": "FAIL", "message": "payment.signature_invalid"}
    world.clock.advance(timedelta(minutes=6))
    async with client.post(PAYMENTS, data=body, headers=good) as answer:
        assert answer.status == 401
    assert await world.database[POSTINGS].count_documents({}) == 0
    denied = await world.database[AUDIT].count_documents({"action": "billing.callback_refused", "outcome": "denied"})
    assert denied == 2 * len(forged) + 1


@pytest.mark.parametrize("kind", ["wrong_amount", "wrong_merchant"])
async def test_what_the_platform_signed_and_is_wrong_is_refused_and_leaves_a_row(
    world: World, client: Client, kind: str
) -> None:
    started = await world.start(world.payable())
    async with world.http.post(f"{world.base}/wechatpay/wallet/{started.prepay_id}/forge", json={"kind": kind}) as answer:
        assert answer.status == 200
    headers, body = (await world.told(1))[0]
    async with client.post(PAYMENTS, data=body, headers=_signed(headers)) as answer:
        assert (answer.status, await answer.json()) == (422, {"code": "FAIL", "message": "payment.mismatch"})
    assert (await world.payment(started.payment_id)).captured_fen == 0
    assert await world.database[AUDIT].count_documents({"outcome": "denied", "action": "billing.callback_refused"}) == 1


async def test_a_refund_is_confirmed_by_its_callback(world: World, client: Client) -> None:
    started = await world.paid()
    await world.faults(refunds="slow", late_seconds=0.2, count=1)
    refund = await world.refunds.refund(started.payment_id, "default", "cancelled")
    await world.refunds.submit_refund(refund.id)
    world.clock.advance(timedelta(seconds=1))
    callbacks = await world.told(2)
    headers, body = next((h, b) for h, b in callbacks if json.loads(b)["event_type"] == "REFUND.SUCCESS")
    for _ in range(2):
        async with client.post(REFUNDS, data=body, headers=_signed(headers)) as answer:
            assert answer.status == 204
    async with client.get("/api/v1/admin/refunds?status=refunded", headers=_as("finance")) as answer:
        listed = await answer.json()
    assert [(item["refund_id"], item["amount_fen"], item["status"]) for item in listed["items"]] == [
        (refund.id, FEE, "refunded")
    ]
    assert set(listed["items"][0]) >= {"refund_id", "order_id", "amount_fen", "status", "created_at"}
    assert listed["next_cursor"] is None
    await world.balanced()


@pytest.mark.parametrize(
    ("who", "status"),
    [("patient", 403), ("doctor", 403), ("auditor", 403), ("nobody", 401), ("finance", 200), ("medical_admin", 200)],
)
async def test_who_sees_refunds(client: Client, who: str, status: int) -> None:
    async with client.get("/api/v1/admin/refunds", headers=_as(who)) as answer:
        assert answer.status == status


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "cursor=x", "status=gone", "more=1", f"cursor={FAR}"],
)
async def test_a_query_that_makes_no_sense_is_refused(client: Client, query: str) -> None:
    async with client.get(f"/api/v1/admin/refunds?{query}", headers=_as("finance")) as answer:
        body: Any = await answer.json()
    assert (answer.status, body["code"]) == (422, "request.invalid")


@pytest.mark.parametrize(("refund_id", "status"), [("f" * 32, 404), ("x", 404), ("a" * 500, 404), ("%00", 422)])
async def test_a_refund_that_is_not_there_can_not_be_restarted(client: Client, refund_id: str, status: int) -> None:
    path = f"/api/v1/admin/refunds/{refund_id}/restart"
    async with client.post(path, json={}, headers=_as("finance")) as answer:
        assert answer.status == status


async def test_a_refused_restart_writes_no_text_of_a_stranger_down(world: World, client: Client) -> None:
    for path in ("13800000001", "f" * 32):
        async with client.post(f"/api/v1/admin/refunds/{path}/restart", json={}, headers=_as("auditor")) as answer:
            assert answer.status == 403
    rows = await world.database[AUDIT].find({"action": "billing.refund_restarted", "outcome": "denied"}).to_list()
    assert sorted(row["subject"] for row in rows) == ["f" * 32, "refunds"]


async def test_a_flood_of_forged_callbacks_is_refused_and_does_not_fill_the_audit(world: World, client: Client) -> None:
    statuses = [(await client.post(PAYMENTS, data=b"{}")).status for _ in range(100)]
    assert set(statuses) == {401}
    denied = {"action": "billing.callback_refused", "outcome": "denied"}
    assert await world.database[AUDIT].count_documents(denied) == 60
    world.clock.advance(timedelta(minutes=1))
    assert (await client.post(REFUNDS, data=b"{}")).status == 401
    assert await world.database[AUDIT].count_documents(denied) == 61
