"""Billing as orders ask it: what is paid is an order's fee, until the order would be cancelled unpaid."""

from dataclasses import dataclass
from typing import Final

from billing import domain as billing
from billing.service.payments import PaymentService
from billing.service.refunds import RefundService
from consult.domain.order import Order, StartedPayment
from server.kernel.actor import Actor

DESCRIPTION: Final = "云诊在线咨询"
"""What the wallet and the bank statement show: nothing of the patient or the doctor."""

_NO_ADDRESS: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class OrderPayments:
    """Implements `ports.Payments` over billing's services."""

    payments: PaymentService
    refunds: RefundService

    async def start(self, actor: Actor, order: Order, channel: str, payment_id: str) -> StartedPayment:
        payable = billing.Payable(
            order_id=order.id,
            hospital_id=order.hospital_id,
            payer_account_id=order.patient_account,
            amount_fen=order.fee_fen,
            description=DESCRIPTION,
            expires_at=order.unpaid_until,
            payer_address=actor.address or _NO_ADDRESS,
        )
        started = await self.payments.start(actor, payable, billing.Channel(channel), payment_id)
        return StartedPayment(started.payment_id, started.channel.value, started.prepay_id, started.params)

    async def close_open_payments(self, order_id: str, hospital_id: str) -> bool:
        return await self.payments.close_open_payments(order_id, hospital_id)

    async def settle_earned(self, order_id: str, hospital_id: str, payment_id: str) -> None:
        await self.payments.settle_earned(order_id, hospital_id, payment_id)

    async def refund(self, payment_id: str, hospital_id: str, cause: str, amount_fen: int | None = None) -> None:
        await self.refunds.refund(payment_id, hospital_id, cause, amount_fen)

    async def refund_surplus(self, payment_id: str, hospital_id: str) -> None:
        await self.refunds.refund_surplus(payment_id, hospital_id)
