"""A test over time: what it was before, and how it went."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from ehr_view.domain.records import Flag, LabItem, LabReport, Range, Record

MIN_POINTS: Final = 3
"""Two points are a previous value; a course begins with three."""

MAX_POINTS: Final = 60

SAME_SAMPLE: Final = timedelta(hours=3)
"""The same figure again within this time is one sample in two reports, not a second measurement."""


@dataclass(frozen=True, slots=True)
class Point:
    at: datetime
    number: float
    value: str
    flag: Flag


@dataclass(frozen=True, slots=True)
class Trend:
    """The course of one test, oldest first, up to and with one report. All points have one unit."""

    code: str
    name: str
    unit: str
    range: Range
    points: tuple[Point, ...]


def with_previous(records: Sequence[Record]) -> tuple[Record, ...]:
    """The same records, in the same order, each result beside the one before it: same test, same unit, an earlier report."""
    filled: dict[str, Record] = {}
    last: dict[tuple[str, str], tuple[datetime, LabItem]] = {}
    for record in sorted(records, key=lambda r: (r.occurred_at, r.id)):
        report = record.content
        if not isinstance(report, LabReport):
            continue
        items = tuple(_beside(item, record.occurred_at, last) for item in report.items)
        for item in items:
            if item.code and item.value:
                last[item.code, item.unit] = (record.occurred_at, item)
        filled[record.id] = replace(record, content=replace(report, items=items))
    return tuple(filled.get(record.id, record) for record in records)


def _beside(item: LabItem, at: datetime, last: dict[tuple[str, str], tuple[datetime, LabItem]]) -> LabItem:
    before = last.get((item.code, item.unit)) if item.code else None
    if before is None or before[0] >= at:
        return item
    if before[1].value == item.value and at - before[0] < SAME_SAMPLE:
        earlier = before[1]
        return replace(
            item, previous=earlier.previous, previous_number=earlier.previous_number, previous_at=earlier.previous_at
        )
    return replace(item, previous=before[1].value, previous_number=before[1].number, previous_at=before[0])


class Courses:
    """All figures of a chart by test and unit, oldest first: gathered once, for the courses of all its reports."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._points: dict[tuple[str, str], list[Point]] = {}
        for record in sorted(records, key=lambda r: (r.occurred_at, r.id)):
            report = record.content
            for item in report.items if isinstance(report, LabReport) else ():
                if item.code and item.number is not None:
                    found = self._points.setdefault((item.code, item.unit), [])
                    if not _is_repeated(found, item.number, record.occurred_at):
                        found.append(Point(record.occurred_at, item.number, item.value, item.flag))

    def until(self, key: tuple[str, str], at: datetime) -> Sequence[Point]:
        """Of one test, up to and with that instant."""
        points = self._points.get(key, [])
        return points[: bisect_right(points, at, key=lambda point: point.at)]

    def of(self, record: Record) -> tuple[Trend, ...]:
        """The courses worth drawing for a report: of each figure in it that was measured at least three times up to then, and
        was out of range at least once. Those that are out of range now come first, then in the report's order.

        A result in another unit is another course: figures are never converted here.
        """
        report = record.content
        if not isinstance(report, LabReport):
            return ()
        wanted = {(i.code, i.unit): i for i in report.items if i.code and i.number is not None}
        worth = [
            Trend(item.code, item.name, item.unit, item.range, tuple(points[-MAX_POINTS:]))
            for key, item in wanted.items()
            if len(points := self.until(key, record.occurred_at)) >= MIN_POINTS
            and any(p.flag is not Flag.NORMAL for p in points)
        ]
        return tuple(sorted(worth, key=lambda t: t.points[-1].flag is Flag.NORMAL))


def trends_of(record: Record, records: Iterable[Record]) -> tuple[Trend, ...]:
    """The courses of one report among these records."""
    return Courses(records).of(record)


def _is_repeated(points: Sequence[Point], number: float, at: datetime) -> bool:
    return bool(points) and points[-1].number == number and at - points[-1].at < SAME_SAMPLE
