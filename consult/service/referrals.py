"""Referring an order to another doctor: each step is an entry of its log, decided there."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from accounts.errors import DoctorNotFound
from consult.domain.decisions import AlreadyDone
from consult.domain.log import ConsultState, ReferralAct
from consult.domain.order import Order, OrderDoctor, OrderPatient, local_day
from consult.domain.referrals import NEW, decide_referral, decide_referral_step, parties_of
from consult.domain.status import LogDoctor, Phase
from consult.errors import OrderNotFound, OrderTransitionRefused
from consult.ports import Decide, Doctors, Log, OrderRepository
from consult.service.access import OrderAccess
from consult.service.places import HeldPlaces
from im.errors import ConversationNotFound
from server.kernel.actor import Actor, Role
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock, from_ms
from server.kernel.ids import is_id

_MOST_OFFERS: Final = 50


@dataclass(frozen=True, slots=True)
class ShownReferral:
    """A referral as its parties see it. `state`: proposed, accepted, agreed, refused or withdrawn."""

    id: str
    order_id: str
    doctor: LogDoctor
    reason: str
    state: ReferralAct


@dataclass(frozen=True, slots=True)
class Offer:
    """What a doctor decides on: nothing of the conversation, no name and no complaint, since the patient has not agreed yet."""

    referral: ShownReferral
    by: OrderDoctor
    patient: OrderPatient
    made_at: datetime
    deadline_at: datetime


@dataclass(slots=True)
class ReferralService:
    """`command_id` is the request's: the same request again has its effect once."""

    access: OrderAccess
    orders: OrderRepository
    doctors: Doctors
    places: HeldPlaces
    log: Log
    audit: Audit
    clock: Clock

    async def propose(self, actor: Actor, order_id: str, doctor_id: str, reason: str, command_id: str) -> ShownReferral:
        """The order's doctor offers it to another of the hospital. Raises DoctorNotFound, OrderTransitionRefused."""
        order = await self.access.access_order_as_doctor(actor, order_id, "consult.order_referred")
        if order.phase is not Phase.CAPTURED:
            raise OrderTransitionRefused(status=order.status.value)
        doctor = await self.doctors.get_doctor(doctor_id)
        if not doctor.active or doctor.hospital_id != order.hospital_id:
            raise DoctorNotFound
        to = LogDoctor(doctor.id, doctor.name, doctor.title, doctor.department_name)
        decide = partial(decide_referral, account_id=actor.account_id, doctor=to, reason=reason, command_id=command_id)
        await self._append(order, decide)
        return ShownReferral(command_id, order.id, to, reason, ReferralAct.PROPOSE)

    async def step(self, actor: Actor, order_id: str, referral_id: str, act: ReferralAct, command_id: str) -> ShownReferral:
        """Accept, agree, refuse or withdraw. Raises OrderNotFound for whoever is no party, OrderTransitionRefused where it is
        not one's turn or the order went on otherwise, OrderDailyMaximum where the new doctor's day is full."""
        order, state = await self._access_party(actor, order_id, command_id)
        referral = state.referral
        day = local_day(self.clock.now()) if act is ReferralAct.ACCEPT and NEW in parties_of(state, actor.account_id) else None
        decide = partial(
            decide_referral_step,
            account_id=actor.account_id,
            referral_id=referral_id,
            act=act,
            command_id=command_id,
            place_day=day,
        )
        if day is None:
            await self._append(order, decide)
        else:
            await self.places.append(order, actor.account_id, day, decide)
        if referral is None or referral.id != referral_id:
            raise OrderTransitionRefused(status=state.status.value, reason="referral")
        return ShownReferral(referral.id, order.id, referral.doctor, referral.reason, act)

    async def find(self, actor: Actor, order_id: str) -> ShownReferral | None:
        """The one under way, for the order's patient and its doctor."""
        order = await self.access.access_order(actor, order_id, "consult.referral_viewed")
        if order.phase is not Phase.CAPTURED:
            return None
        state: ConsultState = (await self.log.read_fresh(order.conversation_id)).state
        return _shown(state)

    async def list_offers(self, actor: Actor) -> list[Offer]:
        """What is offered to this doctor, the soonest due first."""
        found = await self.orders.list_offered(actor.hospital_id, actor.account_id, _MOST_OFFERS)
        await self.log.preload([order.conversation_id for order in found])
        offers = []
        for order in found:
            state: ConsultState = (await self.log.read_fresh(order.conversation_id)).state
            shown = _shown(state)
            if shown is not None and shown.doctor.id == actor.account_id and state.is_open_at(self.clock.now_ms()):
                offers.append(Offer(shown, order.doctor, order.patient, order.created_at, from_ms(state.closes_at_ms)))
        await self.audit.record(audit_row(actor, "consult.referrals_listed", subject=actor.account_id, at=self.clock.now()))
        return offers

    async def conceal(self, actor: Actor, order_id: str) -> None:
        """Raises OrderNotFound for whoever may not see the order, whatever they may do."""
        await self.access.require_visible(actor, order_id)

    async def _append(self, order: Order, decide: Decide) -> None:
        try:
            await self.log.append(order.conversation_id, decide)
        except AlreadyDone:
            return

    async def _access_party(self, actor: Actor, order_id: str, command_id: str) -> tuple[Order, ConsultState]:
        """Missing and forbidden look alike; a refusal leaves a row."""
        order = await self.orders.find(order_id) if is_id(order_id) else None
        at_home = order is not None and (actor.role is Role.PATIENT or actor.hospital_id == order.hospital_id)
        if order is not None and at_home and order.phase is Phase.CAPTURED:
            try:
                state: ConsultState = (await self.log.read_fresh(order.conversation_id)).state
            except ConversationNotFound:
                raise OrderNotFound from None
            if parties_of(state, actor.account_id):
                return order, state
        if is_id(order_id):
            await self.audit.record(
                audit_row(
                    actor,
                    "consult.referral_answered",
                    subject=order_id,
                    at=self.clock.now(),
                    order_id=order_id,
                    outcome=Outcome.DENIED,
                    hospital_id=None if order is None else order.hospital_id,
                )
            )
        raise OrderNotFound


def _shown(state: ConsultState) -> ShownReferral | None:
    referral = state.referral
    if referral is None:
        return None
    how_far = ReferralAct.ACCEPT if referral.accepted else ReferralAct.PROPOSE
    return ShownReferral(referral.id, state.order_id, referral.doctor, referral.reason, how_far)
