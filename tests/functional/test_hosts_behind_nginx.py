"""Two hosts behind nginx, with the configuration in `deploy/`: as if they were one."""

import asyncio
import io
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest
import socketio
from aiohttp import web

from server.app.engine import WRITE_LIMIT_BYTES
from server.app.processes import free_port
from tests.functional.test_poor_networks import NEEDS_NODE
from tests.functional.test_push import pushes_of
from tests.functional.test_sockets_node import FOLDER, node_binary
from tests.support.contract import Client, Socket, World, text
from tests.support.faulty_net import FaultyNet
from tests.support.hosts import Host, start_host
from tests.support.nginx import BINARY, MISSING, Nginx, unchecked
from tests.support.product import Product
from tests.support.sockets_raw import RawSocket

pytestmark = pytest.mark.skipif(BINARY is None, reason=MISSING)

ENDINGS = ("signed_out", "session_ended")
"""What a socket is told, by whether the other host's hint or its own look at the database came first."""


@dataclass(frozen=True, slots=True)
class Hosts:
    nginx: Nginx
    by_node: dict[str, Host]


@pytest.fixture(scope="module")
def hosts(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Hosts `a` and `b` on the product's databases, and nginx before them."""
    loop = asyncio.new_event_loop()

    async def start() -> Hosts:
        made = await asyncio.gather(*(start_host(product, node) for node in "ab"))
        by_node = dict(zip("ab", made, strict=True))
        nginx = Nginx(tmp_path_factory.mktemp("nginx"), {node: host.port for node, host in by_node.items()})
        await nginx.start()
        return Hosts(nginx, by_node)

    async def stop(running: Hosts) -> None:
        await asyncio.gather(running.nginx.stop(), *(host.child.stop(10) for host in running.by_node.values()))

    running = loop.run_until_complete(start())
    try:
        yield running
    finally:
        loop.run_until_complete(stop(running))
        loop.close()


@pytest.fixture
async def tls() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=unchecked())
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield http


async def _socket(url: str, token: str | None, transports: str) -> Socket:
    socket = Socket(url, token)
    socket.client.eio.ssl_verify = False
    await socket.client.connect(url, auth={"token": token}, transports=transports.split(","))
    return socket


def _node(socket: Socket) -> str:
    """Which host it is connected to."""
    return str(socket.client.eio.sid).split(".")[0]


@pytest.mark.parametrize("transports", ["websocket", "polling", "polling,websocket"])
async def test_members_on_different_hosts_talk_as_if_there_were_one(world: World, hosts: Hosts, transports: str) -> None:
    pair = await world.pair()
    conversation_id = (await pair.paid())["conversation_id"]
    people = [pair.patient, pair.patient, pair.doctor, pair.doctor]
    sockets = [await _socket(hosts.nginx.url, each.token, transports) for each in people]
    world.sockets += sockets
    assert {_node(socket) for socket in sockets} == {"a", "b"}
    patient, patient_too, doctor, doctor_too = sockets

    said = await patient.say(conversation_id, "在吗")
    for each in (patient_too, doctor, doctor_too):
        assert await each.wait_for("message.new", lambda m: m["seq"] == said["seq"]) == said
    await doctor.ok("typing", {"conversation_id": conversation_id})
    for each in (patient, patient_too):
        assert await each.wait_for("typing") == {
            "conversation_id": conversation_id, "account_id": pair.doctor.account_id,
        }  # fmt: skip
    await doctor_too.ok("receipt.read", {"conversation_id": conversation_id, "seq": said["seq"]})
    for each in (patient, patient_too):
        receipt = await each.wait_for("receipt", lambda r: r["account_id"] == pair.doctor.account_id)
        assert receipt["read_seq"] == said["seq"]
    answer = await doctor.say(conversation_id, "在")
    assert await patient.wait_for("message.new", lambda m: m["seq"] == answer["seq"]) == answer


@pytest.mark.parametrize("transports", ["websocket", "polling"])
async def test_signing_out_ends_the_sessions_sockets_on_every_host_within_a_second(
    world: World, hosts: Hosts, tls: aiohttp.ClientSession, transports: str
) -> None:
    patient = await world.patient()
    sockets = [await _socket(hosts.nginx.url, patient.token, transports) for _ in range(4)]
    world.sockets += sockets
    assert {_node(socket) for socket in sockets} == {"a", "b"}
    began = time.monotonic()
    there = Client(tls, hosts.nginx.url, patient.session)
    (await there.ask("DELETE", "/auth/sessions/current")).ok(204)
    for socket in sockets:
        assert (await socket.wait_for("session.revoked", seconds=3))["reason"] in ENDINGS
        await socket.wait_closed(3)
    assert time.monotonic() - began < 1.0
    while (answer := await there.ask("GET", "/me")).status == 200:
        assert time.monotonic() - began < 1.5
    answer.refused(401, "auth.required")


async def test_who_is_connected_to_one_host_is_here_for_the_other_and_away_when_gone(world: World, hosts: Hosts) -> None:
    """What a host writes to a device that the other one holds is no push; the next one, when it hung up, is."""
    pair = await world.pair()
    path = f"/conversations/{(await pair.paid())['conversation_id']}/messages"
    assert pair.patient.session is not None
    device = pair.patient.session["device_id"]
    there = Client(world.http, hosts.by_node["b"].url, pair.doctor.session)
    here = await _socket(hosts.by_node["a"].url, pair.patient.token, "websocket")
    world.sockets.append(here)
    await asyncio.sleep(1.0)  # a socket is known to whoever pushes a moment after it came
    seen = await there.post(path, {"client_id": "while-connected", "parts": [text("在吗")]}, 201)
    assert await here.wait_for("message.new", lambda m: m["seq"] == seen["seq"]) == seen
    await here.ok("receipt.delivered", {"conversation_id": seen["conversation_id"], "seq": seen["seq"]})
    await here.client.disconnect()
    await asyncio.sleep(1.0)
    missed = await there.post(path, {"client_id": "while-away", "parts": [text("请看")]}, 201)
    (push,) = await pushes_of(world, device, 1)
    assert push["extras"]["seq"] == missed["seq"]


@NEEDS_NODE
@pytest.mark.parametrize("transports", ["websocket", "polling", "polling,websocket"])
async def test_the_javascript_client_notices_nothing_of_it(
    world: World, hosts: Hosts, tls: aiohttp.ClientSession, transports: str
) -> None:
    pair = await world.pair()
    conversation_id = (await pair.paid())["conversation_id"]
    assert pair.patient.token and pair.doctor.token
    node = await asyncio.create_subprocess_exec(
        node_binary(), "client.mjs", hosts.nginx.url, pair.patient.token, pair.doctor.token, conversation_id, transports,
        cwd=FOLDER, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(hosts.nginx.certificate)},
    )  # fmt: skip
    assert node.stdout is not None
    try:
        assert orjson.loads(await asyncio.wait_for(node.stdout.readline(), 40)) == {"ready": True}
        (await Client(tls, hosts.nginx.url, pair.patient.session).ask("DELETE", "/auth/sessions/current")).ok(204)
        seen = orjson.loads(await asyncio.wait_for(node.stdout.readline(), 20))
    finally:
        if node.returncode is None:
            node.kill()
        await node.wait()
    assert seen["transport"] == transports.split(",")[-1]
    messages = [ack["message"] for ack in seen["acks"]]
    assert [m["seq"] for m in messages] == list(range(2, 22))
    assert (seen["heard"], seen["echoed"], seen["repeated"]) == (messages, [], seen["acks"][0])
    assert seen["receipt"]["read_seq"] == 5
    assert seen["revoked"]["reason"] in ENDINGS


async def test_what_was_never_acknowledged_is_sent_over_http_and_stands_there_once(world: World, hosts: Hosts) -> None:
    pair = await world.pair()
    conversation_id = (await pair.paid())["conversation_id"]
    doctor = await world.socket(pair.doctor)
    path = f"/conversations/{conversation_id}/messages"
    async with FaultyNet(hosts.by_node["a"].port) as net:
        patient = await _socket(net.url, pair.patient.token, "websocket")
        body = {"client_id": uuid.uuid4().hex, "parts": [text("胸口疼")]}
        await patient.client.emit("message.send", {"conversation_id": conversation_id, **body})
        stored = await doctor.wait_for("message.new")
        net.go_silent()  # its acknowledgement, or what would have come after it
        elsewhere = Client(world.http, hosts.by_node["b"].url, pair.patient.session)
        assert await elsewhere.post(path, body, 201) == stored
        await patient.client.disconnect()
    first = await elsewhere.post(path, {"client_id": "over-http-first", "parts": [text("还在疼")]}, 201)
    again = await world.socket(pair.patient)
    send = {"conversation_id": conversation_id, "client_id": "over-http-first", "parts": [text("还在疼")]}
    assert (await again.ok("message.send", send))["message"] == first
    await again.refused("message.send", {**send, "parts": [text("不疼了")]}, "idempotency.mismatch", "conflict")
    refused = await elsewhere.ask("POST", path, {"client_id": "over-http-first", "parts": [text("不疼了")]})
    refused.refused(409, "idempotency.mismatch")
    assert [m["parts"] for m in await pair.log(conversation_id)][1:] == [[text("胸口疼")], [text("还在疼")]]
    await doctor.wait_for("message.new", lambda m: m["seq"] == 3)
    assert [m["seq"] for m in doctor.all("message.new")] == [2, 3]


async def test_who_does_not_read_is_cut_before_much_waits_for_him_and_nobody_else_notices(world: World, hosts: Hosts) -> None:
    host = hosts.by_node["a"]
    pair = await world.pair()
    conversation_id = (await pair.paid())["conversation_id"]
    patient = await _socket(host.url, pair.patient.token, "websocket")
    faithful = await _socket(host.url, pair.doctor.token, "websocket")
    world.sockets += [patient, faithful]
    largest, count = 0.0, 0
    async with RawSocket(host.url, token=pair.doctor.token) as deaf:
        before = await host.metric("yz_sockets")
        deaf.stop_reading()
        while await host.metric("yz_sockets") == before:
            largest = max(largest, await host.metric("yz_socket_write_buffer_bytes"))
            await patient.say(conversation_id, "", parts=[text("长" * 4_000)] * 9)
            count += 1
            assert count < 90
    assert largest <= WRITE_LIMIT_BYTES + 200_000
    await faithful.wait_for("message.new", lambda m: m["seq"] == count + 1)
    assert [m["seq"] for m in faithful.all("message.new")] == list(range(2, count + 2))


@asynccontextmanager
async def _echo() -> AsyncIterator[int]:
    """A host that answers with what it was asked."""

    async def echo(request: web.Request) -> web.Response:
        size = len(await request.read())
        return web.json_response({"path": request.path_qs, "headers": dict(request.headers), "bytes": size})

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_what_nginx_hands_on_what_it_refuses_and_what_it_says_of_hosts_that_are_gone(
    tmp_path_factory: pytest.TempPathFactory, tls: aiohttp.ClientSession
) -> None:
    async with _echo() as port:
        nginx = Nginx(tmp_path_factory.mktemp("nginx"), {"a": port, "b": free_port()})
        await nginx.start()
        try:
            await _hands_on(nginx, tls)
            await _refuses(nginx, tls)
        finally:
            await nginx.stop()
        assert "13800000000" not in nginx.access_log
        assert "/api/v1/doctors 200" in nginx.access_log


async def _hands_on(nginx: Nginx, tls: aiohttp.ClientSession) -> None:
    forged = {"X-Forwarded-For": "1.2.3.4"}
    for _ in range(6):  # `b` is not there: whoever is sent to it is sent on
        async with tls.get(f"{nginx.url}/api/v1/doctors?q=13800000000", headers=forged) as answer:
            seen: Any = await answer.json()
        assert seen["path"] == "/api/v1/doctors?q=13800000000"
        assert seen["headers"]["X-Forwarded-For"] == "1.2.3.4, 127.0.0.1"
        assert (seen["headers"]["X-Forwarded-Proto"], seen["headers"]["Host"]) == ("https", "127.0.0.1")
        assert "Upgrade" not in seen["headers"]
    async with tls.get(f"{nginx.url}/socket.io/?EIO=4&transport=polling&sid=a.xyz") as answer:
        assert (await answer.json())["path"] == "/socket.io/?EIO=4&transport=polling&sid=a.xyz"
    async with tls.get(f"{nginx.plain_url}/patient/?x=1", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (308, "https://127.0.0.1/patient/?x=1")


async def _refuses(nginx: Nginx, tls: aiohttp.ClientSession) -> None:
    async with tls.post(f"{nginx.url}/api/v1/media", data=io.BytesIO(bytes(20 * 1024 * 1024))) as answer:
        assert (await answer.json())["bytes"] == 20 * 1024 * 1024
    for path, size in (("media", 22 * 1024 * 1024), ("orders", 600 * 1024)):
        async with tls.post(f"{nginx.url}/api/v1/{path}", data=io.BytesIO(bytes(size))) as answer:
            assert (answer.status, answer.content_type) == (413, "application/problem+json")
            assert (await answer.json())["code"] == "request.too_large"
    async with tls.get(f"{nginx.url}/socket.io/?EIO=4&transport=polling&sid=b.xyz") as answer:
        assert (answer.status, answer.content_type) == (503, "application/problem+json")
        assert (await answer.json())["code"] == "service.unavailable"


async def test_a_host_that_stops_takes_nobody_with_it(world: World, hosts: Hosts, tls: aiohttp.ClientSession) -> None:
    """The last of these tests: host `a` is gone after it."""
    patient = await world.patient()
    there = Client(tls, hosts.nginx.url, patient.session)
    app = socketio.AsyncClient(ssl_verify=False, reconnection_delay=0.05, reconnection_delay_max=0.2)
    nodes: list[str] = []
    app.on("connect", lambda: nodes.append(str(app.eio.sid).split(".")[0]))
    try:
        for _ in range(4):
            await app.connect(hosts.nginx.url, auth={"token": patient.token}, transports=["websocket"])
            if nodes[-1] == "a":
                break
            await app.disconnect()
        assert nodes.pop() == "a"
        nodes.clear()
        stopping = asyncio.create_task(hosts.by_node["a"].child.stop(10))
        async with asyncio.timeout(15):
            while not nodes:
                (await there.ask("GET", "/me")).ok()
                await asyncio.sleep(0.02)
        await stopping
        assert nodes == ["b"]
        for _ in range(4):
            (await there.ask("GET", "/me")).ok()
        assert (await app.call("conversation.sync", {}, timeout=10))["ok"] is True
    finally:
        await app.disconnect()
