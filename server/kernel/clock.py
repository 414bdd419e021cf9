"""Time: one injected clock, always aware UTC, always whole milliseconds.

Milliseconds because that is what MongoDB stores: a value read back equals the value written.
"""

from datetime import UTC, datetime, timedelta
from time import time_ns
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Where now comes from. A use case reads it once per attempt and passes the value to the rules."""

    def now(self) -> datetime:
        """The present instant: aware, UTC, whole milliseconds."""
        ...

    def now_ms(self) -> int:
        """The present instant in whole milliseconds since the epoch, for paths where a datetime costs too much."""
        ...


class SystemClock:
    """The machine's clock. The only reader of the operating system's time."""

    def now(self) -> datetime:
        return from_ms(self.now_ms())

    def now_ms(self) -> int:
        return time_ns() // 1_000_000


def from_ms(value: int) -> datetime:
    """The instant `value` milliseconds after the epoch."""
    return _EPOCH + timedelta(milliseconds=value)


def to_ms(value: datetime) -> int:
    """Whole milliseconds since the epoch; `value` must be aware."""
    return (value - _EPOCH) // timedelta(milliseconds=1)


def iso(value: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and `Z`: `2026-11-22T04:05:06.789Z`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_ms(value: int) -> str:
    """`iso` of a number of milliseconds since the epoch."""
    return iso(from_ms(value))
