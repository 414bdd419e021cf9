"""What people are called, kept for a minute, so that a message needs no look-up on its way out."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import structlog

from im.ports import Names
from server.kernel.clock import Clock

log = structlog.get_logger(__name__)

_FRESH_MS: Final = 60_000
_USABLE_MS: Final = 600_000
_KEPT: Final = 50_000


class NameBook:
    """Names by account, bounded. An account without a name is remembered as None."""

    def __init__(self, names: Names, clock: Clock) -> None:
        self._names = names
        self._clock = clock
        self._known: OrderedDict[str, tuple[int, str | None]] = OrderedDict()
        self._old: set[str] = set()
        self._renewing: asyncio.Task[None] | None = None

    def find(self, account_id: str) -> str | None:
        """The name as it is known; None where it is not."""
        known = self._known.get(account_id)
        return None if known is None else known[1]

    def is_usable(self, account_id: str) -> bool:
        """Whether a message of this account can go out under the name that is known. One that is older than a minute is asked
        for anew meanwhile, so that nobody waits for a name who spoke lately."""
        age = self._age(account_id)
        if age >= _FRESH_MS and age < _USABLE_MS:
            self._old.add(account_id)
            if self._renewing is None:
                self._renewing = asyncio.get_running_loop().create_task(self._renew(), name="names")
        return age < _USABLE_MS

    async def learn(self, account_ids: Iterable[str]) -> None:
        """Make sure that these names are known and not old."""
        wanted = [account_id for account_id in account_ids if self._age(account_id) >= _FRESH_MS]
        if not wanted:
            return
        found = await self._names.find_names(wanted)
        now = self._clock.now_ms()
        for account_id in wanted:
            self._known[account_id] = (now, found.get(account_id))
            self._known.move_to_end(account_id)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)

    async def close(self) -> None:
        """Let what is asked for be answered."""
        if self._renewing is not None:
            await self._renewing

    def _age(self, account_id: str) -> int:
        """Milliseconds since the name was asked for; a clock that was set back makes it old."""
        known = self._known.get(account_id)
        age = _USABLE_MS if known is None else self._clock.now_ms() - known[0]
        return age if age >= 0 else _USABLE_MS

    async def _renew(self) -> None:
        """All that are old, together."""
        try:
            while self._old:
                old, self._old = self._old, set()
                await self.learn(old)
        except Exception as error:  # the names that are known serve on, until they are too old
            log.warning("im.names_not_renewed", error=type(error).__name__)
        finally:
            self._renewing = None
