"""Payments: asked for at a gateway, captured when the gateway says so, earned when the order is settled."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from billing.domain import (
    Channel,
    Entry,
    Payable,
    Payment,
    PaymentStatus,
    PostingSet,
    StartedPayment,
    TradeReport,
    TradeState,
    captured_lines,
    earned_lines,
    pause_after,
)
from billing.errors import ChannelUnavailable, GatewayUnknown, PaymentClosed, PaymentMismatch, PaymentNotFound
from billing.ports import Gateway, Gateways, Outboxes, PaymentRepository
from server.kernel.actor import Actor, system_actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock, to_ms
from server.kernel.ids import derived_id
from server.kernel.outbox import Event, event_of

log = structlog.get_logger(__name__)

PAYMENTS: Final = "payments"
CAPTURED: Final = "billing.payment_captured"
_TRIES: Final = 10
_QUERIES_AT_ONCE: Final = 50
_CLOSE_AFTER: Final = timedelta(minutes=1)
"""A payment that nobody made is closed at the gateway so long after it expired; until then a callback may be on its way."""


@dataclass(frozen=True, slots=True)
class PaymentService:
    payments: PaymentRepository
    gateways: Gateways
    clock: Clock
    relay: Outboxes
    audit: Audit

    async def start(self, actor: Actor, payable: Payable, channel: Channel, payment_id: str) -> StartedPayment:
        """Ask the gateway for a payment. The same `payment_id` again is the same request there, and gives the same answer.

        Raises ChannelUnavailable, PaymentClosed, GatewayRefused, GatewayUnknown (ask again with the same id).
        """
        gateway = self._gateway(channel)
        now = self.clock.now()
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
            created_at=now,
        )
        payment = await self.payments.insert(fresh, self._event(actor, fresh, "billing.payment_started"))
        self.relay.soon(PAYMENTS, payment.id, payment.hospital_id)
        if payment.prepay_id is not None:
            return StartedPayment(payment.id, payment.channel, payment.prepay_id, payment.params)
        if payment.status is not PaymentStatus.OPEN:
            raise PaymentClosed()
        started = await gateway.prepay(payment, payable.payer_address)
        await self.payments.set_prepaid(payment, started)
        return started

    async def close_open_payments(self, order_id: str, hospital_id: str) -> bool:
        """Make sure that nobody can pay this order any more. True: somebody has; the capture is booked and will be told.

        Raises GatewayUnknown where the gateway does not say: then the order must not be cancelled yet.
        """
        paid = False
        for payment in await self.payments.list_of_order(order_id, hospital_id):
            if payment.status is PaymentStatus.OPEN:
                paid |= await self._close(payment)
            else:
                paid |= payment.status is PaymentStatus.CAPTURED
        return paid

    async def report(self, report: TradeReport) -> None:
        """Book what a gateway said of one of our numbers, once, however often and in whatever order it is said.

        Raises PaymentNotFound and PaymentMismatch (audited) when it speaks of something else than what we asked for.
        """
        payment = await self.payments.find_by_trade_no(report.out_trade_no)
        if payment is None:
            raise PaymentNotFound()
        if report.state is TradeState.PAID:
            await self._capture(payment, report, system_actor(payment.hospital_id, name="gateway"))

    async def settle_earned(self, order_id: str, hospital_id: str, payment_id: str) -> None:
        """What is held of this payment becomes the hospital's income. Twice is once."""
        for _ in range(_TRIES):
            payment = await self._get(payment_id, hospital_id)
            amount = payment.held_fen
            if payment.order_id != order_id or payment.earned_fen or amount <= 0:
                return
            now = self.clock.now()
            posting = _posting(payment, Entry.EARNED, now, earned_lines(amount))
            event = self._event(system_actor(hospital_id, name="billing"), payment, "billing.payment_earned", amount_fen=amount)
            if await self.payments.earn(payment, amount, posting, event):
                self.relay.soon(PAYMENTS, payment.id, hospital_id)
                return
        raise GatewayUnknown()

    async def query_open_payments(self) -> None:
        """Ask for payments whose callback may be lost; close what expired. Run again and again by a worker."""
        now = self.clock.now()
        for payment in await self.payments.list_due_queries(now, _QUERIES_AT_ONCE):
            if not await self.payments.claim_query(payment, now + min(pause_after(payment.queries + 2), timedelta(minutes=1))):
                continue
            try:
                await self._query(payment)
            except GatewayUnknown:
                log.info("billing.query_unanswered", payment_id=payment.id)
            except PaymentMismatch:
                log.exception("billing.query_mismatch", payment_id=payment.id)

    async def _query(self, payment: Payment) -> None:
        if payment.prepay_id is None and self.clock.now() < payment.expires_at:
            return  # the gateway may not have been asked yet
        report = await self._gateway(payment.channel).query(payment.out_trade_no)
        if report.state is TradeState.PAID:
            await self._capture(payment, report, system_actor(payment.hospital_id, name="gateway"))
        elif self.clock.now() >= payment.expires_at + _CLOSE_AFTER:
            await self._close(payment)

    async def _close(self, payment: Payment) -> bool:
        """True when it turned out to be paid."""
        gateway = self._gateway(payment.channel)
        if not await gateway.close(payment.out_trade_no):
            report = await gateway.query(payment.out_trade_no)
            if report.state is not TradeState.PAID:
                raise GatewayUnknown()
            await self._capture(payment, report, system_actor(payment.hospital_id, name="gateway"))
            return True
        event = self._event(system_actor(payment.hospital_id, name="billing"), payment, "billing.payment_closed")
        if await self.payments.close(payment, event):
            self.relay.soon(PAYMENTS, payment.id, payment.hospital_id)
            return False
        return (await self._get(payment.id, payment.hospital_id)).status is PaymentStatus.CAPTURED

    async def _capture(self, payment: Payment, report: TradeReport, actor: Actor) -> None:
        if payment.status is PaymentStatus.CAPTURED and report.transaction_id == payment.transaction_id:
            self.relay.soon(PAYMENTS, payment.id, payment.hospital_id)
            return
        now = self.clock.now()
        if report.amount_fen != payment.amount_fen or report.transaction_id is None:
            await self.audit.record(
                audit_row(
                    actor,
                    CAPTURED,
                    subject=payment.id,
                    at=now,
                    order_id=payment.order_id,
                    outcome=Outcome.DENIED,
                    hospital_id=payment.hospital_id,
                )
            )
            raise PaymentMismatch()
        event = event_of(
            actor,
            CAPTURED,
            subject=payment.id,
            at=now,
            order_id=payment.order_id,
            hospital_id=payment.hospital_id,
            event_id=derived_id(CAPTURED, payment.id),
            payment_id=payment.id,
            amount_fen=payment.amount_fen,
            captured_at_ms=to_ms(now),
        )
        posting = _posting(payment, Entry.CAPTURED, now, captured_lines(payment.channel, payment.amount_fen))
        if await self.payments.capture(payment, report, posting, event):
            log.info("billing.captured", payment_id=payment.id, order_id=payment.order_id)
        self.relay.soon(PAYMENTS, payment.id, payment.hospital_id)

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


def _posting(payment: Payment, entry: Entry, at: datetime, lines: dict[str, int]) -> PostingSet:
    return PostingSet(
        id=derived_id("posting", entry.value, payment.id),
        hospital_id=payment.hospital_id,
        order_id=payment.order_id,
        payment_id=payment.id,
        entry=entry,
        at=at,
        lines=lines,
    )
