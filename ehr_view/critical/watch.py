"""Critical results where the hospital does not send but is asked: every few seconds, of those whose open order lets it.

Asked is only what changed; where something did, the person's laboratory results of the last days are read and reviewed. What is
held here saves questions and nothing else: another process that begins anew asks for the last day again, and a value that was
told is told.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from ehr_view.critical.ports import Change, FoundLabs, LabFeed, Watched, WatchedPeople
from ehr_view.critical.service import FRESH
from ehr_view.domain.records import PatientRef
from ehr_view.errors import RecordIdentityMismatch, RecordSourceUnavailable
from ehr_view.hl7.domain import Identity, identity_of
from server.kernel.actor import system_actor
from server.kernel.audit import Audit, audit_row
from server.kernel.clock import Clock
from server.kernel.ids import derived_id

log = structlog.get_logger(__name__)

WATCHED: Final = "critical.watched"
LOOKED_BACK: Final = timedelta(hours=72)
"""So far back a correction is looked for."""

_MOST_ORDERS: Final = 2_000
_BATCH: Final = 50
_AT_ONCE: Final = 4
_OVERLAP: Final = timedelta(seconds=10)
"""What a hospital stored before may become visible after."""

_IDS_KEPT: Final = timedelta(minutes=10)
_UNKNOWN_KEPT: Final = timedelta(minutes=1)
_MOST_NEW: Final = 200
_MOST_SEEN: Final = 5_000
_SHORTEST_REST: Final = timedelta(seconds=2)
_LONGEST_REST: Final = timedelta(seconds=30)


class Reviewer(Protocol):
    async def review(self, hospital_id: str, patient: PatientRef, found: FoundLabs) -> None: ...


@dataclass(slots=True)
class _Person:
    """Somebody who is watched. `since`: from when on changes are asked for; `seen`: those that were reviewed, newest last."""

    patient: PatientRef
    since: datetime
    ids: tuple[str, ...] = ()
    ids_until: datetime | None = None
    seen: dict[str, None] = field(default_factory=dict)

    def remember(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self.seen[change.token] = None
            if change.at is not None:
                self.since = max(self.since, change.at - _OVERLAP)
        while len(self.seen) > _MOST_SEEN:
            del self.seen[next(iter(self.seen))]


@dataclass(slots=True)
class _Luck:
    """How the questions of one round went."""

    good: int = 0
    bad: int = 0

    @property
    def is_gone(self) -> bool:
        """Some failed, and none did not."""
        return self.bad > 0 and self.good == 0

    @contextmanager
    def of(self) -> Iterator[None]:
        """One question, whose failure stays with it."""
        try:
            yield
        except RecordSourceUnavailable:
            self.bad += 1
        else:
            self.good += 1


@dataclass(slots=True)
class HospitalWatch:
    """One hospital. `run` is called again and again by one process at a time; two at once do no harm."""

    hospital_id: str
    orders: WatchedPeople
    feed: LabFeed
    reviewer: Reviewer
    audit: Audit
    clock: Clock
    _people: dict[Identity, _Person] = field(default_factory=dict, init=False)
    _audited: set[str] = field(default_factory=set, init=False)
    _rests_until: datetime | None = field(default=None, init=False)
    _rest: timedelta = field(default=_SHORTEST_REST, init=False)

    async def run(self) -> int:
        """One round; how many people's results were reviewed. A hospital that answers nothing is left alone for a while; a
        question that fails by itself is asked again in the next round."""
        now = self.clock.now()
        if self._rests_until is not None and now < self._rests_until:
            return 0
        people, luck = await self._watched(now), _Luck()
        await self._find_ids(people, now, luck)
        count = await self._look(people, luck)
        if luck.is_gone:
            self._rests_until = self.clock.now() + self._rest
            if self._rest == _SHORTEST_REST:
                log.warning("critical.hospital_silent")
            self._rest = min(self._rest * 2, _LONGEST_REST)
        elif self._rests_until is not None and luck.good:
            log.info("critical.hospital_answers")
            self._rests_until, self._rest = None, _SHORTEST_REST
        return count

    async def _watched(self, now: datetime) -> Sequence[_Person]:
        """All of now; who is not among them any more is forgotten."""
        watched = await self.orders.list_watched(self.hospital_id, limit=_MOST_ORDERS)
        if len(watched) == _MOST_ORDERS:
            log.warning("critical.too_many_to_watch")
        people: dict[Identity, _Person] = {}
        for each in watched:
            identity = identity_of(each.patient)
            if identity not in people:
                people[identity] = self._people.get(identity) or _Person(each.patient, now - FRESH)
                people[identity].since = max(people[identity].since, now - FRESH)
        await self._write_down(watched, now)
        self._people = people
        return list(people.values())

    async def _write_down(self, watched: Sequence[Watched], now: datetime) -> None:
        """One row an order: that its patient's results were asked for."""
        orders = {each.order_id for each in watched}
        actor = system_actor(self.hospital_id, name="critical")
        for order_id in sorted(orders - self._audited):
            row_id = derived_id("critical.watched", order_id)
            await self.audit.record(audit_row(actor, WATCHED, subject=order_id, at=now, order_id=order_id, audit_id=row_id))
        self._audited = orders

    async def _find_ids(self, people: Iterable[_Person], now: datetime, luck: _Luck) -> None:
        """The hospital's ids of those that are not known, or were asked for long ago; some each round."""
        due = [person for person in people if person.ids_until is None or person.ids_until <= now][:_MOST_NEW]
        room = asyncio.Semaphore(_AT_ONCE)

        async def find(person: _Person) -> None:
            async with room:
                if luck.is_gone:
                    return
                with luck.of():
                    try:
                        person.ids = await self.feed.find_ids(person.patient)
                    except RecordIdentityMismatch:  # reported where somebody looks at the chart
                        person.ids = ()
                    person.ids_until = now + (_IDS_KEPT if person.ids else _UNKNOWN_KEPT)

        await asyncio.gather(*(find(person) for person in due))

    async def _look(self, people: Iterable[_Person], luck: _Luck) -> int:
        """Ask what changed, a batch at a time, those asked for the same time together; review who has news."""
        known = sorted((person for person in people if person.ids), key=lambda person: person.since)
        batches = [known[start : start + _BATCH] for start in range(0, len(known), _BATCH)]
        room = asyncio.Semaphore(_AT_ONCE)

        async def look(batch: Sequence[_Person]) -> int:
            async with room:
                if luck.is_gone:
                    return 0
                changes: Sequence[Change] = ()
                with luck.of():
                    ids = [name for person in batch for name in person.ids]
                    changes = await self.feed.list_changes(ids, min(person.since for person in batch))
                done = 0
                for place, news in _news(batch, changes).items():
                    with luck.of():
                        await self._review(batch[place], news)
                        done += 1
                return done

        return sum(await asyncio.gather(*(look(batch) for batch in batches)))

    async def _review(self, person: _Person, news: Sequence[Change]) -> None:
        """Who it fails for is looked at again in the next round."""
        found = await self.feed.fetch_labs(self.hospital_id, person.ids, self.clock.now() - LOOKED_BACK)
        await self.reviewer.review(self.hospital_id, person.patient, found)
        person.remember(news)


def _news(batch: Sequence[_Person], changes: Iterable[Change]) -> Mapping[int, Sequence[Change]]:
    """What was not seen in this form yet, by the place of whom it is of."""
    owners = {name: place for place, person in enumerate(batch) for name in person.ids}
    news: dict[int, list[Change]] = {}
    for change in changes:
        place = owners.get(change.patient_id)
        if place is not None and change.token not in batch[place].seen:
            news.setdefault(place, []).append(change)
    return news
