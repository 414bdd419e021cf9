"""What probes and operators ask: alive, ready, metrics."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pymongo.errors import PyMongoError

from server.app.migrations import is_current
from server.kernel.clock_guard import ClockGuard
from server.kernel.mongo import Database

_SECONDS = 2.0
_FRESH_SECONDS = 1.0

_Facts = tuple[bool | None, bool | None]


class Health:
    """`redis_ok` says whether live events cross processes: without it the product works, more slowly. `elapsed` is a clock that
    is never set back, in seconds."""

    def __init__(
        self,
        database: Database,
        clock_guard: ClockGuard,
        redis_ok: Callable[[], bool],
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock_guard = clock_guard
        self._redis_ok = redis_ok
        self._elapsed = elapsed
        self._asking: asyncio.Task[_Facts] | None = None
        self._asked_at = 0.0
        self.stopping = False

    async def healthz(self, _: web.Request) -> web.Response:
        """200 while the process lives."""
        return _json({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        """200 when MongoDB, migrations and the clock are in order; what is merely slower is named.

        Anyone may ask, as often as they like: MongoDB is asked once a second, and all who wait share the answer.
        """
        mongo, clock = await self._facts()
        checks = {
            "mongo": "ok" if mongo is not None else "unreachable",
            "migrations": "ok" if mongo else "behind",
            "clock": "ok" if clock else "skewed",
            "redis": "ok" if self._redis_ok() else "degraded",
            "process": "stopping" if self.stopping else "ok",
        }
        ready = bool(mongo and clock and not self.stopping)
        status = "ready" if ready and checks["redis"] == "ok" else "degraded" if ready else "unavailable"
        return _json({"status": status, "checks": checks}, 200 if ready else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _facts(self) -> _Facts:
        """Whether MongoDB is there and migrated, and whether the clock agrees, as of a second ago at most."""
        if self._asking is None or (self._asking.done() and self._elapsed() - self._asked_at >= _FRESH_SECONDS):
            self._asked_at = self._elapsed()
            self._asking = asyncio.create_task(self._ask_mongo(), name="readiness")
        return await asyncio.shield(self._asking)

    async def _ask_mongo(self) -> _Facts:
        return await asyncio.gather(self._ask(is_current(self._database)), self._ask(self._clock_guard.check()))

    async def _ask(self, question: Awaitable[bool]) -> bool | None:
        """The answer, or None when MongoDB gives none in time."""
        try:
            return await asyncio.wait_for(question, _SECONDS)
        except (PyMongoError, TimeoutError):
            return None


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
