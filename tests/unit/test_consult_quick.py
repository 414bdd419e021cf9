"""Quick consults by values alone: who may take one, and what a take and a return do to it."""

import pytest
from msgspec.structs import replace

from consult.domain.decisions import AlreadyDone
from consult.domain.log import ConsultState, Draft, LogDepartment, QuickAct, facts_of, opening_of, summary_of
from consult.domain.proofs import ConversationWalk, DeadlineReport, Fault
from consult.domain.quick import decide_give_back, decide_lapse, decide_take
from consult.domain.status import NOBODY, LogDoctor, OrderStatus
from consult.errors import OrderNotFound, OrderTaken, OrderTransitionRefused
from im.errors import ConversationNotFound
from tests.unit.test_consult_rules import DEADLINE, PAID, POLICY, D, Log, P, X

HEART = LogDepartment("h" * 32, "心内科")
DAY = "2026-01-05"


def doctor(account_id: str) -> LogDoctor:
    return LogDoctor(account_id, "李医生", "主任医师", "心内科")


class Quick(Log):
    """A quick consult of the heart department, just paid."""

    def __init__(self) -> None:
        opening = opening_of(
            order_id="o" * 32,
            hospital_id="default",
            patient_account=P,
            doctor_id=NOBODY,
            fee_fen=5000,
            paid_at_ms=PAID,
            policy=POLICY,
            department=HEART,
        )
        self.entries = []
        self.state: ConsultState = None  # type: ignore[assignment]
        self.add(opening.draft, PAID)

    def take(self, who: str, at_ms: int = PAID) -> None:
        self.add(decide_take(self.state, at_ms, doctor=doctor(who), place_day=DAY, command_id=f"t{who[0]}"), at_ms)

    def decline(self, at_ms: int, who: str = D, command_id: str = "r") -> None:  # type: ignore[override]
        self.add(decide_give_back(self.state, at_ms, account_id=who, reason="不是本专业", command_id=command_id), at_ms)


def test_until_somebody_takes_it_the_patient_is_alone_with_it_and_may_already_write() -> None:
    log = Quick()
    assert (log.state.waits_in_pool, log.state.status, summary_of(log.state).members) == (
        True,
        OrderStatus.AWAITING_DOCTOR,
        {P: "patient"},
    )
    log.say(P, PAID)
    with pytest.raises(ConversationNotFound):
        log.say(D, PAID)
    assert facts_of(log.state).doctor is None


def test_who_takes_it_is_its_doctor_with_the_whole_quota_and_the_deadline_of_the_payment() -> None:
    log = Quick()
    log.take(D, PAID + 5)
    state = log.state
    assert (state.doctor, dict(state.roles), state.places) == (D, {P: "patient", D: "doctor"}, {(D, DAY)})
    assert (state.closes_at_ms, state.limit, state.waits_in_pool) == (DEADLINE, 3, False)
    assert facts_of(state).doctor == doctor(D)
    assert [log.say(D, PAID + n).draft.closes for n in range(6, 9)] == [None, None, "quota"]


def test_what_one_took_another_may_not_and_the_same_take_again_changes_nothing() -> None:
    log = Quick()
    log.take(D)
    with pytest.raises(OrderTaken):
        log.take(X)
    with pytest.raises(AlreadyDone):
        log.take(D)
    assert len(log.entries) == 2


def test_declined_it_is_back_in_the_pool_for_everyone_else_and_does_not_end() -> None:
    log = Quick()
    log.take(D)
    log.decline(PAID + 1)
    assert (log.state.open, log.state.waits_in_pool, dict(log.state.roles)) == (True, True, {P: "patient"})
    assert facts_of(log.state).doctor == LogDoctor(NOBODY, "", "", "心内科")
    assert log.entries[-1].draft.parts[0]["data"] == {
        "act": "returned",
        "doctor": {"id": "", "name": "", "title": "", "department": "心内科"},
        "reason": "不是本专业",
    }
    with pytest.raises(OrderTaken):
        log.take(D, PAID + 2)
    with pytest.raises(AlreadyDone):
        log.decline(PAID + 2)
    with pytest.raises(OrderNotFound):
        log.decline(PAID + 2, X, "other")
    log.take(X, PAID + 3)
    assert (log.state.doctor, log.state.returned_by, log.state.places) == (X, {D}, {(D, DAY), (X, DAY)})


def test_with_a_counted_reply_it_is_not_given_back() -> None:
    log = Quick()
    log.take(D)
    log.say(D, PAID + 1)
    with pytest.raises(OrderTransitionRefused):
        log.decline(PAID + 2)
    log.recall(D, 3, PAID + 3)
    log.decline(PAID + 4)
    assert log.state.waits_in_pool


def test_at_the_last_millisecond_it_is_taken_and_at_the_deadline_only_expiry_is() -> None:
    log = Quick()
    with pytest.raises(OrderTransitionRefused):
        log.take(D, DEADLINE)
    late = Quick()
    late.take(D, DEADLINE - 1)
    with pytest.raises(OrderTransitionRefused):
        late.decline(DEADLINE)
    log.expire(DEADLINE)
    log.settle(DEADLINE)
    assert log.entries[-1].draft.data["outcome"] == "refund"
    with pytest.raises(OrderTransitionRefused):
        log.take(D, DEADLINE)


def test_a_cancelled_one_is_nobodys_to_take() -> None:
    log = Quick()
    log.cancel(PAID + 1)
    with pytest.raises(OrderTransitionRefused):
        log.take(D, PAID + 2)


def test_an_order_of_a_doctors_is_in_no_pool_and_ends_when_it_is_declined() -> None:
    log = Log()
    with pytest.raises(OrderNotFound):
        decide_take(log.state, PAID, doctor=doctor(X), place_day=DAY, command_id="t")
    draft: Draft = decide_give_back(log.state, PAID, account_id=D, reason="请线下就诊", command_id="d")
    assert draft.closes == "declined"


def test_the_acts_of_quick_consults_are_no_acts_of_referrals() -> None:
    assert [act.value for act in QuickAct] == ["taken", "returned"]


PATIENCE_MS = 30 * 60_000


class Impatient(Quick):
    """One whose policy lets a silent doctor keep it for half an hour."""

    def __init__(self) -> None:
        super().__init__()
        opened = self.entries[0]
        data = {**opened.draft.data, "quick_patience_ms": PATIENCE_MS}
        self.entries, self.state = [], None  # type: ignore[assignment]
        self.add(replace(opened.draft, data=data), PAID)

    def lapse(self, at_ms: int, read_seq: int = 0) -> None:
        self.add(decide_lapse(self.state, at_ms, read_seq=read_seq), at_ms)


def test_a_silent_doctor_loses_it_at_the_end_of_the_patience_and_not_before() -> None:
    log = Impatient()
    log.take(D, PAID + 1)
    due = PAID + 1 + PATIENCE_MS
    assert facts_of(log.state).lapse_due_at_ms == due
    with pytest.raises(OrderTransitionRefused):
        log.lapse(due - 1)
    log.lapse(due, read_seq=1)  # the opening is older than the take
    state = log.state
    assert (state.doctor, dict(state.roles), state.returned_by, state.waits_in_pool) == (NOBODY, {P: "patient"}, {D}, True)
    assert (state.closes_at_ms, state.places) == (DEADLINE, {(D, DAY)})


def test_who_read_the_take_or_what_came_after_it_keeps_it() -> None:
    log = Impatient()
    log.take(D)
    for read_seq in (2, 3):
        with pytest.raises(OrderTransitionRefused):
            log.lapse(PAID + PATIENCE_MS, read_seq=read_seq)


def test_it_goes_back_for_silence_once_in_its_life() -> None:
    log = Impatient()
    log.take(D)
    log.lapse(PAID + PATIENCE_MS)
    log.take(X, PAID + PATIENCE_MS)
    assert facts_of(log.state).lapse_due_at_ms is None
    with pytest.raises(OrderTransitionRefused):
        log.lapse(DEADLINE - 1)


def test_a_patience_that_ends_with_the_deadline_or_was_never_decided_takes_it_from_nobody() -> None:
    late = Impatient()
    late.take(D, DEADLINE - PATIENCE_MS)
    older = Quick()
    older.take(D)
    assert [facts_of(log.state).lapse_due_at_ms for log in (late, older)] == [None, None]


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({}, []),
        ({"read_seq": 2}, [Fault.WRONG]),
        ({"now_ms": PAID}, [Fault.WRONG, Fault.WRONG]),
        ({"taken_seq": 1}, [Fault.WRONG]),
    ],
)
def test_that_it_was_put_back_for_silence_is_decided_again_from_what_stands_there(
    change: dict[str, int], faults: list[Fault]
) -> None:
    log = Impatient()
    log.take(D)
    log.lapse(PAID + PATIENCE_MS)
    last = log.entries[-1]
    forged = replace(last, draft=replace(last.draft, data={**last.draft.data, **change}))
    walk = ConversationWalk("c" * 32, DeadlineReport())
    assert [finding.fault for entry in (*log.entries[:-1], forged) for finding in walk.take(entry)] == faults
