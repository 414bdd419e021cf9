"""Verifications that staff ask for: walked by a worker, one at a time in a hospital, kept with what came of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

MOST_FINDINGS: Final = 100
STALE: Final = timedelta(hours=1)
"""A verification that has run for so long lost its worker: another takes it."""


class ProofState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Proof:
    """One verification of all history. The sums and `holds` are there once it is done; `findings` are at most
    `MOST_FINDINGS` of `broken` places, each with its stream and number."""

    id: str
    hospital_id: str
    requested_by: str
    requested_at: datetime
    state: ProofState = ProofState.WAITING
    started_at: datetime | None = None
    finished_at: datetime | None = None
    holds: bool | None = None
    items: int = 0
    streams: int = 0
    checkpoints: int = 0
    uncovered: int = 0
    broken: int = 0
    findings: tuple[str, ...] = ()
