"""The hospital's authorised doctors: what everyone may see of them, and what a medical administrator may change."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from accounts.domain.doctors import (
    Department,
    Doctor,
    DoctorChanges,
    DoctorDetails,
    DoctorPage,
    DoctorQuery,
    ListedDoctor,
    ListedDoctorPage,
    check_fee,
)
from accounts.domain.phones import check_phone
from accounts.domain.sessions import RevokeReason
from accounts.errors import DepartmentNotFound, DoctorNotFound
from accounts.ports import DoctorRepository
from accounts.service.sessions import SessionService
from server.kernel.actor import DEFAULT_HOSPITAL, Actor, Role, StaffRole
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import Forbidden, RequestInvalid, Unavailable
from server.kernel.ids import derived_id, is_id
from server.kernel.outbox import Event, event_of

_ATTEMPTS: Final = 10


@dataclass(slots=True)
class DoctorService:
    doctors: DoctorRepository
    sessions: SessionService
    audit: Audit
    clock: Clock

    async def get_doctor(self, doctor_id: str) -> Doctor:
        """Also one who was taken off the list (`active` False): orders name them. Raises DoctorNotFound."""
        doctor = await self.doctors.find(doctor_id) if is_id(doctor_id) else None
        if doctor is None:
            raise DoctorNotFound
        return doctor

    async def get_phone_tail(self, doctor: Doctor) -> str:
        """The last four digits of the phone: what a mark on a page may show of it."""
        return (await self.doctors.get_phone(doctor))[-4:]

    async def find_doctors(self, doctor_ids: Collection[str]) -> Mapping[str, Doctor]:
        """Doctors by id; unknown ids are missing."""
        return await self.doctors.find_many(doctor_ids)

    async def list_doctors(self, query: DoctorQuery) -> DoctorPage:
        """Authorised doctors in the order of their names' pinyin. Raises RequestInvalid for a foreign cursor."""
        items, next_cursor = await self.doctors.list_page(query)
        return DoctorPage(tuple(items), next_cursor)

    async def list_departments(self, hospital_id: str = DEFAULT_HOSPITAL) -> Sequence[Department]:
        """All departments of a hospital, in the order of their names' pinyin."""
        return await self.doctors.list_departments(hospital_id)

    async def get_department(self, hospital_id: str, department_id: str) -> Department:
        """One of this hospital's. Raises DepartmentNotFound."""
        department = await self.doctors.find_department(hospital_id, department_id) if is_id(department_id) else None
        if department is None:
            raise DepartmentNotFound
        return department

    async def ensure_department(self, actor: Actor, name: str) -> Department:
        """The department of this name, made if it is not there."""
        await self._check_right(actor, "accounts.department_added", "department")
        department_id = derived_id("department", actor.hospital_id, name)
        event = event_of(actor, "accounts.department_added", subject=department_id, at=self.clock.now())
        return await self.doctors.ensure_department(Department(department_id, actor.hospital_id, name), event)

    async def list_with_phones(self, actor: Actor, query: DoctorQuery) -> ListedDoctorPage:
        """The list as its administrators see it."""
        await self._check_right(actor, "accounts.doctors_listed", "doctors")
        items, next_cursor = await self.doctors.list_page_with_phones(replace(query, hospital_id=actor.hospital_id))
        await self.audit.record(audit_row(actor, "accounts.doctors_listed", subject="doctors", at=self.clock.now()))
        return ListedDoctorPage(tuple(items), next_cursor)

    async def add_doctor(self, actor: Actor, doctor_id: str, details: DoctorDetails) -> ListedDoctor:
        """Put a doctor on the list; the same id again is the same doctor. Raises RequestInvalid, DoctorPhoneTaken,
        DoctorStaffNumberTaken."""
        await self._check_right(actor, "accounts.doctor_added", doctor_id)
        department = await self._get_department(actor, details.department_id)
        doctor = Doctor(
            id=doctor_id,
            hospital_id=actor.hospital_id,
            name=details.name,
            title=details.title,
            department_id=department.id,
            department_name=department.name,
            good_at=details.good_at,
            fee_fen=check_fee(details.fee_fen),
            active=True,
            given_number=details.staff_number,
        )
        event = event_of(actor, "accounts.doctor_added", subject=doctor_id, at=self.clock.now())
        stored = await self.doctors.insert(doctor, check_phone(details.phone), event)
        return ListedDoctor(stored, await self.doctors.get_phone(stored))

    async def change_doctor(self, actor: Actor, doctor_id: str, changes: DoctorChanges) -> ListedDoctor:
        """Change what is given. Another phone ends the doctor's sessions at once.

        Raises DoctorNotFound, RequestInvalid, DoctorPhoneTaken, DoctorStaffNumberTaken.
        """
        await self._check_right(actor, "accounts.doctor_changed", doctor_id)
        for _ in range(_ATTEMPTS):
            old = await self._get_own(actor, doctor_id)
            new = await self._apply(actor, old, changes)
            phone = check_phone(changes.phone) if changes.phone is not None else None
            if phone == await self.doctors.get_phone(old):
                phone = None
            if phone is not None:
                new = replace(new, credentials=old.credentials + 1)
            action = "accounts.doctor_changed" if phone is None else "accounts.doctor_phone_changed"
            if await self.doctors.save(new, phone, self._event(actor, action, new)):
                await self._end_sessions(actor, new)
                return ListedDoctor(new, await self.doctors.get_phone(new))
        raise Unavailable

    async def remove_doctor(self, actor: Actor, doctor_id: str) -> None:
        """Take a doctor off the list: sessions end at once, the phone is free again. Raises DoctorNotFound."""
        await self._check_right(actor, "accounts.doctor_removed", doctor_id)
        for _ in range(_ATTEMPTS):
            old = await self._get_own(actor, doctor_id)
            new = replace(old, active=False, credentials=old.credentials + 1)
            if await self.doctors.save(new, None, self._event(actor, "accounts.doctor_removed", new)):
                await self._end_sessions(actor, new)
                return
        raise Unavailable

    async def _end_sessions(self, actor: Actor, doctor: Doctor) -> None:
        await self.sessions.end_stale_sessions(
            actor, doctor.id, doctor.hospital_id, doctor.credentials, RevokeReason.NOT_AUTHORISED
        )

    async def _apply(self, actor: Actor, old: Doctor, changes: DoctorChanges) -> Doctor:
        department_id, department_name = old.department_id, old.department_name
        if changes.department_id is not None:
            department = await self._get_department(actor, changes.department_id)
            department_id, department_name = department.id, department.name
        return replace(
            old,
            name=changes.name if changes.name is not None else old.name,
            title=changes.title if changes.title is not None else old.title,
            good_at=changes.good_at if changes.good_at is not None else old.good_at,
            fee_fen=check_fee(changes.fee_fen) if changes.fee_fen is not None else old.fee_fen,
            department_id=department_id,
            department_name=department_name,
            given_number=changes.staff_number if changes.staff_number is not None else old.given_number,
        )

    async def _get_own(self, actor: Actor, doctor_id: str) -> Doctor:
        """A doctor on the list of the actor's hospital."""
        doctor = await self.get_doctor(doctor_id)
        if doctor.hospital_id != actor.hospital_id or not doctor.active:
            raise DoctorNotFound
        return doctor

    async def _get_department(self, actor: Actor, department_id: str) -> Department:
        department = await self.doctors.find_department(actor.hospital_id, department_id)
        if department is None:
            raise RequestInvalid(department_id="is not a department of this hospital")
        return department

    def _event(self, actor: Actor, action: str, doctor: Doctor) -> Event:
        return event_of(actor, action, subject=doctor.id, at=self.clock.now(), credentials=doctor.credentials)

    async def _check_right(self, actor: Actor, action: str, subject: str) -> None:
        """Medical administrators only, and the product itself."""
        if actor.role is Role.SYSTEM or (actor.role is Role.STAFF and StaffRole.MEDICAL_ADMIN in actor.staff_roles):
            return
        shown = subject if is_id(subject) else "doctors"
        await self.audit.record(audit_row(actor, action, subject=shown, at=self.clock.now(), outcome=Outcome.DENIED))
        raise Forbidden
