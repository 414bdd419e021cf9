"""Whatever a client sends: a clear answer or a closed connection; nothing stored or logged, nobody else disturbed."""

import asyncio
import logging
import random
from typing import Any

import aiohttp
import orjson
import pytest
import structlog

from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.socket_server import FAST, Edge
from tests.support.sockets_raw import RawSocket

GOOD = {"client_id": "client-0001", "parts": [{"kind": "text", "text": "在吗"}]}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Any:
    """No error is logged, by us or by a library."""
    with structlog.testing.capture_logs() as rows:
        yield rows
    assert [row for row in rows if row["log_level"] in ("error", "critical")] == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def body(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}


WRONG_BODIES = [
    body(conversation_id=...),
    body(conversation_id=7),
    body(conversation_id=""),
    body(client_id=...),
    body(client_id="short"),
    body(client_id="x" * 65),
    body(client_id="with space"),
    body(client_id="line-feed\n"),
    body(client_id=None),
    body(parts=...),
    body(parts=[]),
    body(parts=None),
    body(parts={}),
    body(parts="在吗"),
    body(parts=[{"kind": "text", "text": "x"}] * 10),
    body(parts=[{"kind": "text", "text": ""}]),
    body(parts=[{"kind": "text", "text": "x" * 4_001}]),
    body(parts=[{"kind": "text", "text": "nul\0"}]),
    body(parts=[{"kind": "text", "text": "bidi\u202e"}]),
    body(parts=[{"kind": "text", "text": "bell\x07"}]),
    body(parts=[{"kind": "text", "text": 7}]),
    body(parts=[{"kind": "text"}]),
    body(parts=[{"kind": "text", "text": "x", "html": "y"}]),
    body(parts=[{"kind": "image"}]),
    body(parts=[{"kind": "image", "media_id": ""}]),
    body(parts=[{"kind": "voice", "media_id": 7}]),
    body(parts=[{"kind": "card", "card": "x", "data": {}}]),
    body(parts=[{"kind": "system", "event": "closed", "data": {}}]),
    body(parts=[{"kind": "video", "media_id": "x"}]),
    body(parts=[{"text": "x"}]),
    body(parts=["x"]),
    body(corrects=0),
    body(corrects=-1),
    body(corrects=1.5),
    body(corrects=True),
    body(corrects="2"),
    body(corrects=2**60),
    body(unknown_field_with_private_words=1),
    [],
    "text",
    7,
    None,
]


async def test_wrong_bodies_are_invalid_and_nothing_of_them_is_echoed_or_stored(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        client = await edge.client("patient")
        for wrong in WRONG_BODIES:
            if isinstance(wrong, dict) and "conversation_id" not in wrong and wrong != WRONG_BODIES[0]:
                wrong = {"conversation_id": conversation, **wrong}
            ack = await client.call("message.send", wrong)
            assert ack["ok"] is False, wrong
            assert (ack["error"]["code"], ack["error"]["kind"]) == ("request.invalid", "invalid"), wrong
            assert "private_words" not in orjson.dumps(ack).decode()
        assert (await edge.log.read_fresh(conversation)).seq == 1


@pytest.mark.parametrize(
    "event",
    [
        "[",
        "[]",
        "[7]",
        "[null]",
        '["message.send"',
        '["message.send",{}',
        '["message.send",{},{}]',
        '["no.such.command",{}]',
        '["connect",{}]',
        '["disconnect"]',
        '["message",{}]',
        '["__class__",{}]',
        '["message.send",' + "[" * 100_000,
        '["message.send",{"parts":' + '[{"a":' * 30_000,
        '["message.send",{"conversation_id":"\\ud800","client_id":"client-0001","parts":[]}]',
        '["message.send",{"cursors":1e999}]',
        '["conversation.sync",{"cursors":{"a":-1}}]',
        '["conversation.sync",{"cursors":{"a":9999999999999999999999}}]',
        '["conversation.sync",{"cursors":{' + ",".join(f'"{n}":0' for n in range(201)) + "}}]",
        '["conversation.sync",{"cursors":[]}]',
        '["receipt.read",{"conversation_id":"a","seq":-1}]',
        '["receipt.read",{"conversation_id":"a","seq":NaN}]',
        '["typing",{"conversation_id":"a","to":"b"}]',
    ],
    ids=range(23),
)
async def test_an_event_that_is_no_command_is_acknowledged_as_invalid_and_the_connection_goes_on(
    database: Database, event: str
) -> None:
    async with Edge(database) as edge, RawSocket(edge.url, token="patient") as raw:
        answer: Any = await raw.call(17, event)
        assert (answer["ok"], answer["error"]["code"], answer["error"]["kind"]) == (False, "request.invalid", "invalid")
        assert await raw.call(18, '["conversation.sync",{}]') == {"ok": True, "epoch": 7, "conversations": []}


async def test_a_name_in_another_spelling_is_the_same_command(database: Database) -> None:
    async with Edge(database) as edge, RawSocket(edge.url, token="patient") as raw:
        assert await raw.call(1, '[ "conversation\\u002esync" , { } ]') == {"ok": True, "epoch": 7, "conversations": []}


async def test_binary_events_are_acknowledged_as_invalid_and_their_attachments_passed_over(database: Database) -> None:
    async with Edge(database) as edge:
        client = await edge.client("patient")
        ack = await client.call("message.send", {**GOOD, "conversation_id": b"\x00\x01", "parts": [b"\xff"]})
        assert ack["error"]["code"] == "request.invalid"
        assert (await client.call("conversation.sync", {}))["ok"] is True


@pytest.mark.parametrize(
    "packet",
    [
        b"\x00\x01binary",
        "",
        "9",
        "x",
        "4",
        "42",
        "42garbage",
        "42/admin,1[\"message.send\",{}]",
        "4299999999999999999999[\"typing\",{}]",
        "421x[\"typing\",{}]",
        "44{}",
        "47",
        "4x",
        "40{broken",
        "45-[]",
        "4599-[\"x\"]",
        "1",
    ],
)  # fmt: skip
async def test_what_is_not_the_protocol_ends_that_connection_only(database: Database, packet: str | bytes) -> None:
    async with Edge(database) as edge:
        other = await edge.client("doctor")
        async with RawSocket(edge.url, token="patient") as raw:
            await raw.send(packet)
            while await raw.receive() is not None:
                pass
        assert (await other.call("conversation.sync", {}))["ok"] is True


@pytest.mark.parametrize("packet", ["42[\"typing\",{}]", "421[\"message.send\",{}]", "41", "43[]"])  # fmt: skip
async def test_before_joining_nothing_is_answered(database: Database, packet: str) -> None:
    async with Edge(database) as edge, RawSocket(edge.url) as raw:
        assert (await raw.receive() or "")[:1] == "0"
        await raw.send(packet)
        if packet[1] == "2":
            assert await raw.receive() is None
        else:
            await raw.send('40{"token":"patient"}')
            assert (await raw.receive() or "")[:2] == "40"


async def test_joining_elsewhere_or_twice_is_refused(database: Database) -> None:
    async with Edge(database) as edge, RawSocket(edge.url, token="patient") as raw:
        await raw.send('40/admin,{"token":"patient"}')
        assert (await raw.receive() or "")[:9] == "44/admin,"
        await raw.send('40{"token":"patient"}')
        assert (await raw.receive() or "")[:2] == "44"
        assert await raw.call(1, '["conversation.sync",{}]') == {"ok": True, "epoch": 7, "conversations": []}


async def test_leaving_and_joining_again_works(database: Database) -> None:
    async with Edge(database) as edge, RawSocket(edge.url, token="patient") as raw:
        await raw.send("41")
        await raw.send('40{"token":"patient"}')
        assert (await raw.receive() or "")[:2] == "40"
        assert await raw.call(1, '["conversation.sync",{}]') == {"ok": True, "epoch": 7, "conversations": []}
        assert edge.hub.list_sessions() == ["patient"]


@pytest.mark.parametrize("size", [256 * 1024 + 1, 4 * 1024 * 1024])
async def test_a_frame_that_is_too_large_ends_the_connection(database: Database, size: int) -> None:
    async with Edge(database) as edge, RawSocket(edge.url, token="patient") as raw:
        try:
            await raw.send("421[" + '"' + "x" * size)
            while await raw.receive() is not None:
                pass
        except ConnectionError:
            pass
        async with asyncio.timeout(5):
            while edge.hub.list_sessions():
                await asyncio.sleep(0.01)


async def test_text_that_is_not_utf_8_is_invalid(database: Database) -> None:
    async with Edge(database) as edge, RawSocket(edge.url, token="patient") as raw:
        writer = raw.ws._writer
        await writer.send_frame(b'423["message.send",{"conversation_id":"\xff\xfe"}]', aiohttp.WSMsgType.TEXT)
        answer = await raw.receive()
        assert answer is not None
        assert orjson.loads(answer[3:])[0]["error"]["code"] == "request.invalid"


async def test_random_mutations_of_good_packets_harm_nobody(database: Database) -> None:
    conversation = new_id()
    chosen = random.Random(20261122)
    good = [
        "421" + orjson.dumps(["message.send", {"conversation_id": conversation, **GOOD}]).decode(),
        '422["conversation.sync",{"cursors":{}}]',
        f'423["receipt.read",{{"conversation_id":"{conversation}","seq":1}}]',
        '40{"token":"patient"}',
        '451-4["message.send",{"_placeholder":true,"num":0}]',
        "3",
        "41",
    ]
    alphabet = '0123456789[]{}",:-/\\abc_ \u202e\0界'
    async with Edge(database, conversation) as edge:
        other = await edge.client("doctor")
        for _ in range(60):
            async with RawSocket(edge.url, token="patient") as raw:
                for _ in range(10):
                    packet = list(chosen.choice(good))
                    for _ in range(chosen.randrange(4)):
                        place = chosen.randrange(len(packet) + 1)
                        packet[place : place + chosen.randrange(3)] = chosen.choice(alphabet)
                    try:
                        await raw.send("".join(packet))
                    except ConnectionError:
                        break
        ack = await other.say(conversation, "还在", "client-9999")
        assert ack["ok"] is True


async def test_a_stranger_who_never_joins_is_cut(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.app.sockets._JOIN_SECONDS", 0.2)
    async with Edge(database) as edge, RawSocket(edge.url) as raw:
        assert (await raw.receive() or "")[:1] == "0"
        assert await raw.receive() is None
        async with asyncio.timeout(5):
            while edge.server.count:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "posted", ["", "x", "b!!!", "9", "4", "4x", "42[", "\x1e", "4\x1e4", "1", "\x1e".join(["3"] * 40), b"\xff\xfe", "d=%ff"]
)
async def test_hostile_polling_is_answered_with_a_refusal(database: Database, posted: str | bytes) -> None:
    from dataclasses import replace

    async with Edge(database, options=replace(FAST, polling=True)) as edge, aiohttp.ClientSession() as http:
        address = f"{edge.url}/socket.io/?EIO=4&transport=polling"
        async with http.get(address) as opened:
            sid = orjson.loads((await opened.text())[1:])["sid"]
        async with http.post(f"{address}&sid={sid}", data=posted) as answer:
            assert answer.status in (200, 400)
        async with http.post(f"{address}&sid=nobody", data="3") as answer:
            assert answer.status == 400
        async with http.get(f"{address}&j=0") as answer:
            assert answer.status == 400
        assert (await (await edge.client("patient")).call("conversation.sync", {}))["ok"] is True


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
async def test_other_methods_are_refused(database: Database, method: str) -> None:
    async with Edge(database) as edge, aiohttp.ClientSession() as http:
        async with http.request(method, f"{edge.url}/socket.io/?EIO=4&transport=websocket") as answer:
            assert answer.status in (200, 400, 405)
        assert edge.server.count == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upgrade": "websocket"},
        {"Upgrade": "websocket", "Connection": "Upgrade"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "99", "Sec-WebSocket-Key": "x"},
    ],
)
async def test_a_broken_handshake_leaves_nothing_behind(database: Database, headers: dict[str, str]) -> None:
    async with Edge(database) as edge, aiohttp.ClientSession() as http:
        async with http.get(f"{edge.url}/socket.io/?EIO=4&transport=websocket", headers=headers) as answer:
            assert answer.status == 400
        assert edge.server.count == 0


@pytest.mark.parametrize(
    "head",
    [
        b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nOrigin: http://\xff13800000001\r\n",
        b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nOrigin: http://[13800000001\r\n",
        b"GET /socket.io/?EIO=4&transport=websocket&sid=13800000001 HTTP/1.1\r\n",
    ],
)
async def test_a_handshake_that_is_refused_is_not_told_what_it_said(database: Database, head: bytes) -> None:
    async with Edge(database) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(head + b"Host: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert answer.split()[1] == b"400"
    assert b"13800000001" not in answer
