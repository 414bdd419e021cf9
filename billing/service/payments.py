"""Payments: asked for at a gateway, captured when the gateway says so, earned when the order is settled."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import structlog

from billing.domain import (
    Channel,
    Payable,
    Payment,
    PaymentStatus,
    StartedPayment,
    TradeReport,
    TradeState,
    decide_capture,
    decide_earning,
    pause_after,
)
from billing.errors import (
    ChannelUnavailable,
    GatewayRefused,
    GatewayUnknown,
    PaymentClosed,
    PaymentMismatch,
    PaymentNotFound,
)
from billing.ports import Gateway, Gateways, Outboxes, PaymentRepository
from billing.service.batches import for_each
from billing.service.refusals import RefusalBook
from server.kernel.actor import Actor, system_actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock, to_ms
from server.kernel.errors import DomainError, IdempotencyMismatch, Unavailable
from server.kernel.ids import derived_id
from server.kernel.outbox import Event, event_of

log = structlog.get_logger(__name__)

PAYMENTS: Final = "payments"
CAPTURED: Final = "billing.payment_captured"
CALLBACK: Final = "billing.callback_refused"
_TRIES: Final = 10
_QUERIES_A_RUN: Final = 200
_LONGEST_PAUSE: Final = timedelta(seconds=30)
_CLOSE_AFTER: Final = timedelta(minutes=1)
"""A payment that nobody made is closed at the gateway so long after it expired; until then a callback may be on its way."""


@dataclass(frozen=True, slots=True)
class PaymentService:
    payments: PaymentRepository
    gateways: Gateways
    clock: Clock
    relay: Outboxes
    audit: Audit
    refusals: RefusalBook = field(default_factory=RefusalBook)

    async def start(self, actor: Actor, payable: Payable, channel: Channel, payment_id: str) -> StartedPayment:
        """Ask the gateway for a payment. The same `payment_id` again is the same request there, and gives the same answer.

        Raises ChannelUnavailable, PaymentClosed, IdempotencyMismatch (the id stands for another payment), GatewayRefused,
        GatewayUnknown (ask again with the same id).
        """
        gateway = self._gateway(channel)
        fresh = Payment(
            id=payment_id,
            hospital_id=payable.hospital_id,
            order_id=payable.order_id,
            payer_account_id=payable.payer_account_id,
            channel=channel,
            amount_fen=payable.amount_fen,
            description=payable.description,
            expires_at=payable.expires_at,
            out_trade_no=payment_id,
            status=PaymentStatus.OPEN,
            created_at=self.clock.now(),
        )
        payment = await self.payments.insert(fresh, self._event(actor, fresh, "billing.payment_started"))
        if _terms(payment) != _terms(fresh):
            raise IdempotencyMismatch()
        self.relay.soon(PAYMENTS, payment.id, payment.hospital_id)
        if payment.prepay_id is None and payment.status is PaymentStatus.OPEN:
            started = await gateway.prepay(payment, payable.payer_address)
            if await self.payments.set_prepaid(payment, started):
                return started
            payment = await self._get(payment.id, payment.hospital_id)  # another start was first, or it was closed meanwhile
            if payment.status is PaymentStatus.CLOSED:
                await self._close_at_gateway(payment)
        if payment.prepay_id is None or payment.status is PaymentStatus.CLOSED:
            raise PaymentClosed()
        return StartedPayment(payment.id, payment.channel, payment.prepay_id, payment.params)

    async def close_open_payments(self, order_id: str, hospital_id: str) -> bool:
        """Make sure that nobody can pay this order any more. True: somebody has; the capture is booked and will be told.

        Raises GatewayUnknown where the gateway does not say: then the order must not be cancelled yet.
        """
        payments = await self.payments.list_of_order(order_id, hospital_id)
        paid = {payment.id for payment in payments if payment.status is PaymentStatus.CAPTURED}

        async def close(payment: Payment) -> None:
            if await self._close(payment):
                paid.add(payment.id)

        await for_each((payment for payment in payments if payment.status is PaymentStatus.OPEN), close)
        return bool(paid)

    async def report(self, report: TradeReport) -> None:
        """Book what a gateway said of one of our numbers, once, however often and in whatever order it is said.

        Raises PaymentNotFound and PaymentMismatch (audited) when it speaks of something else than what we asked for.
        """
        payment = await self.payments.find_by_trade_no(report.out_trade_no)
        if payment is None:
            raise PaymentNotFound()
        if report.state is TradeState.PAID:
            await self._capture(payment, report)

    async def refuse_callback(self, actor: Actor, gateway: str, error: DomainError) -> None:
        """Something came that claims to be a gateway's and is not believed: that is worth a row, unless there is a flood."""
        now = self.clock.now()
        passed_over = self.refusals.take(now)
        if passed_over is None:
            return
        log.warning(
            "billing.callback_refused",
            gateway=gateway,
            code=error.code,
            request_id=actor.request_id,
            not_written_before=passed_over,
        )
        await self.audit.record(audit_row(actor, CALLBACK, subject=f"{gateway}:{error.code}", at=now, outcome=Outcome.DENIED))

    async def settle_earned(self, order_id: str, hospital_id: str, payment_id: str) -> None:
        """What is held of the payment that the order lives on becomes the hospital's income. Twice is once.

        Raises PaymentNotFound when it is not this order's.
        """
        for _ in range(_TRIES):
            payment = await self._get(payment_id, hospital_id)
            if payment.order_id != order_id:
                raise PaymentNotFound()
            movement = decide_earning(payment, self.clock.now())
            if movement is None:
                return
            amount = payment.held_fen
            event = self._event(system_actor(hospital_id, name="billing"), payment, "billing.payment_earned", amount_fen=amount)
            if await self.payments.move(movement, event):
                self.relay.soon(PAYMENTS, payment.id, hospital_id)
                return
        raise Unavailable()

    async def query_open_payments(self) -> None:
        """Ask for payments whose callback may be lost; close what expired. Run again and again by a worker."""
        await for_each(await self.payments.list_due_queries(self.clock.now(), _QUERIES_A_RUN), self._query_one)

    async def _query_one(self, payment: Payment) -> None:
        """One of many: what is wrong with it must not stop the others."""
        pause = min(pause_after(payment.queries + 1), _LONGEST_PAUSE)
        if not await self.payments.claim_query(payment, self.clock.now() + pause):
            return
        try:
            await self._query(payment)
        except GatewayUnknown:
            log.info("billing.query_unanswered", payment_id=payment.id)
        except DomainError as error:
            log.warning("billing.query_failed", payment_id=payment.id, code=error.code, **error.fields)

    async def _query(self, payment: Payment) -> None:
        if payment.prepay_id is None and self.clock.now() < payment.expires_at:
            return  # the gateway may not have been asked yet
        report = await self._gateway(payment.channel).query(payment.out_trade_no)
        if report.state is TradeState.PAID:
            await self._capture(payment, report)
        elif self.clock.now() >= payment.expires_at + _CLOSE_AFTER:
            await self._close(payment)

    async def _close(self, payment: Payment) -> bool:
        """True when it turned out to be paid."""
        if not await self._close_at_gateway(payment):
            return True
        event = self._event(system_actor(payment.hospital_id, name="billing"), payment, "billing.payment_closed")
        if await self.payments.close(payment, event):
            self.relay.soon(PAYMENTS, payment.id, payment.hospital_id)
            return False
        return (await self._get(payment.id, payment.hospital_id)).status is PaymentStatus.CAPTURED

    async def _close_at_gateway(self, payment: Payment) -> bool:
        """True: nobody can pay it any more. False: it is paid, and that is booked. Raises GatewayUnknown for all between."""
        gateway = self._gateway(payment.channel)
        try:
            if await gateway.close(payment.out_trade_no):
                return True
        except GatewayRefused as refusal:  # a wallet may be at it: what it is worth now decides
            log.info("billing.close_refused", payment_id=payment.id, **refusal.fields)
        report = await gateway.query(payment.out_trade_no)
        if report.state is TradeState.PAID:
            await self._capture(payment, report)
            return False
        if report.state is TradeState.OPEN:
            raise GatewayUnknown()
        return True

    async def _capture(self, payment: Payment, report: TradeReport) -> None:
        actor = system_actor(payment.hospital_id, name="gateway")
        for _ in range(_TRIES):
            now = self.clock.now()
            try:
                movement = decide_capture(payment, report, now)
            except PaymentMismatch:
                await self._audit_denied(actor, payment)
                raise
            if movement is None:
                break
            event = event_of(
                actor,
                CAPTURED,
                subject=payment.id,
                at=now,
                order_id=payment.order_id,
                event_id=derived_id(CAPTURED, payment.id),
                payment_id=payment.id,
                amount_fen=payment.amount_fen,
                captured_at_ms=to_ms(now),
            )
            if await self.payments.move(movement, event):
                log.info("billing.captured", payment_id=payment.id, order_id=payment.order_id)
                break
            payment = await self._get(payment.id, payment.hospital_id)
        else:
            raise Unavailable()
        self.relay.soon(PAYMENTS, payment.id, payment.hospital_id)

    async def _audit_denied(self, actor: Actor, payment: Payment) -> None:
        log.error("billing.capture_refused", payment_id=payment.id)
        await self.audit.record(
            audit_row(
                actor, CAPTURED, subject=payment.id, at=self.clock.now(), order_id=payment.order_id, outcome=Outcome.DENIED
            )
        )

    async def _get(self, payment_id: str, hospital_id: str) -> Payment:
        payment = await self.payments.find(payment_id)
        if payment is None or payment.hospital_id != hospital_id:
            raise PaymentNotFound()
        return payment

    def _gateway(self, channel: Channel) -> Gateway:
        try:
            return self.gateways[channel]
        except KeyError:
            raise ChannelUnavailable(channel=channel.value) from None

    def _event(self, actor: Actor, payment: Payment, action: str, **data: Any) -> Event:
        return event_of(
            actor,
            action,
            subject=payment.id,
            at=self.clock.now(),
            order_id=payment.order_id,
            hospital_id=payment.hospital_id,
            **data,
        )


def _terms(payment: Payment) -> tuple[object, ...]:
    """What one payment id stands for."""
    return (
        payment.hospital_id,
        payment.order_id,
        payment.payer_account_id,
        payment.channel,
        payment.amount_fen,
        payment.expires_at,
    )
