"""The patients of one account: at most so many, each identity number once, exactly one default while there is any.

An account's patients are one aggregate (`PatientBook`): every rule is decided over all of them and saved under the book's
version, so that no two changes can each be right and both together wrong.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime

from accounts.domain.identity import IdType, Sex, check_birth_date, check_identity, is_minor, local_day
from accounts.domain.phones import check_phone
from accounts.errors import PatientDuplicate, PatientLimitReached, PatientNotFound
from server.kernel.errors import RequestInvalid


@dataclass(frozen=True, slots=True)
class Guardian:
    """Who answers for a child; an adult with a resident identity number."""

    name: str
    id_number: str


@dataclass(frozen=True, slots=True)
class PatientDetails:
    """What a person states about a patient, before it is checked. `birth_date` and `sex` are for documents that say neither."""

    name: str
    id_type: IdType
    id_number: str
    phone: str
    guardian: Guardian | None = None
    birth_date: date | None = None
    sex: Sex | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient as checked and stored. Numbers are whole here and masked on the wire.

    `birth_date` None: the document does not say and nobody stated it.
    """

    id: str
    hospital_id: str
    account_id: str
    name: str
    id_type: IdType
    id_number: str
    phone: str
    sex: Sex
    birth_date: date | None
    guardian: Guardian | None
    created_at: datetime
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class PatientBook:
    """All patients of one account at one hospital, oldest first. `version` 0: nothing is stored yet."""

    hospital_id: str
    account_id: str
    version: int = 0
    default_id: str | None = None
    items: tuple[Patient, ...] = field(default=())

    def find(self, patient_id: str) -> Patient | None:
        return next((replace(p, is_default=p.id == self.default_id) for p in self.items if p.id == patient_id), None)

    def get(self, patient_id: str) -> Patient:
        """Raises PatientNotFound."""
        if (patient := self.find(patient_id)) is None:
            raise PatientNotFound
        return patient

    def default(self) -> Patient | None:
        return None if self.default_id is None else self.find(self.default_id)

    def listed(self) -> tuple[Patient, ...]:
        """As people see them: the default first, then by age of the entry."""
        marked = [replace(p, is_default=p.id == self.default_id) for p in self.items]
        return tuple(sorted(marked, key=lambda p: (not p.is_default, p.created_at, p.id)))


def check_details(details: PatientDetails, now: datetime) -> PatientDetails:
    """The details in their normal form, with the sex and date of birth that the number says. Raises RequestInvalid."""
    day = local_day(now)
    identity = check_identity(details.id_type, details.id_number, day)
    birth_date, sex = details.birth_date, details.sex
    if identity.birth_date is not None:
        if birth_date not in (None, identity.birth_date):
            raise RequestInvalid(birth_date="is not what the identity number says")
        if sex not in (None, Sex.UNKNOWN, identity.sex):
            raise RequestInvalid(sex="is not what the identity number says")
        birth_date, sex = identity.birth_date, identity.sex
    elif birth_date is not None:
        check_birth_date(birth_date, day, field="birth_date")
    return replace(
        details,
        id_number=identity.number,
        phone=check_phone(details.phone),
        birth_date=birth_date,
        sex=sex or Sex.UNKNOWN,
        guardian=_check_guardian(details, identity.number, birth_date, day),
    )


def _check_guardian(details: PatientDetails, number: str, birth_date: date | None, day: date) -> Guardian | None:
    """A child needs one, and so does whoever is known by a birth certificate only."""
    guardian = details.guardian
    if guardian is None:
        if details.id_type is IdType.BIRTH_CERTIFICATE or (birth_date is not None and is_minor(birth_date, day)):
            raise RequestInvalid(guardian="is needed for a patient under 18")
        return None
    identity = check_identity(IdType.RESIDENT, guardian.id_number, day, field="guardian.id_number")
    if identity.birth_date is None or is_minor(identity.birth_date, day):
        raise RequestInvalid(**{"guardian.id_number": "must be that of an adult"})
    if identity.number == number:
        raise RequestInvalid(**{"guardian.id_number": "must not be that of the patient"})
    return Guardian(guardian.name, identity.number)


def add_patient(
    book: PatientBook, patient_id: str, details: PatientDetails, *, make_default: bool, limit: int, now: datetime
) -> PatientBook:
    """The book with one more. The first one is the default. An id that is there already changes nothing.

    Raises PatientDuplicate, PatientLimitReached, RequestInvalid.
    """
    if book.find(patient_id) is not None:
        return book
    checked = check_details(details, now)
    _check_unique(book, patient_id, checked)
    if len(book.items) >= limit:
        raise PatientLimitReached(limit=limit)
    patient = _patient(book, patient_id, checked, created_at=now)
    default_id = patient_id if make_default or book.default_id is None else book.default_id
    return replace(book, items=(*book.items, patient), default_id=default_id)


def change_patient(book: PatientBook, patient_id: str, details: PatientDetails, *, now: datetime) -> PatientBook:
    """The book with this one's details replaced. Raises PatientNotFound, PatientDuplicate, RequestInvalid."""
    old = book.get(patient_id)
    checked = check_details(details, now)
    _check_unique(book, patient_id, checked)
    new = _patient(book, patient_id, checked, created_at=old.created_at)
    return replace(book, items=tuple(new if p.id == patient_id else p for p in book.items))


def make_default(book: PatientBook, patient_id: str) -> PatientBook:
    """The book with another default. Raises PatientNotFound."""
    return replace(book, default_id=book.get(patient_id).id)


def remove_patient(book: PatientBook, patient_id: str) -> PatientBook:
    """The book without this one; when it was the default, the oldest that is left becomes it. Raises PatientNotFound."""
    book.get(patient_id)
    left = tuple(p for p in book.items if p.id != patient_id)
    default_id = book.default_id
    if default_id == patient_id:
        default_id = min(left, key=lambda p: (p.created_at, p.id)).id if left else None
    return replace(book, items=left, default_id=default_id)


def details_of(patient: Patient) -> PatientDetails:
    """What would make this patient again."""
    return PatientDetails(
        name=patient.name,
        id_type=patient.id_type,
        id_number=patient.id_number,
        phone=patient.phone,
        guardian=patient.guardian,
        birth_date=patient.birth_date,
        sex=patient.sex,
    )


def _check_unique(book: PatientBook, patient_id: str, details: PatientDetails) -> None:
    if any(p.id != patient_id and p.id_type is details.id_type and p.id_number == details.id_number for p in book.items):
        raise PatientDuplicate


def _patient(book: PatientBook, patient_id: str, details: PatientDetails, *, created_at: datetime) -> Patient:
    return Patient(
        id=patient_id,
        hospital_id=book.hospital_id,
        account_id=book.account_id,
        name=details.name,
        id_type=details.id_type,
        id_number=details.id_number,
        phone=details.phone,
        sex=details.sex or Sex.UNKNOWN,
        birth_date=details.birth_date,
        guardian=details.guardian,
        created_at=created_at,
    )
