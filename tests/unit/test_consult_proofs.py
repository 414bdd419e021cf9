"""Deadlines decided again: what the log must not say."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from consult.domain.proofs import ConversationWalk, DeadlineReport, Fault, TimedOrder, check_order, needs_log
from consult.domain.status import CloseReason, Phase
from im.domain import Entry, EntryKind
from server.kernel.clock import from_ms
from tests.unit.test_consult_rules import DEADLINE, HOUR, PAID, D, Log, P

MINUTE = 60_000


def found(entries: Iterable[Entry], now_ms: int = DEADLINE) -> tuple[list[tuple[Fault, int]], DeadlineReport]:
    report = DeadlineReport()
    walk = ConversationWalk("c" * 32, report)
    findings = [finding for entry in entries for finding in walk.take(entry)] + walk.end(now_ms)
    assert report.faults == len(findings)
    return [(finding.fault, finding.seq) for finding in findings], report


def changed(entry: Entry, **data: Any) -> Entry:
    return replace(entry, draft=replace(entry.draft, data={**entry.draft.data, **data}))


def expired(late_ms: int) -> Log:
    log = Log()
    log.expire(DEADLINE + late_ms)
    log.settle(DEADLINE + late_ms)
    return log


@pytest.mark.parametrize(("late_ms", "faults"), [(0, []), (MINUTE, []), (MINUTE + 1, [(Fault.LATE, 2)])])
def test_an_expiry_is_in_time_for_a_minute(late_ms: int, faults: list[tuple[Fault, int]]) -> None:
    findings, report = found(expired(late_ms).entries)
    assert findings == faults
    assert (report.expired.taken, report.expired.latest_ms, report.settled.taken, report.settled.latest_ms) == (
        1,
        late_ms,
        1,
        0,
    )


def test_a_settlement_that_a_recall_made_due_is_not_late_by_the_time_before_the_recall() -> None:
    log = Log()
    log.say(D, PAID)
    log.finish(PAID + 1)
    log.recall(D, 2, PAID + 100_000)
    log.settle(PAID + 100_500)
    findings, report = found(log.entries)
    assert (findings, report.settled.latest_ms) == ([], 500)


def test_an_expiry_before_the_deadline_is_wrong() -> None:
    log = expired(0)
    early = replace(changed(log.entries[1], now_ms=DEADLINE - 1), at_ms=DEADLINE - 1)
    assert found([log.entries[0], early])[0] == [(Fault.WRONG, 2)]


@pytest.mark.parametrize("data", [{"deadline_at_ms": DEADLINE + 1}, {"counted_replies": 1}, {"limit": 9}, {"policy": {}}])
def test_an_expiry_on_other_inputs_than_the_log_gives_is_wrong(data: dict[str, Any]) -> None:
    log = expired(0)
    assert found([log.entries[0], changed(log.entries[1], **data)])[0] == [(Fault.WRONG, 2)]


def test_a_decision_for_another_instant_than_it_stands_at_is_wrong() -> None:
    log = expired(5)
    assert found([log.entries[0], changed(log.entries[1], now_ms=DEADLINE)])[0] == [(Fault.WRONG, 2), (Fault.WRONG, 2)]


def test_money_to_the_wrong_side_is_wrong() -> None:
    log = expired(0)
    assert found([*log.entries[:2], changed(log.entries[2], outcome="earned")])[0] == [(Fault.WRONG, 3)]


def test_an_entry_from_before_the_policy_stood_in_it_is_right_without_it() -> None:
    log = expired(0)
    old = replace(log.entries[1], draft=replace(log.entries[1].draft, data={
        name: value for name, value in log.entries[1].draft.data.items() if name not in ("policy", "limit")
    }))  # fmt: skip
    assert found([log.entries[0], old, log.entries[2]])[0] == []


def test_what_is_decided_twice_is_double() -> None:
    log = expired(0)
    again = [replace(log.entries[1], seq=3), replace(log.entries[2], seq=4), replace(log.entries[2], seq=5)]
    assert found([*log.entries[:2], *again])[0] == [(Fault.DOUBLE, 3), (Fault.DOUBLE, 5)]


def test_a_reply_or_a_close_by_hand_at_the_deadline_is_wrong() -> None:
    log = Log()
    log.say(D, DEADLINE - 1)
    late = replace(log.entries[1], at_ms=DEADLINE)
    assert found([log.entries[0], late])[0] == [(Fault.WRONG, 2)]
    other = Log()
    other.cancel(DEADLINE - 1)
    assert found([other.entries[0], replace(other.entries[1], at_ms=DEADLINE)])[0] == [(Fault.WRONG, 2)]


def test_a_recall_behind_its_window_is_wrong() -> None:
    log = Log()
    log.say(P, PAID)
    log.recall(P, 2, PAID + 119_999)
    assert found(log.entries, PAID)[0] == []
    assert found([*log.entries[:2], replace(log.entries[2], at_ms=PAID + 120_000)], PAID)[0] == [(Fault.WRONG, 3)]


@pytest.mark.parametrize(
    ("now_ms", "faults", "waiting"), [(DEADLINE + MINUTE, [], 1), (DEADLINE + MINUTE + 1, [(Fault.LATE, 0)], 0)]
)
def test_what_nobody_closed_a_minute_after_its_deadline_is_late(now_ms: int, faults: list[Any], waiting: int) -> None:
    findings, report = found(Log().entries, now_ms)
    assert (findings, report.waiting) == (faults, waiting)


def test_what_nobody_settled_is_late() -> None:
    log = Log()
    log.cancel(PAID + HOUR)
    assert found(log.entries, PAID + HOUR + MINUTE)[0] == []
    assert found(log.entries, PAID + HOUR + MINUTE + 1)[0] == [(Fault.LATE, 0)]


def test_behind_an_entry_that_is_missing_nothing_is_proved() -> None:
    log = expired(0)
    assert found([log.entries[0], log.entries[2]])[0] == [(Fault.UNREADABLE, 3)]
    assert found(log.entries[1:])[0] == [(Fault.UNREADABLE, 2)]
    broken = replace(log.entries[1], draft=replace(log.entries[1].draft, kind=EntryKind.SETTLED, data={}))
    assert found([log.entries[0], broken])[0][-1] == (Fault.UNREADABLE, 2)


def order(**changes: Any) -> TimedOrder:
    base = TimedOrder("o" * 32, "default", "c" * 32, Phase.PENDING_PAYMENT, from_ms(PAID), None, None, None, None)
    return dataclasses.replace(base, **changes)


@pytest.mark.parametrize(
    ("changes", "now_ms", "faults"),
    [
        ({}, PAID + MINUTE, []),
        ({}, PAID + MINUTE + 1, [Fault.LATE]),
        ({"phase": Phase.CANCELLED, "cancel_reason": CloseReason.UNPAID, "cancelled_at": from_ms(PAID + MINUTE)}, PAID, []),
        (
            {"phase": Phase.CANCELLED, "cancel_reason": CloseReason.UNPAID, "cancelled_at": from_ms(PAID + MINUTE + 1)},
            PAID,
            [Fault.LATE],
        ),
        (
            {"phase": Phase.CANCELLED, "cancel_reason": CloseReason.UNPAID, "cancelled_at": from_ms(PAID - 1)},
            PAID,
            [Fault.WRONG],
        ),
        ({"phase": Phase.CANCELLED, "cancel_reason": CloseReason.CANCELLED, "cancelled_at": from_ms(PAID - 1)}, PAID, []),
        ({"phase": Phase.CAPTURED, "deadline_at": from_ms(DEADLINE), "shown_deadline_ms": DEADLINE}, PAID, []),
        ({"phase": Phase.CAPTURED, "deadline_at": from_ms(DEADLINE), "shown_deadline_ms": DEADLINE + 1}, PAID, [Fault.WRONG]),
    ],
)
def test_orders_that_nobody_paid_are_cancelled_in_time(changes: dict[str, Any], now_ms: int, faults: list[Fault]) -> None:
    report = DeadlineReport()
    assert [finding.fault for finding in check_order(order(**changes), now_ms, report)] == faults
    assert (report.orders, report.faults) == (1, len(faults))


def test_a_log_must_have_begun_a_minute_after_the_deadline() -> None:
    paid = order(phase=Phase.CAPTURED, deadline_at=from_ms(DEADLINE))
    assert [needs_log(paid, DEADLINE + after) for after in (MINUTE, MINUTE + 1)] == [False, True]
    assert not needs_log(dataclasses.replace(paid, shown_deadline_ms=DEADLINE), DEADLINE + MINUTE + 1)
