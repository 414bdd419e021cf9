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


class Keeper:
    def __init__(
        self,
        leases: Leases,
        clock_guard: ClockGuard,
        sweeps: Sequence[Sweep],
        follow: Callable[[], Awaitable[None]],
    ) -> None:
        self._leases = leases
        self._clock_guard = clock_guard
        self._sweeps = sweeps
        self._follow = follow
        self._holder = new_id()

    async def run(self, stop: asyncio.Event) -> None:
        """Lead whenever the lease can be had, until told to stop."""
        while not stop.is_set():
            if await self._acquire():
                log.info("keeper.leading", holder=self._holder)
                LEADING.set(1)
                try:
                    await self._lead(stop)
                finally:
                    LEADING.set(0)
            await _pause(stop, _RETRY_SECONDS)
        try:
            await self._leases.release(LEASE, self._holder)
        except PyMongoError as error:
            log.warning("keeper.release_failed", error=type(error).__name__)

    async def _lead(self, stop: asyncio.Event) -> None:
        work = [
            asyncio.create_task(self._renew(stop), name="keeper-lease"),
            asyncio.create_task(self._keep_following(stop), name="keeper-follower"),
            *(asyncio.create_task(self._repeat(sweep, stop), name=f"sweep-{sweep.name}") for sweep in self._sweeps),
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled() and (failure := task.exception()) is not None:
                    log.error("keeper.stopped_leading", error=type(failure).__name__, task=task.get_name())
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _acquire(self) -> bool:
        try:
            return await self._leases.acquire(LEASE, self._holder, _TTL)
        except PyMongoError as error:
            log.warning("keeper.lease_failed", error=type(error).__name__)
            return False

    async def _renew(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        held_until = loop.time() + _TTL.total_seconds()
        while not stop.is_set():
            await _pause(stop, _RENEW_SECONDS)
            asked = loop.time()
            if await self._acquire():
                held_until = asked + _TTL.total_seconds()
            elif loop.time() >= held_until:
                raise LeaseLost

    async def _keep_following(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._follow()
            except Exception:  # whatever it is, it is followed again from the stored place
                log.exception("keeper.follower_failed")
                SWEEP_FAILURES.labels("follower").inc()
            await _pause(stop, 1.0)

    async def _repeat(self, sweep: Sweep, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                if not sweep.timed or await self._clock_guard.check():
                    SWEPT.labels(sweep.name).inc(await sweep.run())
                if self._clock_guard.skew is not None:
                    CLOCK_SKEW.set(self._clock_guard.skew.total_seconds())
            except Exception:  # the next round tries again; a sweep must never end
                log.exception("keeper.sweep_failed", sweep=sweep.name)
                SWEEP_FAILURES.labels(sweep.name).inc()
            await _pause(stop, sweep.every.total_seconds())


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than until told to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
