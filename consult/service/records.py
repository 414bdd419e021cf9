"""Whom the product lets look at hospital records, and what it asks the hospital for itself.

Decided on the order's document and a freshly read log each time, never on a cache: whatever ended the permission, a close, a
withdrawal or another doctor, the next question is answered by it.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from accounts.domain.patients import Patient
from accounts.errors import DoctorNotFound
from consult.domain.log import ConsultState
from consult.domain.order import Order, OrderPatient
from consult.domain.status import Phase
from consult.errors import OrderNotFound
from consult.ports import ClockOk, DoctorPhones, HospitalVisits, Log, OrderRepository
from consult.service.access import is_member
from ehr_view.domain.access import ChatView, Grant, PatientView, Refused, Viewer
from ehr_view.domain.records import PatientRef
from ehr_view.errors import RecordAccessDenied, RecordIdentityMismatch
from im.errors import ConversationNotFound
from server.kernel.actor import Actor, Role
from server.kernel.clock import Clock, from_ms
from server.kernel.errors import Unavailable
from server.kernel.ids import is_id


@dataclass(slots=True)
class OrderRecordAccess:
    """Implements `ehr_view.ports.RecordAccess`. Refusals are audited by whoever asks: they know what was asked for."""

    orders: OrderRepository
    log: Log
    doctors: DoctorPhones
    clock: Clock
    clock_ok: ClockOk

    async def check(self, actor: Actor, order_id: str) -> Grant | Refused:
        """Raises Unavailable while this process's clock is not to be trusted: it could keep a closed order open."""
        order = await self._find(actor, order_id)
        if isinstance(order, Refused):
            return order
        denied = Refused(RecordAccessDenied(), order.hospital_id)
        person = person_of(order.patient)
        if actor.role is not Role.DOCTOR or not order.consent.record_access or person is None:
            return denied
        state = await self._state(order)
        if state is None or state.doctor != actor.account_id or not state.is_open_at(self.clock.now_ms()):
            return denied
        viewer = await self._viewer(actor)
        if viewer is None:
            return denied
        return Grant(
            order_id=order.id,
            order_number=order.number,
            hospital_id=order.hospital_id,
            patient=person,
            patient_account=order.patient_account,
            viewer=viewer,
            closes_at=from_ms(state.closes_at_ms),
        )

    async def check_patient(self, actor: Actor, order_id: str) -> PatientView | Refused:
        order = await self._find(actor, order_id)
        if isinstance(order, Refused):
            return order
        if actor.role is not Role.PATIENT:
            return Refused(RecordAccessDenied(), order.hospital_id)
        return PatientView(order.id, order.hospital_id)

    async def check_chat(self, actor: Actor, order_id: str) -> ChatView | Refused:
        order = await self._find(actor, order_id)
        if isinstance(order, Refused):
            return order
        viewer = await self._viewer(actor) if actor.role is Role.DOCTOR else None
        if viewer is None:
            return Refused(RecordAccessDenied(), order.hospital_id)
        return ChatView(order.id, order.number, order.hospital_id, viewer)

    async def _find(self, actor: Actor, order_id: str) -> Order | Refused:
        order = await self.orders.find(order_id) if is_id(order_id) else None
        if order is None:
            return Refused(OrderNotFound())
        if actor.role is Role.DOCTOR and order.phase is Phase.CAPTURED:
            with suppress(ConversationNotFound):  # a referral changes whose it is, before the document says so
                order = order.with_log((await self.log.read_fresh(order.conversation_id)).state)
        if actor.role not in (Role.PATIENT, Role.DOCTOR) or not is_member(actor, order):
            return Refused(OrderNotFound(), order.hospital_id)
        return order

    async def _state(self, order: Order) -> ConsultState | None:
        """The log of a paid order as of now."""
        if order.phase is not Phase.CAPTURED:
            return None
        if not self.clock_ok():
            raise Unavailable
        try:
            snapshot = await self.log.read_fresh(order.conversation_id)
        except ConversationNotFound:
            return None
        state: ConsultState = snapshot.state
        return state

    async def _viewer(self, actor: Actor) -> Viewer | None:
        """The doctor as the mark names them; None for one who is not on the list any more."""
        try:
            doctor = await self.doctors.get_doctor(actor.account_id)
        except DoctorNotFound:
            return None
        if not doctor.active:
            return None
        return Viewer(doctor.id, doctor.name, doctor.staff_number, await self.doctors.get_phone_tail(doctor))


def person_of(patient: OrderPatient) -> PatientRef | None:
    """The person whom the order is for, by the document that was shown when it was made; None where it was not kept."""
    if patient.document is None:
        return None
    return _ref(patient.document.id_type, patient.document.id_number, patient.name, patient.birth_date, patient.sex)


def _ref(id_type: str, id_number: str, name: str, birth_date: date | None, sex: str) -> PatientRef:
    return PatientRef(id_type, id_number, name, birth_date, sex if sex in ("male", "female") else None)


@dataclass(slots=True)
class OfflineVisits:
    """Implements `ports.VisitHistory` with the hospital's own records."""

    hospital: HospitalVisits

    async def has_offline_visit(self, patient: Patient) -> bool:
        """Somebody else's entry under this number confirms nothing. Raises record.source_unavailable."""
        person = _ref(patient.id_type.value, patient.id_number, patient.name, patient.birth_date, patient.sex.value)
        try:
            return await self.hospital.has_visit(person)
        except RecordIdentityMismatch:
            return False
