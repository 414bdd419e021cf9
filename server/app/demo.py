"""The demo: people to try the product with, put into an empty database once, and `demo.json`, which says how they sign in.

What is random (staff passwords, TOTP secrets) comes from one seed, kept sealed in the database. So a seeding that was
interrupted goes on where it stopped, and the file can be written anew at each start.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from pymongo.errors import DuplicateKeyError

from accounts.domain.doctors import DoctorDetails
from accounts.domain.identity import IdType
from accounts.domain.patients import Guardian, PatientDetails
from accounts.errors import StaffUsernameTaken
from accounts.ports import PatientAccountRepository
from accounts.service.doctors import DoctorService
from accounts.service.patients import PatientService
from accounts.service.staff import StaffService
from consult.service.offers import QuickOffers
from server.app.demo_people import DemoDoctor, DemoPatient, DemoStaff, list_doctors, list_patients, list_staff
from server.kernel.actor import DEFAULT_HOSPITAL, PLATFORM, Actor, Role, system_actor
from server.kernel.clock import Clock
from server.kernel.crypto import Keyring
from server.kernel.ids import new_id
from server.kernel.mongo import ALL_HOSPITALS, Database
from server.kernel.outbox import event_of

DEMO: Final = "demo"
META: Final = "meta"
_SEED_BYTES: Final = 32
_AT_ONCE: Final = 8


class DemoSettings(Protocol):
    """What the settings say of the demo and of where things are."""

    @property
    def data_dir(self) -> Path: ...
    @property
    def demo_doctors(self) -> int: ...
    @property
    def demo_patients(self) -> int: ...
    @property
    def public_url(self) -> str: ...
    @property
    def simulators_url(self) -> str: ...


@dataclass(frozen=True, slots=True)
class DemoServices:
    """Through whom people come into the database: the same ways as in earnest."""

    doctors: DoctorService
    staff: StaffService
    patients: PatientService
    offers: QuickOffers
    patient_accounts: PatientAccountRepository
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Plan:
    seed: bytes
    doctors: int
    patients: int
    is_done: bool


async def seed_demo(
    database: Database, keyring: Keyring, services: DemoServices, settings: DemoSettings, *, outboxes: Iterable[str]
) -> bool:
    """Put the demo into a database that holds no business yet, and write `demo.json`. Running it again only rewrites the file.

    `outboxes` are the collections that business is in: one document in any of them, and the database is not ours to fill.
    False when it was not empty and holds no demo; then nothing is written.
    """
    plan = await _find_plan(database, keyring)
    if plan is None:
        if not await _is_empty(database, outboxes):
            return False
        plan = await _make_plan(database, keyring, settings)
    people = (
        list_doctors(plan.doctors),
        list_patients(plan.patients, services.clock.now()),
        list_staff(plan.seed),
    )
    if not plan.is_done:
        await _Seeder(services).add_all(*people)
        await database[META].update_one(_key(), {"$set": {"done": True}})
    _write(settings, *people)
    return True


async def _is_empty(database: Database, outboxes: Iterable[str]) -> bool:
    for name in outboxes:
        if await database[name].find_one({}, projection={"_id": True}, comment=ALL_HOSPITALS) is not None:
            return False
    return True


def _key() -> dict[str, str]:
    return {"_id": DEMO, "hospital_id": DEFAULT_HOSPITAL}


async def _find_plan(database: Database, keyring: Keyring) -> _Plan | None:
    stored = await database[META].find_one(_key())
    if stored is None:
        return None
    keys = await keyring.hospital(DEFAULT_HOSPITAL)
    seed = keys.open_bytes(bytes(stored["seed"]), field="meta.seed", owner=DEMO)
    return _Plan(seed, int(stored["doctors"]), int(stored["patients"]), bool(stored["done"]))


async def _make_plan(database: Database, keyring: Keyring, settings: DemoSettings) -> _Plan:
    """Decide once what the demo is; of two at once one decides."""
    keys = await keyring.hospital(DEFAULT_HOSPITAL)
    sealed = keys.seal_bytes(os.urandom(_SEED_BYTES), field="meta.seed", owner=DEMO)
    document: dict[str, Any] = {**_key(), "seed": sealed, "done": False}
    document |= {"doctors": settings.demo_doctors, "patients": settings.demo_patients}
    with contextlib.suppress(DuplicateKeyError):  # another decided
        await database[META].insert_one(document)
    plan = await _find_plan(database, keyring)
    if plan is None:
        raise RuntimeError("the plan of the demo vanished")
    return plan


class _Seeder:
    """Adds people by ids that are derived, so that adding twice is adding once."""

    def __init__(self, services: DemoServices) -> None:
        self._services = services
        self._actor = system_actor(name=DEMO)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def add_all(self, doctors: Sequence[DemoDoctor], patients: Sequence[DemoPatient], staff: Sequence[DemoStaff]) -> None:
        names = dict.fromkeys(doctor.department for doctor in doctors)
        departments = {name: (await self._services.doctors.ensure_department(self._actor, name)).id for name in names}
        for name, department_id in departments.items():
            cheapest = min(doctor.fee_fen for doctor in doctors if doctor.department == name)
            await self._services.offers.set_price(self._actor, department_id, cheapest)
        async with asyncio.TaskGroup() as adding:
            for member in staff:
                adding.create_task(self._in_turn(self._add_staff(member)))
            for doctor in doctors:
                adding.create_task(self._in_turn(self._add_doctor(doctor, departments[doctor.department])))
            for patient in patients:
                adding.create_task(self._in_turn(self._add_patient(patient)))

    async def _in_turn(self, adding: Awaitable[None]) -> None:
        async with self._slots:
            await adding

    async def _add_doctor(self, doctor: DemoDoctor, department_id: str) -> None:
        details = DoctorDetails(
            name=doctor.name,
            title=doctor.title,
            department_id=department_id,
            good_at=doctor.good_at,
            fee_fen=doctor.fee_fen,
            phone=doctor.phone,
        )
        await self._services.doctors.add_doctor(self._actor, doctor.id, details)

    async def _add_staff(self, member: DemoStaff) -> None:
        try:
            await self._services.staff.add_staff(
                self._actor,
                username=member.username,
                name=member.name,
                password=member.password,
                totp_secret=member.totp_secret,
                roles=member.roles,
                account_id=member.id,
            )
        except StaffUsernameTaken:
            return  # added before the interruption

    async def _add_patient(self, patient: DemoPatient) -> None:
        now = self._services.clock.now()
        holder = Actor(account_id=patient.account_id, role=Role.PATIENT, hospital_id=PLATFORM, request_id=new_id())
        event = event_of(holder, "accounts.patient_account_registered", subject=patient.account_id, at=now)
        account = await self._services.patient_accounts.register(
            patient.phone, account_id=patient.account_id, name=None, now=now, event=event
        )
        guardian = None
        if patient.guardian_name is not None and patient.guardian_id_number is not None:
            guardian = Guardian(patient.guardian_name, patient.guardian_id_number)
        details = PatientDetails(patient.name, IdType.RESIDENT, patient.id_number, patient.phone, guardian)
        await self._services.patients.add_patient(replace(holder, account_id=account.id), patient.patient_id, details)


def _write(
    settings: DemoSettings, doctors: Sequence[DemoDoctor], patients: Sequence[DemoPatient], staff: Sequence[DemoStaff]
) -> None:
    """Replace `demo.json` in one step, readable by its owner only: it holds passwords."""
    content = {
        "base_url": settings.public_url,
        "simulators_url": settings.simulators_url,
        "patients": [{"phone": p.phone, "name": p.name} for p in patients],
        "doctors": [{"phone": d.phone, "doctor_id": d.id, "name": d.name, "department": d.department} for d in doctors],
        "staff": [
            {
                "username": s.username,
                "password": s.password,
                "totp_secret": s.totp_secret,
                "roles": [role.value for role in s.roles],
            }
            for s in staff
        ],
    }
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    fresh = settings.data_dir / ".demo.json.new"
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=2)
        file.write("\n")
    fresh.replace(settings.data_dir / "demo.json")
