"""What the services of this package need from the outside. `mongo`, `sms`, `tokens` and `passwords` offer it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from accounts.domain.codes import NewCode, Purpose, SmsAttempt, SmsPolicy, SmsState, Verdict
from accounts.domain.doctors import Department, Doctor, DoctorQuery, ListedDoctor
from accounts.domain.patients import PatientBook
from accounts.domain.people import PatientAccount, StaffAccount
from accounts.domain.renewals import Renewal
from accounts.domain.sessions import AccessClaims, RefreshClaim, RevokeReason, Session
from accounts.domain.texts import DoctorText
from server.kernel.actor import Actor
from server.kernel.outbox import Event
from server.kernel.settings import Rate


class Delivered(StrEnum):
    """What the provider made of an SMS. UNSENT: it surely never took it, so it may be asked again. IN_DOUBT: it may have it."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNSENT = "unsent"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True)
class SmsResult:
    """`reason` is the provider's code, for the log."""

    delivered: Delivered
    reason: str = "OK"


class SmsSender(Protocol):
    """An SMS provider. `out_id` is ours, fixed before the first try. Neither method raises for what the network does."""

    async def send(self, phone: str, template: str, params: Mapping[str, str], out_id: str) -> SmsResult: ...

    async def query(self, out_id: str, *, phone: str, day: date) -> SmsResult:
        """What became of an SMS of that local day. UNSENT: the provider has not heard of it. IN_DOUBT: no answer now."""
        ...


class LimitRepository(Protocol):
    """Sliding windows that all processes share. `kind` names the rule, `subject` whom it bounds (kept as a keyed hash)."""

    async def take(self, kind: str, subject: str, rate: Rate, *, now: datetime) -> timedelta | None:
        """Take one place; None when it was free, else how long until one is. One update: never more than the rate."""
        ...

    async def give_back(self, kind: str, subject: str, rate: Rate, *, taken_at: datetime) -> None: ...

    async def clear(self, kind: str, subject: str) -> None: ...

    async def tidy(self, before: datetime) -> None: ...


class CodeRepository(Protocol):
    """Codes and grants of phones; a phone is known by its blind index only."""

    async def subject_of(self, phone: str) -> str:
        """The id that stands for a phone in events."""
        ...

    async def hash_code(self, phone: str, purpose: Purpose, code: str) -> bytes: ...

    async def grant(self, phone: str, code: NewCode, policy: SmsPolicy, event: Event) -> timedelta:
        """Store a new code in place of the old one if the policy allows; nothing when it did, else the wait. One update."""
        ...

    async def use(self, phone: str, purpose: Purpose, code_hash: bytes, now: datetime) -> Verdict:
        """Compare and consume, or count a wrong try, in one update."""
        ...

    async def is_current(self, attempt: SmsAttempt, now: datetime) -> bool:
        """Whether the code that this SMS carries can still be used."""
        ...

    async def tidy(self, before: datetime) -> None:
        """Forget what has been of no use since before that instant."""
        ...


class SmsAttemptRepository(Protocol):
    async def insert(self, attempt: SmsAttempt) -> None: ...

    async def claim(self, attempt_id: str, state: SmsState, *, now: datetime, until: datetime) -> SmsAttempt | None:
        """Take an open attempt of this state that is due, for this process until then; None when it is not to be had."""
        ...

    async def finish(self, attempt: SmsAttempt, state: SmsState, *, next_at: datetime) -> None: ...

    async def list_due(self, now: datetime, limit: int) -> Sequence[tuple[str, SmsState]]: ...

    async def tidy(self, before: datetime) -> None: ...


class TextRepository(Protocol):
    async def insert(self, text: DoctorText) -> bool:
        """False when its cause has one already."""
        ...

    async def claim(self, text_id: str, state: SmsState, *, now: datetime, until: datetime) -> DoctorText | None:
        """Take an open one of this state that is due, for this process until then; None when it is not to be had."""
        ...

    async def finish(self, text: DoctorText, state: SmsState, *, next_at: datetime) -> None: ...

    async def list_due(self, now: datetime, limit: int) -> Sequence[tuple[str, SmsState]]: ...

    async def tidy(self, before: datetime) -> None: ...


class SessionRepository(Protocol):
    async def insert(self, session: Session, event: Event) -> None: ...

    async def find(self, session_id: str) -> Session | None: ...

    async def advance(self, session: Session, advanced: Session, event: Event, now: datetime) -> bool:
        """Put the next generation in the place of this one; False when it was advanced or ended meanwhile. Compare and set."""
        ...

    async def revoke(self, session_id: str, hospital_id: str, reason: RevokeReason, *, actor: Actor, now: datetime) -> bool:
        """End a session, with the event `accounts.session_revoked`; False when it was over already."""
        ...

    async def revoke_stale(
        self, account_id: str, hospital_id: str, credentials: int, reason: RevokeReason, *, actor: Actor, now: datetime
    ) -> list[str]:
        """End all of an account's sessions that were opened with older credentials; the ids of those ended."""
        ...

    async def list_alive(self, account_id: str, hospital_id: str, now: datetime, limit: int) -> Sequence[Session]: ...

    async def filter_alive(self, session_ids: Collection[str], now: datetime) -> set[str]:
        """Those of them that are alive, in one query."""
        ...

    async def renew_credentials(self, session_id: str, account_id: str, credentials: int) -> None:
        """Let this one session stand by the newer credentials too."""
        ...

    async def tidy(self, before: datetime) -> None: ...


class PatientAccountRepository(Protocol):
    async def find_by_phone(self, phone: str) -> PatientAccount | None: ...

    async def find(self, account_id: str) -> PatientAccount | None: ...

    async def register(self, phone: str, *, account_id: str, name: str | None, now: datetime, event: Event) -> PatientAccount:
        """The account of this phone: made now, or the one that is there. Two at once get the same."""
        ...

    async def set_password(self, account: PatientAccount, password_hash: str, event: Event) -> bool:
        """Compare and set by `credentials`, which rises; False when another was quicker."""
        ...

    async def list_named(self, account_ids: Collection[str]) -> Mapping[str, PatientAccount]: ...


class StaffRepository(Protocol):
    async def find_by_username(self, hospital_id: str, username: str) -> StaffAccount | None: ...

    async def find(self, account_id: str) -> StaffAccount | None: ...

    async def insert(self, account: StaffAccount, event: Event) -> bool:
        """False when the user name is taken."""
        ...

    async def use_totp_step(self, account: StaffAccount, step: int) -> bool:
        """True for the first to use this step or a later one."""
        ...

    async def disable(self, account: StaffAccount, event: Event) -> bool: ...

    async def list_of(self, hospital_id: str, *, limit: int, after: str | None) -> Sequence[StaffAccount]:
        """By user name, behind `after`; those who are disabled too."""
        ...

    async def save(self, account: StaffAccount, event: Event) -> bool:
        """While it is active, its credentials are the ones before and its request for a renewal is the same; that one ends."""
        ...

    async def save_renewal(self, before: StaffAccount, renewal: Renewal | None, event: Event) -> bool:
        """While it is active and its request for a renewal is the one before."""
        ...

    async def list_named(self, account_ids: Collection[str]) -> Mapping[str, str]: ...


class DoctorRepository(Protocol):
    async def find(self, doctor_id: str) -> Doctor | None: ...

    async def find_many(self, doctor_ids: Collection[str]) -> Mapping[str, Doctor]: ...

    async def find_by_phone(self, hospital_id: str, phone: str) -> Doctor | None:
        """The authorised doctor with this phone."""
        ...

    async def list_page(self, query: DoctorQuery) -> tuple[Sequence[Doctor], str | None]: ...

    async def list_page_with_phones(self, query: DoctorQuery) -> tuple[Sequence[ListedDoctor], str | None]: ...

    async def insert(self, doctor: Doctor, phone: str, event: Event) -> Doctor:
        """Stored now, or before under this id. Raises DoctorPhoneTaken."""
        ...

    async def save(self, doctor: Doctor, phone: str | None, event: Event) -> bool:
        """Compare and set by version; False when it was changed meanwhile. `phone` None keeps it. Raises DoctorPhoneTaken."""
        ...

    async def get_phone(self, doctor: Doctor) -> str: ...

    async def list_departments(self, hospital_id: str) -> Sequence[Department]: ...

    async def find_department(self, hospital_id: str, department_id: str) -> Department | None: ...

    async def ensure_department(self, department: Department, event: Event) -> Department:
        """The department of this name: made now, or the one that is there."""
        ...


class PatientRepository(Protocol):
    async def load(self, hospital_id: str, account_id: str) -> PatientBook: ...

    async def save(self, book: PatientBook, event: Event) -> bool:
        """Compare and set by the version that the book was loaded with; False when it was changed meanwhile."""
        ...

    async def list_default_names(self, hospital_id: str, account_ids: Collection[str]) -> Mapping[str, str]: ...


class Passwords(Protocol):
    """Slow hashing, off the event loop."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """False for None too, after as much work: whether there is a password cannot be told by the time it takes."""
        ...


class Totp(Protocol):
    def find_step(self, secret: str, code: str, now: datetime) -> int | None:
        """The time step that this code is of, among the present one and its neighbours."""
        ...


class Tokens(Protocol):
    """Signs and reads tokens. Reading raises AuthRequired for anything that we did not sign, and judges no time."""

    def access(self, session: Session, *, now: datetime, life: timedelta) -> str: ...

    def media(self, session: Session, *, now: datetime) -> str: ...

    def refresh(self, session: Session) -> str: ...

    def read_access(self, token: str) -> AccessClaims: ...

    def read_media(self, token: str) -> AccessClaims: ...

    def read_refresh(self, token: str) -> RefreshClaim: ...


EventConsumer = Callable[[Event], Awaitable[None]]
