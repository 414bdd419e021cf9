"""Celery beat: asks for the periodic jobs. It knows their names and intervals, and loads nothing else of the product."""

import asyncio
from typing import TYPE_CHECKING

import accounts.tasks
import admin_console.tasks
import billing.reconciliation.tasks
import billing.tasks
import im.push.tasks
import media.tasks
from server.app.celery_app import make_celery, schedule
from server.app.embedded import databases
from server.app.notify import notify_ready
from server.app.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

EVERY = {
    **accounts.tasks.EVERY,
    **billing.tasks.EVERY,
    **billing.reconciliation.tasks.EVERY,
    **media.tasks.EVERY,
    **im.push.tasks.EVERY,
    **admin_console.tasks.EVERY,
}


def beat_until_stopped(settings: Settings) -> int:
    """Ask until stopped. Two beats ask twice, which jobs take without harm."""
    return asyncio.run(_beat(settings))


async def _beat(settings: Settings) -> int:
    async with databases(settings) as found:
        app = make_celery(found.redis_url)
        schedule(app, EVERY)
        await asyncio.to_thread(_run, app)
    return 0


def _run(app: "Celery") -> None:
    from server.app.steady_beat import SteadyScheduler

    notify_ready()
    app.Beat(loglevel="WARNING", scheduler=SteadyScheduler, quiet=True).run()
