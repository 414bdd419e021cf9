"""A clock that tests turn."""

from datetime import UTC, datetime, timedelta

from server.kernel.clock import to_ms


class ManualClock:
    """Stands still until it is advanced."""

    def __init__(self, start: datetime = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def now_ms(self) -> int:
        return to_ms(self._now)

    def advance(self, by: timedelta) -> None:
        self._now += by
