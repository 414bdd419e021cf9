"""Reminders before an order's deadline: planned when it is paid, decided by the sweep, done by the relay."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import structlog

from consult.domain.log import ConsultState, facts_of
from consult.domain.notices import NoticeKind, notice_of
from consult.domain.reminders import (
    REMINDER_POLICIES,
    REMINDERS,
    Ladder,
    Reminder,
    ReminderAction,
    ReminderDecision,
    decide_reminder,
    plan_reminder,
    still_waits,
    time_text,
)
from consult.domain.status import NOBODY
from consult.domain.tasks import TaskKind, new_task, task_id_of
from consult.ports import ClockOk, DoctorTexts, Log, Outboxes, ReminderRepository
from consult.service.notices import NoticeService
from consult.service.quick import PoolService
from consult.service.tasks import TaskService
from server.kernel.actor import Actor, Role, StaffRole, system_actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock, from_ms, iso, to_ms
from server.kernel.errors import Forbidden
from server.kernel.ids import derived_id
from server.kernel.outbox import Event, event_of

log = structlog.get_logger(__name__)

REMINDER_DUE: Final = "consult.reminder_due"
POLICY_CHANGED: Final = "consult.reminder_policy_changed"
POLICY_VIEWED: Final = "consult.reminder_policy_viewed"
SMS_TEMPLATE: Final = "SMS_ORDER_WAITING"
_AT_ONCE: Final = 20
_POLICY_ROLES: Final = frozenset({StaffRole.MEDICAL_ADMIN, StaffRole.OPERATOR})


@dataclass(slots=True)
class ReminderService:
    """`ladder` is what holds where a hospital decided nothing. `texts` None: no SMS is sent."""

    reminders: ReminderRepository
    log: Log
    notices: NoticeService
    tasks: TaskService
    pool: PoolService
    texts: DoctorTexts | None
    audit: Audit
    relay: Outboxes
    clock: Clock
    clock_ok: ClockOk
    ladder: Ladder

    async def plan(self, state: ConsultState, conversation_id: str) -> None:
        """The order was just opened: fix its ladder. Twice is once."""
        closes_at = from_ms(state.closes_at_ms)
        reminder = plan_reminder(
            order_id=state.order_id,
            hospital_id=state.hospital_id,
            conversation_id=conversation_id,
            doctor_id=state.doctor,
            paid_at=closes_at - timedelta(milliseconds=state.policy.validity_ms),
            closes_at=closes_at,
            ladder=await self.ladder_of(state.hospital_id),
        )
        if reminder is not None:
            await self.reminders.insert(reminder)

    async def settled(self, state: ConsultState) -> None:
        """The order was answered or closed: nobody of the staff need call any more."""
        reason = "answered" if state.open else "closed"
        await self.tasks.withdraw(state.hospital_id, _task_id(state.order_id), reason)

    async def sweep(self) -> int:
        """Decide all that is due now. Returns how many ladders were decided on."""
        if not self.clock_ok():
            return 0
        room, found = asyncio.Semaphore(_AT_ONCE), [reminder async for reminder in self.reminders.due(self.clock.now())]

        async def quietly(reminder: Reminder) -> bool:
            async with room:
                try:
                    return await self._decide(reminder)
                except Exception as error:  # one order's trouble must not keep the others from their reminders
                    log.warning("reminder.failed", order_id=reminder.order_id, error=type(error).__name__, exc_info=True)
                    return False

        return sum(await asyncio.gather(*map(quietly, found)))

    async def reminder_due(self, event: Event) -> None:
        """`consult.reminder_due`: do what was decided, as long as the order still waits. Each action has an id that follows
        from the rung, so that twice is once."""
        reminder = await self.reminders.find(event.subject)
        if reminder is None:
            return
        minutes, actions = event.data["minutes_left"], event.data["actions"]
        for action in map(ReminderAction, actions):
            if (waiting := await self._waiting(reminder)) is not None:
                await self._do(action, waiting, minutes, event)
        if ReminderAction.TASK in actions and await self._waiting(reminder) is None:
            await self.tasks.withdraw(reminder.hospital_id, _task_id(reminder.order_id), "answered")

    async def ladder_of(self, hospital_id: str) -> Ladder:
        decided = await self.reminders.find_ladder(hospital_id)
        return self.ladder if decided is None else decided

    async def view_policy(self, actor: Actor) -> Ladder:
        """The hospital's ladder. Raises Forbidden."""
        await self._require(actor, POLICY_VIEWED)
        await self.audit.record(audit_row(actor, POLICY_VIEWED, subject=actor.hospital_id, at=self.clock.now()))
        return await self.ladder_of(actor.hospital_id)

    async def change_policy(self, actor: Actor, ladder: Ladder) -> Ladder:
        """Decide the ladder of orders that are paid from now on. Raises Forbidden."""
        await self._require(actor, POLICY_CHANGED)
        event = event_of(actor, POLICY_CHANGED, subject=actor.hospital_id, at=self.clock.now())
        await self.reminders.save_ladder(actor.hospital_id, ladder, event)
        self.relay.soon(REMINDER_POLICIES, actor.hospital_id, actor.hospital_id)
        return ladder

    async def _require(self, actor: Actor, action: str) -> None:
        if actor.role is not Role.STAFF or actor.staff_roles.isdisjoint(_POLICY_ROLES):
            row = audit_row(actor, action, subject=actor.hospital_id, at=self.clock.now(), outcome=Outcome.DENIED)
            await self.audit.record(row)
            raise Forbidden

    async def _decide(self, reminder: Reminder) -> bool:
        facts = facts_of((await self.log.read_fresh(reminder.conversation_id)).state)
        decision = decide_reminder(reminder, facts, self.clock.now())
        if decision is None:
            return False
        event = self._event(decision) if decision.actions else None
        if not await self.reminders.save(decision.reminder, event):
            return False
        if event is not None:
            self.relay.soon(REMINDERS, reminder.order_id, reminder.hospital_id)
        return True

    def _event(self, decision: ReminderDecision) -> Event:
        reminder = decision.reminder
        return event_of(
            system_actor(reminder.hospital_id, name="reminders"),
            REMINDER_DUE,
            subject=reminder.order_id,
            at=self.clock.now(),
            order_id=reminder.order_id,
            event_id=derived_id(REMINDER_DUE, reminder.order_id, str(reminder.version)),
            actions=[action.value for action in decision.actions],
            minutes_left=decision.minutes_left,
        )

    async def _waiting(self, reminder: Reminder) -> Reminder | None:
        """The reminder with the doctor whom the order waits for now: a referral may have changed who that is. None: no more."""
        state = (await self.log.read_fresh(reminder.conversation_id)).state
        return replace(reminder, doctor_id=state.doctor) if still_waits(facts_of(state), self.clock.now()) else None

    async def _do(self, action: ReminderAction, reminder: Reminder, minutes: int, event: Event) -> None:
        cause = f"{reminder.order_id}:{minutes}"
        nobody = reminder.doctor_id == NOBODY
        match action:
            case ReminderAction.NOTICE if nobody:
                await self.pool.remind_department(reminder.conversation_id, cause, event.at, minutes)
            case ReminderAction.NOTICE:
                notice = notice_of(
                    NoticeKind.TIME_LEFT,
                    cause=cause,
                    account_id=reminder.doctor_id,
                    hospital_id=reminder.hospital_id,
                    order_id=reminder.order_id,
                    at=event.at,
                    conversation_id=reminder.conversation_id,
                    minutes_left=minutes,
                    deadline_at=iso(reminder.closes_at),
                )
                await self.notices.tell([notice])
            case ReminderAction.SMS:
                if self.texts is not None and not nobody:  # a department has no phone; staff call, with the next rung
                    await self.texts.tell_doctor(
                        derived_id("reminder_sms", cause),
                        reminder.hospital_id,
                        reminder.doctor_id,
                        SMS_TEMPLATE,
                        {"left": time_text(minutes)},
                        reminder.closes_at,
                    )
            case ReminderAction.TASK:
                task = new_task(
                    TaskKind.ORDER_WAITING,
                    cause=reminder.order_id,
                    hospital_id=reminder.hospital_id,
                    subject=reminder.order_id,
                    order_id=reminder.order_id,
                    due_at=reminder.closes_at,
                    at=event.at,
                    doctor_id=reminder.doctor_id,
                    deadline_at_ms=to_ms(reminder.closes_at),
                )
                await self.tasks.open(task)


def _task_id(order_id: str) -> str:
    return task_id_of(TaskKind.ORDER_WAITING, order_id)
