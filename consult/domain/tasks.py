"""Work for people of the hospital's staff: who has to look at what until when. A task never holds words or names of patients.

Any part of the product may open one, by its cause: the same cause has one task however often it is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from consult.errors import TaskTransitionRefused
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.ids import derived_id

TASKS: Final = "staff_tasks"
"""The collection, for the relay."""


class TaskKind(StrEnum):
    """ORDER_WAITING: call the doctor, a patient waits. REPLY_CONTESTED: a patient says that a reply was none. CRITICAL_VALUE: a
    result that nobody has acknowledged. AFTER_SALES: a patient asks for the fee of an answered order."""

    ORDER_WAITING = "order_waiting"
    REPLY_CONTESTED = "reply_contested"
    CRITICAL_VALUE = "critical_value"
    AFTER_SALES = "after_sales"


class TaskState(StrEnum):
    """WITHDRAWN: what it was about has been settled without staff."""

    OPEN = "open"
    CLAIMED = "claimed"
    DONE = "done"
    WITHDRAWN = "withdrawn"


class TaskCommand(StrEnum):
    CLAIM = "claim"
    RELEASE = "release"
    FINISH = "finish"
    WITHDRAW = "withdraw"


_S, _C = TaskState, TaskCommand

TRANSITIONS: Final[Mapping[tuple[TaskState, TaskCommand], TaskState]] = MappingProxyType(
    {
        (_S.OPEN, _C.CLAIM): _S.CLAIMED,
        (_S.CLAIMED, _C.RELEASE): _S.OPEN,
        (_S.CLAIMED, _C.FINISH): _S.DONE,
        (_S.OPEN, _C.WITHDRAW): _S.WITHDRAWN,
        (_S.CLAIMED, _C.WITHDRAW): _S.WITHDRAWN,
    }
)

WORKERS: Final[Mapping[TaskKind, frozenset[StaffRole]]] = MappingProxyType(
    {
        TaskKind.ORDER_WAITING: frozenset({StaffRole.AGENT, StaffRole.MEDICAL_ADMIN}),
        TaskKind.REPLY_CONTESTED: frozenset({StaffRole.MEDICAL_ADMIN}),
        TaskKind.CRITICAL_VALUE: frozenset({StaffRole.AGENT, StaffRole.MEDICAL_ADMIN}),
        TaskKind.AFTER_SALES: frozenset({StaffRole.MEDICAL_ADMIN}),
    }
)
"""Which staff see a kind of task and may do it."""


@dataclass(frozen=True, slots=True)
class StaffTask:
    """`subject` is the id of what it is about; `data` holds ids, numbers and codes. `outcome` is a code, `note` the words of
    whoever finished it. `claimed_by` stays when it is done."""

    id: str
    hospital_id: str
    kind: TaskKind
    subject: str
    order_id: str | None
    due_at: datetime
    created_at: datetime
    data: Mapping[str, str | int | bool] = field(default_factory=dict)
    state: TaskState = TaskState.OPEN
    claimed_by: str | None = None
    claimed_at: datetime | None = None
    finished_at: datetime | None = None
    outcome: str | None = None
    note: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks are asked for; `kinds` are those that the asker may see."""

    kinds: frozenset[TaskKind]
    state: TaskState | None = None


def task_id_of(kind: TaskKind, cause: str) -> str:
    """The id that the task of this cause always has."""
    return derived_id("staff_task", kind.value, cause)


def new_task(
    kind: TaskKind,
    *,
    cause: str,
    hospital_id: str,
    subject: str,
    due_at: datetime,
    at: datetime,
    order_id: str | None = None,
    **data: str | int | bool,
) -> StaffTask:
    """The task of this cause."""
    return StaffTask(task_id_of(kind, cause), hospital_id, kind, subject, order_id, due_at, at, data)


def workable_kinds(actor: Actor) -> frozenset[TaskKind]:
    """What this member of staff may see and do; nothing for anyone else."""
    if actor.role is not Role.STAFF:
        return frozenset()
    return frozenset(kind for kind, roles in WORKERS.items() if not roles.isdisjoint(actor.staff_roles))


def decide_claim(task: StaffTask, account_id: str, now: datetime) -> StaffTask:
    """One takes it; whoever comes second is refused."""
    return replace(_moved(task, TaskCommand.CLAIM), claimed_by=account_id, claimed_at=now)


def decide_release(task: StaffTask, account_id: str) -> StaffTask:
    """Whoever has it gives it back."""
    _require_claimant(task, account_id)
    return replace(_moved(task, TaskCommand.RELEASE), claimed_by=None, claimed_at=None)


def decide_finish(task: StaffTask, account_id: str, outcome: str, note: str, now: datetime) -> StaffTask:
    """Whoever has it says what came of it."""
    _require_claimant(task, account_id)
    return replace(_moved(task, TaskCommand.FINISH), outcome=outcome, note=note, finished_at=now)


def decide_withdraw(task: StaffTask, reason: str, now: datetime) -> StaffTask:
    """It has settled itself."""
    return replace(_moved(task, TaskCommand.WITHDRAW), outcome=reason, finished_at=now)


def _moved(task: StaffTask, command: TaskCommand) -> StaffTask:
    state = TRANSITIONS.get((task.state, command))
    if state is None:
        raise TaskTransitionRefused(state=task.state.value)
    return replace(task, state=state, version=task.version + 1)


def _require_claimant(task: StaffTask, account_id: str) -> None:
    if task.claimed_by != account_id:
        raise TaskTransitionRefused(state=task.state.value)
