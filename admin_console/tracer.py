"""A tracing process for each picture: whatever the picture does to it, it does to nothing else."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from admin_console.domain.traces import Findings, Hint
from admin_console.errors import REFUSALS, LeakPictureDamaged
from server.kernel.errors import Unavailable
from server.kernel.workers import framed, start_process

log = structlog.get_logger(__name__)

MEMORY_BYTES: Final = 3 * 1024**3
LIMIT_SECONDS: Final = 20
_ANSWER_BYTES: Final = 64 * 1024
_WAITING: Final = 4


class _Found(msgspec.Struct, frozen=True):
    view_id: int
    confidence: float
    checked: bool


class _Answer(msgspec.Struct, frozen=True):
    found: tuple[_Found, ...] = ()
    width: int = 0
    height: int = 0
    refused: str = ""


class ProcessReader:
    """Implements `ports.MarkReader`. `key` is the forensic mark's. One picture at a time; a few may wait."""

    def __init__(
        self,
        key: bytes,
        *,
        limit_seconds: int = LIMIT_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        command: Sequence[str] | None = None,
    ) -> None:
        self._key = key
        self._limit_seconds = limit_seconds
        self._command = command or (sys.executable, "-m", "watermark.tracing", str(memory_bytes), str(limit_seconds))
        self._place = asyncio.Semaphore(1)
        self._waiting = 0

    async def read(self, picture: bytes, issued: Sequence[int]) -> Findings:
        if self._waiting >= _WAITING:
            raise Unavailable
        self._waiting += 1
        try:
            async with self._place:
                answer = await self._ask(picture, issued)
        finally:
            self._waiting -= 1
        if answer.refused:
            raise REFUSALS.get(answer.refused, LeakPictureDamaged)
        hints = [Hint(found.view_id, found.confidence, found.checked) for found in answer.found]
        return Findings(hints, answer.width, answer.height)

    async def _ask(self, picture: bytes, issued: Sequence[int]) -> _Answer:
        """A process that dies or stalls was killed by the picture."""
        head = msgspec.json.encode({"key": self._key.hex(), "issued": [f"{view_id:x}" for view_id in issued]})
        process = await start_process(self._command, "tracer")
        try:
            said, _ = await asyncio.wait_for(process.communicate(framed(head) + picture), self._limit_seconds + 1)
            if process.returncode != 0 or len(said) > _ANSWER_BYTES:
                raise EOFError
            return msgspec.json.decode(said, type=_Answer)
        except (TimeoutError, OSError, EOFError, msgspec.DecodeError) as error:
            log.warning("leak.tracer_failed", error=type(error).__name__, code=process.returncode)
            raise LeakPictureDamaged from None
        finally:
            await asyncio.shield(_gone(process))


async def _gone(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
