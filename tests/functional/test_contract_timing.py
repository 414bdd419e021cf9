"""The wire contract of deadlines, with windows of seconds: a product of its own."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.contract import ORDER_FIELDS, Pair, Socket, World, instant, text, world_of
from tests.support.product import Product, start_product

pytestmark = pytest.mark.slow

VALIDITY, UNPAID, RECALL = timedelta(seconds=5), timedelta(seconds=3), timedelta(seconds=2)
RATES = {"YZ_MESSAGE_RATE": "20/s", "YZ_HTTP_RATE": "40/s", "YZ_SMS_PER_PHONE": "5/10m", "YZ_PATIENT_BURST": "30"}


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product in a hurry, with limits that are met."""
    loop = asyncio.new_event_loop()
    windows = {"YZ_CONSULT_VALIDITY": "5s", "YZ_UNPAID_TIMEOUT": "3s", "YZ_RECALL_WINDOW": "2s"}
    small = {"YZ_DEMO_DOCTORS": "2", "YZ_DEMO_PATIENTS": "1", "YZ_CONSULT_REPLIES": "2", "YZ_SWEEP_INTERVAL": "500ms"}
    folder = tmp_path_factory.mktemp("hasty") / "var"
    running = loop.run_until_complete(start_product(folder, **windows, **small, **RATES))
    try:
        yield running
    finally:
        loop.run_until_complete(running.stop())
        loop.close()


@pytest.fixture
async def world(hasty: Product) -> AsyncIterator[World]:
    async with world_of(hasty) as people:
        yield people


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


async def _sockets(pair: Pair) -> list[Socket]:
    return [await pair.world.socket(pair.patient), await pair.world.socket(pair.doctor)]


async def test_no_answer_is_refunded_once_and_both_are_told(pair: Pair) -> None:
    sockets = await _sockets(pair)
    order = await pair.paid()
    assert instant(order["deadline_at"]) - instant(order["paid_at"]) == VALIDITY
    done = await pair.until(order["id"], "refunded", 20)
    assert (done["close_reason"], done["refunded_fen"], done["replies"]["used"]) == ("expired", order["fee_fen"], 0)
    late = instant(done["closed_at"]) - instant(order["deadline_at"])
    assert timedelta() <= late < timedelta(seconds=5)
    for socket in sockets:
        await socket.wait_for("order.changed", lambda o: o["status"] == "refunded")
        await socket.wait_for("notice", lambda n: n["kind"] == "refunded")
        await socket.wait_for("notice", lambda n: n["kind"] == "order_closed")
        statuses = [o["status"] for o in socket.all("order.changed") if o["id"] == order["id"] and o["paid_at"]]
        assert list(dict.fromkeys(statuses)) == ["awaiting_doctor", "refunding", "refunded"]
        assert all(o.keys() == ORDER_FIELDS for o in socket.all("order.changed"))
        entries = [m for m in socket.all("message.new") if m["conversation_id"] == order["conversation_id"]]
        assert [(m["seq"], m["kind"], m["closes"]) for m in entries] == [
            (1, "opened", None),
            (2, "closed", "expired"),
            (3, "settled", None),
        ]
    wallet = await pair.world.wallet(order["prepay_id"])
    assert [(r["amount_fen"], r["status"]) for r in wallet["refunds"]] == [(order["fee_fen"], "SUCCESS")]
    body = {"client_id": "too-late-now", "parts": [text("来晚了")]}
    answer = await pair.doctor.ask("POST", f"/conversations/{order['conversation_id']}/messages", body)
    answer.refused(409, "conversation.closed")


async def test_some_replies_at_the_deadline_complete_the_order_without_a_refund(pair: Pair) -> None:
    sockets = await _sockets(pair)
    order = await pair.paid()
    await pair.reply(order["conversation_id"])
    done = await pair.until(order["id"], "completed", 20)
    assert (done["close_reason"], done["refunded_fen"], done["replies"]["used"]) == ("expired", 0, 1)
    for socket in sockets:
        await socket.wait_for("order.changed", lambda o: (o["status"], o["close_reason"]) == ("completed", "expired"))
        await socket.wait_for("message.new", lambda m: m["kind"] == "settled")
    log = await pair.log(order["conversation_id"])
    assert [m["kind"] for m in log] == ["opened", "message", "closed", "settled"]
    assert timedelta() <= instant(log[3]["sent_at"]) - instant(log[2]["sent_at"]) < RECALL, "nothing could be recalled any more"
    assert (await pair.world.wallet(order["prepay_id"]))["refunds"] == []


async def test_an_unpaid_order_is_cancelled_and_its_payment_with_it(pair: Pair) -> None:
    socket = await pair.world.socket(pair.patient)
    order = await pair.place()
    payment = await pair.start_payment(order["id"])
    done = await pair.until(order["id"], "cancelled", 20)
    assert (done["close_reason"], done["paid_at"], done["refunded_fen"]) == ("unpaid", None, 0)
    assert instant(done["closed_at"]) - instant(order["created_at"]) >= UNPAID
    told = await socket.wait_for("order.changed", lambda o: o["status"] == "cancelled")
    assert told["close_reason"] == "unpaid"
    url = f"{pair.world.product.simulators_url}/wechatpay/wallet/{payment['prepay_id']}/pay"
    async with pair.world.http.post(url) as wallet:
        assert wallet.status >= 400
    answer = await pair.patient.ask("POST", f"/orders/{order['id']}/payments", {"channel": "wechat_h5"}, key=uuid.uuid4().hex)
    answer.refused(409, "order.transition_refused")


async def test_recalls_end_with_their_window(pair: Pair) -> None:
    socket = (await _sockets(pair))[1]
    order = await pair.paid()
    first = await socket.say(order["conversation_id"], "第一条")
    await asyncio.sleep(RECALL.total_seconds() + 0.3)
    body = {"conversation_id": order["conversation_id"], "client_id": uuid.uuid4().hex, "seq": first["seq"]}
    await socket.refused("message.recall", body, "message.recall_expired", "conflict")
    last = await socket.say(order["conversation_id"], "第二条")
    assert last["closes"] == "quota"
    body = {"conversation_id": order["conversation_id"], "client_id": uuid.uuid4().hex, "seq": last["seq"]}
    await socket.ok("message.recall", body)
    assert (await pair.patient.get(f"/orders/{order['id']}"))["status"] == "in_session"


async def test_the_quota_settles_when_nothing_can_be_recalled_any_more(pair: Pair) -> None:
    sockets = await _sockets(pair)
    order = await pair.paid()
    for n in range(2):
        last = await sockets[1].say(order["conversation_id"], f"{n}")
    for socket in sockets:
        settled = await socket.wait_for("message.new", lambda m: m["kind"] == "settled", 10)
        assert settled["seq"] == 4
    assert timedelta() <= instant(settled["sent_at"]) - instant(last["sent_at"]) - RECALL < timedelta(seconds=4)
    body = {"conversation_id": order["conversation_id"], "client_id": uuid.uuid4().hex, "seq": last["seq"]}
    await sockets[1].refused("message.recall", body, "message.recall_expired", "conflict")
    assert (await pair.patient.get(f"/orders/{order['id']}"))["status"] == "completed"


async def _race(pair: Pair, order: Any) -> None:
    """Replies every few milliseconds round the deadline: either none is stored and the fee goes back, or one is and stays."""
    left = instant(order["deadline_at"]).timestamp() - time.time() - 0.05
    await asyncio.sleep(left)
    path = f"/conversations/{order['conversation_id']}/messages"

    async def reply(number: int) -> int:
        await asyncio.sleep(number * 0.01)
        body = {"client_id": uuid.uuid4().hex, "parts": [text("您好")]}
        return (await pair.doctor.ask("POST", path, body)).status

    statuses = await asyncio.gather(*(reply(number) for number in range(10)))
    stored = statuses.count(201)
    done = await pair.until(order["id"], "completed" if stored else "refunded", 20)
    assert done["replies"]["used"] == stored <= 2
    refunds = (await pair.world.wallet(order["prepay_id"]))["refunds"]
    assert [r["status"] for r in refunds] == ([] if stored else ["SUCCESS"])
    log = await pair.log(order["conversation_id"])
    assert [m["seq"] for m in log] == list(range(1, len(log) + 1))
    assert [m["kind"] for m in log].count("message") == stored
    closing = [m for m in log if m["closes"]]
    assert len(closing) == 1


async def test_a_reply_and_the_deadline_have_one_winner(pair: Pair) -> None:
    orders = [await pair.paid() for _ in range(4)]
    await asyncio.gather(*(_race(pair, order) for order in orders))


# --- limits that are met here ---


async def test_a_connection_that_sends_too_fast_is_told_to_wait(pair: Pair) -> None:
    socket = (await _sockets(pair))[0]
    order = await pair.paid()
    bodies = [
        {"conversation_id": order["conversation_id"], "client_id": f"message-{n:04}", "parts": [text(f"{n}")]}
        for n in range(60)
    ]
    acks = await asyncio.gather(*(socket.call("message.send", body) for body in bodies))
    refused = [ack["error"] for ack in acks if not ack["ok"]]
    limited = [error for error in refused if error["code"] == "request.rate_limited"]
    assert limited and {error["kind"] for error in limited} == {"rate_limited"}
    assert {error["code"] for error in refused} <= {"request.rate_limited", "conversation.flooded"}
    assert socket.closed_at is None


async def test_an_account_that_asks_too_fast_is_told_to_wait(world: World) -> None:
    patient, other = await world.patient(), await world.patient()
    answers = await asyncio.gather(*(patient.ask("GET", "/me") for _ in range(200)))
    limited = [answer for answer in answers if answer.status != 200]
    assert limited
    for answer in limited:
        answer.refused(429, "request.rate_limited")
        assert int(answer.headers["Retry-After"]) >= 1
    await other.get("/me")


async def test_a_phone_that_asks_for_too_many_codes_is_told_to_wait(world: World) -> None:
    body = {"phone": "17612345678", "purpose": "login"}
    answers = [await world.nobody.ask("POST", "/auth/sms-codes", body) for _ in range(6)]
    assert [answer.status for answer in answers] == [202] * 5 + [429]
    answers[-1].refused(429, "request.rate_limited")
    assert 0 < answers[-1].body["fields"]["retry_after_seconds"] <= 600
    assert len(await world.outside("GET", "/sms/messages?phone=17612345678")) == 5


async def test_after_all_of_it_the_books_hold(world: World) -> None:
    for command in (("ledger", "verify"), ("audit", "verify")):
        code, output = await world.product.yunzhen(*command)
        assert code == 0, output
