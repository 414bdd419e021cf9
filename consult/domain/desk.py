"""The doctor's desk: when orders are taken, how many a day, and the sentences kept at hand."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from consult.domain.order import SHANGHAI

DESK_SETTINGS: Final = "desk_settings"
QUICK_REPLIES: Final = "quick_replies"
"""The collections, for the relay."""

MOST_QUICK_REPLIES: Final = 200

MOST_UNPAID_PLACES: Final = 20
"""So many places of a doctor's limited day one account may have taken without paying for them, also where they were given back:
else one patient could keep a whole day from all others, half an hour at a time. Paid ones do not count."""

_DAY_MINUTES: Final = 24 * 60


class PlaceAnswer(StrEnum):
    """What became of asking for a place of a doctor's day."""

    TAKEN = "taken"
    FULL = "full"
    UNPAID = "unpaid"
    """There is room, but the account has taken `MOST_UNPAID_PLACES` without paying for them."""


@dataclass(frozen=True, slots=True)
class Hours:
    """One stretch of the week in local time, half-open, in minutes of the day. `weekday` is 1 (Monday) to 7."""

    weekday: int
    from_minute: int
    to_minute: int

    def holds(self, at: datetime) -> bool:
        local = at.astimezone(SHANGHAI)
        return local.isoweekday() == self.weekday and self.from_minute <= local.hour * 60 + local.minute < self.to_minute


@dataclass(frozen=True, slots=True)
class PlaceClaim:
    """A place of a doctor's day that was taken for an entry of this order's log; whether it came about, the log knows."""

    hospital_id: str
    doctor_id: str
    day: str
    order_id: str


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """What a doctor decided about taking orders. An empty schedule means any hour; `daily_maximum` None means no limit.

    A doctor whom the hospital authorised and who decided nothing yet takes orders at any hour.
    """

    doctor_id: str
    hospital_id: str
    accepting: bool = True
    daily_maximum: int | None = None
    schedule: tuple[Hours, ...] = ()
    version: int = 0

    def takes_orders_at(self, at: datetime) -> bool:
        """Whether the switch is on and the hour is one of the schedule's."""
        return self.accepting and (not self.schedule or any(hours.holds(at) for hours in self.schedule))


@dataclass(frozen=True, slots=True)
class QuickReply:
    """A sentence kept at hand. `{patient}`, `{doctor}` and `{department}` in it are filled in where it is used."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Figures:
    """One doctor's work, counted from their orders. Rates and means are None where nothing was counted.

    `replied_rate`: of the paid orders that were answered or are over, the part that was answered. `median_reply_minutes`:
    from payment to the first counted reply. `income_fen`: settled as earned, less what was refunded of it.
    """

    orders: int = 0
    open_orders: int = 0
    completed: int = 0
    replied_rate: float | None = None
    median_reply_minutes: int | None = None
    income_fen: int = 0
    stars: float | None = None
    ratings: int = 0


def parse_minute(text: str) -> int:
    """`HH:MM` as a minute of the day; `24:00` is the end of it. Raises ValueError for anything else."""
    hours, _, minutes = text.partition(":")
    if len(hours) != 2 or len(minutes) != 2 or not (hours + minutes).isascii() or not (hours + minutes).isdigit():
        raise ValueError("a time of day reads like 08:30")
    value = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or value > _DAY_MINUTES:
        raise ValueError("a time of day reads like 08:30")
    return value


def minute_text(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
