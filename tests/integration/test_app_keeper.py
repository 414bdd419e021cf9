"""Who leads, who takes over, and what a skewed clock may do."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from server.app.keeper import LEASE, Keeper, Sweep
from server.kernel.clock import SystemClock
from server.kernel.clock_guard import ClockGuard
from server.kernel.leases import LEASES, Leases
from server.kernel.mongo import Database
from tests.support.clock import ManualClock


class Work:
    """Counts rounds; `went` wakes whoever waits for the next."""

    def __init__(self) -> None:
        self.rounds = 0
        self.went = asyncio.Event()

    async def run(self) -> int:
        self.rounds += 1
        self.went.set()
        return 1

    async def fail(self) -> int:
        self.rounds += 1
        self.went.set()
        raise RuntimeError("a bug")

    async def next_round(self) -> None:
        self.went.clear()
        async with asyncio.timeout(10):
            await self.went.wait()


async def _follow() -> None:
    await asyncio.Event().wait()


def _keeper(database: Database, run: Callable[[], Awaitable[int]], clock: SystemClock | ManualClock | None = None) -> Keeper:
    guard = ClockGuard(database, clock or SystemClock())
    return Keeper(Leases(database), guard, [Sweep("work", timedelta(milliseconds=10), run, timed=True)], _follow)


async def test_one_keeper_leads_and_the_other_takes_over_when_it_stops(database: Database) -> None:
    first, second = Work(), Work()
    stops = [asyncio.Event(), asyncio.Event()]
    one = asyncio.create_task(_keeper(database, first.run).run(stops[0]))
    await first.next_round()
    other = asyncio.create_task(_keeper(database, second.run).run(stops[1]))
    await first.next_round()
    assert second.rounds == 0
    stops[0].set()
    async with asyncio.timeout(10):
        await one
    await second.next_round()
    stops[1].set()
    async with asyncio.timeout(10):
        await other
    assert await database[LEASES].find_one({"_id": LEASE}) is None


async def test_a_keeper_whose_lease_was_taken_stops_leading(database: Database) -> None:
    work, stop = Work(), asyncio.Event()
    running = asyncio.create_task(_keeper(database, work.run).run(stop))
    await work.next_round()
    await database[LEASES].update_one({"_id": LEASE}, {"$set": {"holder": "another"}})
    async with asyncio.timeout(15):
        while await Leases(database).acquire(LEASE, "another", timedelta(seconds=30)):
            before = work.rounds
            try:
                async with asyncio.timeout(2):
                    await work.next_round()
            except TimeoutError:
                break
            assert work.rounds > before
    stop.set()
    async with asyncio.timeout(10):
        await running


async def test_what_concerns_a_keepers_own_host_is_done_by_one_that_never_leads(database: Database) -> None:
    guard = ClockGuard(database, SystemClock())
    assert await guard.check()
    assert await Leases(database).acquire(LEASE, "another", timedelta(minutes=5))
    led, own, stop = Work(), Work(), asyncio.Event()
    always = [Sweep("own", timedelta(milliseconds=10), own.run)]
    keeper = Keeper(Leases(database), guard, [Sweep("work", timedelta(milliseconds=10), led.run)], _follow, always=always)
    running = asyncio.create_task(keeper.run(stop))
    for _ in range(3):
        await own.next_round()
    stop.set()
    async with asyncio.timeout(10):
        await running
    assert led.rounds == 0


async def test_a_sweep_that_fails_goes_on(database: Database) -> None:
    work, stop = Work(), asyncio.Event()
    running = asyncio.create_task(_keeper(database, work.fail).run(stop))
    for _ in range(3):
        await work.next_round()
    stop.set()
    async with asyncio.timeout(10):
        await running


async def test_a_keeper_whose_clock_is_set_leaves_the_lease_to_another(database: Database, clock: ManualClock) -> None:
    theirs = (await database.command("hello", codec_options=database.codec_options))["localTime"]
    clock.advance(theirs - clock.now())
    wrong, right = Work(), Work()
    stop = asyncio.Event()
    one = asyncio.create_task(_keeper(database, wrong.run, clock).run(stop))
    await wrong.next_round()
    other = asyncio.create_task(_keeper(database, right.run).run(stop))
    clock.advance(timedelta(days=3))
    await right.next_round()
    before = wrong.rounds
    await right.next_round()
    assert wrong.rounds == before
    stop.set()
    async with asyncio.timeout(10):
        await asyncio.gather(one, other)


async def test_a_clock_days_ahead_decides_no_deadline(database: Database, clock: ManualClock) -> None:
    work, stop = Work(), asyncio.Event()
    clock.advance(timedelta(days=3650))
    guard = ClockGuard(database, clock)
    running = asyncio.create_task(_keeper(database, work.run, clock).run(stop))
    async with asyncio.timeout(10):
        while await database[LEASES].find_one({"_id": LEASE}) is None:
            await asyncio.sleep(0)
    for _ in range(5):
        assert not await guard.check()
    assert work.rounds == 0
    stop.set()
    async with asyncio.timeout(10):
        await running
