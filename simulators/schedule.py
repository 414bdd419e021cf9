"""What a stand-in does later: actions by instant of the injected clock, so that tests turn time instead of waiting."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

import structlog

from server.kernel.clock import Clock

log = structlog.get_logger(__name__)

Action = Callable[[], Awaitable[None]]

_LOOK_SECONDS: Final = 0.05


class Schedule:
    """Runs actions when their instant has come, each in a task of its own. `run` is the loop; cancel it to stop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Action]] = []
        self._order = count()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def at(self, due_ms: int, action: Action) -> None:
        heapq.heappush(self._heap, (due_ms, next(self._order), action))
        self._wake.set()

    async def run(self) -> None:
        try:
            while True:
                self._start_due()
                await self._pause()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start_due(self) -> None:
        now_ms = self._clock.now_ms()
        while self._heap and self._heap[0][0] <= now_ms:
            _, _, action = heapq.heappop(self._heap)
            task = asyncio.create_task(_quietly(action))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pause(self) -> None:
        """Until something new is planned, or the next look is due."""
        self._wake.clear()
        try:
            async with asyncio.timeout(_LOOK_SECONDS if self._heap else None):
                await self._wake.wait()
        except TimeoutError:
            pass


async def _quietly(action: Action) -> None:
    try:
        await action()
    except Exception:  # an action's failure must not stop the world outside
        log.exception("simulators.action_failed")
