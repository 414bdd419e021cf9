"""What probes are told, on a real MongoDB."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from aiohttp.test_utils import make_mocked_request

from server.app.health import Health
from server.app.migrations import META, SCHEMA, until_current
from server.kernel.actor import PLATFORM
from server.kernel.clock import SystemClock
from server.kernel.clock_guard import ClockGuard
from server.kernel.mongo import Database


class CountingGuard(ClockGuard):
    checks = 0

    async def check(self) -> bool:
        self.checks += 1
        return await super().check()


@dataclass
class Probe:
    """A process that is asked, and a second hand that tests turn."""

    health: Health
    guard: CountingGuard
    elapsed: timedelta = field(default=timedelta(0))

    async def ask(self) -> tuple[int, str]:
        answer = await self.health.readyz(make_mocked_request("GET", "/readyz"))
        assert isinstance(answer.body, bytes)
        return answer.status, json.loads(answer.body)["status"]


@pytest.fixture
async def probe(database: Database) -> Probe:
    await database[META].insert_one({"_id": "schema", "hospital_id": PLATFORM, "version": SCHEMA})
    guard = CountingGuard(database, SystemClock())
    made = Probe(Health(database, guard, lambda: True, lambda: made.elapsed.total_seconds()), guard)
    return made


async def test_however_many_ask_mongodb_is_asked_once_a_second(probe: Probe) -> None:
    assert await asyncio.gather(*(probe.ask() for _ in range(50))) == [(200, "ready")] * 50
    probe.elapsed = timedelta(seconds=0.9)
    await probe.ask()
    assert probe.guard.checks == 1
    probe.elapsed = timedelta(seconds=1)
    await asyncio.gather(*(probe.ask() for _ in range(50)))
    assert probe.guard.checks == 2


async def test_what_changed_is_told_within_a_second_and_that_the_process_stops_at_once(
    probe: Probe, database: Database
) -> None:
    await probe.ask()
    await database[META].update_one({"_id": "schema", "hospital_id": PLATFORM}, {"$set": {"version": SCHEMA - 1}})
    probe.elapsed = timedelta(seconds=1)
    assert await probe.ask() == (503, "unavailable")
    await database[META].update_one({"_id": "schema", "hospital_id": PLATFORM}, {"$set": {"version": SCHEMA}})
    probe.elapsed = timedelta(seconds=2)
    assert await probe.ask() == (200, "ready")
    probe.health.stopping = True
    assert await probe.ask() == (503, "unavailable")


async def test_who_hangs_up_does_not_take_the_answer_from_the_others(probe: Probe) -> None:
    first, second = asyncio.create_task(probe.ask()), asyncio.create_task(probe.ask())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == (200, "ready")


async def test_who_waits_for_migrations_hears_when_to_stop(database: Database) -> None:
    stop = asyncio.Event()
    waiting = asyncio.create_task(until_current(database, stop))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(5):
        assert await waiting is False
    await database[META].insert_one({"_id": "schema", "hospital_id": PLATFORM, "version": SCHEMA})
    assert await until_current(database, asyncio.Event()) is True
