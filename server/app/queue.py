"""Asking for background jobs over the broker."""

import asyncio
import threading
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from celery import Celery

log = structlog.get_logger(__name__)

_CLOSE_SECONDS: Final = 2.0


class CeleryQueue:
    """`JobQueue` over Celery: asks in a thread of its own and never raises, since the request is only a hint. Celery is loaded
    at the first request: a server that has just started has better things to do."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._app: Celery | None = None
        self._pending: set[asyncio.Future[None]] = set()
        self._making = threading.Lock()

    def request(self, name: str, *arguments: str) -> None:
        asking = asyncio.get_running_loop().run_in_executor(None, self._send, name, arguments)
        self._pending.add(asking)
        asking.add_done_callback(self._pending.discard)

    async def close(self) -> None:
        if self._pending:
            await asyncio.wait(set(self._pending), timeout=_CLOSE_SECONDS)

    def _send(self, name: str, arguments: tuple[str, ...]) -> None:
        from server.app.celery_app import TASK, make_celery

        with self._making:
            self._app = self._app or make_celery(self._broker_url)
        try:
            self._app.send_task(TASK, args=(name, *arguments), retry=False, ignore_result=True)
        except Exception as error:  # whatever the broker's client raises: the sweep finds the row
            log.warning("jobs.request_failed", job=name, error=type(error).__name__)
