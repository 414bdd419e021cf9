"""Many of the same, a few at once: what a worker does with everything that is due."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

AT_ONCE: Final = 8


async def for_each(items: Iterable[T], handle: Callable[[T], Awaitable[None]]) -> None:
    """Handle all of them; none is left running at the end. What one of them raised is raised after all were tried."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def in_turn(item: T) -> None:
        async with slots:
            await handle(item)

    for outcome in await asyncio.gather(*(in_turn(item) for item in items), return_exceptions=True):
        if outcome is not None:
            raise outcome
