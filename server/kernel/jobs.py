"""Background work, as data: what a worker can be asked to do, and how often it is asked anyway.

A package's `tasks.py` has `jobs(service) -> list[Job]`; `server.app` makes each a Celery task on the worker's own event loop.
A request for a job is a hint that may be lost: the row in MongoDB that the work is about is the truth, and a periodic job finds
what a lost hint left.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Job:
    """`handler` takes ids (strings) only. `every` makes it periodic; a run that could not start by then is dropped."""

    name: str
    summary: str
    handler: Callable[..., Awaitable[None]]
    every: timedelta | None = None


class JobQueue(Protocol):
    """Asks for a job soon. Never raises: the broker may be down."""

    def request(self, name: str, *arguments: str) -> None: ...
