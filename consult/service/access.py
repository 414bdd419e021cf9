"""Who may see an order, and how it stands at this moment."""

from dataclasses import dataclass
from typing import Final

from consult.domain.order import Order
from consult.domain.status import Phase
from consult.errors import OrderNotFound
from consult.ports import Log, OrderRepository
from im.errors import ConversationNotFound
from server.kernel.actor import Actor, Role
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.ids import is_id

VIEWED: Final = "consult.order_viewed"


@dataclass(slots=True)
class OrderAccess:
    """Missing and forbidden look alike; both leave a row that says denied."""

    orders: OrderRepository
    log: Log
    audit: Audit
    clock: Clock

    async def access_order(self, actor: Actor, order_id: str, action: str) -> Order:
        """The order, for its patient's account and its current doctor. Raises OrderNotFound."""
        return await self._access(actor, order_id, action, frozenset({Role.PATIENT, Role.DOCTOR}))

    async def require_visible(self, actor: Actor, order_id: str) -> None:
        """Raises OrderNotFound unless the actor may look at the order, whatever else the actor may do to it."""
        await self.access_order(actor, order_id, VIEWED)

    async def access_order_as_patient(self, actor: Actor, order_id: str, action: str) -> Order:
        return await self._access(actor, order_id, action, frozenset({Role.PATIENT}))

    async def access_order_as_doctor(self, actor: Actor, order_id: str, action: str) -> Order:
        return await self._access(actor, order_id, action, frozenset({Role.DOCTOR}))

    async def fresh(self, order: Order) -> Order:
        """The order with its log as of now laid over it, whatever the projection has reached."""
        if order.phase is not Phase.CAPTURED:
            return order
        try:
            snapshot = await self.log.read_fresh(order.conversation_id)
        except ConversationNotFound:
            return order
        return order.with_log(snapshot.state)

    async def _access(self, actor: Actor, order_id: str, action: str, roles: frozenset[Role]) -> Order:
        order = await self.orders.find(order_id) if is_id(order_id) else None
        if order is not None and actor.role in roles:
            if actor.role is Role.DOCTOR and order.hospital_id == actor.hospital_id:
                order = await self.fresh(order)  # a referral changes whose it is, at once
            if is_member(actor, order):
                return order
        if is_id(order_id):
            await self.audit.record(
                audit_row(
                    actor,
                    action,
                    subject=order_id,
                    at=self.clock.now(),
                    order_id=order_id,
                    outcome=Outcome.DENIED,
                    hospital_id=None if order is None else order.hospital_id,
                )
            )
        raise OrderNotFound


def is_member(actor: Actor, order: Order) -> bool:
    """Whether this is the account of the order's patient, or its current doctor at its hospital."""
    if actor.role is Role.DOCTOR:
        return order.doctor.id == actor.account_id and order.hospital_id == actor.hospital_id
    return order.patient_account == actor.account_id
