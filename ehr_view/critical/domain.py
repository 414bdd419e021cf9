"""When a result is critical, who is told, and what happens while nobody acknowledges it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from ehr_view.domain.records import LabItem, LabReport, Record
from ehr_view.errors import CriticalTransitionRefused
from ehr_view.hl7.domain import Identity
from server.kernel.ids import derived_id

CRITICAL_VALUES: Final = "critical_values"
RAISED: Final = "critical.raised"
TOLD: Final = "critical.told"
TEXT_DUE: Final = "critical.text_due"
TASK_DUE: Final = "critical.task_due"
ACKNOWLEDGED: Final = "critical.acknowledged"
SEEN: Final = "critical.seen"
WITHDRAWN: Final = "critical.withdrawn"


class CriticalStatus(StrEnum):
    """RAISED: stored, nobody told yet. TEXTED: the doctor was sent an SMS. TASKED: it lies with the staff. WITHDRAWN: the
    hospital corrected the result."""

    RAISED = "raised"
    TOLD = "told"
    TEXTED = "texted"
    TASKED = "tasked"
    ACKNOWLEDGED = "acknowledged"
    WITHDRAWN = "withdrawn"


class CriticalCommand(StrEnum):
    TELL = "tell"
    TEXT = "text"
    TASK = "task"
    ACKNOWLEDGE = "acknowledge"
    WITHDRAW = "withdraw"


_S, _C = CriticalStatus, CriticalCommand

TRANSITIONS: Final[Mapping[tuple[CriticalStatus, CriticalCommand], CriticalStatus]] = MappingProxyType(
    {
        (_S.RAISED, _C.TELL): _S.TOLD,
        (_S.RAISED, _C.WITHDRAW): _S.WITHDRAWN,
        (_S.TOLD, _C.TEXT): _S.TEXTED,
        (_S.TOLD, _C.TASK): _S.TASKED,
        (_S.TOLD, _C.ACKNOWLEDGE): _S.ACKNOWLEDGED,
        (_S.TOLD, _C.WITHDRAW): _S.WITHDRAWN,
        (_S.TEXTED, _C.TASK): _S.TASKED,
        (_S.TEXTED, _C.ACKNOWLEDGE): _S.ACKNOWLEDGED,
        (_S.TEXTED, _C.WITHDRAW): _S.WITHDRAWN,
        (_S.TASKED, _C.ACKNOWLEDGE): _S.ACKNOWLEDGED,
        (_S.TASKED, _C.WITHDRAW): _S.WITHDRAWN,
    }
)

WAITING: Final = frozenset({_S.TOLD, _S.TEXTED})
"""Where time goes on."""


WITHDRAWABLE: Final = frozenset(status for status, command in TRANSITIONS if command is _C.WITHDRAW)

SAME_REPORT: Final = timedelta(minutes=30)
"""How far apart one report may be dated that comes two ways: rather told twice than a second measurement taken for it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """From where on a result of these codes in this unit is critical; at a limit is critical. None: no limit on that side."""

    codes: frozenset[str]
    unit: str
    low: float | None = None
    high: float | None = None


def _limit(codes: str, unit: str, low: float | None, high: float | None) -> Limit:
    return Limit(frozenset(codes.split()), unit, low, high)


DEFAULT_LIMITS: Final[tuple[Limit, ...]] = (
    _limit("2823-3 6298-4 75940-7", "mmol/L", 2.8, 6.2),  # potassium
    _limit("2951-2 2947-0", "mmol/L", 120, 160),  # sodium
    _limit("14771-0 14749-6 15074-8 14743-9", "mmol/L", 2.8, 22.2),  # glucose
    _limit("718-7 20509-6", "g/L", 60, 200),  # haemoglobin
    _limit("777-3 26515-7", "10*9/L", 30, 1000),  # platelets
    _limit("89579-7 67151-1", "ng/L", None, 100),  # troponin I and T, high sensitivity
    _limit("10839-9 6598-7", "ug/L", None, 0.1),  # troponin I and T
    _limit("2000-8", "mmol/L", 1.6, 3.5),  # calcium
    _limit("6301-6", "{INR}", None, 5.0),
)
"""By LOINC code, as Chinese hospitals commonly agree them; a hospital's own list takes their place."""


@dataclass(frozen=True, slots=True)
class CriticalPolicy:
    """`text_after`: how long the doctor has before an SMS. `task_after`: how long then before the staff has it; where there is
    no doctor, how long the patient has."""

    text_after: timedelta = timedelta(minutes=10)
    task_after: timedelta = timedelta(minutes=20)


@dataclass(frozen=True, slots=True)
class Recipient:
    """A doctor of an open order."""

    order_id: str
    doctor_id: str


@dataclass(frozen=True, slots=True)
class People:
    """Whom it concerns now: accounts that hold the patient, and doctors whose order of the patient is open."""

    patient_accounts: tuple[str, ...] = ()
    doctors: tuple[Recipient, ...] = ()


@dataclass(frozen=True, slots=True)
class CriticalValue:
    """One report's critical results. `names`: every way that the hospital writes the person's name. `occurred_at` is the
    report's, `found` what of it is critical (`2823-3=6.8`). `was_sent`: the hospital sent it; else it stood in a chart.
    `deadline_at`: when it is handed on; None where no time runs.
    """

    id: str
    hospital_id: str
    record_id: str
    identity: Identity
    raised_at: datetime
    names: tuple[str, ...] = ()
    occurred_at: datetime | None = None
    found: tuple[str, ...] = ()
    was_sent: bool = True
    status: CriticalStatus = CriticalStatus.RAISED
    version: int = 1
    people: People = field(default_factory=People)
    told_at: datetime | None = None
    deadline_at: datetime | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None

    @property
    def order_id(self) -> str | None:
        return self.people.doctors[0].order_id if self.people.doctors else None

    def concerns(self, account_id: str) -> bool:
        return account_id in self.people.patient_accounts or self.is_doctor(account_id)

    def is_doctor(self, account_id: str) -> bool:
        return any(recipient.doctor_id == account_id for recipient in self.people.doctors)


def limits_from(text: str) -> tuple[Limit, ...]:
    """A hospital's list: `[{"codes": ["2823-3"], "unit": "mmol/L", "low": 2.8, "high": 6.2}, …]`. Raises ValueError."""
    try:
        return tuple(
            Limit(
                frozenset(map(str, each["codes"])),
                str(each["unit"]),
                None if each.get("low") is None else float(each["low"]),
                None if each.get("high") is None else float(each["high"]),
            )
            for each in json.loads(text)
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a list of limits") from error


def is_item_critical(item: LabItem, limits: Sequence[Limit]) -> bool:
    """By the hospital's mark, or by its list."""
    if item.flag.is_critical:
        return True
    if item.number is None:
        return False
    code = item.code.rpartition("|")[2]
    return any(
        (limit.low is not None and item.number <= limit.low) or (limit.high is not None and item.number >= limit.high)
        for limit in limits
        if code in limit.codes and item.unit == limit.unit
    )


def critical_items(record: Record, limits: Sequence[Limit]) -> tuple[LabItem, ...]:
    content = record.content
    return tuple(i for i in content.items if is_item_critical(i, limits)) if isinstance(content, LabReport) else ()


def find_critical(
    hospital_id: str,
    identity: Identity,
    record: Record,
    limits: Sequence[Limit],
    at: datetime,
    names: tuple[str, ...] = (),
) -> CriticalValue | None:
    """What of a report cannot wait; None where nothing. The same results of the same report are one, whoever finds them."""
    items = critical_items(record, limits)
    if not items and not record.critical:
        return None
    said = sorted(f"{item.code or item.name}={item.value}" for item in items)
    value_id = derived_id("ehr_view.critical", hospital_id, record.id, *said)
    found = tuple(sorted(f"{item.code.rpartition('|')[2] or item.name}={item.value}" for item in items))
    return CriticalValue(value_id, hospital_id, record.id, identity, at, names, record.occurred_at, found)


def found_again(value: CriticalValue, times: int) -> CriticalValue:
    """The same results, said once more after they were withdrawn `times` times: news to everybody."""
    return replace(value, id=derived_id("ehr_view.critical.again", value.id, str(times))) if times else value


def is_told_by(value: CriticalValue, others: Iterable[CriticalValue]) -> bool:
    """Whether the same report, come the other way, has raised all of it. The same results of two reports that came one way are
    two measurements; what has no results is told in any case."""
    said = set(value.found)
    return bool(said) and any(
        other.was_sent != value.was_sent
        and other.status is not CriticalStatus.WITHDRAWN
        and value.occurred_at is not None
        and other.occurred_at is not None
        and abs(other.occurred_at - value.occurred_at) <= SAME_REPORT
        and said <= set(other.found)
        for other in others
    )


def decide_telling(value: CriticalValue, people: People, policy: CriticalPolicy, now: datetime) -> CriticalValue:
    """Who is told is fixed now. Where there is a doctor, the doctor's time runs; else the patient's; else nobody's."""
    patience = policy.text_after if people.doctors else policy.task_after
    deadline = now + patience if people.doctors or people.patient_accounts else None
    return replace(_moved(value, CriticalCommand.TELL), people=people, told_at=now, deadline_at=deadline)


def decide_escalation(value: CriticalValue, policy: CriticalPolicy, now: datetime) -> CriticalValue | None:
    """What is due now; None while there is time. At the deadline it is over."""
    if value.status not in WAITING or value.deadline_at is None or now < value.deadline_at:
        return None
    if value.status is CriticalStatus.TOLD and value.people.doctors:
        return replace(_moved(value, CriticalCommand.TEXT), deadline_at=now + policy.task_after)
    return replace(_moved(value, CriticalCommand.TASK), deadline_at=None)


def decide_acknowledgement(value: CriticalValue, account_id: str, now: datetime) -> CriticalValue | None:
    """A doctor's ends it; a patient's where there is no doctor. None: it was acknowledged before, or a patient has seen what a
    doctor must still take. Raises CriticalTransitionRefused."""
    if value.status is CriticalStatus.ACKNOWLEDGED or (value.people.doctors and not value.is_doctor(account_id)):
        return None
    moved = _moved(value, CriticalCommand.ACKNOWLEDGE)
    return replace(moved, acknowledged_by=account_id, acknowledged_at=now, deadline_at=None)


def decide_withdrawal(value: CriticalValue) -> CriticalValue:
    return replace(_moved(value, CriticalCommand.WITHDRAW), deadline_at=None)


def _moved(value: CriticalValue, command: CriticalCommand) -> CriticalValue:
    status = TRANSITIONS.get((value.status, command))
    if status is None:
        raise CriticalTransitionRefused(status=value.status.value)
    return replace(value, status=status, version=value.version + 1)
