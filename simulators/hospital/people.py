"""Who the hospital's patients are: whoever has a valid identity number, the same person at every look.

All that is random about a person comes from the number, so two servers, or one started again, know the same people.
"""

import random
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final

RESIDENT_SYSTEM: Final = "urn:oid:2.16.156.10011.1.3"
"""The resident identity number, by the national assignment of OIDs."""

OTHER_SYSTEM: Final = "urn:yunzhen:simulated-hospital:identity-document"
MRN_SYSTEM: Final = "urn:yunzhen:simulated-hospital:mrn"

_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS: Final = "10X98765432"
_RESIDENT: Final = re.compile(r"[1-8][0-9]{16}[0-9X]")
_OTHER: Final = re.compile(r"(?=.*[0-9])[A-Z0-9]{5,15}")


@dataclass(frozen=True, slots=True)
class Person:
    """`id` is the hospital's own id, `mrn` its number of the patient. `birth_date` and `male` are what the number says, or
    for numbers that say nothing what the hospital takes the person for (`is_stated` False: then it does not tell them)."""

    id: str
    number: str
    mrn: str
    birth_date: date
    male: bool
    is_stated: bool

    @property
    def system(self) -> str:
        return RESIDENT_SYSTEM if self.is_stated else OTHER_SYSTEM

    def age_at(self, at: datetime) -> int:
        return at.year - self.birth_date.year - ((at.month, at.day) < (self.birth_date.month, self.birth_date.day))

    def random(self, *purpose: object) -> random.Random:
        """Chance that is always the same for this person and purpose."""
        return random.Random("|".join([self.number, *map(str, purpose)]))


@lru_cache(maxsize=4096)
def find_person(number: str) -> Person | None:
    """The person with this number; None for a number that no document has."""
    number = number.strip().upper()
    digest = sha256(b"simulated-hospital|" + number.encode()).hexdigest()
    if _RESIDENT.fullmatch(number):
        born = _birth_date(number)
        if born is None:
            return None
        return Person(digest[:24], number, f"M{int(digest[24:32], 16) % 10**8:08d}", born, int(number[16]) % 2 == 1, True)
    if not _OTHER.fullmatch(number):
        return None
    chance = random.Random(digest)
    years = 1 if re.fullmatch(r"[A-Z][0-9]{9}", number) else chance.randint(22, 66)
    born = date(2025 - years, chance.randint(1, 12), chance.randint(1, 28))
    return Person(digest[:24], number, f"M{int(digest[24:32], 16) % 10**8:08d}", born, chance.random() < 0.5, False)


def _birth_date(number: str) -> date | None:
    if _CHECKS[sum(int(d) * w for d, w in zip(number[:17], _WEIGHTS, strict=True)) % 11] != number[-1]:
        return None
    try:
        return datetime(int(number[6:10]), int(number[10:12]), int(number[12:14]), tzinfo=UTC).date()
    except ValueError:
        return None
