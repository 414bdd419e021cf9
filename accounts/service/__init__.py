"""The use cases of accounts."""

from accounts.service.codes import CodeService
from accounts.service.consents import ConsentService
from accounts.service.doctors import DoctorService
from accounts.service.names import NameService
from accounts.service.passwords import PasswordService
from accounts.service.patients import PatientService
from accounts.service.sessions import SessionService
from accounts.service.sign_in import SignInService
from accounts.service.staff import StaffService
from accounts.service.texts import TextService

__all__ = [
    "CodeService",
    "ConsentService",
    "DoctorService",
    "NameService",
    "PasswordService",
    "PatientService",
    "SessionService",
    "SignInService",
    "StaffService",
    "TextService",
]
