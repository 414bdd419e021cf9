"""Custody of what was taken back: its words stay in the log, and no one person sees them.

An auditor asks for one recalled message and says why; a medical administrator, another person, agrees or not. Those two offices
are appointed by different people (auditors by auditors, medical administrators by operators), so that nobody makes himself a
second.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from admin_console.errors import RevealClosed, RevealNeedsAnother

OPEN_FOR: Final = timedelta(days=7)
"""So long a request waits for an answer; at its last instant it is over."""

SHOWN_FOR: Final = timedelta(hours=24)
"""So long after the agreement the two may look."""

MOST_REASON: Final = 500


class RevealState(StrEnum):
    ASKED = "asked"
    AGREED = "agreed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Reveal:
    """A request to see recalled message `seq` of an order's conversation. `reason` is for the second person."""

    id: str
    hospital_id: str
    order_id: str
    seq: int
    reason: str
    asked_by: str
    asked_at: datetime
    state: RevealState = RevealState.ASKED
    decided_by: str | None = None
    decided_at: datetime | None = None


def decide_reveal(reveal: Reveal, account_id: str, *, agrees: bool, now: datetime) -> Reveal:
    """The answer of the second person. Raises RevealNeedsAnother, RevealClosed."""
    if account_id == reveal.asked_by:
        raise RevealNeedsAnother
    if reveal.state is not RevealState.ASKED or now >= reveal.asked_at + OPEN_FOR:
        raise RevealClosed
    state = RevealState.AGREED if agrees else RevealState.REFUSED
    return replace(reveal, state=state, decided_by=account_id, decided_at=now)


def require_shown(reveal: Reveal, account_id: str, *, now: datetime) -> None:
    """Raises RevealNeedsAnother until two agreed, and for any third; RevealClosed once the time is over, or it was refused."""
    if reveal.state is RevealState.REFUSED:
        raise RevealClosed
    if reveal.state is RevealState.ASKED or account_id not in (reveal.asked_by, reveal.decided_by):
        raise RevealNeedsAnother
    if reveal.decided_at is None or now >= reveal.decided_at + SHOWN_FOR:
        raise RevealClosed
