"""Whose view a leaked page was."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from ehr_view.domain.access import RecordView

MAX_PICTURE_BYTES: Final = 20 * 1024 * 1024
COMPARED_VIEWS: Final = 10_000
"""So many views, the newest, a picture is compared with. What can be decoded needs no comparison and may be of any age."""

COMPARED_FOR: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Hint:
    """A view id read from a picture. `confidence`, 0.5–1: the share of the mark's bits that agree. `decoded`: it stood there
    and passed its check; else it was found by comparison with the views that there were, as where several were mixed."""

    view_id: int
    confidence: float
    decoded: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """What a picture carries, the surest first; and its size in pixels."""

    hints: Sequence[Hint]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class TracedView:
    view: RecordView
    hint: Hint


@dataclass(frozen=True, slots=True)
class Trace:
    """A picture, by its hash, and the views it shows: none, one, or several that were mixed."""

    sha256: str
    width: int
    height: int
    views: tuple[TracedView, ...]
