"""Does to the stage what the plan says, and takes it back when its time is over."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import redis.asyncio as redis
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from tests.chaos.plan import Fault, Step, Victim
from tests.chaos.skewed import set_clock
from tests.chaos.stage import KEEPERS, Part, Stage

_DAY_SECONDS: Final = 86_400
_PATIENCE_SECONDS: Final = 12.0
_FILLER: Final = "filler"
_STARVING_SECONDS: Final = 20.0
_NOISE_BYTES: Final = 16_384


class NotDone(Exception):
    """This fault could not be brought about. The text says why."""


class Faults:
    """What is under way on a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lasting: list[asyncio.Task[None]] = []
        self.starved = 0
        """Members that died because their disk was full."""

    async def bring(self, step: Step) -> str:
        """Bring it about; who it was. What lasts goes on behind. Raises NotDone."""
        if step.victim is Victim.CHECKPOINTS:
            self._last(step, await self._fill(self._stage.checkpoints))
            return "checkpoints"
        part = await self._found(step.victim)
        if part is None:
            raise NotDone("there was none just then")
        match step.fault:
            case Fault.KILL:
                if not part.send(signal.SIGKILL):
                    raise NotDone("it was dead already")
            case Fault.STEP_DOWN:
                await _step_down(part)
            case Fault.FLUSH:
                await _flush(part)
            case Fault.FREEZE:
                if not part.send(signal.SIGSTOP):
                    raise NotDone("it was dead already")
                self._last(step, lambda: part.send(signal.SIGCONT))
            case Fault.FILL:
                assert part.disk is not None, "only members have a disk"
                undo = await self._fill(part.disk)
                self._lasting.append(asyncio.create_task(self._starve(part, step.lasts_seconds, undo)))
            case Fault.CLOCK:
                assert part.clock is not None, "only parts of the product have a clock of their own"
                file = part.clock
                set_clock(file, step.days * _DAY_SECONDS)
                self._last(step, lambda: set_clock(file, 0))
        return part.name

    async def over(self) -> None:
        """Until all that lasts has ended."""
        await asyncio.gather(*self._lasting)
        self._lasting.clear()

    def _last(self, step: Step, undo: Callable[[], object]) -> None:
        async def last() -> None:
            try:
                await asyncio.sleep(step.lasts_seconds)
            finally:
                undo()

        self._lasting.append(asyncio.create_task(last()))

    async def _starve(self, part: Part, seconds: float, undo: Callable[[], object]) -> None:
        """Until the member died of it, and so many seconds more, in which it cannot start. Others who write to the same set see
        to it that it notices soon."""
        child = part.child
        client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(
            self._stage.environment["YZ_MONGO_URL"], serverSelectionTimeoutMS=1_000, w=1
        )
        try:
            async with asyncio.timeout(_STARVING_SECONDS):
                while child is not None and child.exit_code is None:
                    with contextlib.suppress(PyMongoError):
                        await client["others"]["noise"].insert_one({"noise": os.urandom(_NOISE_BYTES)})
                    await asyncio.sleep(0.05)
            self.starved += 1
            await asyncio.sleep(seconds)
        except TimeoutError:
            return
        finally:
            undo()
            await client.close()

    async def _fill(self, disk: Path) -> Callable[[], object]:
        """Take all room that there is on a disk of its own."""
        if disk not in self._stage.mounted:
            raise NotDone("no disk of its own: mounting one needs root")
        filler = disk / _FILLER
        await asyncio.to_thread(_grow, filler)
        return lambda: filler.unlink(missing_ok=True)

    async def _found(self, victim: Victim) -> Part | None:
        """Whoever it is, when somebody is: after a death there may be no leader for a while."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE_SECONDS
        while (part := await self._who(victim)) is None and loop.time() < until:
            await asyncio.sleep(0.2)
        return part

    async def _who(self, victim: Victim) -> Part | None:
        stage = self._stage
        if victim in (Victim.PRIMARY, Victim.SECONDARY):
            primary = await stage.primary()
            if victim is Victim.PRIMARY:
                return primary
            return next((m for m in stage.members() if m is not primary), None)
        if victim in (Victim.LEADING_KEEPER, Victim.OTHER_KEEPER):
            leading = await stage.leading_keeper()
            if victim is Victim.LEADING_KEEPER:
                return leading
            return next((stage.parts[name] for name in KEEPERS if stage.parts[name] is not leading), None)
        return stage.parts[victim.value]


def _grow(filler: Path) -> None:
    """Until not a page is left."""
    with filler.open("ab") as file:
        for size in (1 << 20, 1 << 12):
            block = bytes(size)
            with contextlib.suppress(OSError):
                while os.write(file.fileno(), block) == size:
                    pass


async def _step_down(part: Part) -> None:
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(
        f"mongodb://127.0.0.1:{part.port}/?directConnection=true", serverSelectionTimeoutMS=3_000
    )
    try:
        await client.admin.command({"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 1, "force": True})
    except PyMongoError as error:
        raise NotDone(type(error).__name__) from None
    finally:
        await client.close()


async def _flush(part: Part) -> None:
    client = redis.Redis(port=part.port, socket_timeout=2, socket_connect_timeout=2)
    try:
        flushing: Awaitable[object] = client.flushall()
        await flushing
    except (RedisError, OSError) as error:
        raise NotDone(type(error).__name__) from None
    finally:
        await client.aclose()
