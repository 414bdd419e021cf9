"""Quick consults on the real log: one winner, places, what those who are told may see, who sees what from when on."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from accounts.domain.doctors import Doctor
from accounts.errors import DepartmentNotFound
from consult.domain.order import Order, local_day
from consult.domain.proofs import ConversationWalk, DeadlineReport
from consult.domain.status import OrderStatus, Phase
from consult.errors import OrderDailyMaximum, OrderDoctorUnavailable, OrderNotFound, OrderTaken, OrderTransitionRefused
from consult.service.orders import OrderSettings
from consult.service.quick import POOL_CHANGED
from consult.service.records import OrderRecordAccess
from ehr_view.domain.access import Grant, Refused
from im.errors import ConversationNotFound
from im.receipts import Receipts
from server.kernel.actor import DEFAULT_HOSPITAL, Actor, Role, StaffRole
from server.kernel.errors import DomainError, Forbidden
from server.kernel.ids import new_id
from tests.support.consult import Case, World, open_world

VALIDITY = timedelta(hours=48)
PATIENCE = timedelta(minutes=30)
HEART = "d" * 32
STAFF = Actor(new_id(), Role.STAFF, DEFAULT_HOSPITAL, new_id(), staff_roles=frozenset({StaffRole.MEDICAL_ADMIN}))


@pytest.fixture
async def world(database, clock):
    async with open_world(database, clock) as made:
        made.doctors.departments.add((DEFAULT_HOSPITAL, HEART))
        await made.consult.offers.set_price(STAFF, HEART, 3000)
        yield made


def doctors_of(world: World, count: int) -> list[Actor]:
    added = [world.doctors.add(f"医生{n}", department=HEART) for n in range(count)]
    return [world.doctor_actor(doctor) for doctor in added]


async def ordered(world: World) -> Case:
    """A quick order, not paid; its doctor is nobody's actor."""
    patient = world.patient()
    nobody = Doctor("", DEFAULT_HOSPITAL, "", "", "", "", "", 1, True)
    request = replace(world.request(patient, nobody), doctor_id=None, department_id=HEART)
    order = await world.consult.orders.create_order(patient, new_id(), request)
    return Case(world, order, patient, world.doctor_actor(nobody))


async def pooled(world: World) -> Case:
    case = await ordered(world)
    await case.capture(amount_fen=3000)
    return case


async def take(world: World, who: Actor, order_id: str) -> Order:
    return await world.consult.pool.take(who, order_id, new_id())


async def seen_by(world: World, who: Actor) -> list[str]:
    return [waiting.order.id for waiting in await world.consult.pool.list_pool(who)]


async def places_of(world: World, who: Actor) -> list[str]:
    day = await world.database["doctor_days"].find_one({"doctor_id": who.account_id})
    return [] if day is None else day["order_ids"]


async def test_two_grab_one_wins(world: World) -> None:
    """Twenty doctors in two processes grab one order at once."""
    doctors = doctors_of(world, 20)
    case = await pooled(world)
    async with open_world(world.database, world.clock, beside=world) as other:
        tries = [take(each, who, case.id) for who, each in zip(doctors, [world, other] * 10, strict=True)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
    winners = [who for who, each in zip(doctors, outcomes, strict=True) if not isinstance(each, BaseException)]
    assert len(winners) == 1
    assert {type(each) for each in outcomes if isinstance(each, BaseException)} == {OrderTaken}
    entries = (await world.log.read_entries(case.order.conversation_id, after_seq=0)).entries
    assert [entry.draft.kind.value for entry in entries] == ["opened", "referred"]
    order = await world.consult.orders.get_order(winners[0], case.id)
    assert (order.doctor.id, order.fee_fen, order.status) == (winners[0].account_id, 3000, OrderStatus.AWAITING_DOCTOR)
    await world.follow()
    held = {who.account_id: await places_of(world, who) for who in doctors}
    assert held == {who.account_id: ([case.id] if who is winners[0] else []) for who in doctors}
    assert await world.database["doctor_days"].count_documents({"claims.0": {"$exists": True}}) == 0


async def test_the_same_take_again_is_the_same_take(world: World) -> None:
    (doctor,) = doctors_of(world, 1)
    case = await pooled(world)
    first = await take(world, doctor, case.id)
    again = await take(world, doctor, case.id)
    assert (again.doctor.id, again.shown_version) == (doctor.account_id, first.shown_version)
    assert (await world.log.read_fresh(case.order.conversation_id)).seq == 2


async def test_a_take_and_the_patients_cancelling_have_one_winner(world: World) -> None:
    (doctor,) = doctors_of(world, 1)
    for _ in range(5):
        case = await pooled(world)
        taken, cancelled = await asyncio.gather(
            take(world, doctor, case.id),
            world.consult.consults.cancel_order(case.patient, case.id, new_id()),
            return_exceptions=True,
        )
        assert isinstance(cancelled, Order)  # a take leaves no counted reply, so both may come about, in this order only
        assert isinstance(taken, Order) or type(taken) is OrderTransitionRefused
        await world.follow()
        assert (case.id in await places_of(world, doctor)) == isinstance(taken, Order)
        assert (case.payment_id, "cancelled") in world.payments.refunds


async def test_those_who_are_told_see_what_they_need_to_decide_and_no_more(world: World) -> None:
    first, second = doctors_of(world, 2)
    off = world.doctor_actor(world.doctors.add("休息", department=HEART))
    await world.consult.desk.save_settings(off, accepting=False, daily_maximum=None, schedule=())
    elsewhere = world.doctor_actor(world.doctors.add("骨科", department="bones"))
    case = await pooled(world)
    await world.follow()
    await world.consult.parts.pool.close()
    assert [await seen_by(world, who) for who in (first, second, off, elsewhere)] == [[case.id], [case.id], [], []]
    (waiting, *_) = await world.consult.pool.list_pool(first)
    assert waiting.closes_at == case.order.created_at + VALIDITY
    told = await world.database["notices"].find({"kind": "quick_waiting"}).to_list()
    assert {each["account_id"] for each in told} == {first.account_id, second.account_id}
    hints = world.live.of(POOL_CHANGED, first.account_id)
    assert hints == [{"order_id": case.id, "department_id": HEART, "waiting": True}]
    assert world.live.of(POOL_CHANGED, elsewhere.account_id) == world.live.of(POOL_CHANGED, off.account_id) == []
    for who in (first, elsewhere):
        with pytest.raises(OrderNotFound):
            await world.consult.orders.get_order(who, case.id)
        with pytest.raises(ConversationNotFound):
            await world.log.access(who, case.order.conversation_id)
    rows = await world.database["audit"].count_documents({"action": "consult.pool_listed", "order_id": case.id})
    assert rows == 3


async def test_records_are_for_who_took_it_from_the_take_on_and_for_nobody_else(world: World) -> None:
    first, second = doctors_of(world, 2)
    case = await pooled(world)
    orders, doctors = world.consult.parts.orders, world.doctors
    records = OrderRecordAccess(orders, world.log, doctors, world.clock, lambda: True)
    assert isinstance(await records.check(first, case.id), Refused)
    await case.say(case.patient, "头痛三天")
    await take(world, first, case.id)
    assert (await world.log.access(first, case.order.conversation_id)).seq == 3
    assert [isinstance(await records.check(who, case.id), Grant) for who in (first, second)] == [True, False]
    await world.consult.consults.decline_order(first, case.id, "不是本专业", new_id())
    assert isinstance(await records.check(first, case.id), Refused)
    with pytest.raises(ConversationNotFound):
        await world.log.access(first, case.order.conversation_id)
    with pytest.raises(OrderNotFound):
        await world.consult.orders.get_order(first, case.id)


async def test_declined_it_is_back_in_the_pool_and_the_next_doctor_has_it_all(world: World) -> None:
    first, second = doctors_of(world, 2)
    case = await pooled(world)
    await case.say(case.patient, "头痛三天")
    await take(world, first, case.id)
    await world.consult.consults.decline_order(first, case.id, "不是本专业", new_id())
    await world.follow()
    assert [await seen_by(world, who) for who in (first, second)] == [[], [case.id]]
    with pytest.raises(OrderTaken):
        await take(world, first, case.id)
    order = await take(world, second, case.id)
    assert (order.doctor.id, order.deadline_at) == (second.account_id, case.order.created_at + VALIDITY)
    assert (await world.log.access(second, case.order.conversation_id)).seq == 5
    for _ in range(3):
        await case.say(second)
    await world.follow()
    assert (await case.now()).status is OrderStatus.COMPLETED
    told = await world.database["notices"].find({"account_id": case.patient.account_id}).to_list()
    assert [each["kind"] for each in told].count("order_taken") == 2
    assert [each["kind"] for each in told].count("order_returned") == 1
    waiting = await world.database["notices"].find({"kind": "quick_waiting"}).to_list()
    assert [each["account_id"] for each in waiting].count(second.account_id) == 1  # told of the return, not of what was gone


async def test_who_took_it_and_is_silent_loses_it_once_and_it_is_the_next_doctors(world: World) -> None:
    silent, next_one, third = doctors_of(world, 3)
    case = await pooled(world)
    deadline = (await world.consult.pool.list_pool(silent))[0].closes_at
    await take(world, silent, case.id)
    await world.follow()
    world.clock.advance(PATIENCE - timedelta(milliseconds=1))
    assert await world.consult.deadlines.return_silent() == 0
    world.clock.advance(timedelta(milliseconds=1))
    async with open_world(world.database, world.clock, beside=world) as other:
        both = await asyncio.gather(*(each.consult.deadlines.return_silent() for each in (world, other)))
    assert sum(both) == 1
    await world.follow()
    with pytest.raises(ConversationNotFound):
        await world.log.access(silent, case.order.conversation_id)
    assert [await seen_by(world, who) for who in (silent, next_one)] == [[], [case.id]]
    with pytest.raises(OrderTaken):
        await take(world, silent, case.id)
    assert (await world.consult.pool.list_pool(next_one))[0].closes_at == deadline
    kinds = [each["kind"] for each in await world.database["notices"].find({"account_id": case.patient.account_id}).to_list()]
    assert sorted(kinds) == ["order_returned", "order_taken"]
    await take(world, next_one, case.id)
    await world.follow()
    world.clock.advance(PATIENCE * 2)
    assert await world.consult.deadlines.return_silent() == 0
    assert await seen_by(world, third) == []
    walk = ConversationWalk(case.order.conversation_id, DeadlineReport())
    entries = (await world.log.read_entries(case.order.conversation_id, after_seq=0)).entries
    assert [finding for entry in entries for finding in walk.take(entry)] == []


@pytest.mark.parametrize("sign", ["reads", "replies", "replies and recalls", "refers"])
async def test_who_gives_any_sign_keeps_it_until_the_deadline(world: World, sign: str) -> None:
    doctor, colleague = doctors_of(world, 2)
    case = await pooled(world)
    await take(world, doctor, case.id)
    case = replace(case, doctor=doctor)
    if sign == "reads":
        receipts = Receipts(world.database, world.log)
        await receipts.read(doctor, case.order.conversation_id, 2)
        await receipts.close()
    elif sign == "refers":
        await world.consult.referrals.propose(doctor, case.id, colleague.account_id, "请您看看", new_id())
    else:
        said = await case.say(doctor, "在")
        if sign == "replies and recalls":
            await case.recall(doctor, said.entry.seq)
    await world.follow()
    world.clock.advance(PATIENCE)
    assert await world.consult.deadlines.return_silent() == 0
    assert (await world.log.read_fresh(case.order.conversation_id)).state.doctor == doctor.account_id
    assert await world.database["orders"].count_documents({"lapse_at": {"$type": "date"}}) == 0


async def test_where_patience_has_no_end_or_the_clock_is_wrong_nobody_loses_anything(database, clock) -> None:
    async with open_world(database, clock, OrderSettings(quick_patience=timedelta(0))) as world:
        world.doctors.departments.add((DEFAULT_HOSPITAL, HEART))
        await world.consult.offers.set_price(STAFF, HEART, 3000)
        (doctor,) = doctors_of(world, 1)
        case = await pooled(world)
        await take(world, doctor, case.id)
        await world.follow()
        clock.advance(VALIDITY - timedelta(seconds=1))
        assert await world.consult.deadlines.return_silent() == 0
        world.clock_is_ok = False
        assert await world.consult.deadlines.return_silent() == 0


async def test_nobody_takes_it_in_48_hours_and_all_of_it_goes_back(world: World) -> None:
    (doctor,) = doctors_of(world, 1)
    case = await pooled(world)
    await world.follow()
    world.clock.advance(VALIDITY - timedelta(hours=1))
    await world.consult.reminders.sweep()
    await world.deliver()
    reminded = await world.database["notices"].find({"kind": "quick_waiting", "data.minutes_left": 60}).to_list()
    assert [each["account_id"] for each in reminded] == [doctor.account_id]
    assert await world.database["staff_tasks"].count_documents({"order_id": case.id, "state": "open"}) == 1
    assert world.texts.sent == {}
    world.clock.advance(timedelta(hours=1))
    assert await world.consult.deadlines.sweep() == 1
    with pytest.raises(OrderTransitionRefused):
        await take(world, doctor, case.id)
    await world.follow()
    assert world.payments.refunds == {(case.payment_id, "expired")}
    assert (await case.now()).status is OrderStatus.REFUNDING
    assert await seen_by(world, doctor) == []


async def test_a_take_at_the_deadline_comes_too_late_and_gives_the_place_back(world: World) -> None:
    (doctor,) = doctors_of(world, 1)
    case = await pooled(world)
    world.clock.advance(VALIDITY)
    swept, taken = await asyncio.gather(world.consult.deadlines.sweep(), take(world, doctor, case.id), return_exceptions=True)
    assert swept == 1
    assert isinstance(taken, DomainError)
    assert await places_of(world, doctor) == []


async def test_the_daily_maximum_holds_for_takes(world: World) -> None:
    (doctor,) = doctors_of(world, 1)
    await world.consult.desk.save_settings(doctor, accepting=True, daily_maximum=2, schedule=())
    cases = [await pooled(world) for _ in range(6)]
    outcomes = await asyncio.gather(*(take(world, doctor, case.id) for case in cases), return_exceptions=True)
    assert sum(isinstance(each, Order) for each in outcomes) == 2
    assert {type(each) for each in outcomes if isinstance(each, BaseException)} == {OrderDailyMaximum}
    await world.follow()
    assert len(await places_of(world, doctor)) == 2


async def test_whoever_is_off_takes_nothing_and_where_all_are_off_nothing_is_ordered_or_paid(world: World) -> None:
    (doctor,) = doctors_of(world, 1)
    case = await pooled(world)
    unpaid = await ordered(world)
    await world.consult.desk.save_settings(doctor, accepting=False, daily_maximum=None, schedule=())
    with pytest.raises(OrderDoctorUnavailable):
        await take(world, doctor, case.id)
    with pytest.raises(OrderDoctorUnavailable):
        await ordered(world)
    with pytest.raises(OrderDoctorUnavailable):
        await world.consult.payments.start_payment(unpaid.patient, unpaid.id, "wechat_h5", new_id())
    assert (await unpaid.now()).phase is Phase.PENDING_PAYMENT
    assert world.payments.started == {}


async def test_only_a_department_with_a_price_is_asked_and_a_new_price_touches_no_order_that_is_made(world: World) -> None:
    doctors_of(world, 2)
    patient = world.patient()
    (offer,) = await world.consult.offers.list_offers(patient)
    assert (offer.department.id, offer.fee_fen, offer.doctors) == (HEART, 3000, 2)
    case = await ordered(world)
    await world.consult.offers.set_price(STAFF, HEART, 4500)
    assert [(await case.now()).fee_fen, (await ordered(world)).order.fee_fen] == [3000, 4500]
    await world.consult.offers.set_price(STAFF, HEART, None)
    assert await world.consult.offers.list_offers(patient) == []
    with pytest.raises(OrderDoctorUnavailable):
        await ordered(world)


async def test_prices_are_decided_by_the_hospitals_administrators_alone_and_each_try_is_a_row(world: World) -> None:
    finance = replace(STAFF, staff_roles=frozenset({StaffRole.FINANCE}))
    (doctor,) = doctors_of(world, 1)
    for stranger in (finance, doctor, world.patient()):
        with pytest.raises(Forbidden):
            await world.consult.offers.set_price(stranger, HEART, 1)
    for where in ("bones", new_id()):
        with pytest.raises(DepartmentNotFound):
            await world.consult.offers.set_price(STAFF, where, 1)
    await world.deliver()
    rows = await world.database["audit"].find({"action": "consult.quick_price_changed"}).to_list()
    assert sorted(row["outcome"] for row in rows) == ["denied"] * 5 + ["ok"]
    assert (await world.consult.offers.view_price(STAFF, HEART)).fee_fen == 3000


async def test_strangers_find_no_order_in_the_pool_and_each_try_is_a_row(world: World) -> None:
    doctors_of(world, 1)
    case = await pooled(world)
    unpaid = await ordered(world)
    plain = await world.paid()
    bones = world.doctor_actor(world.doctors.add("骨科", department="bones"))
    gone = world.doctor_actor(world.doctors.add("离职", department=HEART, active=False))
    for who, order_id in ((bones, case.id), (gone, case.id), (bones, unpaid.id), (bones, plain.id), (bones, "nonsense")):
        with pytest.raises(OrderNotFound):
            await take(world, who, order_id)
    rows = await world.database["audit"].count_documents({"action": "consult.order_taken", "outcome": "denied"})
    assert rows == 4
    assert await world.database["doctor_days"].count_documents({"doctor_id": {"$in": [bones.account_id, gone.account_id]}}) == 0


async def test_a_process_that_dies_between_the_place_and_the_entry_leaves_a_place_that_is_found_and_freed(
    world: World,
) -> None:
    """As it stands when the claim was written and nothing else came."""
    one, two = doctors_of(world, 2)
    lost, taken = await pooled(world), await pooled(world)
    day = local_day(world.clock.now())
    places = world.consult.held.places
    assert await places.take(DEFAULT_HOSPITAL, one.account_id, day, lost.id, claimed_at=world.clock.now())
    await take(world, two, taken.id)  # and here the follower never came
    world.clock.advance(timedelta(seconds=59))
    await world.consult.deadlines.sweep()
    assert await places_of(world, one) == [lost.id]
    world.clock.advance(timedelta(seconds=1))
    assert await world.consult.deadlines.sweep() == 2
    assert [await places_of(world, who) for who in (one, two)] == [[], [taken.id]]
    assert await world.consult.deadlines.sweep() == 0
    await take(world, one, lost.id)
    await world.follow()
    assert await places_of(world, one) == [lost.id]


async def test_an_entry_that_comes_after_its_place_was_freed_has_its_place_all_the_same(world: World) -> None:
    (doctor,) = doctors_of(world, 1)
    case = await pooled(world)
    await take(world, doctor, case.id)
    await world.consult.held.places.free(DEFAULT_HOSPITAL, doctor.account_id, local_day(world.clock.now()), case.id)
    for _ in range(2):
        await world.follow()
    assert await places_of(world, doctor) == [case.id]
