"""Celery beat by a clock that nobody can set.

Celery's own scheduler reckons with the machine's date, and keeps what it reckoned in a file: a date that was days ahead for a
moment keeps every job from being asked for until that day, across restarts. And a request that expires does so by the clocks
of two machines: a beat that is behind asks for nothing but what is over already. So here a job is due when its interval has
passed by the monotonic clock, nothing is kept, and what bounds the heap before a stopped worker is its length.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from celery.beat import Scheduler

log = structlog.get_logger(__name__)

MOST_WAITING: Final = 500
"""Requests that wait. Beyond it nothing is asked for: no worker listens, or all have more to do than they can."""


class SteadyScheduler(Scheduler):  # type: ignore[misc]
    """Asks for each job at once and then at its interval. What fell into a pause (frozen, asleep) is asked for once.

    All are asked for at the start, since a beat that is started again and again would else never get to what is rare.
    """

    def __init__(self, *arguments: Any, monotonic: Callable[[], float] = time.monotonic, **options: Any) -> None:
        self._monotonic = monotonic
        self._due: dict[str, float] = {}
        super().__init__(*arguments, **options)

    def tick(self, *_: Any, **__: Any) -> float:
        """Ask for whatever is due; the seconds until the next."""
        for name, entry in self.schedule.items():
            now = self._monotonic()
            if self._due.get(name, now) <= now:
                self._due[name] = now + entry.schedule.run_every.total_seconds()
                self.apply_entry(entry, producer=None)
        return float(min(max(0.0, min(self._due.values()) - self._monotonic()), self.max_interval))

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Ask, if there is room. A broker that does not answer is asked again next time: a request is only a hint."""
        try:
            channel = self.producer.channel
            if channel.client.llen(self.app.conf.task_default_queue) >= MOST_WAITING:
                log.warning("beat.heap", job=entry.name)
                return
            self.apply_async(entry, producer=self.producer, advance=False)
        except Exception as error:  # whatever the broker's client raises
            log.warning("beat.not_asked", job=entry.name, error=type(error).__name__)
