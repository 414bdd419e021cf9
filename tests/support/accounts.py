"""The whole of accounts over a real database, wired as the product wires it, with a phone that tests can read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from argon2 import PasswordHasher

from accounts.domain import Device, PatientDetails, Purpose, SmsPolicy
from accounts.domain.identity import IdType, check_character
from accounts.domain.sessions import OpenedSession
from accounts.mongo import (
    INDEXES,
    OUTBOXES,
    MongoCodes,
    MongoDoctors,
    MongoLimits,
    MongoPatientAccounts,
    MongoPatients,
    MongoSessions,
    MongoSmsAttempts,
    MongoStaff,
    MongoTexts,
)
from accounts.passwords import Argon2Passwords, PyotpTotp
from accounts.ports import Delivered, SmsResult
from accounts.service import (
    CodeService,
    ConsentService,
    DoctorService,
    NameService,
    PasswordService,
    PatientService,
    SessionService,
    SignInService,
    StaffService,
    TextService,
)
from accounts.tokens import SessionTokens
from server.kernel import audit as kernel_audit
from server.kernel.actor import PLATFORM, Actor, Role, StaffRole, anonymous_actor, system_actor
from server.kernel.audit import AUDIT, AuditLog
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.ids import derived_id, new_id
from server.kernel.mongo import Database, Document
from server.kernel.outbox import Event, Relay
from tests.support.clock import ManualClock
from tests.support.indexes import make_indexes

PHONE = "13812341234"
DEVICE = Device("device-1", "A phone")
ADMIN = frozenset({StaffRole.MEDICAL_ADMIN})


class FakeSms:
    """A provider that keeps what it takes. `next_results` are given first; what is in doubt may have been taken."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, str], str]] = []
        self.next_results: list[SmsResult] = []
        self.queried: list[str] = []

    async def send(self, phone: str, template: str, params: Mapping[str, str], out_id: str) -> SmsResult:
        result = self.next_results.pop(0) if self.next_results else SmsResult(Delivered.ACCEPTED)
        if result.delivered in (Delivered.ACCEPTED, Delivered.IN_DOUBT):
            self.sent.append((phone, template, dict(params), out_id))
        return result

    async def query(self, out_id: str, *, phone: str, day: date) -> SmsResult:
        self.queried.append(out_id)
        known = any(sent[3] == out_id and sent[0] == phone for sent in self.sent)
        return SmsResult(Delivered.ACCEPTED if known else Delivered.UNSENT)

    def code_of(self, phone: str) -> str:
        return next(params["code"] for sent, _, params, _ in reversed(self.sent) if sent == phone)


@dataclass
class Accounts:
    database: Database
    clock: ManualClock
    policy: SmsPolicy = field(default_factory=SmsPolicy)

    def __post_init__(self) -> None:
        master = MasterKey(bytes(range(32)))
        keyring = Keyring(master, self.database)
        self.audit = AuditLog(self.database)
        self.relay = Relay(self.database, self.audit)
        self.relay.watch(*OUTBOXES)
        parts = (self.database, keyring, self.relay)
        self.sms = FakeSms()
        self.limits = MongoLimits(self.database, keyring)
        self.code_store = MongoCodes(*parts)
        self.attempts = MongoSmsAttempts(self.database, keyring)
        self.session_store = MongoSessions(*parts)
        self.accounts = MongoPatientAccounts(*parts)
        self.staff_store = MongoStaff(*parts)
        self.doctor_store = MongoDoctors(*parts)
        self.patient_store = MongoPatients(*parts)
        self.tokens = SessionTokens(master.secret("access-token"), master.secret("refresh-token"))
        self.passwords = Argon2Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        self.consents: ConsentService = ConsentService.load()
        self.revoked: list[Event] = []
        self.wire()

    def wire(self) -> None:
        clock, audit = self.clock, self.audit
        self.codes = CodeService(self.code_store, self.attempts, self.limits, self.sms, clock, self.policy)
        self.texts = TextService(MongoTexts(self.database), self.doctor_store, self.sms, clock)
        self.names = NameService(self.accounts, self.patient_store, self.doctor_store, self.staff_store, clock)
        self.sessions = SessionService(self.session_store, self.tokens, self.names, audit, clock)
        self.sign_in = SignInService(
            accounts=self.accounts,
            doctors=self.doctor_store,
            staff=self.staff_store,
            code_subjects=self.code_store,
            limits=self.limits,
            codes=self.codes,
            sessions=self.sessions,
            passwords=self.passwords,
            totp=PyotpTotp(),
            audit=audit,
            clock=clock,
        )
        self.password_service = PasswordService(
            self.accounts, self.limits, self.codes, self.sessions, self.passwords, audit, clock
        )
        self.doctors = DoctorService(self.doctor_store, self.sessions, audit, clock)
        self.staff = StaffService(self.staff_store, self.sessions, self.passwords, clock, self.audit)
        self.patients = PatientService(self.patient_store, audit, clock)
        for action, consumer in self.sessions.consumers().items():
            self.relay.on(action, consumer)

        async def note(event: Event) -> None:
            if event.id not in {seen.id for seen in self.revoked}:  # delivered at least once
                self.revoked.append(event)

        self.relay.on("accounts.session_revoked", note)

    async def prepare(self) -> None:
        await make_indexes(self.database, INDEXES, kernel_audit.INDEXES)

    async def settle(self) -> None:
        """Let everything that was started come to its end."""
        await self.codes.close()
        await self.relay.close()
        await self.audit.close()

    async def close(self) -> None:
        await self.settle()
        self.passwords.close()

    def anyone(self, address: str = "203.0.113.7") -> Actor:
        return anonymous_actor(request_id=new_id(), address=address)

    def admin(self) -> Actor:
        return Actor(derived_id("admin"), Role.STAFF, "default", new_id(), staff_roles=ADMIN)

    async def ask(self, phone: str = PHONE, purpose: Purpose = Purpose.LOGIN) -> str:
        """Ask for a code and read it at the phone."""
        await self.codes.request_code(self.anyone(), phone, purpose)
        return self.sms.code_of(phone)

    async def patient(self, phone: str = PHONE, device: Device = DEVICE) -> OpenedSession:
        return await self.sign_in.open_patient_by_code(self.anyone(), phone, await self.ask(phone), device)

    async def set_first_password(self, actor: Actor, password: str = "right horse") -> None:
        """A minute later, when another SMS may be asked for."""
        self.clock.advance(timedelta(minutes=1))
        code = await self.ask(purpose=Purpose.RESET_PASSWORD)
        await self.password_service.change_password(actor, password, None, code)

    async def actor_of(self, opened: OpenedSession) -> Actor:
        return await self.sessions.authenticate(opened.access_token, request_id=new_id(), address=None)

    async def audited(self, action: str) -> list[Document]:
        await self.settle()
        return await self.database[AUDIT].find({"action": action}).to_list()


def system() -> Actor:
    return system_actor()


def patient_actor(account_id: str | None = None) -> Actor:
    return Actor(account_id or new_id(), Role.PATIENT, PLATFORM, new_id())


def resident_number(birth: str = "19900307", order: str = "123", place: str = "110105") -> str:
    """A well-formed resident number; the last digit of `order` is odd for men."""
    body = place + birth + order
    return body + check_character(body + "0")


def adult(number: str | None = None, name: str = "王小明") -> PatientDetails:
    return PatientDetails(name, IdType.RESIDENT, number or resident_number(), "13900001111")
