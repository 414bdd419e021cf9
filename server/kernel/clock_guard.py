"""Whether this process's clock can be trusted with deadlines: it must be within 2 s of MongoDB's."""

from datetime import timedelta
from typing import Final

import structlog
from pymongo.errors import PyMongoError

from server.kernel.clock import Clock
from server.kernel.mongo import Database

log = structlog.get_logger(__name__)

TOLERANCE: Final = timedelta(seconds=2)


class ClockGuard:
    """`ok` is what the last check found; before the first check, and when MongoDB cannot be asked, nothing is decided."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.ok = False
        self.skew: timedelta | None = None

    async def check(self) -> bool:
        """Compare with `hello.localTime`, which was read between asking and hearing: only what exceeds that span counts."""
        before = self._clock.now()
        try:
            theirs = (await self._database.command("hello", codec_options=self._database.codec_options))["localTime"]
        except PyMongoError as error:
            log.warning("clock.unknown", error=type(error).__name__)
            self.ok, self.skew = False, None
            return False
        after = self._clock.now()
        self.skew = max(before - theirs, theirs - after, timedelta(0))
        was, self.ok = self.ok, self.skew <= TOLERANCE
        if was and not self.ok:
            log.error("clock.skewed", skew_ms=self.skew // timedelta(milliseconds=1))
        return self.ok

    def is_ok(self) -> bool:
        return self.ok
