"""The message centre and the tasks of staff, on real MongoDB."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from accounts.errors import DepartmentNotFound
from consult.domain.notices import NoticeKind, notice_of
from consult.domain.tasks import StaffTask, TaskKind, TaskState, new_task
from consult.errors import QuickReplyNotFound, TaskNotFound, TaskTransitionRefused
from server.kernel.actor import DEFAULT_HOSPITAL, Actor, Role, StaffRole
from server.kernel.clock import iso
from server.kernel.errors import Forbidden
from server.kernel.ids import new_id
from tests.support.consult import World, open_world


@pytest.fixture
async def world(database, clock):
    async with open_world(database, clock) as made:
        yield made


def staff(*roles: StaffRole, hospital_id: str = DEFAULT_HOSPITAL) -> Actor:
    return Actor(new_id(), Role.STAFF, hospital_id, new_id(), staff_roles=frozenset(roles))


def waiting(world: World, cause: str = "order-1", **changes: object) -> StaffTask:
    now = world.clock.now()
    task = new_task(
        TaskKind.ORDER_WAITING, cause=cause, hospital_id=DEFAULT_HOSPITAL, subject=new_id(), due_at=now, at=now, minutes_left=60
    )
    return replace(task, **changes)  # type: ignore[arg-type]


async def kinds(world: World, actor: Actor) -> list[str]:
    found, _ = await world.consult.notices.list_notices(actor, 100, None)
    return sorted(notice.kind.value for notice in found)


# --- notices ---


async def test_a_notice_says_in_ids_and_numbers_what_happened_and_nothing_of_health(world: World) -> None:
    case = await world.paid()
    said = await case.say(case.doctor, "您的血压偏高")
    await world.consult.consults.gift_replies(case.doctor, case.id, 2, new_id())
    await world.consult.consults.set_record_access(case.patient, case.id, False)
    for _ in range(4):
        await case.say(case.doctor)
    await world.consult.consults.rate_order(case.patient, case.id, 4, (), "好")
    await world.follow()
    conversation = {"conversation_id": case.order.conversation_id}
    of_patient, _ = await world.consult.notices.list_notices(case.patient, 100, None)
    of_doctor, _ = await world.consult.notices.list_notices(case.doctor, 100, None)
    found = {notice.kind: notice for notice in [*of_doctor, *of_patient]}
    assert found[NoticeKind.REPLIES_GIFTED].data == conversation | {"count": 2}
    assert found[NoticeKind.ORDER_CLOSED].data == conversation | {"close_reason": "quota", "refund": False}
    assert found[NoticeKind.RATED].data == {"stars": 4}
    assert found[NoticeKind.RECORD_ACCESS_CHANGED].data == {"granted": False}
    deadline = (await case.now()).deadline_at
    assert deadline is not None
    assert found[NoticeKind.ORDER_PAID].data == conversation | {"deadline_at": iso(deadline)}
    replied = [notice.data for notice in of_patient if notice.kind is NoticeKind.REPLIED]
    assert conversation | {"seq": said.entry.seq} in replied
    stored = await world.database["notices"].find().to_list()
    assert not any(word in str(stored) for word in ("血压", "头痛", "王小明", "李医生"))


def test_a_notice_takes_no_data_that_its_kind_does_not_have(clock) -> None:
    with pytest.raises(ValueError, match="holds only"):
        notice_of(
            NoticeKind.RATED, cause="c", account_id="a", hospital_id="h", order_id=None, at=clock.now(), text_of_rating="x"
        )


async def test_the_badge_counts_what_is_unread_and_reading_on_one_device_is_told_to_all(world: World) -> None:
    case, stranger = await world.paid(), world.patient()
    for _ in range(3):
        await case.say(case.doctor)
        world.clock.advance(timedelta(seconds=1))
    await world.follow()
    notices = world.consult.notices
    assert (await notices.count_unread(case.patient), await notices.count_unread(stranger)) == (4, 0)
    (newest, second, *_), _ = await notices.list_notices(case.patient, 100, None)
    assert newest.read_at is None
    assert await notices.read(case.patient, [second.id, new_id()]) == 3
    assert await notices.read(case.patient, [second.id]) == 3
    assert await notices.read(stranger, [newest.id]) == 0
    assert [event["unread"] for event in world.live.of("notices.read", case.patient.account_id)] == [3]
    page, _ = await notices.list_notices(case.patient, 100, None)
    assert {n.id: n.read_at for n in page}[second.id] == world.clock.now()


async def test_what_came_after_the_notice_that_was_seen_last_stays_unread(world: World) -> None:
    case = await world.paid()
    await case.say(case.doctor)
    await case.say(case.doctor)
    await world.follow()
    (seen, *_), _ = await world.consult.notices.list_notices(case.patient, 1, None)
    world.clock.advance(timedelta(seconds=1))
    await world.consult.consults.gift_replies(case.doctor, case.id, 1, new_id())
    await world.follow()
    stranger = world.patient()
    assert await world.consult.notices.read_up_to(stranger, seen.id) == 0
    assert await world.consult.notices.read_up_to(case.patient, seen.id) == 1
    (newest, *_), _ = await world.consult.notices.list_notices(case.patient, 1, None)
    assert (newest.kind, newest.read_at) == (NoticeKind.REPLIES_GIFTED, None)


async def test_own_messages_are_no_notices_and_the_doctor_hears_of_the_new_order_once(world: World) -> None:
    case = await world.paid()
    for _ in range(5):
        await case.say(case.patient)
    for _ in range(3):
        await world.follow()
    assert await kinds(world, case.patient) == []
    assert await kinds(world, case.doctor) == ["order_paid"]
    assert len(world.live.of("notice", case.doctor.account_id)) == 1


async def test_two_who_tell_the_same_at_once_tell_it_live_once(world: World) -> None:
    account = new_id()
    notice = notice_of(
        NoticeKind.CRITICAL_VALUE, cause="result-1", account_id=account, hospital_id=DEFAULT_HOSPITAL, order_id=None,
        at=world.clock.now(), record_id="r1",
    )  # fmt: skip
    await asyncio.gather(*(world.consult.notices.tell([notice]) for _ in range(20)))
    (told,) = world.live.of("notice", account)
    assert (told["kind"], told["data"], told["order_id"], told["read_at"]) == (
        "critical_value",
        {"record_id": "r1"},
        None,
        None,
    )


# --- tasks ---


async def test_a_cause_has_one_task_which_one_person_takes_and_does(world: World) -> None:
    tasks = world.consult.tasks
    task = waiting(world)
    assert [await tasks.open(each) for each in (task, waiting(world))] == [True, False]
    people = [staff(StaffRole.AGENT) for _ in range(10)]
    outcomes = await asyncio.gather(*(tasks.claim(person, task.id) for person in people), return_exceptions=True)
    assert [isinstance(o, TaskTransitionRefused) for o in outcomes].count(True) == 9
    (claimed,) = (o for o in outcomes if isinstance(o, StaffTask))
    owner = next(person for person in people if person.account_id == claimed.claimed_by)
    other = next(person for person in people if person is not owner)
    for refused in (tasks.release(other, task.id), tasks.finish(other, task.id, "called", "")):
        with pytest.raises(TaskTransitionRefused):
            await refused
    done = await tasks.finish(owner, task.id, "called", "医生马上回复王小明")
    assert (done.state, done.outcome, done.finished_at) == (TaskState.DONE, "called", world.clock.now())
    assert not await tasks.withdraw(DEFAULT_HOSPITAL, task.id, "answered")
    assert "王小明" not in str(await world.database["staff_tasks"].find().to_list())
    (listed,), _ = await tasks.list_tasks(owner, state=TaskState.DONE, kind=None, limit=10, cursor=None)
    assert listed == done
    await world.deliver()
    rows = await world.database["audit"].find({"subject": task.id, "outcome": "ok"}).to_list()
    assert sorted(row["action"] for row in rows) == ["consult.task_claimed", "consult.task_finished", "consult.task_opened"]


async def test_what_settled_itself_is_withdrawn_and_cannot_be_taken(world: World) -> None:
    tasks, task, agent = world.consult.tasks, waiting(world), staff(StaffRole.AGENT)
    await tasks.open(task)
    await tasks.claim(agent, task.id)
    await tasks.release(agent, task.id)
    assert await tasks.withdraw(DEFAULT_HOSPITAL, task.id, "answered")
    assert not await tasks.withdraw(DEFAULT_HOSPITAL, new_id(), "answered")
    with pytest.raises(TaskTransitionRefused):
        await tasks.claim(agent, task.id)
    (listed,), _ = await tasks.list_tasks(agent, state=None, kind=None, limit=10, cursor=None)
    assert (listed.state, listed.outcome, listed.claimed_by) == (TaskState.WITHDRAWN, "answered", None)


async def test_staff_see_the_tasks_of_their_roles_and_hospital_what_is_due_first_first(world: World) -> None:
    tasks, now = world.consult.tasks, world.clock.now()
    due = [waiting(world, f"order-{n}", due_at=now + timedelta(minutes=n)) for n in (2, 0, 1)]
    contested = waiting(world, "reply", kind=TaskKind.REPLY_CONTESTED, due_at=now + timedelta(minutes=3))
    for task in (*due, contested):
        await tasks.open(task)
    agent, medical, finance = staff(StaffRole.AGENT), staff(StaffRole.MEDICAL_ADMIN), staff(StaffRole.FINANCE)
    seen, cursor = [], None
    while True:
        page, cursor = await tasks.list_tasks(agent, state=TaskState.OPEN, kind=None, limit=1, cursor=cursor)
        seen += [task.id for task in page]
        if cursor is None:
            break
    in_order = [task.id for task in sorted(due, key=lambda task: task.due_at)]
    assert seen == in_order
    found, _ = await tasks.list_tasks(medical, state=None, kind=None, limit=10, cursor=None)
    assert [task.id for task in found] == [*in_order, contested.id]
    with pytest.raises(Forbidden):
        await tasks.list_tasks(finance, state=None, kind=None, limit=10, cursor=None)
    with pytest.raises(Forbidden):
        await tasks.list_tasks(agent, state=None, kind=TaskKind.REPLY_CONTESTED, limit=10, cursor=None)
    for stranger, task_id in (
        (agent, contested.id),
        (finance, due[0].id),
        (staff(StaffRole.AGENT, hospital_id="other"), due[0].id),
        (agent, "nonsense"),
    ):
        with pytest.raises(TaskNotFound):
            await tasks.claim(stranger, task_id)
    await world.deliver()
    denied = await world.database["audit"].find({"outcome": "denied"}).to_list()
    assert sorted(row["action"] for row in denied) == ["consult.task_claimed"] * 4 + ["consult.tasks_listed"] * 2


# --- a department's sentences ---


async def test_a_department_s_sentences_are_at_hand_for_its_doctors_and_only_administrators_keep_them(world: World) -> None:
    doctor = world.doctors.add()
    department = "d0" * 16
    world.doctors.doctors[doctor.id] = replace(doctor, department_id=department)
    world.doctors.departments = {(doctor.hospital_id, department), ("other", other := "d1" * 16)}
    desk, actor, admin = world.consult.desk, world.doctor_actor(doctor), staff(StaffRole.MEDICAL_ADMIN)
    owner = await desk.administer(admin, department, "consult.department_reply_added")
    reply = await desk.add_quick_reply(owner, new_id(), "{patient}您好，我是{department}的{doctor}")
    assert (await desk.list_department_replies(actor), await desk.list_quick_replies(actor)) == ([reply], [])
    assert await desk.list_department_replies(world.doctor_actor(world.doctors.add())) == []
    with pytest.raises(QuickReplyNotFound):
        await desk.change_quick_reply(actor, reply.id, "x")
    for stranger in (actor, staff(StaffRole.AGENT)):
        with pytest.raises(Forbidden):
            await desk.administer(stranger, department, "consult.department_reply_added")
    for missing in (other, doctor.id, new_id(), "nonsense"):
        with pytest.raises(DepartmentNotFound):
            await desk.administer(admin, missing, "consult.department_reply_added")
    elsewhere = await desk.administer(staff(StaffRole.MEDICAL_ADMIN, hospital_id="other"), other, "x.y")
    assert await desk.list_quick_replies(elsewhere) == []
