"""Uploads are decoded and encoded by worker processes (`media.worker`). One that kills or stalls its process is damaged."""

import sys
from collections.abc import Sequence
from typing import Any, Final

import orjson
import structlog

from media.domain import Encoded, Encoding, Format, MediaKind, Rendition
from media.errors import UPLOAD_REFUSALS, MediaDamaged
from server.kernel.workers import JobDied, JobOverdue, WorkerPool

log = structlog.get_logger(__name__)

_ANSWER_BYTES: Final = 128 * 1024 * 1024
_JOBS_PER_PROCESS: Final = 200
MEMORY_BYTES: Final = 3 * 1024**3
LIMIT_SECONDS: Final = 20


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
        self._pool = WorkerPool(
            command or (sys.executable, "-m", "media.worker", str(memory_bytes), str(limit_seconds)),
            lambda head: [size for _, _, size in orjson.loads(head).get("renditions", ())],
            name="codec",
            workers=workers,
            limit_seconds=limit_seconds,
            jobs_per_process=_JOBS_PER_PROCESS,
            most_bytes=_ANSWER_BYTES,
        )

    async def warm(self) -> None:
        """Have a worker ready before the first upload."""
        await self._pool.warm()

    async def encode(self, data: bytes, found: Format) -> Encoded:
        try:
            said, contents = await self._pool.run(orjson.dumps({"format": found.value, "size": len(data)}), [data])
        except (JobDied, JobOverdue) as error:
            log.warning("media.not_encoded", format=found.value, error=type(error).__name__)
            raise MediaDamaged() from None
        answer: dict[str, Any] = orjson.loads(said)
        if (code := answer.get("refused")) is not None:
            raise UPLOAD_REFUSALS.get(code, MediaDamaged)()
        try:
            return _encoded(answer, contents)
        except (ValueError, KeyError, TypeError) as error:
            raise MediaDamaged() from error

    async def close(self) -> None:
        """End all workers; jobs under way are refused."""
        await self._pool.close()

    def worker_pids(self) -> list[int]:
        """The processes that live now."""
        return self._pool.pids()


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
