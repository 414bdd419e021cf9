"""Signs what changed, and gets it out of the database at once."""

import structlog

from admin_console.domain.checkpoints import MOST_HEADS, Checkpoint, Head, Signer, is_signed
from admin_console.ports import CheckpointFile, CheckpointStore, StreamFeed
from server.kernel.clock import Clock

log = structlog.get_logger(__name__)


class Checkpoints:
    """The keeper calls `run` each minute. Two at once do no harm: a number is taken by one, the other gives up its turn."""

    def __init__(self, feed: StreamFeed, store: CheckpointStore, file: CheckpointFile, signer: Signer, clock: Clock) -> None:
        self._feed = feed
        self._store = store
        self._file = file
        self._signer = signer
        self._clock = clock

    async def run(self) -> int:
        """Make checkpoints of all streams that changed since the last. Returns how many were made.

        The place of the feed is stored after them: a crash in between covers the same heads twice, never none.
        """
        changed = await self._feed.changed_since(await self._store.find_place())
        for operation in changed.tampered:
            log.error("checkpoint.history_changed", operation=operation)
        made = await self._sign(changed.heads)
        if made is None:
            return 0
        await self._store.save_place(changed.place)
        await self.carry_out()
        return made

    async def _sign(self, heads: tuple[Head, ...]) -> int | None:
        """None when another keeper took the number."""
        made = 0
        last = await self._last() if heads else None
        ordered = sorted(heads)
        for start in range(0, len(ordered), MOST_HEADS):
            last = self._signer.sign(last, ordered[start : start + MOST_HEADS], self._clock.now_ms())
            if not await self._store.insert(last):
                return None
            made += 1
        return made

    async def _last(self) -> Checkpoint | None:
        """The last one there is. Where the file knows a later one, the database was set back: go on behind the file's."""
        inside, outside = await self._store.find_last(), await self._file.find_last()
        if outside is None or (inside is not None and inside.number >= outside.number):
            return inside
        log.error("checkpoint.database_is_behind", file=outside.number, database=inside.number if inside else 0)
        return outside

    async def carry_out(self) -> int:
        """Append to this host's files what the database has and they have not; how many. Each keeper does so, whether it leads
        or not: so the files are on several hosts, and whole on each. What is not signed by us is not carried on."""
        outside, carried = await self._file.find_last(), 0
        async for checkpoint in self._store.list_after(outside.number if outside else 0):
            if not is_signed(checkpoint, self._signer.public_key):
                log.error("checkpoint.not_ours", number=checkpoint.number)
                break
            await self._file.append(checkpoint)
            carried += 1
        return carried
