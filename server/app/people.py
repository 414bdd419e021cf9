"""Who there is: the registers of accounts put together, and the sessions that hang on them."""

from dataclasses import dataclass
from typing import Final

from accounts.domain.sessions import SessionPolicy
from accounts.mongo import MongoDoctors, MongoPatientAccounts, MongoPatients, MongoSessions, MongoStaff
from accounts.ports import Passwords
from accounts.service.doctors import DoctorService
from accounts.service.names import NameService
from accounts.service.patients import PatientService
from accounts.service.sessions import SessionService
from accounts.service.staff import StaffService
from accounts.tokens import SessionTokens
from server.app.ground import Ground
from server.app.settings import Settings
from server.kernel.settings import Rate

_GUESSES_A_CODE: Final = 10
"""So many wrong codes and passwords an address may try for each SMS that it may ask for."""


@dataclass(frozen=True, slots=True)
class People:
    patient_accounts: MongoPatientAccounts
    patient_books: MongoPatients
    doctor_list: MongoDoctors
    staff_list: MongoStaff
    names: NameService
    sessions: SessionService
    doctors: DoctorService
    patients: PatientService
    staff: StaffService


def people_of(ground: Ground, settings: Settings, passwords: Passwords) -> People:
    """`passwords` makes the hashes of staff who are added or renewed here."""
    store = (ground.database, ground.keyring, ground.relay)
    accounts, books, doctors, staff = (
        MongoPatientAccounts(*store),
        MongoPatients(*store),
        MongoDoctors(*store),
        MongoStaff(*store),
    )
    names = NameService(accounts, books, doctors, staff, ground.clock)
    tokens = SessionTokens(ground.master.secret("access-token"), ground.master.secret("refresh-token"))
    wrong_ones = Rate(settings.sms_per_address.count * _GUESSES_A_CODE, settings.sms_per_address.per)
    sessions = SessionService(
        MongoSessions(*store), tokens, names, ground.audit, ground.clock, SessionPolicy(guesses=wrong_ones)
    )
    return People(
        patient_accounts=accounts,
        patient_books=books,
        doctor_list=doctors,
        staff_list=staff,
        names=names,
        sessions=sessions,
        doctors=DoctorService(doctors, sessions, ground.audit, ground.clock),
        patients=PatientService(books, ground.audit, ground.clock, settings.patients_per_account),
        staff=StaffService(staff, sessions, passwords, ground.clock, ground.audit),
    )
