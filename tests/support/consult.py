"""The product on real MongoDB and the real log, with small stand-ins for the packages beside it."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any

from accounts.domain.consents import Consent, Language
from accounts.domain.doctors import Department, Doctor, DoctorPage, DoctorQuery
from accounts.domain.identity import IdType, Sex
from accounts.domain.patients import Patient
from accounts.errors import ConsentMismatch, DepartmentNotFound, DoctorNotFound, PatientNotFound
from consult.assembly import Consult, ConsultParts, assemble, parts_of
from consult.domain.order import ConsentGiven, Order, OrderKind, StartedPayment
from consult.mongo import INDEXES, OUTBOXES
from consult.mongo.codec import ORDERS
from consult.ports import Payments
from consult.service.orders import OrderRequest, OrderSettings
from im.domain import Appended, RecallMessage, SendMessage
from im.mongo import INDEXES as LOG_INDEXES
from im.receipts import Receipts
from im.service import ConversationLog
from server.kernel.actor import DEFAULT_HOSPITAL, PLATFORM, Actor, Role, system_actor
from server.kernel.audit import INDEXES as AUDIT_INDEXES
from server.kernel.audit import AuditLog
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.ids import derived_id, new_id
from server.kernel.mongo import Database
from server.kernel.outbox import Relay, event_of
from tests.support.clock import ManualClock
from tests.support.indexes import make_indexes

CONSENT = ConsentGiven("2026-01", "a" * 64, True)


_WORDS = count(1)
"""So that nobody says what they said before."""


class FakeDoctors:
    def __init__(self) -> None:
        self.doctors: dict[str, Doctor] = {}
        self.departments: set[tuple[str, str]] = set()

    def add(self, name: str = "李医生", *, active: bool = True, fee_fen: int = 5000, department: str = "dep") -> Doctor:
        doctor = Doctor(new_id(), DEFAULT_HOSPITAL, name, "主任医师", department, "心内科", "高血压", fee_fen, active)
        self.doctors[doctor.id] = doctor
        return doctor

    async def find_doctors(self, doctor_ids: Collection[str]) -> Mapping[str, Doctor]:
        return {each: self.doctors[each] for each in doctor_ids if each in self.doctors}

    async def get_doctor(self, doctor_id: str) -> Doctor:
        if doctor_id not in self.doctors:
            raise DoctorNotFound
        return self.doctors[doctor_id]

    async def get_phone_tail(self, doctor: Doctor) -> str:
        return "0000"

    async def list_departments(self, hospital_id: str) -> list[Department]:
        return [Department(each, at, "心内科") for at, each in sorted(self.departments) if at == hospital_id]

    async def get_department(self, hospital_id: str, department_id: str) -> Department:
        if (hospital_id, department_id) not in self.departments:
            raise DepartmentNotFound
        return Department(department_id, hospital_id, "心内科")

    async def list_doctors(self, query: DoctorQuery) -> DoctorPage:
        department = query.department_id
        of_it = (d for d in self.doctors.values() if department is None or d.department_id == department)
        listed = sorted((d for d in of_it if d.active), key=lambda d: d.id)
        behind = [d for d in listed if query.cursor is None or d.id > query.cursor]
        page = tuple(behind[: query.limit])
        return DoctorPage(page, page[-1].id if len(behind) > query.limit else None)


class FakePatients:
    async def access_patient(self, actor: Actor, patient_id: str) -> Patient:
        if patient_id != derived_id("patient", actor.account_id):
            raise PatientNotFound
        return Patient(
            id=patient_id,
            hospital_id=DEFAULT_HOSPITAL,
            account_id=actor.account_id,
            name="王小明",
            id_type=IdType.RESIDENT,
            id_number="11010519491231002X",
            phone="13800000000",
            sex=Sex.MALE,
            birth_date=date(1990, 1, 6),
            guardian=None,
            created_at=None,  # type: ignore[arg-type]
        )


class FakeConsents:
    async def require(self, version: str, sha256: str) -> Consent:
        if (version, sha256) != (CONSENT.version, CONSENT.sha256):
            raise ConsentMismatch
        return Consent("consult", version, Language.ZH, "知情同意", "…", sha256)


class FakeMedia:
    def __init__(self) -> None:
        self.claimed: dict[str, tuple[str, ...]] = {}

    async def claim_for_order(self, actor: Actor, hospital_id: str, order_id: str, media_ids: Collection[str]) -> None:
        self.claimed[order_id] = tuple(media_ids)


class FakePayments:
    """Billing as the port promises it: everything may be asked twice and is done once."""

    def __init__(self) -> None:
        self.started: dict[str, str] = {}
        self.closed: list[str] = []
        self.paid_after_all: set[str] = set()
        self.earned: set[str] = set()
        self.refunds: set[tuple[str, str]] = set()
        self.amounts: dict[tuple[str, str], int | None] = {}
        self.surplus: dict[str, int] = {}

    async def start(self, actor: Actor, order: Order, channel: str, payment_id: str) -> StartedPayment:
        self.started[payment_id] = order.id
        return StartedPayment(payment_id, channel, f"wx-{payment_id}", {})

    async def close_open_payments(self, order_id: str, hospital_id: str) -> bool:
        self.closed.append(order_id)
        return order_id in self.paid_after_all

    async def settle_earned(self, order_id: str, hospital_id: str, payment_id: str) -> None:
        self.earned.add(order_id)

    async def refund(self, payment_id: str, hospital_id: str, cause: str, amount_fen: int | None = None) -> None:
        self.refunds.add((payment_id, cause))
        self.amounts.setdefault((payment_id, cause), amount_fen)

    async def refund_surplus(self, payment_id: str, hospital_id: str) -> None:
        self.surplus[payment_id] = self.surplus.get(payment_id, 0) + 1


class FakeTexts:
    """SMS by their ids, as the port promises it: the same id again is the same SMS."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[str, str, Mapping[str, str]]] = {}

    async def tell_doctor(
        self, text_id: str, hospital_id: str, doctor_id: str, template: str, params: Mapping[str, str], expires_at: datetime
    ) -> None:
        self.sent.setdefault(text_id, (doctor_id, template, params))


class LiveRecorder:
    def __init__(self) -> None:
        self.sent: list[tuple[tuple[str, ...], str, Mapping[str, Any]]] = []

    def send(self, account_ids: Iterable[str], event: str, payload: Mapping[str, Any]) -> None:
        self.sent.append((tuple(account_ids), event, payload))

    def of(self, event: str, account_id: str) -> list[Mapping[str, Any]]:
        return [payload for accounts, name, payload in self.sent if name == event and account_id in accounts]


@dataclass
class World:
    """One process of the product. `other()` is a second one on the same database."""

    database: Database
    clock: ManualClock
    consult: Consult
    log: ConversationLog
    live: LiveRecorder
    payments: FakePayments
    doctors: FakeDoctors
    media: FakeMedia
    relay: Relay
    audit: AuditLog
    settings: OrderSettings
    texts: FakeTexts
    clock_is_ok: bool = True
    actors: dict[str, Actor] = field(default_factory=dict)

    def patient(self) -> Actor:
        return Actor(new_id(), Role.PATIENT, PLATFORM, new_id(), address="203.0.113.7")

    def doctor_actor(self, doctor: Doctor) -> Actor:
        return Actor(doctor.id, Role.DOCTOR, doctor.hospital_id, new_id())

    def request(self, patient: Actor, doctor: Doctor, **changes: Any) -> OrderRequest:
        base = OrderRequest(
            doctor_id=doctor.id,
            patient_id=derived_id("patient", patient.account_id),
            kind=OrderKind.CONSULT,
            complaint="头痛三天",
            image_ids=(),
            consent=CONSENT,
        )
        return replace(base, **changes)

    async def order(self, patient: Actor | None = None, doctor: Doctor | None = None) -> "Case":
        patient, doctor = patient or self.patient(), doctor or self.doctors.add()
        order = await self.consult.orders.create_order(patient, new_id(), self.request(patient, doctor))
        return Case(self, order, patient, self.doctor_actor(doctor))

    async def paid(self, patient: Actor | None = None, doctor: Doctor | None = None) -> "Case":
        case = await self.order(patient, doctor)
        await case.capture()
        return case

    async def follow(self) -> None:
        """What the keeper's follower does, over everything."""
        async for order in self.database[ORDERS].find({"phase": "captured"}):
            await self.consult.projection.catch_up(order["conversation_id"])
        await self.deliver()

    async def deliver(self) -> None:
        """What the relay does, until nothing waits."""
        await self.relay.close()
        while await self.relay.sweep(self.clock.now() + timedelta(days=3650)):
            await self.relay.close()

    async def close(self) -> None:
        await self.consult.parts.announcer.close()
        await self.consult.parts.pool.close()
        await self.log.close()
        await self.relay.close()
        await self.audit.close()


@dataclass
class Case:
    """One order with the two who are about it."""

    world: World
    order: Order
    patient: Actor
    doctor: Actor
    payment_id: str = ""

    @property
    def id(self) -> str:
        return self.order.id

    async def capture(self, payment_id: str | None = None, amount_fen: int = 5000) -> str:
        """The gateway's callback was booked: billing tells."""
        payment_id = payment_id or new_id()
        event = event_of(
            system_actor(),
            "billing.payment_captured",
            subject=payment_id,
            at=self.world.clock.now(),
            order_id=self.id,
            payment_id=payment_id,
            amount_fen=amount_fen,
        )
        self.payment_id = self.payment_id or payment_id
        await self.world.consult.payments.payment_captured(event)
        return payment_id

    async def refunded(self, refund_id: str, payment_id: str, amount_fen: int = 5000) -> None:
        event = event_of(
            system_actor(),
            "billing.refund_succeeded",
            subject=refund_id,
            at=self.world.clock.now(),
            order_id=self.id,
            refund_id=refund_id,
            payment_id=payment_id,
            amount_fen=amount_fen,
        )
        await self.world.consult.payments.refund_succeeded(event)

    async def say(self, who: Actor, text: str | None = None, client_id: str | None = None) -> Appended:
        command = SendMessage(
            who.account_id, client_id or new_id(), ({"kind": "text", "text": text or f"您好，这是第 {next(_WORDS)} 次说话"},)
        )
        return await self.world.log.send(who, self.order.conversation_id, command)

    async def recall(self, who: Actor, seq: int) -> Appended:
        return await self.world.log.recall(who, self.order.conversation_id, RecallMessage(who.account_id, new_id(), seq))

    async def now(self) -> Order:
        """The order as its patient sees it."""
        return await self.world.consult.orders.get_order(self.patient, self.id)

    async def stored(self) -> dict[str, Any]:
        document = await self.world.database["orders"].find_one({"_id": self.id})
        assert document is not None
        return document


async def make_world(
    database: Database,
    clock: ManualClock,
    settings: OrderSettings | None = None,
    *,
    beside: World | None = None,
    billing: Payments | None = None,
) -> World:
    """`billing` real, or the fake that only remembers."""
    live = LiveRecorder()
    audit = AuditLog(database)
    relay = Relay(database, audit)
    relay.watch(*OUTBOXES)
    master = MasterKey(bytes(32))
    payments = beside.payments if beside else FakePayments()
    doctors = beside.doctors if beside else FakeDoctors()
    parts: ConsultParts = parts_of(database, Keyring(master, database), live, relay, clock, doctors)
    texts = beside.texts if beside else FakeTexts()
    media = beside.media if beside else FakeMedia()
    world: World
    log = ConversationLog(
        database,
        Keyring(master, database),
        parts.rules,
        parts.opener,
        clock,
        listeners=(parts.announcer, parts.pool),
        audit=audit,
    )
    chosen = settings or (beside.settings if beside else OrderSettings())
    consult = assemble(
        parts,
        database,
        log=log,
        live=live,
        relay=relay,
        audit=audit,
        clock=clock,
        clock_ok=lambda: world.clock_is_ok,
        doctors=doctors,
        patients=FakePatients(),
        consents=FakeConsents(),
        media=media,
        billing=billing or payments,
        settings=chosen,
        reads=Receipts(database, log),
        texts=texts,
    )
    for action, consumer in consult.consumers.items():
        relay.on(action, consumer)
    world = World(database, clock, consult, log, live, payments, doctors, media, relay, audit, chosen, texts)
    if beside is None:
        await make_indexes(database, INDEXES, LOG_INDEXES, AUDIT_INDEXES)
    return world


@asynccontextmanager
async def open_world(
    database: Database,
    clock: ManualClock,
    settings: OrderSettings | None = None,
    *,
    beside: World | None = None,
    billing: Payments | None = None,
) -> AsyncIterator[World]:
    world = await make_world(database, clock, settings, beside=beside, billing=billing)
    try:
        yield world
    finally:
        await world.close()
