"""Orders: made, listed, looked at."""

from dataclasses import dataclass
from datetime import timedelta

from accounts.domain.doctors import Doctor
from accounts.domain.patients import Patient
from accounts.errors import ConsentMismatch
from consult.domain.log import LogDepartment, Policy
from consult.domain.order import ORDERS, ConsentGiven, IdentityDocument, Order, OrderDoctor, OrderKind, OrderPatient
from consult.domain.status import NOBODY, OrderStatus, Phase
from consult.errors import OrderConsentRequired, OrderDoctorUnavailable, OrderNotFound, OrderRevisitUnavailable
from consult.ports import (
    Consents,
    DeskRepository,
    Doctors,
    OrderMedia,
    OrderRepository,
    Outboxes,
    Patients,
    VisitHistory,
)
from consult.service.access import VIEWED, OrderAccess
from consult.service.announcer import OrderAnnouncer
from consult.service.offers import QuickOffers
from consult.service.pages import cut_page, place_after
from server.kernel.actor import Actor
from server.kernel.audit import audit_row
from server.kernel.clock import Clock
from server.kernel.ids import new_id
from server.kernel.outbox import event_of


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """What operators decide. All but `unpaid_timeout` is fixed on an order when it is paid."""

    validity: timedelta = timedelta(hours=48)
    replies: int = 3
    recall_window: timedelta = timedelta(minutes=2)
    patient_burst: int = 100
    unpaid_timeout: timedelta = timedelta(minutes=30)
    quick_patience: timedelta = timedelta(minutes=30)

    @property
    def policy(self) -> Policy:
        millisecond = timedelta(milliseconds=1)
        return Policy(
            self.validity // millisecond,
            self.replies,
            self.recall_window // millisecond,
            self.patient_burst,
            self.quick_patience // millisecond,
        )


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a patient asks for: of a doctor, or, where that is None, of the first free doctor of a department."""

    doctor_id: str | None
    patient_id: str
    kind: OrderKind
    complaint: str
    image_ids: tuple[str, ...]
    consent: ConsentGiven | None
    department_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who is asked, and what it costs. `department` is set for quick consults, whose doctor is nobody yet."""

    hospital_id: str
    doctor: OrderDoctor
    fee_fen: int
    department: LogDepartment | None = None


@dataclass(slots=True)
class OrderService:
    """`visits` None: no hospital's records are asked, so no revisit can be confirmed and all are refused."""

    access: OrderAccess
    orders: OrderRepository
    desks: DeskRepository
    doctors: Doctors
    offers: QuickOffers
    patients: Patients
    consents: Consents
    media: OrderMedia
    announcer: OrderAnnouncer
    relay: Outboxes
    clock: Clock
    settings: OrderSettings
    visits: VisitHistory | None = None

    async def create_order(self, actor: Actor, order_id: str, request: OrderRequest) -> Order:
        """A new order, not paid yet. The same id again is the same order.

        Raises patient.not_found, OrderConsentRequired, OrderDoctorUnavailable, DepartmentNotFound, OrderRevisitUnavailable,
        media.not_found.
        """
        if (made := await self.orders.find(order_id)) is not None:
            return self._own(actor, made)
        patient = await self.patients.access_patient(actor, request.patient_id)
        consent = await self._require_consent(request.consent)
        asked = await self._asked(request)
        await self._require_visit(request.kind, patient)
        if request.image_ids:
            await self.media.claim_for_order(actor, asked.hospital_id, order_id, request.image_ids)
        order = self._new_order(actor, order_id, request, consent, asked, patient)
        event = event_of(
            actor,
            "consult.order_created",
            subject=order.id,
            at=order.created_at,
            order_id=order.id,
            hospital_id=order.hospital_id,
            doctor_id=order.doctor.id,
            department_id=None if order.department is None else order.department.id,
            patient_id=patient.id,
            fee_fen=order.fee_fen,
            record_access=consent.record_access,
        )
        stored = self._own(actor, await self.orders.insert(order, event))
        self.relay.soon(ORDERS, stored.id, stored.hospital_id)
        self.announcer.announce(stored)
        return stored

    async def get_order(self, actor: Actor, order_id: str) -> Order:
        """The order as of now. Raises OrderNotFound."""
        order = await self.access.access_order(actor, order_id, VIEWED)
        await self.access.audit.record(
            audit_row(
                actor,
                VIEWED,
                subject=order.id,
                at=self.clock.now(),
                order_id=order.id,
                hospital_id=order.hospital_id,
            )
        )
        return await self.access.fresh(order)

    async def list_orders(
        self, actor: Actor, status: OrderStatus | None, limit: int, cursor: str | None
    ) -> tuple[list[Order], str | None]:
        """The actor's orders, newest first, and where to go on. A list may lag behind the log by a moment."""
        found = await self.orders.list_of(actor, status=status, limit=limit + 1, after=place_after(cursor))
        await self.access.audit.record(audit_row(actor, "consult.orders_listed", subject=actor.account_id, at=self.clock.now()))
        return cut_page(found, limit, lambda order: (order.created_at, order.id))

    async def _asked(self, request: OrderRequest) -> _Asked:
        if request.doctor_id is not None:
            doctor = await self._available_doctor(request.doctor_id)
            shown = OrderDoctor(doctor.id, doctor.name, doctor.title, doctor.department_name)
            return _Asked(doctor.hospital_id, shown, doctor.fee_fen)
        if request.department_id is None:
            raise OrderDoctorUnavailable
        offer = await self.offers.get_offer(request.department_id)
        department = LogDepartment(offer.department.id, offer.department.name)
        return _Asked(offer.department.hospital_id, OrderDoctor(NOBODY, "", "", department.name), offer.fee_fen, department)

    async def _available_doctor(self, doctor_id: str) -> Doctor:
        doctor = (await self.doctors.find_doctors([doctor_id])).get(doctor_id)
        if doctor is None or not doctor.active:
            raise OrderDoctorUnavailable
        settings = await self.desks.find_settings(doctor.hospital_id, doctor.id)
        if not settings.takes_orders_at(self.clock.now()):
            raise OrderDoctorUnavailable
        return doctor

    async def _require_consent(self, given: ConsentGiven | None) -> ConsentGiven:
        """What was agreed to is the very text that is in force, in whichever language."""
        if given is None:
            raise OrderConsentRequired
        try:
            await self.consents.require(given.version, given.sha256)
        except ConsentMismatch as error:
            raise OrderConsentRequired from error
        return given

    async def _require_visit(self, kind: OrderKind, patient: Patient) -> None:
        if kind is not OrderKind.REVISIT:
            return
        if self.visits is None or not await self.visits.has_offline_visit(patient):
            raise OrderRevisitUnavailable

    def _new_order(
        self, actor: Actor, order_id: str, request: OrderRequest, consent: ConsentGiven, asked: _Asked, patient: Patient
    ) -> Order:
        now = self.clock.now()
        return Order(
            id=order_id,
            hospital_id=asked.hospital_id,
            version=1,
            number="",
            phase=Phase.PENDING_PAYMENT,
            kind=request.kind,
            patient_account=actor.account_id,
            patient=OrderPatient(
                patient.id,
                patient.name,
                patient.sex.value,
                patient.birth_date,
                IdentityDocument(patient.id_type.value, patient.id_number),
            ),
            doctor=asked.doctor,
            complaint=request.complaint,
            image_ids=request.image_ids,
            consent=consent,
            fee_fen=asked.fee_fen,
            conversation_id=new_id(),
            created_at=now,
            unpaid_until=now + self.settings.unpaid_timeout,
            planned_replies=self.settings.replies,
            department=asked.department,
        )

    @staticmethod
    def _own(actor: Actor, order: Order) -> Order:
        """An id is given out per account: one that is somebody else's is no order of this actor."""
        if order.patient_account != actor.account_id:
            raise OrderNotFound
        return order
