"""The demo is put into an empty database, once, whatever interrupts it; `demo.json` says how its people sign in."""

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from accounts.domain.doctors import DoctorQuery
from accounts.domain.identity import IdType
from accounts.domain.patients import PatientDetails
from accounts.mongo import INDEXES, OUTBOXES, MongoDoctors, MongoPatientAccounts, MongoPatients, MongoSessions, MongoStaff
from accounts.passwords import Argon2Passwords
from accounts.service.doctors import DoctorService
from accounts.service.names import NameService
from accounts.service.patients import PatientService
from accounts.service.sessions import SessionService
from accounts.service.staff import StaffService
from accounts.tokens import SessionTokens
from consult.mongo import INDEXES as CONSULT_INDEXES
from consult.mongo import MongoDesks, MongoQuickPrices
from consult.service.offers import FreeDoctors, QuickOffers
from server.app.demo import DemoServices, seed_demo
from server.kernel.actor import DEFAULT_HOSPITAL, PLATFORM, Actor, Role, system_actor
from server.kernel.audit import AuditLog
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from server.kernel.outbox import Relay
from tests.support.clock import ManualClock
from tests.support.indexes import make_indexes


@dataclass(frozen=True, slots=True)
class _Settings:
    data_dir: Path
    demo_doctors: int = 4
    demo_patients: int = 8
    public_url: str = "http://127.0.0.1:8080"
    simulators_url: str = "http://127.0.0.1:8090"

    def read(self) -> Any:
        return json.loads((self.data_dir / "demo.json").read_text())


@dataclass(slots=True)
class House:
    """Accounts, and the demo upon it."""

    database: Database
    keyring: Keyring
    services: DemoServices
    relay: Relay

    async def seed(self, settings: _Settings) -> bool:
        done = await seed_demo(self.database, self.keyring, self.services, settings, outboxes=OUTBOXES)
        await self.relay.close()
        return done


@pytest.fixture
async def house(database: Database, clock: ManualClock) -> House:
    await make_indexes(database, INDEXES, CONSULT_INDEXES)
    keyring = Keyring(MasterKey(bytes(32)), database)
    audit = AuditLog(database)
    relay = Relay(database, audit)
    relay.watch(*OUTBOXES)
    accounts, patients = MongoPatientAccounts(database, keyring, relay), MongoPatients(database, keyring, relay)
    doctors, staff = MongoDoctors(database, keyring, relay), MongoStaff(database, keyring, relay)
    names = NameService(accounts, patients, doctors, staff, clock)
    sessions = SessionService(MongoSessions(database, keyring, relay), SessionTokens(bytes(32), bytes(32)), names, audit, clock)
    passwords = Argon2Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    doctor_list = DoctorService(doctors, sessions, audit, clock)
    services = DemoServices(
        doctors=doctor_list,
        staff=StaffService(staff, sessions, passwords, clock, audit),
        patients=PatientService(patients, audit, clock),
        offers=QuickOffers(
            MongoQuickPrices(database), doctor_list, FreeDoctors(doctor_list, MongoDesks(database), clock), audit, relay, clock
        ),
        patient_accounts=accounts,
        clock=clock,
    )
    return House(database, keyring, services, relay)


async def _counts(database: Database) -> dict[str, int]:
    names = ("doctors", "staff_accounts", "patient_accounts", "patients", "departments", "quick_prices")
    return {name: await database[name].count_documents({}) for name in names}


_ALL = {"doctors": 4, "staff_accounts": 6, "patient_accounts": 8, "patients": 8, "departments": 4, "quick_prices": 4}


async def test_everyone_in_the_file_is_in_the_database(house: House, tmp_path: Path) -> None:
    settings = _Settings(tmp_path)
    assert await house.seed(settings)
    demo = settings.read()
    assert list(demo) == ["base_url", "simulators_url", "patients", "doctors", "staff"]
    assert (demo["base_url"], demo["simulators_url"]) == ("http://127.0.0.1:8080", "http://127.0.0.1:8090")
    page = await house.services.doctors.list_doctors(DoctorQuery())
    listed = {(d.id, d.name, d.department_name) for d in page.items}
    assert {(d["doctor_id"], d["name"], d["department"]) for d in demo["doctors"]} == listed
    for doctor in demo["doctors"]:
        assert sorted(doctor) == ["department", "doctor_id", "name", "phone"]
        found = await house.services.doctors.doctors.find_by_phone(DEFAULT_HOSPITAL, doctor["phone"])
        assert found is not None
        assert found.id == doctor["doctor_id"]
    for patient in demo["patients"]:
        assert sorted(patient) == ["name", "phone"]
        account = await house.services.patient_accounts.find_by_phone(patient["phone"])
        assert account is not None
        book = await house.services.patients.patients.load(DEFAULT_HOSPITAL, account.id)
        assert [(p.name, p.phone) for p in book.items] == [(patient["name"], patient["phone"])]
    for member in demo["staff"]:
        assert sorted(member) == ["password", "roles", "totp_secret", "username"]
        found_member = await house.services.staff.find_staff(system_actor(), member["username"])
        assert found_member is not None
        assert (found_member.totp_secret, sorted(found_member.roles)) == (member["totp_secret"], sorted(member["roles"]))
        assert await house.services.staff.passwords.verify(found_member.password_hash, member["password"])
    assert await _counts(house.database) == _ALL


async def test_the_file_is_for_its_owner_only(house: House, tmp_path: Path) -> None:
    await house.seed(_Settings(tmp_path))
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600


async def test_a_second_run_rewrites_the_file_and_adds_nobody(house: House, tmp_path: Path) -> None:
    settings = _Settings(tmp_path)
    await house.seed(settings)
    first = settings.read()
    moved = _Settings(tmp_path / "elsewhere", demo_doctors=9, demo_patients=1, public_url="https://consult.example")
    assert await house.seed(moved)
    assert moved.read() == first | {"base_url": "https://consult.example"}
    assert await _counts(house.database) == _ALL


async def test_an_interrupted_seeding_goes_on_where_it_stopped(house: House, tmp_path: Path) -> None:
    settings = _Settings(tmp_path)
    await house.seed(settings)
    first = settings.read()
    database = house.database
    await database["meta"].update_one({"_id": "demo"}, {"$set": {"done": False}})
    for name in ("doctors", "staff_accounts", "patient_accounts", "patients"):
        gone = [d["_id"] async for d in database[name].find({}, {"_id": 1}, limit=2)]
        await database[name].delete_many({"_id": {"$in": gone}})
    assert await house.seed(settings)
    assert settings.read() == first
    assert await _counts(database) == _ALL


async def test_a_database_with_business_in_it_is_not_filled(house: House, tmp_path: Path, clock: ManualClock) -> None:
    patient = Actor(new_id(), Role.PATIENT, PLATFORM, new_id())
    details = PatientDetails("王芳", IdType.RESIDENT, "11010519491231002X", "13900001111")
    await house.services.patients.add_patient(patient, new_id(), details)
    assert not await house.seed(_Settings(tmp_path))
    assert not (tmp_path / "demo.json").exists()
    assert await _counts(house.database) == dict.fromkeys(_ALL, 0) | {"patients": 1}


async def test_what_is_secret_is_not_readable_in_the_database(house: House, tmp_path: Path) -> None:
    settings = _Settings(tmp_path)
    await house.seed(settings)
    stored = str(await house.database["meta"].find_one({"_id": "demo"}))
    stored += str(await house.database["staff_accounts"].find().to_list())
    for member in settings.read()["staff"]:
        assert member["password"] not in stored
        assert member["totp_secret"] not in stored
