"""The one small model that every hospital's records are mapped to.

What cannot be mapped is kept as text (`Note`, `LabItem.value`), never dropped silently. Instants are aware UTC. `source_id` is
the hospital's own id; outside it is known by `record_id` only, which says nothing and is the same at every look.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from server.kernel.ids import derived_id


class Form(StrEnum):
    """What a record is; also how its pages look."""

    NOTE = "note"
    PRESCRIPTION = "prescription"
    LAB = "lab"
    EXAM = "exam"
    IMAGING = "imaging"


class Flag(StrEnum):
    """How a result stands to its reference: as the hospital says, or, where it says nothing, as its range says."""

    NORMAL = ""
    HIGH = "H"
    LOW = "L"
    CRITICAL_HIGH = "HH"
    CRITICAL_LOW = "LL"
    ABNORMAL = "A"
    CRITICAL = "AA"

    @property
    def is_critical(self) -> bool:
        return self in _CRITICAL


_CRITICAL: Final = frozenset({Flag.CRITICAL_HIGH, Flag.CRITICAL_LOW, Flag.CRITICAL})


@dataclass(frozen=True, slots=True)
class PatientRef:
    """Whose records are asked for, as the product knows the person. `birth_date` and `sex` None: not known.

    `id_type` is `resident`, `passport`, `permit` or `birth_certificate`; `sex` `male` or `female`.
    """

    id_type: str
    id_number: str
    name: str
    birth_date: date | None = None
    sex: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A headed piece of text; the title may be empty."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A clinical document. `sections` in the order of the document."""

    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class PrescribedDrug:
    """One line of a prescription, in the words of the hospital."""

    name: str
    dose: str
    usage: str
    quantity: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Prescription:
    drugs: tuple[PrescribedDrug, ...]
    diagnosis: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """A reference range. `text` is shown where the hospital gave one that is not two numbers."""

    low: float | None = None
    high: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class LabItem:
    """One result. `value` is what is shown; `number` its figure where it is one. `code` joins the same test over time."""

    code: str
    name: str
    value: str
    unit: str
    range: Range
    flag: Flag
    number: float | None = None
    previous: str = ""
    previous_number: float | None = None
    previous_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LabReport:
    """`left_out`: results that the hospital names and did not send."""

    items: tuple[LabItem, ...]
    specimen: str = ""
    conclusion: str = ""
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class ExamReport:
    """An examination in words: ultrasound, ECG, endoscopy, or what the radiologist wrote of images."""

    findings: str
    impression: str
    modality: str = ""
    body_site: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where one picture of a study is, by the hospital's UIDs. `number` counts from 1 within the instance."""

    series_uid: str
    instance_uid: str
    number: int
    caption: str


@dataclass(frozen=True, slots=True)
class ImagingStudy:
    """`patient_numbers`: what the pictures' own PatientID may be."""

    study_uid: str
    modality: str
    description: str
    frames: tuple[Frame, ...]
    body_site: str = ""
    patient_numbers: frozenset[str] = frozenset()


Content = Note | Prescription | LabReport | ExamReport | ImagingStudy


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `abnormal`: it holds a result out of range, or an examination marked so; `critical`: one that cannot wait.
    `source`: which of the hospital's systems it came from, for people; empty where the hospital has one for all."""

    id: str
    form: Form
    title: str
    occurred_at: datetime
    content: Content
    department: str = ""
    author: str = ""
    abnormal: bool = False
    critical: bool = False
    source: str = ""


class MissingReason(StrEnum):
    """Why a part of the records could not be shown."""

    UNAVAILABLE = "unavailable"
    TIMED_OUT = "timed_out"
    UNREADABLE = "unreadable"
    IDENTITY_MISMATCH = "identity_mismatch"
    TOO_MANY = "too_many"


class Part(StrEnum):
    """What is asked of a hospital, each for itself: one part that fails takes no other with it."""

    NOTES = "notes"
    PRESCRIPTIONS = "prescriptions"
    LABS = "labs"
    EXAMS = "exams"
    IMAGING = "imaging"


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that the hospital has, or may have, and that is not shown. `count` of resources; 0: unknown."""

    part: Part
    reason: MissingReason
    count: int = 0


@dataclass(frozen=True, slots=True)
class Chart:
    """What a hospital showed of one patient, newest first, and what it did not."""

    records: tuple[Record, ...]
    missing: tuple[Missing, ...] = ()
    is_known: bool = field(default=True)
    """False: the hospital does not know this person."""

    def find(self, record_id: str) -> Record | None:
        return next((r for r in self.records if r.id == record_id), None)


def record_id(hospital_id: str, source: str, source_id: str) -> str:
    """The id that a hospital's record always has here. `source` is the kind of resource, as the hospital names it."""
    return derived_id("ehr_view.record", hospital_id, source, source_id)


def newest_first(records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple(sorted(records, key=lambda r: (r.occurred_at, r.id), reverse=True))


def is_abnormal(items: Iterable[LabItem]) -> bool:
    return any(item.flag is not Flag.NORMAL for item in items)


def is_critical(items: Iterable[LabItem]) -> bool:
    return any(item.flag.is_critical for item in items)


def flag_of(number: float | None, reference: Range) -> Flag:
    """What a figure's range says of it, for hospitals that send no flag. At a limit is within it."""
    if number is None:
        return Flag.NORMAL
    if reference.high is not None and number > reference.high:
        return Flag.HIGH
    if reference.low is not None and number < reference.low:
        return Flag.LOW
    return Flag.NORMAL
