"""What of orders and desks crosses the network."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from accounts.domain.doctors import Doctor
from consult.domain.after_sales import AfterSales, AfterSalesState
from consult.domain.desk import MOST_QUICK_REPLIES, DeskSettings, Figures, Hours, QuickReply, minute_text, parse_minute
from consult.domain.log import LogDepartment
from consult.domain.order import MOST_IMAGES, MOST_TAGS, Order, OrderKind, Rating, age_on
from consult.domain.status import OrderStatus
from server.kernel.wire import CleanText, Id, Instant, OneLine, Page, PageQuery, QueryModel, WireModel

Complaint = Annotated[CleanText, StringConstraints(min_length=1, max_length=2000)]
Reason = Annotated[CleanText, StringConstraints(min_length=1, max_length=500)]
Tag = Annotated[OneLine, StringConstraints(max_length=20)]


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must say something")
    return text


class ConsentIn(WireModel):
    """The consent that was shown and agreed to, and whether the doctor may see the patient's records."""

    version: Annotated[str, StringConstraints(max_length=128)]
    sha256: Annotated[str, StringConstraints(max_length=128)]
    record_access: bool


class AnyOrderIn(WireModel):
    """What an order says, of whomever. Without the consent that is in force there is none: `order.consent_required`, also where
    none is given."""

    patient_id: Id
    kind: Literal["consult", "revisit"]
    complaint: Complaint
    image_ids: Annotated[list[Id], Field(max_length=MOST_IMAGES)]
    consent: ConsentIn | None = None

    _says_something = field_validator("complaint")(_not_blank)

    @field_validator("image_ids")
    @classmethod
    def _once_each(cls, ids: list[str]) -> list[str]:
        if len(set(ids)) != len(ids):
            raise ValueError("must not repeat")
        return ids


class OrderIn(AnyOrderIn):
    """An order of a doctor's. Without the consent that is in force there is none: `order.consent_required`, also where none is
    given."""

    doctor_id: Id


class PaymentIn(WireModel):
    channel: Literal["wechat_h5", "wechat_jsapi", "alipay_wap"]


class PaymentOut(WireModel):
    payment_id: str
    channel: str
    prepay_id: str
    params: dict[str, Any]


class DeclineIn(WireModel):
    reason: Reason

    _says_something = field_validator("reason")(_not_blank)


class GiftIn(WireModel):
    count: Annotated[int, Field(ge=1, le=10)]


class RatingIn(WireModel):
    stars: Annotated[int, Field(ge=1, le=5)]
    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS)] = Field(default_factory=list)
    text: Annotated[CleanText, StringConstraints(max_length=500)] = ""


class RecordAccessIn(WireModel):
    granted: bool


class QuickOut(WireModel):
    """An order of a department's first free doctor: until one took it (`taken`), the order's doctor has a department only, and
    empty id, name and title."""

    department_id: str
    department: str
    taken: bool


class DoctorOfOrder(WireModel):
    id: str
    name: str
    title: str
    department: str


class PatientOfOrder(WireModel):
    """`age` in whole years when the order was made; null where the patient's document does not say."""

    id: str
    name: str
    sex: str
    age: int | None


class RepliesOut(WireModel):
    """`limit` is what the order came with plus what was gifted; `used` the replies that count."""

    limit: int
    used: int
    gifted: int


class RatingOut(WireModel):
    stars: int
    tags: list[str]
    text: str
    rated_at: Instant


class AfterSalesOfOrder(WireModel):
    """How far the patient's asking for the fee is; their words are for the patient and for who decides."""

    state: AfterSalesState
    amount_fen: int | None
    asked_at: Instant
    decided_at: Instant | None


class OrderOut(WireModel):
    """`unpaid_until`: when it is cancelled if nobody pays. `record_access`: whether the patient lets the doctor see records.
    `quick`: null but for an order that was made of a department. `after_sales`: null until the patient asks for the fee."""

    id: str
    number: str
    status: OrderStatus
    kind: OrderKind
    doctor: DoctorOfOrder
    patient: PatientOfOrder
    complaint: str
    image_ids: list[str]
    fee_fen: int
    refunded_fen: int
    replies: RepliesOut
    conversation_id: str
    created_at: Instant
    paid_at: Instant | None
    deadline_at: Instant | None
    closed_at: Instant | None
    close_reason: str | None
    rating: RatingOut | None
    unpaid_until: Instant
    record_access: bool
    quick: QuickOut | None
    after_sales: AfterSalesOfOrder | None
    version: int


class OrderPage(Page[OrderOut]):
    """Newest first."""


class OrderQuery(PageQuery):
    status: OrderStatus | None = None


class DoctorOut(WireModel):
    """`replied_rate` from 0 to 1; it, `stars` and `median_reply_minutes` are null where nothing was counted yet."""

    id: str
    name: str
    title: str
    department: str
    good_at: str
    fee_fen: int
    accepting: bool
    stars: float | None
    replied_rate: float | None
    median_reply_minutes: int | None


class DoctorPageOut(Page[DoctorOut]):
    """By name."""


class DoctorsQuery(PageQuery):
    department_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    q: Annotated[str, StringConstraints(max_length=100)] | None = None
    accepting: bool | None = None


class HoursModel(WireModel):
    """A stretch of the week in Shanghai time, half-open: `weekday` 1 (Monday) to 7, `HH:MM`; `24:00` ends a day."""

    model_config = ConfigDict(serialize_by_alias=True)

    weekday: Annotated[int, Field(ge=1, le=7)]
    from_: Annotated[str, Field(alias="from")]
    to: str

    @field_validator("from_", "to")
    @classmethod
    def _time_of_day(cls, text: str) -> str:
        parse_minute(text)
        return text

    @model_validator(mode="after")
    def _forward(self) -> "HoursModel":
        if parse_minute(self.from_) >= parse_minute(self.to):
            raise ValueError("must end after it begins; split what goes over midnight")
        return self


class DeskSettingsModel(WireModel):
    """What PUT takes is what GET answers. An empty schedule is any hour; `daily_maximum` null is no limit."""

    accepting: bool
    daily_maximum: Annotated[int, Field(ge=0, le=10_000)] | None
    schedule: Annotated[list[HoursModel], Field(max_length=50)]


class QuickReplyIn(WireModel):
    """`{patient}`, `{doctor}` and `{department}` are filled in by the client where the reply is used."""

    text: Annotated[CleanText, StringConstraints(min_length=1, max_length=1000)]

    _says_something = field_validator("text")(_not_blank)


class QuickReplyOrderIn(WireModel):
    """All of them, in the order that is wanted."""

    ids: Annotated[Sequence[Id], Field(min_length=1, max_length=MOST_QUICK_REPLIES)]


class QuickReplyOut(WireModel):
    """`scope`: `own`, or `department` for those that all its doctors have and its administrators keep."""

    id: str
    text: str
    scope: Literal["own", "department"] = "own"


class QuickReplyList(Page[QuickReplyOut]):
    """All of them, in the order in which they were made; one's own first."""


class FiguresOut(WireModel):
    """One doctor's work. `replied_rate` from 0 to 1; rates, means and medians are null where nothing was counted."""

    orders: int
    open_orders: int
    completed: int
    replied_rate: float | None
    median_reply_minutes: int | None
    income_fen: int
    stars: float | None
    ratings: int


class NoQuery(QueryModel):
    """No query parameters."""


def order_out(order: Order) -> OrderOut:
    """The order as its patient and its doctor see it: both the same."""
    policy, facts = order.policy, order.facts
    gifted = facts.gifted if facts else 0
    limit = facts.limit if facts else (policy.replies if policy else order.planned_replies)
    patient, doctor = order.patient, order.doctor
    return OrderOut(
        id=order.id,
        number=order.number,
        status=order.status,
        kind=order.kind,
        doctor=DoctorOfOrder(id=doctor.id, name=doctor.name, title=doctor.title, department=doctor.department),
        patient=PatientOfOrder(
            id=patient.id, name=patient.name, sex=patient.sex, age=age_on(patient.birth_date, order.created_at)
        ),
        complaint=order.complaint,
        image_ids=list(order.image_ids),
        fee_fen=order.fee_fen,
        refunded_fen=order.refunded_fen,
        replies=RepliesOut(limit=limit, used=facts.counted_replies if facts else 0, gifted=gifted),
        conversation_id=order.conversation_id,
        created_at=order.created_at,
        paid_at=order.paid_at,
        deadline_at=order.deadline_at,
        closed_at=order.closed_at,
        close_reason=order.close_reason,
        rating=None if order.rating is None else _rating_out(order.rating),
        unpaid_until=order.unpaid_until,
        record_access=order.consent.record_access,
        quick=None if order.department is None else _quick_out(order, order.department),
        after_sales=None if order.after_sales is None else _after_sales_out(order.after_sales),
        version=order.shown_version,
    )


def _quick_out(order: Order, department: LogDepartment) -> QuickOut:
    return QuickOut(department_id=department.id, department=department.name, taken=order.is_with_doctor)


def _after_sales_out(case: AfterSales) -> AfterSalesOfOrder:
    return AfterSalesOfOrder(state=case.state, amount_fen=case.amount_fen, asked_at=case.asked_at, decided_at=case.decided_at)


def _rating_out(rating: Rating) -> RatingOut:
    return RatingOut(stars=rating.stars, tags=list(rating.tags), text=rating.text, rated_at=rating.rated_at)


def doctor_out(doctor: Doctor, settings: DeskSettings, figures: Figures, now: datetime) -> DoctorOut:
    return DoctorOut(
        id=doctor.id,
        name=doctor.name,
        title=doctor.title,
        department=doctor.department_name,
        good_at=doctor.good_at,
        fee_fen=doctor.fee_fen,
        accepting=doctor.active and settings.takes_orders_at(now),
        stars=figures.stars,
        replied_rate=figures.replied_rate,
        median_reply_minutes=figures.median_reply_minutes,
    )


def settings_out(settings: DeskSettings) -> DeskSettingsModel:
    schedule = [
        HoursModel.model_validate(
            {"weekday": hours.weekday, "from": minute_text(hours.from_minute), "to": minute_text(hours.to_minute)}
        )
        for hours in settings.schedule
    ]
    return DeskSettingsModel(accepting=settings.accepting, daily_maximum=settings.daily_maximum, schedule=schedule)


def schedule_of(model: DeskSettingsModel) -> tuple[Hours, ...]:
    return tuple(Hours(h.weekday, parse_minute(h.from_), parse_minute(h.to)) for h in model.schedule)


def quick_reply_out(reply: QuickReply, scope: Literal["own", "department"] = "own") -> QuickReplyOut:
    return QuickReplyOut(id=reply.id, text=reply.text, scope=scope)


def figures_out(figures: Figures) -> FiguresOut:
    return FiguresOut(
        orders=figures.orders,
        open_orders=figures.open_orders,
        completed=figures.completed,
        replied_rate=figures.replied_rate,
        median_reply_minutes=figures.median_reply_minutes,
        income_fen=figures.income_fen,
        stars=figures.stars,
        ratings=figures.ratings,
    )


def to_payload(model: BaseModel) -> dict[str, Any]:
    """The form in which a live event carries a model."""
    return model.model_dump(mode="json")
