"""The keeper: follows the log, sweeps deadlines, signs checkpoints. Any number may run; the one with the lease leads.

The lease saves work. It is not what makes things right: each sweep's write carries its own guard, so that two leaders for a
moment do no harm.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from pymongo.errors import PyMongoError

from server.app.metrics import CLOCK_SKEW, LEADING, SWEEP_FAILURES, SWEPT
from server.kernel.clock_guard import ClockGuard
from server.kernel.ids import new_id
from server.kernel.leases import Leases

log = structlog.get_logger(__name__)

LEASE: Final = "keeper"
_TTL: Final = timedelta(seconds=6)
_RENEW_SECONDS: Final = 1.5
_RETRY_SECONDS: Final = 1.5


@dataclass(frozen=True, slots=True)
class Sweep:
    """Something done again and again. `run` returns how many rows it decided. `timed`: it judges deadlines, so the clock is
    checked before."""

    name: str
    every: timedelta
    run: Callable[[], Awaitable[int]]
    timed: bool = False


class LeaseLost(Exception):
    """Another keeper may lead now."""


class ClockWrong(Exception):
    """Another keeper should lead now: all that this one could do is wait."""


class Keeper:
    def __init__(
        self,
        leases: Leases,
        clock_guard: ClockGuard,
        sweeps: Sequence[Sweep],
        follow: Callable[[], Awaitable[None]],
        *,
        always: Sequence[Sweep] = (),
    ) -> None:
        """`sweeps` are for whoever leads, `always` for each keeper: what concerns its own host."""
        self._leases = leases
        self._clock_guard = clock_guard
        self._sweeps = sweeps
        self._follow = follow
        self._always = always
        self._holder = new_id()

    async def run(self, stop: asyncio.Event) -> None:
        """Lead whenever the lease can be had, until told to stop. Whose clock is wrong leaves it to others."""
        own = [asyncio.create_task(self._repeat(sweep, stop), name=f"sweep-{sweep.name}") for sweep in self._always]
        try:
            await self._lead_when_possible(stop)
        finally:
            stop.set()
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)
        await self._release()

    async def _lead_when_possible(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if not self._clock_guard.is_wrong() and await self._acquire():
                log.info("keeper.leading", holder=self._holder)
                LEADING.set(1)
                try:
                    await self._lead(stop)
                finally:
                    LEADING.set(0)
            await _pause(stop, _RETRY_SECONDS)

    async def _release(self) -> None:
        try:
            await self._leases.release(LEASE, self._holder)
        except PyMongoError as error:
            log.warning("keeper.release_failed", error=type(error).__name__)

    async def _lead(self, stop: asyncio.Event) -> None:
        """Everything at once, until told to stop or until one part ends, which only the loss of the lease does.

        `over` ends the loops too: a cancellation that meets the driver at a bad moment is lost, so it alone would not do.
        """
        over = asyncio.Event()
        stopping = asyncio.create_task(stop.wait(), name="keeper-stop")
        work = [
            asyncio.create_task(self._renew(over), name="keeper-lease"),
            asyncio.create_task(self._keep_following(over), name="keeper-follower"),
            *(asyncio.create_task(self._repeat(sweep, over), name=f"sweep-{sweep.name}") for sweep in self._sweeps),
        ]
        try:
            done, _ = await asyncio.wait([stopping, *work], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                if not task.cancelled() and (failure := task.exception()) is not None:
                    log.error("keeper.stopped_leading", error=type(failure).__name__, task=task.get_name())
        finally:
            over.set()
            for task in (stopping, *work):
                task.cancel()
            await asyncio.gather(stopping, *work, return_exceptions=True)

    async def _acquire(self) -> bool:
        try:
            return await self._leases.acquire(LEASE, self._holder, _TTL)
        except PyMongoError as error:
            log.warning("keeper.lease_failed", error=type(error).__name__)
            return False

    async def _renew(self, over: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        held_until = loop.time() + _TTL.total_seconds()
        while not over.is_set():
            await _pause(over, _RENEW_SECONDS)
            if self._clock_guard.is_wrong():
                await self._release()
                raise ClockWrong
            asked = loop.time()
            if await self._acquire():
                held_until = asked + _TTL.total_seconds()
            elif loop.time() >= held_until:
                raise LeaseLost

    async def _keep_following(self, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                await self._follow()
            except Exception:  # whatever it is, it is followed again from the stored place
                log.exception("keeper.follower_failed")
                SWEEP_FAILURES.labels("follower").inc()
            await _pause(over, 1.0)

    async def _repeat(self, sweep: Sweep, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                if await self._clock_guard.check() if sweep.timed else self._clock_guard.is_ok():
                    SWEPT.labels(sweep.name).inc(await sweep.run())
                if self._clock_guard.skew is not None:
                    CLOCK_SKEW.set(self._clock_guard.skew.total_seconds())
            except Exception:  # the next round tries again; a sweep must never end
                log.exception("keeper.sweep_failed", sweep=sweep.name)
                SWEEP_FAILURES.labels(sweep.name).inc()
            await _pause(over, sweep.every.total_seconds())


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than until told to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
