"""What goes wrong and when: a pure function of the seed.

The plan is an endless sequence of rounds. In each round every fault of the menu happens once, in an order, with pauses and for
as long as drawn anew; between two rounds everything comes back. How many rounds there are is a matter of time only, so a longer
siege with the same seed begins like a shorter one.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """What is done to a part. All but the first three last for a while."""

    KILL = "killed (SIGKILL)"
    STEP_DOWN = "told to step down"
    FLUSH = "flushed"
    FREEZE = "frozen (SIGSTOP)"
    FILL = "left without room on its disk"
    CLOCK = "given another time"


class Victim(StrEnum):
    """Whom. Who leads is known only when it happens."""

    SERVE_A = "serve-a"
    SERVE_B = "serve-b"
    LEADING_KEEPER = "the leading keeper"
    OTHER_KEEPER = "the other keeper"
    WORKER = "worker"
    BEAT = "beat"
    SIMULATORS = "simulators"
    REDIS = "redis"
    PRIMARY = "MongoDB's primary"
    SECONDARY = "a MongoDB secondary"
    CHECKPOINTS = "the folder of checkpoints"


@dataclass(frozen=True, slots=True)
class Step:
    """After `pause_seconds` `fault` comes over `victim`, for `lasts_seconds` where it lasts; a clock is set by `days`."""

    pause_seconds: float
    fault: Fault
    victim: Victim
    lasts_seconds: float = 0.0
    days: float = 0.0

    def __str__(self) -> str:
        days = f" by {self.days:+.1f} days" if self.days else ""
        lasting = f" for {self.lasts_seconds:.1f} s" if self.lasts_seconds else ""
        return f"{self.victim} is {self.fault}{days}{lasting}"


MENU: Final[tuple[tuple[Fault, tuple[Victim, ...]], ...]] = (
    (Fault.KILL, (Victim.SERVE_A,)),
    (Fault.KILL, (Victim.SERVE_B,)),
    (Fault.KILL, (Victim.LEADING_KEEPER,)),
    (Fault.KILL, (Victim.OTHER_KEEPER,)),
    (Fault.KILL, (Victim.WORKER,)),
    (Fault.KILL, (Victim.BEAT,)),
    (Fault.KILL, (Victim.SIMULATORS,)),
    (Fault.KILL, (Victim.REDIS,)),
    (Fault.FLUSH, (Victim.REDIS,)),
    (Fault.FREEZE, (Victim.REDIS,)),
    (Fault.FREEZE, (Victim.SERVE_A, Victim.SERVE_B, Victim.LEADING_KEEPER)),
    (Fault.FREEZE, (Victim.WORKER, Victim.BEAT, Victim.SIMULATORS)),
    (Fault.KILL, (Victim.PRIMARY,)),
    (Fault.KILL, (Victim.SECONDARY,)),
    (Fault.STEP_DOWN, (Victim.PRIMARY,)),
    (Fault.FREEZE, (Victim.PRIMARY,)),
    (Fault.FILL, (Victim.PRIMARY, Victim.SECONDARY)),
    (Fault.FILL, (Victim.CHECKPOINTS,)),
    (Fault.CLOCK, (Victim.SERVE_A, Victim.SERVE_B)),
    (Fault.CLOCK, (Victim.LEADING_KEEPER, Victim.OTHER_KEEPER)),
    (Fault.CLOCK, (Victim.WORKER,)),
    (Fault.CLOCK, (Victim.BEAT,)),
    (Fault.CLOCK, (Victim.SIMULATORS,)),
)
_AT_ONCE: Final = frozenset({Fault.KILL, Fault.STEP_DOWN, Fault.FLUSH})


def rounds(seed: int) -> Iterator[tuple[Step, ...]]:
    """One round after another, without end; the same ones for the same seed."""
    chance = random.Random(f"rounds of {seed}")
    while True:
        yield tuple(_step(chance, fault, victims) for fault, victims in chance.sample(MENU, len(MENU)))


def _step(chance: random.Random, fault: Fault, victims: tuple[Victim, ...]) -> Step:
    """Everything is drawn whether it is used or not, so that a change of one fault does not change all later ones."""
    pause, lasts = chance.uniform(0.2, 2.0), chance.uniform(2.0, 5.0)
    days = chance.choice((-1.0, 1.0, 1.0)) * chance.uniform(0.5, 10.0)
    victim = chance.choice(victims)
    if victim is Victim.SIMULATORS:  # ahead, a bank would book refunds on a day to come, and nobody could mend that
        days = -abs(days)
    return Step(
        pause_seconds=pause,
        fault=fault,
        victim=victim,
        lasts_seconds=0.0 if fault in _AT_ONCE else lasts,
        days=days if fault is Fault.CLOCK else 0.0,
    )
