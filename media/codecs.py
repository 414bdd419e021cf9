"""Worker processes for codecs: a few, each with one job at a time, started when first needed, replaced when they die.

A process of its own for each job under way, so that a decoder which crashes or hangs names the upload that did it, and takes
no other with it. (A pool of the standard library breaks for all its jobs when one process dies.)
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from media.domain import Encoded, Encoding, Format, MediaKind, Rendition
from media.errors import UPLOAD_REFUSALS, MediaDamaged
from server.kernel.errors import Unavailable

log = structlog.get_logger(__name__)

_LENGTH_BYTES: Final = 4
_HEAD_BYTES: Final = 64 * 1024
_ANSWER_BYTES: Final = 128 * 1024 * 1024
_BUFFER_BYTES: Final = 1024 * 1024
_GRACE_SECONDS: Final = 5.0
_JOBS_PER_PROCESS: Final = 200
MEMORY_BYTES: Final = 3 * 1024**3
LIMIT_SECONDS: Final = 20


class _Died(Exception):
    """The process ended, or said what no worker says, in the middle of a job."""


class _Overdue(Exception):
    """The job took longer than a job may."""


class _Worker:
    """One process. It is used by one job at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._jobs = 0

    @classmethod
    async def start(cls, command: Sequence[str]) -> "_Worker":
        environment = {"PYTHONPATH": str(Path(__file__).parent.parent), "MALLOC_ARENA_MAX": "2", "PYTHONSAFEPATH": "1"}
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
                limit=_BUFFER_BYTES,
            )
        except OSError as error:
            log.warning("media.worker_not_started", error=type(error).__name__)
            raise Unavailable() from error
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def usable(self) -> bool:
        return self._process.returncode is None and self._jobs < _JOBS_PER_PROCESS

    async def run(self, data: bytes, found: Format, limit_seconds: float) -> tuple[dict[str, Any], list[bytes]]:
        """The worker's answer: its head, and the contents that the head counts. Raises _Died, _Overdue."""
        self._jobs += 1
        try:
            return await asyncio.wait_for(self._exchange(data, found), limit_seconds)
        except TimeoutError as error:
            raise _Overdue from error
        except (OSError, EOFError, asyncio.IncompleteReadError, ValueError, KeyError, TypeError) as error:
            raise _Died from error

    async def _exchange(self, data: bytes, found: Format) -> tuple[dict[str, Any], list[bytes]]:
        jobs, answers = self._process.stdin, self._process.stdout
        if jobs is None or answers is None:
            raise EOFError
        head = orjson.dumps({"format": found.value, "size": len(data)})
        jobs.write(len(head).to_bytes(_LENGTH_BYTES, "big") + head)
        jobs.write(data)
        await jobs.drain()
        length = int.from_bytes(await answers.readexactly(_LENGTH_BYTES), "big")
        if length > _HEAD_BYTES:
            raise EOFError
        answer: dict[str, Any] = orjson.loads(await answers.readexactly(length))
        sizes = [size for _, _, size in answer.get("renditions", [])]
        if sum(sizes) > _ANSWER_BYTES or any(size < 0 for size in sizes):
            raise EOFError
        return answer, [await answers.readexactly(size) for size in sizes]

    async def stop(self, *, at_once: bool) -> None:
        """End the process, by the end of its input or by force, and wait until it is gone."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.returncode is None and at_once:
            self._kill()
        try:
            await asyncio.wait_for(self._process.wait(), _GRACE_SECONDS)
        except TimeoutError:
            self._kill()
            await self._process.wait()

    def _kill(self) -> None:
        try:
            self._process.kill()
        except ProcessLookupError:
            return


class CodecPool:
    """Implements `ports.Codecs`. `workers` processes at most; a job lasts `limit_seconds` at most, by the wall clock.

    `command` starts a worker that speaks as `media.worker` does.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        limit_seconds: int = LIMIT_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        command: Sequence[str] | None = None,
    ) -> None:
        count = workers or max(1, min(2, os.cpu_count() or 1))
        self._limit_seconds = limit_seconds
        self._command = command or (sys.executable, "-m", "media.worker", str(memory_bytes), str(limit_seconds))
        self._places = asyncio.Semaphore(count)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._closed = False

    async def warm(self) -> None:
        """Have a worker ready before the first upload. Not needed; it saves that upload half a second."""
        async with self._places:
            await self._give_back(await self._take())

    async def encode(self, data: bytes, found: Format) -> Encoded:
        async with self._places:
            answer, contents = await self._run(data, found, tries=2)
        if (code := answer.get("refused")) is not None:
            raise UPLOAD_REFUSALS.get(code, MediaDamaged)()
        try:
            return _encoded(answer, contents)
        except (ValueError, KeyError, TypeError) as error:
            raise MediaDamaged() from error

    async def close(self) -> None:
        """End all workers; jobs under way are refused."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(w.stop(at_once=True) for w in [*idle, *self._busy]))

    def worker_pids(self) -> list[int]:
        """The processes that live now, for `/metrics` and for tests."""
        return sorted(w.pid for w in [*self._idle, *self._busy])

    async def _run(self, data: bytes, found: Format, *, tries: int) -> tuple[dict[str, Any], list[bytes]]:
        """One job. A worker that dies of it is replaced and the job given to the new one: only an upload that kills a fresh
        worker too is surely to blame."""
        worker = await self._take()
        done = False
        try:
            answer = await worker.run(data, found, self._limit_seconds + 1)
            done = True
            return answer
        except _Overdue:
            log.warning("media.worker_overdue", format=found.value)
            raise MediaDamaged() from None
        except _Died:
            log.warning("media.worker_died", format=found.value)
            if self._closed:
                raise Unavailable() from None
        finally:
            await asyncio.shield(self._give_back(worker, broken=not done))
        if tries > 1:
            return await self._run(data, found, tries=tries - 1)
        raise MediaDamaged()

    async def _take(self) -> _Worker:
        """An idle worker, or a new one."""
        if self._closed:
            raise Unavailable()
        while self._idle:
            worker = self._idle.pop()
            if worker.usable:
                break
            await worker.stop(at_once=True)
        else:
            worker = await _Worker.start(self._command)
        self._busy.add(worker)
        return worker

    async def _give_back(self, worker: _Worker, *, broken: bool = False) -> None:
        self._busy.discard(worker)
        if broken or self._closed or not worker.usable:
            await worker.stop(at_once=True)
        else:
            self._idle.append(worker)


def _encoded(answer: dict[str, Any], contents: list[bytes]) -> Encoded:
    renditions = {
        Rendition(name): Encoding(str(mime), content)
        for (name, mime, _), content in zip(answer["renditions"], contents, strict=True)
    }
    return Encoded(
        kind=MediaKind(answer["kind"]),
        renditions=renditions,
        width=answer["width"],
        height=answer["height"],
        duration_ms=answer["duration_ms"],
    )
