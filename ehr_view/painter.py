"""Drawing processes: a few, each with one page at a time, started when first needed, replaced when they die.

A page that kills or stalls its process is refused; it takes no other with it.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from ehr_view.errors import RecordIdentityMismatch, RecordNotDrawable
from ehr_view.ports import Drawing, ImageFormat, Mark, Page, Picture, Theme
from server.kernel.errors import Unavailable

log = structlog.get_logger(__name__)

_LENGTH_BYTES: Final = 4
_HEAD_BYTES: Final = 64 * 1024
_PAGE_BYTES: Final = 64 * 1024 * 1024
_BUFFER_BYTES: Final = 1024 * 1024
_GRACE_SECONDS: Final = 5.0
_PAGES_PER_PROCESS: Final = 2_000
_WAITING_PAGES: Final = 64
MEMORY_BYTES: Final = 3 * 1024**3
LIMIT_SECONDS: Final = 15


class _Answer(msgspec.Struct, frozen=True):
    size: int = 0
    width: int = 0
    height: int = 0
    refused: str = ""
    detail: str = ""


class _Died(Exception):
    """The process ended, or said what no worker says, in the middle of a page."""


class _Overdue(Exception):
    """The page took longer than a page may."""


class _Worker:
    """One process. It is used by one page at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._pages = 0

    @classmethod
    async def start(cls, command: Sequence[str], key: bytes) -> "_Worker":
        environment = {"PYTHONPATH": str(Path(__file__).parent.parent), "MALLOC_ARENA_MAX": "2", "PYTHONSAFEPATH": "1"}
        environment |= {"OPENCV_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
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
            log.warning("records.painter_not_started", error=type(error).__name__)
            raise Unavailable from error
        worker = cls(process)
        worker._send(msgspec.json.encode({"key": key.hex()}), ())
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def usable(self) -> bool:
        return self._process.returncode is None and self._pages < _PAGES_PER_PROCESS

    async def run(self, head: bytes, pictures: Sequence[bytes], limit_seconds: float) -> tuple[_Answer, bytes]:
        """The worker's answer and its bytes. Raises _Died, _Overdue."""
        self._pages += 1
        try:
            return await asyncio.wait_for(self._exchange(head, pictures), limit_seconds)
        except TimeoutError as error:
            raise _Overdue from error
        except (OSError, EOFError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
            raise _Died from error

    def _send(self, head: bytes, pictures: Sequence[bytes]) -> None:
        jobs = self._process.stdin
        if jobs is None:
            raise EOFError
        jobs.write(len(head).to_bytes(_LENGTH_BYTES, "big") + head)
        for picture in pictures:
            jobs.write(picture)

    async def _exchange(self, head: bytes, pictures: Sequence[bytes]) -> tuple[_Answer, bytes]:
        jobs, answers = self._process.stdin, self._process.stdout
        if jobs is None or answers is None:
            raise EOFError
        self._send(head, pictures)
        await jobs.drain()
        length = int.from_bytes(await answers.readexactly(_LENGTH_BYTES), "big")
        if length > _HEAD_BYTES:
            raise EOFError
        answer = msgspec.json.decode(await answers.readexactly(length), type=_Answer)
        if not 0 <= answer.size <= _PAGE_BYTES:
            raise EOFError
        return answer, await answers.readexactly(answer.size)

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


class PagePainter:
    """Implements `ports.Painter`. `key` is the forensic mark's; `workers` processes at most."""

    def __init__(
        self,
        key: bytes,
        *,
        workers: int | None = None,
        limit_seconds: int = LIMIT_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        command: Sequence[str] | None = None,
    ) -> None:
        count = workers or max(1, min(2, os.cpu_count() or 1))
        self._key = key
        self._limit_seconds = limit_seconds
        self._command = command or (sys.executable, "-m", "ehr_view.worker", str(memory_bytes), str(limit_seconds))
        self._places = asyncio.Semaphore(count)
        self._waiting = 0
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._closed = False

    async def warm(self) -> None:
        """Have a process ready before the first page. Not needed; it saves that page a second."""
        if self._idle or self._busy or self._closed:
            return
        with suppress(Unavailable):  # a page that is wanted will say so
            async with self._places:
                await self._give_back(await self._take())

    async def draw(self, drawing: Drawing) -> Page:
        head, pictures = _job(drawing)
        return await self._made(head, pictures, drawing.format)

    async def draw_tile(self, mark: Mark) -> Page:
        head = msgspec.json.encode({"type": "tile", "mark": _mark(mark)})
        return await self._made(head, (), ImageFormat.PNG)

    async def _made(self, head: bytes, pictures: Sequence[bytes], form: ImageFormat) -> Page:
        if self._waiting >= _WAITING_PAGES:
            raise Unavailable
        self._waiting += 1
        try:
            async with self._places:
                answer, data = await self._run(head, pictures, tries=2)
        finally:
            self._waiting -= 1
        if answer.refused:
            log.error("records.page_refused", reason=answer.refused, detail=answer.detail)
            raise RecordIdentityMismatch if answer.refused == "strange" else RecordNotDrawable
        return Page(data, form, answer.width, answer.height)

    async def close(self) -> None:
        """End all processes; pages under way are refused."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(w.stop(at_once=True) for w in [*idle, *self._busy]))

    def worker_pids(self) -> list[int]:
        """The processes that live now, for `/metrics` and for tests."""
        return sorted(w.pid for w in [*self._idle, *self._busy])

    async def _run(self, head: bytes, pictures: Sequence[bytes], *, tries: int) -> tuple[_Answer, bytes]:
        """One page. A process that dies of it is replaced and the page tried once more."""
        worker = await self._take()
        done = False
        try:
            answer = await worker.run(head, pictures, self._limit_seconds + 1)
            done = True
            return answer
        except _Overdue:
            log.error("records.painter_overdue")  # noqa: TRY400 - a limit that was reached, not a bug's trace
            raise RecordNotDrawable from None
        except _Died:
            log.warning("records.painter_died")
            if self._closed:
                raise Unavailable from None
        finally:
            await asyncio.shield(self._give_back(worker, broken=not done))
        if tries > 1:
            return await self._run(head, pictures, tries=tries - 1)
        raise RecordNotDrawable

    async def _take(self) -> _Worker:
        """An idle process, or a new one."""
        if self._closed:
            raise Unavailable
        while self._idle:
            worker = self._idle.pop()
            if worker.usable:
                break
            await worker.stop(at_once=True)
        else:
            worker = await _Worker.start(self._command, self._key)
        self._busy.add(worker)
        return worker

    async def _give_back(self, worker: _Worker, *, broken: bool = False) -> None:
        self._busy.discard(worker)
        if broken or self._closed or not worker.usable:
            await worker.stop(at_once=True)
        else:
            self._idle.append(worker)


def _job(drawing: Drawing) -> tuple[bytes, list[bytes]]:
    """The head of a job and the pictures that follow it, as `ehr_view.worker` reads them."""
    head = {
        "type": "page",
        "sheet": drawing.sheet,
        "subject": drawing.subject,
        "mark": _mark(drawing.mark),
        "width": drawing.width,
        "dark": drawing.theme is Theme.DARK,
        "mime": drawing.format.value,
        "pictures": [{"size": 0} if p is None else _picture_head(p) for p in drawing.pictures],
    }
    return msgspec.json.encode(head), [p.data for p in drawing.pictures if p is not None]


def _mark(mark: Mark) -> dict[str, Any]:
    return {
        "viewer": mark.viewer.name,
        "staff_number": mark.viewer.staff_number,
        "phone_tail": mark.viewer.phone_tail,
        "at": mark.at,
        "order_number": mark.order_number,
        "view_id": mark.view_id,
    }


def _picture_head(picture: Picture) -> dict[str, Any]:
    return {
        "size": len(picture.data),
        "mm_per_pixel": picture.mm_per_pixel,
        "columns": picture.columns,
        "frame": picture.frame,
        "patients": sorted(picture.patients),
    }
