"""The desk, the figures, and the doctors as patients see them."""

import asyncio
from collections.abc import Collection
from datetime import timedelta

import pytest
from pydantic import ValidationError

from accounts.errors import DoctorNotFound
from consult.domain.desk import Figures, Hours
from consult.errors import QuickRepliesFull, QuickReplyNotFound
from consult.mongo import MongoDesks
from consult.service.figures import FigureBook
from consult.wire import DeskSettingsModel, OrderIn, RatingIn, settings_out
from server.kernel.ids import new_id
from tests.support.consult import World, open_world


@pytest.fixture
async def world(database, clock):
    async with open_world(database, clock) as made:
        yield made


async def test_settings_answer_exactly_what_was_put(world: World) -> None:
    doctor = world.doctor_actor(world.doctors.add())
    assert settings_out(await world.consult.desk.get_settings(doctor)).model_dump() == {
        "accepting": True,
        "daily_maximum": None,
        "schedule": [],
    }
    body = '{"accepting":false,"daily_maximum":5,"schedule":[{"weekday":1,"from":"08:30","to":"24:00"}]}'
    DeskSettingsModel.model_validate_json(body)
    saved = await world.consult.desk.save_settings(doctor, accepting=False, daily_maximum=5, schedule=(Hours(1, 510, 1440),))
    assert settings_out(saved).model_dump_json() == body
    assert settings_out(await world.consult.desk.get_settings(doctor)).model_dump_json() == body


@pytest.mark.parametrize(
    "schedule",
    [
        [{"weekday": 0, "from": "08:00", "to": "09:00"}],
        [{"weekday": 8, "from": "08:00", "to": "09:00"}],
        [{"weekday": 1, "from": "09:00", "to": "09:00"}],
        [{"weekday": 1, "from": "8:00", "to": "09:00"}],
        [{"weekday": 1, "from": "08:60", "to": "09:00"}],
        [{"weekday": 1, "from": "08:00", "to": "24:01"}],
        [{"weekday": 1, "from": "08:00", "to": "09:00", "note": ""}],
        [{"weekday": 1, "from_": "08:00", "to": "09:00"}],
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(schedule: list[dict[str, object]]) -> None:
    with pytest.raises(ValidationError):
        DeskSettingsModel.model_validate({"accepting": True, "daily_maximum": None, "schedule": schedule})


@pytest.mark.parametrize(
    "change",
    [
        {"complaint": ""},
        {"complaint": "   "},
        {"complaint": "x" * 2001},
        {"complaint": "a\x00b"},
        {"complaint": "a\u202eb"},
        {"kind": "visit"},
        {"image_ids": ["a" * 32] * 2},
        {"image_ids": [f"{n:032x}" for n in range(10)]},
        {"doctor_id": "../x"},
        {"extra": 1},
    ],
)
def test_an_order_that_is_not_well_formed_is_refused(change: dict[str, object]) -> None:
    good = {
        "doctor_id": "a" * 32,
        "patient_id": "b" * 32,
        "kind": "consult",
        "complaint": "头痛",
        "image_ids": [],
        "consent": {"version": "1", "sha256": "c" * 64, "record_access": True},
    }
    OrderIn.model_validate(good)
    with pytest.raises(ValidationError):
        OrderIn.model_validate({**good, **change})


@pytest.mark.parametrize(
    "body",
    [
        {"stars": 0},
        {"stars": 6},
        {"stars": 5, "tags": ["x" * 21]},
        {"stars": 5, "tags": ["好"] * 11},
        {"stars": 5, "text": "x" * 501},
    ],
)
def test_a_rating_out_of_bounds_is_refused(body: dict[str, object]) -> None:
    RatingIn.model_validate({"stars": 5, "tags": ["好"], "text": ""})
    with pytest.raises(ValidationError):
        RatingIn.model_validate(body)


async def test_of_two_decisions_at_once_the_later_limit_stands_in_the_day(world: World) -> None:
    doctor = world.doctor_actor(world.doctors.add())
    await asyncio.gather(
        *(world.consult.desk.save_settings(doctor, accepting=True, daily_maximum=n, schedule=()) for n in range(8))
    )
    await world.deliver()
    stored = await world.consult.desk.get_settings(doctor)
    days = await world.database["doctor_days"].find({"doctor_id": doctor.account_id}).to_list()
    assert [day["day"] for day in sorted(days, key=lambda d: d["day"])] == ["2026-01-05", "2026-01-06"]
    assert {day["limit"] for day in days} == {stored.daily_maximum}


async def test_quick_replies_are_private_to_their_doctor(world: World) -> None:
    mine, other = (world.doctor_actor(world.doctors.add()) for _ in range(2))
    desk, reply_id = world.consult.desk, new_id()
    for _ in range(2):
        assert (await desk.add_quick_reply(mine, reply_id, "{patient}，您好")).text == "{patient}，您好"
    assert await desk.list_quick_replies(other) == []
    for attempt in (desk.change_quick_reply(other, reply_id, "x"), desk.delete_quick_reply(other, reply_id)):
        with pytest.raises(QuickReplyNotFound):
            await attempt
    await desk.change_quick_reply(mine, reply_id, "请多喝水")
    assert [r.text for r in await desk.list_quick_replies(mine)] == ["请多喝水"]
    await desk.delete_quick_reply(mine, reply_id)
    assert await desk.list_quick_replies(mine) == []


async def test_a_desk_holds_two_hundred_quick_replies(world: World) -> None:
    doctor = world.doctor_actor(world.doctors.add())
    outcomes = await asyncio.gather(
        *(world.consult.desk.add_quick_reply(doctor, new_id(), f"{n}") for n in range(210)), return_exceptions=True
    )
    assert [isinstance(o, QuickRepliesFull) for o in outcomes].count(True) == 10
    assert len(await world.consult.desk.list_quick_replies(doctor)) == 200


async def test_figures_equal_a_recount(world: World) -> None:
    doctor = world.doctors.add()
    actor = world.doctor_actor(doctor)
    assert await world.consult.desk.get_figures(actor) == Figures()
    await world.order(doctor=doctor)
    waits = [3, 10, 20]
    for n, minutes in enumerate(waits):
        case = await world.paid(doctor=doctor)
        world.clock.advance(timedelta(minutes=minutes))
        for _ in range(3):
            await case.say(actor)
        await world.consult.consults.rate_order(case.patient, case.id, 5 - n, (), "")
    expired = await world.paid(doctor=doctor)
    world.clock.advance(timedelta(hours=48))
    await world.consult.deadlines.sweep()
    open_one = await world.paid(doctor=doctor)
    await world.follow()
    assert await world.consult.desk.get_figures(actor) == Figures(
        orders=5,
        open_orders=1,
        completed=3,
        replied_rate=0.75,
        median_reply_minutes=10,
        income_fen=15000,
        stars=4.0,
        ratings=3,
    )
    world.clock.advance(timedelta(minutes=4))
    await open_one.say(actor)
    await world.follow()
    figures = await world.consult.desk.get_figures(actor)
    assert (figures.replied_rate, figures.median_reply_minutes) == (0.8, 7)
    assert (await expired.now()).status.value == "refunding"


class SlowDesks(MongoDesks):
    """The real one, on a database that takes `seconds` for a count."""

    seconds = elapsed = 0.0
    counts = 0

    async def figures_of(self, hospital_id: str, doctor_ids: Collection[str]) -> dict[str, Figures]:
        self.counts += 1
        self.elapsed += self.seconds
        return await super().figures_of(hospital_id, doctor_ids)


async def test_a_slow_count_is_shared_and_used_for_a_while_and_equals_a_recount_after_it(world: World) -> None:
    doctor = world.doctors.add()
    desks = SlowDesks(world.database)
    book = FigureBook(desks, lambda: desks.elapsed)

    async def orders_shown() -> int:
        return (await book.figures_of(doctor.hospital_id, [doctor.id]))[doctor.id].orders

    desks.seconds = 2.0
    assert await asyncio.gather(*(orders_shown() for _ in range(50))) == [0] * 50
    assert desks.counts == 1
    await world.paid(doctor=doctor)
    desks.elapsed += 37.9
    assert (await orders_shown(), desks.counts) == (0, 1)
    desks.elapsed += 0.1
    assert (await orders_shown(), desks.counts) == (1, 2)
    await world.paid(doctor=doctor)
    book.forget(doctor.hospital_id, doctor.id)
    assert (await orders_shown(), desks.counts) == (2, 3)


class BrokenDesks(SlowDesks):
    broken = True

    async def figures_of(self, hospital_id: str, doctor_ids: Collection[str]) -> dict[str, Figures]:
        counted = await super().figures_of(hospital_id, doctor_ids)
        if self.broken:
            raise ConnectionError
        return counted


async def test_all_who_wait_for_a_count_that_fails_are_told_at_once_and_the_next_one_counts_again(world: World) -> None:
    doctor, desks = world.doctors.add(), BrokenDesks(world.database)
    book = FigureBook(desks, lambda: desks.elapsed)
    asked = (book.figures_of(doctor.hospital_id, [doctor.id]) for _ in range(20))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 20
    assert desks.counts == 1
    desks.broken = False
    desks.elapsed += 0.001
    assert await book.figures_of(doctor.hospital_id, [doctor.id]) == {doctor.id: Figures()}


async def test_a_quick_count_is_never_old(world: World) -> None:
    doctor, desks = world.doctors.add(), SlowDesks(world.database)
    book = FigureBook(desks, lambda: desks.elapsed)
    for n in range(3):
        desks.elapsed += 0.001
        assert (await book.figures_of(doctor.hospital_id, [doctor.id]))[doctor.id].orders == n
        await world.paid(doctor=doctor)


async def test_patients_see_doctors_with_their_switch_and_may_ask_for_those_that_accept(world: World) -> None:
    doctors = [world.doctors.add(f"医生{n}") for n in range(9)]
    gone = world.doctors.add(active=False)
    off = sorted(doctors, key=lambda d: d.id)[1::3]
    for doctor in off:
        await world.consult.desk.save_settings(world.doctor_actor(doctor), accepting=False, daily_maximum=None, schedule=())
    patient, seen, cursor = world.patient(), [], None
    while True:
        page, cursor = await world.consult.board.list_doctors(
            patient, department_id=None, q=None, accepting=True, limit=4, cursor=cursor
        )
        seen += [listed.doctor.id for listed in page]
        if cursor is None:
            break
    assert seen == sorted({d.id for d in doctors} - {d.id for d in off})
    listed = await world.consult.board.get_doctor(patient, doctors[0].id)
    assert listed.figures == Figures()
    for missing in (gone.id, new_id()):
        with pytest.raises(DoctorNotFound):
            await world.consult.board.get_doctor(patient, missing)
