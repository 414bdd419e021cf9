"""Rate limits of one process: a token bucket a key, in a bounded table."""

from collections import OrderedDict
from datetime import timedelta
from typing import Final

from server.kernel.clock import Clock
from server.kernel.settings import Rate

_KEYS: Final = 50_000


class RateLimiter:
    """Allows `rate.count` at once and as many in each `rate.per` after that. The keys used longest ago are forgotten."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._capacity = float(rate.count)
        self._per_ms = rate.count / (rate.per / timedelta(milliseconds=1))
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one; 0.0 when allowed, else the seconds until the next is."""
        now = self._clock.now_ms()
        tokens, seen = self._buckets.pop(key, (self._capacity, now))
        tokens = min(self._capacity, tokens + max(0, now - seen) * self._per_ms)
        allowed = tokens >= 1.0
        self._buckets[key] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._buckets) > _KEYS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - tokens) / self._per_ms / 1_000
