"""The rules of a consult's log, by values alone."""

import random
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from consult.domain.decisions import (
    AlreadyDone,
    decide_after_sales,
    decide_after_sales_close,
    decide_cancel,
    decide_decline,
    decide_expiry,
    decide_finish,
    decide_gift,
    decide_message,
    decide_recall,
    decide_settlement,
)
from consult.domain.log import ConsultState, Draft, Policy, facts_of, fold, opening_of, summary_of
from consult.domain.status import ALLOWED, TRANSITIONS, Command, OrderStatus, Outcome, Phase, derive_status, require_allowed
from consult.errors import OrderNotFound, OrderTransitionRefused
from im.domain import Entry, EntryKind, RecallMessage, SendMessage
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
from server.kernel.errors import DomainError, RequestInvalid

P, D, X = "p" * 32, "d" * 32, "e" * 32
HOUR = 3_600_000
PAID = 1_767_578_400_000
DEADLINE = PAID + 48 * HOUR
POLICY = Policy(validity_ms=48 * HOUR, replies=3, recall_window_ms=120_000, patient_burst=5)


class Log:
    """Entries of one consult, appended as the rules decide."""

    def __init__(self, policy: Policy = POLICY) -> None:
        opening = opening_of(
            order_id="o" * 32,
            hospital_id="default",
            patient_account=P,
            doctor_id=D,
            fee_fen=5000,
            paid_at_ms=PAID,
            policy=policy,
        )
        self.entries: list[Entry] = []
        self.state: ConsultState = None  # type: ignore[assignment]
        self.add(opening.draft, PAID)

    def add(self, draft: Draft, at_ms: int) -> Entry:
        entry = Entry("c" * 32, len(self.entries) + 1, f"{len(self.entries):032x}", at_ms, b"", draft)
        self.entries.append(entry)
        self.state = fold(self.state, entry)
        return entry

    def say(self, who: str, at_ms: int) -> Entry:
        command = SendMessage(who, f"client-{len(self.entries)}", ({"kind": "text", "text": "好"},))
        return self.add(decide_message(self.state, command, at_ms), at_ms)

    def correct(self, who: str, seq: int, at_ms: int) -> Entry:
        command = SendMessage(who, f"client-{len(self.entries)}", ({"kind": "text", "text": "改"},), corrects=seq)
        return self.add(decide_message(self.state, command, at_ms), at_ms)

    def recall(self, who: str, seq: int, at_ms: int) -> Entry:
        command = RecallMessage(who, f"client-{len(self.entries)}", seq)
        return self.add(decide_recall(self.state, command, at_ms), at_ms)

    def gift(self, count: int, at_ms: int, command_id: str = "g") -> Entry:
        return self.add(decide_gift(self.state, at_ms, account_id=D, count=count, command_id=command_id), at_ms)

    def finish(self, at_ms: int) -> Entry:
        return self.add(decide_finish(self.state, at_ms, account_id=D, command_id="f"), at_ms)

    def cancel(self, at_ms: int) -> Entry:
        return self.add(decide_cancel(self.state, at_ms, account_id=P, command_id="c"), at_ms)

    def decline(self, at_ms: int) -> Entry:
        return self.add(decide_decline(self.state, at_ms, account_id=D, reason="请线下就诊", command_id="d"), at_ms)

    def expire(self, at_ms: int) -> Entry:
        return self.add(decide_expiry(self.state, at_ms), at_ms)

    def settle(self, at_ms: int) -> Entry:
        return self.add(decide_settlement(self.state, at_ms), at_ms)

    def end_for_grant(self, at_ms: int) -> Entry:
        return self.add(decide_after_sales_close(self.state, at_ms, command_id="e"), at_ms)

    def grant(self, amount_fen: int, at_ms: int, command_id: str = "s") -> Entry:
        draft = decide_after_sales(self.state, at_ms, amount_fen=amount_fen, decided_by=D, command_id=command_id)
        return self.add(draft, at_ms)


def test_the_third_reply_is_the_closing_entry_too() -> None:
    log = Log()
    closes = [log.say(D, PAID + n).draft.closes for n in range(3)]
    assert closes == [None, None, "quota"]
    assert (log.state.open, log.state.status, log.state.closed_at_ms) == (False, OrderStatus.COMPLETED, PAID + 2)


def test_after_the_quota_the_doctor_is_told_so_and_the_patient_that_it_is_closed() -> None:
    log = Log()
    for n in range(3):
        log.say(D, PAID + n)
    with pytest.raises(ConversationQuotaExhausted):
        log.say(D, PAID + 3)
    with pytest.raises(ConversationClosed):
        log.say(P, PAID + 3)


def test_at_the_last_millisecond_a_reply_counts_and_at_the_deadline_only_expiry_does() -> None:
    log = Log()
    with pytest.raises(OrderTransitionRefused):
        decide_expiry(log.state, DEADLINE - 1)
    log.say(D, DEADLINE - 1)
    with pytest.raises(ConversationClosed):
        log.say(D, DEADLINE)
    entry = log.expire(DEADLINE)
    assert entry.draft.closes == "expired"
    assert dict(entry.draft.data) == {
        "deadline_at_ms": DEADLINE,
        "now_ms": DEADLINE,
        "counted_replies": 1,
        "command_id": None,
        "limit": 3,
        "policy": POLICY.as_data(),
    }
    with pytest.raises(OrderTransitionRefused):
        log.expire(DEADLINE)


def test_two_gifted_replies_allow_exactly_two_more() -> None:
    log = Log()
    log.say(D, PAID)
    log.gift(2, PAID)
    assert [log.say(D, PAID).draft.closes for _ in range(4)] == [None, None, None, "quota"]
    assert (log.state.limit, log.state.gifted) == (5, 2)


@pytest.mark.parametrize("count", [0, 11, -1])
def test_a_gift_is_from_one_to_ten(count: int) -> None:
    with pytest.raises(RequestInvalid):
        Log().gift(count, PAID)


def test_the_same_gift_request_has_its_effect_once() -> None:
    log = Log()
    log.gift(2, PAID, "request-1")
    with pytest.raises(AlreadyDone):
        log.gift(2, PAID, "request-1")


def test_the_patient_may_say_so_much_between_two_replies() -> None:
    log = Log()
    for _ in range(5):
        log.say(P, PAID)
    with pytest.raises(ConversationFlooded):
        log.say(P, PAID)
    log.say(D, PAID)
    for _ in range(5):
        log.say(P, PAID)
    with pytest.raises(ConversationFlooded):
        log.say(P, PAID)


def test_whoever_is_no_member_finds_nothing() -> None:
    log = Log()
    log.say(P, PAID)
    with pytest.raises(ConversationNotFound):
        log.say(X, PAID)
    with pytest.raises(ConversationNotFound):
        log.recall(X, 2, PAID)
    for decide in (
        lambda: decide_cancel(log.state, PAID, account_id=X, command_id="1"),
        lambda: decide_cancel(log.state, PAID, account_id=D, command_id="1"),
        lambda: decide_decline(log.state, PAID, account_id=P, reason="x", command_id="1"),
        lambda: decide_finish(log.state, PAID, account_id=P, command_id="1"),
        lambda: decide_gift(log.state, PAID, account_id=P, count=1, command_id="1"),
    ):
        with pytest.raises(OrderNotFound):
            decide()
    assert set(summary_of(log.state).members) == {P, D}


def test_a_correction_links_to_a_message_of_ones_own_that_stands() -> None:
    log = Log()
    log.say(P, PAID)
    log.say(P, PAID)
    log.recall(P, 3, PAID)
    parts = ({"kind": "text", "text": "改"},)
    assert decide_message(log.state, SendMessage(P, "client-9", parts, corrects=2), PAID).corrects == 2
    for who, seq in ((P, 3), (P, 1), (P, 99), (D, 2)):
        with pytest.raises(RequestInvalid):
            decide_message(log.state, SendMessage(who, "client-9", parts, corrects=seq), PAID)


def test_a_correction_is_a_reply_like_any_other_and_may_be_the_closing_one() -> None:
    log = Log()
    log.say(D, PAID)
    log.correct(D, 2, PAID + 1)
    assert (facts_of(log.state).counted_replies, log.state.open) == (2, True)
    closing = log.correct(D, 3, PAID + 2)
    assert (closing.draft.corrects, closing.draft.closes, log.state.open) == (3, "quota", False)
    with pytest.raises(ConversationQuotaExhausted):
        log.correct(D, 4, PAID + 3)
    with pytest.raises(ConversationClosed):
        log.correct(P, 2, PAID + 3)


def test_what_was_corrected_and_its_correction_are_recalled_each_by_itself() -> None:
    log = Log()
    log.say(D, PAID)
    log.correct(D, 2, PAID)
    log.recall(D, 2, PAID)
    assert (list(log.state.counted), log.state.status) == ([3], OrderStatus.IN_SESSION)
    with pytest.raises(RequestInvalid):
        log.correct(D, 2, PAID)
    log.recall(D, 3, PAID)
    assert (list(log.state.counted), log.state.status) == ([], OrderStatus.AWAITING_DOCTOR)
    with pytest.raises(RequestInvalid):
        log.correct(D, 3, PAID)


def test_only_messages_are_corrected_and_a_patient_s_corrections_are_in_the_burst() -> None:
    log = Log()
    log.gift(1, PAID)
    log.say(D, PAID)
    log.recall(D, 3, PAID)
    for seq in (1, 2, 3, 4, 5):
        with pytest.raises(RequestInvalid):
            log.correct(D, seq, PAID)
    asked = log.say(P, PAID).seq
    for n in range(4):
        log.correct(P, asked + n, PAID)
    with pytest.raises(ConversationFlooded):
        log.correct(P, asked, PAID)


def _card(kind: str, **data: str) -> tuple[dict[str, object]]:
    return ({"kind": "card", "card": kind, "data": data},)


def test_cards_are_the_doctor_s_to_send_and_count_as_the_reply_that_they_are_in() -> None:
    log = Log()
    shared = _card("record_shared", record_id="a" * 32)
    with pytest.raises(MessageCardRefused):
        decide_message(log.state, SendMessage(P, "client-9", shared), PAID)
    log.add(decide_message(log.state, SendMessage(D, "client-9", shared), PAID), PAID)
    assert facts_of(log.state).counted_replies == 1


def test_a_visit_is_proposed_from_today_on_by_the_hospital_s_clock_for_a_year() -> None:
    evening = PAID + 14 * HOUR  # it is past midnight in Shanghai
    days = {"2026-01-05": False, "2026-01-06": True, "2027-01-06": True, "2027-01-07": False}
    for day, good in days.items():
        booking = _card("booking", department="心内科", date=day, period="morning")
        with nullcontext() if good else pytest.raises(RequestInvalid):
            decide_message(Log().state, SendMessage(D, "client-9", booking), evening)


def test_a_gift_and_an_earned_fee_carry_their_cards() -> None:
    log = Log()
    gift = log.gift(2, PAID)
    assert gift.draft.parts[1] == {"kind": "card", "card": "gift", "data": {"count": 2}}
    log.say(D, PAID)
    log.expire(DEADLINE)
    settled = log.settle(DEADLINE)
    assert settled.draft.parts[1:] == ({"kind": "card", "card": "rating", "data": {"order_id": "o" * 32}},)
    empty = Log()
    empty.cancel(PAID)
    assert len(empty.settle(PAID).draft.parts) == 1


def test_only_the_sender_recalls_within_the_window_and_once() -> None:
    log = Log()
    log.say(P, PAID)
    with pytest.raises(MessageNotSender):
        log.recall(D, 2, PAID)
    with pytest.raises(MessageRecallExpired):
        log.recall(P, 2, PAID + 120_000)
    log.recall(P, 2, PAID + 119_999)
    with pytest.raises(MessageAlreadyRecalled):
        log.recall(P, 2, PAID + 119_999)
    for seq in (1, 3, 99):
        with pytest.raises(MessageRecallRefused):
            log.recall(P, seq, PAID)


def test_recalling_the_reply_that_closed_opens_the_consult_again() -> None:
    log = Log()
    for _ in range(3):
        log.say(D, PAID)
    assert log.state.settle_due_at_ms == PAID + 120_000
    log.recall(D, 4, PAID + 1)
    assert (log.state.open, log.state.status, len(log.state.counted)) == (True, OrderStatus.IN_SESSION, 2)
    assert log.state.settle_due_at_ms is None
    assert log.say(D, PAID + 2).draft.closes == "quota"


def test_recalling_an_earlier_reply_after_the_quota_gives_it_back_too() -> None:
    log = Log()
    for _ in range(3):
        log.say(D, PAID)
    log.recall(D, 2, PAID + 1)
    assert (log.state.open, len(log.state.counted)) == (True, 2)


def test_recalling_after_the_deadline_opens_nothing_and_refunds_if_no_reply_is_left() -> None:
    log = Log(replace(POLICY, replies=1))
    log.say(D, DEADLINE - 1)
    log.recall(D, 2, DEADLINE)
    assert (log.state.open, log.state.status) == (False, OrderStatus.REFUNDING)
    assert log.settle(DEADLINE).draft.data["outcome"] == "refund"


def test_recalling_the_only_reply_of_a_finished_consult_refunds_and_does_not_reopen() -> None:
    log = Log()
    log.say(D, PAID)
    log.finish(PAID + 1)
    assert log.state.status is OrderStatus.COMPLETED
    log.recall(D, 2, PAID + 2)
    assert (log.state.open, log.state.status) == (False, OrderStatus.REFUNDING)
    assert log.settle(PAID + 2).draft.data["outcome"] == "refund"


def test_recalling_the_only_reply_lets_the_patient_cancel_again() -> None:
    log = Log()
    log.say(D, PAID)
    with pytest.raises(OrderTransitionRefused):
        log.cancel(PAID)
    log.recall(D, 2, PAID)
    assert log.cancel(PAID).draft.closes == "cancelled"


def test_money_waits_for_the_recall_window_and_its_inputs_stand_in_the_entry() -> None:
    log = Log()
    for _ in range(3):
        log.say(D, PAID)
    with pytest.raises(OrderTransitionRefused):
        log.settle(PAID + 119_999)
    entry = log.settle(PAID + 120_000)
    assert dict(entry.draft.data) == {
        "outcome": "earned",
        "counted_replies": 3,
        "fee_fen": 5000,
        "close_reason": "quota",
        "closed_at_ms": PAID,
        "recall_window_ms": 120_000,
        "policy": {"validity_ms": 48 * HOUR, "replies": 3, "recall_window_ms": 120_000, "patient_burst": 5},
        "due_at_ms": PAID + 120_000,
        "now_ms": PAID + 120_000,
    }
    with pytest.raises(OrderTransitionRefused):
        log.settle(PAID + 120_001)


def test_where_nothing_can_be_recalled_money_is_settled_at_once() -> None:
    log = Log()
    log.say(P, PAID)
    log.decline(PAID + 1)
    assert log.state.settle_due_at_ms == PAID + 1
    log.settle(PAID + 1)
    late = Log()
    late.say(D, PAID)
    late.finish(PAID + 120_000)
    assert late.state.settle_due_at_ms == PAID + 120_000


def test_after_the_settlement_a_recall_only_masks() -> None:
    log = Log()
    log.say(P, PAID)
    log.cancel(PAID + 1)
    log.settle(PAID + 1)
    log.recall(P, 2, PAID + 2)
    assert (log.state.open, log.state.settled, log.state.recalled) == (False, Outcome.REFUND, {2})


def test_without_a_recall_window_nothing_is_recalled_and_nothing_waits() -> None:
    log = Log(replace(POLICY, recall_window_ms=0))
    for _ in range(3):
        log.say(D, PAID)
    with pytest.raises(MessageRecallExpired):
        log.recall(D, 4, PAID)
    assert log.settle(PAID).draft.data["outcome"] == "earned"


@pytest.mark.parametrize("command", list(Command))
@pytest.mark.parametrize("status", list(OrderStatus))
def test_every_pair_that_is_not_on_the_list_is_refused(command: Command, status: OrderStatus) -> None:
    refused = False
    try:
        require_allowed(command, status)
    except OrderTransitionRefused:
        refused = True
    assert refused is (status not in ALLOWED[command])


AT = {
    OrderStatus.AWAITING_DOCTOR: lambda log: None,
    OrderStatus.IN_SESSION: lambda log: log.say(D, PAID),
    OrderStatus.COMPLETED: lambda log: [log.say(D, PAID), log.finish(PAID)],
    OrderStatus.REFUNDING: lambda log: log.cancel(PAID),
}
DO: dict[Command, Callable[[ConsultState, int], Draft]] = {
    Command.CANCEL: lambda state, now: decide_cancel(state, now, account_id=P, command_id="1"),
    Command.DECLINE: lambda state, now: decide_decline(state, now, account_id=D, reason="x", command_id="1"),
    Command.FINISH: lambda state, now: decide_finish(state, now, account_id=D, command_id="1"),
    Command.GIFT: lambda state, now: decide_gift(state, now, account_id=D, count=1, command_id="1"),
}


@pytest.mark.parametrize("status", list(AT))
@pytest.mark.parametrize("command", list(DO))
def test_the_log_takes_a_command_in_its_statuses_only_and_never_at_the_deadline(status: OrderStatus, command: Command) -> None:
    log = Log()
    AT[status](log)
    assert log.state.status is status
    allowed = status in ALLOWED[command]
    taken = True
    try:
        DO[command](log.state, PAID)
    except OrderTransitionRefused:
        taken = False
    assert taken is allowed
    with pytest.raises(OrderTransitionRefused):
        DO[command](log.state, DEADLINE)


def test_the_document_decides_before_capture_and_only_a_whole_refund_is_refunded() -> None:
    assert derive_status(Phase.PENDING_PAYMENT, None, refunded_fen=0, fee_fen=1) is OrderStatus.PENDING_PAYMENT
    assert derive_status(Phase.CANCELLED, None, refunded_fen=1, fee_fen=1) is OrderStatus.CANCELLED
    assert derive_status(Phase.CAPTURED, None, refunded_fen=0, fee_fen=1) is OrderStatus.AWAITING_DOCTOR
    log = Log()
    log.cancel(PAID)
    log.settle(PAID)
    facts = facts_of(log.state)
    assert derive_status(Phase.CAPTURED, facts, refunded_fen=4999, fee_fen=5000) is OrderStatus.REFUNDING
    assert derive_status(Phase.CAPTURED, facts, refunded_fen=5000, fee_fen=5000) is OrderStatus.REFUNDED


def test_a_hundred_thousand_random_steps_stay_in_the_table() -> None:
    """Also: folding all entries anew gives the same facts as the state that was advanced."""
    random_ = random.Random(20260105)
    steps = 0
    while steps < 100_000:
        log, now, refunded = Log(replace(POLICY, replies=random_.choice([1, 2, 3]))), PAID, 0
        status = OrderStatus.AWAITING_DOCTOR
        for _ in range(60):
            steps += 1
            now += random_.choice([0, 1, 1000, 60_000, 119_999, 120_000, 12 * HOUR])
            refunded = 5000 if log.state.settled is Outcome.REFUND and random_.random() < 0.3 else refunded
            with suppress(DomainError, AlreadyDone):
                random_.choice(STEPS)(log, now, random_)
            after = derive_status(Phase.CAPTURED, facts_of(log.state), refunded_fen=refunded, fee_fen=5000)
            assert after is status or (status, after) in TRANSITIONS
            status = after
        again = None
        for entry in log.entries:
            again = fold(again, entry)
        assert again is not None
        assert facts_of(again) == facts_of(log.state)


STEPS: list[Callable[[Log, int, random.Random], object]] = [
    lambda log, now, r: log.say(D, now),
    lambda log, now, r: log.say(P, now),
    lambda log, now, r: log.recall(r.choice([P, D]), r.randint(1, len(log.entries)), now),
    lambda log, now, r: log.recall(D, next(reversed(log.state.counted), 1), now),
    lambda log, now, r: log.gift(r.randint(1, 3), now, str(now)),
    lambda log, now, r: log.cancel(now),
    lambda log, now, r: log.decline(now),
    lambda log, now, r: log.finish(now),
    lambda log, now, r: log.expire(now),
    lambda log, now, r: log.settle(now),
    lambda log, now, r: log.end_for_grant(now),
    lambda log, now, r: log.grant(r.choice([1, 2500, 5000]), now, r.choice(["before", "after"])),
]


class Consult(RuleBasedStateMachine):
    """The log against a naive model: a list of what was said, counted anew each time."""

    @initialize(replies=st.integers(1, 3))
    def begin(self, replies: int) -> None:
        self.log = Log(replace(POLICY, replies=replies))
        self.now = PAID
        self.limit = replies
        self.said: dict[int, tuple[str, int]] = {}
        self.taken_back: set[int] = set()
        self.closed: str | None = None
        self.settled: str | None = None

    def counted(self) -> int:
        return sum(1 for seq, (who, _) in self.said.items() if who == D and seq not in self.taken_back)

    def attempt(self, act: Callable[[], Entry]) -> Entry | None:
        try:
            return act()
        except (DomainError, AlreadyDone):
            return None

    @rule(by=st.sampled_from([1, 60_000, 119_999, 120_000, 20 * HOUR, 48 * HOUR]))
    def wait(self, by: int) -> None:
        self.now += by

    @rule(who=st.sampled_from([P, D]))
    def say(self, who: str) -> None:
        free = self.closed is None and self.now < DEADLINE
        entry = self.attempt(lambda: self.log.say(who, self.now))
        if who == D:
            assert (entry is not None) is free
        if entry is not None:
            self.said[entry.seq] = (who, self.now)
            if who == D and self.counted() == self.limit:
                self.closed = "quota"

    @rule(data=st.data(), who=st.sampled_from([P, D]))
    def recall(self, data: st.DataObject, who: str) -> None:
        seq = data.draw(st.integers(1, len(self.log.entries)))
        sender, at = self.said.get(seq, (None, 0))
        right = sender == who and seq not in self.taken_back and self.now < at + 120_000
        entry = self.attempt(lambda: self.log.recall(who, seq, self.now))
        assert (entry is not None) is right
        if entry is not None and self.settled is None:
            self.taken_back.add(seq)
            if who == D and self.closed == "quota" and self.now < DEADLINE:
                self.closed = None
        elif entry is not None:
            self.said[seq] = (sender or who, 0)

    @rule(count=st.integers(1, 3))
    def gift(self, count: int) -> None:
        entry = self.attempt(lambda: self.log.gift(count, self.now, f"{len(self.log.entries)}"))
        assert (entry is not None) is (self.closed is None and self.now < DEADLINE)
        self.limit += count if entry is not None else 0

    @rule(how=st.sampled_from(["cancelled", "declined", "finished", "expired"]))
    def close(self, how: str) -> None:
        act = {
            "cancelled": self.log.cancel,
            "declined": self.log.decline,
            "finished": self.log.finish,
            "expired": self.log.expire,
        }[how]
        in_time = self.now < DEADLINE
        may = {"cancelled": not self.counted(), "declined": not self.counted(), "finished": bool(self.counted())}
        right = self.closed is None and (not in_time if how == "expired" else in_time and may[how])
        entry = self.attempt(lambda: act(self.now))
        assert (entry is not None) is right
        self.closed = how if entry is not None else self.closed

    @rule()
    def settle(self) -> None:
        entry = self.attempt(lambda: self.log.settle(self.now))
        if entry is not None:
            assert self.closed is not None
            assert self.settled is None
            recallable = [at for seq, (who, at) in self.said.items() if who == D and seq not in self.taken_back]
            assert all(self.now >= at + 120_000 for at in recallable)
            self.settled = entry.draft.data["outcome"]
            assert self.settled == ("earned" if self.counted() else "refund")

    @invariant()
    def the_state_says_what_the_model_says(self) -> None:
        facts = facts_of(self.log.state)
        assert facts.counted_replies == self.counted() <= facts.limit == self.limit
        assert facts.open is (self.closed is None)
        assert (facts.close_reason.value if facts.close_reason else None) == self.closed
        assert (facts.settled.value if facts.settled else None) == self.settled


TestConsult = Consult.TestCase
TestConsult.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_ten_thousand_entries_fold_in_little_time_and_room() -> None:
    log = Log(replace(POLICY, replies=10**9, patient_burst=10**9))
    for n in range(9_999):
        log.say(P if n % 2 else D, PAID)
    assert (log.state.seq, len(log.state.senders), log.state.times.itemsize) == (10_000, 10_000, 8)
    assert log.entries[-1].draft.kind is EntryKind.MESSAGE
    assert facts_of(log.state).counted_replies == 5_000
