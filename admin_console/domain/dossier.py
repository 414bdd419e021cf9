"""All that is kept of one order, together: what was said, what moved of money, who looked at records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing.domain import Payment, PostingSet, Refund
from consult.domain.proofs import ConversationWalk, DeadlineReport, Finding
from consult.domain.status import CloseReason
from ehr_view.domain.access import RecordView
from im.domain import Entry, EntryKind


@dataclass(frozen=True, slots=True)
class Dossier:
    """`recalled` are numbers of entries whose content nobody is shown. `names` by account, as they are now."""

    entries: Sequence[Entry]
    recalled: frozenset[int]
    postings: Sequence[PostingSet]
    payments: Sequence[Payment]
    refunds: Sequence[Refund]
    views: Sequence[RecordView]
    names: Mapping[str, str]
    deadlines: "DeadlineProof"


def shown_parts(entry: Entry, recalled: frozenset[int]) -> Sequence[Mapping[str, Any]]:
    """What was said: none of it where it was taken back."""
    return () if entry.seq in recalled else entry.draft.parts


@dataclass(frozen=True, slots=True)
class TimedDecision:
    """A decision of the sweep. `inputs`: what it was decided on, as it stands in the log."""

    seq: int
    at_ms: int
    kind: EntryKind
    due_at_ms: int | None
    inputs: Mapping[str, Any]

    @property
    def late_ms(self) -> int | None:
        return None if self.due_at_ms is None else max(0, self.at_ms - self.due_at_ms)


@dataclass(frozen=True, slots=True)
class DeadlineProof:
    """Every timed decision of one order, decided again. `waiting`: the next one's time has not come. Empty `findings`: each was
    taken once, rightly and in time."""

    decisions: Sequence[TimedDecision]
    findings: Sequence[Finding]
    waiting: bool


def prove_deadlines(conversation_id: str, entries: Sequence[Entry], now_ms: int) -> DeadlineProof:
    """As `yunzhen check deadlines` does for all."""
    report = DeadlineReport()
    walk = ConversationWalk(conversation_id, report)
    findings = [finding for entry in entries for finding in walk.take(entry)]
    findings += walk.end(now_ms)
    timed = tuple(_decision(entry) for entry in entries if _is_timed(entry))
    return DeadlineProof(timed, tuple(findings), waiting=report.waiting > 0)


def _is_timed(entry: Entry) -> bool:
    expired = entry.draft.kind is EntryKind.CLOSED and entry.draft.closes == CloseReason.EXPIRED
    return expired or entry.draft.kind is EntryKind.SETTLED


def _decision(entry: Entry) -> TimedDecision:
    data = entry.draft.data
    due = data.get("due_at_ms", data.get("deadline_at_ms"))
    inputs = {name: value for name, value in data.items() if isinstance(value, str | int | None)}
    return TimedDecision(entry.seq, entry.at_ms, entry.draft.kind, due, inputs)
