"""Charts in memory for a minute: what the hospital sent, broken into pages. Nothing of it is written anywhere.

Several who ask for one chart at once wait for one answer. A chart with parts missing is kept for seconds only, so that asking
again asks the hospital again.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from ehr_view.domain.pagination import paginate
from ehr_view.domain.records import Chart, PatientRef
from ehr_view.domain.sheets import Sheet
from ehr_view.domain.trends import Courses, with_previous
from ehr_view.ports import Hospital
from server.kernel.clock import Clock

KEPT: Final = timedelta(seconds=60)
KEPT_PARTLY: Final = timedelta(seconds=5)
_MOST: Final = 100
"""Charts a process; the oldest go first."""


@dataclass(frozen=True, slots=True)
class PreparedChart:
    """`pages` by record id."""

    chart: Chart
    pages: dict[str, tuple[Sheet, ...]]


_Key = tuple[str, str, str]


class ChartCache:
    def __init__(self, hospital: Hospital, clock: Clock) -> None:
        self._hospital = hospital
        self._clock = clock
        self._ready: OrderedDict[_Key, tuple[datetime, PreparedChart, str]] = OrderedDict()
        self._under_way: dict[_Key, asyncio.Task[PreparedChart]] = {}

    async def get(self, hospital_id: str, patient: PatientRef) -> PreparedChart:
        """The chart. Raises what `Hospital.fetch_chart` raises."""
        key = (hospital_id, patient.id_type, patient.id_number)
        self._drop_old()
        stamp = await self._hospital.stamp(hospital_id, patient)
        if (found := self._ready.get(key)) is not None and found[2] == stamp:
            return found[1]
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._fetch(key, patient, stamp), name="ehr-chart")
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(task)

    def _finished(self, key: _Key, task: asyncio.Task[PreparedChart]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # who waited has it; nobody may be left to wait

    async def _fetch(self, key: _Key, patient: PatientRef, stamp: str) -> PreparedChart:
        chart = await self._hospital.fetch_chart(key[0], patient)
        prepared = await asyncio.to_thread(prepare, chart)
        until = self._clock.now() + (KEPT_PARTLY if chart.missing else KEPT)
        self._ready[key] = (until, prepared, stamp)
        while len(self._ready) > _MOST:
            self._ready.popitem(last=False)
        return prepared

    def _drop_old(self) -> None:
        now = self._clock.now()
        for key in [key for key, (until, *_) in self._ready.items() if until <= now]:
            del self._ready[key]


def prepare(chart: Chart) -> PreparedChart:
    """Previous values filled in, pages made. Takes a while for long charts: not for the event loop."""
    records = with_previous(chart.records)
    courses = Courses(records)
    pages = {record.id: paginate(record, courses.of(record)) for record in records}
    return PreparedChart(replace(chart, records=records), pages)
