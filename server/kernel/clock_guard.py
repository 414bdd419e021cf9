"""Whether this process's clock can be trusted with deadlines: it must be within 2 s of MongoDB's."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from pymongo.errors import PyMongoError

from server.kernel.clock import Clock
from server.kernel.errors import Unavailable
from server.kernel.mongo import Database

log = structlog.get_logger(__name__)

TOLERANCE: Final = timedelta(seconds=2)
_TOLERANCE_MS: Final = TOLERANCE // timedelta(milliseconds=1)


def _elapsed_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class ClockGuard:
    """`ok` is what the last check found; before the first check, and when MongoDB cannot be asked, nothing is decided.

    A clock that is set between two checks is noticed at once: `elapsed_ms`, which nobody can set, no longer goes with it.
    """

    def __init__(self, database: Database, clock: Clock, elapsed_ms: Callable[[], int] = _elapsed_ms) -> None:
        self._database = database
        self._clock = clock
        self._elapsed_ms = elapsed_ms
        self._began_ms = self._beginning_ms()
        self.ok = False
        self.skew: timedelta | None = None

    async def check(self) -> bool:
        """Compare with `hello.localTime`, which was read between asking and hearing: only what exceeds that span counts."""
        before, began_ms = self._clock.now(), self._beginning_ms()
        try:
            theirs = (await self._database.command("hello", codec_options=self._database.codec_options))["localTime"]
        except PyMongoError as error:
            log.warning("clock.unknown", error=type(error).__name__)
            self.ok, self.skew = False, None
            return False
        after = self._clock.now()
        self._began_ms = began_ms
        self.skew = max(before - theirs, theirs - after, timedelta(0))
        was, self.ok = self.ok, self.skew <= TOLERANCE
        if was and not self.ok:
            log.error("clock.skewed", skew_ms=self.skew // timedelta(milliseconds=1))
        return self.is_ok()

    def is_ok(self) -> bool:
        """Asked twice for every message, so it says in one line what `_was_set` says."""
        return self.ok and -_TOLERANCE_MS <= self._clock.now_ms() - self._elapsed_ms() - self._began_ms <= _TOLERANCE_MS

    def is_wrong(self) -> bool:
        """Known to be wrong, which is more than not known to be right."""
        return self._was_set() or (self.skew is not None and self.skew > TOLERANCE)

    def _was_set(self) -> bool:
        """Whether somebody set the clock since it was last compared."""
        return abs(self._beginning_ms() - self._began_ms) > _TOLERANCE_MS

    def _beginning_ms(self) -> int:
        """When the clock that cannot be set was at zero, by the one that can."""
        return self._clock.now_ms() - self._elapsed_ms()


class TrustedClock:
    """The same clock, for whoever stores what it says: while it is known to be wrong, asking it raises Unavailable.

    A request may have waited for the database since its process was found in order; what it books then is booked for good.
    """

    def __init__(self, clock: Clock, guard: ClockGuard) -> None:
        self._clock = clock
        self._guard = guard

    def now(self) -> datetime:
        self._check()
        return self._clock.now()

    def now_ms(self) -> int:
        self._check()
        return self._clock.now_ms()

    def _check(self) -> None:
        if self._guard.is_wrong():
            raise Unavailable
