"""Quick consults: the patient asks a department, and its first free doctor takes the order out of the pool.

A take and a return are entries of the order's log, so of two doctors who grab at once exactly one gets the number, and a
cancel, the deadline and a take have one winner too. A doctor who gave it back does not get it again by a take; nor does one
from whom it went back because they neither said nor read anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from consult.domain.decisions import AlreadyDone, decide_decline
from consult.domain.log import DOCTOR, SILENT, SYSTEM, ConsultState, Draft, QuickAct
from consult.domain.status import NOBODY, Command, LogDoctor, require_allowed
from consult.errors import OrderNotFound, OrderTaken, OrderTransitionRefused
from im.domain import EntryKind

QUICK_PRICES: Final = "quick_prices"
"""The collection, for the relay."""

MOST_TOLD: Final = 200
"""Doctors of one department who are told of one order."""
MOST_SHOWN: Final = 50
"""Orders of a pool that a doctor is shown, the soonest due first."""


@dataclass(frozen=True, slots=True)
class QuickPrice:
    """What the first free doctor of a department costs. `fee_fen` None: the department takes no quick consults."""

    hospital_id: str
    department_id: str
    fee_fen: int | None
    version: int = 0


def decide_take(state: ConsultState, now_ms: int, *, doctor: LogDoctor, place_day: str, command_id: str) -> Draft:
    """A doctor of the department takes it. Raises OrderTaken where somebody has it or this doctor gave it back,
    OrderTransitionRefused where it is over; AlreadyDone where it is this doctor's."""
    department = state.department
    if department is None:
        raise OrderNotFound
    if state.doctor == doctor.id:
        raise AlreadyDone
    if state.doctor != NOBODY or doctor.id in state.returned_by:
        raise OrderTaken
    require_allowed(Command.TAKE, state.status)
    if not state.is_open_at(now_ms):
        raise OrderTransitionRefused(status=state.status.value)
    return _entry(state, QuickAct.TAKE, sender=doctor.id, doctor=doctor, command_id=command_id, place_day=place_day)


def decide_give_back(state: ConsultState, now_ms: int, *, account_id: str, reason: str, command_id: str) -> Draft:
    """The doctor declines while no reply counts: a quick consult goes back to its pool, with the same deadline; any other order
    ends. The reason is the patient's to read."""
    if state.department is None:
        return decide_decline(state, now_ms, account_id=account_id, reason=reason, command_id=command_id)
    if state.roles.get(account_id) != DOCTOR:
        raise AlreadyDone if command_id in state.commands else OrderNotFound
    require_allowed(Command.DECLINE, state.status)
    if not state.is_open_at(now_ms):
        raise OrderTransitionRefused(status=state.status.value)
    nobody = LogDoctor(NOBODY, "", "", state.department.name)
    return _entry(state, QuickAct.RETURN, sender=account_id, doctor=nobody, command_id=command_id, reason=reason)


def decide_lapse(state: ConsultState, now_ms: int, *, read_seq: int) -> Draft:
    """Who took it neither said nor read anything in the time that the policy gives: it goes back to its pool, once. `read_seq`
    is how far that doctor has read. Raises OrderTransitionRefused."""
    due, department = state.lapse_due_at_ms, state.department
    if due is None or department is None or now_ms < due or read_seq >= state.taken_seq or not state.is_open_at(now_ms):
        raise OrderTransitionRefused(status=state.status.value)
    doctor = LogDoctor(NOBODY, "", "", department.name).as_data()
    data: Mapping[str, Any] = {
        "act": QuickAct.RETURN.value,
        "doctor": doctor,
        "from": state.doctor,
        "cause": SILENT,
        "taken_seq": state.taken_seq,
        "read_seq": read_seq,
        "lapse_due_at_ms": due,
        "deadline_at_ms": state.closes_at_ms,
        "counted_replies": len(state.counted),
        "now_ms": now_ms,
    }
    shown = {"act": QuickAct.RETURN.value, "doctor": doctor}
    return Draft(
        kind=EntryKind.REFERRED,
        sender=None,
        role=SYSTEM,
        parts=({"kind": "system", "event": EntryKind.REFERRED.value, "data": shown},),
        data=data,
    )


def _entry(
    state: ConsultState,
    act: QuickAct,
    *,
    sender: str,
    doctor: LogDoctor,
    command_id: str,
    place_day: str | None = None,
    reason: str | None = None,
) -> Draft:
    """The part is what members see of it; the data what the rules fold, and what it was decided on."""
    shown: dict[str, Any] = {"act": act.value, "doctor": doctor.as_data()}
    if reason is not None:
        shown["reason"] = reason
    data: Mapping[str, Any] = {
        "act": act.value,
        "doctor": doctor.as_data(),
        "from": state.doctor,
        "place_day": place_day,
        "deadline_at_ms": state.closes_at_ms,
        "counted_replies": len(state.counted),
        "command_id": command_id,
    }
    return Draft(
        kind=EntryKind.REFERRED,
        sender=sender,
        role=DOCTOR,
        parts=({"kind": "system", "event": EntryKind.REFERRED.value, "data": shown},),
        data=data,
    )
