"""Who may do what to a referral, and what it does to the consult."""

from functools import partial
from typing import Any

import pytest

from consult.domain.decisions import AlreadyDone
from consult.domain.log import Referral, ReferralAct
from consult.domain.referrals import MOST_REFERRALS, STEPS, decide_referral, decide_referral_step
from consult.domain.status import LogDoctor, OrderStatus
from consult.errors import OrderNotFound, OrderTransitionRefused
from im.errors import ConversationNotFound
from tests.unit.test_consult_rules import DEADLINE, PAID, D, Log, P, X

N = "9" * 32
NEW_DOCTOR = LogDoctor(N, "王医生", "副主任医师", "神经内科")
PROPOSED, ACCEPTED = "proposed", "accepted"
PARTIES = {"old": D, "new": N, "patient": P}


class Referring(Log):
    def propose(self, at_ms: int = PAID, command_id: str = "r", doctor: LogDoctor = NEW_DOCTOR) -> None:
        draft = decide_referral(self.state, at_ms, account_id=D, doctor=doctor, reason="头痛专科", command_id=command_id)
        self.add(draft, at_ms)

    def step(self, who: str, act: ReferralAct, at_ms: int = PAID, *, command_id: str = "s", referral_id: str = "r") -> None:
        day = "2026-01-05" if act is ReferralAct.ACCEPT else None
        decide = partial(decide_referral_step, account_id=who, referral_id=referral_id, act=act, place_day=day)
        self.add(decide(self.state, at_ms, command_id=command_id), at_ms)


def at(stage: str) -> Referring:
    log = Referring()
    if stage != "none":
        log.propose()
    if stage == ACCEPTED:
        log.step(N, ReferralAct.ACCEPT, command_id="a")
    return log


@pytest.mark.parametrize("stage", [PROPOSED, ACCEPTED])
@pytest.mark.parametrize("act", [act for act in ReferralAct if act is not ReferralAct.PROPOSE])
@pytest.mark.parametrize("party", [*PARTIES])
def test_a_step_is_taken_where_it_stands_in_the_table_and_refused_everywhere_else(
    stage: str, act: ReferralAct, party: str
) -> None:
    log = at(stage)
    if party in STEPS.get((stage, act), frozenset()):
        log.step(PARTIES[party], act)
        assert log.entries[-1].draft.data["act"] == act.value
    else:
        with pytest.raises(OrderTransitionRefused):
            log.step(PARTIES[party], act)


def test_with_the_patients_agreement_the_order_is_the_new_doctors_and_its_quota_starts_anew() -> None:
    log = at("none")
    log.say(P, PAID)
    log.gift(2, PAID)
    log.propose()
    log.step(N, ReferralAct.ACCEPT, command_id="a")
    assert log.state.referral == Referral("r", NEW_DOCTOR, "头痛专科", accepted=True, place_day="2026-01-05")
    assert log.state.roles == {P: "patient", D: "doctor"}
    log.step(P, ReferralAct.AGREE, PAID + 1)
    state = log.state
    assert (state.doctor, state.roles, state.referral) == (N, {P: "patient", N: "doctor"}, None)
    assert (state.limit, state.gifted, state.closes_at_ms, state.fee_fen) == (3, 0, DEADLINE, 5000)
    assert (state.patient_run, state.status, state.open) == (0, OrderStatus.AWAITING_DOCTOR, True)
    with pytest.raises(ConversationNotFound):
        log.say(D, PAID + 2)
    assert [log.say(N, PAID + n).draft.closes for n in range(2, 5)] == [None, None, "quota"]


def test_summaries_that_were_given_out_before_do_not_change() -> None:
    log = at(ACCEPTED)
    roles = log.state.roles
    log.step(P, ReferralAct.AGREE)
    assert roles == {P: "patient", D: "doctor"}


def test_a_reply_or_a_close_ends_a_referral_and_a_recalled_reply_does_not_bring_it_back() -> None:
    log = at(ACCEPTED)
    reply = log.say(D, PAID + 1)
    assert log.state.referral is None
    with pytest.raises(OrderTransitionRefused):
        log.step(P, ReferralAct.AGREE)
    with pytest.raises(OrderNotFound):
        log.step(N, ReferralAct.ACCEPT)
    with pytest.raises(OrderTransitionRefused):
        log.propose(PAID + 2, "again")
    log.recall(D, reply.seq, PAID + 3)
    assert log.state.referral is None
    log.propose(PAID + 4, "again")
    log.cancel(PAID + 5)
    assert log.state.referral is None


def test_at_the_deadline_no_step_is_taken_any_more() -> None:
    log = at(ACCEPTED)
    with pytest.raises(OrderTransitionRefused):
        log.step(P, ReferralAct.AGREE, DEADLINE)
    log.step(P, ReferralAct.AGREE, DEADLINE - 1)


def test_a_patient_agrees_to_the_referral_that_was_shown_and_to_no_other() -> None:
    log = at(ACCEPTED)
    with pytest.raises(OrderTransitionRefused):
        log.step(P, ReferralAct.AGREE, referral_id="another")


def test_strangers_and_the_wrong_side_find_no_order() -> None:
    log = at(PROPOSED)
    for act in ReferralAct:
        with pytest.raises(OrderNotFound):
            log.step(X, act)
    for who in (P, X, N):
        with pytest.raises((OrderNotFound, OrderTransitionRefused)):
            decide_referral(log.state, PAID, account_id=who, doctor=NEW_DOCTOR, reason="x", command_id="c")


def test_the_same_request_again_has_its_effect_once() -> None:
    log = at(PROPOSED)
    with pytest.raises(AlreadyDone):
        log.propose(command_id="r")
    log.step(N, ReferralAct.ACCEPT, command_id="a")
    with pytest.raises(AlreadyDone):
        log.step(N, ReferralAct.ACCEPT, command_id="a")


@pytest.mark.parametrize("doctor", [LogDoctor(D, "自己", "", "")])
def test_nobody_refers_to_themselves_or_without_end(doctor: Any) -> None:
    log = at("none")
    with pytest.raises(OrderTransitionRefused):
        log.propose(doctor=doctor)
    for number in range(MOST_REFERRALS):
        log.propose(command_id=f"r{number}")
        log.step(D, ReferralAct.WITHDRAW, command_id=f"w{number}", referral_id=f"r{number}")
    with pytest.raises(OrderTransitionRefused):
        log.propose(command_id="once too often")


def test_a_referred_order_can_come_back_to_the_first_doctor() -> None:
    log = at(ACCEPTED)
    log.step(P, ReferralAct.AGREE)
    back = LogDoctor(D, "李医生", "主任医师", "心内科")
    log.add(decide_referral(log.state, PAID, account_id=N, doctor=back, reason="还是您", command_id="b"), PAID)
    log.step(D, ReferralAct.ACCEPT, command_id="ba", referral_id="b")
    log.step(P, ReferralAct.AGREE, command_id="bg", referral_id="b")
    assert (log.state.doctor, len(log.state.accounts)) == (D, 3)
    log.say(D, PAID)
    assert len(log.state.counted) == 1
