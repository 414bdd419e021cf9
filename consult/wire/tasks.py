"""What of staff's tasks crosses the network."""

from typing import Annotated

from pydantic import StringConstraints

from consult.domain.tasks import StaffTask, TaskKind, TaskState
from server.kernel.wire import CleanText, Instant, Page, PageQuery, WireModel


class TaskOut(WireModel):
    """`subject` is the id of what it is about, `data` more ids, numbers and codes of its kind; `outcome` a code, `note` the
    words of whoever finished it. `state`: `open`, `claimed`, `done`, or `withdrawn` where it settled itself."""

    task_id: str
    kind: TaskKind
    state: TaskState
    subject: str
    order_id: str | None
    data: dict[str, str | int | bool]
    due_at: Instant
    created_at: Instant
    claimed_by: str | None
    claimed_at: Instant | None
    finished_at: Instant | None
    outcome: str | None
    note: str


class TaskPage(Page[TaskOut]):
    """What is due first comes first."""


class TasksQuery(PageQuery):
    state: TaskState | None = None
    kind: TaskKind | None = None


class TaskDoneIn(WireModel):
    """`outcome` is a code of the console's, `note` is for people."""

    outcome: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    note: Annotated[CleanText, StringConstraints(max_length=1000)] = ""


def task_out(task: StaffTask) -> TaskOut:
    return TaskOut(
        task_id=task.id,
        kind=task.kind,
        state=task.state,
        subject=task.subject,
        order_id=task.order_id,
        data=dict(task.data),
        due_at=task.due_at,
        created_at=task.created_at,
        claimed_by=task.claimed_by,
        claimed_at=task.claimed_at,
        finished_at=task.finished_at,
        outcome=task.outcome,
        note=task.note,
    )
