"""Several processes that share one port, as `YZ_PROCESSES=2` runs them: as if they were one, with Redis and without."""

import asyncio
import signal
import time
import uuid
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from server.app.processes import free_port
from tests.support.contract import Client, Socket, World, text
from tests.support.hosts import Host, start_host
from tests.support.product import Product

_TRIES = 40


@pytest.fixture(scope="module")
def pair_of_processes(product: Product) -> Iterator[list[Host]]:
    loop, port = asyncio.new_event_loop(), free_port()

    async def start() -> list[Host]:
        shared = {"YZ_PROCESSES": "2", "YZ_PROXIES": "0"}
        return list(await asyncio.gather(*(start_host(product, node, port=port, **shared) for node in ("x", "y"))))

    async def stop(hosts: list[Host]) -> None:
        await asyncio.gather(*(host.child.stop(10) for host in hosts))

    hosts = loop.run_until_complete(start())
    try:
        yield hosts
    finally:
        loop.run_until_complete(stop(hosts))
        loop.close()


async def _sockets_on_both(world: World, hosts: list[Host], who: Client) -> list[Socket]:
    """One socket of this session on each process; the kernel chooses, so it is tried until it is so."""
    found: dict[str, Socket] = {}
    for _ in range(_TRIES):
        socket = await Socket(hosts[0].url, who.token).connect()
        if (node := str(socket.client.eio.sid)[0]) in found:
            await socket.client.disconnect()
            continue
        found[node] = socket
        world.sockets.append(socket)
        if len(found) == 2:
            return [found["x"], found["y"]]
    raise AssertionError("all connections came to one process")


async def _ready(host: Host) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.get(f"{host.ops_url}/readyz") as answer:
        return answer.status, (await answer.json())["checks"]["redis"]


async def _until_ready(hosts: list[Host], expected: tuple[int, str]) -> None:
    async with asyncio.timeout(15):
        while [await _ready(host) for host in hosts] != [expected] * 2:
            await asyncio.sleep(0.05)


async def test_rooms_typing_receipts_and_revocation_cross_processes(world: World, pair_of_processes: list[Host]) -> None:
    pair = await world.pair()
    pair_order = await pair.paid()
    conversation_id = pair_order["conversation_id"]
    patient, patient_there = await _sockets_on_both(world, pair_of_processes, pair.patient)
    doctor_there, doctor = await _sockets_on_both(world, pair_of_processes, pair.doctor)
    said = await patient.say(conversation_id, "在吗")
    for each in (patient_there, doctor, doctor_there):
        assert await each.wait_for("message.new", lambda m: m["seq"] == said["seq"]) == said
    assert patient.all("message.new") == []
    await doctor.ok("typing", {"conversation_id": conversation_id})
    await doctor.ok("receipt.read", {"conversation_id": conversation_id, "seq": said["seq"]})
    for each in (patient, patient_there):
        assert (await each.wait_for("typing"))["account_id"] == pair.doctor.account_id
        assert (await each.wait_for("receipt"))["read_seq"] == said["seq"]
    began = time.monotonic()
    elsewhere = Client(world.http, world.base_url, pair.patient.session)
    (await elsewhere.ask("DELETE", "/auth/sessions/current")).ok(204)
    for each in (patient, patient_there):
        await each.wait_for("session.revoked", seconds=3)
        await each.wait_closed(3)
    assert time.monotonic() - began < 1.0
    async with world.http.get(f"{pair_of_processes[0].url}/socket.io/?EIO=4&transport=polling") as answer:
        assert answer.status == 400


async def test_a_redis_that_hangs_is_reported_and_neither_holds_up_an_ack_nor_hides_messages_orders_notices_and_receipts(
    world: World, pair_of_processes: list[Host], product: Product
) -> None:
    pair = await world.pair()
    pair_order = await pair.paid()
    conversation_id = pair_order["conversation_id"]
    patient, patient_there = await _sockets_on_both(world, pair_of_processes, pair.patient)
    doctor_there, doctor = await _sockets_on_both(world, pair_of_processes, pair.doctor)
    await _until_ready(pair_of_processes, (200, "ok"))
    (redis,) = product.processes("redis-server")
    redis.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        said = await patient.say(conversation_id, "胸口疼")
        assert time.monotonic() - began < 1.0
        for each in (patient_there, doctor, doctor_there):
            assert await each.wait_for("message.new", lambda m: m["seq"] == said["seq"], seconds=3) == said
        assert time.monotonic() - began < 3.5
        await _until_ready(pair_of_processes, (200, "degraded"))
        answer = await doctor.say(conversation_id, "马上来医院")
        for each in (patient, patient_there, doctor_there):
            assert await each.wait_for("message.new", lambda m: m["seq"] == answer["seq"], seconds=3) == answer
        began = time.monotonic()
        about = pair_order["id"]
        assert (await patient_there.wait_for("order.changed", lambda o: o["status"] == "in_session", seconds=3))["id"] == about
        told = await patient_there.wait_for("notice", lambda n: n["kind"] == "replied", seconds=3)
        assert (told["order_id"], told["data"]["seq"]) == (about, answer["seq"])
        await patient.ok("receipt.read", {"conversation_id": conversation_id, "seq": answer["seq"]})
        mark = await doctor.wait_for("receipt", lambda r: r["read_seq"] == answer["seq"], seconds=3)
        assert mark["account_id"] == pair.patient.account_id
        assert time.monotonic() - began < 3.5
        await patient_there.quiet(1)
        assert [n["kind"] for n in patient_there.all("notice")].count("replied") == 1
        await _read_all(pair.patient, patient_there)
        (await Client(world.http, world.base_url, pair.patient.session).ask("DELETE", "/auth/sessions/current")).ok(204)
        began = time.monotonic()
        for each in (patient, patient_there):
            await each.wait_closed(3)
        assert time.monotonic() - began < 1.0
    finally:
        redis.send_signal(signal.SIGCONT)
    await _until_ready(pair_of_processes, (200, "ok"))


async def _read_all(who: Client, elsewhere: Socket) -> None:
    """Every notice is read by one request; a socket of another process has the badge within 3 s."""
    newest = (await who.get("/notices?limit=1"))["items"][0]["notice_id"]
    began = time.monotonic()
    assert await who.post("/notices/read", {"up_to": newest}) == {"unread": 0}
    assert await elsewhere.wait_for("notices.read", seconds=3) == {"unread": 0}
    assert time.monotonic() - began < 3.5


async def test_a_badge_reaches_all_devices_though_redis_was_killed_just_before(
    world: World, pair_of_processes: list[Host], product: Product
) -> None:
    """Also where nobody has noticed yet: the hint is lost, the read notice stands in the database."""
    pair = await world.pair()
    order = await pair.paid()
    sockets = await _sockets_on_both(world, pair_of_processes, pair.patient)
    await pair.reply(order["conversation_id"], "多喝水。")
    for socket in sockets:
        await socket.wait_for("notice", lambda n: n["kind"] == "replied")
    await _until_ready(pair_of_processes, (200, "ok"))
    (redis,) = product.processes("redis-server")
    redis.send_signal(signal.SIGKILL)
    newest = (await pair.patient.get("/notices?limit=1"))["items"][0]["notice_id"]
    began = time.monotonic()
    here = Client(world.http, pair_of_processes[0].url, pair.patient.session)
    assert await here.post("/notices/read", {"up_to": newest}) == {"unread": 0}
    for socket in sockets:
        assert await socket.wait_for("notices.read", seconds=3) == {"unread": 0}
    assert time.monotonic() - began < 3.5
    await _until_ready(pair_of_processes, (200, "ok"))


async def test_an_old_doctor_is_out_of_every_process_within_a_second_of_the_patients_agreement(
    world: World, pair_of_processes: list[Host]
) -> None:
    """The previous agent stayed subscribed after a transfer, as users of others saw."""
    pair = await world.pair()
    order = await pair.paid()
    path, talk = f"/orders/{order['id']}/referrals", order["conversation_id"]
    new, doctor_id, _ = await world.new_doctor()
    old_sockets = await _sockets_on_both(world, pair_of_processes, pair.doctor)
    new_sockets = await _sockets_on_both(world, pair_of_processes, new)
    for socket in old_sockets:  # each process has the conversation, and who is in it, at hand
        await socket.ok("conversation.sync", {"cursors": {talk: 0}})
    referral = await pair.doctor.post(path, {"doctor_id": doctor_id, "reason": "请专科医生看看"}, 201)
    await new.post(f"{path}/{referral['id']}/accept", {})
    await pair.patient.post(f"{path}/{referral['id']}/agree", {})
    began = time.monotonic()
    for socket in old_sockets:
        await socket.refused("conversation.sync", {"cursors": {talk: 0}}, "conversation.not_found", "not_found")
        body = {"conversation_id": talk, "client_id": uuid.uuid4().hex, "parts": [text("我还在")]}
        await socket.refused("message.send", body, "conversation.not_found", "not_found")
    for host in pair_of_processes:
        for gone in (f"/orders/{order['id']}", f"/orders/{order['id']}/records", path):
            (await Client(world.http, host.url, pair.doctor.session).ask("GET", gone)).refused(404, "order.not_found")
    assert time.monotonic() - began < 1.0
    said = await new_sockets[0].say(talk, "我来看看。")
    assert await new_sockets[1].wait_for("message.new", lambda m: m["seq"] == said["seq"]) == said
    for socket in old_sockets:
        await socket.quiet()
        assert said["seq"] not in [message["seq"] for message in socket.all("message.new")]
