"""Seeding: the people that a demonstration needs, given as data. Doing it twice changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.domain.doctors import DoctorDetails
from accounts.domain.patients import PatientDetails
from accounts.ports import PatientAccountRepository
from accounts.service import DoctorService, PatientService, StaffService
from server.kernel.actor import PLATFORM, Actor, Role, StaffRole
from server.kernel.clock import Clock
from server.kernel.ids import derived_id
from server.kernel.outbox import event_of


@dataclass(frozen=True, slots=True)
class SeedDoctor:
    """`key` is the caller's name for this one; the id follows from it."""

    key: str
    name: str
    title: str
    department: str
    good_at: str
    fee_fen: int
    phone: str


@dataclass(frozen=True, slots=True)
class SeedPatient:
    """An account by its phone, with one patient. `details.phone` need not be the account's."""

    key: str
    phone: str
    details: PatientDetails


@dataclass(frozen=True, slots=True)
class SeedStaff:
    username: str
    name: str
    password: str
    totp_secret: str
    roles: tuple[StaffRole, ...]


@dataclass(frozen=True, slots=True)
class SeededPatient:
    account_id: str
    patient_id: str


@dataclass(frozen=True, slots=True)
class Seeded:
    """Ids in the order of what was given."""

    doctor_ids: tuple[str, ...]
    patients: tuple[SeededPatient, ...]
    staff_ids: tuple[str, ...]


@dataclass(slots=True)
class Seeder:
    accounts: PatientAccountRepository
    doctors: DoctorService
    patients: PatientService
    staff: StaffService
    clock: Clock

    async def seed(
        self,
        actor: Actor,
        *,
        doctors: Sequence[SeedDoctor] = (),
        patients: Sequence[SeedPatient] = (),
        staff: Sequence[SeedStaff] = (),
    ) -> Seeded:
        """`actor` is a system actor of the hospital. Raises DoctorPhoneTaken where a phone is somebody else's already."""
        return Seeded(
            tuple([await self._doctor(actor, doctor) for doctor in doctors]),
            tuple([await self._patient(actor, patient) for patient in patients]),
            tuple([await self._staff(actor, member) for member in staff]),
        )

    async def _doctor(self, actor: Actor, given: SeedDoctor) -> str:
        department = await self.doctors.ensure_department(actor, given.department)
        details = DoctorDetails(given.name, given.title, department.id, given.good_at, given.fee_fen, given.phone)
        doctor_id = derived_id("seed-doctor", actor.hospital_id, given.key)
        return (await self.doctors.add_doctor(actor, doctor_id, details)).doctor.id

    async def _patient(self, actor: Actor, given: SeedPatient) -> SeededPatient:
        """A phone that signed in before keeps its account, and gets the patient added if it is not there."""
        account_id = derived_id("seed-account", given.key)
        now = self.clock.now()
        event = event_of(actor, "accounts.patient_account_registered", subject=account_id, at=now, hospital_id=PLATFORM)
        account = await self.accounts.register(
            given.phone, account_id=account_id, name=given.details.name, now=now, event=event
        )
        holder = Actor(account.id, Role.PATIENT, PLATFORM, actor.request_id)
        patient_id = derived_id("seed-patient", given.key)
        await self.patients.add_patient(holder, patient_id, given.details)
        return SeededPatient(account.id, patient_id)

    async def _staff(self, actor: Actor, given: SeedStaff) -> str:
        if known := await self.staff.find_staff(actor, given.username):
            return known.id
        account = await self.staff.add_staff(
            actor,
            username=given.username,
            name=given.name,
            password=given.password,
            totp_secret=given.totp_secret,
            roles=given.roles,
        )
        return account.id
