"""How many refused callbacks are written down: whoever knows the address can send them, as many as the network carries."""

from datetime import datetime, timedelta
from typing import Final

WRITTEN_A_MINUTE: Final = 60
_MINUTE: Final = timedelta(minutes=1)


class RefusalBook:
    """So many a minute have a row each, of this process; of the others only their number is told, with the first row of a later
    minute. A gateway of ours that is misconfigured shows in the first rows as well as in a million."""

    def __init__(self) -> None:
        self._began: datetime | None = None
        self._written = self._passed_over = 0

    def take(self, now: datetime) -> int | None:
        """None: pass this one over. Else write it; the number says how many were passed over before it."""
        if self._began is None or not timedelta(0) <= now - self._began < _MINUTE:
            passed_over, self._passed_over = self._passed_over, 0
            self._began, self._written = now, 1
            return passed_over
        if self._written >= WRITTEN_A_MINUTE:
            self._passed_over += 1
            return None
        self._written += 1
        return 0
