"""The ladder of reminders, as a pure rule."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from consult.domain.reminders import (
    DEFAULT_LADDER,
    Ladder,
    Reminder,
    ReminderAction,
    RungOutcome,
    decide_reminder,
    ladder_text,
    parse_ladder,
    plan_reminder,
    still_waits,
    time_text,
)
from consult.domain.status import LogFacts
from server.kernel.clock import to_ms

PAID = datetime(2026, 1, 5, 8, tzinfo=UTC)
CLOSES = PAID + timedelta(hours=48)
TICK = timedelta(milliseconds=1)
HOUR = timedelta(hours=1)
NOTICE, SMS, TASK = ReminderAction


def planned(ladder: Ladder = DEFAULT_LADDER, closes_at: datetime = CLOSES) -> Reminder | None:
    return plan_reminder(
        order_id="o", hospital_id="h", conversation_id="c", doctor_id="d", paid_at=PAID, closes_at=closes_at, ladder=ladder
    )


def facts(**changes: object) -> LogFacts:
    waiting = LogFacts(seq=2, open=True, closes_at_ms=to_ms(CLOSES), counted_replies=0, gifted=0, limit=3)
    return replace(waiting, **changes)  # type: ignore[arg-type]


def the_plan() -> Reminder:
    made = planned()
    assert made is not None
    return made


def test_a_rung_is_due_at_its_instant_and_not_before() -> None:
    reminder = the_plan()
    assert reminder.next_at == CLOSES - 12 * HOUR
    assert decide_reminder(reminder, facts(), CLOSES - 12 * HOUR - TICK) is None
    decision = decide_reminder(reminder, facts(), CLOSES - 12 * HOUR)
    assert decision is not None
    assert (decision.actions, decision.minutes_left) == ((NOTICE,), 720)
    assert decision.reminder.rungs[0].inputs == {"seq": 2, "open": True, "counted_replies": 0}
    assert decision.reminder.next_at == CLOSES - 4 * HOUR
    assert decide_reminder(decision.reminder, facts(), CLOSES - 12 * HOUR) is None


def test_the_ladder_climbs_from_notice_over_sms_to_a_task_each_rung_once() -> None:
    reminder, done = the_plan(), []
    for hours in range(48):
        decision = decide_reminder(reminder, facts(), PAID + hours * HOUR)
        if decision is not None:
            reminder = decision.reminder
            done.append((hours, decision.actions))
    assert done == [(36, (NOTICE,)), (44, (SMS,)), (47, (NOTICE, TASK))]
    assert [rung.outcome for rung in reminder.rungs] == [RungOutcome.FIRED] * 3
    assert reminder.next_at is None


def test_rungs_that_are_due_together_after_an_outage_do_each_action_once() -> None:
    decision = decide_reminder(the_plan(), facts(), CLOSES - 30 * timedelta(minutes=1))
    assert decision is not None
    assert (decision.actions, decision.minutes_left) == ((NOTICE, SMS, TASK), 60)
    outcomes = [rung.outcome for rung in decision.reminder.rungs]
    assert outcomes == [RungOutcome.TOGETHER, RungOutcome.TOGETHER, RungOutcome.FIRED]


def test_nothing_is_done_for_an_answered_order_until_its_only_reply_is_recalled() -> None:
    answered = decide_reminder(the_plan(), facts(counted_replies=1), CLOSES - 12 * HOUR)
    assert answered is not None
    assert (answered.actions, answered.reminder.rungs[0].outcome) == ((), RungOutcome.ANSWERED)
    again = decide_reminder(answered.reminder, facts(), CLOSES - 4 * HOUR)
    assert again is not None
    assert again.actions == (SMS,)


@pytest.mark.parametrize(
    ("state", "now"),
    [(facts(open=False), CLOSES - 40 * HOUR), (facts(), CLOSES), (facts(open=False, counted_replies=3), CLOSES - HOUR)],
)
def test_the_whole_ladder_ends_with_the_order(state: LogFacts, now: datetime) -> None:
    decision = decide_reminder(the_plan(), state, now)
    assert decision is not None
    assert (decision.actions, decision.reminder.next_at) == ((), None)
    assert {rung.outcome for rung in decision.reminder.rungs} == {RungOutcome.CLOSED}
    assert not still_waits(state, now)


def test_an_order_that_never_had_so_much_time_has_no_such_rung() -> None:
    short = planned(closes_at=PAID + 4 * HOUR)
    assert short is not None
    assert [rung.left_ms for rung in short.rungs] == [3_600_000]
    assert planned(closes_at=PAID + HOUR) is None
    assert planned(ladder=()) is None


@pytest.mark.parametrize("text", ["12h:notice,4h:sms,1h:notice+task", "90m:task", "none", "36h:sms+task,2h:notice"])
def test_a_ladder_reads_as_it_is_written(text: str) -> None:
    assert ladder_text(parse_ladder(text)) == text


def test_a_ladder_is_put_into_order() -> None:
    assert ladder_text(parse_ladder(" 1h:sms, 12h:notice")) == "12h:notice,1h:sms"


@pytest.mark.parametrize(
    "text", ["", "12h", "12h:", "12h:call", "12h:sms+sms", "0s:sms", "1h:sms,60m:task", "x:sms", ",".join(["1h:sms"] * 9)]
)
def test_a_ladder_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ladder(text)


@pytest.mark.parametrize(("minutes", "text"), [(240, "4 小时"), (60, "1 小时"), (90, "90 分钟"), (59, "59 分钟")])
def test_an_sms_says_the_time_as_people_do(minutes: int, text: str) -> None:
    assert time_text(minutes) == text
