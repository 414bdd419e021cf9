"""What is going on now, and day by day."""

from datetime import datetime, timedelta
from typing import Final

from admin_console.domain.access import View
from admin_console.domain.board import SOON, Board, Series
from admin_console.ports import BoardReader
from admin_console.service.guard import Guard
from consult.domain.order import SHANGHAI
from server.kernel.actor import Actor
from server.kernel.audit import Audit
from server.kernel.clock import Clock

_BOARD: Final = "board"
_FIGURES: Final = "figures"


class LiveBoard:
    """Days are the hospital's own (Asia/Shanghai). Every read is a row."""

    def __init__(self, audit: Audit, clock: Clock, reader: BoardReader) -> None:
        self._guard = Guard(audit, clock)
        self._clock = clock
        self._reader = reader

    async def view_board(self, actor: Actor) -> Board:
        """Raises Forbidden."""
        await self._guard.require(actor, View.BOARD, subject=_BOARD)
        now = self._clock.now()
        counts = await self._reader.count_now(actor.hospital_id, now, now + SOON)
        (today,) = (await self._reader.series(actor.hospital_id, _midnight(now, 1), now, 1)).days
        await self._guard.record(actor, View.BOARD, subject=_BOARD)
        return Board(now, counts, today)

    async def view_series(self, actor: Actor, days: int) -> Series:
        """The last `days` days, today's included. Raises Forbidden."""
        await self._guard.require(actor, View.FIGURES, subject=_FIGURES)
        now = self._clock.now()
        series = await self._reader.series(actor.hospital_id, _midnight(now, days), now, days)
        await self._guard.record(actor, View.FIGURES, subject=_FIGURES)
        return series


def _midnight(now: datetime, days: int) -> datetime:
    """When the first of these local days began."""
    today = now.astimezone(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days - 1)
