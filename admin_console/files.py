"""Checkpoints in files: `<folder>/2026-01.jsonl`, one JSON object a line, appended and synced.

The last line of the last file may be torn by a crash: it has no line feed, is cut off before the next append, and comes again
from the database.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson

from admin_console.domain.checkpoints import Checkpoint, CheckpointUnreadable, from_json, to_json
from server.kernel.clock import from_ms

_BLOCK: Final = 1 << 20


class CheckpointFiles:
    """Implements `ports.CheckpointFile`. The keeper that leads appends; one that has just lost the lease may do so too, so who
    appends holds a lock, and a number that stands there already is not written again."""

    def __init__(self, folder: Path, public_key: bytes) -> None:
        self._folder = folder
        self._public_key = public_key

    async def find_last(self) -> Checkpoint | None:
        return await asyncio.to_thread(self._find_last)

    async def append(self, checkpoint: Checkpoint) -> None:
        await asyncio.to_thread(self._append, checkpoint)

    async def lines(self) -> AsyncIterator[Checkpoint | None]:
        for path in self._paths():
            with path.open("rb") as file:
                while line := await asyncio.to_thread(file.readline):
                    if line.endswith(b"\n"):
                        yield _parse(line)

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))

    def _find_last(self) -> Checkpoint | None:
        for path in reversed(self._paths()):
            _mend(path)
            line = _last_line(path)
            if line is None:
                continue
            checkpoint = _parse(line)
            if checkpoint is None:
                raise CheckpointUnreadable(path.name)
            return checkpoint
        return None

    def _append(self, checkpoint: Checkpoint) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self._folder):
            last = self._find_last()
            if last is None or last.number < checkpoint.number:
                self._write(checkpoint)

    def _write(self, checkpoint: Checkpoint) -> None:
        path = self._folder / f"{from_ms(checkpoint.at_ms):%Y-%m}.jsonl"
        fresh = not path.exists()
        line = orjson.dumps(to_json(checkpoint, self._public_key)) + b"\n"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            _sync(self._folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One appender at a time. The kernel gives the lock back when its holder dies."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _parse(line: bytes) -> Checkpoint | None:
    try:
        return from_json(orjson.loads(line))
    except (orjson.JSONDecodeError, CheckpointUnreadable):
        return None


def _mend(path: Path) -> None:
    """Cut off a last line without its line feed."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        whole = _after_last_feed(file.fileno(), end)
        if whole != end:
            file.truncate(whole)


def _last_line(path: Path) -> bytes | None:
    """The last whole line of a file that ends with a line feed; None where it is empty."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        if end == 0:
            return None
        file.seek(_after_last_feed(file.fileno(), end - 1))
        return file.readline()


def _after_last_feed(handle: int, end: int) -> int:
    """The place behind the last line feed below `end`; 0 where there is none."""
    while end > 0:
        start = max(0, end - _BLOCK)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
