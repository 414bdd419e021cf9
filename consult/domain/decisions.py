"""What may be appended to a consult's log, and what is refused. Each decision is taken at the entry before its own, by values.

`now_ms` is the instant of the attempt in milliseconds; every window is half-open.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from consult.domain.log import DOCTOR, PATIENT, SYSTEM, ConsultState, Draft
from consult.domain.order import local_day
from consult.domain.status import CloseReason, Command, Outcome, require_allowed
from consult.errors import OrderNotFound, OrderTransitionRefused
from im.cards import CardKind, gift_card, rating_card
from im.domain import EntryKind, Part, RecallMessage, SendMessage
from im.errors import (
    ConversationClosed,
    ConversationFlooded,
    ConversationNotFound,
    ConversationQuotaExhausted,
    MessageAlreadyRecalled,
    MessageCardRefused,
    MessageNotSender,
    MessageRecallExpired,
    MessageRecallRefused,
)
from server.kernel.clock import from_ms
from server.kernel.errors import RequestInvalid

MOST_GIFTED_AT_ONCE: Final = 10
BOOKED_AHEAD: Final = timedelta(days=365)


class AlreadyDone(Exception):
    """This very request had its effect already: answer as then, append nothing."""


def decide_message(state: ConsultState, command: SendMessage, now_ms: int) -> Draft:
    """A member says something. The reply that uses up the quota is the closing entry too."""
    account = command.account_id
    role = state.roles.get(account)
    if role is None:
        raise ConversationNotFound
    if not state.is_open_at(now_ms):
        if role == DOCTOR and state.close_reason is CloseReason.QUOTA:
            raise ConversationQuotaExhausted
        raise ConversationClosed
    if role == PATIENT and state.patient_run >= state.policy.patient_burst:
        raise ConversationFlooded
    if command.corrects is not None:
        _require_own_message(state, account, command.corrects)
    _require_own_cards(role, command.parts, now_ms)
    closes = CloseReason.QUOTA.value if role == DOCTOR and len(state.counted) + 1 >= state.limit else None
    return Draft(
        kind=EntryKind.MESSAGE,
        sender=account,
        role=role,
        client_id=command.client_id,
        parts=command.parts,
        corrects=command.corrects,
        closes=closes,
    )


def decide_recall(state: ConsultState, command: RecallMessage, now_ms: int) -> Draft:
    """The sender takes a message back, within the window, also after the close. Once settled, it only masks.

    A reply that is taken back gives its quota back. If the quota had closed the consult, it is used up no more, so that the
    consult is open again, unless its time is over; any other close stands.
    """
    role = state.roles.get(command.account_id)
    if role is None:
        raise ConversationNotFound
    sender = state.sender_of(command.seq)
    if sender is None:
        raise MessageRecallRefused
    if sender != command.account_id:
        raise MessageNotSender
    if command.seq in state.recalled:
        raise MessageAlreadyRecalled
    if now_ms >= state.times[command.seq - 1] + state.policy.recall_window_ms:
        raise MessageRecallExpired
    reopens = (
        command.seq in state.counted
        and state.settled is None
        and state.close_reason is CloseReason.QUOTA
        and now_ms < state.closes_at_ms
    )
    return Draft(
        kind=EntryKind.RECALL,
        sender=command.account_id,
        role=role,
        client_id=command.client_id,
        recalls=command.seq,
        data={"reopens": True} if reopens else {},
    )


def decide_gift(state: ConsultState, now_ms: int, *, account_id: str, count: int, command_id: str) -> Draft:
    """The doctor adds 1 to 10 replies, free; only while the order is open."""
    _require_member(state, account_id, DOCTOR)
    _require_new(state, command_id)
    if not 1 <= count <= MOST_GIFTED_AT_ONCE:
        raise RequestInvalid(count="must be from 1 to 10")
    _require(state, Command.GIFT, now_ms)
    return Draft(
        kind=EntryKind.GIFT,
        sender=account_id,
        role=DOCTOR,
        parts=(_system_part(EntryKind.GIFT, count=count), gift_card(count)),
        data={"count": count, "command_id": command_id},
    )


def decide_cancel(state: ConsultState, now_ms: int, *, account_id: str, command_id: str) -> Draft:
    """The patient cancels, free, while no reply counts."""
    _require_member(state, account_id, PATIENT)
    _require_new(state, command_id)
    _require(state, Command.CANCEL, now_ms)
    return _closed(state, CloseReason.CANCELLED, now_ms, sender=account_id, role=PATIENT, command_id=command_id)


def decide_decline(state: ConsultState, now_ms: int, *, account_id: str, reason: str, command_id: str) -> Draft:
    """The doctor gives the order back, with a reason for the patient, while no reply counts."""
    _require_member(state, account_id, DOCTOR)
    _require_new(state, command_id)
    _require(state, Command.DECLINE, now_ms)
    part = _system_part(EntryKind.CLOSED, reason=reason)
    return _closed(state, CloseReason.DECLINED, now_ms, sender=account_id, role=DOCTOR, command_id=command_id, parts=(part,))


def decide_finish(state: ConsultState, now_ms: int, *, account_id: str, command_id: str) -> Draft:
    """The doctor ends the consult before its quota or time; at least one reply must count."""
    _require_member(state, account_id, DOCTOR)
    _require_new(state, command_id)
    _require(state, Command.FINISH, now_ms)
    return _closed(state, CloseReason.FINISHED, now_ms, sender=account_id, role=DOCTOR, command_id=command_id)


def decide_expiry(state: ConsultState, now_ms: int) -> Draft:
    """The time is over. Refused while it is not, and where something else closed the order first."""
    if not state.open or now_ms < state.closes_at_ms:
        raise OrderTransitionRefused(status=state.status.value)
    return _closed(
        state,
        CloseReason.EXPIRED,
        now_ms,
        sender=None,
        role=SYSTEM,
        command_id=None,
        inputs={"limit": state.limit, "policy": state.policy.as_data()},
    )


def decide_settlement(state: ConsultState, now_ms: int) -> Draft:
    """The last word on money, with what it was decided on. Refused while a recall could still change it, and once given."""
    due = state.settle_due_at_ms
    if due is None or now_ms < due:
        raise OrderTransitionRefused(status=state.status.value)
    outcome = Outcome.EARNED if state.counted else Outcome.REFUND
    return Draft(
        kind=EntryKind.SETTLED,
        sender=None,
        role=SYSTEM,
        parts=(
            _system_part(EntryKind.SETTLED, outcome=outcome.value),
            *((rating_card(state.order_id),) if outcome is Outcome.EARNED else ()),
        ),
        data={
            "outcome": outcome.value,
            "counted_replies": len(state.counted),
            "fee_fen": state.fee_fen,
            "close_reason": state.close_reason.value if state.close_reason else None,
            "closed_at_ms": state.closed_at_ms,
            "recall_window_ms": state.policy.recall_window_ms,
            "policy": state.policy.as_data(),
            "due_at_ms": due,
            "now_ms": now_ms,
        },
    )


def decide_after_sales_close(state: ConsultState, now_ms: int, *, command_id: str) -> Draft:
    """A consult that still goes on ends before its fee goes back, also where its only reply was recalled meanwhile; at its
    deadline it expires instead."""
    _require_new(state, command_id)
    if state.open and now_ms >= state.closes_at_ms:
        return decide_expiry(state, now_ms)
    if not state.open:
        raise OrderTransitionRefused(status=state.status.value)
    return _closed(state, CloseReason.AFTER_SALES, now_ms, sender=None, role=SYSTEM, command_id=command_id)


def decide_after_sales(state: ConsultState, now_ms: int, *, amount_fen: int, decided_by: str, command_id: str) -> Draft:
    """What staff granted, of a consult that was answered and is over: the last word on money, also before a recall could still
    change it, and once more where it was given. A part leaves the rest with the hospital; the whole fee is a refund."""
    _require_new(state, command_id)
    if state.open or not 1 <= amount_fen <= state.fee_fen:
        raise OrderTransitionRefused(status=state.status.value)
    require_allowed(Command.AFTER_SALES, state.status)
    outcome = Outcome.REFUND if amount_fen == state.fee_fen else Outcome.EARNED
    return Draft(
        kind=EntryKind.SETTLED,
        sender=None,
        role=SYSTEM,
        parts=(_system_part(EntryKind.SETTLED, outcome=outcome.value, refund_fen=amount_fen),),
        data={
            "outcome": outcome.value,
            "cause": CloseReason.AFTER_SALES.value,
            "refund_fen": amount_fen,
            "counted_replies": len(state.counted),
            "fee_fen": state.fee_fen,
            "decided_by": decided_by,
            "command_id": command_id,
            "now_ms": now_ms,
        },
    )


def _closed(
    state: ConsultState,
    reason: CloseReason,
    now_ms: int,
    *,
    sender: str | None,
    role: str,
    command_id: str | None,
    parts: tuple[Part, ...] = (),
    inputs: Mapping[str, Any] | None = None,
) -> Draft:
    """A closing entry; what it was decided on stands in it."""
    data: dict[str, Any] = {
        "deadline_at_ms": state.closes_at_ms,
        "now_ms": now_ms,
        "counted_replies": len(state.counted),
        "command_id": command_id,
        **(inputs or {}),
    }
    return Draft(kind=EntryKind.CLOSED, sender=sender, role=role, parts=parts, closes=reason.value, data=data)


def _require(state: ConsultState, command: Command, now_ms: int) -> None:
    """Allowed in this status, and the time is not over."""
    require_allowed(command, state.status)
    if not state.is_open_at(now_ms):
        raise OrderTransitionRefused(status=state.status.value)


def _require_member(state: ConsultState, account_id: str, role: str) -> None:
    if state.roles.get(account_id) != role:
        raise OrderNotFound


def _require_new(state: ConsultState, command_id: str) -> None:
    if command_id in state.commands:
        raise AlreadyDone


def _require_own_message(state: ConsultState, account_id: str, seq: int) -> None:
    """A correction links to a message of one's own that still stands."""
    if state.sender_of(seq) != account_id or seq in state.recalled:
        raise RequestInvalid(corrects="must be a message of one's own that is not recalled")


def _require_own_cards(role: str, parts: Sequence[Part], now_ms: int) -> None:
    """Cards are the doctor's to send. A visit is proposed for today, by the hospital's clock, or for a day within a year."""
    for part in parts:
        if part["kind"] != "card":
            continue
        if role != DOCTOR:
            raise MessageCardRefused
        if part["card"] == CardKind.BOOKING:
            today = from_ms(now_ms)
            if not local_day(today) <= part["data"]["date"] <= local_day(today + BOOKED_AHEAD):
                raise RequestInvalid(parts="a booking is for today or a day within a year")


def _system_part(event: EntryKind, **data: Any) -> Mapping[str, Any]:
    return {"kind": "system", "event": event.value, "data": data}
