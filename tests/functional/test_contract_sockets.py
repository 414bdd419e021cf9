"""The wire contract over Socket.IO, against the running product."""

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import socketio

from tests.support.contract import MESSAGE_FIELDS, ORDER_FIELDS, Client, Pair, Socket, World, instant, new_phone, text
from tests.support.media_files import image_file, voice_file


@dataclass(slots=True)
class Talk:
    """A paid order, and two devices of each side that are connected."""

    pair: Pair
    order: Any
    patient: list[Socket]
    doctor: list[Socket]

    @property
    def id(self) -> str:
        return str(self.order["conversation_id"])

    @property
    def everyone(self) -> list[Socket]:
        return [*self.patient, *self.doctor]

    async def told(self, seq: int, *, except_: Socket | None = None) -> list[Any]:
        """What each socket but that one was told of this entry."""
        return [
            await socket.wait_for("message.new", lambda m: (m["conversation_id"], m["seq"]) == (self.id, seq))
            for socket in self.everyone
            if socket is not except_
        ]

    async def sync(self, socket: Socket, seq: int) -> Any:
        (found,) = (await socket.ok("conversation.sync", {"cursors": {self.id: seq}}))["conversations"]
        return found


@pytest.fixture
async def talk(world: World) -> Talk:
    pair = await world.pair()
    patient = [await world.socket(pair.patient) for _ in range(2)]
    doctor = [await world.socket(pair.doctor) for _ in range(2)]
    return Talk(pair, await pair.paid(), patient, doctor)


def _message_shape(message: Any) -> None:
    assert message.keys() == MESSAGE_FIELDS
    assert message["sender"].keys() == {"account_id", "role", "name"}
    instant(message["sent_at"])
    assert isinstance(message["parts"], list)
    assert message["recalled"] in (True, False)


# --- connecting ---


@pytest.mark.parametrize(
    "auth", [None, {}, {"token": ""}, {"token": "x"}, {"token": 5}, {"token": ["a"]}, {"other": "x"}, "x", 5]
)
async def test_nobody_connects_without_a_token(world: World, auth: Any) -> None:
    client = socketio.AsyncClient(reconnection=False)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(world.base_url, auth=auth, transports=["websocket"], wait_timeout=5)
    await client.disconnect()


async def test_a_token_of_a_session_that_ended_does_not_connect(world: World) -> None:
    patient = await world.patient()
    (await patient.ask("DELETE", "/auth/sessions/current")).ok(204)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await Socket(world.base_url, patient.token).connect()


async def test_a_refused_connect_says_why_as_an_error(world: World) -> None:
    refusals: list[Any] = []
    client = socketio.AsyncClient(reconnection=False)
    client.on("connect_error", refusals.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(world.base_url, auth={"token": "x"}, transports=["websocket"], wait_timeout=5)
    await client.disconnect()
    assert refusals[0]["data"] == {"code": "auth.required", "kind": "unauthenticated", "fields": {}}


async def _handshake(world: World, origin: str | None) -> bool:
    headers = {} if origin is None else {"Origin": origin}
    url = f"{world.base_url}/socket.io/?EIO=4&transport=websocket"
    try:
        async with world.http.ws_connect(url, headers=headers) as socket:
            return (await socket.receive_str()).startswith("0{")
    except aiohttp.WSServerHandshakeError:
        return False


async def test_a_foreign_origin_is_refused_and_none_or_ones_own_is_not(world: World) -> None:
    assert await _handshake(world, None)
    assert await _handshake(world, world.base_url)
    for origin in ("https://evil.example", "null", f"{world.base_url}.evil.example", "http://127.0.0.1", "nonsense"):
        assert not await _handshake(world, origin), origin


async def test_a_session_holds_ten_sockets(world: World) -> None:
    patient = await world.patient()
    sockets = [await world.socket(patient) for _ in range(10)]
    with pytest.raises(socketio.exceptions.ConnectionError):
        await Socket(world.base_url, patient.token).connect()
    assert all(socket.closed_at is None for socket in sockets)
    await sockets[0].client.disconnect()
    async with asyncio.timeout(5):
        while True:
            try:
                await world.socket(patient)
                break
            except socketio.exceptions.ConnectionError:
                await asyncio.sleep(0.1)


async def test_polling_is_served_by_one_process_too(world: World) -> None:
    patient = await world.patient()
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(world.base_url, auth={"token": patient.token}, transports=["polling"])
    assert (await client.call("conversation.sync", {}, timeout=5))["ok"] is True
    await client.disconnect()


async def test_a_socket_outlives_its_token_but_not_its_session(world: World) -> None:
    """A refresh gives another token: the socket that joined with the old one stays."""
    patient = await world.patient()
    socket = await world.socket(patient)
    assert patient.session is not None
    (await world.nobody.ask("POST", "/auth/refresh", {"refresh_token": patient.session["refresh_token"]})).ok()
    await socket.quiet(1.2)
    assert (await socket.call("conversation.sync", {}))["ok"] is True


# --- commands that are none ---


@pytest.mark.parametrize("name", ["message.delete", "connect_error", "", "message", "on_connect", "__init__", "消息"])
async def test_an_unknown_command_is_acknowledged_with_request_invalid(world: World, name: str) -> None:
    socket = await world.socket(await world.patient())
    await socket.refused(name, {}, "request.invalid", "invalid")


GARBAGE = [
    None,
    [],
    "x",
    5,
    True,
    {},
    {"conversation_id": None},
    {"conversation_id": {"$gt": ""}},
    {"more": 1},
    [[]],
    {"a": {"b": []}},
]


@pytest.mark.parametrize("name", ["message.send", "message.recall", "receipt.delivered", "receipt.read", "typing"])
async def test_a_body_that_is_not_what_it_should_be_is_acknowledged_as_invalid(world: World, name: str) -> None:
    socket = await world.socket(await world.patient())
    for body in GARBAGE:
        ack = await socket.call(name, body)
        assert (ack["ok"], ack["error"]["code"], ack["error"]["kind"]) == (False, "request.invalid", "invalid"), body
    ack = await socket.call(name, ({"conversation_id": "0" * 32}, {"a second": "argument"}))
    assert ack["error"]["code"] == "request.invalid"
    ack = await socket.call(name, b"binary")
    assert ack["error"]["code"] == "request.invalid"
    assert socket.closed_at is None


@pytest.mark.parametrize(
    "cursors", [None, [], "x", {"0" * 32: -1}, {"0" * 32: "1"}, {"0" * 32: 1.5}, {"0" * 32: None}, {"": 1}, {"0" * 32: 2**70}]
)
async def test_cursors_that_are_none_are_acknowledged_as_invalid(world: World, cursors: Any) -> None:
    socket = await world.socket(await world.patient())
    await socket.refused("conversation.sync", {"cursors": cursors}, "request.invalid", "invalid")


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "1234567"},
        {"client_id": "x" * 65},
        {"client_id": 12345678},
        {"client_id": None},
        {"parts": []},
        {"parts": [text("x")] * 10},
        {"parts": [text("")]},
        {"parts": [text("字" * 4001)]},
        {"parts": [text("a\u0000b")]},
        {"parts": [text("a\u202eb")]},
        {"parts": [{"kind": "text"}]},
        {"parts": [{"kind": "text", "text": "x", "more": 1}]},
        {"parts": [{"text": "x"}]},
        {"parts": [{"kind": "film", "media_id": "x"}]},
        {"parts": [{"kind": "card", "card": "x", "data": {}}]},
        {"parts": [{"kind": "system", "event": "closed", "data": {}}]},
        {"parts": ["x"]},
        {"corrects": 0},
        {"corrects": "1"},
        {"seq": 5},
        {"sender": "doctor"},
    ],
)
async def test_a_message_that_is_not_well_formed_is_refused_and_not_stored(talk: Talk, change: dict[str, Any]) -> None:
    body = {"conversation_id": talk.id, "client_id": uuid.uuid4().hex, "parts": [text("您好")]} | change
    await talk.patient[0].refused("message.send", body, "request.invalid", "invalid")
    assert len(await talk.pair.log(talk.id)) == 1


async def test_text_of_4000_characters_and_nine_parts_are_taken(talk: Talk) -> None:
    body = {"conversation_id": talk.id, "client_id": "x" * 8, "parts": [text("字" * 4000)] * 9}
    message = (await talk.patient[0].ok("message.send", body))["message"]
    assert message["parts"] == body["parts"]
    body = {"conversation_id": talk.id, "client_id": "y" * 64, "parts": [text("🩺\n\tdöctor")]}
    assert (await talk.patient[0].ok("message.send", body))["message"]["parts"] == body["parts"]


# --- messages ---


async def test_a_message_reaches_every_socket_but_the_one_that_sent_it(talk: Talk) -> None:
    sender = talk.patient[0]
    ack = await sender.ok("message.send", {"conversation_id": talk.id, "client_id": "first-one", "parts": [text("您好")]})
    assert ack.keys() == {"ok", "message"}
    message = ack["message"]
    _message_shape(message)
    assert {name: message[name] for name in MESSAGE_FIELDS - {"sent_at", "sender"}} == {
        "conversation_id": talk.id,
        "seq": 2,
        "kind": "message",
        "client_id": "first-one",
        "parts": [text("您好")],
        "recalled": False,
        "recalls": None,
        "corrects": None,
        "closes": None,
    }
    me = await talk.pair.patient.get("/me")
    assert message["sender"] == {"account_id": talk.pair.patient.account_id, "role": "patient", "name": me["name"]}
    assert await talk.told(2, except_=sender) == [message] * 3
    await sender.quiet()
    assert [each for each in sender.all("message.new") if each["seq"] == 2] == []
    reply = await talk.doctor[1].say(talk.id, "请说")
    doctor = talk.pair.doctor.session
    assert doctor is not None
    assert reply["sender"] == {"account_id": talk.pair.doctor_id, "role": "doctor", "name": doctor["account"]["name"]}
    assert await talk.told(3, except_=talk.doctor[1]) == [reply] * 3
    over_http = await talk.pair.reply(talk.id)
    assert await talk.told(4) == [over_http] * 4


async def test_every_part_goes_both_ways(talk: Talk) -> None:
    for client, sockets in ((talk.pair.patient, talk.patient), (talk.pair.doctor, talk.doctor)):
        image = (await client.upload(image_file(), "a.jpg")).ok(201)["media_id"]
        voice = (await client.upload(voice_file(), "a.m4a")).ok(201)["media_id"]
        parts = [text("看"), {"kind": "image", "media_id": image}, {"kind": "voice", "media_id": voice}]
        body = {"conversation_id": talk.id, "client_id": uuid.uuid4().hex, "parts": parts}
        message = (await sockets[0].ok("message.send", body))["message"]
        assert message["parts"] == parts
        assert await talk.told(message["seq"], except_=sockets[0]) == [message] * 3
        other = talk.pair.doctor if client is talk.pair.patient else talk.pair.patient
        for media_id in (image, voice):
            (await other.ask("POST", f"/media/{media_id}/links", {})).ok()
        recall = {"conversation_id": talk.id, "client_id": uuid.uuid4().hex, "seq": message["seq"]}
        await sockets[0].ok("message.recall", recall)
        for media_id in (image, voice):
            (await other.ask("POST", f"/media/{media_id}/links", {})).refused(404, "media.not_found")


async def test_media_that_is_not_ones_own_or_of_another_kind_is_refused(talk: Talk) -> None:
    image = (await talk.pair.doctor.upload(image_file(), "a.jpg")).ok(201)["media_id"]
    own = (await talk.pair.patient.upload(image_file(), "a.jpg")).ok(201)["media_id"]
    for kind, media_id in (("image", image), ("image", "0" * 32), ("image", "nonsense"), ("voice", own)):
        parts = [{"kind": kind, "media_id": media_id}]
        ack = await talk.patient[0].call(
            "message.send", {"conversation_id": talk.id, "client_id": uuid.uuid4().hex, "parts": parts}
        )
        assert (ack["ok"], ack["error"]["kind"] in ("not_found", "invalid")) == (False, True), ack
    assert len(await talk.pair.log(talk.id)) == 1


async def test_one_client_id_is_one_message_over_sends_and_recalls(talk: Talk) -> None:
    body = {"conversation_id": talk.id, "client_id": "the-same-one", "parts": [text("在吗")]}
    acks = await asyncio.gather(*(socket.call("message.send", body) for socket in talk.patient * 5))
    assert {ack["message"]["seq"] for ack in acks} == {2}
    assert all(ack == acks[0] for ack in acks)
    await talk.patient[0].refused("message.send", {**body, "parts": [text("在？")]}, "idempotency.mismatch", "conflict")
    recall = {"conversation_id": talk.id, "client_id": "the-same-one", "seq": 2}
    await talk.patient[0].refused("message.recall", recall, "idempotency.mismatch", "conflict")
    assert (await talk.doctor[0].ok("message.send", body))["message"]["seq"] == 3
    http = {"client_id": "the-same-one", "parts": [text("在吗")]}
    assert (await talk.pair.patient.post(f"/conversations/{talk.id}/messages", http, 201))["seq"] == 2
    recall["client_id"] = "a-recall-1"
    first, again = [await talk.patient[0].ok("message.recall", recall) for _ in range(2)]
    assert first == again
    await talk.patient[0].refused("message.recall", {**recall, "seq": 3}, "idempotency.mismatch", "conflict")
    send = {**body, "client_id": "a-recall-1"}
    await talk.patient[0].refused("message.send", send, "idempotency.mismatch", "conflict")


async def test_concurrent_messages_are_numbered_without_a_hole_and_everyone_sees_one_order(talk: Talk) -> None:
    await talk.pair.doctor.post(f"/orders/{talk.order['id']}/gifts", {"count": 10})
    asked = [talk.patient[n % 2].say(talk.id, f"问{n}") for n in range(30)]
    answered = [talk.doctor[n % 2].say(talk.id, f"答{n}") for n in range(10)]
    acks = await asyncio.gather(*asked, *answered)
    assert sorted(message["seq"] for message in acks) == list(range(3, 43))
    log = await talk.pair.log(talk.id)
    assert [each["seq"] for each in log] == list(range(1, 43))
    by_seq = {message["seq"]: message for message in acks}
    assert log[2:] == [by_seq[seq] for seq in range(3, 43)]
    assert [each["sent_at"] for each in log] == sorted(each["sent_at"] for each in log)


async def test_a_stranger_finds_no_conversation(talk: Talk) -> None:
    stranger = await talk.pair.world.pair()
    for client in (stranger.patient, stranger.doctor):
        socket = await talk.pair.world.socket(client)
        for conversation in (talk.id, "0" * 32, "nonsense"):
            common = {"conversation_id": conversation}
            for name, body in (
                ("message.send", {**common, "client_id": uuid.uuid4().hex, "parts": [text("您好")]}),
                ("message.recall", {**common, "client_id": uuid.uuid4().hex, "seq": 1}),
                ("receipt.delivered", {**common, "seq": 1}),
                ("receipt.read", {**common, "seq": 1}),
                ("typing", common),
            ):
                await socket.refused(name, body, "conversation.not_found", "not_found")
            ack = await socket.call("conversation.sync", {"cursors": {conversation: 0}})
            assert ack.get("conversations") == [] or ack["error"]["code"] == "conversation.not_found"
        assert (await socket.ok("conversation.sync", {}))["conversations"] == []
        assert socket.told == []
    staff = await talk.pair.world.socket(await talk.pair.world.staff())
    ack = await staff.call("message.send", {"conversation_id": talk.id, "client_id": "by-staff", "parts": [text("您好")]})
    assert (ack["ok"], ack["error"]["kind"] in ("forbidden", "not_found")) == (False, True)


# --- quota, close ---


async def test_the_reply_that_uses_the_quota_closes_in_the_same_entry(talk: Talk) -> None:
    sent = [await talk.doctor[0].say(talk.id, f"{n}") for n in range(3)]
    assert [each["closes"] for each in sent] == [None, None, "quota"]
    body = {"conversation_id": talk.id, "client_id": "one-too-many", "parts": [text("四")]}
    await talk.doctor[0].refused("message.send", body, "conversation.quota_exhausted", "conflict")
    await talk.patient[0].refused("message.send", body, "conversation.closed", "conflict")
    await talk.patient[0].refused("typing", {"conversation_id": talk.id}, "conversation.closed", "conflict")
    await talk.patient[0].ok("receipt.read", {"conversation_id": talk.id, "seq": 4})
    for socket in talk.everyone:
        order = await socket.wait_for("order.changed", lambda o: o["status"] == "completed")
        assert order.keys() == ORDER_FIELDS
        assert (order["close_reason"], order["replies"]) == ("quota", {"limit": 3, "used": 3, "gifted": 0})
    (found,) = (await talk.patient[0].ok("conversation.sync", {"cursors": {talk.id: 3}}))["conversations"]
    assert (found["open"], [m["closes"] for m in found["messages"]]) == (False, ["quota"])


async def test_a_hundred_replies_at_once_are_three(talk: Talk) -> None:
    bodies = [{"conversation_id": talk.id, "client_id": f"reply-{n:04}", "parts": [text(f"{n}")]} for n in range(100)]
    acks = await asyncio.gather(*(talk.doctor[n % 2].call("message.send", body) for n, body in enumerate(bodies)))
    assert [ack["ok"] for ack in acks].count(True) == 3
    assert {ack["error"]["code"] for ack in acks if not ack["ok"]} == {"conversation.quota_exhausted"}
    assert [each["closes"] for each in await talk.pair.log(talk.id)] == [None, None, None, "quota"]


async def test_a_patient_who_floods_is_stopped_until_the_doctor_replies(talk: Talk) -> None:
    await asyncio.gather(*(talk.patient[n % 2].say(talk.id, f"{n}") for n in range(100)))
    body = {"conversation_id": talk.id, "client_id": "number-101", "parts": [text("还在吗")]}
    await talk.patient[0].refused("message.send", body, "conversation.flooded", "rate_limited")
    await talk.doctor[0].say(talk.id, "在")
    assert (await talk.patient[0].ok("message.send", body))["message"]["seq"] == 103


# --- recall, correction ---


async def test_a_recall_is_an_entry_and_the_recalled_one_is_served_without_content(talk: Talk) -> None:
    slip = await talk.doctor[0].say(talk.id, "每日三次")
    ack = await talk.doctor[1].ok("message.recall", {"conversation_id": talk.id, "client_id": "recall-01", "seq": slip["seq"]})
    recall = ack["message"]
    _message_shape(recall)
    assert {
        name: recall[name] for name in ("seq", "kind", "client_id", "parts", "recalled", "recalls", "corrects", "closes")
    } == {
        "seq": 3,
        "kind": "recall",
        "client_id": "recall-01",
        "parts": [],
        "recalled": False,
        "recalls": 2,
        "corrects": None,
        "closes": None,
    }
    assert await talk.told(3, except_=talk.doctor[1]) == [recall] * 3
    for client in (talk.pair.patient, talk.pair.doctor):
        page = await client.get(f"/conversations/{talk.id}/messages?after_seq=1")
        assert page["items"] == [{**slip, "recalled": True, "parts": []}, recall]
    assert (await talk.sync(talk.patient[0], 0))["messages"][1]["parts"] == []
    order = await talk.pair.patient.get(f"/orders/{talk.order['id']}")
    assert (order["status"], order["replies"]["used"]) == ("awaiting_doctor", 0)
    for socket, seq, code, kind in (
        (talk.patient[0], 2, "message.not_sender", "forbidden"),
        (talk.doctor[0], 2, "message.already_recalled", "conflict"),
        (talk.doctor[0], 3, "message.recall_refused", "conflict"),
        (talk.doctor[0], 1, "message.recall_refused", "conflict"),
        (talk.doctor[0], 999, "message.recall_refused", "conflict"),
    ):
        body = {"conversation_id": talk.id, "client_id": uuid.uuid4().hex, "seq": seq}
        await socket.refused("message.recall", body, code, kind)
    done = await talk.pair.patient.post(f"/orders/{talk.order['id']}/cancel", {})
    assert done["close_reason"] == "cancelled"


async def test_recalling_the_closing_reply_opens_the_order_again_and_everyone_is_told(talk: Talk) -> None:
    last = [await talk.doctor[0].say(talk.id, f"{n}") for n in range(3)][-1]
    for socket in talk.everyone:
        await socket.wait_for("order.changed", lambda o: o["status"] == "completed")
    await talk.doctor[0].ok("message.recall", {"conversation_id": talk.id, "client_id": "recall-01", "seq": last["seq"]})
    for socket in talk.everyone:
        socket.told.clear()
    order = await talk.pair.patient.get(f"/orders/{talk.order['id']}")
    assert (order["status"], order["close_reason"], order["closed_at"]) == ("in_session", None, None)
    assert order["replies"] == {"limit": 3, "used": 2, "gifted": 0}
    assert (await talk.doctor[0].say(talk.id, "再答"))["closes"] == "quota"
    for socket in talk.everyone:
        await socket.wait_for("order.changed", lambda o: o["status"] == "completed")


async def test_a_patients_message_is_recalled_also_after_the_close(talk: Talk) -> None:
    asked = await talk.patient[0].say(talk.id, "请问")
    await talk.pair.doctor.post(f"/orders/{talk.order['id']}/decline", {"reason": "不在本科"})
    body = {"conversation_id": talk.id, "client_id": "recall-01", "seq": asked["seq"]}
    assert (await talk.patient[1].ok("message.recall", body))["message"]["recalls"] == asked["seq"]


async def test_a_correction_names_the_message_that_it_corrects(talk: Talk) -> None:
    wrong = await talk.doctor[0].say(talk.id, "每日三次")
    right = await talk.doctor[0].say(talk.id, "每日两次", corrects=wrong["seq"])
    assert right["corrects"] == wrong["seq"]
    for corrects in (1, 999):
        body = {"conversation_id": talk.id, "client_id": uuid.uuid4().hex, "parts": [text("错")], "corrects": corrects}
        ack = await talk.doctor[0].call("message.send", body)
        assert (ack["ok"], ack["error"]["kind"] in ("invalid", "conflict", "not_found")) == (False, True)


# --- sync, receipts, typing ---


async def test_sync_answers_what_is_new_of_each_conversation(talk: Talk) -> None:
    for n in range(5):
        await talk.patient[0].say(talk.id, f"{n}")
    ack = await talk.doctor[0].ok("conversation.sync", {})
    assert ack.keys() == {"ok", "epoch", "conversations"}
    assert isinstance(ack["epoch"], int)
    (found,) = ack["conversations"]
    fields = {"conversation_id", "order_id", "open", "closes_at", "seq", "messages", "more", "receipts", "unread"}
    assert found.keys() == fields
    assert {name: found[name] for name in fields - {"messages", "receipts"}} == {
        "conversation_id": talk.id,
        "order_id": talk.order["id"],
        "open": True,
        "closes_at": talk.order["deadline_at"],
        "seq": 6,
        "more": False,
        "unread": 5,
    }
    assert [m["seq"] for m in found["messages"]] == [1, 2, 3, 4, 5, 6]
    for message in found["messages"]:
        _message_shape(message)
    assert [m["kind"] for m in found["messages"]] == ["opened"] + ["message"] * 5
    opened = found["messages"][0]
    assert (opened["client_id"], opened["sender"]) == (None, {"account_id": None, "role": "system", "name": None})
    assert found["messages"] == await talk.pair.log(talk.id)
    assert {r["account_id"] for r in found["receipts"]} == {talk.pair.patient.account_id, talk.pair.doctor_id}
    for receipt in found["receipts"]:
        assert receipt.keys() == {"conversation_id", "account_id", "delivered_seq", "read_seq"}
    later = await talk.sync(talk.doctor[0], 4)
    assert ([m["seq"] for m in later["messages"]], later["more"]) == ([5, 6], False)
    assert (await talk.sync(talk.doctor[0], 6))["messages"] == []
    assert (await talk.sync(talk.doctor[0], 10_000))["messages"] == []
    assert (await talk.doctor[0].ok("conversation.sync", {"cursors": {}}))["conversations"] == ack["conversations"]
    assert (await talk.sync(talk.patient[0], 6))["unread"] == 0


async def test_sync_gives_at_most_a_hundred_entries_and_says_more(talk: Talk) -> None:
    await asyncio.gather(*(talk.patient[n % 2].say(talk.id, f"{n}") for n in range(99)))
    await talk.doctor[0].say(talk.id, "请继续")
    await asyncio.gather(*(talk.patient[n % 2].say(talk.id, f"{n}") for n in range(60)))
    seen: list[Any] = []
    for expected, more in ((100, True), (61, False)):
        found = await talk.sync(talk.patient[0], len(seen))
        assert (len(found["messages"]), found["more"], found["seq"]) == (expected, more, 161)
        seen += found["messages"]
    assert [m["seq"] for m in seen] == list(range(1, 162))


async def test_a_closed_conversation_is_answered_when_it_is_named_and_left_out_when_it_is_not(talk: Talk) -> None:
    other = await talk.pair.paid()
    await talk.doctor[0].say(talk.id, "好了")
    await talk.pair.doctor.post(f"/orders/{talk.order['id']}/finish", {})
    async with asyncio.timeout(5):
        while True:
            ack = await talk.patient[0].ok("conversation.sync", {})
            if [c["conversation_id"] for c in ack["conversations"]] == [other["conversation_id"]]:
                break
            await asyncio.sleep(0.1)
    found = await talk.sync(talk.patient[0], 1)
    assert (found["open"], [(m["kind"], m["closes"]) for m in found["messages"][:2]]) == (
        False,
        [("message", None), ("closed", "finished")],
    )
    for message in found["messages"]:
        _message_shape(message)
    both = await talk.patient[0].ok("conversation.sync", {"cursors": {talk.id: 0, other["conversation_id"]: 0}})
    assert {c["conversation_id"] for c in both["conversations"]} == {talk.id, other["conversation_id"]}


async def test_receipts_are_monotone_and_told_to_the_other_side(talk: Talk) -> None:
    for n in range(4):
        await talk.patient[0].say(talk.id, f"{n}")
    reader = talk.doctor[0]
    assert await reader.ok("receipt.delivered", {"conversation_id": talk.id, "seq": 3}) == {"ok": True}
    told = await talk.patient[1].wait_for("receipt", lambda r: r["account_id"] == talk.pair.doctor_id)
    assert told == {
        "conversation_id": talk.id,
        "account_id": talk.pair.doctor_id,
        "delivered_seq": 3,
        "read_seq": told["read_seq"],
    }
    assert told["read_seq"] in (0, 1)
    await asyncio.gather(
        *(talk.doctor[n % 2].ok("receipt.read", {"conversation_id": talk.id, "seq": n}) for n in (4, 2, 3, 1, 4))
    )
    await reader.ok("receipt.delivered", {"conversation_id": talk.id, "seq": 1})
    await talk.patient[0].wait_for("receipt", lambda r: (r["delivered_seq"], r["read_seq"]) == (4, 4))
    found = await talk.sync(talk.doctor[1], 0)
    mine = next(r for r in found["receipts"] if r["account_id"] == talk.pair.doctor_id)
    assert (mine["delivered_seq"], mine["read_seq"], found["unread"]) == (4, 4, 1)
    await reader.ok("receipt.read", {"conversation_id": talk.id, "seq": 9_999})
    found = await talk.sync(talk.patient[1], 5)
    mine = next(r for r in found["receipts"] if r["account_id"] == talk.pair.doctor_id)
    assert (mine["delivered_seq"], mine["read_seq"]) == (5, 5)
    receipts = [r for r in talk.patient[0].all("receipt") if r["account_id"] == talk.pair.doctor_id]
    assert [r["read_seq"] for r in receipts] == sorted(r["read_seq"] for r in receipts)


async def test_unread_counts_others_messages_that_are_not_recalled(talk: Talk) -> None:
    asked = [await talk.patient[0].say(talk.id, f"{n}") for n in range(3)]
    assert (await talk.sync(talk.doctor[0], 0))["unread"] == 3
    await talk.patient[0].ok("message.recall", {"conversation_id": talk.id, "client_id": "recall-01", "seq": asked[1]["seq"]})
    assert (await talk.sync(talk.doctor[0], 0))["unread"] == 2
    await talk.doctor[0].say(talk.id, "好")
    assert (await talk.sync(talk.doctor[1], 0))["unread"] == 0
    assert (await talk.sync(talk.patient[1], 0))["unread"] == 1


async def test_typing_is_told_to_the_other_side(talk: Talk) -> None:
    assert await talk.doctor[0].ok("typing", {"conversation_id": talk.id}) == {"ok": True}
    for socket in talk.patient:
        told = await socket.wait_for("typing")
        assert told == {"conversation_id": talk.id, "account_id": talk.pair.doctor_id}


# --- what is told without asking ---


async def test_payment_reply_gift_and_rating_are_told_at_once_to_whom_they_concern(talk: Talk) -> None:
    for socket in talk.everyone:
        order = await socket.wait_for("order.changed", lambda o: o["status"] == "awaiting_doctor")
        assert order.keys() == ORDER_FIELDS
        assert order["id"] == talk.order["id"]
    for socket in talk.doctor:
        notice = await socket.wait_for("notice")
        assert notice.keys() == {"notice_id", "kind", "title", "text", "order_id", "created_at", "data", "read_at"}
        assert (notice["kind"], notice["order_id"]) == ("order_paid", talk.order["id"])
        instant(notice["created_at"])
        assert "反复咳嗽" not in str(notice)
    opened = await talk.told(1)
    assert opened == [(await talk.pair.log(talk.id))[0]] * 4
    await talk.doctor[0].say(talk.id, "请说")
    for socket in talk.everyone:
        order = await socket.wait_for("order.changed", lambda o: o["status"] == "in_session")
        assert order["replies"] == {"limit": 3, "used": 1, "gifted": 0}
    for socket in talk.patient:
        await socket.wait_for("notice", lambda n: n["kind"] == "replied")
    await talk.pair.doctor.post(f"/orders/{talk.order['id']}/gifts", {"count": 2})
    for socket in talk.everyone:
        gift = await socket.wait_for("message.new", lambda m: m["kind"] == "gift")
        _message_shape(gift)
        assert (gift["sender"]["account_id"], gift["client_id"], gift["closes"]) == (talk.pair.doctor_id, None, None)
        part, card = gift["parts"]
        assert (part["kind"], part["event"], part["data"]["count"]) == ("system", "gift", 2)
        assert card == {"kind": "card", "card": "gift", "data": {"count": 2}}
        await socket.wait_for("order.changed", lambda o: o["replies"] == {"limit": 5, "used": 1, "gifted": 2})
    for socket in talk.patient:
        await socket.wait_for("notice", lambda n: n["kind"] == "replies_gifted")
    await talk.pair.doctor.post(f"/orders/{talk.order['id']}/finish", {})
    for socket in talk.everyone:
        closed = await socket.wait_for("message.new", lambda m: m["kind"] == "closed")
        _message_shape(closed)
        assert (closed["closes"], closed["client_id"]) == ("finished", None)
        await socket.wait_for("order.changed", lambda o: (o["status"], o["close_reason"]) == ("completed", "finished"))
        await socket.wait_for("notice", lambda n: n["kind"] == "order_closed")
    await talk.pair.patient.post(f"/orders/{talk.order['id']}/rating", {"stars": 5, "tags": [], "text": "好"})
    for socket in talk.everyone:
        rated = await socket.wait_for("order.changed", lambda o: o["rating"] is not None)
        assert rated["rating"]["stars"] == 5
    for socket in talk.doctor:
        await socket.wait_for("notice", lambda n: n["kind"] == "rated")
    await _each_notice_once(talk)


async def _each_notice_once(talk: Talk) -> None:
    for socket in talk.everyone:
        await socket.quiet(0.1)
        ids = [notice["notice_id"] for notice in socket.all("notice")]
        assert len(ids) == len(set(ids))
        versions = [order["version"] for order in socket.all("order.changed")]
        assert versions == sorted(versions)


async def test_a_refund_is_told_to_both(talk: Talk) -> None:
    await talk.pair.patient.post(f"/orders/{talk.order['id']}/cancel", {})
    for socket in talk.everyone:
        closed = await socket.wait_for("message.new", lambda m: m["kind"] == "closed")
        assert closed["closes"] == "cancelled"
        await socket.wait_for("order.changed", lambda o: o["status"] in ("refunding", "refunded"))
        order = await socket.wait_for("order.changed", lambda o: o["status"] == "refunded")
        assert (order["close_reason"], order["refunded_fen"]) == ("cancelled", talk.order["fee_fen"])
        settled = await socket.wait_for("message.new", lambda m: m["kind"] == "settled")
        _message_shape(settled)
        await socket.wait_for("notice", lambda n: n["kind"] == "refunded")


# --- the end of a session ---


async def test_a_doctor_who_is_taken_off_the_list_is_out_at_once(world: World) -> None:
    pair = await world.pair()
    phone = new_phone()
    staff = await world.staff()
    (await staff.ask("PATCH", f"/admin/doctors/{pair.doctor_id}", {"phone": phone})).ok()
    (await pair.doctor.ask("GET", "/me")).refused(401, "auth.required")
    doctor = await world.doctor(phone)
    sockets = [await world.socket(doctor) for _ in range(2)]
    began = time.monotonic()
    (await staff.ask("DELETE", f"/admin/doctors/{pair.doctor_id}")).ok(204)
    for socket in sockets:
        await socket.wait_closed(1.3)
        assert socket.closed_at is not None and socket.closed_at - began < 1.3
        assert len(socket.all("session.revoked")) == 1
    (await doctor.ask("GET", "/me")).refused(401, "auth.required")
    assert doctor.session is not None
    body = {"refresh_token": doctor.session["refresh_token"]}
    (await world.nobody.ask("POST", "/auth/refresh", body)).refused(401, "auth.invalid")
    (await world.sign_in("doctor", phone)).refused(403, "auth.phone_not_authorised")
    (await pair.patient.ask("GET", f"/doctors/{pair.doctor_id}")).refused(404, "doctor.not_found")


async def test_another_device_stays_when_one_signs_out(world: World) -> None:
    phone = new_phone()
    devices: list[Client] = [await world.patient(phone) for _ in range(2)]
    sockets = [await world.socket(device) for device in devices]
    (await devices[0].ask("DELETE", "/auth/sessions/current")).ok(204)
    await sockets[0].wait_closed(1.3)
    await sockets[0].wait_for("session.revoked", lambda body: isinstance(body["reason"], str) and len(body) == 1)
    assert (await sockets[1].call("conversation.sync", {}))["ok"] is True
