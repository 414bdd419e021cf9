"""The journeys of patients and doctors against the whole running product, over the real wire."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from examples.consult import Person, order_and_pay, pay, picture, place_order, sign_in, start_payment, text, until, voice
from examples.consult import main as example
from tests.functional.conftest import Product

Pair = tuple[Person, Person, str, str]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def _pair(http: aiohttp.ClientSession, demo: dict[str, Any], number: int) -> Pair:
    """A patient and a doctor, both signed in; the patient's first patient; the doctor's id."""
    patient = await sign_in(http, demo, "patient", demo["patients"][number]["phone"])
    doctor = await sign_in(http, demo, "doctor", demo["doctors"][number]["phone"])
    mine = (await patient.call("GET", "/patients"))["items"]
    return patient, doctor, mine[0]["id"], demo["doctors"][number]["doctor_id"]


@pytest.fixture
async def pair(http: aiohttp.ClientSession, product: Product) -> AsyncIterator[Pair]:
    patient, doctor, patient_id, doctor_id = await _pair(http, product.demo, 0)
    yield patient, doctor, patient_id, doctor_id
    await patient.socket.disconnect()
    await doctor.socket.disconnect()


async def _wallet(http: aiohttp.ClientSession, product: Product, prepay_id: str) -> Any:
    async with http.get(f"{product.demo['simulators_url']}/wechatpay/wallet/{prepay_id}") as answer:
        return await answer.json()


async def _refunded(http: aiohttp.ClientSession, product: Product, prepay_id: str) -> list[Any]:
    """The wallet's refunds, once there is a successful one."""
    async with asyncio.timeout(30):
        while True:
            refunds = (await _wallet(http, product, prepay_id))["refunds"]
            if refunds and all(r["status"] == "SUCCESS" for r in refunds):
                return list(refunds)
            await asyncio.sleep(0.2)


async def test_the_readme_example_goes_through(product: Product, capsys: pytest.CaptureFixture[str]) -> None:
    await example(product.demo)
    printed = capsys.readouterr().out
    assert "after the withdrawal: 403 record.access_denied" in printed
    assert "the last reply closes: quota" in printed
    assert printed.endswith("done\n")


async def test_a_hundred_replies_at_once_store_exactly_three(pair: Pair, product: Product) -> None:
    patient, doctor, patient_id, doctor_id = pair
    order = await order_and_pay(patient, product.demo, patient_id, doctor_id, [])
    conversation = order["conversation_id"]

    async def reply(number: int) -> Any:
        body = {"client_id": f"reply-{number:04d}", "parts": [text(f"第{number}条")]}
        return await doctor.request("POST", f"/conversations/{conversation}/messages", body)

    answers = await asyncio.gather(*(reply(n) for n in range(100)))
    stored = [content for status, content in answers if status == 201]
    codes = {content["code"] for status, content in answers if status != 201}
    assert len(stored) == 3
    assert codes == {"conversation.quota_exhausted"}
    history = (await patient.call("GET", f"/conversations/{conversation}/messages?after_seq=0&limit=100"))["items"]
    assert [m["seq"] for m in history] == list(range(1, len(history) + 1))
    assert [m["closes"] for m in history if m["kind"] == "message"] == [None, None, "quota"]
    done = await until(patient, order["id"], "completed")
    assert (done["close_reason"], done["replies"]) == ("quota", {"limit": 3, "used": 3, "gifted": 0})


async def test_gifted_replies_allow_exactly_that_many_more(pair: Pair, product: Product) -> None:
    patient, doctor, patient_id, doctor_id = pair
    order = await order_and_pay(patient, product.demo, patient_id, doctor_id, [])
    await doctor.call("POST", f"/orders/{order['id']}/gifts", {"count": 2})
    sent = [await doctor.say(order["conversation_id"], text(f"{n}")) for n in range(5)]
    assert [m["closes"] for m in sent] == [None, None, None, None, "quota"]
    ack = await doctor.emit(
        "message.send", {"conversation_id": order["conversation_id"], "client_id": "one-more", "parts": [text("6")]}
    )
    assert (ack["ok"], ack["error"]["code"]) == (False, "conversation.quota_exhausted")
    status, problem = await doctor.request("POST", f"/orders/{order['id']}/gifts", {"count": 1})
    assert (status, problem["code"]) == (409, "order.transition_refused")


async def test_ten_retries_of_one_client_id_are_one_message(pair: Pair, product: Product) -> None:
    patient, _, patient_id, doctor_id = pair
    order = await order_and_pay(patient, product.demo, patient_id, doctor_id, [])
    body = {"conversation_id": order["conversation_id"], "client_id": "the-same-one", "parts": [text("在吗？")]}
    acks = [await patient.emit("message.send", body) for _ in range(10)]
    assert {a["message"]["seq"] for a in acks} == {2}
    other = await patient.emit("message.send", {**body, "parts": [text("另一句")]})
    assert other["error"]["code"] == "idempotency.mismatch"


async def test_nobody_else_sees_the_order_the_conversation_or_the_picture(
    pair: Pair, http: aiohttp.ClientSession, product: Product
) -> None:
    patient, doctor, patient_id, doctor_id = pair
    image = await patient.upload(picture(), "a.jpg", "complaint")
    order = await order_and_pay(patient, product.demo, patient_id, doctor_id, [image])
    link = await doctor.call("POST", f"/media/{image}/links", {})
    other_patient, other_doctor, *_ = await _pair(http, product.demo, 3)
    for stranger in (other_patient, other_doctor):
        for method, path, code in (
            ("GET", f"/orders/{order['id']}", "order.not_found"),
            ("GET", f"/conversations/{order['conversation_id']}/messages", "conversation.not_found"),
            ("POST", f"/media/{image}/links", "media.not_found"),
        ):
            status, problem = await stranger.request(method, path, {} if method == "POST" else None)
            assert (status, problem["code"]) == (404, code)
        headers = {"Authorization": f"Bearer {stranger.session['access_token']}"}
        async with http.get(product.demo["base_url"] + link["url"], headers=headers) as answer:
            assert answer.status in (401, 403, 404)
        sync = await stranger.emit("conversation.sync", {"cursors": {order["conversation_id"]: 0}})
        assert sync.get("conversations", []) == [] or sync["error"]["code"] == "conversation.not_found"
    async with http.get(product.demo["base_url"] + link["url"]) as answer:
        assert answer.status in (200, 401, 403, 404)
    headers = {"Authorization": f"Bearer {doctor.session['access_token']}"}
    async with http.get(product.demo["base_url"] + link["url"], headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "image/jpeg")
    for person in (other_patient, other_doctor):
        await person.socket.disconnect()


async def test_a_recalled_message_is_a_tombstone_on_every_device_and_gives_its_quota_back(pair: Pair, product: Product) -> None:
    patient, doctor, patient_id, doctor_id = pair
    order = await order_and_pay(patient, product.demo, patient_id, doctor_id, [])
    conversation = order["conversation_id"]
    for n in range(3):
        last = await doctor.say(conversation, text(f"{n}"))
    assert last["closes"] == "quota"
    ack = await doctor.emit("message.recall", {"conversation_id": conversation, "client_id": "recall-1", "seq": last["seq"]})
    assert (ack["ok"], ack["message"]["kind"], ack["message"]["recalls"]) == (True, "recall", last["seq"])
    again = await until(patient, order["id"], "in_session")
    assert again["replies"] == {"limit": 3, "used": 2, "gifted": 0}
    sync = await patient.emit("conversation.sync", {"cursors": {conversation: 0}})
    shown = {m["seq"]: m for m in sync["conversations"][0]["messages"]}
    assert (shown[last["seq"]]["recalled"], shown[last["seq"]]["parts"]) == (True, [])
    assert (await doctor.say(conversation, text("再来")))["closes"] == "quota"


async def test_cancel_before_a_reply_refunds_in_full_and_after_one_is_refused(
    pair: Pair, http: aiohttp.ClientSession, product: Product
) -> None:
    patient, doctor, patient_id, doctor_id = pair
    order = await place_order(patient, patient_id, doctor_id, [])
    prepay = await start_payment(patient, order["id"])
    await pay(http, product.demo, prepay)
    await until(patient, order["id"], "awaiting_doctor")
    await patient.call("POST", f"/orders/{order['id']}/cancel", {})
    done = await until(patient, order["id"], "refunded", 30)
    assert (done["close_reason"], done["refunded_fen"]) == ("cancelled", order["fee_fen"])
    assert [r["amount_fen"] for r in await _refunded(http, product, prepay)] == [order["fee_fen"]]
    order = await order_and_pay(patient, product.demo, patient_id, doctor_id, [])
    await doctor.say(order["conversation_id"], text("您好"))
    status, problem = await patient.request("POST", f"/orders/{order['id']}/cancel", {})
    assert (status, problem["code"]) == (409, "order.transition_refused")
    await doctor.call("POST", f"/orders/{order['id']}/finish", {})
    assert (await until(patient, order["id"], "completed"))["close_reason"] == "finished"


async def test_a_payment_that_arrives_after_the_cancel_is_refunded(
    pair: Pair, http: aiohttp.ClientSession, product: Product
) -> None:
    patient, _, patient_id, doctor_id = pair
    order = await place_order(patient, patient_id, doctor_id, [])
    prepay = await start_payment(patient, order["id"])
    faults = f"{product.demo['simulators_url']}/wechatpay/faults"
    async with http.put(faults, json={"callbacks": "late", "late_seconds": 2, "count": 1}) as answer:
        assert answer.status < 300
    await pay(http, product.demo, prepay)
    status, answered = await patient.request("POST", f"/orders/{order['id']}/cancel", {})
    # The gateway was asked before the cancel: it knew of the payment, so the order is paid and then cancelled.
    assert (status, answered["close_reason"]) == (200, "cancelled")
    refunds = await _refunded(http, product, prepay)
    assert [r["amount_fen"] for r in refunds] == [order["fee_fen"]]


async def test_a_closed_switch_refuses_the_order_and_a_full_day_refuses_the_payment(
    http: aiohttp.ClientSession, product: Product
) -> None:
    patient, doctor, patient_id, doctor_id = await _pair(http, product.demo, 1)
    settings = await doctor.call("GET", "/desk/settings")
    assert settings == await doctor.call("PUT", "/desk/settings", settings)
    await doctor.call("PUT", "/desk/settings", {**settings, "daily_maximum": 1})
    orders = [await place_order(patient, patient_id, doctor_id, []) for _ in range(4)]
    answers = await asyncio.gather(
        *(
            patient.request("POST", f"/orders/{o['id']}/payments", {"channel": "wechat_h5"}, key=uuid.uuid4().hex)
            for o in orders
        )
    )
    assert sorted(status for status, _ in answers) == [201, 409, 409, 409]
    assert {content["code"] for status, content in answers if status == 409} == {"order.daily_maximum"}
    await doctor.call("PUT", "/desk/settings", {**settings, "accepting": False})
    consent = await patient.call("GET", "/consents/consult")
    body = {
        "doctor_id": doctor_id,
        "patient_id": patient_id,
        "kind": "consult",
        "complaint": "头痛",
        "image_ids": [],
        "consent": {"version": consent["version"], "sha256": consent["sha256"], "record_access": True},
    }
    status, problem = await patient.request("POST", "/orders", body, key=uuid.uuid4().hex)
    assert (status, problem["code"]) == (409, "order.doctor_unavailable")
    await doctor.call("PUT", "/desk/settings", settings)
    for person in (patient, doctor):
        await person.socket.disconnect()


async def test_voice_is_playable_in_both_forms_and_lasts_as_long(pair: Pair) -> None:
    patient, *_ = pair
    form = aiohttp.FormData()
    form.add_field("purpose", "message")
    form.add_field("file", voice(2), filename="clip.wav")
    media = await patient.call("POST", "/media", form=form)
    assert media["kind"] == "voice"
    assert abs(media["duration_ms"] - 2_000) <= 50


async def test_after_all_of_it_the_ledger_balances_and_the_chains_hold(product: Product) -> None:
    for command in (("ledger", "verify"), ("audit", "verify"), ("check", "deadlines"), ("check",)):
        code, output = await product.yunzhen(*command)
        assert code == 0, output
