"""The doctor's desk, and the list of doctors that everyone sees."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from accounts.domain.doctors import Doctor, DoctorQuery
from accounts.errors import DepartmentNotFound, DoctorNotFound
from consult.domain.desk import DESK_SETTINGS, QUICK_REPLIES, DeskSettings, Figures, Hours, QuickReply
from consult.domain.order import local_day
from consult.errors import QuickRepliesChanged, QuickRepliesFull, QuickReplyNotFound
from consult.ports import DeskRepository, Doctors, Outboxes, PlaceRepository
from consult.service.figures import FigureBook
from server.kernel.actor import DEFAULT_HOSPITAL, PLATFORM, Actor, Role, StaffRole
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import Forbidden, Unavailable
from server.kernel.ids import is_id
from server.kernel.outbox import Event, event_of

_TRIES: Final = 20
_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class ListedDoctor:
    """A doctor as patients choose one."""

    doctor: Doctor
    settings: DeskSettings
    figures: Figures


@dataclass(slots=True)
class DoctorBoard:
    """The public list: what the hospital says of a doctor, what the doctor decided, what their orders show."""

    doctors: Doctors
    desks: DeskRepository
    figures: FigureBook
    clock: Clock

    async def list_doctors(
        self,
        actor: Actor,
        *,
        department_id: str | None,
        q: str | None,
        accepting: bool | None,
        limit: int,
        cursor: str | None,
    ) -> tuple[list[ListedDoctor], str | None]:
        """Authorised doctors by name. With `accepting`, those who do (or do not) take orders at this moment: then a page may
        be shorter than asked for though more follow."""
        query = DoctorQuery(hospital_id=_hospital_of(actor), department_id=department_id, q=q, limit=limit, cursor=cursor)
        chosen: list[ListedDoctor] = []
        for _ in range(_ROUNDS):
            page = await self.doctors.list_doctors(query)
            now = self.clock.now()
            listed = await self._join(query.hospital_id, page.items)
            chosen += [each for each in listed if accepting is None or each.settings.takes_orders_at(now) is accepting]
            query = replace(query, cursor=page.next_cursor, limit=limit - len(chosen))
            if page.next_cursor is None or query.limit == 0:
                break
        return chosen, query.cursor

    async def get_doctor(self, actor: Actor, doctor_id: str) -> ListedDoctor:
        """One of them. Raises doctor.not_found, also for one who was taken off the list or is at another hospital."""
        doctor = await self.doctors.get_doctor(doctor_id)
        if not doctor.active or doctor.hospital_id != _hospital_of(actor):
            raise DoctorNotFound
        return (await self._join(doctor.hospital_id, [doctor]))[0]

    async def _join(self, hospital_id: str, doctors: Sequence[Doctor]) -> list[ListedDoctor]:
        if not doctors:
            return []
        ids = [doctor.id for doctor in doctors]
        settings = await self.desks.find_settings_of(hospital_id, ids)
        figures = await self.figures.figures_of(hospital_id, ids)
        return [ListedDoctor(doctor, settings[doctor.id], figures[doctor.id]) for doctor in doctors]


@dataclass(slots=True)
class DeskService:
    """What is on a doctor's desk is the doctor's alone: the actor is always the owner."""

    desks: DeskRepository
    places: PlaceRepository
    figures: FigureBook
    audit: Audit
    relay: Outboxes
    clock: Clock
    doctors: Doctors

    async def get_settings(self, actor: Actor) -> DeskSettings:
        return await self.desks.find_settings(actor.hospital_id, actor.account_id)

    async def save_settings(
        self, actor: Actor, *, accepting: bool, daily_maximum: int | None, schedule: tuple[Hours, ...]
    ) -> DeskSettings:
        """Decide when orders are taken and how many a day; the limit holds for today at once."""
        for _ in range(_TRIES):
            old = await self.get_settings(actor)
            new = replace(old, accepting=accepting, daily_maximum=daily_maximum, schedule=schedule, version=old.version + 1)
            event = event_of(
                actor, "consult.desk_settings_changed", subject=actor.account_id, at=self.clock.now(), version=new.version
            )
            if await self.desks.save_settings(new, event):
                await self._apply_limit(new)
                self.relay.soon(DESK_SETTINGS, new.doctor_id, new.hospital_id)
                return new
        raise Unavailable

    async def desk_settings_changed(self, event: Event) -> None:
        """`consult.desk_settings_changed`: once more, in case the process died in between."""
        await self._apply_limit(await self.desks.find_settings(event.hospital_id, event.subject))

    async def get_figures(self, actor: Actor) -> Figures:
        """The doctor's own work, counted from the orders."""
        await self.audit.record(audit_row(actor, "consult.figures_viewed", subject=actor.account_id, at=self.clock.now()))
        return (await self.figures.figures_of(actor.hospital_id, [actor.account_id]))[actor.account_id]

    async def list_quick_replies(self, actor: Actor) -> list[QuickReply]:
        return await self.desks.list_quick_replies(actor.hospital_id, actor.account_id)

    async def list_department_replies(self, actor: Actor) -> list[QuickReply]:
        """Those of the doctor's department, which its administrators keep."""
        doctor = (await self.doctors.find_doctors([actor.account_id])).get(actor.account_id)
        return [] if doctor is None else await self.desks.list_quick_replies(actor.hospital_id, doctor.department_id)

    async def administer(self, actor: Actor, department_id: str, action: str) -> Actor:
        """Whoever keeps a department's sentences does so as the department, which is one of the actor's hospital.

        Raises Forbidden but for medical administrators, DepartmentNotFound.
        """
        subject = department_id if is_id(department_id) else "department"
        now = self.clock.now()
        try:
            if actor.role is not Role.STAFF or StaffRole.MEDICAL_ADMIN not in actor.staff_roles:
                raise Forbidden
            department = await self.doctors.get_department(actor.hospital_id, department_id)
        except (Forbidden, DepartmentNotFound):
            await self.audit.record(audit_row(actor, action, subject=subject, at=now, outcome=Outcome.DENIED))
            raise
        await self.audit.record(audit_row(actor, action, subject=subject, at=now))
        return replace(actor, account_id=department.id)

    async def add_quick_reply(self, actor: Actor, reply_id: str, text: str) -> QuickReply:
        """Keep a sentence at hand; the same id again is the same one. Raises QuickRepliesFull."""
        reply = QuickReply(reply_id, text)
        event = self._event(actor, "consult.quick_reply_added", reply_id)
        if await self.desks.add_quick_reply(actor.hospital_id, actor.account_id, reply, event):
            self.relay.soon(QUICK_REPLIES, actor.account_id, actor.hospital_id)
            return reply
        for stored in await self.list_quick_replies(actor):
            if stored.id == reply_id:
                return stored
        raise QuickRepliesFull

    async def change_quick_reply(self, actor: Actor, reply_id: str, text: str) -> QuickReply:
        """Raises QuickReplyNotFound."""
        reply = QuickReply(reply_id, text)
        event = self._event(actor, "consult.quick_reply_changed", reply_id)
        if not await self.desks.change_quick_reply(actor.hospital_id, actor.account_id, reply, event):
            raise QuickReplyNotFound
        self.relay.soon(QUICK_REPLIES, actor.account_id, actor.hospital_id)
        return reply

    async def order_quick_replies(self, actor: Actor, reply_ids: Sequence[str]) -> list[QuickReply]:
        """Put them in this order. Raises QuickRepliesChanged where these are not exactly those that are there."""
        event = self._event(actor, "consult.quick_replies_ordered", actor.account_id)
        if len(set(reply_ids)) < len(reply_ids) or not await self.desks.order_quick_replies(
            actor.hospital_id, actor.account_id, reply_ids, event
        ):
            raise QuickRepliesChanged
        self.relay.soon(QUICK_REPLIES, actor.account_id, actor.hospital_id)
        return await self.list_quick_replies(actor)

    async def delete_quick_reply(self, actor: Actor, reply_id: str) -> None:
        """Raises QuickReplyNotFound."""
        event = self._event(actor, "consult.quick_reply_deleted", reply_id)
        if not await self.desks.delete_quick_reply(actor.hospital_id, actor.account_id, reply_id, event):
            raise QuickReplyNotFound
        self.relay.soon(QUICK_REPLIES, actor.account_id, actor.hospital_id)

    async def _apply_limit(self, settings: DeskSettings) -> None:
        now = self.clock.now()
        days = [local_day(now), local_day(now + timedelta(days=1))]
        await self.places.apply_limit(settings, days)

    def _event(self, actor: Actor, action: str, subject: str) -> Event:
        return event_of(actor, action, subject=subject, at=self.clock.now())


def _hospital_of(actor: Actor) -> str:
    """Patients belong to no hospital: they are shown the one that there is."""
    return DEFAULT_HOSPITAL if actor.hospital_id == PLATFORM else actor.hospital_id
