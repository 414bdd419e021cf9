"""Worker processes, for work that may crash, hang or eat memory: codecs, drawing, whatever meets bytes from outside.

A few, each with one job at a time, started when first needed, replaced when they die. A process of its own for each job under
way, so that work which crashes or hangs names the job that did it, and takes no other with it. (A pool of the standard library
breaks for all its jobs when one process dies.) A worker goes when its input ends, so that none outlives its program.

Frames, both ways: 4 bytes of length, a head (JSON), then contents whose sizes the head gives.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from server.kernel.confined import LENGTH_BYTES
from server.kernel.errors import Unavailable

log = structlog.get_logger(__name__)

_HEAD_BYTES: Final = 64 * 1024
_BUFFER_BYTES: Final = 1024 * 1024
_TRIES: Final = 2
_ENVIRONMENT: Final = {
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "PYTHONSAFEPATH": "1",
    "MALLOC_ARENA_MAX": "2",
    "OPENCV_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""All that a worker sees of ours: no settings, so no secrets; one thread, since there are as many workers as wanted cores."""

SizesOf = Callable[[bytes], Sequence[int]]
"""The sizes of the contents that follow an answer's head. Whatever it raises is nonsense from the worker."""


class JobDied(Exception):
    """The process ended, or said what no worker says, in the middle of a job; a fresh one did so too."""


class JobOverdue(Exception):
    """The job took longer than a job may. Its process is gone."""


def framed(head: bytes) -> bytes:
    """A head as it travels."""
    return len(head).to_bytes(LENGTH_BYTES, "big") + head


async def start_process(command: Sequence[str], name: str) -> asyncio.subprocess.Process:
    """A process with piped input and output that sees nothing of our environment. Raises Unavailable where there is none."""
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_ENVIRONMENT,
            limit=_BUFFER_BYTES,
        )
    except OSError as error:
        log.warning("worker.not_started", worker=name, error=type(error).__name__)
        raise Unavailable from error


class _Worker:
    """One process, used by one job at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.jobs = 0

    async def exchange(
        self, head: bytes, contents: Sequence[bytes], sizes_of: SizesOf, most_bytes: int
    ) -> tuple[bytes, list[bytes]]:
        self.jobs += 1
        jobs, answers = self.process.stdin, self.process.stdout
        if jobs is None or answers is None:
            raise EOFError
        jobs.write(framed(head))
        for content in contents:
            jobs.write(content)
        await jobs.drain()
        length = int.from_bytes(await answers.readexactly(LENGTH_BYTES), "big")
        if length > _HEAD_BYTES:
            raise EOFError
        answer = await answers.readexactly(length)
        try:
            sizes = sizes_of(answer)
        except Exception as error:  # whatever it is, no worker of ours says that
            raise EOFError from error
        if sum(sizes) > most_bytes or any(size < 0 for size in sizes):
            raise EOFError
        return answer, [await answers.readexactly(size) for size in sizes]

    async def stop(self) -> None:
        """End the process and wait until it is gone."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


class WorkerPool:
    """`workers` processes of `command` at most, each for `jobs_per_process` jobs.

    A job lasts `limit_seconds` at most, by the wall clock (the worker should end itself then; a second later it is killed), and
    its answer carries `most_bytes` at most. `greeting` is the first head that a new process gets.
    """

    def __init__(
        self,
        command: Sequence[str],
        sizes_of: SizesOf,
        *,
        name: str,
        limit_seconds: float,
        jobs_per_process: int,
        most_bytes: int,
        workers: int | None = None,
        greeting: bytes | None = None,
    ) -> None:
        self._command = command
        self._sizes_of = sizes_of
        self._name = name
        self._limit_seconds = limit_seconds
        self._jobs_per_process = jobs_per_process
        self._most_bytes = most_bytes
        self._greeting = greeting
        self._places = asyncio.Semaphore(workers or max(1, min(2, os.cpu_count() or 1)))
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._closed = False

    async def run(self, head: bytes, contents: Sequence[bytes] = ()) -> tuple[bytes, list[bytes]]:
        """The answer's head and contents. A process that dies of the job is replaced and the job tried once more: only what
        kills a fresh process too is surely to blame. Raises JobDied, JobOverdue, or Unavailable."""
        async with self._places:
            for _ in range(_TRIES):
                try:
                    return await self._try(head, contents)
                except JobDied:
                    log.warning("worker.died", worker=self._name)
                    if self._closed:
                        raise Unavailable from None
            raise JobDied

    async def warm(self) -> None:
        """Have a process ready before the first job. Not needed; it saves that job a second."""
        if not self._idle and not self._busy and not self._closed:
            async with self._places:
                await self._give_back(await self._take())

    async def close(self) -> None:
        """End all processes; jobs under way are refused."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(worker.stop() for worker in [*idle, *self._busy]))

    def pids(self) -> list[int]:
        """The processes that live now."""
        return sorted(worker.process.pid for worker in [*self._idle, *self._busy])

    async def _try(self, head: bytes, contents: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
        worker, done = await self._take(), False
        try:
            exchange = worker.exchange(head, contents, self._sizes_of, self._most_bytes)
            answer = await asyncio.wait_for(exchange, self._limit_seconds + 1)
            done = True
            return answer
        except TimeoutError:
            log.warning("worker.overdue", worker=self._name)
            raise JobOverdue from None
        except (OSError, EOFError) as error:
            raise JobDied from error
        finally:
            await asyncio.shield(self._give_back(worker, broken=not done))

    async def _take(self) -> _Worker:
        """An idle process, or a new one."""
        if self._closed:
            raise Unavailable
        while self._idle:
            worker = self._idle.pop()
            if self._is_usable(worker):
                break
            await worker.stop()
        else:
            worker = _Worker(await start_process(self._command, self._name))
            if self._greeting is not None and worker.process.stdin is not None:
                worker.process.stdin.write(framed(self._greeting))
        self._busy.add(worker)
        return worker

    async def _give_back(self, worker: _Worker, *, broken: bool = False) -> None:
        self._busy.discard(worker)
        if broken or self._closed or not self._is_usable(worker):
            await worker.stop()
        else:
            self._idle.append(worker)

    def _is_usable(self, worker: _Worker) -> bool:
        return worker.process.returncode is None and worker.jobs < self._jobs_per_process
