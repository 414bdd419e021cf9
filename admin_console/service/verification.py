"""`yunzhen audit verify`: all of history against all checkpoints."""

from typing import Final

from admin_console.domain.verification import (
    AUDIT,
    LOG,
    CheckpointWalk,
    CollectionWalk,
    Report,
    Seen,
    compare_places,
)
from admin_console.ports import Archive, CheckpointFile
from server.kernel.clock import Clock

_GRACE_MS: Final = 5 * 60 * 1000
"""A checkpoint younger than this may stand in the database alone: the keeper is about to carry it out."""


class Verifier:
    """Needs the public key only, and no key of any content. Checkpoints are read before the streams, so that what is written
    meanwhile is behind them and does no harm."""

    def __init__(self, archive: Archive, file: CheckpointFile, public_key: bytes, clock: Clock) -> None:
        self._archive = archive
        self._file = file
        self._public_key = public_key
        self._clock = clock

    async def verify(self, file: CheckpointFile | None = None) -> Report:
        """`file`: checkpoints that were kept elsewhere, instead of this host's. Memory grows with the number of heads in the
        checkpoints, not with the number of items."""
        report, seen = Report(), Seen()
        await self._walk_checkpoints(file or self._file, report, seen)
        for kind in (AUDIT, LOG):
            walk = CollectionWalk(kind, seen, report)
            async for document in self._archive.documents(kind):
                walk.step(document)
            walk.end()
        return report

    async def _walk_checkpoints(self, file: CheckpointFile, report: Report, seen: Seen) -> None:
        inside = CheckpointWalk("database", self._public_key, seen, report)
        outside = CheckpointWalk("file", self._public_key, seen, report)
        young: set[int] = set()
        line = 0
        async for checkpoint in file.lines():
            line += 1
            if checkpoint is None:
                outside.unreadable(line)
            else:
                outside.step(checkpoint)
        line = 0
        async for checkpoint in self._archive.checkpoints():
            line += 1
            if checkpoint is None:
                inside.unreadable(line)
                continue
            inside.step(checkpoint)
            if self._clock.now_ms() - checkpoint.at_ms < _GRACE_MS:
                young.add(checkpoint.number)
        report.checkpoints = len(inside.hashes.keys() | outside.hashes.keys())
        compare_places(outside, inside, grace=frozenset(young))
