"""What probes and operators ask: alive, ready, metrics."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pymongo.errors import PyMongoError

from server.app.migrations import is_current
from server.kernel.clock_guard import ClockGuard
from server.kernel.mongo import Database

_SECONDS = 2.0


class Health:
    """`redis_ok` says whether live events cross processes: without it the product works, more slowly."""

    def __init__(self, database: Database, clock_guard: ClockGuard, redis_ok: Callable[[], bool]) -> None:
        self._database = database
        self._clock_guard = clock_guard
        self._redis_ok = redis_ok
        self.stopping = False

    async def healthz(self, _: web.Request) -> web.Response:
        """200 while the process lives."""
        return _json({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        """200 when MongoDB, migrations and the clock are in order; what is merely slower is named."""
        mongo, clock = await asyncio.gather(self._ask(is_current(self._database)), self._ask(self._clock_guard.check()))
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

    async def _ask(self, question: Awaitable[bool]) -> bool | None:
        """The answer, or None when MongoDB gives none in time."""
        try:
            return await asyncio.wait_for(question, _SECONDS)
        except (PyMongoError, TimeoutError):
            return None


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
