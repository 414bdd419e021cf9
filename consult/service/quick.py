"""Quick consults: who may take one, and how a department hears of it."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog

from accounts.domain.doctors import Doctor
from consult.domain.log import ConsultState, QuickAct
from consult.domain.notices import NoticeKind, notice_of
from consult.domain.order import Order, local_day
from consult.domain.quick import MOST_SHOWN, decide_take
from consult.domain.status import NOBODY, LogDoctor, Phase
from consult.errors import OrderDoctorUnavailable, OrderNotFound
from consult.ports import Doctors, Live, Log, OrderRepository
from consult.service.notices import NoticeService
from consult.service.offers import FreeDoctors
from consult.service.places import HeldPlaces
from im.domain import Entry, EntryKind
from server.kernel.actor import Actor
from server.kernel.audit import Audit, AuditRow, Outcome, audit_row
from server.kernel.clock import Clock, from_ms, iso_ms
from server.kernel.ids import is_id

log = structlog.get_logger(__name__)

POOL_CHANGED: Final = "pool.changed"
"""What sockets of a department's doctors are told."""

POOL_LISTED: Final = "consult.pool_listed"
ORDER_TAKEN: Final = "consult.order_taken"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An order in the pool, as far as a doctor needs it to decide: no name, no pictures, no records, no conversation."""

    order: Order
    closes_at: datetime


@dataclass(slots=True)
class PoolService:
    """The pool as a doctor of the department sees it. `command_id` is the request's."""

    orders: OrderRepository
    doctors: Doctors
    free: FreeDoctors
    places: HeldPlaces
    log: Log
    notices: NoticeService
    audit: Audit
    clock: Clock

    async def list_pool(self, actor: Actor) -> list[Waiting]:
        """What waits in the actor's department and the actor could take, the soonest due first; nothing while the actor takes
        no orders. Each order that is shown is a row."""
        doctor = (await self.doctors.find_doctors([actor.account_id])).get(actor.account_id)
        if doctor is None or doctor.hospital_id != actor.hospital_id or not await self.free.is_free(doctor):
            return []
        found = await self.orders.list_pool(doctor.hospital_id, doctor.department_id, MOST_SHOWN)
        await self.log.preload([order.conversation_id for order in found])
        shown = []
        for order in found:
            state: ConsultState = (await self.log.read_fresh(order.conversation_id)).state
            if state.waits_in_pool and state.is_open_at(self.clock.now_ms()) and doctor.id not in state.returned_by:
                shown.append(Waiting(order, from_ms(state.closes_at_ms)))
        await asyncio.gather(*(self.audit.record(self._row(actor, POOL_LISTED, each.order)) for each in shown))
        return shown

    async def take(self, actor: Actor, order_id: str, command_id: str) -> Order:
        """The order is the actor's, if nobody was before. Raises OrderNotFound for whoever is no doctor of its department,
        OrderTaken, OrderDoctorUnavailable, OrderDailyMaximum, OrderTransitionRefused."""
        order, doctor = await self._access(actor, order_id)
        if not await self.free.is_free(doctor):
            raise OrderDoctorUnavailable
        day = local_day(self.clock.now())
        to = LogDoctor(doctor.id, doctor.name, doctor.title, doctor.department_name)
        state = await self.places.append(
            order, doctor.id, day, partial(decide_take, doctor=to, place_day=day, command_id=command_id)
        )
        return order.with_log(state)

    async def tell_department(self, entry: Entry, state: ConsultState) -> None:
        """The order has come, or come back, to the pool with this entry: each doctor who could take it now has a notice."""
        await self._tell_all(entry.id, state, from_ms(entry.at_ms))

    async def remind_department(self, conversation_id: str, cause: str, at: datetime, minutes_left: int) -> None:
        """It waits there still."""
        state: ConsultState = (await self.log.read_fresh(conversation_id)).state
        await self._tell_all(cause, state, at, minutes_left=minutes_left)

    async def _tell_all(self, cause: str, state: ConsultState, at: datetime, **data: Any) -> None:
        """Says nothing of the patient. Twice for one cause is once."""
        department, returned_by = state.department, frozenset(state.returned_by)
        if department is None:
            return
        deadline_at = iso_ms(state.closes_at_ms)
        doctors = await self.free.list_free(state.hospital_id, department.id)
        await self.notices.tell(
            notice_of(
                NoticeKind.QUICK_WAITING,
                cause=cause,
                account_id=doctor.id,
                hospital_id=state.hospital_id,
                order_id=state.order_id,
                at=at,
                deadline_at=deadline_at,
                **data,
            )
            for doctor in doctors
            if doctor.id not in returned_by
        )

    async def _access(self, actor: Actor, order_id: str) -> tuple[Order, Doctor]:
        """Missing and forbidden look alike; a refusal leaves a row."""
        order = await self.orders.find(order_id) if is_id(order_id) else None
        doctor = (await self.doctors.find_doctors([actor.account_id])).get(actor.account_id)
        if order is not None and doctor is not None and _is_for(order, doctor):
            return order, doctor
        if is_id(order_id):
            await self.audit.record(self._row(actor, ORDER_TAKEN, order, order_id, Outcome.DENIED))
        raise OrderNotFound

    def _row(
        self, actor: Actor, action: str, order: Order | None, order_id: str = "", outcome: Outcome = Outcome.OK
    ) -> AuditRow:
        subject = order_id if order is None else order.id
        return audit_row(
            actor,
            action,
            subject=subject,
            at=self.clock.now(),
            order_id=subject,
            outcome=outcome,
            hospital_id=None if order is None else order.hospital_id,
        )


def _is_for(order: Order, doctor: Doctor) -> bool:
    """Whether this doctor is one of those whom the department's order was for."""
    if order.department is None or order.phase is not Phase.CAPTURED or not doctor.active:
        return False
    return (doctor.hospital_id, doctor.department_id) == (order.hospital_id, order.department.id)


class PoolAnnouncer:
    """An `im.ports.EntryListener`: says live to a department's doctors that an order is in their pool, or is there no more. A
    hint only; the notice and the list are what counts."""

    def __init__(self, free: FreeDoctors, live: Live) -> None:
        self._free = free
        self._live = live
        self._tasks: set[asyncio.Task[None]] = set()

    def entry_appended(self, entry: Entry, state: Any) -> None:
        if state.department is not None and _moves(entry, state):
            self._spawn(self._tell(state.hospital_id, state.department.id, state.order_id, state.waits_in_pool))

    async def close(self) -> None:
        """Tell what is still to be told."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="pool-announce")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, hospital_id: str, department_id: str, order_id: str, waiting: bool) -> None:
        try:
            doctors: Iterable[Doctor] = await self._free.list_free(hospital_id, department_id)
        except Exception as error:  # whatever it is, it concerns this hint only
            log.warning("pool.announce_failed", order_id=order_id, error=type(error).__name__, exc_info=True)
            return
        payload = {"order_id": order_id, "department_id": department_id, "waiting": waiting}
        self._live.send([doctor.id for doctor in doctors], POOL_CHANGED, payload)


def _moves(entry: Entry, state: ConsultState) -> bool:
    """Whether the pool changes with this entry."""
    draft = entry.draft
    if draft.kind is EntryKind.OPENED:
        return True
    if draft.kind is EntryKind.REFERRED:
        return draft.data["act"] in frozenset(QuickAct)
    return draft.closes is not None and state.doctor == NOBODY
