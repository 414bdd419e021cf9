"""Pages are drawn by worker processes (`ehr_view.worker`). A page that kills or stalls its process is refused."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog

from ehr_view.errors import RecordIdentityMismatch, RecordNotDrawable
from ehr_view.ports import Drawing, ImageFormat, Mark, Page, Picture, Theme
from server.kernel.errors import Unavailable
from server.kernel.workers import JobDied, JobOverdue, WorkerPool

log = structlog.get_logger(__name__)

_PAGE_BYTES: Final = 64 * 1024 * 1024
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
        self._pool = WorkerPool(
            command or (sys.executable, "-m", "ehr_view.worker", str(memory_bytes), str(limit_seconds)),
            lambda head: (msgspec.json.decode(head, type=_Answer).size,),
            name="painter",
            workers=workers,
            limit_seconds=limit_seconds,
            jobs_per_process=_PAGES_PER_PROCESS,
            most_bytes=_PAGE_BYTES,
            greeting=msgspec.json.encode({"key": key.hex()}),
        )
        self._waiting = 0

    async def warm(self) -> None:
        """Have a process ready before the first page."""
        with suppress(Unavailable):  # a page that is wanted will say so
            await self._pool.warm()

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
            said, (data,) = await self._pool.run(head, pictures)
        except (JobDied, JobOverdue) as error:
            log.error("records.page_not_drawn", error=type(error).__name__)  # noqa: TRY400 - the page's fault, not a bug's trace
            raise RecordNotDrawable from None
        finally:
            self._waiting -= 1
        answer = msgspec.json.decode(said, type=_Answer)
        if answer.refused:
            log.error("records.page_refused", reason=answer.refused, detail=answer.detail)
            raise RecordIdentityMismatch if answer.refused == "strange" else RecordNotDrawable
        return Page(data, form, answer.width, answer.height)

    async def close(self) -> None:
        """End all processes; pages under way are refused."""
        await self._pool.close()

    def worker_pids(self) -> list[int]:
        """The processes that live now."""
        return self._pool.pids()


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
