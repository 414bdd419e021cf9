"""Referring an order to another doctor while no reply counts: proposed, accepted by the new doctor, agreed to by the patient.

Each step is an entry of the log, so a reply, the deadline and a second step that want the same number have one winner. A reply
or a close ends a referral that is under way.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from consult.domain.decisions import AlreadyDone
from consult.domain.log import DOCTOR, PATIENT, ConsultState, Draft, Referral, ReferralAct
from consult.domain.status import Command, LogDoctor, require_allowed
from consult.errors import OrderNotFound, OrderTransitionRefused
from im.domain import EntryKind

MOST_REFERRALS: Final = 5
"""Proposals of one order, accepted or not."""

OLD, NEW = "old", "new"
_A: Final = ReferralAct

STEPS: Final[Mapping[tuple[str, ReferralAct], frozenset[str]]] = MappingProxyType(
    {
        ("none", _A.PROPOSE): frozenset({OLD}),
        ("proposed", _A.ACCEPT): frozenset({NEW}),
        ("proposed", _A.REFUSE): frozenset({NEW, PATIENT}),
        ("proposed", _A.WITHDRAW): frozenset({OLD}),
        ("accepted", _A.AGREE): frozenset({PATIENT}),
        ("accepted", _A.REFUSE): frozenset({NEW, PATIENT}),
        ("accepted", _A.WITHDRAW): frozenset({OLD}),
    }
)
"""(how far it is, what is done) → who may do it: the doctor of the order, the doctor it is offered to, the patient. What does
not stand here is refused."""


def decide_referral(
    state: ConsultState, now_ms: int, *, account_id: str, doctor: LogDoctor, reason: str, command_id: str
) -> Draft:
    """The order's doctor proposes another one. The request's id is the referral's. Raises OrderTransitionRefused."""
    stage = "none" if state.referral is None else _stage(state.referral)
    _require_party(state, account_id, stage, _A.PROPOSE, command_id, now_ms)
    if doctor.id == state.doctor or state.referrals >= MOST_REFERRALS:
        raise OrderTransitionRefused(status=state.status.value, reason="referral")
    return _entry(state, account_id, _A.PROPOSE, command_id, referral_id=command_id, doctor=doctor, reason=reason)


def decide_referral_step(
    state: ConsultState,
    now_ms: int,
    *,
    account_id: str,
    referral_id: str,
    act: ReferralAct,
    command_id: str,
    place_day: str | None = None,
) -> Draft:
    """The new doctor, the patient or the proposing doctor answers. Whoever is none of them gets OrderNotFound."""
    if command_id in state.commands:
        raise AlreadyDone
    if not parties_of(state, account_id):
        raise OrderNotFound
    referral = state.referral
    if referral is None or referral.id != referral_id:
        raise OrderTransitionRefused(status=state.status.value, reason="referral")
    _require_party(state, account_id, _stage(referral), act, command_id, now_ms)
    return _entry(
        state,
        account_id,
        act,
        command_id,
        referral_id=referral.id,
        doctor=referral.doctor,
        reason=referral.reason,
        place_day=place_day,
    )


def parties_of(state: ConsultState, account_id: str) -> frozenset[str]:
    """What the account is to a referral of this order; nothing for a stranger."""
    found = set()
    if account_id == state.doctor:
        found.add(OLD)
    if state.roles.get(account_id) == PATIENT:
        found.add(PATIENT)
    if state.referral is not None and account_id == state.referral.doctor.id:
        found.add(NEW)
    return frozenset(found)


def _require_party(state: ConsultState, account_id: str, stage: str, act: ReferralAct, command_id: str, now_ms: int) -> None:
    parties = parties_of(state, account_id)
    if not parties:
        raise OrderNotFound
    if command_id in state.commands:
        raise AlreadyDone
    require_allowed(Command.REFER, state.status)
    if not state.is_open_at(now_ms) or parties.isdisjoint(STEPS.get((stage, act), frozenset())):
        raise OrderTransitionRefused(status=state.status.value, reason="referral")


def _stage(referral: Referral) -> str:
    return "accepted" if referral.accepted else "proposed"


def _entry(
    state: ConsultState,
    account_id: str,
    act: ReferralAct,
    command_id: str,
    *,
    referral_id: str,
    doctor: LogDoctor,
    reason: str,
    place_day: str | None = None,
) -> Draft:
    """The part is what members see of it; the data what the rules fold and decide on."""
    shown: dict[str, Any] = {"act": act.value, "referral_id": referral_id, "doctor": doctor.as_data()}
    if act is _A.PROPOSE:
        shown["reason"] = reason
    return Draft(
        kind=EntryKind.REFERRED,
        sender=account_id,
        role=PATIENT if state.roles.get(account_id) == PATIENT else DOCTOR,
        parts=({"kind": "system", "event": EntryKind.REFERRED.value, "data": shown},),
        data={
            "act": act.value,
            "referral_id": referral_id,
            "doctor": doctor.as_data(),
            "from": state.doctor,
            "reason": reason,
            "place_day": place_day,
            "deadline_at_ms": state.closes_at_ms,
            "counted_replies": len(state.counted),
            "command_id": command_id,
        },
    )
