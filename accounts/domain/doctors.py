"""The hospital's authorised doctors, its departments, and how they are found.

The dictionary of readings takes a third of a second to load and is needed only where the list changes: it is imported there,
and not by every process at its start.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice, product
from typing import Final

from server.kernel.actor import DEFAULT_HOSPITAL
from server.kernel.errors import RequestInvalid

FEE_MAX_FEN: Final = 10_000_000
_READINGS: Final = 16
_PLAIN_LETTERS: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Department:
    id: str
    hospital_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Doctor:
    """`active` False: taken off the list; kept because orders name them. The phone is not here: few may see it.
    `given_number`: the hospital's own staff number, no two on the list the same."""

    id: str
    hospital_id: str
    name: str
    title: str
    department_id: str
    department_name: str
    good_at: str
    fee_fen: int
    active: bool
    credentials: int = 1
    version: int = 1
    given_number: str | None = None

    @property
    def staff_number(self) -> str:
        """What the doctor is called by in marks: the hospital's own number where it stated one, else one of ours: short,
        unchanging, of symbols that cannot be confused."""
        if self.given_number is not None:
            return self.given_number
        value = int.from_bytes(sha256(f"staff-number|{self.id}".encode()).digest()[:8], "big")
        return "D" + "".join(_PLAIN_LETTERS[value // len(_PLAIN_LETTERS) ** place % len(_PLAIN_LETTERS)] for place in range(6))


@dataclass(frozen=True, slots=True)
class DoctorDetails:
    """What the hospital states about a doctor."""

    name: str
    title: str
    department_id: str
    good_at: str
    fee_fen: int
    phone: str
    staff_number: str | None = None


@dataclass(frozen=True, slots=True)
class DoctorChanges:
    """What is to change; None stays as it is."""

    name: str | None = None
    title: str | None = None
    department_id: str | None = None
    good_at: str | None = None
    fee_fen: int | None = None
    phone: str | None = None
    staff_number: str | None = None


@dataclass(frozen=True, slots=True)
class DoctorQuery:
    """`q` is matched in name, pinyin (whole and initials), department and what they are good at. `ids` narrows it further."""

    hospital_id: str = DEFAULT_HOSPITAL
    department_id: str | None = None
    q: str | None = None
    ids: frozenset[str] | None = None
    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class DoctorPage:
    items: tuple[Doctor, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ListedDoctor:
    """A doctor as the hospital's administrators see them."""

    doctor: Doctor
    phone: str


@dataclass(frozen=True, slots=True)
class ListedDoctorPage:
    items: tuple[ListedDoctor, ...]
    next_cursor: str | None


def check_fee(fee_fen: int) -> int:
    """The fee itself, in fen. Raises RequestInvalid for one below one fen or beyond all reason."""
    if not 1 <= fee_fen <= FEE_MAX_FEN:
        raise RequestInvalid(fee_fen=f"must be 1 to {FEE_MAX_FEN}")
    return fee_fen


def search_keys(doctor: Doctor) -> list[str]:
    """All that a search for this doctor may hit, in small letters without blanks."""
    from pypinyin import Style, lazy_pinyin

    texts = (doctor.name, doctor.department_name, doctor.good_at, doctor.title)
    keys = [_plain(text) for text in texts]
    keys += _readings(doctor.name)
    for text in (doctor.department_name, doctor.good_at):
        keys.append("".join(lazy_pinyin(text)))
        keys.append("".join(lazy_pinyin(text, style=Style.FIRST_LETTER)))
    return sorted({_plain(key) for key in keys} - {""})


def search_terms(q: str) -> tuple[str, ...]:
    """The words of a typed search, each as it is compared."""
    return tuple(q.lower().split())


def sort_key(name: str) -> str:
    """Lists are in the order of the pinyin of names."""
    from pypinyin import lazy_pinyin

    return _plain("".join(lazy_pinyin(name)))


def _readings(name: str) -> Iterable[str]:
    """Whole pinyin and initials of a name, in every reading that its characters have (曾 is zeng and ceng)."""
    from pypinyin import Style, pinyin

    syllables = pinyin(name, style=Style.NORMAL, heteronym=True)
    for reading in islice(product(*syllables), _READINGS):
        yield "".join(reading)
        yield "".join(syllable[:1] for syllable in reading)


def _plain(text: str) -> str:
    return "".join(text.lower().split())
