"""The processes without a face: the keeper and Celery's worker."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

import structlog

from server.app.embedded import databases
from server.app.hl7 import listening
from server.app.keeper import Keeper, Sweep
from server.app.migrations import until_current
from server.app.notify import notify_ready
from server.app.settings import Settings
from server.app.wiring import Addresses, Product, product

log = structlog.get_logger(__name__)

_OUTBOX_PATIENCE: Final = timedelta(seconds=3)
"""Whoever wrote an event delivers it; what is older than this was left by a crash."""

_NICENESS: Final = 5
"""Where the processor is short, storing messages goes before what follows from them: the keeper still has a quarter of a core
that others want whole."""

_START_SECONDS: Final = 60.0
_CONCURRENCY: Final = 4


async def keep_until_stopped(settings: Settings) -> int:
    """Follow the log and sweep while the lease is ours, until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with (
        databases(settings) as found,
        product(settings, Addresses(found.mongo_url, found.redis_url), listens=False) as made,
    ):
        if not await until_current(made.database, stop):
            return 0
        os.nice(_NICENESS)
        files = Sweep("checkpoint-files", timedelta(minutes=1), made.checkpoints.carry_out)
        keeper = Keeper(made.leases, made.clock_guard, _sweeps(settings, made), _follow(made), always=[files])
        async with listening(settings, made.intake):
            notify_ready()
            await keeper.run(stop)
    return 0


def _follow(made: Product) -> Callable[[], Awaitable[None]]:
    async def follow() -> None:
        await made.follower.run([made.consult.projection, made.search_terms])

    return follow


def _sweeps(settings: Settings, made: Product) -> list[Sweep]:
    deadlines = made.consult.deadlines

    async def deliver() -> int:
        return await made.relay.sweep(made.clock.now() - _OUTBOX_PATIENCE)

    polled = [Sweep("critical-results", settings.critical_poll, made.watch.run)] if settings.critical_poll else []
    return [
        *polled,
        Sweep("expire", settings.sweep_interval, deadlines.expire_due, timed=True),
        Sweep("settle", settings.sweep_interval, deadlines.settle_due, timed=True),
        Sweep("silent", timedelta(seconds=5), deadlines.return_silent, timed=True),
        Sweep("unpaid", settings.sweep_interval, deadlines.cancel_unpaid, timed=True),
        Sweep("reminders", settings.sweep_interval, made.consult.reminders.sweep, timed=True),
        Sweep("critical", settings.sweep_interval, made.critical.escalate_due, timed=True),
        Sweep("places", timedelta(minutes=1), deadlines.free_places, timed=True),
        Sweep("outboxes", timedelta(seconds=1), deliver),
        Sweep("checkpoints", timedelta(minutes=1), made.checkpoints.run),
    ]


def work_until_stopped(settings: Settings) -> int:
    """A Celery worker of threads, whose jobs run on one event loop beside them."""
    from celery.signals import worker_ready

    from server.app.celery_app import JobLoop, make_celery, register

    loop = JobLoop()
    stack = AsyncExitStack()

    async def open_product() -> Product:
        found = await stack.enter_async_context(databases(settings))
        addresses = Addresses(found.mongo_url, found.redis_url)
        made = await stack.enter_async_context(product(settings, addresses, listens=False))
        await until_current(made.database)
        broker.append(addresses.redis_url)
        return made

    broker: list[str] = []
    made: Product = loop.call(open_product(), seconds=_START_SECONDS)
    app = make_celery(broker[0])
    register(app, loop, {job.name: job for job in made.jobs}, made.clock_guard.is_ok)
    worker_ready.connect(_say_ready, weak=False)
    try:
        app.worker_main(
            ["worker", "--pool=threads", f"--concurrency={_CONCURRENCY}", "--loglevel=WARNING", "--without-gossip",
             "--without-mingle", "--without-heartbeat"]
        )  # fmt: skip
    except SystemExit as ended:
        log.info("worker.ended", code=ended.code)
    finally:
        loop.call(stack.aclose(), seconds=_START_SECONDS)
        loop.stop()
    return 0


def _say_ready(**_: object) -> None:
    notify_ready()
