"""What is going on in the hospital now, and day by day. Ids, numbers and doctors; nothing of patients."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from consult.domain.status import OrderStatus
from consult.domain.tasks import TaskState

SOON: Final = timedelta(hours=6)
"""An open order whose deadline is this near needs somebody's eyes."""

MOST_URGENT: Final = 12
MOST_DAYS: Final = 92


@dataclass(frozen=True, slots=True)
class UrgentOrder:
    """An open order, told without its patient."""

    order_id: str
    number: str
    status: OrderStatus
    doctor_name: str
    department: str
    paid_at: datetime
    deadline_at: datetime


@dataclass(frozen=True, slots=True)
class DayFigures:
    """Orders made on one local day: how many; how many of them were paid, answered, completed, cancelled, and are or will be
    refunded; and what was paid and refunded for them."""

    day: str
    orders: int = 0
    paid: int = 0
    answered: int = 0
    completed: int = 0
    cancelled: int = 0
    refunded: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0


@dataclass(frozen=True, slots=True)
class DepartmentFigures:
    """Paid orders of a department in a span of days. `stars`: the mean of all ratings, None without one."""

    department: str
    orders: int
    answered: int
    paid_fen: int
    stars: float | None


@dataclass(frozen=True, slots=True)
class Series:
    """Every day of the span, also those without an order; departments with most orders first."""

    days: tuple[DayFigures, ...]
    departments: tuple[DepartmentFigures, ...]


@dataclass(frozen=True, slots=True)
class BoardCounts:
    """`near`: open orders whose deadline is nearer than `SOON`. `urgent`: those that end first, at most `MOST_URGENT`."""

    open_orders: Mapping[OrderStatus, int]
    near: int
    urgent: tuple[UrgentOrder, ...]
    refunds_under_way: int
    refunds_need_person: int
    tasks: Mapping[TaskState, int]
    tasks_overdue: int


@dataclass(frozen=True, slots=True)
class Board:
    at: datetime
    counts: BoardCounts
    today: DayFigures


def with_empty_days(found: Mapping[str, DayFigures], last: datetime, days: int) -> tuple[DayFigures, ...]:
    """`days` days up to the local day of `last`, in order."""
    names = [f"{(last - timedelta(days=back)):%Y-%m-%d}" for back in range(days - 1, -1, -1)]
    return tuple(found.get(name, DayFigures(name)) for name in names)
