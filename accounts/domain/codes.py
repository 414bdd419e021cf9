"""SMS codes: for one phone and one purpose, good once, for a while, for a few tries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from server.kernel.settings import Rate

CODE_DIGITS: Final = 6
MAX_TRIES: Final = 5
CODE_LIFE: Final = timedelta(minutes=5)
PER_PHONE: Final = Rate(5, timedelta(minutes=10))
PER_ADDRESS: Final = Rate(30, timedelta(minutes=10))


class Purpose(StrEnum):
    """What a code is good for. One code opens a session of a patient or of a doctor: the phone is what it proves."""

    LOGIN = "login"
    RESET_PASSWORD = "reset_password"  # noqa: S105 (the name of a purpose)


@dataclass(frozen=True, slots=True)
class SmsPolicy:
    """`resend_after` nothing means no waiting. Rates count codes that were granted, in a sliding window."""

    resend_after: timedelta = timedelta(seconds=60)
    per_phone: Rate = PER_PHONE
    per_address: Rate = PER_ADDRESS
    life: timedelta = CODE_LIFE
    max_tries: int = MAX_TRIES


@dataclass(frozen=True, slots=True)
class CodeRequested:
    """When another one may be asked for, and how long this one is good."""

    retry_after_seconds: int
    expires_in_seconds: int


class Verdict(StrEnum):
    """What came of a try. LOCKED: too many wrong ones; only a new code helps."""

    RIGHT = "right"
    WRONG = "wrong"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class Granted:
    """When each code in the window was granted, and for what."""

    at: datetime
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code about to be stored: `id` is also that of the SMS that carries it; `hash` is all that stays of the code."""

    id: str
    purpose: Purpose
    hash: bytes
    at: datetime
    expires_at: datetime


def wait_for_code(granted: Sequence[Granted], purpose: Purpose, policy: SmsPolicy, now: datetime) -> timedelta:
    """How long this phone has to wait until a code for this purpose may be granted; nothing when it may now.

    At the last instant of a window a code may be granted: windows are half-open. What was granted further ahead than one waits
    at all was granted before the clock was set back, and counts no more.
    """
    waits = [timedelta(0)]
    per, again = policy.per_phone.per, policy.resend_after
    recent = sorted(g.at for g in granted if now - per < g.at <= now + per)
    if len(recent) >= policy.per_phone.count:
        waits.append(recent[-policy.per_phone.count] + policy.per_phone.per - now)
    if again:
        waits += [g.at + again - now for g in granted if g.purpose is purpose and g.at <= now + again]
    return max(waits)


def whole_seconds(wait: timedelta) -> int:
    """A wait as clients are told it: rounded up, so that asking then succeeds."""
    return -((-wait) // timedelta(seconds=1))


class SmsState(StrEnum):
    """PENDING: surely not sent yet. SENDING: a process is at it, until `next_at`. IN_DOUBT: asked, not answered; the provider
    is queried and nothing is sent again. LOST: the provider never heard of it. DROPPED: not worth sending any more."""

    PENDING = "pending"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"
    SENT = "sent"
    FAILED = "failed"
    LOST = "lost"
    DROPPED = "dropped"


OPEN_SMS_STATES: Final = (SmsState.PENDING, SmsState.SENDING, SmsState.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class SmsAttempt:
    """One SMS to one phone, stored before the first try. `id` is its OutId at the provider, the same at every try.

    `phone` and `code` stand here opened; they are sealed where they are stored.
    """

    id: str
    phone: str
    purpose: Purpose
    code: str
    state: SmsState
    created_at: datetime
    expires_at: datetime
    next_at: datetime
    tries: int = 0
    queries: int = 0
