"""What people are called, kept for a minute, so that a message needs no look-up on its way out."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from im.ports import Names
from server.kernel.clock import Clock

_FRESH_MS: Final = 60_000
_KEPT: Final = 50_000


class NameBook:
    """Names by account, bounded. An account without a name is remembered as None."""

    def __init__(self, names: Names, clock: Clock) -> None:
        self._names = names
        self._clock = clock
        self._known: OrderedDict[str, tuple[int, str | None]] = OrderedDict()

    def find(self, account_id: str) -> str | None:
        """The name as it is known; None where it is not."""
        known = self._known.get(account_id)
        return None if known is None else known[1]

    def is_fresh(self, account_id: str) -> bool:
        known = self._known.get(account_id)
        return known is not None and 0 <= self._clock.now_ms() - known[0] < _FRESH_MS

    async def learn(self, account_ids: Iterable[str]) -> None:
        """Make sure that these names are known and not old."""
        wanted = [account_id for account_id in account_ids if not self.is_fresh(account_id)]
        if not wanted:
            return
        found = await self._names.find_names(wanted)
        now = self._clock.now_ms()
        for account_id in wanted:
            self._known[account_id] = (now, found.get(account_id))
            self._known.move_to_end(account_id)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
