"""What is searched in the audit, and how a conversation's entries become rows of it.

A conversation is its own audit: its entries are not recorded a second time but shown as rows. All rows of a search stand in one
order, by instant and then by `audit_id`; an entry's `audit_id` is its position in the log, so that entries of one millisecond
keep their numbers' order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from im.domain import Entry
from server.kernel.audit import AuditRow, Outcome
from server.kernel.clock import from_ms, to_ms
from server.kernel.ids import id_bytes
from server.kernel.streams import position

SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Rows of one hospital (and of the platform, where patients' accounts are). `since` is included, `until` is not."""

    hospital_id: str
    actor: str | None = None
    subject: str | None = None
    action: str | None = None
    order_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: its last row, and the number of the last entry that was shown so far (0: none)."""

    at_ms: int
    audit_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row as shown. `seq` is the number of the entry that it is, None for a recorded one; entries have no request id."""

    audit_id: str
    at: datetime
    account_id: str
    role: str
    action: str
    subject: str
    order_id: str | None
    outcome: Outcome
    request_id: str | None
    seq: int | None = None

    @property
    def key(self) -> tuple[int, str]:
        return to_ms(self.at), self.audit_id


@dataclass(frozen=True, slots=True)
class RowPage:
    rows: tuple[ShownRow, ...]
    next: Place | None


def recorded_row(row: AuditRow) -> ShownRow:
    return ShownRow(
        audit_id=row.audit_id,
        at=row.at,
        account_id=row.account_id,
        role=row.role,
        action=row.action,
        subject=row.subject,
        order_id=row.order_id,
        outcome=row.outcome,
        request_id=row.request_id,
    )


def entry_row(entry: Entry, order_id: str) -> ShownRow:
    """`im.opened`, `im.message`, `im.recall`, …; never what was said. No sender is the product itself."""
    sender = entry.draft.sender
    return ShownRow(
        audit_id=position(id_bytes(entry.conversation_id), entry.seq).hex(),
        at=from_ms(entry.at_ms),
        account_id=SYSTEM if sender is None else sender,
        role=SYSTEM if sender is None else entry.draft.role,
        action=f"im.{entry.draft.kind.value}",
        subject=f"{entry.conversation_id}:{entry.seq}",
        order_id=order_id,
        outcome=Outcome.OK,
        request_id=None,
        seq=entry.seq,
    )


def matches(row: ShownRow, wanted: AuditFilter) -> bool:
    """Whether an entry's row is one that the filter asks for."""
    return (
        wanted.actor in (None, row.account_id)
        and wanted.subject in (None, row.subject)
        and wanted.action in (None, row.action)
        and (wanted.since is None or row.at >= wanted.since)
        and (wanted.until is None or row.at < wanted.until)
    )


def is_behind(row: ShownRow, place: Place | None, *, newest_first: bool) -> bool:
    """Whether a row comes after the place, in the order of the list."""
    if place is None:
        return True
    here = (place.at_ms, place.audit_id)
    return row.key < here if newest_first else row.key > here


def merge(
    recorded: Iterable[ShownRow], entries: Iterable[ShownRow], *, limit: int, after: Place | None, newest_first: bool
) -> RowPage:
    """One page of both, each of which holds at least one row more than the page where there are so many."""
    rows = sorted([*recorded, *entries], key=lambda row: row.key, reverse=newest_first)
    page = tuple(rows[:limit])
    if len(rows) <= limit or not page:
        return RowPage(page, None)
    seqs = [row.seq for row in page if row.seq is not None]
    shown = seqs[-1] if seqs else (after.seq if after is not None else 0)
    at_ms, audit_id = page[-1].key
    return RowPage(page, Place(at_ms, audit_id, shown))
