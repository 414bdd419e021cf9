"""What reaches a device that is away, through the whole running product and the stand-ins of its providers."""

import asyncio
import re
import time
from typing import Any

import jwt
import pymongo
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.contract import PATIENCE_SECONDS, World, text
from tests.support.plans import DATABASE
from tests.support.web_push import PushBrowser, decoded


async def pushes_of(world: World, device_id: str, least: int) -> list[Any]:
    """What the device shows, oldest first, as soon as there are so many."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        shown: list[Any] = (await world.outside("GET", f"/push/messages?device_id={device_id}"))[::-1]
        if len(shown) >= least or time.monotonic() > until:
            return shown
        await asyncio.sleep(0.1)


async def test_a_device_that_is_away_gets_one_push_a_message_with_the_badge_and_no_word_of_it(world: World) -> None:
    pair = await world.pair()
    order = await pair.paid(complaint="反复咳嗽")
    path = f"/conversations/{order['conversation_id']}/messages"
    device = pair.patient.session["device_id"] if pair.patient.session else ""
    for number in (1, 2):
        await pair.doctor.post(path, {"client_id": f"push-{number:04d}", "parts": [text("请做胸片检查")]}, 201)
        shown = await pushes_of(world, device, number)
        assert [push["badge"] for push in shown] == list(range(1, number + 1))
    assert {push["extras"]["kind"] for push in shown} == {"message"}
    assert [push["extras"]["seq"] for push in shown] == [2, 3]
    assert {push["extras"]["order_id"] for push in shown} == {order["id"]}
    assert not any(word in str(shown) for word in ("胸片", "咳嗽", "陈小雨"))
    waiting = await pushes_of(world, pair.doctor.session["device_id"] if pair.doctor.session else "", 1)
    assert [push["extras"]["kind"] for push in waiting if push["extras"]["order_id"] == order["id"]] == ["order_paid"]


async def test_a_connected_device_gets_none_a_browser_gets_its_own_and_signing_out_ends_it(world: World) -> None:
    pair = await world.pair()
    order = await pair.paid()
    path = f"/conversations/{order['conversation_id']}/messages"
    phone = pair.patient.session["device_id"] if pair.patient.session else ""
    key = await pair.patient.get("/push/key")
    assert len(key["public_key"]) == 87
    browser = await world.outside("POST", "/push/web/subscriptions", {"device_id": f"web-{phone}"})
    done = await pair.patient.ask("PUT", "/push/subscription", {"subscription": {"channel": "web", **browser}})
    assert done.ok() == {"device_id": phone, "channel": "web"}
    foreign = {"channel": "web", **browser, "endpoint": "https://169.254.169.254/latest"}
    (await pair.patient.ask("PUT", "/push/subscription", {"subscription": foreign})).refused(422, "request.invalid")
    socket = await world.socket(pair.patient)
    await asyncio.sleep(1.0)  # a socket is known to whoever pushes a moment after it came
    await pair.doctor.post(path, {"client_id": "push-0001", "parts": [text("您好")]}, 201)
    told = await socket.wait_for("message.new", lambda message: message["kind"] == "message")
    await socket.ok("receipt.delivered", {"conversation_id": order["conversation_id"], "seq": told["seq"]})
    await socket.client.disconnect()
    await asyncio.sleep(1.0)
    await pair.doctor.post(path, {"client_id": "push-0002", "parts": [text("请回复")]}, 201)
    (push,) = await pushes_of(world, f"web-{phone}", 1)
    assert (push["extras"]["seq"], push["badge"]) == (told["seq"] + 1, 2)
    assert await world.outside("GET", f"/push/messages?device_id={phone}") == []
    (await pair.patient.ask("DELETE", "/auth/sessions/current")).ok(204)
    await pair.doctor.post(path, {"client_id": "push-0003", "parts": [text("再见")]}, 201)
    await asyncio.sleep(3.0)
    assert len(await world.outside("GET", f"/push/messages?device_id=web-{phone}")) == 1


async def waiting_of(world: World, token: str, answers: int) -> Any:
    """What waits at the push service for one browser, as soon as it answered so often."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        found: Any = await world.outside("GET", f"/push/web/messages/{token}")
        if len(found["answers"]) >= answers or time.monotonic() > until:
            return found
        await asyncio.sleep(0.1)


async def test_a_browser_with_keys_of_its_own_opens_its_push_and_a_browser_that_gave_up_is_forgotten(world: World) -> None:
    pair = await world.pair()
    order = await pair.paid(complaint="反复咳嗽")
    path = f"/conversations/{order['conversation_id']}/messages"
    key = (await pair.patient.get("/push/key"))["public_key"]
    browser = PushBrowser()
    wanted = {"device_id": "own-keys", "keys": browser.keys, "application_server_key": key}
    made = await world.outside("POST", "/push/web/subscriptions", wanted)
    (await pair.patient.ask("PUT", "/push/subscription", {"subscription": {"channel": "web", **made}})).ok()
    token = made["endpoint"].rsplit("/", 1)[1]
    said = await pair.doctor.post(path, {"client_id": "push-0001", "parts": [text("请做胸片检查")]}, 201)
    found = await waiting_of(world, token, 1)
    (push,) = found["messages"]
    assert [answer["status"] for answer in found["answers"]] == [201]
    content = browser.read(push["body"])
    assert (content["title"], content["text"], content["badge"]) == ("云诊", "您有一条新消息，请查看。", 1)
    place = {"kind": "message", "order_id": order["id"], "conversation_id": order["conversation_id"], "seq": said["seq"]}
    assert content["extras"] == place
    assert content.keys() == {"id", "title", "text", "badge", "collapse", "extras"}
    assert not any(word in str(content) for word in ("胸片", "咳嗽", "陈小雨", pair.doctor.account_id))
    assert (push["ttl_seconds"], push["urgency"]) == (72 * 3_600, "high")
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,32}", push["topic"])
    signed, by = re.fullmatch(r"vapid t=([^,]+),k=(.+)", push["authorization"]).groups()  # type: ignore[union-attr]
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(by))
    claims = jwt.decode(signed, public, algorithms=["ES256"], audience=made["endpoint"].split("/push/")[0])
    assert (by, claims["sub"].split(":")[0], type(claims["exp"])) == (key, "mailto", int)

    async with world.http.delete(f"{world.product.simulators_url}/push/web/subscriptions/{token}") as gone:
        assert gone.status == 204
    await pair.doctor.post(path, {"client_id": "push-0002", "parts": [text("请回复")]}, 201)
    assert [answer["status"] for answer in (await waiting_of(world, token, 2))["answers"]] == [201, 410]
    async with pymongo.AsyncMongoClient(world.product.mongo_url) as client:
        subscriptions = client[DATABASE]["push_subscriptions"]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await subscriptions.count_documents({"account_id": pair.patient.account_id}) > 0:
                await asyncio.sleep(0.05)
