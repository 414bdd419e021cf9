"""What comparing bills needs from the outside."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Protocol

from billing.domain import Payment, Refund
from billing.reconciliation.domain import BillLine, Reconciliation
from server.kernel.outbox import Event


class Bills(Protocol):
    async def fetch(self, day: date) -> Sequence[BillLine]:
        """All lines of that day, proved to be the gateway's; none where nothing happened. Raises BillNotReady, GatewayUnknown,
        GatewayRefused."""
        ...


class Books(Protocol):
    """Payments and refunds, read for a comparison."""

    async def find_payments(self, hospital_id: str, numbers: Collection[str]) -> Sequence[Payment]: ...

    async def find_refunds(self, hospital_id: str, numbers: Collection[str]) -> Sequence[Refund]:
        """By their number at the gateway, also a former one."""
        ...

    async def list_paid(self, hospital_id: str, start: datetime, end: datetime) -> Sequence[Payment]:
        """Captured, and paid in this time by the gateway's clock."""
        ...

    async def list_refunded(self, hospital_id: str, start: datetime, end: datetime) -> Sequence[Refund]:
        """Paid out in this time by our clock."""
        ...


class Reconciliations(Protocol):
    async def save(self, reconciliation: Reconciliation, refund_numbers: Collection[str], event: Event) -> None:
        """Instead of an earlier comparison of the day; with the numbers of the refunds that its bill holds."""
        ...

    async def list_final(self, hospital_id: str, channel: str, since: date) -> Sequence[date]: ...

    async def find_billed(self, hospital_id: str, numbers: Collection[str], other_than: date) -> frozenset[str]:
        """Those of these refunds' numbers that another day's bill holds."""
        ...

    async def list_of(self, hospital_id: str, *, limit: int, before: tuple[str, str] | None) -> Sequence[Reconciliation]:
        """Newest day first, behind the place (day, id)."""
        ...
