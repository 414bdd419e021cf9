"""All that is kept of one order, together: what was said, what moved of money, who looked at records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing.domain import Payment, PostingSet, Refund
from ehr_view.domain.access import RecordView
from im.domain import Entry


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


def shown_parts(entry: Entry, recalled: frozenset[int]) -> Sequence[Mapping[str, Any]]:
    """What was said: none of it where it was taken back."""
    return () if entry.seq in recalled else entry.draft.parts
