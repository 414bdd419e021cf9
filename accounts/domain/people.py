"""Accounts of patients and of staff."""

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from accounts.domain.renewals import Renewal
from server.kernel.actor import StaffRole
from server.kernel.errors import RequestInvalid
from server.kernel.wire import unclean

PASSWORD_MIN: Final = 8
PASSWORD_MAX: Final = 128
_USERNAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")


@dataclass(frozen=True, slots=True)
class PatientAccount:
    """A phone that signed in. `name` is a stated one (None for most); people see that of the default patient."""

    id: str
    phone: str
    name: str | None
    password_hash: str | None
    credentials: int


@dataclass(frozen=True, slots=True)
class StaffAccount:
    """`totp_secret` is base32; `totp_step` the last step whose code was used; `renewal` the request that stands, if any."""

    id: str
    hospital_id: str
    username: str
    name: str
    roles: frozenset[StaffRole]
    password_hash: str
    totp_secret: str
    totp_step: int
    active: bool
    credentials: int
    renewal: Renewal | None = None


def kept_by(roles: Set[StaffRole]) -> StaffRole:
    """Who may add, change, renew and end an account that holds these roles.

    Auditors watch over operators, so no operator appoints them, gives them another role, or renews what they sign in with: an
    operator who knows an auditor's password is one.
    """
    return StaffRole.AUDITOR if StaffRole.AUDITOR in roles else StaffRole.OPERATOR


def duties_are_separate(roles: Set[StaffRole]) -> bool:
    """Whether an account may be given these: an auditor's is an auditor's alone."""
    return StaffRole.AUDITOR not in roles or roles == {StaffRole.AUDITOR}


def check_password(password: str, *, field: str = "password") -> str:
    """The password itself; raises RequestInvalid for one that is too short, too long or not typeable."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise RequestInvalid(**{field: f"must have {PASSWORD_MIN} to {PASSWORD_MAX} characters"})
    if unclean(password) or len(set(password)) < 3:
        raise RequestInvalid(**{field: "is too simple or holds characters that cannot be typed"})
    return password


def check_username(text: str) -> str:
    """The user name in small letters. Raises RequestInvalid."""
    normal = text.strip().lower()
    if not _USERNAME.fullmatch(normal):
        raise RequestInvalid(username="must have 2 to 64 letters, digits, dots, dashes or underscores")
    return normal
