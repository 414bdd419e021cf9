"""The rules of accounts: values and now in, decision out."""

from accounts.domain.codes import Purpose, SmsPolicy
from accounts.domain.consents import Consent, Language
from accounts.domain.doctors import (
    Department,
    Doctor,
    DoctorChanges,
    DoctorDetails,
    DoctorPage,
    DoctorQuery,
    ListedDoctor,
    ListedDoctorPage,
)
from accounts.domain.identity import IdType, Sex, age_on, local_day
from accounts.domain.patients import Guardian, Patient, PatientBook, PatientDetails
from accounts.domain.people import PatientAccount, StaffAccount
from accounts.domain.phones import mask_phone
from accounts.domain.sessions import Device, Holder, RevokeReason, Session, SessionPolicy

__all__ = [
    "Consent",
    "Department",
    "Device",
    "Doctor",
    "DoctorChanges",
    "DoctorDetails",
    "DoctorPage",
    "DoctorQuery",
    "Guardian",
    "Holder",
    "IdType",
    "Language",
    "ListedDoctor",
    "ListedDoctorPage",
    "Patient",
    "PatientAccount",
    "PatientBook",
    "PatientDetails",
    "Purpose",
    "RevokeReason",
    "Session",
    "SessionPolicy",
    "Sex",
    "SmsPolicy",
    "StaffAccount",
    "age_on",
    "local_day",
    "mask_phone",
]
