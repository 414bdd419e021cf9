"""Celery as the carrier of background jobs: one task that names a job, and one event loop in the worker that runs them.

A worker uses threads, not forks: a job is a coroutine on the worker's own loop with its own clients, so that every rule and
repository exists once. Losing the broker loses hints only; the rows that jobs look for are in MongoDB.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import timedelta
from typing import Any, Final

import structlog
from celery import Celery

from server.kernel.jobs import Job

log = structlog.get_logger(__name__)

TASK: Final = "yunzhen.job"
_JOB_SECONDS: Final = 120
_BROKER_SECONDS: Final = 2


def make_celery(broker_url: str) -> Celery:
    """The app that workers, beat and askers share."""
    app = Celery("yunzhen", broker=broker_url)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_connect_timeout": _BROKER_SECONDS,
            "socket_keepalive": True,
            "visibility_timeout": 600,
        },
        task_default_queue="yunzhen",
        task_routes={},
        timezone="UTC",
    )
    return app


def schedule(app: Celery, every: Mapping[str, timedelta]) -> None:
    """Ask for each periodic job at its interval. No request expires, since that would be judged by the clocks of two machines:
    `SteadyScheduler` bounds the heap. Two beats ask twice, which jobs take without harm."""
    app.conf.beat_schedule = {name: {"task": TASK, "schedule": interval, "args": (name,)} for name, interval in every.items()}


class JobLoop:
    """The worker's event loop, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="jobs", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, Any], *, seconds: float = _JOB_SECONDS) -> Any:
        """Run a coroutine on the loop and wait for it, from another thread."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(seconds)
        except FutureTimeout:
            future.cancel()
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


def register(app: Celery, loop: JobLoop, jobs: Mapping[str, Job], clock_ok: Callable[[], bool] = lambda: True) -> None:
    """Give the one task its meaning: look the job up and run it on the loop. `clock_ok` False: by a wrong clock nothing is
    done, and what is due is asked for again."""

    def run(name: str, *arguments: str) -> None:
        job = jobs.get(name)
        if job is None:
            log.error("jobs.unknown", job=name)
            return
        if not clock_ok():
            log.warning("jobs.clock_wrong", job=name)
            return
        try:
            loop.call(_coroutine(job, arguments))
        except Exception:
            # Logged here and not raised: a job is asked again by its own row, never by the broker.
            log.exception("jobs.failed", job=name)

    app.task(run, name=TASK, ignore_result=True)


async def _coroutine(job: Job, arguments: tuple[str, ...]) -> None:
    await job.handler(*arguments)
