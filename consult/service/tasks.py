"""Tasks of staff: opened by any part of the product, once a cause; taken by one person, done, or withdrawn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from consult.domain.tasks import (
    TASKS,
    StaffTask,
    TaskFilter,
    TaskKind,
    TaskState,
    decide_claim,
    decide_finish,
    decide_release,
    decide_withdraw,
    workable_kinds,
)
from consult.errors import TaskNotFound, TaskTransitionRefused
from consult.ports import Outboxes, TaskRepository
from consult.service.pages import cut_page, place_after
from server.kernel.actor import Actor, system_actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import Forbidden, Unavailable
from server.kernel.ids import is_id
from server.kernel.outbox import event_of

_TRIES: Final = 5

TASK_OPENED: Final = "consult.task_opened"
TASKS_LISTED: Final = "consult.tasks_listed"


@dataclass(slots=True)
class TaskService:
    """Staff see the kinds that their roles work on, of their hospital; what they may not see does not exist."""

    tasks: TaskRepository
    audit: Audit
    relay: Outboxes
    clock: Clock

    async def open(self, task: StaffTask) -> bool:
        """Store it, unless its cause has its task already."""
        actor = system_actor(task.hospital_id, name="tasks")
        event = event_of(actor, TASK_OPENED, subject=task.id, at=task.created_at, order_id=task.order_id, kind=task.kind.value)
        if not await self.tasks.insert(task, event):
            return False
        self.relay.soon(TASKS, task.id, task.hospital_id)
        return True

    async def withdraw(self, hospital_id: str, task_id: str, reason: str) -> bool:
        """What it was about has settled itself; `reason` is a code. False where it was over, or was never opened."""
        actor = system_actor(hospital_id, name="tasks")
        for _ in range(_TRIES):
            task = await self.tasks.find(hospital_id, task_id)
            if task is None or task.state in (TaskState.DONE, TaskState.WITHDRAWN):
                return False
            if await self._save(actor, decide_withdraw(task, reason, self.clock.now()), "withdrawn"):
                return True
        raise Unavailable

    async def list_tasks(
        self, actor: Actor, *, state: TaskState | None, kind: TaskKind | None, limit: int, cursor: str | None
    ) -> tuple[list[StaffTask], str | None]:
        """What is due first comes first. Raises Forbidden for staff who work on none of these."""
        kinds = workable_kinds(actor) & (frozenset(TaskKind) if kind is None else frozenset({kind}))
        if not kinds:
            await self._record(actor, TASKS_LISTED, "tasks", None, Outcome.DENIED)
            raise Forbidden
        wanted = TaskFilter(kinds, state)
        found = await self.tasks.list_of(actor.hospital_id, wanted, limit=limit + 1, after=place_after(cursor))
        await self._record(actor, TASKS_LISTED, "tasks", None, Outcome.OK)
        return cut_page(found, limit, lambda task: (task.due_at, task.id))

    async def claim(self, actor: Actor, task_id: str) -> StaffTask:
        """Take it. Of two at once one has it; the other gets TaskTransitionRefused."""
        return await self._change(
            actor, task_id, "claimed", lambda task: decide_claim(task, actor.account_id, self.clock.now())
        )

    async def release(self, actor: Actor, task_id: str) -> StaffTask:
        """Give it back. Raises TaskTransitionRefused for what one does not have."""
        return await self._change(actor, task_id, "released", partial(decide_release, account_id=actor.account_id))

    async def finish(self, actor: Actor, task_id: str, outcome: str, note: str) -> StaffTask:
        """Say what came of it. Raises TaskTransitionRefused for what one does not have."""
        return await self._change(
            actor, task_id, "finished", lambda task: decide_finish(task, actor.account_id, outcome, note, self.clock.now())
        )

    async def _change(self, actor: Actor, task_id: str, what: str, decide: Callable[[StaffTask], StaffTask]) -> StaffTask:
        for _ in range(_TRIES):
            task = await self.tasks.find(actor.hospital_id, task_id) if is_id(task_id) else None
            if task is None or task.kind not in workable_kinds(actor):
                subject = task_id if is_id(task_id) else "task"
                await self._record(
                    actor, f"consult.task_{what}", subject, None if task is None else task.order_id, Outcome.DENIED
                )
                raise TaskNotFound
            changed = decide(task)
            if await self._save(actor, changed, what):
                return changed
        raise TaskTransitionRefused

    async def _save(self, actor: Actor, changed: StaffTask, what: str) -> bool:
        event = event_of(
            actor,
            f"consult.task_{what}",
            subject=changed.id,
            at=self.clock.now(),
            order_id=changed.order_id,
            kind=changed.kind.value,
            outcome=changed.outcome,
            about=changed.subject,
        )
        if not await self.tasks.save(changed, event):
            return False
        self.relay.soon(TASKS, changed.id, changed.hospital_id)
        return True

    async def _record(self, actor: Actor, action: str, subject: str, order_id: str | None, outcome: Outcome) -> None:
        row = audit_row(actor, action, subject=subject, at=self.clock.now(), order_id=order_id, outcome=outcome)
        await self.audit.record(row)
