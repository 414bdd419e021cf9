"""Chinese mobile numbers: 11 digits that begin with 13 to 19. Nothing else is a phone here."""

import re
from typing import Final

from server.kernel.errors import RequestInvalid

PHONE_PATTERN: Final = r"^1[3-9][0-9]{9}$"
_PHONE: Final = re.compile(PHONE_PATTERN)


def check_phone(text: str, *, field: str = "phone") -> str:
    """The phone itself. Raises RequestInvalid naming `field` for anything that is not a mainland mobile number."""
    if not _PHONE.fullmatch(text):
        raise RequestInvalid(**{field: "must be a Chinese mobile number of 11 digits"})
    return text


def mask_phone(phone: str) -> str:
    """`13812341234` → `138****1234`."""
    return f"{phone[:3]}****{phone[-4:]}"
