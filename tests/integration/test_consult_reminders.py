"""Reminders before an order's deadline, on the real log and real MongoDB."""

import asyncio
from datetime import timedelta

import pytest

from consult.domain.reminders import parse_ladder
from consult.domain.tasks import TaskState
from consult.errors import OrderTransitionRefused
from server.kernel.actor import DEFAULT_HOSPITAL, Actor, Role, StaffRole
from server.kernel.errors import Forbidden
from server.kernel.ids import new_id
from tests.support.consult import Case, World, open_world

HOUR = timedelta(hours=1)
AGENT = Actor(new_id(), Role.STAFF, DEFAULT_HOSPITAL, new_id(), staff_roles=frozenset({StaffRole.AGENT}))
ADMIN = Actor(new_id(), Role.STAFF, DEFAULT_HOSPITAL, new_id(), staff_roles=frozenset({StaffRole.MEDICAL_ADMIN}))


@pytest.fixture
async def world(database, clock):
    async with open_world(database, clock) as made:
        yield made


async def waiting(world: World) -> Case:
    case = await world.paid()
    await world.follow()
    return case


async def sweep(*worlds: World) -> None:
    """What several keepers do, and die after at any moment: everything more than once."""
    for _ in range(2):
        await asyncio.gather(*(world.consult.reminders.sweep() for world in worlds))
        for world in worlds:
            await world.follow()


async def reminded(world: World, case: Case) -> list[int]:
    found, _ = await world.consult.notices.list_notices(case.doctor, 100, None)
    return sorted(int(notice.data["minutes_left"]) for notice in found if notice.kind.value == "time_left")


async def tasks(world: World) -> list[tuple[str | None, TaskState, str | None]]:
    found, _ = await world.consult.tasks.list_tasks(AGENT, state=None, kind=None, limit=100, cursor=None)
    return [(task.order_id, task.state, task.outcome) for task in found]


async def test_an_order_that_waits_is_told_to_its_doctor_then_by_sms_then_to_staff_each_once(world: World) -> None:
    case = await waiting(world)
    async with open_world(world.database, world.clock, beside=world) as other:
        await sweep(world, other)
        assert await reminded(world, case) == []
        world.clock.advance(36 * HOUR)
        await sweep(world, other)
        assert (await reminded(world, case), world.texts.sent) == ([720], {})
        world.clock.advance(8 * HOUR)
        await sweep(world, other)
        assert list(world.texts.sent.values()) == [(case.doctor.account_id, "SMS_ORDER_WAITING", {"left": "4 小时"})]
        assert await tasks(world) == []
        world.clock.advance(3 * HOUR)
        await sweep(world, other)
        assert await reminded(world, case) == [60, 720]
        assert await tasks(world) == [(case.id, TaskState.OPEN, None)]
        assert len(world.texts.sent) == 1
        live = [*world.live.of("notice", case.doctor.account_id), *other.live.of("notice", case.doctor.account_id)]
        assert sorted(str(event["kind"]) for event in live) == ["order_paid", "time_left", "time_left"]
    stored = await world.database["reminders"].find_one({"_id": case.id})
    assert stored is not None
    assert [(rung["outcome"], rung["inputs"]["seq"]) for rung in stored["rungs"]] == [("fired", 1)] * 3
    await case.say(case.doctor)
    await world.follow()
    assert await tasks(world) == [(case.id, TaskState.WITHDRAWN, "answered")]


async def test_an_answered_order_hears_nothing_more_and_neither_does_a_closed_one(world: World) -> None:
    answered, cancelled = await waiting(world), await waiting(world)
    await answered.say(answered.doctor)
    await world.consult.consults.cancel_order(cancelled.patient, cancelled.id, new_id())
    for _ in range(48):
        world.clock.advance(HOUR)
        await world.consult.reminders.sweep()
    await world.follow()
    assert (await reminded(world, answered), await reminded(world, cancelled)) == ([], [])
    assert (world.texts.sent, await tasks(world)) == ({}, [])
    assert await world.database["reminders"].count_documents({"next_at": {"$ne": None}}) == 0


async def test_a_reply_between_the_decision_and_its_effects_stops_them(world: World) -> None:
    case = await waiting(world)
    world.clock.advance(47 * HOUR)
    relay, world.consult.reminders.relay = world.consult.reminders.relay, _Nobody()
    assert await world.consult.reminders.sweep() == 1
    world.consult.reminders.relay = relay
    await case.say(case.doctor)
    await world.follow()
    assert (await reminded(world, case), world.texts.sent, await tasks(world)) == ([], {}, [])


async def test_after_an_outage_what_is_due_together_is_done_once(world: World) -> None:
    case = await waiting(world)
    world.clock.advance(47 * HOUR)
    await sweep(world)
    assert (await reminded(world, case), len(world.texts.sent), len(await tasks(world))) == ([60], 1, 1)


async def test_a_clock_that_is_not_trusted_reminds_nobody(world: World) -> None:
    await waiting(world)
    world.clock.advance(47 * HOUR)
    world.clock_is_ok = False
    assert await world.consult.reminders.sweep() == 0
    world.clock_is_ok = True
    assert await world.consult.reminders.sweep() == 1


async def test_a_hospital_decides_its_ladder_for_orders_that_are_paid_from_then_on(world: World) -> None:
    before = await waiting(world)
    reminders = world.consult.reminders
    assert await reminders.view_policy(ADMIN) == reminders.ladder
    await reminders.change_policy(ADMIN, parse_ladder("40h:task"))
    assert await reminders.view_policy(ADMIN) == parse_ladder("40h:task")
    after = await waiting(world)
    world.clock.advance(8 * HOUR)
    await sweep(world)
    assert await tasks(world) == [(after.id, TaskState.OPEN, None)]
    assert await reminded(world, before) == []
    for refused in (reminders.view_policy(AGENT), reminders.change_policy(AGENT, ())):
        with pytest.raises(Forbidden):
            await refused
    await world.deliver()
    rows = await world.database["audit"].find({"action": "consult.reminder_policy_changed"}).to_list()
    assert sorted(row["outcome"] for row in rows) == ["denied", "ok"]


async def test_the_reminder_clock_stops_with_the_order_and_the_deadline_still_closes_it(world: World) -> None:
    case = await waiting(world)
    world.clock.advance(48 * HOUR)
    await asyncio.gather(world.consult.deadlines.sweep(), world.consult.reminders.sweep())
    await world.follow()
    assert (await reminded(world, case), world.texts.sent, await tasks(world)) == ([], {}, [])
    with pytest.raises(OrderTransitionRefused):
        await world.consult.consults.cancel_order(case.patient, case.id, new_id())


class _Nobody:
    """A process that dies before it delivers."""

    def soon(self, collection: str, key: object, hospital_id: str) -> None:
        """Nothing."""
