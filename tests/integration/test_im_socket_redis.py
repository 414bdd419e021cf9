"""Live events between processes, through a real Redis that may die."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import pytest
from redis.asyncio import Redis

from im.bus import RedisBus
from im.live import Hint, LiveHub
from server.kernel.crypto import SealingKey
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.faulty_net import FaultyNet
from tests.support.im_log import DOCTOR, say
from tests.support.im_log import actor as log_actor
from tests.support.redis_server import RedisServer
from tests.support.socket_server import Edge

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


@pytest.fixture
async def two(database: Database) -> AsyncIterator[tuple[RedisServer, Edge, Edge, str]]:
    """Two processes of one deployment, a Redis of their own between them, and a conversation."""
    server, conversation, channel = RedisServer(), new_id(), new_id()
    server.start()
    buses = [RedisBus(server.url, KEY, channel=channel, receives=True) for _ in range(2)]
    try:
        async with Edge(database, conversation, bus=buses[0]) as one, Edge(database, conversation, bus=buses[1]) as other:
            for each in buses:
                await each.start()
            await until(lambda: one.hub.healthy and other.hub.healthy)
            await until(lambda: one.hub.deaf_since is None and other.hub.deaf_since is None)
            yield server, one, other, conversation
    finally:
        for each in buses:
            await each.close()
        server.thaw()
        server.kill()


@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_without_redis_messages_are_acknowledged_and_heard_in_other_processes_within_three_seconds(
    two: tuple[RedisServer, Edge, Edge, str], fault: str
) -> None:
    server, one, other, conversation = two
    patient, doctor = await one.client("patient"), await one.client("doctor")
    doctor_there = await other.client("doctor-2")
    before = await patient.say(conversation, "零", "client-0000")
    assert await doctor_there.hear("message.new") == [before["message"]]
    (server.kill if fault == "killed" else server.freeze)()
    began = time.monotonic()
    at_once = await patient.say(conversation, "一", "client-0001")
    assert time.monotonic() - began < 1.0
    async with asyncio.timeout(3):
        while at_once["message"] not in doctor_there.bodies("message.new"):
            await asyncio.sleep(0.01)
    await until(lambda: not one.hub.healthy and not other.hub.healthy)
    later = await patient.say(conversation, "二", "client-0002")
    answer = await doctor_there.say(conversation, "三", "client-0003")
    async with asyncio.timeout(3):
        while answer["message"] not in patient.bodies("message.new"):
            await asyncio.sleep(0.01)
        while later["message"] not in doctor_there.bodies("message.new"):
            await asyncio.sleep(0.01)
    assert [m["seq"] for m in doctor.bodies("message.new")] == [2, 3, 4, 5]
    assert [m["seq"] for m in patient.bodies("message.new")] == [5]
    assert {m["seq"] for m in doctor_there.bodies("message.new")} - {1} == {2, 3, 4}  # what was just before may come twice

    (server.start if fault == "killed" else server.thaw)()
    await until(lambda: one.hub.healthy and other.hub.healthy)
    await until(lambda: one.hub.deaf_since is None and other.hub.deaf_since is None)
    await until(lambda: not one.stand_in.is_reading and not other.stand_in.is_reading)
    found = await patient.say(conversation, "四", "client-0004")
    await until(lambda: found["message"] in doctor_there.bodies("message.new"))


async def test_a_flushed_redis_takes_nothing_away(two: tuple[RedisServer, Edge, Edge, str]) -> None:
    server, one, other, conversation = two
    patient, doctor = await one.client("patient"), await other.client("doctor")
    await server.flush()
    said = await patient.say(conversation, "一", "client-0001")
    assert await doctor.hear("message.new") == [said["message"]]
    assert one.hub.healthy and other.hub.healthy


async def test_a_session_ends_in_other_processes_within_a_second_without_redis(
    two: tuple[RedisServer, Edge, Edge, str],
) -> None:
    server, one, other, _ = two
    there = await other.client("patient")
    server.kill()
    began = time.monotonic()
    one.hub.close_sessions(["patient"], "logged_out")
    other.sessions.dead.add("patient")  # what both find in MongoDB
    assert await there.hear("session.revoked") == [{"reason": "session_ended"}]
    assert time.monotonic() - began < 1.0


async def test_a_letter_that_was_lost_on_its_way_is_missed_and_the_log_gives_what_was_in_it(
    two: tuple[RedisServer, Edge, Edge, str],
) -> None:
    """One process alone loses Redis for a moment: the other, which hears all along, notices by the numbers."""
    _, one, other, conversation = two
    patient, doctor = await one.client("patient"), await other.client("doctor")
    one_bus = one.hub._bus
    assert isinstance(one_bus, RedisBus)
    post, one_bus._post = one_bus._post, _refuse  # type: ignore[method-assign]
    said = await patient.say(conversation, "一", "client-0001")
    await until(lambda: not one.hub.healthy)
    one_bus._post = post  # type: ignore[method-assign]
    await until(lambda: said["message"] in doctor.bodies("message.new"))
    assert other.hub.healthy


async def test_a_process_of_a_version_that_did_not_count_its_letters_is_heard_and_not_suspected(
    redis: RedisServer, bus: Callable[..., RedisBus]
) -> None:
    new = bus()
    heard: list[Hint] = []
    new.listen(heard.append)
    await new.start()
    await until(lambda: new.healthy)
    new.all_heard()
    async with Redis.from_url(redis.url) as client:
        for word in (b"1", b"2"):
            letter = msgspec.msgpack.encode(["old", True, [Hint("live", ("a",), "notice", word)]])
            await client.publish(new._channel, KEY.seal(letter, b"live"))
    await until(lambda: [hint.body for hint in heard] == [b"1", b"2"])
    assert new.deaf_since is None


async def _refuse(_: list[Hint]) -> None:
    raise ConnectionError


async def test_a_silent_listener_is_noticed_and_repaired(redis: RedisServer) -> None:
    """Its connection looks alive and brings nothing: only that its own heartbeat is not heard tells of it."""
    async with FaultyNet(redis.port) as net:
        each = RedisBus(f"redis://127.0.0.1:{net.port}/0", KEY, channel=new_id(), receives=True)
        try:
            await each.start()
            await until(lambda: each.healthy)
            each.all_heard()
            net.go_silent()
            await until(lambda: not each.healthy, 4)
            await until(lambda: each.healthy)
            assert each.deaf_since is not None
        finally:
            await each.close()


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
