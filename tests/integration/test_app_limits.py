"""How much an account or an address may ask, with several processes and with a Redis that comes and goes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from server.app.limits import RateLimiter, SharedRateLimiter
from server.kernel.ids import new_id
from server.kernel.settings import parse_rate
from tests.support.clock import ManualClock
from tests.support.redis_server import RedisServer

SLOW = "6/10m"
"""Nothing worth a test comes back meanwhile."""

Process = Callable[[], SharedRateLimiter]


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def process(redis: RedisServer, clock: ManualClock) -> AsyncIterator[Process]:
    """Makes a limiter as each process has one; `clock` is each one's own second hand too."""
    async with AsyncExitStack() as stack:

        def make() -> SharedRateLimiter:
            rate = parse_rate(SLOW)
            local = RateLimiter(rate, clock)
            made = SharedRateLimiter(redis.url, rate, local, str.upper, lambda: clock.now_ms() / 1_000)
            stack.push_async_callback(made.close)
            return made

        yield make


async def _allowed(limiters: list[SharedRateLimiter], key: str, times: int) -> int:
    waits = await asyncio.gather(*(limiters[n % len(limiters)].take(key) for n in range(times)))
    return waits.count(0.0)


async def test_processes_share_one_rate(process: Process) -> None:
    both, key = [process(), process()], new_id()
    assert await _allowed(both, key, 11) == 6
    assert await _allowed(both, new_id(), 6) == 6
    assert 90 < await process().take(key) <= 100  # a third process: seconds until the next is free


async def test_each_process_counts_alone_while_redis_is_down_and_together_after_it(
    process: Process, redis: RedisServer, clock: ManualClock
) -> None:
    both, key = [process(), process()], new_id()
    assert await _allowed(both, key, 2) == 2
    redis.kill()
    assert await _allowed(both, key, 20) == 10
    redis.start()
    assert await _allowed(both, new_id(), 12) == 12  # it is left alone for a moment
    clock.advance(timedelta(seconds=2))
    assert await _allowed(both, new_id(), 12) == 6


async def test_a_redis_that_hangs_is_waited_for_once(process: Process, redis: RedisServer) -> None:
    limiter = process()
    assert await limiter.take("a") == 0.0
    redis.freeze()
    try:
        async with asyncio.timeout(2):
            for _ in range(5):
                assert await limiter.take("a") == 0.0
    finally:
        redis.thaw()
    assert await limiter.take("a") > 0.0
