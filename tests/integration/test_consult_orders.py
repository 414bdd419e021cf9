"""Orders before and around their capture: made, paid, cancelled, and the doctor's day."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from consult.domain.desk import MOST_UNPAID_PLACES, Hours
from consult.domain.order import MOST_PAYMENTS, OrderKind, StartedPayment
from consult.domain.status import CloseReason, OrderStatus
from consult.errors import (
    OrderConsentRequired,
    OrderDailyMaximum,
    OrderDoctorUnavailable,
    OrderNotFound,
    OrderRevisitUnavailable,
    OrderTransitionRefused,
    OrderUnpaidMaximum,
)
from consult.mongo import MongoPlaces
from consult.wire import order_out, to_payload
from server.kernel.actor import system_actor
from server.kernel.clock import iso
from server.kernel.errors import DomainError
from server.kernel.ids import derived_id, new_id
from tests.support.consult import CONSENT, World, open_world


@pytest.fixture
async def world(database, clock):
    async with open_world(database, clock) as made:
        yield made


async def test_a_new_order_shows_exactly_the_fields_of_the_contract(world: World) -> None:
    case = await world.order()
    shown = to_payload(order_out(case.order))
    assert shown == {
        "id": case.id,
        "number": case.order.number,
        "status": "pending_payment",
        "kind": "consult",
        "doctor": {"id": case.doctor.account_id, "name": "李医生", "title": "主任医师", "department": "心内科"},
        "patient": {"id": derived_id("patient", case.patient.account_id), "name": "王小明", "sex": "male", "age": 35},
        "complaint": "头痛三天",
        "image_ids": [],
        "fee_fen": 5000,
        "refunded_fen": 0,
        "replies": {"limit": 3, "used": 0, "gifted": 0},
        "conversation_id": case.order.conversation_id,
        "created_at": iso(world.clock.now()),
        "paid_at": None,
        "deadline_at": None,
        "closed_at": None,
        "close_reason": None,
        "rating": None,
        "record_access": True,
        "unpaid_until": iso(world.clock.now() + timedelta(minutes=30)),
        "quick": None,
        "after_sales": None,
        "version": 1,
    }
    assert case.order.number.startswith("20260105-")


async def test_the_same_request_makes_one_order_and_nothing_personal_lies_open(world: World) -> None:
    patient, doctor, order_id = world.patient(), world.doctors.add(), new_id()
    made = await asyncio.gather(
        *(world.consult.orders.create_order(patient, order_id, world.request(patient, doctor)) for _ in range(5))
    )
    assert len({(o.id, o.number, o.conversation_id) for o in made}) == 1
    assert await world.database["orders"].count_documents({}) == 1
    stored = str(await world.database["orders"].find_one({}))
    assert all(words not in stored for words in ("王小明", "头痛", "1990"))


async def test_an_order_needs_the_consent_in_force(world: World) -> None:
    patient, doctor = world.patient(), world.doctors.add()
    for consent in (None, replace(CONSENT, version="old"), replace(CONSENT, sha256="b" * 64)):
        with pytest.raises(OrderConsentRequired):
            await world.consult.orders.create_order(patient, new_id(), world.request(patient, doctor, consent=consent))
    assert await world.database["orders"].count_documents({}) == 0


async def test_an_order_needs_a_doctor_who_takes_orders_now(world: World) -> None:
    patient, gone, doctor = world.patient(), world.doctors.add(active=False), world.doctors.add()
    for each in (gone, replace(doctor, id=new_id())):
        with pytest.raises(OrderDoctorUnavailable):
            await world.consult.orders.create_order(patient, new_id(), world.request(patient, each))
    actor = world.doctor_actor(doctor)
    # Monday 2026-01-05, 10:00 in Shanghai
    for accepting, schedule, taken in (
        (False, (), False),
        (True, (Hours(1, 600, 660),), True),
        (True, (Hours(1, 540, 600),), False),
        (True, (Hours(2, 600, 660),), False),
    ):
        await world.consult.desk.save_settings(actor, accepting=accepting, daily_maximum=None, schedule=schedule)
        attempt = world.consult.orders.create_order(patient, new_id(), world.request(patient, doctor))
        outcome = (await asyncio.gather(attempt, return_exceptions=True))[0]
        assert isinstance(outcome, OrderDoctorUnavailable) is not taken


async def test_a_revisit_is_refused_while_no_records_can_confirm_a_visit(world: World) -> None:
    patient, doctor = world.patient(), world.doctors.add()
    with pytest.raises(OrderRevisitUnavailable):
        await world.consult.orders.create_order(patient, new_id(), world.request(patient, doctor, kind=OrderKind.REVISIT))


async def test_missing_and_forbidden_orders_look_alike_and_leave_a_denied_row(world: World) -> None:
    case, stranger = await world.order(), world.patient()
    other = world.doctor_actor(world.doctors.add())
    await world.deliver()
    before = await case.stored()
    for actor in (stranger, other, replace(case.doctor, hospital_id="elsewhere")):
        with pytest.raises(OrderNotFound):
            await world.consult.orders.get_order(actor, case.id)
    with pytest.raises(OrderNotFound):
        await world.consult.orders.get_order(stranger, new_id())
    with pytest.raises(OrderNotFound):
        await world.consult.consults.cancel_order(case.doctor, case.id, new_id())
    with pytest.raises(OrderNotFound):
        await world.consult.consults.gift_replies(case.patient, case.id, 1, new_id())
    assert await case.stored() == before
    rows = await world.database["audit"].find({"order_id": case.id, "outcome": "denied"}).to_list()
    assert sorted(row["action"] for row in rows) == [
        "consult.order_cancelled",
        "consult.order_viewed",
        "consult.order_viewed",
        "consult.order_viewed",
        "consult.replies_gifted",
    ]


async def test_lists_are_paged_without_loss_while_orders_come_in(world: World) -> None:
    patient, doctor = world.patient(), world.doctors.add()
    made = []
    for n in range(7):
        made.append((await world.order(patient, doctor)).id)
        world.clock.advance(timedelta(milliseconds=n % 2))
    seen, cursor = [], None
    while True:
        page, cursor = await world.consult.orders.list_orders(patient, None, 2, cursor)
        seen += [order.id for order in page]
        await world.order(patient, doctor)
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    assert len(seen) == 7
    doctors_own, _ = await world.consult.orders.list_orders(world.doctor_actor(doctor), None, 100, None)
    assert len(doctors_own) == 11
    none, _ = await world.consult.orders.list_orders(patient, OrderStatus.REFUNDED, 100, None)
    assert none == []


async def test_a_capture_opens_the_consult_with_its_policy(world: World) -> None:
    case = await world.order()
    world.clock.advance(timedelta(minutes=5))
    payment_id = await case.capture()
    order = await case.now()
    assert (order.status, order.captured_payment_id) == (OrderStatus.AWAITING_DOCTOR, payment_id)
    assert order.paid_at == world.clock.now()
    assert order.deadline_at == world.clock.now() + timedelta(hours=48)
    page = await world.log.read_entries(order.conversation_id, after_seq=0)
    assert [(e.seq, e.draft.kind.value) for e in page.entries] == [(1, "opened")]
    assert dict(page.entries[0].draft.data) == {
        "order_id": case.id,
        "hospital_id": "default",
        "patients": [case.patient.account_id],
        "doctor": case.doctor.account_id,
        "fee_fen": 5000,
        "paid_at_ms": world.clock.now_ms(),
        "validity_ms": 172_800_000,
        "replies": 3,
        "recall_window_ms": 120_000,
        "patient_burst": 100,
    }


async def test_a_capture_told_many_times_is_one_and_another_payment_is_surplus(world: World) -> None:
    case = await world.order()
    payment_id = new_id()
    await asyncio.gather(*(case.capture(payment_id) for _ in range(5)))
    second = await case.capture()
    await case.capture(payment_id)
    assert list(world.payments.surplus) == [second]
    assert (await case.now()).captured_payment_id == payment_id
    assert (await world.log.read_fresh(case.order.conversation_id)).seq == 1


async def test_of_two_payments_at_once_one_captures_and_the_other_is_surplus(world: World) -> None:
    case = await world.order()
    payment_ids = await asyncio.gather(*(case.capture() for _ in range(8)))
    captured = (await case.now()).captured_payment_id
    assert sorted(world.payments.surplus) == sorted(set(payment_ids) - {captured})


async def test_a_crash_between_capture_and_opening_is_healed_by_whoever_needs_the_log(world: World) -> None:
    case = await world.order()
    await world.consult.parts.orders.capture(
        case.order, new_id(), world.settings.policy, world.clock.now(), event=_event(world, case.id)
    )
    assert (await case.say(case.doctor)).entry.seq == 2


def _event(world: World, order_id: str):
    from server.kernel.outbox import event_of

    return event_of(system_actor(), "consult.order_paid", subject=order_id, at=world.clock.now(), order_id=order_id)


async def test_an_order_takes_so_many_payments_and_no_more_also_when_they_come_at_once(world: World) -> None:
    case, start = await world.order(), world.consult.payments.start_payment
    attempts = (start(case.patient, case.id, "wechat_h5", new_id()) for _ in range(MOST_PAYMENTS + 5))
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    begun = [each.payment_id for each in outcomes if isinstance(each, StartedPayment)]
    assert sorted(world.payments.started) == sorted(begun)
    assert len(begun) == MOST_PAYMENTS
    assert [each.code for each in outcomes if isinstance(each, DomainError)] == ["order.payments_exhausted"] * 5
    again = await start(case.patient, case.id, "wechat_h5", begun[0])  # the same attempt once more is no other
    assert again.payment_id == begun[0]
    assert len((await case.now()).payment_ids) == MOST_PAYMENTS


async def test_attempts_that_found_the_day_full_do_not_count(world: World) -> None:
    doctor = world.doctors.add()
    first, second = await world.order(doctor=doctor), await world.order(doctor=doctor)
    await world.consult.desk.save_settings(first.doctor, accepting=True, daily_maximum=1, schedule=())
    await world.consult.payments.start_payment(first.patient, first.id, "wechat_h5", new_id())
    for _ in range(MOST_PAYMENTS + 1):
        with pytest.raises(OrderDailyMaximum):
            await world.consult.payments.start_payment(second.patient, second.id, "wechat_h5", new_id())
    await world.consult.consults.cancel_order(first.patient, first.id, new_id())
    await world.consult.payments.start_payment(second.patient, second.id, "wechat_h5", new_id())
    assert len((await second.now()).payment_ids) == 1


async def test_cancelling_unpaid_closes_payments_and_a_later_payment_is_refunded_once(world: World) -> None:
    case = await world.order()
    await world.consult.payments.start_payment(case.patient, case.id, "wechat_h5", new_id())
    order = await world.consult.consults.cancel_order(case.patient, case.id, new_id())
    assert (order.status, order.close_reason, order.closed_at) == (
        OrderStatus.CANCELLED,
        CloseReason.CANCELLED,
        world.clock.now(),
    )
    assert world.payments.closed == [case.id]
    late = await case.capture()
    assert list(world.payments.surplus) == [late]
    assert (await case.now()).status is OrderStatus.CANCELLED
    await case.refunded("r1", late)
    assert (await case.now()).refunded_fen == 0
    with pytest.raises(OrderTransitionRefused):
        await world.consult.payments.start_payment(case.patient, case.id, "wechat_h5", new_id())
    with pytest.raises(OrderTransitionRefused):
        await world.consult.consults.cancel_order(case.patient, case.id, new_id())


async def test_what_was_paid_after_all_is_not_cancelled_as_unpaid(world: World) -> None:
    case = await world.order()
    world.payments.paid_after_all.add(case.id)
    world.clock.advance(timedelta(minutes=31))
    assert await world.consult.deadlines.cancel_unpaid() == 0
    await case.capture()
    assert (await case.now()).status is OrderStatus.AWAITING_DOCTOR


async def test_a_patient_who_cancels_what_was_just_paid_has_it_captured_and_then_cancelled(world: World) -> None:
    case = await world.order()
    world.payments.paid_after_all.add(case.id)
    cancelled, _ = await asyncio.gather(world.consult.consults.cancel_order(case.patient, case.id, new_id()), case.capture())
    assert (cancelled.status, cancelled.close_reason) == (OrderStatus.REFUNDING, CloseReason.CANCELLED)
    assert cancelled.captured_payment_id == case.payment_id


async def test_cancel_and_capture_at_once_have_one_winner(world: World) -> None:
    for _ in range(10):
        case = await world.order()
        cancelled, payment_id = await asyncio.gather(
            world.consult.consults.cancel_order(case.patient, case.id, new_id()), case.capture(), return_exceptions=True
        )
        order = await case.now()
        if order.captured_payment_id is None:
            assert order.status is OrderStatus.CANCELLED
            assert world.payments.surplus[payment_id] == 1
        else:
            assert payment_id not in world.payments.surplus
            assert order.status in (OrderStatus.AWAITING_DOCTOR, OrderStatus.REFUNDING)
        assert isinstance(cancelled, OrderTransitionRefused) is (order.status is OrderStatus.AWAITING_DOCTOR)


async def test_whoever_begins_a_day_at_the_same_moment_gets_a_place_in_it(world: World) -> None:
    """A day without a maximum refuses nobody, also while several attempts make its document."""
    places = MongoPlaces(world.database)
    for _ in range(20):
        doctor_id = new_id()
        taken = await asyncio.gather(*(places.take("default", doctor_id, "2026-11-22", new_id()) for _ in range(10)))
        assert taken == [True] * 10


async def test_fifty_parallel_payers_get_exactly_the_daily_maximum(world: World) -> None:
    doctor = world.doctors.add()
    await world.consult.desk.save_settings(world.doctor_actor(doctor), accepting=True, daily_maximum=7, schedule=())
    cases = [await world.order(doctor=doctor) for _ in range(50)]
    outcomes = await asyncio.gather(
        *(
            world.consult.payments.start_payment(case.patient, case.id, "wechat_h5", new_id())
            for case in cases
            for _ in range(2)
        ),
        return_exceptions=True,
    )
    refused = [o for o in outcomes if isinstance(o, OrderDailyMaximum)]
    assert (len(refused), len(set(world.payments.started.values())), len(world.payments.started)) == (86, 7, 14)


async def test_a_cancelled_unpaid_order_frees_its_place_and_a_paid_one_never(world: World) -> None:
    doctor = world.doctors.add()
    await world.consult.desk.save_settings(world.doctor_actor(doctor), accepting=True, daily_maximum=1, schedule=())
    first, second, third = [await world.order(doctor=doctor) for _ in range(3)]
    await world.consult.payments.start_payment(first.patient, first.id, "wechat_h5", new_id())
    with pytest.raises(OrderDailyMaximum):
        await world.consult.payments.start_payment(second.patient, second.id, "wechat_h5", new_id())
    await world.consult.consults.cancel_order(first.patient, first.id, new_id())
    await world.consult.payments.start_payment(second.patient, second.id, "wechat_h5", new_id())
    await second.capture()
    await world.consult.consults.cancel_order(second.patient, second.id, new_id())
    with pytest.raises(OrderDailyMaximum):
        await world.consult.payments.start_payment(third.patient, third.id, "wechat_h5", new_id())


async def test_one_account_takes_so_many_places_of_a_limited_day_without_paying_and_leaves_the_rest_to_others(
    world: World,
) -> None:
    """Also all at once, and also where it let the earlier ones lapse."""
    doctor, greedy = world.doctors.add(), world.patient()
    room = MOST_UNPAID_PLACES + 1
    await world.consult.desk.save_settings(world.doctor_actor(doctor), accepting=True, daily_maximum=room, schedule=())
    start = world.consult.payments.start_payment
    cases = [await world.order(greedy, doctor) for _ in range(room)]
    outcomes = await asyncio.gather(
        *(start(case.patient, case.id, "wechat_h5", new_id()) for case in cases), return_exceptions=True
    )
    assert sum(isinstance(each, StartedPayment) for each in outcomes) == MOST_UNPAID_PLACES
    assert [each.code for each in outcomes if isinstance(each, DomainError)] == ["order.unpaid_maximum"]
    held = [case for case, outcome in zip(cases, outcomes, strict=True) if isinstance(outcome, StartedPayment)]
    await start(greedy, held[0].id, "wechat_h5", new_id())  # another attempt to pay one that has its place
    await world.consult.consults.cancel_order(greedy, held[0].id, new_id())
    late = await world.order(greedy, doctor)
    with pytest.raises(OrderUnpaidMaximum):
        await start(greedy, late.id, "wechat_h5", new_id())
    other = await world.order(doctor=doctor)
    await start(other.patient, other.id, "wechat_h5", new_id())
    await held[1].capture()
    await start(greedy, late.id, "wechat_h5", new_id())
    last = await world.order(greedy, doctor)
    with pytest.raises(OrderDailyMaximum):  # the day is full, which is said before all else
        await start(greedy, last.id, "wechat_h5", new_id())


async def test_a_day_without_a_maximum_knows_no_unpaid_places(world: World) -> None:
    doctor, patient = world.doctors.add(), world.patient()
    for _ in range(MOST_UNPAID_PLACES + 1):
        case = await world.order(patient, doctor)
        await world.consult.payments.start_payment(patient, case.id, "wechat_h5", new_id())
    assert len(world.payments.started) == MOST_UNPAID_PLACES + 1


async def test_a_changed_limit_holds_today_and_the_next_local_day_begins_anew(world: World) -> None:
    doctor = world.doctors.add()
    actor = world.doctor_actor(doctor)
    first, second, third = [await world.order(doctor=doctor) for _ in range(3)]
    await world.consult.payments.start_payment(first.patient, first.id, "wechat_h5", new_id())
    await world.consult.desk.save_settings(actor, accepting=True, daily_maximum=1, schedule=())
    with pytest.raises(OrderDailyMaximum):
        await world.consult.payments.start_payment(second.patient, second.id, "wechat_h5", new_id())
    await world.consult.desk.save_settings(actor, accepting=True, daily_maximum=2, schedule=())
    await world.consult.payments.start_payment(second.patient, second.id, "wechat_h5", new_id())
    with pytest.raises(OrderDailyMaximum):
        await world.consult.payments.start_payment(third.patient, third.id, "wechat_h5", new_id())
    world.clock.advance(timedelta(hours=14))  # 00:00 in Shanghai
    fresh = await world.order(doctor=doctor)
    await world.consult.payments.start_payment(fresh.patient, fresh.id, "wechat_h5", new_id())


async def test_paying_is_refused_when_the_doctor_has_switched_off_or_time_is_over(world: World) -> None:
    case = await world.order()
    doctor = case.doctor
    await world.consult.desk.save_settings(doctor, accepting=False, daily_maximum=None, schedule=())
    with pytest.raises(OrderDoctorUnavailable):
        await world.consult.payments.start_payment(case.patient, case.id, "wechat_h5", new_id())
    await world.consult.desk.save_settings(doctor, accepting=True, daily_maximum=None, schedule=())
    world.clock.advance(timedelta(minutes=30))
    with pytest.raises(OrderTransitionRefused):
        await world.consult.payments.start_payment(case.patient, case.id, "wechat_h5", new_id())
    assert world.payments.started == {}


async def test_the_sweep_cancels_what_is_unpaid_at_its_instant_and_frees_what_a_crash_left(world: World) -> None:
    case = await world.order()
    await world.consult.payments.start_payment(case.patient, case.id, "wechat_h5", new_id())
    world.clock.advance(timedelta(minutes=30) - timedelta(milliseconds=1))
    assert await world.consult.deadlines.sweep() == 0
    world.clock.advance(timedelta(milliseconds=1))
    assert await world.consult.deadlines.sweep() == 1
    order = await case.now()
    assert (order.status, order.close_reason) == (OrderStatus.CANCELLED, CloseReason.UNPAID)
    day = await world.database["doctor_days"].find_one({"doctor_id": case.doctor.account_id})
    assert day is not None
    assert day["order_ids"] == []
    await world.database["doctor_days"].update_one({"_id": day["_id"]}, {"$push": {"order_ids": case.id}})
    world.clock.advance(timedelta(minutes=1))
    assert await world.consult.deadlines.free_places() == 1
    assert await world.consult.deadlines.free_places() == 0
    day = await world.database["doctor_days"].find_one({"_id": day["_id"]})
    assert day is not None
    assert day["order_ids"] == []


async def test_every_write_of_an_order_is_an_audit_row(world: World) -> None:
    case = await world.order()
    await case.capture()
    await world.consult.consults.set_record_access(case.patient, case.id, False)
    await world.deliver()
    rows = await world.database["audit"].find({"order_id": case.id, "outcome": "ok"}).to_list()
    assert sorted(row["action"] for row in rows) == [
        "consult.order_created",
        "consult.order_paid",
        "consult.record_access_changed",
    ]
    assert (await case.stored())["record_access"] is False
