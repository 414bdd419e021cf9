"""Sessions: one sign-in of one account on one device. It lives in the database and nowhere else; tokens only point at it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from server.kernel.actor import Role, StaffRole
from server.kernel.settings import Rate

ACCESS_LIFE: Final = timedelta(minutes=15)
PASSWORD_TRIES: Final = Rate(5, timedelta(minutes=15))
GUESSES: Final = Rate(300, timedelta(minutes=10))
MEDIA_COOKIE: Final = "yz_media"
MEDIA_COOKIE_PATH: Final = "/api/v1/media"
REFRESH_COOKIE_PATH: Final = "/api/v1/auth/cookie"
REFRESH_GRACE: Final = timedelta(seconds=10)
"""How long a browser may bring the cookie before the present one: it leaves a page before the answer's cookie is kept."""


def refresh_cookie_of(role: Role) -> str:
    """One name a role, so that the apps of one browser do not sign one another out."""
    return f"yz_refresh_{role.value}"


class RevokeReason(StrEnum):
    """Why a session ended, as its device is told."""

    SIGNED_OUT = "signed_out"
    SIGNED_OUT_ELSEWHERE = "signed_out_elsewhere"
    TOKEN_REUSED = "token_reused"  # noqa: S105 (a reason)
    NOT_AUTHORISED = "not_authorised"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 (a reason)


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """A session that is not refreshed for `idle` (by role) is over. `password_tries` bounds tries that have not succeeded, and
    `guesses` the wrong ones of one address, about whomever."""

    access_life: timedelta = ACCESS_LIFE
    idle: Mapping[Role, timedelta] = field(
        default_factory=lambda: MappingProxyType(
            {Role.PATIENT: timedelta(days=30), Role.DOCTOR: timedelta(days=30), Role.STAFF: timedelta(hours=12)}
        )
    )
    password_tries: Rate = PASSWORD_TRIES
    guesses: Rate = GUESSES


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose session it is, and by which credentials. `credentials` rises whenever what it was opened with stops being good."""

    account_id: str
    role: Role
    hospital_id: str
    credentials: int
    staff_roles: frozenset[StaffRole] = frozenset()


@dataclass(frozen=True, slots=True)
class Device:
    """`id` is the client's own; `name` is for people and sealed where it is stored."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Session:
    """`generation` counts refreshes: only the token of the present generation is good."""

    id: str
    holder: Holder
    device: Device
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    generation: int = 1
    revoked_at: datetime | None = None

    def is_alive(self, now: datetime) -> bool:
        """At the instant of expiry it is over."""
        return self.revoked_at is None and now < self.expires_at

    def has_just_replaced(self, generation: int, now: datetime, grace: timedelta) -> bool:
        """Whether that generation is the one before the present one, which is younger than `grace`."""
        return generation + 1 == self.generation and now < self.refreshed_at + grace


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """What a client is given. `media_token` goes into a cookie that scripts cannot read."""

    session: Session
    name: str
    access_token: str
    access_life: timedelta
    refresh_token: str
    refresh_life: timedelta
    media_token: str


@dataclass(frozen=True, slots=True)
class RefreshClaim:
    """What a refresh token says once its signature held."""

    session_id: str
    generation: int


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access or media token says once its signature held. `expires_at_ms` is for the caller's clock to judge."""

    session_id: str
    account_id: str
    role: Role
    hospital_id: str
    device_id: str
    staff_roles: frozenset[StaffRole]
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Me:
    """An account as it sees itself."""

    account_id: str
    role: Role
    name: str
    devices: tuple[Session, ...]
