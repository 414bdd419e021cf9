"""What people are told besides the conversation itself. A notice never holds words or names of people."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from consult.domain.log import DOCTOR, ConsultState
from consult.domain.status import CloseReason
from im.domain import Entry, EntryKind
from server.kernel.ids import derived_id


class NoticeKind(StrEnum):
    ORDER_PAID = "order_paid"
    REPLIED = "replied"
    REPLIES_GIFTED = "replies_gifted"
    ORDER_CLOSED = "order_closed"
    ORDER_REOPENED = "order_reopened"
    REFUNDED = "refunded"
    RATED = "rated"


TEXTS: Final[Mapping[NoticeKind, tuple[str, str]]] = MappingProxyType(
    {
        NoticeKind.ORDER_PAID: ("新的咨询", "有一位患者已付款，正在等待您的回复。"),
        NoticeKind.REPLIED: ("医生已回复", "医生回复了您的咨询，请查看。"),
        NoticeKind.REPLIES_GIFTED: ("医生赠送了回复", "医生为您的咨询免费增加了回复次数。"),
        NoticeKind.ORDER_CLOSED: ("咨询已结束", "这次咨询已经结束。"),
        NoticeKind.ORDER_REOPENED: ("咨询已重新开放", "医生撤回了一条回复，咨询继续进行。"),
        NoticeKind.REFUNDED: ("退款成功", "这次咨询的费用已按原路退回。"),
        NoticeKind.RATED: ("新的评价", "有一位患者评价了您的咨询。"),
    }
)
"""Title and text by kind."""

CLOSED_TEXTS: Final[Mapping[CloseReason, str]] = MappingProxyType(
    {
        CloseReason.QUOTA: "回复次数已用完，这次咨询已经结束。",
        CloseReason.EXPIRED: "咨询时间已到，这次咨询已经结束。",
        CloseReason.FINISHED: "医生结束了这次咨询。",
        CloseReason.CANCELLED: "患者取消了这次咨询，费用将按原路退回。",
        CloseReason.DECLINED: "医生退回了这次咨询，费用将按原路退回。",
    }
)


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing told to one account. The id follows from cause and account, so that it appears once whoever tells it."""

    id: str
    hospital_id: str
    account_id: str
    kind: NoticeKind
    title: str
    text: str
    order_id: str
    created_at: datetime


def notice_of(
    kind: NoticeKind, *, cause: str, account_id: str, hospital_id: str, order_id: str, at: datetime, text: str | None = None
) -> Notice:
    title, standard = TEXTS[kind]
    return Notice(
        id=derived_id("notice", cause, account_id, kind.value),
        hospital_id=hospital_id,
        account_id=account_id,
        kind=kind,
        title=title,
        text=text or standard,
        order_id=order_id,
        created_at=at,
    )


MOST_REPLY_NOTICES: Final = 20
"""A consult with more replies than that speaks for itself."""


def notices_of_entry(entry: Entry, state: ConsultState, at: datetime) -> Iterator[Notice]:
    """Who is told what of this entry; `state` is the one after it."""
    draft = entry.draft
    told: list[tuple[NoticeKind, str | None, bool]] = []  # kind, text, the doctor too
    if draft.kind is EntryKind.OPENED:
        yield _to(state.doctor, NoticeKind.ORDER_PAID, None, entry, state, at)
    if draft.kind is EntryKind.MESSAGE and draft.role == DOCTOR and len(state.counted) <= MOST_REPLY_NOTICES:
        told.append((NoticeKind.REPLIED, None, False))
    if draft.kind is EntryKind.GIFT:
        told.append((NoticeKind.REPLIES_GIFTED, None, False))
    if draft.closes is not None:
        told.append((NoticeKind.ORDER_CLOSED, _closed_text(CloseReason(draft.closes), state), True))
    if draft.kind is EntryKind.RECALL and draft.data.get("reopens"):
        told.append((NoticeKind.ORDER_REOPENED, None, True))
    for kind, text, doctor_too in told:
        for account, role in state.roles.items():
            if doctor_too or role != DOCTOR:
                yield _to(account, kind, text, entry, state, at)


def _closed_text(reason: CloseReason, state: ConsultState) -> str | None:
    if reason is CloseReason.EXPIRED and not state.counted:
        return "咨询时间已到而医生没有回复，费用将按原路退回。"
    return CLOSED_TEXTS.get(reason)


def _to(account: str, kind: NoticeKind, text: str | None, entry: Entry, state: ConsultState, at: datetime) -> Notice:
    return notice_of(
        kind,
        cause=entry.id,
        account_id=account,
        hospital_id=state.hospital_id,
        order_id=state.order_id,
        at=at,
        text=text,
    )
