"""Whether every deadline was decided as it had to be: each decision of the sweep taken again, from what stands in the log.

A decision's inputs stand in its entry (deadline, now, counted replies, policy), and all that it rests on in the entries before.
So it is decided again at the same place by the same rule, and must come out the same. Beside that nothing may have been decided
at or after a deadline but the expiry itself, and nothing may wait for a decision that is due.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from consult.domain.decisions import decide_after_sales, decide_expiry, decide_recall, decide_settlement
from consult.domain.log import SILENT, ConsultState, fold
from consult.domain.quick import decide_lapse
from consult.domain.status import CloseReason, Phase
from consult.errors import OrderTransitionRefused
from im.domain import Draft, Entry, EntryKind, RecallMessage
from server.kernel.clock import to_ms
from server.kernel.errors import DomainError

LATEST_MS: Final = 60_000
"""So long after its instant a decision is in time."""


class Fault(StrEnum):
    LATE = "late"
    """Decided, or still not decided, more than a minute after it was due."""
    DOUBLE = "double"
    """Decided though it was decided before."""
    WRONG = "wrong"
    """The rule, asked again, says something else."""
    UNREADABLE = "unreadable"
    """An entry that does not open or does not follow: what comes behind it proves nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be. `seq` 0: the order itself, or an entry that is not there."""

    fault: Fault
    subject: str
    seq: int
    detail: str

    def __str__(self) -> str:
        return f"{self.fault.value} {self.subject} {self.seq}: {self.detail}"


@dataclass(slots=True)
class Count:
    """Decisions of one kind, and how late the latest of them was."""

    taken: int = 0
    latest_ms: int = 0

    def add(self, late_ms: int) -> None:
        self.taken += 1
        self.latest_ms = max(self.latest_ms, late_ms)

    def __str__(self) -> str:
        return f"{self.taken} (latest {self.latest_ms / 1000:.3f} s)"


@dataclass(slots=True)
class DeadlineReport:
    """What was looked at. `waiting`: conversations whose time has not come; `erased`: those that nobody can read any more."""

    conversations: int = 0
    entries: int = 0
    waiting: int = 0
    erased: int = 0
    orders: int = 0
    expired: Count = field(default_factory=Count)
    settled: Count = field(default_factory=Count)
    unpaid: Count = field(default_factory=Count)
    faults: int = 0

    @property
    def holds(self) -> bool:
        return self.faults == 0

    def lines(self) -> list[str]:
        """For an operator."""
        return [
            f"{self.conversations} conversations, {self.entries} entries, {self.orders} orders: "
            f"{self.waiting} wait for their time, {self.erased} were erased",
            f"expired    {self.expired}",
            f"settled    {self.settled}",
            f"unpaid     {self.unpaid}",
            "every deadline was decided once, rightly and in time" if self.holds else f"{self.faults} faults",
        ]


class ConversationWalk:
    """Takes the entries of one conversation in ascending order, then `end`. Behind a place that is unreadable it is blind."""

    def __init__(self, conversation_id: str, report: DeadlineReport) -> None:
        self.conversation_id = conversation_id
        self._report = report
        self._state: ConsultState | None = None
        self._blind = False
        self._settle_due: int | None = None
        self._settle_since: int | None = None
        """Since when the last word on money is due; a recall can make it due of a sudden."""
        report.conversations += 1

    def take(self, entry: Entry) -> list[Finding]:
        if self._blind:
            return []
        self._report.entries += 1
        expected = self._state.seq + 1 if self._state is not None else 1
        if entry.seq != expected or (self._state is None) != (entry.draft.kind is EntryKind.OPENED):
            return [self.unreadable(entry.seq, f"entry {expected} does not stand there")]
        findings: list[Finding] = []
        try:
            if self._state is not None:
                findings.extend(_CHECKS[entry.draft.kind](self, self._state, entry))
            self._state = fold(self._state, entry)
        except Exception as error:  # not written by these rules
            return [*findings, self.unreadable(entry.seq, f"the rules do not take it: {type(error).__name__}")]
        self._watch_settlement(self._state, entry.at_ms)
        return findings

    def erased(self) -> None:
        if not self._blind:
            self._blind = True
            self._report.erased += 1

    def unreadable(self, seq: int, detail: str) -> Finding:
        self._blind = True
        return self._finding(Fault.UNREADABLE, seq, detail)

    def end(self, now_ms: int) -> list[Finding]:
        """What nothing was decided on, as of now."""
        state = self._state
        if self._blind or state is None or state.settled is not None:
            return []
        since = state.closes_at_ms if state.open else self._settle_since
        if since is None or now_ms - since <= LATEST_MS:
            self._report.waiting += 1
            return []
        what = "still open" if state.open else "closed and not settled"
        return [self._finding(Fault.LATE, 0, f"{what} {_seconds(now_ms - since)} after its time")]

    def _check_in_time(self, state: ConsultState, entry: Entry) -> Iterator[Finding]:
        """Whatever needs an open consult."""
        if not state.is_open_at(entry.at_ms):
            when = f"{_seconds(entry.at_ms - state.closes_at_ms)} after the deadline" if state.open else "after the close"
            yield self._finding(Fault.WRONG, entry.seq, f"{entry.draft.kind.value} {when}")

    def _check_referred(self, state: ConsultState, entry: Entry) -> Iterator[Finding]:
        """One that went back to its pool for its doctor's silence is decided again."""
        yield from self._check_in_time(state, entry)
        data = entry.draft.data
        if data.get("cause") == SILENT:
            if data.get("now_ms") != entry.at_ms:
                yield self._finding(Fault.WRONG, entry.seq, "decided for another instant than it stands at")
            yield from self._decide_again(lambda: decide_lapse(state, entry.at_ms, read_seq=data["read_seq"]), entry)

    def _check_recall(self, state: ConsultState, entry: Entry) -> Iterator[Finding]:
        draft = entry.draft
        assert draft.sender is not None, "a recall has a sender"
        assert draft.recalls is not None, "a recall names what it recalls"
        command = RecallMessage(draft.sender, draft.client_id or "", draft.recalls)
        yield from self._decide_again(lambda: decide_recall(state, command, entry.at_ms), entry)

    def _check_closed(self, state: ConsultState, entry: Entry) -> Iterator[Finding]:
        draft = entry.draft
        if not state.open:
            yield self._finding(Fault.DOUBLE, entry.seq, "closed though it was closed before")
        elif draft.closes != CloseReason.EXPIRED:
            yield from self._check_in_time(state, entry)
        else:
            yield from self._check_decision(decide_expiry, state, entry, state.closes_at_ms, self._report.expired)

    def _check_settled(self, state: ConsultState, entry: Entry) -> Iterator[Finding]:
        data = entry.draft.data
        if data.get("cause") == CloseReason.AFTER_SALES:
            granted: Any = {name: data.get(name) for name in ("decided_by", "command_id")}
            amount_fen = int(data.get("refund_fen", 0))
            yield from self._decide_again(
                lambda: decide_after_sales(state, entry.at_ms, amount_fen=amount_fen, **granted), entry
            )
            return
        if state.settled is not None:
            yield self._finding(Fault.DOUBLE, entry.seq, "settled though it was settled before")
            return
        since = self._settle_since if self._settle_since is not None else entry.at_ms
        yield from self._check_decision(decide_settlement, state, entry, since, self._report.settled)

    def _check_decision(
        self, decide: Callable[[ConsultState, int], Draft], state: ConsultState, entry: Entry, since_ms: int, count: Count
    ) -> Iterator[Finding]:
        late_ms = entry.at_ms - since_ms
        count.add(max(0, late_ms))
        if late_ms > LATEST_MS:
            yield self._finding(Fault.LATE, entry.seq, f"{entry.draft.kind.value} {_seconds(late_ms)} late")
        if entry.draft.data.get("now_ms") != entry.at_ms:
            yield self._finding(Fault.WRONG, entry.seq, "decided for another instant than it stands at")
        yield from self._decide_again(lambda: decide(state, entry.at_ms), entry)

    def _decide_again(self, decide: Callable[[], Draft], entry: Entry) -> Iterator[Finding]:
        try:
            again = decide()
        except OrderTransitionRefused:
            yield self._finding(Fault.WRONG, entry.seq, f"{entry.draft.kind.value} before its time")
        except DomainError as error:
            yield self._finding(Fault.WRONG, entry.seq, f"refused when asked again: {error.code}")
        else:
            differing = _differences(entry.draft, again)
            if differing:
                yield self._finding(Fault.WRONG, entry.seq, f"decided on something else: {', '.join(differing)}")

    def _check_nothing(self, state: ConsultState, entry: Entry) -> Iterator[Finding]:
        return iter(())

    def _watch_settlement(self, state: ConsultState, at_ms: int) -> None:
        """Due at once after an entry that made it due, if its instant had passed already."""
        due = state.settle_due_at_ms
        if due != self._settle_due:
            self._settle_due = due
            self._settle_since = None if due is None else max(due, at_ms)

    def _finding(self, fault: Fault, seq: int, detail: str) -> Finding:
        self._report.faults += 1
        return Finding(fault, self.conversation_id, seq, detail)


_CHECKS: Final[Mapping[EntryKind, Callable[[ConversationWalk, ConsultState, Entry], Iterator[Finding]]]] = MappingProxyType(
    {
        EntryKind.OPENED: ConversationWalk._check_nothing,
        EntryKind.MESSAGE: ConversationWalk._check_in_time,
        EntryKind.GIFT: ConversationWalk._check_in_time,
        EntryKind.REFERRED: ConversationWalk._check_referred,
        EntryKind.RECALL: ConversationWalk._check_recall,
        EntryKind.CLOSED: ConversationWalk._check_closed,
        EntryKind.SETTLED: ConversationWalk._check_settled,
    }
)


@dataclass(frozen=True, slots=True)
class TimedOrder:
    """As much of an order as its time-outs need. `shown_deadline_ms` is the log's, as the document shows it."""

    id: str
    hospital_id: str
    conversation_id: str
    phase: Phase
    unpaid_until: datetime
    cancelled_at: datetime | None
    cancel_reason: CloseReason | None
    deadline_at: datetime | None
    shown_deadline_ms: int | None


def check_order(order: TimedOrder, now_ms: int, report: DeadlineReport) -> list[Finding]:
    """What the order's document decides: who did not pay in time is cancelled, and the deadline is the log's."""
    report.orders += 1
    found: list[tuple[Fault, str]] = []
    if order.phase is Phase.PENDING_PAYMENT:
        late_ms = now_ms - to_ms(order.unpaid_until)
        if late_ms > LATEST_MS:
            found.append((Fault.LATE, f"unpaid and not cancelled {_seconds(late_ms)} after its time"))
    elif order.cancel_reason is CloseReason.UNPAID and order.cancelled_at is not None:
        late_ms = to_ms(order.cancelled_at) - to_ms(order.unpaid_until)
        report.unpaid.add(max(0, late_ms))
        if late_ms < 0:
            found.append((Fault.WRONG, "cancelled as unpaid before its time"))
        elif late_ms > LATEST_MS:
            found.append((Fault.LATE, f"cancelled as unpaid {_seconds(late_ms)} late"))
    shown = order.shown_deadline_ms
    if shown is not None and order.deadline_at is not None and to_ms(order.deadline_at) != shown:
        found.append((Fault.WRONG, "another deadline than its log's"))
    report.faults += len(found)
    return [Finding(fault, order.id, 0, detail) for fault, detail in found]


def needs_log(order: TimedOrder, now_ms: int) -> bool:
    """Whether the order's log must have begun by now, and its document does not say that it has."""
    if order.phase is not Phase.CAPTURED or order.deadline_at is None or order.shown_deadline_ms is not None:
        return False
    return now_ms - to_ms(order.deadline_at) > LATEST_MS


def never_opened(order: TimedOrder, report: DeadlineReport) -> Finding:
    report.faults += 1
    return Finding(Fault.LATE, order.id, 0, "paid, past its deadline, and its log has not begun")


def _differences(stored: Draft, again: Draft) -> list[str]:
    """Names of what differs. Inputs that an entry does not name were not written yet when it was."""
    fields: Mapping[str, tuple[Any, Any]] = {
        "closes": (stored.closes, again.closes),
        "recalls": (stored.recalls, again.recalls),
        "sender": (stored.sender, again.sender),
    }
    differing = [name for name, (one, other) in fields.items() if one != other]
    return differing + sorted(name for name, value in stored.data.items() if again.data.get(name) != value)


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f} s"
