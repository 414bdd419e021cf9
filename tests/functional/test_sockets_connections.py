"""Who may connect, how long a socket lives, and what it may cost."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import pytest
import socketio

from server.kernel.ids import new_id
from server.kernel.mongo import Database
from server.kernel.settings import parse_rate
from tests.support.socket_server import FAST, Edge
from tests.support.sockets_raw import RawSocket


@pytest.mark.parametrize(
    "auth",
    [
        None,
        {},
        {"token": ""},
        {"token": "unknown"},
        {"token": 7},
        {"token": None},
        ["patient"],
        "patient",
        {"token": "x" * 9_000},
    ],
)
async def test_without_a_good_token_the_connection_is_refused_with_its_code(database: Database, auth: Any) -> None:
    async with Edge(database) as edge:
        async with RawSocket(edge.url) as raw:
            await raw.receive()
            await raw.send("40" + ("" if auth is None else orjson.dumps(auth).decode()))
            answer = await raw.receive()
        assert answer[:2] == "44"
        assert orjson.loads(answer[2:])["data"] == {"code": "auth.required", "kind": "unauthenticated", "fields": {}}
        assert edge.hub.list_sessions() == []


async def test_by_a_wrong_clock_nobody_is_let_in_answered_or_sent_away(database: Database) -> None:
    """A process whose clock is set days ahead would find every session too old, and every order closed."""
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient = await edge.client("patient")
        edge.clock_ok = False
        edge.sessions.dead.add("patient")
        asked = edge.sessions.asked
        async with RawSocket(edge.url) as raw:
            await raw.receive()
            await raw.send('40{"token":"patient-2"}')
            assert orjson.loads((await raw.receive() or "")[2:])["data"]["code"] == "service.unavailable"
        refused = await patient.say(conversation, "在吗", "by-a-wrong-clock")
        assert refused["error"] == {"code": "service.unavailable", "kind": "unavailable", "fields": {}}
        await asyncio.sleep(1.2)  # longer than from one look at the sessions to the next
        assert (edge.sessions.asked, edge.hub.list_sessions()) == (asked, ["patient"])
        edge.sessions.dead.clear()
        edge.clock_ok = True
        assert (await patient.say(conversation, "在吗", "by-a-wrong-clock"))["ok"] is True


async def test_a_library_client_sees_the_refusal(database: Database) -> None:
    async with Edge(database) as edge:
        client, seen = socketio.AsyncClient(reconnection=False), []
        client.on("connect_error", seen.append)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(edge.url, auth={"token": "unknown"}, transports=["websocket"])
        assert [s["data"]["code"] for s in seen] == ["auth.required"]
        await client.disconnect()


async def test_a_session_holds_ten_sockets_and_no_more_until_one_leaves(database: Database) -> None:
    async with Edge(database) as edge:
        clients = [await edge.client("patient") for _ in range(10)]
        with pytest.raises(socketio.exceptions.ConnectionError):
            await edge.client("patient")
        await edge.client("patient-2")
        await clients[0].sio.disconnect()
        async with asyncio.timeout(5):
            while edge.hub.count_of_session("patient") == 10:
                await asyncio.sleep(0)
        await edge.client("patient")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("own", 101),
        ("https://app.example.org", 101),
        ("https://evil.example.org", 400),
        ("null", 400),
        ("http://[", 400),
        ("https://app.example.org.evil.example.org", 400),
    ],
)
async def test_a_foreign_page_cannot_open_a_socket(database: Database, origin: str | None, status: int) -> None:
    options = replace(FAST, allowed_origins=("https://app.example.org",))
    async with Edge(database, options=options) as edge, aiohttp.ClientSession() as http:
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        headers["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        if origin is not None:
            headers["Origin"] = edge.url.replace("http:", "https:") if origin == "own" else origin
        async with http.get(f"{edge.url}/socket.io/?EIO=4&transport=websocket", headers=headers) as answer:
            assert answer.status == status


async def test_polling_is_refused_where_processes_share_the_port(database: Database) -> None:
    async with Edge(database) as edge, aiohttp.ClientSession() as http:
        async with http.get(f"{edge.url}/socket.io/?EIO=4&transport=polling") as answer:
            assert answer.status == 400
        async with http.get(f"{edge.url}/socket.io/?EIO=3&transport=websocket") as answer:
            assert answer.status == 400


async def test_a_revoked_session_loses_its_sockets_within_a_second_and_others_stay(database: Database) -> None:
    async with Edge(database) as edge:
        first, second = await edge.client("patient"), await edge.client("patient")
        other = await edge.client("patient-2")
        began = time.monotonic()
        edge.sessions.dead.add("patient")
        for client in (first, second):
            assert await client.hear("session.revoked") == [{"reason": "session_ended"}]
            await client.gone()
        assert time.monotonic() - began < 1.0
        assert edge.hub.list_sessions() == ["patient-2"]
        assert (await other.call("conversation.sync", {}))["ok"] is True


async def test_a_session_that_is_closed_by_name_is_told_why(database: Database) -> None:
    async with Edge(database) as edge:
        client = await edge.client("doctor")
        edge.hub.close_sessions(["doctor"], "logged_out")
        assert await client.hear("session.revoked") == [{"reason": "logged_out"}]
        await client.gone()


async def test_all_sessions_are_asked_for_in_one_query(database: Database) -> None:
    async with Edge(database) as edge:
        for n in range(20):
            await edge.client(f"patient-{n}")
        asked = edge.sessions.asked
        async with asyncio.timeout(3):
            while edge.sessions.asked == asked:
                await asyncio.sleep(0.01)
        assert edge.sessions.asked == asked + 1


async def test_messages_have_a_rate_and_receipts_a_larger_one(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation, options=replace(FAST, message_rate=parse_rate("5/10m"))) as edge:
        patient = await edge.client("patient")
        acks = [await patient.say(conversation, "在吗", f"client-{n:04d}") for n in range(6)]
        assert [a["ok"] for a in acks] == [True] * 5 + [False]
        assert acks[5]["error"] == {
            "code": "request.rate_limited", "kind": "rate_limited", "fields": {"retry_after_seconds": 120},
        }  # fmt: skip
        marks = [await patient.call("receipt.read", {"conversation_id": conversation, "seq": 2}) for _ in range(26)]
        assert [m["ok"] for m in marks] == [True] * 25 + [False]
        assert (await (await edge.client("patient")).say(conversation, "在", "client-0009"))["ok"] is True


async def test_a_stopping_server_finishes_what_runs_and_lets_clients_go_elsewhere(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient = await edge.client("patient")
        sending = asyncio.create_task(patient.say(conversation, "在吗", "client-0001"))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while not edge.server.running:
                await asyncio.sleep(0)
        began = time.monotonic()
        await edge.server.drain()
        assert time.monotonic() - began < 5
        assert (await sending)["message"]["seq"] == 2
        await patient.gone()
        with pytest.raises(socketio.exceptions.ConnectionError):
            await edge.client("doctor")


async def test_who_does_not_answer_pings_is_gone_and_who_does_stays(database: Database) -> None:
    options = replace(FAST, ping_interval_seconds=0.2, ping_timeout_seconds=0.2)
    async with Edge(database, options=options) as edge:
        faithful = await edge.client("patient")
        async with RawSocket(edge.url, token="doctor") as silent:
            assert await silent.receive() == "2"
            assert await silent.receive() is None
        async with asyncio.timeout(5):
            while "doctor" in edge.hub.list_sessions():
                await asyncio.sleep(0.01)
        assert (await faithful.call("conversation.sync", {}))["ok"] is True


async def test_who_reads_nothing_is_cut_and_nobody_waits_for_him(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        doctor = await edge.client("doctor")
        async with RawSocket(edge.url, token="patient") as deaf:
            deaf.stop_reading()
            parts = [{"kind": "text", "text": "长" * 4_000}] * 9
            began = time.monotonic()
            for n in range(150):
                body = {"conversation_id": conversation, "client_id": f"client-{n:04d}", "parts": parts}
                assert (await doctor.call("message.send", body))["ok"] is True
                if edge.hub.list_sessions() == ["doctor"]:
                    break
            assert edge.hub.list_sessions() == ["doctor"]
            assert time.monotonic() - began < 20


async def test_who_asks_faster_than_he_reads_is_not_listened_to(database: Database) -> None:
    """The answers that wait for him stay bounded, however much he asks; he is not cut for it."""
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient = await edge.client("patient-2")
        parts = [{"kind": "text", "text": "长" * 4_000}] * 9
        for n in range(5):
            await patient.call(
                "message.send", {"conversation_id": conversation, "client_id": f"client-{n:04d}", "parts": parts}
            )
        async with RawSocket(edge.url, token="patient") as greedy:
            greedy.stop_reading()
            for n in range(200):
                await greedy.send(f'42{n}["conversation.sync",{{"cursors":{{"{conversation}":1}}}}]')
            async with asyncio.timeout(10):
                while edge.server.largest_write_buffer() < 256 * 1024:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            assert "patient" in edge.hub.list_sessions()
            greedy.read_on()
            acks = [await greedy.receive() for _ in range(200)]
            assert sorted(int(a.split("[")[0][2:]) for a in acks if a) == list(range(200))
