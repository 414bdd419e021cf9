"""Which sessions have a socket in this process, told to the database so that whoever pushes knows, wherever it runs.

Changes are told together a few times a second; a process that dies is forgotten when its beat stops.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog
from pymongo.errors import PyMongoError

from im.push.ports import SubscriptionRepository
from server.kernel.clock import Clock
from server.kernel.errors import Unavailable
from server.kernel.ids import new_id

log = structlog.get_logger(__name__)

_TICK_SECONDS: Final = 0.25
_BEAT_SECONDS: Final = 4.0
_ALIVE: Final = timedelta(seconds=15)
_REPEAT_SECONDS: Final = 10.0
"""For so long a session that came is told again: it may have been quicker than the note of where it is reached."""


class DeviceWatch:
    """`went` is called with the subscriptions of sessions that have no socket here any more."""

    def __init__(
        self, subscriptions: SubscriptionRepository, clock: Clock, went: Callable[[Sequence[str]], Awaitable[None]]
    ) -> None:
        self._subscriptions = subscriptions
        self._clock = clock
        self._went = went
        self._id = new_id()
        self._here: dict[str, float] = {}
        self._gone: set[str] = set()
        self._told_at = self._beat_at = 0.0
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def presence(self, session_id: str, here: bool) -> None:
        """The hub's: the session's first socket came, or its last went."""
        if here:
            self._here[session_id] = asyncio.get_running_loop().time()
            self._gone.discard(session_id)
        else:
            self._here.pop(session_id, None)
            self._gone.add(session_id)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="device-watch")

    async def close(self) -> None:
        """Say that nobody is here any more."""
        self._over.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
            await self._quietly(self._farewell)

    async def _run(self) -> None:
        while not self._over.is_set():
            await self._quietly(self.flush)
            try:
                await asyncio.wait_for(self._over.wait(), _TICK_SECONDS)
            except TimeoutError:
                continue

    async def flush(self) -> None:
        """Tell what changed, and that we live."""
        now = asyncio.get_running_loop().time()
        if now >= self._beat_at:
            await self._subscriptions.beat(self._id, self._clock.now() + _ALIVE)
            self._beat_at = now + _BEAT_SECONDS
        fresh = [session_id for session_id, at in self._here.items() if at >= self._told_at - _REPEAT_SECONDS]
        gone, self._gone = self._gone, set()
        try:
            if fresh:
                await self._subscriptions.connected(self._id, fresh)
            if gone:
                found = await self._subscriptions.disconnected(self._id, gone, self._clock.now())
                if found:
                    await self._went(found)
        except BaseException:
            self._gone |= gone - self._here.keys()
            raise
        self._told_at = now

    async def _farewell(self) -> None:
        self._gone |= set(self._here)
        self._here.clear()
        await self.flush()

    async def _quietly(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (PyMongoError, Unavailable) as error:  # by a wrong clock a dead process would count as alive for days
            log.warning("push.watch_failed", error=type(error).__name__)
