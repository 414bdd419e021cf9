"""Internal notes: what those who work for a hospital write to one another about an order. Never any patient's to see.

They stand in a collection of their own and in no conversation, so that whatever shows, searches, pushes or exports
conversations cannot meet one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.kernel.actor import Actor, Role, StaffRole

STAFF_NOTES: Final = "staff_notes"
"""The collection, for the relay."""

MOST_NOTES: Final = 500
"""Notes of one order."""
MAX_NOTE: Final = 2_000

WATCH_LASTS: Final = timedelta(seconds=90)
"""Who has an order open says so again before that."""
MOST_WATCHERS: Final = 100

READERS: Final = frozenset({StaffRole.MEDICAL_ADMIN, StaffRole.AGENT, StaffRole.AUDITOR})
WRITERS: Final = frozenset({StaffRole.MEDICAL_ADMIN, StaffRole.AGENT})
"""Auditors read only: what they look at must not be theirs."""


@dataclass(frozen=True, slots=True)
class StaffNote:
    """`number` counts an order's notes from 1 without a hole, and is their only order. `author_role`: `doctor` or `staff`."""

    id: str
    hospital_id: str
    order_id: str
    number: int
    author_id: str
    author_role: str
    text: str
    created_at: datetime


def may_read(actor: Actor) -> bool:
    """By role alone; which orders is for the caller. An allow-list: whoever is not named here may not."""
    return actor.role is Role.DOCTOR or (actor.role is Role.STAFF and not actor.staff_roles.isdisjoint(READERS))


def may_write(actor: Actor) -> bool:
    return actor.role is Role.DOCTOR or (actor.role is Role.STAFF and not actor.staff_roles.isdisjoint(WRITERS))
