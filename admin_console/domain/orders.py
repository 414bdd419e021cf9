"""What staff ask of orders and of the hospital's work."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from consult.domain.status import OrderStatus


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Orders of one hospital by what is known of them. `since` is included, `until` is not; both are about their
    making. `paid`: only those that were."""

    hospital_id: str
    status: OrderStatus | None = None
    doctor_id: str | None = None
    number: str | None = None
    patient_account: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    patient_id: str | None = None
    paid: bool = False


@dataclass(frozen=True, slots=True)
class OrderCounts:
    """`replied_rate`: of the paid orders that were answered or are over, the part that was answered; None without any."""

    by_status: Mapping[OrderStatus, int]
    replied_rate: float | None


@dataclass(frozen=True, slots=True)
class MoneyTotals:
    """Sums of the ledger in fen. paid = held + earned + refunded; refunded counts refunds that are payable."""

    paid_fen: int
    held_fen: int
    earned_fen: int
    refunded_fen: int


@dataclass(frozen=True, slots=True)
class HospitalFigures:
    counts: OrderCounts
    money: MoneyTotals
