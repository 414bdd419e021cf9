"""How the product finds whom a critical value concerns, and tells them: each once, without a word of health."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from accounts.domain.identity import IdType
from accounts.domain.patients import Patient
from consult.service.critical import ConcernedPeople, CriticalAlarms, WatchedOrders
from ehr_view.critical.domain import CriticalPolicy, CriticalValue, Recipient, decide_telling
from ehr_view.hl7.domain import Identity
from server.kernel.actor import DEFAULT_HOSPITAL, Actor, Role, StaffRole
from server.kernel.ids import derived_id, new_id
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.consult import Case, FakePatients, World, open_world

AGENT = Actor(new_id(), Role.STAFF, DEFAULT_HOSPITAL, new_id(), staff_roles=frozenset({StaffRole.AGENT}))
NUMBER = Identity("resident", "11010519491231002X")


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> AsyncIterator[World]:
    async with open_world(database, clock) as made:
        yield made


class Holders:
    """The one account that has the patient."""

    def __init__(self, account: Actor) -> None:
        self.account = account

    async def list_holders(self, hospital_id: str, id_type: str, id_number: str, *, limit: int) -> list[Patient]:
        patient = await FakePatients().access_patient(self.account, derived_id("patient", self.account.account_id))
        wanted = (hospital_id, id_type, id_number) == (DEFAULT_HOSPITAL, IdType.RESIDENT.value, patient.id_number)
        return [patient] if wanted else []


def concerned(world: World, case: Case) -> ConcernedPeople:
    return ConcernedPeople(Holders(case.patient), world.consult.parts.orders, world.log, world.clock)


async def test_the_doctor_of_an_open_order_is_concerned_until_it_closes(world: World) -> None:
    case = await world.paid()
    people = await concerned(world, case).find_people(DEFAULT_HOSPITAL, NUMBER, ("王小明",))
    assert people.patient_accounts == (case.patient.account_id,)
    assert people.doctors == (Recipient(case.id, case.doctor.account_id),)
    assert not (await concerned(world, case).find_people(DEFAULT_HOSPITAL, NUMBER, ("别的人",))).patient_accounts
    world.clock.advance(timedelta(hours=48))
    assert (await concerned(world, case).find_people(DEFAULT_HOSPITAL, NUMBER, ())).doctors == ()


async def test_an_order_is_watched_while_it_is_open_and_its_patient_agrees(world: World) -> None:
    watched = WatchedOrders(world.consult.parts.orders)

    async def orders() -> list[str]:
        return [each.order_id for each in await watched.list_watched(DEFAULT_HOSPITAL, limit=10)]

    await world.order()
    first, second = await world.paid(), await world.paid()
    assert await orders() == [first.id, second.id]
    assert await watched.list_watched("elsewhere", limit=10) == []
    (known, _) = await watched.list_watched(DEFAULT_HOSPITAL, limit=10)
    assert (known.patient.name, known.patient.id_number) == ("王小明", NUMBER.id_number)
    await world.consult.consults.set_record_access(first.patient, first.id, False)
    assert await orders() == [second.id]
    await world.consult.consults.set_record_access(first.patient, first.id, True)
    await world.consult.consults.decline_order(second.doctor, second.id, "请线下就诊", new_id())
    await world.follow()
    assert await orders() == [first.id]


async def test_notice_sms_and_task_are_each_there_once(world: World) -> None:
    case, now = await world.paid(), world.clock.now()
    people = await concerned(world, case).find_people(DEFAULT_HOSPITAL, NUMBER, ())
    raised = CriticalValue(new_id(), DEFAULT_HOSPITAL, new_id(), NUMBER, now)
    value = decide_telling(raised, people, CriticalPolicy(), now)
    alarms = CriticalAlarms(world.consult.notices, world.consult.tasks, world.texts)
    for _ in range(2):
        await alarms.tell(value)
        await alarms.text_doctors(value, now)
        await alarms.open_task(value, now)
    for account, order_id in ((case.doctor, case.id), (case.patient, None)):
        found, _ = await world.consult.notices.list_notices(account, 100, None)
        (notice,) = [each for each in found if each.kind.value == "critical_value"]
        assert (notice.order_id, dict(notice.data)) == (order_id, {"critical_id": value.id, "record_id": value.record_id})
    assert list(world.texts.sent.values()) == [(case.doctor.account_id, "SMS_CRITICAL_VALUE", {})]
    (task,), _ = await world.consult.tasks.list_tasks(AGENT, state=None, kind=None, limit=100, cursor=None)
    assert (task.kind.value, task.subject, task.order_id, task.state.value) == ("critical_value", value.id, case.id, "open")
    await alarms.withdraw_task(value)
    (task,), _ = await world.consult.tasks.list_tasks(AGENT, state=None, kind=None, limit=100, cursor=None)
    assert task.state.value == "withdrawn"
