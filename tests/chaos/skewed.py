"""`python -m tests.chaos.skewed FILE SUBCOMMAND`: a part of the product whose clock can be set from outside while it runs.

FILE holds eight bytes, the nanoseconds by which its clock is ahead (little-endian, signed). What is set is what the product's
one reader of the time says, what libraries read by `time.time`, and what Celery takes for now; timers run by the monotonic
clock, as they do on a machine whose clock is set.
"""

import mmap
import struct
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from server.kernel import clock

_OFFSET = struct.Struct("<q")


def set_clock(file: Path, ahead_seconds: float) -> None:
    """Set the clock of whoever was started with this file."""
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.write(_OFFSET.pack(round(ahead_seconds * 1e9)))


def _follow(file: Path) -> None:
    with file.open("rb") as opened:
        offset = mmap.mmap(opened.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)
    real, real_ns = time.time, time.time_ns

    def ahead() -> int:
        return int(_OFFSET.unpack_from(offset)[0])

    clock.time_ns = lambda: real_ns() + ahead()  # type: ignore[attr-defined]
    time.time = lambda: real() + ahead() / 1e9
    if {"beat", "worker"} & set(sys.argv):
        from celery import Celery

        now = Celery.now

        def misdated(app: Celery) -> datetime:
            return now(app) + timedelta(seconds=ahead() / 1e9)  # type: ignore[no-any-return]

        Celery.now = misdated


if __name__ == "__main__":
    _follow(Path(sys.argv.pop(1)))
    from server.app.cli import main

    main()
