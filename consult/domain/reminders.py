"""The ladder of reminders for an order that waits for its doctor: a notice, then an SMS, then a task for staff.

The ladder is fixed on an order when it is paid. Each rung is decided once, with what it was decided on beside it; nothing is
done after the order is answered or closed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from consult.domain.status import LogFacts
from server.kernel.clock import from_ms, to_ms
from server.kernel.settings import duration_text, parse_duration

REMINDERS: Final = "reminders"
REMINDER_POLICIES: Final = "reminder_policies"
"""The collections, for the relay."""

MOST_RUNGS: Final = 8
_MINUTE_MS: Final = 60_000


class ReminderAction(StrEnum):
    """NOTICE: the message centre, live, and pushed to devices that are away. TASK: a person of the staff calls the doctor."""

    NOTICE = "notice"
    SMS = "sms"
    TASK = "task"


class RungOutcome(StrEnum):
    """What became of a rung. TOGETHER: a later one was due at the same time and did this one's actions too."""

    FIRED = "fired"
    TOGETHER = "together"
    ANSWERED = "answered"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class LadderStep:
    """What is done when so much time is left."""

    left: timedelta
    actions: tuple[ReminderAction, ...]


Ladder = tuple[LadderStep, ...]


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of one order. `inputs` are the log's seq, whether it was open, and the replies that counted, at the decision."""

    left_ms: int
    due_at: datetime
    actions: tuple[ReminderAction, ...]
    outcome: RungOutcome | None = None
    decided_at: datetime | None = None
    inputs: Mapping[str, int | bool] | None = None


@dataclass(frozen=True, slots=True)
class Reminder:
    """The ladder of one order, `rungs` in the order in which they are due."""

    order_id: str
    hospital_id: str
    conversation_id: str
    doctor_id: str
    closes_at: datetime
    rungs: tuple[Rung, ...]
    version: int = 1

    @property
    def next_at(self) -> datetime | None:
        """When something is to be decided again; None: never."""
        return min((rung.due_at for rung in self.rungs if rung.outcome is None), default=None)


@dataclass(frozen=True, slots=True)
class ReminderDecision:
    """The ladder after this look, and what is to be done now; `minutes_left` is that of the rung that does it."""

    reminder: Reminder
    actions: tuple[ReminderAction, ...]
    minutes_left: int


def parse_ladder(text: str) -> Ladder:
    """`12h:notice,4h:sms,1h:notice+task`, or `none`. Raises ValueError for anything else, for a time named twice, and for
    more than eight."""
    if text.strip() == "none":
        return ()
    steps = [_parse_step(part) for part in text.split(",")]
    if len(steps) > MOST_RUNGS or len({step.left for step in steps}) != len(steps):
        raise ValueError(f"a ladder has at most {MOST_RUNGS} rungs, each at a time of its own")
    return tuple(sorted(steps, key=lambda step: step.left, reverse=True))


def ladder_text(ladder: Ladder) -> str:
    """What `parse_ladder` reads."""
    return ",".join(f"{duration_text(step.left)}:{'+'.join(step.actions)}" for step in ladder) or "none"


def plan_reminder(
    *,
    order_id: str,
    hospital_id: str,
    conversation_id: str,
    doctor_id: str,
    paid_at: datetime,
    closes_at: datetime,
    ladder: Ladder,
) -> Reminder | None:
    """The ladder of an order that was just paid. A rung that would have been due by then is left out: an order whose whole time
    is an hour is not twelve hours late. None when no rung is left."""
    steps = sorted(((closes_at - step.left, step) for step in ladder if closes_at - step.left > paid_at), key=_due)
    rungs = tuple(Rung(step.left // timedelta(milliseconds=1), due_at, step.actions) for due_at, step in steps)
    return Reminder(order_id, hospital_id, conversation_id, doctor_id, closes_at, rungs) if rungs else None


def decide_reminder(reminder: Reminder, facts: LogFacts, now: datetime) -> ReminderDecision | None:
    """Decide what is due; None when nothing is.

    Rungs that are due together, after an outage, act together: each action once, by the latest. Where a reply counts, what is
    due is passed over; a reply that is recalled later makes the next rung count again. At the close all that is left is over.
    """
    closed = not facts.open or to_ms(now) >= facts.closes_at_ms
    due = [rung for rung in reminder.rungs if rung.outcome is None and (closed or rung.due_at <= now)]
    if not due:
        return None
    fires = not closed and facts.counted_replies == 0
    inputs = {"seq": facts.seq, "open": facts.open, "counted_replies": facts.counted_replies}

    def decided(rung: Rung) -> Rung:
        if rung not in due:
            return rung
        outcome = RungOutcome.CLOSED if closed else RungOutcome.ANSWERED
        if fires:
            outcome = RungOutcome.FIRED if rung is due[-1] else RungOutcome.TOGETHER
        return replace(rung, outcome=outcome, decided_at=now, inputs=inputs)

    changed = replace(reminder, rungs=tuple(map(decided, reminder.rungs)), version=reminder.version + 1)
    wanted = {action for rung in due for action in rung.actions} if fires else set()
    actions = tuple(action for action in ReminderAction if action in wanted)
    return ReminderDecision(changed, actions, due[-1].left_ms // _MINUTE_MS)


def still_waits(facts: LogFacts, now: datetime) -> bool:
    """Whether the order is open and no reply counts: asked again right before each action."""
    return facts.open and facts.counted_replies == 0 and now < from_ms(facts.closes_at_ms)


def time_text(minutes: int) -> str:
    """How an SMS says how much is left."""
    return f"{minutes // 60} 小时" if minutes >= 60 and minutes % 60 == 0 else f"{minutes} 分钟"


def _parse_step(part: str) -> LadderStep:
    left, colon, actions = part.strip().partition(":")
    names = actions.split("+")
    if not colon or len(set(names)) != len(names) or not set(names) <= set(ReminderAction):
        raise ValueError("a ladder reads like 12h:notice,4h:sms,1h:notice+task; its actions are notice, sms and task")
    parsed = parse_duration(left)
    if parsed <= timedelta(0):
        raise ValueError("a rung stands before the end")
    return LadderStep(parsed, tuple(map(ReminderAction, names)))


def _due(step: tuple[datetime, LadderStep]) -> datetime:
    return step[0]


DEFAULT_LADDER: Final[Ladder] = parse_ladder("12h:notice,4h:sms,1h:notice+task")
