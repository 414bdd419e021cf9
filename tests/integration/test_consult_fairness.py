"""Fair replies on the real log: flagged once, told, contested, looked at."""

import pytest

from consult.domain.fairness import Flaw
from consult.domain.tasks import TaskKind, TaskState
from consult.errors import OrderNotFound, ReplyFlagNotFound
from server.kernel.actor import DEFAULT_HOSPITAL, Actor, Role, StaffRole
from server.kernel.errors import Forbidden
from server.kernel.ids import new_id
from tests.support.consult import Case, World, open_world

ADMIN = Actor(new_id(), Role.STAFF, DEFAULT_HOSPITAL, new_id(), staff_roles=frozenset({StaffRole.MEDICAL_ADMIN}))
AGENT = Actor(new_id(), Role.STAFF, DEFAULT_HOSPITAL, new_id(), staff_roles=frozenset({StaffRole.AGENT}))
CANNED = "请多喝水，注意休息，有事再来。"


@pytest.fixture
async def world(database, clock):
    async with open_world(database, clock) as made:
        yield made


async def flags(world: World, case: Case) -> list[tuple[int, Flaw]]:
    return [(flag.seq, flag.flaw) for flag in await world.consult.fairness.list_flags(case.patient, case.id)]


async def test_an_empty_reply_and_one_that_others_were_told_too_are_flagged_to_the_patient_once(world: World) -> None:
    doctor = world.doctors.add()
    first, second = await world.paid(doctor=doctor), await world.paid(doctor=doctor)
    elsewhere = await world.paid()
    await first.say(first.doctor, CANNED)
    await first.say(first.doctor, CANNED)
    await elsewhere.say(elsewhere.doctor, CANNED)
    await world.follow()
    repeated = await second.say(second.doctor, "请多喝水, 注意休息 有事再来!")
    empty = await second.say(second.doctor, "您好")
    async with open_world(world.database, world.clock, beside=world) as other:
        for each in (world, other, world):
            await each.follow()
    assert (await flags(world, first), await flags(world, elsewhere)) == ([], [])
    assert await flags(world, second) == [(repeated.entry.seq, Flaw.REPEATED), (empty.entry.seq, Flaw.EMPTY)]
    told, _ = await world.consult.notices.list_notices(second.patient, 100, None)
    flagged = sorted([n.data["seq"], n.data["flaw"]] for n in told if n.kind.value == "reply_flagged")
    assert flagged == [[repeated.entry.seq, "repeated"], [empty.entry.seq, "empty"]]
    assert "喝水" not in str(await world.database["reply_digests"].find().to_list())


async def test_replies_that_are_followed_again_after_a_crash_are_flagged_as_the_first_time(world: World) -> None:
    """The keeper may die after the words were remembered and before it noted that. What came later was not said before."""
    doctor = world.doctors.add()
    first, second = await world.paid(doctor=doctor), await world.paid(doctor=doctor)
    replies = []
    for case in (first, second):
        said = await case.say(case.doctor, CANNED)
        replies.append((said.entry, (await world.log.read_fresh(case.order.conversation_id)).state))
    for _ in range(2):
        await world.consult.fairness.look_at(replies)
        assert await flags(world, first) == []
        assert await flags(world, second) == [(replies[1][0].seq, Flaw.REPEATED)]


async def test_a_contest_goes_to_staff_as_one_task_and_only_the_patient_contests(world: World) -> None:
    case = await world.paid()
    reply = await case.say(case.doctor, "好的")
    await world.follow()
    fairness, seq = world.consult.fairness, reply.entry.seq
    for who, order_seq, refusal in (
        (case.doctor, seq, OrderNotFound),
        (world.patient(), seq, OrderNotFound),
        (case.patient, seq + 1, ReplyFlagNotFound),
    ):
        with pytest.raises(refusal):
            await fairness.contest(who, case.id, order_seq, "没有回答")
    contested = [await fairness.contest(case.patient, case.id, seq, reason) for reason in ("没有回答我的头痛", "再说一次")]
    assert {flag.reason for flag in contested} == {"没有回答我的头痛"}
    await world.follow()
    (task,), _ = await world.consult.tasks.list_tasks(ADMIN, state=TaskState.OPEN, kind=None, limit=10, cursor=None)
    assert (task.kind, task.subject, task.order_id) == (TaskKind.REPLY_CONTESTED, contested[0].id, case.id)
    assert (await fairness.view_flag(ADMIN, task.subject)).reason == "没有回答我的头痛"
    with pytest.raises(Forbidden):
        await fairness.view_flag(AGENT, task.subject)
    with pytest.raises(ReplyFlagNotFound):
        await fairness.view_flag(ADMIN, new_id())
    stored = str(await world.database["reply_flags"].find().to_list()) + str(task)
    assert "头痛" not in stored
