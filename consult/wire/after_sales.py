"""What of after-sales crosses the network."""

from typing import Annotated

from pydantic import Field, StringConstraints

from consult.domain.after_sales import AfterSales, AfterSalesState
from consult.domain.order import MOST_IMAGES, Order
from consult.wire import Reason
from server.kernel.wire import CleanText, Id, Instant, Page, PageQuery, WireModel

_NotBlank = StringConstraints(pattern=r"\S")


class AfterSalesIn(WireModel):
    """Why the fee should come back: in short, in words if there is more to say, and with pictures."""

    reason: Annotated[Reason, _NotBlank]
    text: Annotated[CleanText, StringConstraints(max_length=2000)] = ""
    image_ids: Annotated[list[Id], Field(max_length=MOST_IMAGES)] = Field(default_factory=list)


class AfterSalesDecisionIn(WireModel):
    """`amount_fen` is what goes back of what is granted; all that is left of the fee, if it is not given. `answer` is for the
    patient to read."""

    granted: bool
    amount_fen: int | None = None
    answer: Annotated[CleanText, StringConstraints(max_length=1000)] = ""


class AfterSalesOut(WireModel):
    """A case. Its id is the order's: an order has one at most. `amount_fen` is null unless it was granted."""

    after_sales_id: str
    order_id: str
    order_number: str
    state: AfterSalesState
    reason: str
    text: str
    image_ids: list[str]
    fee_fen: int
    refunded_fen: int
    amount_fen: int | None
    answer: str
    asked_at: Instant
    decided_at: Instant | None


class AfterSalesPage(Page[AfterSalesOut]):
    """Asked last first."""


class AfterSalesQuery(PageQuery):
    state: AfterSalesState | None = None


def after_sales_out(order: Order) -> AfterSalesOut:
    """The case of an order that has one."""
    case: AfterSales | None = order.after_sales
    assert case is not None, "it was found by its case"
    return AfterSalesOut(
        after_sales_id=order.id,
        order_id=order.id,
        order_number=order.number,
        state=case.state,
        reason=case.reason,
        text=case.text,
        image_ids=list(case.image_ids),
        fee_fen=order.fee_fen,
        refunded_fen=order.refunded_fen,
        amount_fen=case.amount_fen,
        answer=case.answer,
        asked_at=case.asked_at,
        decided_at=case.decided_at,
    )
