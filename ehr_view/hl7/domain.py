"""What a message says, in our words, and the people whom it says it of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum, StrEnum
from typing import Final

from ehr_view.domain.records import PatientRef, Record
from server.kernel.clock import to_ms

_RESIDENT: Final = re.compile(r"[1-8]\d{16}[\dX]")
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS: Final = "10X98765432"

RECEIVED: Final = "hl7.message_accepted"
REFUSED: Final = "hl7.message_refused"
RETRIED: Final = "hl7.message_retried"
DROPPED: Final = "hl7.message_dropped"


class MessageStatus(StrEnum):
    """FAILED waits for repair: it is taken again, or dropped by a person."""

    ACCEPTED = "accepted"
    FAILED = "failed"
    DROPPED = "dropped"


TRANSITIONS: Final[Mapping[MessageStatus, frozenset[MessageStatus]]] = {
    MessageStatus.FAILED: frozenset({MessageStatus.ACCEPTED, MessageStatus.FAILED, MessageStatus.DROPPED}),
    MessageStatus.DROPPED: frozenset({MessageStatus.FAILED, MessageStatus.ACCEPTED}),
    MessageStatus.ACCEPTED: frozenset(),
}
"""What a stored message may become. A dropped one that is sent again is as if it were new."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A document: `resident`, `passport`, `permit` or `birth_certificate`, and its number."""

    id_type: str
    id_number: str


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """Whom a message is about. `cards`: the hospital's own numbers of the person, as `authority|number`; `names`: every way
    that it writes the name. What it does not say is None or empty."""

    identity: Identity | None
    cards: tuple[str, ...]
    names: tuple[str, ...] = ()
    birth_date: date | None = None
    sex: str | None = None


class Standing(IntEnum):
    """How far a report is, by the sender's word for it: of two forms of the same instant the later stage is the newer."""

    PENDING = 0
    PRELIMINARY = 1
    FINAL = 2
    CORRECTED = 3
    WITHDRAWN = 4


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Which of two forms of a record is the newer one, whichever comes first: the greater.

    `changed_at`: when its sender says that it became so (OBR-22), else when the message was sent. A report that is sent once
    more, later, is as old as it was; of two forms of one instant the later stage counts, then the later message.
    """

    changed_at: datetime
    standing: Standing
    sent_at: datetime

    @property
    def text(self) -> str:
        """The same order, for texts: milliseconds since 1970 (or 0), stage, milliseconds."""
        changed, sent = (f"{max(0, to_ms(at)):015d}" for at in (self.changed_at, self.sent_at))
        return f"{changed}.{self.standing:d}.{sent}"


@dataclass(frozen=True, slots=True)
class ArrivedRecord:
    """A record, or that one was taken back (`is_withdrawn`)."""

    record: Record
    version: Version
    is_withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """One person's part of a message. `sent_at`: of two that say whose a number is, the later one counts. `merged_cards` are
    the person's from now on."""

    person: PersonFacts
    sent_at: datetime
    records: tuple[ArrivedRecord, ...] = ()
    withdrawn_ids: tuple[str, ...] = ()
    merged_cards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """A message as kept. `data` empty: it is not kept any more."""

    id: str
    hospital_id: str
    kind: str
    control_id: str
    status: MessageStatus
    reason: str
    where: str
    received_at: datetime
    tries: int
    digest: bytes
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """A record that came, with what its message said of the person."""

    record: Record
    person: PersonFacts


@dataclass(frozen=True, slots=True)
class StoredForm:
    """The form of a record that is held now: `version` as text, empty where none was kept."""

    held: HeldRecord
    version: str
    is_withdrawn: bool


def is_resident_number(number: str) -> bool:
    """Whether this is a resident identity number: form, day of birth, check digit."""
    if not _RESIDENT.fullmatch(number) or birth_date_of(number) is None:
        return False
    return _CHECKS[sum(int(digit) * weight for digit, weight in zip(number, _WEIGHTS, strict=False)) % 11] == number[17]


def birth_date_of(number: str) -> date | None:
    try:
        return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return None


def contradicts_itself(person: PersonFacts) -> bool:
    """Whether the resident number says another day of birth or another sex than the message: two persons may be mixed up."""
    if person.identity is None or person.identity.id_type != "resident":
        return False
    number = person.identity.id_number
    sex = "male" if int(number[16]) % 2 else "female"
    return (person.birth_date is not None and person.birth_date != birth_date_of(number)) or (
        person.sex in ("male", "female") and person.sex != sex
    )


def identity_of(patient: PatientRef) -> Identity:
    return Identity(patient.id_type, patient.id_number.strip().upper())


def is_same_person(person: PersonFacts, patient: PatientRef) -> bool:
    """Whether a record's person is ours, whose number it has: day of birth, sex and name where both say."""
    if person.birth_date is not None and patient.birth_date is not None and person.birth_date != patient.birth_date:
        return False
    known = ("male", "female")
    if person.sex in known and patient.sex in known and person.sex != patient.sex:
        return False
    return not person.names or _plain(patient.name) in {_plain(name) for name in person.names}


def _plain(name: str) -> str:
    return "".join(name.split()).replace("•", "·").casefold()


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of a failed message that was taken again."""

    message_id: str
    is_accepted: bool
    reason: str = ""
