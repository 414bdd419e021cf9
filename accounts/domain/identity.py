"""Identity numbers: which are well formed, what they say of their holder, how they are shown.

Resident numbers follow GB 11643-1999: six digits of place (GB/T 2260), eight of birth, three of order (the last one odd for
men), one check character by ISO 7064 MOD 11-2.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Final

from server.kernel.errors import RequestInvalid

SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
"""China has one time and no summer time; whether somebody is of age is a question of the local day."""

ADULT_YEARS: Final = 18
_OLDEST_YEARS: Final = 150
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS: Final = "10X98765432"
_PROVINCES: Final = frozenset(
    str(code)
    for codes in (range(11, 16), range(21, 24), range(31, 38), range(41, 47), range(50, 55), range(61, 66), (71, 81, 82, 83))
    for code in codes
)
_RESIDENT: Final = re.compile(r"[1-8][0-9]{16}[0-9X]")
_PASSPORT: Final = re.compile(r"(?=.*[0-9])[A-Z0-9]{5,12}")
_PERMITS: Final = (
    re.compile(r"[HM][0-9]{8}(?:[0-9]{2})?"),  # residents of Hong Kong and Macao
    re.compile(r"[0-9]{8}"),  # residents of Taiwan
    re.compile(r"[0-9]{10}[A-Z]?"),  # residents of Taiwan, the older form
    re.compile(r"[A-Z]{3}[0-9]{12}"),  # permanent residents from abroad
)
_BIRTH_CERTIFICATE: Final = re.compile(r"[A-Z][0-9]{9}")


class IdType(StrEnum):
    RESIDENT = "resident"
    PASSPORT = "passport"
    PERMIT = "permit"
    BIRTH_CERTIFICATE = "birth_certificate"


class Sex(StrEnum):
    """As the identity document says; UNKNOWN where it says nothing."""

    MALE = "male"
    FEMALE = "female"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Identity:
    """A checked number and what it says. `birth_date` and `sex` are known of residents only."""

    number: str
    birth_date: date | None = None
    sex: Sex = Sex.UNKNOWN


def local_day(now: datetime) -> date:
    """The day it is in China."""
    return now.astimezone(SHANGHAI).date()


def age_on(birth_date: date, day: date) -> int:
    """Whole years. Who was born on 29 February grows older on 1 March of common years."""
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))


def is_minor(birth_date: date, day: date) -> bool:
    """Under 18; on the eighteenth birthday one is of age."""
    return age_on(birth_date, day) < ADULT_YEARS


def check_birth_date(birth_date: date, day: date, *, field: str) -> date:
    """The date itself. Raises RequestInvalid for a day to come or one that nobody alive was born on."""
    if birth_date > day or age_on(birth_date, day) > _OLDEST_YEARS:
        raise RequestInvalid(**{field: "is not a possible date of birth"})
    return birth_date


def check_identity(id_type: IdType, number: str, day: date, *, field: str = "id_number") -> Identity:
    """The number in its normal form (capitals, no blanks) and what it says.

    Raises RequestInvalid naming `field`; the number itself is never in an error.
    """
    normal = number.strip().upper()
    match id_type:
        case IdType.RESIDENT:
            return _check_resident(normal, day, field)
        case IdType.PASSPORT:
            valid = _PASSPORT.fullmatch(normal) is not None
        case IdType.PERMIT:
            if normal[:2] in {"81", "82", "83"} and len(normal) == 18:  # residence permit: made like a resident number
                return _check_resident(normal, day, field)
            valid = any(form.fullmatch(normal) for form in _PERMITS)
        case IdType.BIRTH_CERTIFICATE:
            valid = _BIRTH_CERTIFICATE.fullmatch(normal) is not None
    if not valid:
        raise RequestInvalid(**{field: f"is not the number of a {id_type.value}"})
    return Identity(normal)


def _check_resident(number: str, day: date, field: str) -> Identity:
    if not _RESIDENT.fullmatch(number) or not number.isascii() or number[:2] not in _PROVINCES:
        raise RequestInvalid(**{field: "is not a resident identity number"})
    if check_character(number) != number[-1]:
        raise RequestInvalid(**{field: "has a wrong check character"})
    try:
        birth_date = datetime(int(number[6:10]), int(number[10:12]), int(number[12:14]), tzinfo=UTC).date()
    except ValueError:
        raise RequestInvalid(**{field: "holds no date of birth"}) from None
    check_birth_date(birth_date, day, field=field)
    return Identity(number, birth_date, Sex.MALE if int(number[16]) % 2 else Sex.FEMALE)


def check_character(number: str) -> str:
    """The last character that the first 17 digits demand."""
    return _CHECKS[sum(int(digit) * weight for digit, weight in zip(number[:17], _WEIGHTS, strict=True)) % 11]


def mask_number(number: str) -> str:
    """`110105194912310022` → `110***********0022`; short numbers keep two characters at each end."""
    head, tail = (3, 4) if len(number) >= 15 else (2, 2)
    return number[:head] + "*" * (len(number) - head - tail) + number[-tail:]
