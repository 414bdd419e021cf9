"""Bad lines under real clients: everything arrives, once; who is gone is found out; who comes back is up to date at once.

`YZ_TEST_NETWORK_MESSAGES` says how much each side says (10); with more, say 500, it is a long soak.
"""

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
import socketio

from im.history import SYNC_BYTES
from server.app.sockets import SocketOptions
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.functional.test_sockets_node import FOLDER, node_binary
from tests.support.faulty_net import FaultyNet, Line, until
from tests.support.im_log import DOCTOR, PATIENT
from tests.support.socket_server import FAST, Edge
from tests.support.sockets_raw import RawSocket

MESSAGES = int(os.environ.get("YZ_TEST_NETWORK_MESSAGES", "10"))
LINES = {
    "a third of all segments lost": Line(delay_seconds=0.02, loss=0.3, resend_seconds=0.1),
    "64 kbit/s and far away": Line(delay_seconds=0.15, bits_per_second=64_000),
    "cut again and again": Line(delay_seconds=0.02, cut_after_bytes=4_000),
}
NEEDS_NODE = pytest.mark.skipif(
    not (FOLDER / "node_modules").exists(), reason="`npm ci --prefix tests/node` was not run; `make setup` does"
)


class App:
    """What a good app does, on python-socketio: says each thing until it is acknowledged, under one client id; takes entries by
    their number; asks for what it lacks whenever it comes back or sees a hole."""

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.held: dict[int, Any] = {}
        self.up_to = 0
        self.returns = -1
        self.sio = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.3, randomization_factor=0.1)
        self._syncing = asyncio.Lock()
        self.sio.on("connect", self._came)
        self.sio.on("message.new", self._heard)

    async def connect(self, url: str, token: str) -> None:
        self._place = url, token
        await self.sio.connect(url, auth={"token": token}, transports=["websocket"], retry=True, wait_timeout=8)

    async def _revive(self) -> None:
        """The library takes itself for connected, and never comes back, where the line was cut between its two handshakes."""
        returning = self.sio._reconnect_task
        if self.sio.eio.state != "disconnected" or (returning is not None and not returning.done()):
            return
        with suppress(socketio.exceptions.SocketIOError):  # it came back by itself meanwhile, or the next look tries again
            if self.sio.connected:
                await self.sio.disconnect()
            await self.connect(*self._place)

    async def say(self, words: str, client_id: str) -> int:
        body = {
            "conversation_id": self.conversation_id, "client_id": client_id, "parts": [{"kind": "text", "text": words}],
        }  # fmt: skip
        while True:
            try:
                message = (await self.sio.call("message.send", body, timeout=4))["message"]
            except socketio.exceptions.SocketIOError:
                await asyncio.sleep(0.05)
                await self._revive()
            else:
                self._take(message)
                return int(message["seq"])

    async def hold(self, seq: int) -> None:
        """Until it has everything up to there."""
        while self.up_to < seq:
            await asyncio.sleep(0.2)
            await self._revive()
            await self._sync()

    async def _came(self) -> None:
        self.returns += 1
        await self._sync()

    async def _heard(self, message: Any) -> None:
        self._take(message)
        if self.up_to < message["seq"]:
            await self._sync()

    async def _sync(self) -> None:
        async with self._syncing:
            more = True
            try:
                while more:
                    answer = await self.sio.call(
                        "conversation.sync", {"cursors": {self.conversation_id: self.up_to}}, timeout=8
                    )
                    (conversation,) = answer["conversations"]
                    more = conversation["more"]
                    for message in conversation["messages"]:
                        self._take(message)
            except socketio.exceptions.SocketIOError:
                return

    def _take(self, message: Any) -> None:
        self.held[message["seq"]] = message
        while self.up_to + 1 in self.held:
            self.up_to += 1


@NEEDS_NODE
@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
async def test_on_a_poor_line_everything_arrives_once_and_all_hold_the_same(database: Database, line: Line) -> None:
    conversation, total = new_id(), 1 + 2 * MESSAGES
    async with Edge(database, conversation) as edge, FaultyNet(edge.port, line) as net:
        node = await asyncio.create_subprocess_exec(
            node_binary(), "poor.mjs", net.url, "patient", conversation, str(MESSAGES), str(total),
            cwd=FOLDER, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        doctor = App(conversation)
        try:
            async with asyncio.timeout(30 + 4 * MESSAGES):
                await doctor.connect(net.url, "doctor")
                acknowledged = [await doctor.say(f"医生{n}", f"python-line-{n}") for n in range(MESSAGES)]
                await doctor.hold(total)
                output, _ = await node.communicate()
        finally:
            if node.returncode is None:
                node.kill()
            await doctor.sio.disconnect()
        seen = orjson.loads(output)
        assert (net.cuts > 0) is (line.cut_after_bytes > 0)

    assert sorted([*acknowledged, *seen["acknowledged"]]) == list(range(2, total + 1))
    assert seen["log"] == [doctor.held[seq] for seq in range(1, total + 1)]
    said = [message["parts"][0]["text"] for message in seen["log"][1:]]
    assert sorted(said) == sorted(f"{who}{n}" for who in ("医生", "节点") for n in range(MESSAGES))
    for who, account_id in (("医生", DOCTOR), ("节点", PATIENT)):
        own = [m["parts"][0]["text"] for m in seen["log"][1:] if m["sender"]["account_id"] == account_id]
        assert own == [f"{who}{n}" for n in range(MESSAGES)]


async def test_a_line_that_died_without_a_word_is_found_and_who_was_on_it_counts_as_away(database: Database) -> None:
    options = replace(FAST, ping_interval_seconds=0.3, ping_timeout_seconds=0.4)
    async with Edge(database, options=options) as edge, FaultyNet(edge.port) as net:
        away: list[tuple[str, bool]] = []
        edge.hub.report_presence_to(lambda session_id, here: away.append((session_id, here)))
        near = await edge.client("doctor")
        async with RawSocket(net.url, token="patient"):
            net.go_silent()
            began = time.monotonic()
            await until(lambda: ("patient", False) in away, 10)
            assert time.monotonic() - began < 5
            assert edge.hub.list_sessions() == ["doctor"]
        assert (await near.call("conversation.sync", {}))["ok"] is True


def test_the_product_finds_a_dead_line_within_half_a_minute_and_a_full_answer_fits_between_two_pings() -> None:
    options = SocketOptions(message_rate=FAST.message_rate)
    assert options.ping_interval_seconds + options.ping_timeout_seconds <= 28
    assert options.ping_timeout_seconds - 3 > SYNC_BYTES * 8 / 64_000


async def test_coming_back_takes_one_round_trip(database: Database) -> None:
    """Everything that was missed in several conversations, asked for in the same breath as joining."""
    conversations = [new_id() for _ in range(3)]
    async with Edge(database, *conversations) as edge, FaultyNet(edge.port, Line(delay_seconds=0.05)) as net:
        doctor = await edge.client("doctor")
        for number, conversation_id in enumerate(conversations):
            for n in range(number + 1):
                await doctor.say(conversation_id, f"{number}-{n}", f"client-{number}-{n}")
        async with RawSocket(net.url) as back:
            assert (await back.receive() or "")[:1] == "0"
            turns = net.turns
            await back.send('40{"token":"patient"}')
            await back.send("421" + orjson.dumps(["conversation.sync", {"cursors": dict.fromkeys(conversations, 1)}]).decode())
            assert (await back.receive() or "")[:2] == "40"
            answer = await back.receive() or ""
            assert net.turns == turns + 1
        found = {each["conversation_id"]: each for each in orjson.loads(answer[3:])[0]["conversations"]}
        assert [[m["seq"] for m in found[each]["messages"]] for each in conversations] == [[2], [2, 3], [2, 3, 4]]


async def test_a_slow_answer_does_not_cut_who_waits_for_it(database: Database) -> None:
    """A year's talk over a thin line: pings wait behind the answer, and the connection lives."""
    conversation = new_id()
    options = replace(FAST, ping_interval_seconds=0.5, ping_timeout_seconds=4.0)
    async with Edge(database, conversation, options=options) as edge:
        doctor = await edge.client("doctor")
        for n in range(6):
            await doctor.say(conversation, "长" * 4_000, f"client-{n:04d}")
        thin = Line(bits_per_second=SYNC_BYTES * 8 / 3)
        async with FaultyNet(edge.port, thin) as net:
            app = App(conversation)
            await app.connect(net.url, "patient")
            try:
                async with asyncio.timeout(20):
                    await app.hold(7)
                assert app.returns == 0
            finally:
                await app.sio.disconnect()
