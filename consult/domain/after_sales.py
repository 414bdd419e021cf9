"""After-sales: a patient who was answered and is not content asks for the fee, and a medical administrator decides.

An order has one case at most, and the case has the order's id. What is granted is an entry of the log: the last word on money.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from consult.domain.status import CloseReason, Command, OrderStatus, require_allowed
from consult.errors import AfterSalesTransitionRefused, OrderTransitionRefused
from server.kernel.errors import RequestInvalid

ASKED_WITHIN: Final = timedelta(days=7)
"""Of the close. Half-open: at this instant it is too late."""

CAUSE: Final = CloseReason.AFTER_SALES.value
"""What a refund that was granted is called in the log and in billing: the same cause is the same refund."""


class AfterSalesState(StrEnum):
    REQUESTED = "requested"
    GRANTED = "granted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AfterSales:
    """One case. `reason`, `text` and the pictures are the patient's; `answer` is the hospital's, for the patient to read.
    `amount_fen` is what goes back, where it was granted; `decided_by` the account that decided."""

    reason: str
    text: str
    image_ids: tuple[str, ...]
    asked_at: datetime
    state: AfterSalesState = AfterSalesState.REQUESTED
    amount_fen: int | None = None
    answer: str = ""
    decided_by: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How an order stands with its money at this moment."""

    status: OrderStatus
    closed_at: datetime | None
    fee_fen: int
    refunded_fen: int


def require_askable(standing: Standing, case: AfterSales | None, now: datetime) -> None:
    """Once an order, after its first reply, and until seven days after its close. Raises OrderTransitionRefused."""
    require_allowed(Command.AFTER_SALES, standing.status)
    if case is not None:
        raise OrderTransitionRefused(status=standing.status.value, reason="asked_before")
    if standing.closed_at is not None and now >= standing.closed_at + ASKED_WITHIN:
        raise OrderTransitionRefused(status=standing.status.value, reason="too_late")


def decide_case(
    case: AfterSales,
    standing: Standing,
    *,
    granted: bool,
    amount_fen: int | None,
    answer: str,
    decided_by: str,
    now: datetime,
) -> AfterSales:
    """The case as decided. No amount is all that the patient has not got back yet.

    Raises AfterSalesTransitionRefused for what is decided, OrderTransitionRefused for a refund of an order whose fee goes back
    anyway, RequestInvalid for an amount that is not there.
    """
    if case.state is not AfterSalesState.REQUESTED:
        raise AfterSalesTransitionRefused(state=case.state.value)
    decided = replace(case, answer=answer, decided_by=decided_by, decided_at=now)
    if not granted:
        if amount_fen is not None:
            raise RequestInvalid(amount_fen="is for what is granted")
        return replace(decided, state=AfterSalesState.REFUSED)
    require_allowed(Command.AFTER_SALES, standing.status)
    most = standing.fee_fen - standing.refunded_fen
    amount = most if amount_fen is None else amount_fen
    if not 1 <= amount <= most:
        raise RequestInvalid(amount_fen=f"must be from 1 to {most}")
    return replace(decided, state=AfterSalesState.GRANTED, amount_fen=amount)
