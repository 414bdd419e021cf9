"""From an order to its payment, and back: places of the day, captures, refunds, cancelling what is not paid.

Before the capture the order's document is the arbiter: every step here is a compare-and-set on it.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from consult.domain.desk import PlaceAnswer
from consult.domain.notices import NoticeKind, notice_of
from consult.domain.order import MOST_PAYMENTS, ORDERS, Order, StartedPayment, local_day
from consult.domain.status import CloseReason, Command, Outcome, Phase, require_allowed
from consult.errors import (
    OrderDailyMaximum,
    OrderDoctorUnavailable,
    OrderPaymentsExhausted,
    OrderTransitionRefused,
    OrderUnpaidMaximum,
)
from consult.ports import DeskRepository, Doctors, Log, OrderRepository, Outboxes, Payments, PlaceRepository
from consult.service.access import OrderAccess
from consult.service.announcer import OrderAnnouncer
from consult.service.notices import NoticeService
from consult.service.offers import QuickOffers
from consult.service.orders import OrderSettings
from server.kernel.actor import Actor, system_actor
from server.kernel.clock import Clock
from server.kernel.errors import Unavailable
from server.kernel.outbox import Event, event_of

log = structlog.get_logger(__name__)

_TRIES: Final = 5
_CAPTURE_SECONDS: Final = 5.0
_CAPTURE_PAUSE_SECONDS: Final = 0.02


@dataclass(slots=True)
class OrderPaymentService:
    access: OrderAccess
    orders: OrderRepository
    places: PlaceRepository
    desks: DeskRepository
    doctors: Doctors
    offers: QuickOffers
    payments: Payments
    log: Log
    notices: NoticeService
    announcer: OrderAnnouncer
    relay: Outboxes
    clock: Clock
    settings: OrderSettings

    async def start_payment(self, actor: Actor, order_id: str, channel: str, payment_id: str) -> StartedPayment:
        """Begin to pay. All attempts of an order share one place of the doctor's day, that of the first attempt; a quick
        consult takes its place with the doctor who takes it.

        Raises OrderNotFound, OrderTransitionRefused, OrderDoctorUnavailable, OrderPaymentsExhausted, OrderDailyMaximum,
        OrderUnpaidMaximum; the money has not moved then.
        """
        order = await self.access.access_order_as_patient(actor, order_id, "consult.payment_started")
        self._require_payable(order)
        await self._require_doctor(order)
        order = await self._begin(order, payment_id)
        day = order.place_day or local_day(self.clock.now())
        if order.department is None:
            await self._take_place(order, payment_id, day)
        await self._require_still_unpaid(order)
        started = await self.payments.start(actor, order, channel, payment_id)
        if (now := await self._reread(order)).phase is Phase.CANCELLED:
            await self.payments.close_open_payments(order.id, order.hospital_id)
            raise OrderTransitionRefused(status=now.status.value)
        return started

    async def _take_place(self, order: Order, payment_id: str, day: str) -> None:
        place = await self.places.take_unpaid(order.hospital_id, order.doctor.id, day, order.id, order.patient_account)
        if place is not PlaceAnswer.TAKEN:
            await self.orders.forget_payment(order, payment_id)
            raise OrderDailyMaximum if place is PlaceAnswer.FULL else OrderUnpaidMaximum

    async def cancel_unpaid(self, actor: Actor, order: Order, reason: CloseReason) -> Order:
        """Close its open payments at the gateway, then cancel. Raises OrderTransitionRefused where one was paid after all:
        that captures instead."""
        for _ in range(_TRIES):
            if order.phase is not Phase.PENDING_PAYMENT:
                raise OrderTransitionRefused(status=order.status.value)
            if await self.payments.close_open_payments(order.id, order.hospital_id):
                raise OrderTransitionRefused(status=order.status.value)
            at = self.clock.now()
            event = event_of(
                actor,
                "consult.order_cancelled",
                subject=order.id,
                at=at,
                order_id=order.id,
                hospital_id=order.hospital_id,
                reason=reason.value,
            )
            done = await self.orders.cancel(order, reason, at, event)
            order = await self._reread(order)
            if done:
                await self._free(order)
                self.relay.soon(ORDERS, order.id, order.hospital_id)
                self.announcer.announce(order)
                return order
        raise Unavailable

    async def await_capture(self, order: Order) -> Order:
        """The order once its capture, which billing has booked and is telling us of, has arrived; as it is after a while."""
        try:
            async with asyncio.timeout(_CAPTURE_SECONDS):
                while order.phase is Phase.PENDING_PAYMENT:
                    await asyncio.sleep(_CAPTURE_PAUSE_SECONDS)
                    order = await self._reread(order)
        except TimeoutError:
            log.warning("order.capture_not_told", order_id=order.id)
        return order

    async def payment_captured(self, event: Event) -> None:
        """`billing.payment_captured`: the first capture of an unpaid order opens the consult; any other is surplus."""
        order = await self._find_of(event)
        if order is None:
            return
        payment_id: str = event.data["payment_id"]
        captured_at = self.clock.now()
        captured = event_of(
            system_actor(order.hospital_id, name="consult", request_id=event.request_id),
            "consult.order_paid",
            subject=order.id,
            at=captured_at,
            order_id=order.id,
            payment_id=payment_id,
        )
        if order.phase is Phase.PENDING_PAYMENT:
            await self.orders.capture(order, payment_id, self.settings.policy, captured_at, captured)
            order = await self._reread(order)
        if order.captured_payment_id != payment_id:
            await self.payments.refund_surplus(payment_id, order.hospital_id)
            return
        await self.log.read_fresh(order.conversation_id)  # opens it, and whoever opens it tells both
        self.relay.soon(ORDERS, order.id, order.hospital_id)

    async def order_settled(self, event: Event) -> None:
        """`consult.order_settled`: the fee is the hospital's, or goes back. Billing takes either twice."""
        order = await self._find_of(event)
        if order is None or order.captured_payment_id is None:
            return
        if event.data["outcome"] == Outcome.EARNED.value:
            await self.payments.settle_earned(order.id, order.hospital_id, order.captured_payment_id)
        else:
            await self.payments.refund(order.captured_payment_id, order.hospital_id, event.data["cause"])

    async def refund_succeeded(self, event: Event) -> None:
        """`billing.refund_succeeded`: the patient has the money. What was paid beyond the fee is none of the order's."""
        order = await self._find_of(event)
        if order is None or event.data.get("payment_id", order.captured_payment_id) != order.captured_payment_id:
            return
        refund_id, amount_fen = event.data["refund_id"], event.data["amount_fen"]
        refunded = event_of(
            system_actor(order.hospital_id, name="consult", request_id=event.request_id),
            "consult.order_refunded",
            subject=order.id,
            at=self.clock.now(),
            order_id=order.id,
            refund_id=refund_id,
            amount_fen=amount_fen,
        )
        if await self.orders.add_refund(order, refund_id, amount_fen, refunded):
            self.relay.soon(ORDERS, order.id, order.hospital_id)
            self.announcer.announce(await self.access.fresh(await self._reread(order)))

    async def order_refunded(self, event: Event) -> None:
        """`consult.order_refunded`: tell both."""
        order = await self._find_of(event)
        if order is None:
            return
        await self.notices.tell(
            notice_of(
                NoticeKind.REFUNDED,
                cause=event.data["refund_id"],
                account_id=account_id,
                hospital_id=order.hospital_id,
                order_id=order.id,
                at=event.at,
                amount_fen=event.data["amount_fen"],
            )
            for account_id in order.members
        )

    def _require_payable(self, order: Order) -> None:
        require_allowed(Command.PAY, order.status)
        if self.clock.now() >= order.unpaid_until:
            raise OrderTransitionRefused(status=order.status.value)

    async def _require_doctor(self, order: Order) -> None:
        """The switch is looked at again: much may have changed since the order was made."""
        if order.department is not None:
            await self.offers.get_offer(order.department.id, order.hospital_id)
            return
        doctor = (await self.doctors.find_doctors([order.doctor.id])).get(order.doctor.id)
        settings = await self.desks.find_settings(order.hospital_id, order.doctor.id)
        if doctor is None or not doctor.active or not settings.takes_orders_at(self.clock.now()):
            raise OrderDoctorUnavailable

    async def _begin(self, order: Order, payment_id: str) -> Order:
        """Note the attempt on the unpaid order; what cancels it after this sees another version."""
        for _ in range(_TRIES * 10):
            self._require_payable(order)
            if len(order.payment_ids) >= MOST_PAYMENTS and payment_id not in order.payment_ids:
                raise OrderPaymentsExhausted(attempts=MOST_PAYMENTS)
            begun = await self.orders.begin_payment(order, payment_id, local_day(self.clock.now()))
            order = await self._reread(order)
            if begun:
                return order
        raise Unavailable

    async def _require_still_unpaid(self, order: Order) -> None:
        """A cancel in between has looked for a place before it was taken: give it back."""
        now = await self._reread(order)
        if now.phase is Phase.CANCELLED:
            await self._free(now)
        require_allowed(Command.PAY, now.status)

    async def _free(self, order: Order) -> None:
        if order.place_day is not None and order.department is None:
            await self.places.free(order.hospital_id, order.doctor.id, order.place_day, order.id)

    async def _reread(self, order: Order) -> Order:
        stored = await self.orders.find(order.id)
        assert stored is not None, "orders are not deleted"
        return stored

    async def _find_of(self, event: Event) -> Order | None:
        order = None if event.order_id is None else await self.orders.find(event.order_id)
        if order is None:
            log.error("order.event_without_order", action=event.action, event_id=event.id)
        return order
