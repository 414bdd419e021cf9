"""What was done and what was found, for people and as JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.checks import Check
from tests.chaos.plan import Step


@dataclass(frozen=True, slots=True)
class Done:
    """A step of the plan as it happened: `at` in seconds from the start; `whom` by name, or why it could not be done."""

    at: float
    step: Step
    whom: str
    happened: bool


@dataclass
class Report:
    seed: int
    minutes: float
    seconds: float = 0.0
    rounds: int = 0
    starved: int = 0
    done: list[Done] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return bool(self.checks) and not any(check.faults for check in self.checks)

    @property
    def command(self) -> str:
        return f"make chaos SEED={self.seed} MINUTES={self.minutes:g}"

    def text(self) -> str:
        lines = [f"A siege of {self.seconds:.0f} s, seed {self.seed}, {self.rounds} rounds", "", "What was done:"]
        happened = Counter(f"{done.step.victim} {done.step.fault}" for done in self.done if done.happened)
        lines += [f"  {count:4d} × {what}" for what, count in sorted(happened.items())]
        not_done = Counter(f"{d.step.victim} {d.step.fault}: {d.whom}" for d in self.done if not d.happened)
        lines += [f"  not {count} × {what}" for what, count in sorted(not_done.items())]
        lines += ["", "What went on meanwhile:", *(f"  {name}: {value}" for name, value in self.figures.items())]
        again = ", ".join(f"{name} {count - 1}" for name, count in self.starts.items() if count > 1)
        lines += [f"  started again: {again}", "", "What holds:"]
        for check in self.checks:
            lines.append(f"  {'yes' if not check.faults else 'NO '}  {check.what} ({check.figures})")
            lines += [f"         {fault}" for fault in check.faults[:20]]
            if len(check.faults) > 20:
                lines.append(f"         and {len(check.faults) - 20} more")
        if not self.holds:
            lines += ["", f"To see it again: {self.command}", "What happened, in order:", *_timeline(self.done)]
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "minutes": self.minutes,
            "seconds": round(self.seconds, 1),
            "rounds": self.rounds,
            "holds": self.holds,
            "done": [{"at": round(d.at, 1), "step": str(d.step), "whom": d.whom, "happened": d.happened} for d in self.done],
            "figures": self.figures,
            "starts": self.starts,
            "checks": [{"what": c.what, "faults": list(c.faults), "figures": c.figures} for c in self.checks],
        }


def _timeline(done: Sequence[Done]) -> list[str]:
    return [f"  {d.at:7.1f} s  {d.step} ({d.whom})" for d in done]
