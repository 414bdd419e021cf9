"""Rate limits: a token bucket a key, in this process or shared by all processes of the deployment through Redis."""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from server.kernel.clock import Clock
from server.kernel.settings import Rate

log = structlog.get_logger(__name__)

_KEYS: Final = 50_000
_CONNECTIONS: Final = 16
_TIMEOUT_SECONDS: Final = 0.25
_LEAVE_ALONE_SECONDS: Final = 2.0
_FAILURES: Final = (RedisError, OSError, TimeoutError)

_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local capacity, per_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'seen')
local tokens = tonumber(kept[1] or capacity)
tokens = math.min(capacity, tokens + math.max(0, now - tonumber(kept[2] or now)) * per_ms)
local wait = 0
if tokens >= 1 then tokens = tokens - 1 else wait = (1 - tokens) / per_ms / 1000 end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'seen', now)
redis.call('PEXPIRE', KEYS[1], math.ceil(capacity / per_ms) + 1000)
return string.format('%.6f', wait)
"""
"""The bucket of `RateLimiter`, by Redis's own clock, so that the processes need not agree on the time. A bucket that would be
full again is forgotten."""


class Limiter(Protocol):
    async def take(self, key: str) -> float:
        """Take one; 0.0 when allowed, else the seconds until the next is."""
        ...


class RateLimiter:
    """Allows `rate.count` at once and as many in each `rate.per` after that, in this process. The keys used longest ago are
    forgotten."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._capacity = float(rate.count)
        self._per_ms = rate.count / (rate.per / timedelta(milliseconds=1))
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def take(self, key: str) -> float:
        now = self._clock.now_ms()
        tokens, seen = self._buckets.pop(key, (self._capacity, now))
        tokens = min(self._capacity, tokens + max(0, now - seen) * self._per_ms)
        allowed = tokens >= 1.0
        self._buckets[key] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._buckets) > _KEYS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - tokens) / self._per_ms / 1_000


class SharedRateLimiter:
    """The same, counted by all processes together: one round trip to Redis.

    `local` counts first, since what is too much here is too much in all, so that a flood does not reach Redis; and alone while
    Redis does not answer, which is then left alone for a moment instead of being waited for by each request. `digest` makes of
    a key what Redis may see.
    """

    def __init__(
        self,
        url: str,
        rate: Rate,
        local: RateLimiter,
        digest: Callable[[str], str],
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis: Redis = Redis(
            connection_pool=BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=_TIMEOUT_SECONDS,
                socket_connect_timeout=_TIMEOUT_SECONDS,
                socket_timeout=_TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        )
        self._script = self._redis.register_script(_TAKE)
        self._arguments = [rate.count, rate.count / (rate.per / timedelta(milliseconds=1))]
        self._local = local
        self._digest = digest
        self._elapsed = elapsed
        self._ask_from = 0.0

    async def take(self, key: str) -> float:
        wait = await self._local.take(key)
        if wait or self._elapsed() < self._ask_from:
            return wait
        try:
            return float(await self._script([f"yz:rate:{self._digest(key)}"], self._arguments))
        except _FAILURES as error:
            self._ask_from = self._elapsed() + _LEAVE_ALONE_SECONDS
            log.warning("limits.not_shared", error=type(error).__name__)
            return wait

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)
