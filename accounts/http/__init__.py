"""The routes of accounts: parse, one service method, map."""

from accounts.http.doctors import Doctors
from accounts.http.patients import Consents, Patients
from accounts.http.sign_in import Account, SignIn
from accounts.http.staff import staff_routes
from accounts.service import (
    CodeService,
    ConsentService,
    DoctorService,
    PasswordService,
    PatientService,
    SessionService,
    SignInService,
    StaffService,
)
from server.kernel.edge import Route


def routes(
    codes: CodeService,
    sign_in: SignInService,
    sessions: SessionService,
    passwords: PasswordService,
    doctors: DoctorService,
    patients: PatientService,
    consents: ConsentService,
    staff: StaffService,
) -> list[Route]:
    """All routes of this package. `GET /doctors` is the product's own: it knows who accepts orders."""
    return [
        *SignIn(codes, sign_in, sessions, passwords).routes(),
        *Account(sessions, passwords).routes(),
        *Doctors(doctors).routes(),
        *Patients(patients).routes(),
        *Consents(consents).routes(),
        *staff_routes(staff),
    ]
