"""What of money crosses the network."""

from typing import Literal

from pydantic import Field

from billing.domain import Refund, RefundStatus
from server.kernel.wire import Id, Instant, PageQuery, WireModel


class RefundQuery(PageQuery):
    status: RefundStatus | None = None


class RefundModel(WireModel):
    refund_id: Id
    order_id: Id
    payment_id: Id
    cause: str
    amount_fen: int
    status: RefundStatus
    problem: str | None
    tries: int
    created_at: Instant
    refunded_at: Instant | None


class RefundList(WireModel):
    items: list[RefundModel]
    next_cursor: str | None


class CallbackFailure(WireModel):
    """How the gateway wants a refusal."""

    code: Literal["FAIL"] = "FAIL"
    message: str = Field(max_length=256)


def refund_model(refund: Refund) -> RefundModel:
    return RefundModel(
        refund_id=refund.id,
        order_id=refund.order_id,
        payment_id=refund.payment_id,
        cause=refund.cause,
        amount_fen=refund.amount_fen,
        status=refund.status,
        problem=refund.problem,
        tries=refund.tries,
        created_at=refund.created_at,
        refunded_at=refund.refunded_at,
    )
