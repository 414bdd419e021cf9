"""How often one address may be wrong: about codes, passwords and one-time codes alike, whoever they are said to be of.

The limits of a phone and of a user name keep each of them from being guessed. This one keeps somebody who tries many of them
from filling the audit, and from keeping the processors busy with passwords: beyond it nothing is judged and nothing written.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from accounts.domain.codes import whole_seconds
from accounts.ports import LimitRepository
from server.kernel.actor import Actor, network_of
from server.kernel.clock import Clock
from server.kernel.errors import DomainError, ErrorKind, RequestRateLimited
from server.kernel.settings import Rate

BY_ADDRESS: Final = "guess_address"
_WRONG: Final = frozenset({ErrorKind.UNAUTHENTICATED, ErrorKind.FORBIDDEN, ErrorKind.RATE_LIMITED})


@asynccontextmanager
async def guess(limits: LimitRepository, actor: Actor, rate: Rate, clock: Clock) -> AsyncIterator[None]:
    """Judge one try inside. Taken before it is judged, so that many at once are not more than the limit, and given back unless
    it was wrong. Raises RequestRateLimited."""
    now, network = clock.now(), network_of(actor.address)
    wait = await limits.take(BY_ADDRESS, network, rate, now=now)
    if wait is not None:
        raise RequestRateLimited(retry_after_seconds=whole_seconds(wait))
    try:
        yield
    except DomainError as error:
        if error.kind not in _WRONG:
            await limits.give_back(BY_ADDRESS, network, rate, taken_at=now)
        raise
    await limits.give_back(BY_ADDRESS, network, rate, taken_at=now)
