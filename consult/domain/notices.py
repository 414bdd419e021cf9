"""What people are told besides the conversation itself. A notice never holds words or names of people."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Final

from consult.domain.log import DOCTOR, ConsultState, QuickAct, ReferralAct
from consult.domain.status import NOBODY, CloseReason
from im.domain import Entry, EntryKind
from im.push.domain import MESSAGE, ONE_MESSAGE, Occasion
from server.kernel.clock import iso_ms
from server.kernel.ids import derived_id


class NoticeKind(StrEnum):
    """Beside each, what its `data` may hold: `DATA`."""

    ORDER_PAID = "order_paid"
    REPLIED = "replied"
    REPLIES_GIFTED = "replies_gifted"
    ORDER_CLOSED = "order_closed"
    ORDER_REOPENED = "order_reopened"
    REFUNDED = "refunded"
    RATED = "rated"
    TIME_LEFT = "time_left"
    REPLY_FLAGGED = "reply_flagged"
    RECORD_ACCESS_CHANGED = "record_access_changed"
    CRITICAL_VALUE = "critical_value"
    REFERRAL_OFFERED = "referral_offered"
    REFERRAL_ACCEPTED = "referral_accepted"
    ORDER_REFERRED = "order_referred"
    QUICK_WAITING = "quick_waiting"
    ORDER_TAKEN = "order_taken"
    ORDER_RETURNED = "order_returned"
    AFTER_SALES_DECIDED = "after_sales_decided"


Value = str | int | bool

DATA: Final[Mapping[NoticeKind, frozenset[str]]] = MappingProxyType(
    {
        NoticeKind.ORDER_PAID: frozenset({"conversation_id", "deadline_at"}),
        NoticeKind.REPLIED: frozenset({"conversation_id", "seq"}),
        NoticeKind.REPLIES_GIFTED: frozenset({"conversation_id", "count"}),
        NoticeKind.ORDER_CLOSED: frozenset({"conversation_id", "close_reason", "refund"}),
        NoticeKind.ORDER_REOPENED: frozenset({"conversation_id"}),
        NoticeKind.REFUNDED: frozenset({"amount_fen"}),
        NoticeKind.RATED: frozenset({"stars"}),
        NoticeKind.TIME_LEFT: frozenset({"conversation_id", "minutes_left", "deadline_at"}),
        NoticeKind.REPLY_FLAGGED: frozenset({"conversation_id", "seq", "flaw"}),
        NoticeKind.RECORD_ACCESS_CHANGED: frozenset({"granted"}),
        NoticeKind.CRITICAL_VALUE: frozenset({"critical_id", "record_id", "task_id"}),
        NoticeKind.REFERRAL_OFFERED: frozenset({"conversation_id", "referral_id", "deadline_at"}),
        NoticeKind.REFERRAL_ACCEPTED: frozenset({"conversation_id", "referral_id"}),
        NoticeKind.ORDER_REFERRED: frozenset({"conversation_id", "referral_id", "deadline_at"}),
        NoticeKind.QUICK_WAITING: frozenset({"deadline_at", "minutes_left"}),
        NoticeKind.ORDER_TAKEN: frozenset({"conversation_id"}),
        NoticeKind.ORDER_RETURNED: frozenset({"conversation_id"}),
        NoticeKind.AFTER_SALES_DECIDED: frozenset({"granted", "amount_fen"}),
    }
)
"""What a notice of each kind says besides its order: ids, numbers, codes and instants, from which clients make their own words.
Nothing else is stored, so that neither health nor names can slip in."""


TEXTS: Final[Mapping[NoticeKind, tuple[str, str]]] = MappingProxyType(
    {
        NoticeKind.ORDER_PAID: ("新的咨询", "有一位患者已付款，正在等待您的回复。"),
        NoticeKind.REPLIED: ("医生已回复", "医生回复了您的咨询，请查看。"),
        NoticeKind.REPLIES_GIFTED: ("医生赠送了回复", "医生为您的咨询免费增加了回复次数。"),
        NoticeKind.ORDER_CLOSED: ("咨询已结束", "这次咨询已经结束。"),
        NoticeKind.ORDER_REOPENED: ("咨询已重新开放", "医生撤回了一条回复，咨询继续进行。"),
        NoticeKind.REFUNDED: ("退款成功", "这次咨询的费用已按原路退回。"),
        NoticeKind.RATED: ("新的评价", "有一位患者评价了您的咨询。"),
        NoticeKind.TIME_LEFT: ("请尽快回复", "有一位患者仍在等待您的回复，咨询即将到时。"),
        NoticeKind.REPLY_FLAGGED: ("关于医生的回复", "医生的一条回复可能过于简短或与他人相同，如有异议可以申诉。"),
        NoticeKind.RECORD_ACCESS_CHANGED: ("病历授权变更", "患者更改了本次咨询的病历查看授权。"),
        NoticeKind.CRITICAL_VALUE: ("危急值提醒", "有一项检查结果需要您立即处理，请登录查看。"),
        NoticeKind.REFERRAL_OFFERED: ("转诊邀请", "有一位医生希望将一次咨询转给您，请确认是否接受。"),
        NoticeKind.REFERRAL_ACCEPTED: ("请确认转诊", "医生建议将您的咨询转给另一位医生，对方已接受，请确认是否同意。"),
        NoticeKind.ORDER_REFERRED: ("咨询已转诊", "患者已同意，这次咨询已转给新的医生。"),
        NoticeKind.QUICK_WAITING: ("科室有新的极速咨询", "本科室有一位患者在等待接诊，先接先得。"),
        NoticeKind.ORDER_TAKEN: ("医生已接诊", "已有医生接受了您的极速咨询，请等待回复。"),
        NoticeKind.ORDER_RETURNED: ("正在重新安排医生", "医生未能接诊，您的极速咨询已回到科室，将由其他医生接诊。"),
        NoticeKind.AFTER_SALES_DECIDED: ("售后申请已处理", "您的售后申请已有结果，请在订单中查看。"),
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
        CloseReason.AFTER_SALES: "售后申请已通过，这次咨询已经结束。",
    }
)


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing told to one account. The id follows from cause and account, so that it appears once whoever tells it.

    `order_id` None: it is about no order. `read_at` None: not read yet."""

    id: str
    hospital_id: str
    account_id: str
    kind: NoticeKind
    title: str
    text: str
    order_id: str | None
    created_at: datetime
    data: Mapping[str, Value] = field(default_factory=dict)
    read_at: datetime | None = None


def notice_of(
    kind: NoticeKind,
    *,
    cause: str,
    account_id: str,
    hospital_id: str,
    order_id: str | None,
    at: datetime,
    text: str | None = None,
    **data: Value,
) -> Notice:
    """The notice of this cause for this account. Raises ValueError for data that this kind does not have."""
    title, standard = TEXTS[kind]
    if not DATA[kind].issuperset(data):
        raise ValueError(f"a notice of kind {kind} holds only {sorted(DATA[kind])}")
    return Notice(
        id=derived_id("notice", cause, account_id, kind.value),
        hospital_id=hospital_id,
        account_id=account_id,
        kind=kind,
        title=title,
        text=text or standard,
        order_id=order_id,
        created_at=at,
        data=data,
    )


MOST_READ_AT_ONCE: Final = 100
MOST_COUNTED: Final = 1_000
"""A badge shows no more."""

MOST_REPLY_NOTICES: Final = 20
"""A consult with more replies than that speaks for itself."""


def notices_of_entry(entry: Entry, state: ConsultState, at: datetime) -> Iterator[Notice]:
    """Who is told what of this entry; `state` is the one after it."""
    draft = entry.draft
    patients = tuple(account for account, role in state.roles.items() if role != DOCTOR)
    tell = partial(_to, entry, state, at)
    if draft.kind is EntryKind.OPENED and state.doctor != NOBODY:
        yield from tell((state.doctor,), NoticeKind.ORDER_PAID, deadline_at=iso_ms(state.closes_at_ms))
    if draft.kind is EntryKind.MESSAGE and draft.role == DOCTOR and len(state.counted) <= MOST_REPLY_NOTICES:
        yield from tell(patients, NoticeKind.REPLIED, seq=entry.seq)
    if draft.kind is EntryKind.GIFT:
        yield from tell(patients, NoticeKind.REPLIES_GIFTED, count=draft.data["count"])
    if draft.kind is EntryKind.REFERRED:
        yield from _notices_of_referral(entry, state, at, patients)
    if draft.closes is not None:
        reason = CloseReason(draft.closes)
        text = _closed_text(reason, state)
        yield from tell(tuple(state.roles), NoticeKind.ORDER_CLOSED, text, close_reason=reason.value, refund=not state.counted)
    if draft.kind is EntryKind.RECALL and draft.data.get("reopens"):
        yield from tell(tuple(state.roles), NoticeKind.ORDER_REOPENED)


def _notices_of_referral(entry: Entry, state: ConsultState, at: datetime, patients: tuple[str, ...]) -> Iterator[Notice]:
    data = entry.draft.data
    if data["act"] in frozenset(QuickAct):
        taken = data["act"] == QuickAct.TAKE
        yield from _to(entry, state, at, patients, NoticeKind.ORDER_TAKEN if taken else NoticeKind.ORDER_RETURNED)
        return
    tell, due = partial(_to, entry, state, at), iso_ms(state.closes_at_ms)
    match ReferralAct(data["act"]):
        case ReferralAct.PROPOSE:
            offered = (data["doctor"]["id"],)
            yield from tell(offered, NoticeKind.REFERRAL_OFFERED, referral_id=data["referral_id"], deadline_at=due)
        case ReferralAct.ACCEPT:
            yield from tell(patients, NoticeKind.REFERRAL_ACCEPTED, referral_id=data["referral_id"])
        case ReferralAct.AGREE:
            both = (data["from"], state.doctor)
            yield from tell(both, NoticeKind.ORDER_REFERRED, referral_id=data["referral_id"], deadline_at=due)
        case _:
            return


def occasion_of(notice: Notice) -> Occasion:
    """The notice as a device that is away hears of it."""
    conversation_id = notice.data.get("conversation_id")
    return Occasion(
        cause=notice.id,
        hospital_id=notice.hospital_id,
        account_id=notice.account_id,
        kind=notice.kind.value,
        text=notice.text,
        at=notice.created_at,
        order_id=notice.order_id,
        conversation_id=conversation_id if isinstance(conversation_id, str) else None,
    )


def occasions_of_entry(entry: Entry, state: ConsultState, notices: Iterable[Notice], at: datetime) -> Iterator[Occasion]:
    """What of this entry is pushed, once to each member but its sender: a message as such, anything else as its notice."""
    draft = entry.draft
    if draft.kind is not EntryKind.MESSAGE:
        yield from (occasion_of(notice) for notice in notices if notice.account_id != draft.sender)
        return
    for account in state.roles:
        if account != draft.sender:
            yield Occasion(
                cause=entry.id,
                hospital_id=state.hospital_id,
                account_id=account,
                kind=MESSAGE,
                text=ONE_MESSAGE,
                at=at,
                order_id=state.order_id,
                conversation_id=entry.conversation_id,
                seq=entry.seq,
            )


def _closed_text(reason: CloseReason, state: ConsultState) -> str | None:
    if reason is CloseReason.EXPIRED and not state.counted:
        return "咨询时间已到而医生没有回复，费用将按原路退回。"
    return CLOSED_TEXTS.get(reason)


def _to(
    entry: Entry,
    state: ConsultState,
    at: datetime,
    accounts: Iterable[str],
    kind: NoticeKind,
    text: str | None = None,
    **data: Value,
) -> Iterator[Notice]:
    for account in accounts:
        yield notice_of(
            kind,
            cause=entry.id,
            account_id=account,
            hospital_id=state.hospital_id,
            order_id=state.order_id,
            at=at,
            text=text,
            conversation_id=entry.conversation_id,
            **data,
        )
