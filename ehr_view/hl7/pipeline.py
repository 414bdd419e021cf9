"""Messages of one connection under way at once: answered in the order in which they came, those of one lane stored one by one.

A sender need not wait for an answer before its next message, and a laboratory that has many results at once does not. Each
message takes several writes that a majority must have, so one after the other would mean waiting for the disk most of the time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

Work = Callable[[], Awaitable[bytes]]
"""Stores a message; its answer."""

AT_ONCE: Final = 16
"""Messages of a connection under way."""


class Pipeline:
    """Used within a task group, which all of it belongs to: the first that fails ends all that are not answered yet."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        answer: Callable[[bytes], Awaitable[None]],
        *,
        most_bytes: int,
        room: asyncio.Semaphore,
        at_once: int = AT_ONCE,
    ) -> None:
        """`most_bytes`: of all messages under way, or one alone that is larger. `room` is shared with other connections."""
        self._group = group
        self._answer = answer
        self._most_bytes = most_bytes
        self._room = room
        self._at_once = at_once
        self._bytes = 0
        self._running = 0
        self._changed = asyncio.Condition()
        self._last: asyncio.Future[None] | None = None
        self._lanes: dict[str, asyncio.Future[None]] = {}

    async def begin(self, work: Work, lanes: Collection[str], size: int) -> None:
        """Wait for a place, then go on with it in the background. Messages are begun in the order in which they came."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._has_place(size))
            self._running += 1
            self._bytes += size
        loop = asyncio.get_running_loop()
        stored, answered = loop.create_future(), loop.create_future()
        before = {self._lanes[lane] for lane in lanes if lane in self._lanes}
        self._lanes.update(dict.fromkeys(lanes, stored))
        previous, self._last = self._last, answered
        self._group.create_task(self._run(work, before, stored, previous, answered, lanes, size), name="hl7-message")

    def _has_place(self, size: int) -> bool:
        return self._running == 0 or (self._running < self._at_once and self._bytes + size <= self._most_bytes)

    async def _run(
        self,
        work: Work,
        before: Collection[asyncio.Future[None]],
        stored: asyncio.Future[None],
        previous: asyncio.Future[None] | None,
        answered: asyncio.Future[None],
        lanes: Collection[str],
        size: int,
    ) -> None:
        """What fails leaves its futures open: who waits for them is ended by the group. What came before it is answered first,
        so that a sender that begins anew is further than it was."""
        for other in before:
            await other
        try:
            async with self._room:
                answer = await work()
        except Exception:
            if previous is not None:
                await previous
            raise
        stored.set_result(None)
        for lane in lanes:
            if self._lanes.get(lane) is stored:
                del self._lanes[lane]
        if previous is not None:
            await previous
        await self._answer(answer)
        answered.set_result(None)
        async with self._changed:
            self._running -= 1
            self._bytes -= size
            self._changed.notify_all()
