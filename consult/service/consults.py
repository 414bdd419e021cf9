"""What patient and doctor do to a consult: each is an entry of its log, decided there."""

from dataclasses import dataclass, replace
from functools import partial

from consult.domain.decisions import (
    AlreadyDone,
    decide_cancel,
    decide_finish,
    decide_gift,
    decide_settlement,
)
from consult.domain.log import facts_of
from consult.domain.notices import NoticeKind, notice_of
from consult.domain.order import ORDERS, Order, Rating
from consult.domain.quick import decide_give_back
from consult.domain.status import CloseReason, Command, LogFacts, Phase, require_allowed
from consult.errors import OrderTransitionRefused
from consult.ports import Decide, Log, OrderRepository, Outboxes
from consult.service.access import OrderAccess
from consult.service.announcer import OrderAnnouncer
from consult.service.figures import FigureBook
from consult.service.notices import NoticeService
from consult.service.payments import OrderPaymentService
from server.kernel.actor import Actor
from server.kernel.clock import Clock, to_ms
from server.kernel.outbox import Event, event_of


@dataclass(slots=True)
class ConsultService:
    """`command_id` is the request's: the same request again has its effect once and gives the order as it is then."""

    access: OrderAccess
    orders: OrderRepository
    payments: OrderPaymentService
    log: Log
    notices: NoticeService
    announcer: OrderAnnouncer
    relay: Outboxes
    clock: Clock
    figures: FigureBook

    async def cancel_order(self, actor: Actor, order_id: str, command_id: str) -> Order:
        """The patient withdraws: unpaid, or paid while no reply counts; then the fee goes back in full. Where the gateway says
        that it was paid meanwhile, it is captured first and then cancelled like any paid one."""
        order = await self.access.access_order_as_patient(actor, order_id, "consult.order_cancelled")
        if order.phase is Phase.PENDING_PAYMENT:
            try:
                return await self.payments.cancel_unpaid(actor, order, CloseReason.CANCELLED)
            except OrderTransitionRefused:
                order = await self.payments.await_capture(order)
        if order.phase is not Phase.CAPTURED:
            raise OrderTransitionRefused(status=order.status.value)
        return await self._append(order, partial(decide_cancel, account_id=actor.account_id, command_id=command_id))

    async def decline_order(self, actor: Actor, order_id: str, reason: str, command_id: str) -> Order:
        """The doctor gives it back while no reply counts, and the patient reads the reason: a quick consult waits for another
        doctor of the department, of any other the fee goes back in full."""
        order = await self.access.access_order_as_doctor(actor, order_id, "consult.order_declined")
        decide = partial(decide_give_back, account_id=actor.account_id, reason=reason, command_id=command_id)
        return await self._append(order, decide)

    async def finish_order(self, actor: Actor, order_id: str, command_id: str) -> Order:
        """The doctor ends it before quota and deadline; one reply at least counts."""
        order = await self.access.access_order_as_doctor(actor, order_id, "consult.order_finished")
        return await self._append(order, partial(decide_finish, account_id=actor.account_id, command_id=command_id))

    async def gift_replies(self, actor: Actor, order_id: str, count: int, command_id: str) -> Order:
        """The doctor adds replies, free, while the order is open."""
        order = await self.access.access_order_as_doctor(actor, order_id, "consult.replies_gifted")
        decide = partial(decide_gift, account_id=actor.account_id, count=count, command_id=command_id)
        return await self._append(order, decide)

    async def rate_order(self, actor: Actor, order_id: str, stars: int, tags: tuple[str, ...], text: str) -> Order:
        """Once, when the order is completed; it may come with the close."""
        order = await self.access.access_order_as_patient(actor, order_id, "consult.order_rated")
        order = await self.access.fresh(order)
        require_allowed(Command.RATE, order.status)
        at = self.clock.now()
        event = event_of(
            actor,
            "consult.order_rated",
            subject=order.id,
            at=at,
            order_id=order.id,
            hospital_id=order.hospital_id,
            stars=stars,
        )
        if not await self.orders.rate(order, Rating(stars, tags, text, at), event):
            raise OrderTransitionRefused(status=order.status.value, reason="rated")
        self.figures.forget(order.hospital_id, order.doctor.id)
        return await self._changed(order)

    async def set_record_access(self, actor: Actor, order_id: str, granted: bool) -> Order:
        """The patient lets the doctor see the records for this order, or does so no more; it holds at once."""
        order = await self.access.access_order_as_patient(actor, order_id, "consult.record_access_changed")
        event = event_of(
            actor,
            "consult.record_access_changed",
            subject=order.id,
            at=self.clock.now(),
            order_id=order.id,
            hospital_id=order.hospital_id,
            granted=granted,
        )
        if await self.orders.set_record_access(order, granted, event):
            return await self._changed(await self.access.fresh(order))
        return await self.access.fresh(order)

    async def order_rated(self, event: Event) -> None:
        """`consult.order_rated`: tell the doctor."""
        order = await self.orders.find(event.subject)
        if order is not None:
            notice = notice_of(
                NoticeKind.RATED,
                cause=event.id,
                account_id=order.doctor.id,
                hospital_id=order.hospital_id,
                order_id=order.id,
                at=event.at,
                stars=event.data["stars"],
            )
            await self.notices.tell([notice])

    async def record_access_changed(self, event: Event) -> None:
        """`consult.record_access_changed`: tell the doctor, once the order is paid and theirs to see."""
        order = await self.orders.find(event.subject)
        if order is not None and order.phase is Phase.CAPTURED and order.is_with_doctor:
            notice = notice_of(
                NoticeKind.RECORD_ACCESS_CHANGED,
                cause=event.id,
                account_id=order.doctor.id,
                hospital_id=order.hospital_id,
                order_id=order.id,
                at=event.at,
                granted=event.data["granted"],
            )
            await self.notices.tell([notice])

    async def _append(self, order: Order, decide: Decide) -> Order:
        if order.phase is not Phase.CAPTURED:
            raise OrderTransitionRefused(status=order.status.value)
        try:
            facts = facts_of((await self.log.append(order.conversation_id, decide)).state)
        except AlreadyDone:
            facts = facts_of((await self.log.read_fresh(order.conversation_id)).state)
        return order.with_facts(await self._settle_at_once(order, facts))

    async def _settle_at_once(self, order: Order, facts: LogFacts) -> LogFacts:
        """Where nothing can be recalled the last word follows at once; whatever hinders it, the sweep stands behind."""
        due = facts.settle_due_at_ms
        if due is None or to_ms(self.clock.now()) < due:
            return facts
        try:
            return facts_of((await self.log.append(order.conversation_id, decide_settlement)).state)
        except OrderTransitionRefused:
            return facts

    async def _changed(self, order: Order) -> Order:
        """The order after a change of its document, with the log that was laid over it before; told to both."""
        self.relay.soon(ORDERS, order.id, order.hospital_id)
        stored = await self.orders.find(order.id)
        assert stored is not None, "orders are not deleted"
        changed = replace(stored, facts=order.facts or stored.facts)
        self.announcer.announce(changed)
        return changed
