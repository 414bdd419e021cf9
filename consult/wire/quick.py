"""What of quick consults crosses the network."""

from typing import Annotated

from pydantic import Field, StringConstraints

from accounts.domain.doctors import FEE_MAX_FEN
from consult.domain.order import OrderKind, age_on
from consult.domain.quick import QuickPrice
from consult.service.offers import QuickOffer
from consult.service.quick import Waiting
from consult.wire import AnyOrderIn
from server.kernel.wire import Id, Instant, Page, WireModel


class QuickOfferOut(WireModel):
    """A department whose first free doctor can be asked. `doctors`: how many of them take orders at this moment; while it is 0
    no order is taken."""

    department_id: str
    department: str
    fee_fen: int
    doctors: int


class QuickOfferList(Page[QuickOfferOut]):
    """All departments that can be asked."""


class QuickOrderIn(AnyOrderIn):
    """As an order of a doctor's, but for the doctor."""

    department_id: Id


class WaitingOut(WireModel):
    """An order in the department's pool: what a doctor needs to decide. Name, pictures, records and the conversation are there
    for whoever takes it."""

    order_id: str
    kind: OrderKind
    sex: str
    age: int | None
    complaint: str
    images: int
    fee_fen: int
    paid_at: Instant | None
    deadline_at: Instant


class PoolOut(Page[WaitingOut]):
    """The soonest due first; empty while one takes no orders oneself."""


class PoolChangedOut(WireModel):
    """`pool.changed`: an order is in the department's pool (`waiting`), or is there no more."""

    order_id: Annotated[str, StringConstraints(max_length=64)]
    department_id: Annotated[str, StringConstraints(max_length=64)]
    waiting: bool


class QuickPriceModel(WireModel):
    """What PUT takes is what GET answers. `fee_fen` null: the department takes no quick consults."""

    fee_fen: Annotated[int, Field(ge=1, le=FEE_MAX_FEN)] | None


def quick_offer_out(offer: QuickOffer) -> QuickOfferOut:
    return QuickOfferOut(
        department_id=offer.department.id,
        department=offer.department.name,
        fee_fen=offer.fee_fen,
        doctors=offer.doctors,
    )


def waiting_out(waiting: Waiting) -> WaitingOut:
    order = waiting.order
    return WaitingOut(
        order_id=order.id,
        kind=order.kind,
        sex=order.patient.sex,
        age=age_on(order.patient.birth_date, order.created_at),
        complaint=order.complaint,
        images=len(order.image_ids),
        fee_fen=order.fee_fen,
        paid_at=order.paid_at,
        deadline_at=waiting.closes_at,
    )


def quick_price_out(price: QuickPrice) -> QuickPriceModel:
    return QuickPriceModel(fee_fen=price.fee_fen)
