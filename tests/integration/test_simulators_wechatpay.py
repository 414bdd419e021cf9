import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha1
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from server.kernel.ids import new_id
from simulators.app import build_app
from simulators.config import SimulatorConfig
from simulators.keys import ensure_wechat_keys
from simulators.wechatpay.notify import RETRY_SECONDS
from tests.support.clock import ManualClock
from tests.support.gateway_client import Answer, Merchant, Receiver

REFUNDS = "/v3/refund/domestic/refunds"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys are made once for the run; each test has its own state beside them."""
    folder = tmp_path_factory.mktemp("gateway")
    ensure_wechat_keys(folder)
    return folder


@dataclass
class World:
    merchant: Merchant
    receiver: Receiver
    clock: ManualClock
    config: SimulatorConfig

    def order(self, out_trade_no: str, **changed: Any) -> dict[str, Any]:
        return {
            "appid": self.merchant.keys.appid,
            "mchid": self.merchant.keys.mchid,
            "description": "图文咨询",
            "out_trade_no": out_trade_no,
            "notify_url": self.receiver.url,
            "amount": {"total": 5000, "currency": "CNY"},
            "scene_info": {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}},
        } | changed

    async def prepay(self, out_trade_no: str, **changed: Any) -> str:
        answer = await self.merchant.call("POST", "/v3/pay/transactions/h5", self.order(out_trade_no, **changed))
        assert answer.status == 200, answer.raw
        return parse_qs(urlsplit(answer.body["h5_url"]).query)["prepay_id"][0]

    async def query(self, out_trade_no: str) -> Answer:
        path = f"/v3/pay/transactions/out-trade-no/{out_trade_no}"
        return await self.merchant.call("GET", f"{path}?mchid={self.merchant.keys.mchid}")

    async def close(self, out_trade_no: str) -> Answer:
        path = f"/v3/pay/transactions/out-trade-no/{out_trade_no}/close"
        return await self.merchant.call("POST", path, {"mchid": self.merchant.keys.mchid})

    async def paid(self, out_trade_no: str) -> str:
        prepay_id = await self.prepay(out_trade_no)
        assert (await self.merchant.wallet(prepay_id)).status == 200
        return prepay_id

    async def refund(self, out_trade_no: str, out_refund_no: str, fen: int, total: int = 5000) -> Answer:
        body = {
            "out_trade_no": out_trade_no,
            "out_refund_no": out_refund_no,
            "notify_url": self.receiver.url,
            "amount": {"refund": fen, "total": total, "currency": "CNY"},
        }
        return await self.merchant.call("POST", REFUNDS, body)

    async def faults(self, **settings: Any) -> None:
        assert (await self.merchant.put("/wechatpay/faults", settings)).status == 200


@pytest.fixture
async def world(data_dir: Path, clock: ManualClock) -> AsyncIterator[World]:
    (data_dir / "simulators" / "state.sqlite").unlink(missing_ok=True)
    config = SimulatorConfig(data_dir=data_dir, port=0, server_url="http://127.0.0.1:8080")
    async with TestServer(build_app(config, clock)) as server, aiohttp.ClientSession() as session:
        base = str(server.make_url("")).rstrip("/")
        merchant = Merchant(ensure_wechat_keys(data_dir), base, session, clock)
        receiver = Receiver(merchant)
        async with await receiver.start():
            yield World(merchant, receiver, clock, config)


async def test_a_payment_goes_from_prepay_to_an_encrypted_signed_callback(world: World) -> None:
    prepay_id = await world.prepay("order-0001", attach="a1")
    assert prepay_id.startswith("wx20260105100000")
    assert len(prepay_id) == 36
    before = await world.query("order-0001")
    assert (before.status, before.body["trade_state"]) == (200, "NOTPAY")
    assert "transaction_id" not in before.body
    paid = (await world.merchant.wallet(prepay_id)).body
    assert (paid["paid"], paid["amount_fen"], paid["trade_state"]) == (True, 5000, "SUCCESS")
    (callback,) = await world.receiver.wait_for(1)
    assert (callback.event_type, callback.genuine, callback.age_ms) == ("TRANSACTION.SUCCESS", True, 0)
    after = await world.query("order-0001")
    assert callback.resource == after.body
    assert after.body == {
        "appid": world.merchant.keys.appid,
        "mchid": world.merchant.keys.mchid,
        "out_trade_no": "order-0001",
        "transaction_id": paid["transaction_id"],
        "trade_type": "MWEB",
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "bank_type": "OTHERS",
        "attach": "a1",
        "success_time": "2026-01-05T10:00:00+08:00",
        "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
        "amount": {"total": 5000, "currency": "CNY", "payer_total": 5000, "payer_currency": "CNY"},
        "promotion_detail": [],
    }
    by_id = f"/v3/pay/transactions/id/{paid['transaction_id']}?mchid={world.merchant.keys.mchid}"
    assert (await world.merchant.call("GET", by_id)).body == after.body


async def test_jsapi_answers_a_prepay_id_and_keeps_the_payer(world: World) -> None:
    order = world.order("order-jsapi", payer={"openid": "o-123"})
    answer = await world.merchant.call("POST", "/v3/pay/transactions/jsapi", order)
    assert set(answer.body) == {"prepay_id"}
    await world.merchant.wallet(answer.body["prepay_id"])
    found = (await world.query("order-jsapi")).body
    assert (found["trade_type"], found["payer"]) == ("JSAPI", {"openid": "o-123"})
    missing = await world.merchant.call("POST", "/v3/pay/transactions/jsapi", world.order("order-jsapi2"))
    assert (missing.status, missing.body["code"]) == (400, "PARAM_ERROR")


@pytest.mark.parametrize("changed", [{"serial_no": "0" * 40}, {"mchid": "1900000110"}, {"timestamp": "1"}, {"timestamp": "x"}])
async def test_a_wrong_identity_or_instant_is_a_sign_error(world: World, changed: dict[str, str]) -> None:
    path = "/v3/certificates"
    answer = await world.merchant.call("GET", path, authorization=world.merchant.authorization("GET", path, b"", **changed))
    assert (answer.status, answer.body["code"]) == (401, "SIGN_ERROR")


async def test_a_signature_covers_method_path_query_and_body(world: World) -> None:
    sign, order = world.merchant.authorization, world.order("order-0002")
    raw = json.dumps(order).encode()
    path, query = "/v3/pay/transactions/h5", "/v3/pay/transactions/out-trade-no/order-0002?mchid=1900000109"
    for method, where, body, header in [
        ("POST", path, order, sign("POST", path, raw + b" ")),
        ("POST", path, order, sign("PUT", path, raw)),
        ("POST", path, order, sign("POST", path + "?a=1", raw)),
        ("GET", query, None, sign("GET", query.partition("?")[0], b"")),
        ("GET", query, None, "WECHATPAY2-SHA256-RSA2048 nothing"),
        ("GET", query, None, sign("GET", query, b"").replace('signature="', 'signature="!')),
    ]:
        answer = await world.merchant.call(method, where, body, authorization=header)
        assert (answer.status, answer.body["code"]) == (401, "SIGN_ERROR")
    assert (await world.query("order-0002")).status == 404


async def test_the_platform_certificate_comes_encrypted(world: World) -> None:
    (item,) = (await world.merchant.call("GET", "/v3/certificates")).body["data"]
    assert item["serial_no"] == world.merchant.keys.platform_serial
    pem = world.merchant.decrypt(item["encrypt_certificate"])
    assert pem == world.merchant.keys.platform_certificate_path.read_bytes()


async def test_one_number_is_one_order(world: World) -> None:
    first = await world.prepay("order-0003")
    assert await world.prepay("order-0003") == first
    other = await world.merchant.call(
        "POST", "/v3/pay/transactions/h5", world.order("order-0003", amount={"total": 5001, "currency": "CNY"})
    )
    assert (other.status, other.body["code"]) == (403, "OUT_TRADE_NO_USED")
    await world.merchant.wallet(first)
    again = await world.merchant.call("POST", "/v3/pay/transactions/h5", world.order("order-0003"))
    assert (again.status, again.body["code"]) == (400, "ORDERPAID")


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": {"total": 0, "currency": "CNY"}},
        {"amount": {"total": "5000", "currency": "CNY"}},
        {"out_trade_no": "x"},
        {"notify_url": "ftp://x"},
        {"scene_info": None},
        {"time_expire": "tomorrow"},
        {"time_expire": "2026-01-05T10:00:00+08:00"},
        {"mchid": "1900000110"},
    ],
)
async def test_what_the_gateway_does_not_take_is_a_param_error(world: World, changed: dict[str, Any]) -> None:
    answer = await world.merchant.call("POST", "/v3/pay/transactions/h5", world.order("order-0004") | changed)
    assert (answer.status, answer.body["code"]) == (400, "PARAM_ERROR")


async def test_a_wallet_pays_once_also_when_it_is_tapped_twenty_times(world: World) -> None:
    prepay_id = await world.prepay("order-0005")
    answers = await asyncio.gather(*(world.merchant.wallet(prepay_id) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 19
    await world.receiver.wait_for(1)
    assert (await world.merchant.wallet("wx-unknown")).status == 404


async def test_a_closed_order_cannot_be_paid_and_a_paid_one_not_closed(world: World) -> None:
    closed = await world.prepay("order-0006")
    assert [(await world.close("order-0006")).status for _ in range(2)] == [204, 204]
    refused = await world.merchant.wallet(closed)
    assert (refused.status, refused.body["code"]) == (409, "ORDER_CLOSED")
    assert (await world.query("order-0006")).body["trade_state"] == "CLOSED"
    await world.paid("order-0007")
    answer = await world.close("order-0007")
    assert (answer.status, answer.body["code"]) == (400, "ORDERPAID")
    assert (await world.close("order-none")).status == 404


async def test_at_its_expiry_a_payment_is_late(world: World) -> None:
    in_time = await world.prepay("order-0008", time_expire="2026-01-05T10:30:00+08:00")
    late = await world.prepay("order-0009", time_expire="2026-01-05T10:30:00+08:00")
    world.clock.advance(timedelta(minutes=30) - timedelta(milliseconds=1))
    assert (await world.merchant.wallet(in_time)).status == 200
    world.clock.advance(timedelta(milliseconds=1))
    refused = await world.merchant.wallet(late)
    assert (refused.status, refused.body["code"]) == (409, "ORDER_EXPIRED")
    assert (await world.query("order-0009")).body["trade_state"] == "CLOSED"


async def test_a_refused_callback_comes_again_at_the_documented_intervals_until_it_is_taken(world: World) -> None:
    world.receiver.answers = [500, 400, 302]
    await world.paid("order-0010")
    await world.receiver.wait_for(1)
    for tries, pause in enumerate(RETRY_SECONDS[:3], start=2):
        await _told(world, "order-0010", tries - 1)
        world.clock.advance(timedelta(seconds=pause) - timedelta(milliseconds=1))
        await asyncio.sleep(0.12)
        assert len(world.receiver.callbacks) == tries - 1
        world.clock.advance(timedelta(milliseconds=1))
        await world.receiver.wait_for(tries)
    notes = await _told(world, "order-0010", 4)
    assert [(note["try"], note["status"]) for note in notes] == [(4, 204), (3, 302), (2, 400), (1, 500)]
    assert len({callback.id for callback in world.receiver.callbacks}) == 1
    world.clock.advance(timedelta(days=2))
    await asyncio.sleep(0.12)
    assert len(world.receiver.callbacks) == 4


async def _told(world: World, subject: str, count: int) -> list[dict[str, Any]]:
    """The gateway's own list of tries, once it has that many."""
    async with asyncio.timeout(10):
        while len(notes := await world.merchant.get(f"/wechatpay/callbacks?subject={subject}")) < count:
            await asyncio.sleep(0.01)
    return list(notes)


async def test_lost_callbacks_never_come_and_the_next_one_does(world: World) -> None:
    await world.faults(callbacks="lost", count=1)
    await world.paid("order-0011")
    await world.paid("order-0012")
    (callback,) = await world.receiver.wait_for(1)
    assert callback.resource["out_trade_no"] == "order-0012"
    (note,) = await _told(world, "order-0011", 1)
    assert (note["lost"], note["status"]) == (True, None)
    assert (await world.query("order-0011")).body["trade_state"] == "SUCCESS"
    assert (await world.merchant.get("/wechatpay/faults"))["callbacks"] == "normal"


async def test_late_callbacks_come_when_they_are_due(world: World) -> None:
    await world.faults(callbacks="late", late_seconds=60)
    await world.paid("order-0013")
    world.clock.advance(timedelta(seconds=59))
    await asyncio.sleep(0.12)
    assert world.receiver.callbacks == []
    world.clock.advance(timedelta(seconds=1))
    (callback,) = await world.receiver.wait_for(1)
    assert callback.age_ms == 0


async def test_duplicated_callbacks_come_twice_at_once_and_once_after_they_were_taken(world: World) -> None:
    await world.faults(callbacks="duplicated")
    await world.paid("order-0014")
    callbacks = await world.receiver.wait_for(3)
    assert len({callback.id for callback in callbacks}) == 1
    assert all(callback.genuine for callback in callbacks)


async def test_forged_callbacks_come_before_the_genuine_one(world: World) -> None:
    await world.faults(callbacks="forged")
    await world.paid("order-0015")
    callbacks = await world.receiver.wait_for(6)
    trusted = [callback.genuine and callback.age_ms <= 300_000 for callback in callbacks]
    assert trusted == [False, False, False, False, False, True]
    notes = await _told(world, "order-0015", 6)
    assert [(n["forged"], n["status"]) for n in notes] == [
        (None, 204),
        ("probe", 401),
        ("stale", 401),
        ("changed_body", 401),
        ("wrong_serial", 401),
        ("unknown_key", 401),
    ]


async def test_one_forgery_can_be_sent_for_a_payment_that_nobody_made(world: World) -> None:
    prepay_id = await world.prepay("order-0016")
    sent = (await world.merchant.wallet(prepay_id, "forge", {"kind": "wrong_amount"})).body
    assert (sent["kind"], sent["status"]) == ("wrong_amount", 204)
    (callback,) = world.receiver.callbacks
    assert callback.genuine
    assert callback.resource["amount"]["total"] == 5001
    assert (await world.query("order-0016")).body["trade_state"] == "NOTPAY"
    assert (await world.merchant.wallet(prepay_id, "forge", {"kind": "?"})).status == 400


async def test_a_refund_is_processed_then_successful_and_told(world: World) -> None:
    prepay_id = await world.paid("order-0017")
    await world.receiver.wait_for(1)
    answer = await world.refund("order-0017", "refund-1", 2000)
    assert (answer.status, answer.body["status"]) == (200, "PROCESSING")
    assert "success_time" not in answer.body
    world.clock.advance(world.config.refund_delay)
    callback = (await world.receiver.wait_for(2))[1]
    assert callback.event_type == "REFUND.SUCCESS"
    assert callback.resource == {
        "mchid": world.merchant.keys.mchid,
        "transaction_id": answer.body["transaction_id"],
        "out_trade_no": "order-0017",
        "refund_id": answer.body["refund_id"],
        "out_refund_no": "refund-1",
        "refund_status": "SUCCESS",
        "success_time": "2026-01-05T10:00:00+08:00",
        "user_received_account": "支付用户零钱",
        "amount": {"total": 5000, "refund": 2000, "payer_total": 5000, "payer_refund": 2000},
    }
    found = await world.merchant.call("GET", f"{REFUNDS}/refund-1")
    assert (found.body["status"], found.body["success_time"]) == ("SUCCESS", "2026-01-05T10:00:00+08:00")
    assert (await world.query("order-0017")).body["trade_state"] == "REFUND"
    wallet = await world.merchant.get(f"/wechatpay/wallet/{prepay_id}")
    assert (wallet["amount_fen"], wallet["paid"]) == (5000, True)
    assert wallet["refunds"] == [{"out_refund_no": "refund-1", "amount_fen": 2000, "status": "SUCCESS"}]


async def test_one_refund_number_refunds_once(world: World) -> None:
    await world.paid("order-0018")
    answers = await asyncio.gather(*(world.refund("order-0018", "refund-2", 3000) for _ in range(10)))
    assert {(answer.status, answer.body["refund_id"]) for answer in answers} == {(200, answers[0].body["refund_id"])}
    other = await world.refund("order-0018", "refund-2", 3001)
    assert (other.status, other.body["code"]) == (400, "INVALID_REQUEST")
    await world.paid("order-0019")
    elsewhere = await world.refund("order-0019", "refund-2", 3000)
    assert (elsewhere.status, elsewhere.body["code"]) == (400, "INVALID_REQUEST")


async def test_no_more_than_was_paid_is_refunded(world: World) -> None:
    await world.paid("order-0020")
    answers = await asyncio.gather(*(world.refund("order-0020", f"refund-3-{n}", 2000) for n in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 200, 400, 400, 400]
    assert (await world.refund("order-0020", "refund-4", 1000, total=4999)).body["code"] == "INVALID_REQUEST"
    await world.prepay("order-0021")
    assert (await world.refund("order-0021", "refund-5", 1)).body["code"] == "INVALID_REQUEST"
    assert (await world.refund("order-none", "refund-6", 1)).body["code"] == "RESOURCE_NOT_EXISTS"
    assert (await world.merchant.call("GET", f"{REFUNDS}/refund-6")).body["code"] == "RESOURCE_NOT_EXISTS"


@pytest.mark.parametrize(
    ("fault", "event", "status"), [("abnormal", "REFUND.ABNORMAL", "ABNORMAL"), ("closed", "REFUND.CLOSED", "CLOSED")]
)
async def test_a_refund_that_fails_for_good_gives_its_amount_back(world: World, fault: str, event: str, status: str) -> None:
    await world.paid("order-0022")
    await world.faults(refunds=fault, count=1)
    await world.refund("order-0022", "refund-7", 5000)
    assert (await world.refund("order-0022", "refund-8", 5000)).status == 400
    world.clock.advance(world.config.refund_delay)
    callbacks = await world.receiver.wait_for(2)
    assert {(c.event_type, c.resource.get("refund_status")) for c in callbacks} == {
        ("TRANSACTION.SUCCESS", None),
        (event, status),
    }
    assert (await world.refund("order-0022", "refund-7", 5000)).body["status"] == status
    assert (await world.refund("order-0022", "refund-8", 5000)).status == 200


async def test_a_refused_refund_leaves_nothing_and_a_slow_one_takes_its_time(world: World) -> None:
    await world.paid("order-0023")
    await world.faults(refunds="refused", count=1)
    refused = await world.refund("order-0023", "refund-9", 5000)
    assert (refused.status, refused.body["code"]) == (403, "NOT_ENOUGH")
    assert (await world.merchant.call("GET", f"{REFUNDS}/refund-9")).status == 404
    await world.faults(refunds="slow", late_seconds=120)
    assert (await world.refund("order-0023", "refund-9", 5000)).status == 200
    world.clock.advance(timedelta(seconds=119))
    assert (await world.merchant.call("GET", f"{REFUNDS}/refund-9")).body["status"] == "PROCESSING"
    world.clock.advance(timedelta(seconds=1))
    assert (await world.merchant.call("GET", f"{REFUNDS}/refund-9")).body["status"] == "SUCCESS"


async def test_a_time_out_after_success_did_what_was_asked(world: World) -> None:
    await world.paid("order-0024")
    await world.faults(timeouts_after_success=True, late_seconds=0, count=1)
    with pytest.raises(aiohttp.ClientError):
        await world.refund("order-0024", "refund-10", 5000)
    again = await world.refund("order-0024", "refund-10", 5000)
    assert again.status == 200
    found = await world.merchant.call("GET", f"{REFUNDS}/refund-10")
    assert found.body["refund_id"] == again.body["refund_id"]


@pytest.mark.parametrize("bad", [{"callbacks": "maybe"}, {"count": 0}, {"unknown": 1}, {"late_seconds": -1}, [], "x"])
async def test_a_lever_that_does_not_exist_cannot_be_moved(world: World, bad: Any) -> None:
    assert (await world.merchant.put("/wechatpay/faults", bad)).status == 400
    assert (await world.merchant.get("/wechatpay/faults"))["callbacks"] == "normal"


async def test_a_bill_lists_payments_and_refunds_and_its_hash_proves_it(world: World) -> None:
    await world.paid("order-0025")
    await world.refund("order-0025", "refund-11", 1250)
    path = "/v3/bill/tradebill?bill_date=2026-01-05&bill_type=ALL"
    assert (await world.merchant.call("GET", path)).body["code"] == "STATEMENT_CREATING"
    world.clock.advance(timedelta(days=1))
    link = (await world.merchant.call("GET", path)).body
    async with world.merchant.session.get(link["download_url"]) as response:
        content = await response.read()
    assert (link["hash_type"], link["hash_value"]) == ("SHA1", sha1(content).hexdigest())
    text = content.decode("utf-8-sig")
    lines = text.split("\r\n")
    assert content.startswith(b"\xef\xbb\xbf")
    assert len(lines[0].split(",")) == 27
    payment, refund = (line.split(",") for line in lines[1:3])
    assert (payment[6], payment[9], payment[12], payment[24]) == ("`order-0025", "`SUCCESS", "`50.00", "`50.00")
    assert (refund[15], refund[16], refund[19], refund[25]) == ("`refund-11", "`12.50", "`SUCCESS", "`12.50")
    assert lines[4].split(",")[:3] == ["`2", "`50.00", "`12.50"]
    empty = await world.merchant.call("GET", "/v3/bill/tradebill?bill_date=2026-01-04")
    assert empty.body["code"] == "NO_STATEMENT_EXIST"
    world.clock.advance(timedelta(minutes=5))
    async with world.merchant.session.get(link["download_url"]) as response:
        assert response.status == 400


async def test_the_wallet_page_shows_the_amount_and_never_runs_what_the_merchant_wrote(world: World) -> None:
    prepay_id = await world.prepay("order-0026", description="<script>alert(1)</script>")
    path = f"/wechatpay/wallet-page?prepay_id={prepay_id}&redirect_url=javascript:alert(1)"
    async with world.merchant.session.get(world.merchant.base + path) as response:
        page = await response.text()
    assert "¥50.00" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "javascript:" not in page


async def test_a_gateway_that_is_started_again_knows_its_payments_and_tells_what_it_still_owes(
    data_dir: Path, clock: ManualClock
) -> None:
    config = SimulatorConfig(data_dir=data_dir, port=0, server_url="")
    (data_dir / "simulators" / "state.sqlite").unlink(missing_ok=True)
    number = new_id()
    async with aiohttp.ClientSession() as session:
        merchant = Merchant(ensure_wechat_keys(data_dir), "", session, clock)
        receiver = Receiver(merchant, answers=[503])
        async with await receiver.start():
            world = World(merchant, receiver, clock, config)
            async with TestServer(build_app(config, clock)) as server:
                merchant.base = str(server.make_url("")).rstrip("/")
                await world.paid(number)
                await world.refund(number, "refund-12", 5000)
                await _told(world, number, 1)
            clock.advance(timedelta(seconds=15))
            async with TestServer(build_app(config, clock)) as server:
                merchant.base = str(server.make_url("")).rstrip("/")
                callbacks = await receiver.wait_for(3)
                assert sorted(c.event_type for c in callbacks) == ["REFUND.SUCCESS", *["TRANSACTION.SUCCESS"] * 2]
                assert (await world.query(number)).body["trade_state"] == "REFUND"
