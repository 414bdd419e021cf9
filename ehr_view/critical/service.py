"""Critical values: found once, told within seconds, acknowledged, or handed on.

What is to be done next stands in the outbox of the value itself, so that no crash loses it; all that is done has an id that
follows from the value, so that doing it twice is doing it once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from ehr_view.critical.domain import (
    ACKNOWLEDGED,
    CRITICAL_VALUES,
    RAISED,
    SAME_REPORT,
    SEEN,
    TASK_DUE,
    TEXT_DUE,
    TOLD,
    WITHDRAWABLE,
    WITHDRAWN,
    CriticalPolicy,
    CriticalStatus,
    CriticalValue,
    Limit,
    decide_acknowledgement,
    decide_escalation,
    decide_telling,
    decide_withdrawal,
    find_critical,
    found_again,
    is_told_by,
)
from ehr_view.critical.ports import Alarms, CriticalPeople, CriticalValues, FoundLabs, Live, Outboxes
from ehr_view.domain.records import LabReport, PatientRef, Record
from ehr_view.errors import CriticalNotFound, CriticalTransitionRefused
from ehr_view.hl7.domain import Identity, PersonFacts, identity_of
from server.kernel.actor import Actor, system_actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock, iso
from server.kernel.errors import Unavailable
from server.kernel.ids import is_id
from server.kernel.outbox import Event, event_of

log = structlog.get_logger(__name__)

CRITICAL_CHANGED: Final = "critical.changed"
LISTED: Final = "critical.listed"
FRESH: Final = timedelta(hours=24)
"""What a chart shows and is older was dealt with elsewhere."""

_TRIES: Final = 5
_MOST_AGAIN: Final = 100
_NAME: Final = "critical"


@dataclass(slots=True)
class CriticalService:
    """Implements `hl7.ports.Critical`. `limits` are the hospital's list."""

    values: CriticalValues
    people: CriticalPeople
    alarms: Alarms
    live: Live
    audit: Audit
    relay: Outboxes
    clock: Clock
    limits: Sequence[Limit]
    policy: CriticalPolicy
    _watching: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def consider(
        self,
        hospital_id: str,
        identity: Identity,
        person: PersonFacts,
        record: Record,
        *,
        withdrawn: bool = False,
        was_sent: bool = True,
    ) -> bool:
        """Raise what cannot wait; withdraw what an earlier form of the report raised and this one does not say. Whether there
        was anything to raise or to withdraw.

        A result that was withdrawn and is said again is raised again. A report that comes in two ways (sent, and in a chart)
        is told once.
        """
        now = self.clock.now()
        found = None if withdrawn else find_critical(hospital_id, identity, record, self.limits, now, person.names)
        if found is None:
            return await self._withdraw_record(hospital_id, record.id)
        beside = {value.id: value for value in await self.values.list_beside(found, SAME_REPORT)}
        found = await self._in_force(replace(found, was_sent=was_sent), beside.get(found.id))
        stale = [v for v in beside.values() if v.record_id == record.id and v.id != found.id and v.status in WITHDRAWABLE]
        for old in stale:
            await self._withdraw(old)
        if found.id in beside or is_told_by(found, beside.values()):
            return bool(stale)
        if await self.values.insert(found, self._event(found, RAISED)):
            log.warning("critical.raised", critical_id=found.id, record_id=record.id)
            self.relay.soon(CRITICAL_VALUES, found.id, hospital_id)
        return True

    def watch_chart(self, hospital_id: str, patient: PatientRef, records: Sequence[Record]) -> None:
        """A chart was fetched: what is fresh in it and cannot wait is raised, in a task of its own."""
        since, now = self.clock.now() - FRESH, self.clock.now()
        identity = identity_of(patient)
        fresh = [r for r in records if r.occurred_at >= since and find_critical(hospital_id, identity, r, self.limits, now)]
        if fresh:
            person = PersonFacts(identity, (), (patient.name,))
            task = asyncio.create_task(self._watch(hospital_id, identity, person, fresh), name="critical-chart")
            self._watching.add(task)
            task.add_done_callback(self._watching.discard)

    async def review(self, hospital_id: str, patient: PatientRef, found: FoundLabs) -> None:
        """What the hospital shows of somebody's last days: what is fresh and cannot wait is raised, what it says no longer is
        withdrawn. What is old was dealt with elsewhere."""
        since, identity = self.clock.now() - FRESH, identity_of(patient)
        person = PersonFacts(identity, (), (patient.name,))
        for record in found.records:
            content = record.content
            is_whole = found.is_whole and isinstance(content, LabReport) and not content.left_out
            if find_critical(hospital_id, identity, record, self.limits, self.clock.now()) is not None:
                is_news = is_whole or not await self.values.list_of_record(hospital_id, record.id)
                if record.occurred_at >= since and is_news:
                    await self.consider(hospital_id, identity, person, record, was_sent=False)
            elif is_whole:
                await self._withdraw_record(hospital_id, record.id)
        for record_id in found.dead_ids:
            await self._withdraw_record(hospital_id, record_id)

    async def _withdraw_record(self, hospital_id: str, record_id: str) -> bool:
        values = await self.values.list_of_record(hospital_id, record_id)
        for value in values:
            await self._withdraw(value)
        return bool(values)

    async def close(self) -> None:
        if self._watching:
            await asyncio.wait(set(self._watching))

    async def acknowledge(self, actor: Actor, value_id: str) -> CriticalValue:
        """The actor has it. Twice is once. Raises CriticalNotFound, CriticalTransitionRefused for a withdrawn one."""
        for _ in range(_TRIES):
            value = await self.values.find(value_id) if is_id(value_id) else None
            if value is None or not value.concerns(actor.account_id):
                await self._denied(actor, value_id, value)
                raise CriticalNotFound
            decided = decide_acknowledgement(value, actor.account_id, self.clock.now())
            if decided is None:
                row = audit_row(actor, SEEN, subject=value.id, at=self.clock.now(), hospital_id=value.hospital_id)
                await self.audit.record(row)
                return value
            event = event_of(
                actor,
                ACKNOWLEDGED,
                subject=value.id,
                at=self.clock.now(),
                order_id=value.order_id,
                hospital_id=value.hospital_id,
            )
            if await self.values.save(decided, event):
                self.relay.soon(CRITICAL_VALUES, value.id, value.hospital_id)
                return decided
        raise Unavailable

    async def list_values(self, actor: Actor, *, limit: int, after: tuple[datetime, str] | None) -> Sequence[CriticalValue]:
        """What the actor was told of, newest first."""
        await self.audit.record(audit_row(actor, LISTED, subject=actor.account_id, at=self.clock.now()))
        return await self.values.list_of_account(actor.account_id, limit=limit, after=after)

    async def escalate_due(self) -> int:
        """Hand on what nobody acknowledged in time. Returns how many."""
        count = 0
        async for value in self.values.due(self.clock.now()):
            decided = decide_escalation(value, self.policy, self.clock.now())
            if decided is None:
                continue
            action = TEXT_DUE if decided.status is CriticalStatus.TEXTED else TASK_DUE
            if await self.values.save(decided, self._event(decided, action)):
                self.relay.soon(CRITICAL_VALUES, value.id, value.hospital_id)
                count += 1
        return count

    def consumers(self) -> Mapping[str, Callable[[Event], Awaitable[None]]]:
        return {
            RAISED: self._on_raised,
            TOLD: self._on_told,
            TEXT_DUE: self._on_text_due,
            TASK_DUE: self._on_task_due,
            ACKNOWLEDGED: self._on_ended,
            WITHDRAWN: self._on_ended,
        }

    # What follows

    async def _on_raised(self, event: Event) -> None:
        value = await self._get(event)
        if value is None or value.status is not CriticalStatus.RAISED:
            return
        people = await self.people.find_people(value.hospital_id, value.identity, value.names)
        decided = decide_telling(value, people, self.policy, self.clock.now())
        if not await self.values.save(decided, self._event(decided, TOLD)):
            raise Unavailable  # somebody else was first, or it was withdrawn: the next look says which
        self.relay.soon(CRITICAL_VALUES, value.id, value.hospital_id)

    async def _on_told(self, event: Event) -> None:
        value = await self._get(event)
        if value is not None and value.status is not CriticalStatus.WITHDRAWN:
            await self.alarms.tell(value)
            self._tell_live(value)

    async def _on_text_due(self, event: Event) -> None:
        value = await self._get(event)
        if value is not None and value.status in (CriticalStatus.TEXTED, CriticalStatus.TASKED):
            await self.alarms.text_doctors(value, event.at)
            self._tell_live(value)

    async def _on_task_due(self, event: Event) -> None:
        value = await self._get(event)
        if value is None:
            return
        if value.status is CriticalStatus.TASKED:
            await self.alarms.open_task(value, event.at)
            self._tell_live(value)
            value = await self._get(event)
        if value is not None and value.status is not CriticalStatus.TASKED:  # acknowledged while it was opened
            await self.alarms.withdraw_task(value)

    async def _on_ended(self, event: Event) -> None:
        value = await self._get(event)
        if value is not None:
            await self.alarms.withdraw_task(value)
            self._tell_live(value)

    def _tell_live(self, value: CriticalValue) -> None:
        accounts = {*value.people.patient_accounts, *(r.doctor_id for r in value.people.doctors)}
        self.live.send(sorted(accounts), CRITICAL_CHANGED, critical_payload(value))

    async def _get(self, event: Event) -> CriticalValue | None:
        return await self.values.find(event.subject)

    async def _in_force(self, found: CriticalValue, stored: CriticalValue | None) -> CriticalValue:
        """The first of these results that is not withdrawn, stored or not. `stored`: how the very first one is."""
        value = found
        for times in range(1, _MOST_AGAIN):
            if stored is None or stored.status is not CriticalStatus.WITHDRAWN:
                return value
            value = found_again(found, times)
            stored = await self.values.find(value.id)
        return found

    async def _withdraw(self, value: CriticalValue) -> None:
        for _ in range(_TRIES):
            try:
                decided = decide_withdrawal(value)
            except CriticalTransitionRefused:  # it was acknowledged meanwhile
                return
            if await self.values.save(decided, self._event(decided, WITHDRAWN)):
                self.relay.soon(CRITICAL_VALUES, value.id, value.hospital_id)
                return
            found = await self.values.find(value.id)
            if found is None:
                return
            value = found
        raise Unavailable

    async def _watch(self, hospital_id: str, identity: Identity, person: PersonFacts, records: Sequence[Record]) -> None:
        try:
            for record in records:
                await self.consider(hospital_id, identity, person, record, was_sent=False)
        except Exception as error:  # the next look at the chart raises them
            log.warning("critical.chart_failed", error=type(error).__name__, exc_info=True)

    def _event(self, value: CriticalValue, action: str) -> Event:
        actor = system_actor(value.hospital_id, name=_NAME)
        return event_of(
            actor, action, subject=value.id, at=self.clock.now(), order_id=value.order_id, record_id=value.record_id
        )

    async def _denied(self, actor: Actor, value_id: str, value: CriticalValue | None) -> None:
        if is_id(value_id):
            row = audit_row(
                actor,
                ACKNOWLEDGED,
                subject=value_id,
                at=self.clock.now(),
                outcome=Outcome.DENIED,
                hospital_id=None if value is None else value.hospital_id,
            )
            await self.audit.record(row)


def critical_payload(value: CriticalValue) -> dict[str, Any]:
    """A critical value as those see it whom it concerns: that there is one, and how it stands; not what it says."""

    def at(instant: datetime | None) -> str | None:
        return None if instant is None else iso(instant)

    return {
        "critical_id": value.id,
        "record_id": value.record_id,
        "order_ids": sorted({recipient.order_id for recipient in value.people.doctors}),
        "status": value.status.value,
        "raised_at": iso(value.raised_at),
        "acknowledge_by": at(value.deadline_at),
        "acknowledged_at": at(value.acknowledged_at),
    }
