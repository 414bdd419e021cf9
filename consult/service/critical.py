"""Whom a critical value concerns, and how they are told: the product's answers to `ehr_view.critical.ports`.

Nothing that is told says anything of health: that there is something, where to look, and that it is urgent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from consult.domain.notices import Notice, NoticeKind, notice_of
from consult.domain.order import Order
from consult.domain.status import NOBODY
from consult.domain.tasks import StaffTask, TaskKind, new_task, task_id_of
from consult.ports import DoctorTexts, Log, OpenOrders, PatientHolders
from consult.service.notices import NoticeService
from consult.service.records import person_of
from consult.service.tasks import TaskService
from ehr_view.critical.domain import CriticalValue, People, Recipient
from ehr_view.critical.ports import Watched
from ehr_view.domain.records import PatientRef
from ehr_view.hl7.domain import Identity, PersonFacts, is_same_person
from im.errors import ConversationNotFound
from server.kernel.clock import Clock
from server.kernel.ids import derived_id

SMS_TEMPLATE: Final = "SMS_CRITICAL_VALUE"
NO_PARAMS: Final[Mapping[str, str]] = {}
_SMS_LIFE: Final = timedelta(hours=2)
_TASK_WITHIN: Final = timedelta(minutes=30)
_MOST_ACCOUNTS: Final = 50
_MOST_ORDERS: Final = 100


@dataclass(slots=True)
class ConcernedPeople:
    """Implements `ehr_view.critical.ports.CriticalPeople`."""

    patients: PatientHolders
    orders: OpenOrders
    log: Log
    clock: Clock

    async def find_people(self, hospital_id: str, identity: Identity, names: tuple[str, ...]) -> People:
        facts = PersonFacts(identity, (), names)
        found = await self.patients.list_holders(hospital_id, identity.id_type, identity.id_number, limit=_MOST_ACCOUNTS)
        holders = {p.account_id for p in found if is_same_person(facts, PatientRef(p.id_type.value, p.id_number, p.name))}
        accounts = sorted(holders)
        orders = await self.orders.list_open_of(hospital_id, accounts, limit=_MOST_ORDERS)
        doctors = [await self._doctor(order) for order in orders if _is_of(order, identity, facts)]
        return People(tuple(accounts), tuple(recipient for recipient in doctors if recipient is not None))

    async def _doctor(self, order: Order) -> Recipient | None:
        """The order's doctor as of now; None when it has just closed, or nobody has it."""
        try:
            state = (await self.log.read_fresh(order.conversation_id)).state
        except ConversationNotFound:  # paid this moment: nobody but its first doctor can be the doctor
            return Recipient(order.id, order.doctor.id) if order.is_with_doctor else None
        is_with_doctor = state.is_open_at(self.clock.now_ms()) and state.doctor != NOBODY
        return Recipient(order.id, state.doctor) if is_with_doctor else None


def _is_of(order: Order, identity: Identity, facts: PersonFacts) -> bool:
    document = order.patient.document
    return (
        document is not None
        and (document.id_type, document.id_number.upper()) == (identity.id_type, identity.id_number)
        and is_same_person(facts, PatientRef(document.id_type, document.id_number, order.patient.name))
    )


@dataclass(slots=True)
class WatchedOrders:
    """Implements `ehr_view.critical.ports.WatchedPeople`: consent is asked anew each time, who the patient is only once."""

    orders: OpenOrders
    _known: dict[str, Watched | None] = field(default_factory=dict, init=False)

    async def list_watched(self, hospital_id: str, *, limit: int) -> Sequence[Watched]:
        wanted = await self.orders.list_open_with_records(hospital_id, limit=limit)
        new = [order_id for order_id in wanted if order_id not in self._known]
        known = {order_id: self._known[order_id] for order_id in wanted if order_id in self._known}
        for order in await self.orders.find_all(new) if new else ():
            person = person_of(order.patient)
            known[order.id] = None if person is None else Watched(order.id, person)
        self._known = known
        return [watched for watched in known.values() if watched is not None]


@dataclass(slots=True)
class CriticalAlarms:
    """Implements `ehr_view.critical.ports.Alarms`. `texts` None: no SMS is sent."""

    notices: NoticeService
    tasks: TaskService
    texts: DoctorTexts | None

    async def tell(self, value: CriticalValue) -> None:
        await self.notices.tell(notices_of(value))

    async def text_doctors(self, value: CriticalValue, at: datetime) -> None:
        if self.texts is None:
            return
        for doctor_id in sorted({recipient.doctor_id for recipient in value.people.doctors}):
            text_id = derived_id("critical.sms", value.id, doctor_id)
            await self.texts.tell_doctor(text_id, value.hospital_id, doctor_id, SMS_TEMPLATE, NO_PARAMS, at + _SMS_LIFE)

    async def open_task(self, value: CriticalValue, at: datetime) -> None:
        await self.tasks.open(task_of(value, at))

    async def withdraw_task(self, value: CriticalValue) -> None:
        await self.tasks.withdraw(value.hospital_id, task_id_of(TaskKind.CRITICAL_VALUE, value.id), value.status.value)


def notices_of(value: CriticalValue) -> Iterable[Notice]:
    """One to each doctor for each order, one to each account of the patient."""
    told: Sequence[tuple[str, str | None]] = [
        *((recipient.doctor_id, recipient.order_id) for recipient in value.people.doctors),
        *((account, None) for account in value.people.patient_accounts),
    ]
    for account, order_id in told:
        yield notice_of(
            NoticeKind.CRITICAL_VALUE,
            cause=f"{value.id}:{order_id or ''}",
            account_id=account,
            hospital_id=value.hospital_id,
            order_id=order_id,
            at=value.told_at or value.raised_at,
            critical_id=value.id,
            record_id=value.record_id,
        )


def task_of(value: CriticalValue, at: datetime) -> StaffTask:
    return new_task(
        TaskKind.CRITICAL_VALUE,
        cause=value.id,
        hospital_id=value.hospital_id,
        subject=value.id,
        due_at=at + _TASK_WITHIN,
        at=at,
        order_id=value.order_id,
        record_id=value.record_id,
    )
