"""What billing needs from the outside."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from billing.domain import Channel, Movement, Payment, Refund, RefundReport, StartedPayment, TradeReport
from server.kernel.outbox import Event


class Gateway(Protocol):
    """One payment gateway. Every method raises GatewayUnknown when it cannot be known what was done, and GatewayRefused when
    the gateway said no."""

    async def prepay(self, payment: Payment, payer_address: str) -> StartedPayment:
        """The same number again is the same order there."""
        ...

    async def query(self, out_trade_no: str) -> TradeReport: ...

    async def close(self, out_trade_no: str) -> bool:
        """True: closed, or never known there. False: it is paid; query it."""
        ...

    async def refund(self, refund: Refund, payment: Payment) -> RefundReport: ...

    async def query_refund(self, out_refund_no: str) -> RefundReport: ...


class CallbackReader(Protocol):
    """Verifies and opens a gateway's callback."""

    async def read_callback(self, headers: Mapping[str, str], body: bytes) -> TradeReport | RefundReport:
        """Raises PaymentSignatureInvalid, or PaymentMismatch for what is signed and makes no sense or is another merchant's."""
        ...


class PaymentRepository(Protocol):
    """Payments, refunds and postings as stored. Every write of money is one transaction with its postings and its event."""

    async def insert(self, payment: Payment, event: Event) -> Payment:
        """Store a new payment; where its id is taken, the payment that has it."""
        ...

    async def find(self, payment_id: str) -> Payment | None: ...

    async def find_by_trade_no(self, out_trade_no: str) -> Payment | None: ...

    async def list_of_order(self, order_id: str, hospital_id: str) -> list[Payment]: ...

    async def set_prepaid(self, payment: Payment, started: StartedPayment) -> bool:
        """While it is open and nothing stands there."""
        ...

    async def close(self, payment: Payment, event: Event) -> bool:
        """While it is open."""
        ...

    async def move(self, movement: Movement, event: Event) -> bool:
        """Book a movement while the payment is at the version that it stands on."""
        ...

    async def reserve(self, movement: Movement, refund: Refund, event: Event) -> bool:
        """`move`, and store the refund, while it is not there."""
        ...

    async def find_refund(self, refund_id: str) -> Refund | None: ...

    async def find_refund_by_number(self, out_refund_no: str) -> Refund | None:
        """By its number at the gateway, also a former one."""
        ...

    async def list_refunds_of_order(self, order_id: str, hospital_id: str) -> list[Refund]: ...

    async def list_refunds(
        self, hospital_id: str, *, status: str | None, limit: int, after: tuple[datetime, str] | None
    ) -> list[Refund]: ...

    async def save_refund(self, refund: Refund, event: Event | None) -> bool:
        """While the stored one is at the version before."""
        ...

    async def pay_out(self, movement: Movement, refund: Refund, event: Event) -> bool:
        """`move`, and store the refund as paid out, while both are at these versions."""
        ...

    async def list_due_refunds(self, now: datetime, limit: int) -> list[Refund]: ...

    async def claim_refund(self, refund: Refund, until: datetime) -> bool:
        """Put the next try off to `until`, while it is at this version: one worker asks at a time."""
        ...

    async def list_due_queries(self, now: datetime, limit: int) -> list[Payment]: ...

    async def claim_query(self, payment: Payment, until: datetime) -> bool: ...


class Outboxes(Protocol):
    def soon(self, collection: str, key: Any, hospital_id: str) -> None: ...


Gateways = dict[Channel, Gateway]
