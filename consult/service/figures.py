"""What doctors' orders show, in figures, counted anew no more often than the count costs.

A count reads every order that a doctor ever had. So one count runs at a time in a process, who comes meanwhile waits for the
next and shares it, and a count that took long is used for twenty times as long as it took, at most a minute: then a list of
doctors that everybody looks at takes a twentieth of one connection, however many look.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Final

from consult.domain.desk import Figures
from consult.ports import DeskRepository

_QUICK_SECONDS: Final = 0.2
"""A count that took no longer is not kept: it is as cheap as any other read."""
_TIMES: Final = 20
_LONGEST_SECONDS: Final = 60.0
_REMEMBERED: Final = 20_000

_Key = tuple[str, str]


class FigureBook:
    """Figures of this process. They are as old as the question where counting is quick, and never older than a minute; what an
    order's log adds comes with its projection in any case. `elapsed` is a clock that is never set back, in seconds."""

    def __init__(self, desks: DeskRepository, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._desks = desks
        self._elapsed = elapsed
        self._counting = asyncio.Lock()
        self._known: OrderedDict[_Key, tuple[float, float, Figures]] = OrderedDict()
        self._failed: tuple[float, Exception] | None = None
        self._changes = 0

    async def figures_of(self, hospital_id: str, doctor_ids: Collection[str]) -> dict[str, Figures]:
        """Figures by doctor, zeros for one without orders. Who waited for a count that failed is told so, and does not wait for
        another one to fail."""
        asked_at = self._elapsed()
        found = {each: known for each in doctor_ids if (known := self._find(hospital_id, each, asked_at)) is not None}
        if len(found) < len(doctor_ids):
            async with self._counting:
                if self._failed is not None and self._failed[0] >= asked_at:
                    raise self._failed[1]
                missing = []
                for each in doctor_ids:
                    if (known := self._find(hospital_id, each, asked_at)) is not None:
                        found[each] = known
                    elif each not in found:
                        missing.append(each)
                if missing:
                    found |= await self._count(hospital_id, missing)
        return found

    def forget(self, hospital_id: str, doctor_id: str) -> None:
        """Something that counts has happened here: count again. A count that is under way is not kept."""
        self._changes += 1
        self._known.pop((hospital_id, doctor_id), None)

    def _find(self, hospital_id: str, doctor_id: str, asked_at: float) -> Figures | None:
        """What is known and still good, or was counted after it was asked for."""
        known = self._known.get((hospital_id, doctor_id))
        if known is None:
            return None
        began_at, good_until, figures = known
        return figures if began_at >= asked_at or asked_at < good_until else None

    async def _count(self, hospital_id: str, doctor_ids: Collection[str]) -> dict[str, Figures]:
        began_at, changes = self._elapsed(), self._changes
        try:
            counted = await self._desks.figures_of(hospital_id, doctor_ids)
        except Exception as error:  # told to all who wait for this count, and raised
            self._failed = began_at, error
            raise
        self._failed = None
        took = self._elapsed() - began_at
        kept = 0.0 if took <= _QUICK_SECONDS else min(took * _TIMES, _LONGEST_SECONDS)
        if changes == self._changes:
            for doctor_id, figures in counted.items():
                self._known[hospital_id, doctor_id] = (began_at, began_at + kept, figures)
                self._known.move_to_end((hospital_id, doctor_id))
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return counted
