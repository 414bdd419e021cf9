"""Live events between processes, through a real Redis that may die."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from im.bus import RedisBus
from im.live import Hint, LiveHub
from server.kernel.crypto import SealingKey
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.im_log import DOCTOR, say
from tests.support.im_log import actor as log_actor
from tests.support.redis_server import RedisServer
from tests.support.socket_server import Client, Edge

KEY = SealingKey(bytes(32))


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def bus(redis: RedisServer) -> AsyncIterator[Callable[..., RedisBus]]:
    """Makes buses of one deployment, and closes them."""
    made: list[RedisBus] = []
    channel = new_id()

    def make(*, receives: bool = True, key: SealingKey = KEY) -> RedisBus:
        made.append(RedisBus(redis.url, key, channel=channel, receives=receives))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_members_hear_each_other_across_processes(database: Database, bus: Callable[..., RedisBus]) -> None:
    conversation = new_id()
    first_bus, second_bus = bus(), bus()
    async with Edge(database, conversation, bus=first_bus) as first, Edge(database, conversation, bus=second_bus) as second:
        await first_bus.start()
        await second_bus.start()
        await until(lambda: first.hub.healthy and second.hub.healthy)
        patient, patient_there = await first.client("patient"), await second.client("patient-2")
        doctor = await second.client("doctor")
        ack = await patient.say(conversation, "在吗", "client-0001")
        answer = await doctor.say(conversation, "在", "client-0002")
        assert await doctor.hear("message.new") == [ack["message"]]
        assert await patient_there.hear("message.new", 2) == [ack["message"], answer["message"]]
        assert await patient.hear("message.new") == [answer["message"]]
        await doctor.call("receipt.read", {"conversation_id": conversation, "seq": 2})
        assert [r["account_id"] for r in await patient.hear("receipt")] == [DOCTOR]


async def test_a_session_ends_everywhere(database: Database, bus: Callable[..., RedisBus]) -> None:
    first_bus, second_bus = bus(), bus(receives=False)
    keeper = LiveHub(lambda event, body: b"", second_bus)
    async with Edge(database, bus=first_bus) as first:
        await first_bus.start()
        await second_bus.start()
        await until(lambda: first.hub.healthy and keeper.healthy)
        client = await first.client("patient")
        keeper.close_sessions(["patient"], "struck_off")
        assert await client.hear("session.revoked") == [{"reason": "struck_off"}]
        await client.gone()


async def test_what_another_process_appended_is_folded_in(database: Database, bus: Callable[..., RedisBus]) -> None:
    conversation = new_id()
    first_bus, second_bus = bus(), bus()
    async with Edge(database, conversation, bus=first_bus) as first, Edge(database, conversation, bus=second_bus) as second:
        await first_bus.start()
        await second_bus.start()
        await until(lambda: first.hub.healthy and second.hub.healthy)
        await first.log.send(log_actor(DOCTOR), conversation, say(DOCTOR, "多喝水"))
        async with asyncio.timeout(5):
            while (await second.log.read(conversation)).seq < 2:
                await asyncio.sleep(0.005)


async def test_a_process_that_is_alone_publishes_nothing(redis: RedisServer, bus: Callable[..., RedisBus]) -> None:
    alone = bus()
    heard: list[Hint] = []
    alone.listen(heard.append)
    await alone.start()
    await until(lambda: alone.is_alone)
    alone.publish(Hint("live", ("a",), "notice", b"{}"))
    assert alone.waiting == 0
    other = bus()
    other.listen(heard.append)
    await other.start()
    await until(lambda: other.healthy)
    await until(lambda: not alone.is_alone)
    alone.publish(Hint("live", ("a",), "notice", b"{}"))
    await until(lambda: len(heard) == 1)
    assert heard == [Hint("live", ("a",), "notice", b"{}")]


async def test_another_deployments_letters_are_neither_read_nor_believed(bus: Callable[..., RedisBus]) -> None:
    ours, theirs = bus(), bus(key=SealingKey(bytes(31) + b"\1"))
    heard: list[Hint] = []
    ours.listen(heard.append)
    await ours.start()
    await theirs.start()
    await until(lambda: ours.healthy and theirs.healthy)
    theirs.publish(Hint("revoked", ("session",), "forged", b""))
    ours.publish(Hint("live", ("a",), "notice", b"{}"))
    await asyncio.sleep(0.2)
    assert heard == []


def said(client: Client) -> list[Any]:
    """The messages that it heard of; an opening of just before the loss may be among what it is told."""
    return [body for body in client.bodies("message.new") if body["kind"] == "message"]


async def test_losing_redis_costs_latency_only(database: Database) -> None:
    server = RedisServer()
    server.start()
    conversation, channel = new_id(), new_id()
    buses = [RedisBus(server.url, KEY, channel=channel, receives=True) for _ in range(2)]
    try:
        async with (
            Edge(database, conversation, bus=buses[0]) as first,
            Edge(database, conversation, bus=buses[1]) as second,
        ):
            for each in buses:
                await each.start()
            await until(lambda: first.hub.healthy and second.hub.healthy)
            patient, doctor, doctor_there = (
                await first.client("patient"),
                await first.client("doctor"),
                await second.client("doctor-2"),
            )
            server.kill()
            lost = (await patient.say(conversation, "一", "client-0001"))["message"]
            await until(lambda: said(doctor_there) == [lost])
            answer = (await doctor_there.say(conversation, "二", "client-0002"))["message"]
            await until(lambda: (said(patient), said(doctor)) == ([answer], [lost, answer]))
            server.start()
            await until(lambda: first.hub.healthy and second.hub.healthy)
            found = (await patient.say(conversation, "三", "client-0003"))["message"]
            await until(lambda: said(doctor) == [lost, answer, found] and found in said(doctor_there))
            assert answer not in said(doctor_there)
            assert said(patient) == [answer]
            synced = await doctor_there.call("conversation.sync", {"cursors": {conversation: 1}})
            assert synced["conversations"][0]["messages"] == [lost, answer, found]
    finally:
        for each in buses:
            await each.close()
        server.kill()


async def test_a_redis_that_hangs_is_noticed(bus: Callable[..., RedisBus]) -> None:
    server = RedisServer()
    server.start()
    each = RedisBus(server.url, KEY, channel=new_id(), receives=True)
    try:
        await each.start()
        await until(lambda: each.healthy)
        server.freeze()
        await until(lambda: not each.healthy)
        server.thaw()
        await until(lambda: each.healthy)
    finally:
        await each.close()
        server.thaw()
        server.kill()
