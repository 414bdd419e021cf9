"""Records through the service, with a simulated hospital, real drawing processes and a real database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ehr_view.domain.records import Form, LabReport, MissingReason, Part
from ehr_view.errors import (
    RecordAccessDenied,
    RecordIdentityMismatch,
    RecordNotDrawable,
    RecordNotFound,
    RecordSourceUnavailable,
)
from ehr_view.ports import Drawing, ImageFormat, Mark, Page, Theme
from ehr_view.service import Look
from server.kernel.actor import Actor, Role
from server.kernel.audit import AuditRow
from server.kernel.errors import AuthRequired, DomainError, NotFound, Unavailable
from server.kernel.mongo import Database
from server.kernel.outbox import event_of
from tests.support.clock import ManualClock
from tests.support.records import (
    DOCTOR,
    KEY,
    NOW,
    ORDER,
    PATIENT_ACCOUNT,
    Records,
    doctor,
    hospital_server,
    opened,
    patient,
    records,
)
from watermark.forensic import read


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hospital")


@pytest.fixture
async def base(folder: Path, clock: ManualClock) -> AsyncIterator[str]:
    async with hospital_server(folder, clock) as url:
        yield url


@pytest.fixture
async def world(database: Database, clock: ManualClock, base: str) -> AsyncIterator[Records]:
    async with records(database, clock, base) as made:
        yield made
        await made.faults()


class BlankPainter:
    """Stands in where what is drawn does not matter."""

    def __init__(self) -> None:
        self.drawn: list[Drawing] = []

    async def draw(self, drawing: Drawing) -> Page:
        self.drawn.append(drawing)
        return Page(b"page", drawing.format, 1, 1)

    async def draw_tile(self, mark: Mark) -> Page:
        return Page(b"tile", ImageFormat.PNG, 1, 1)

    async def warm(self) -> None: ...

    async def close(self) -> None: ...


@pytest.fixture
def painter() -> BlankPainter:
    return BlankPainter()


@pytest.fixture
async def quick(database: Database, clock: ManualClock, base: str, painter: BlankPainter) -> AsyncIterator[Records]:
    async with records(database, clock, base, painter=painter) as made:
        yield made
        await made.faults()


async def first_of(world: Records, form: Form, actor: Actor | None = None) -> str:
    found = await world.service.list_records(actor or doctor(), ORDER)
    return next(item.record.id for item in found.items if item.record.form is form)


async def test_the_doctor_sees_every_kind_of_record_newest_first(quick: Records) -> None:
    found = await quick.service.list_records(doctor(), ORDER)
    times = [item.record.occurred_at for item in found.items]
    assert {item.record.form for item in found.items} == set(Form)
    assert times == sorted(times, reverse=True)
    assert min(item.pages for item in found.items) == 1
    assert (found.missing, found.is_known) == ((), True)
    [row] = await quick.audit_rows(action="record.listed")
    assert (row["order_id"], row["outcome"], row["account_id"]) == (ORDER, "ok", DOCTOR)


async def test_values_are_those_of_the_hospital_digit_by_digit(quick: Records) -> None:
    found = await quick.service.list_records(doctor(), ORDER)
    reports = [i.record.content for i in found.items if isinstance(i.record.content, LabReport)]
    potassium = [item for report in reports for item in report.items if item.name == "钾"]
    assert {len(item.value.partition(".")[2]) for item in potassium} == {2}
    assert {(item.range.text, item.unit) for item in potassium} == {("3.50–5.30", "mmol/L")}


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("theme", list(Theme))
async def test_a_page_of_each_kind_is_drawn_and_carries_its_view_id(world: Records, form: Form, theme: Theme) -> None:
    record_id = await first_of(world, form)
    look = Look(theme=theme, format=ImageFormat.PNG)
    shown = await world.service.render_page(doctor(), ORDER, record_id, 1, look)
    image = opened(shown.page.data)
    assert (image.size, image.format) == ((1080, 1920), "PNG")
    [view] = await world.views.list_of_order("default", ORDER, before=None, limit=10)
    reading = read(image, key=KEY)
    assert reading is not None
    assert reading.view_id == view.view_id


@pytest.mark.parametrize(("form", "name"), [(ImageFormat.JPEG, "JPEG"), (ImageFormat.WEBP, "WEBP")])
async def test_a_wide_page_comes_in_the_format_asked_for(world: Records, form: ImageFormat, name: str) -> None:
    record_id = await first_of(world, Form.LAB)
    shown = await world.service.render_page(doctor(), ORDER, record_id, 1, Look(width=1600, format=form))
    image = opened(shown.page.data)
    assert (image.width, image.format) == (1600, name)


async def test_a_view_is_stored_audited_and_told_to_the_patient(quick: Records, painter: BlankPainter) -> None:
    record_id = await first_of(quick, Form.NOTE, doctor(device_id="d1"))
    await quick.service.render_page(doctor(device_id="d1"), ORDER, record_id, 1, Look())
    await quick.relay.close()
    [view] = await quick.service.list_views(patient(), ORDER, before=None, limit=10)
    assert (view.record_id, view.page, view.viewer.name, view.device_id) == (record_id, 1, "王慧敏", "d1")
    assert painter.drawn[0].mark.view_id == view.view_id
    [row] = await quick.audit_rows(action="record.page_viewed")
    assert (row["subject"], row["order_id"], row["outcome"]) == (f"{view.view_id:012x}", ORDER, "ok")
    [(accounts, event, payload)] = quick.told.events
    assert (accounts, event) == ((PATIENT_ACCOUNT,), "record.viewed")
    assert payload["doctor"] == {"id": DOCTOR, "name": "王慧敏"}


async def test_nothing_readable_of_a_view_is_in_the_database(quick: Records) -> None:
    record_id = await first_of(quick, Form.LAB)
    await quick.service.render_page(doctor(), ORDER, record_id, 1, Look())
    stored = await quick.database["record_views"].find_one({"hospital_id": "default"})
    assert "王慧敏" not in repr(stored)
    assert "生化" not in repr(stored)


@pytest.mark.parametrize(
    ("actor", "change", "refusal"),
    [
        (patient(), {}, RecordAccessDenied),
        (doctor(account_id="0192aaaa0000700080000000000000cc"), {}, NotFound),
        (doctor(), {"current_doctor": "0192aaaa0000700080000000000000cc"}, NotFound),
        (Actor("staff", Role.STAFF, "default", "r", session_id="s3"), {}, NotFound),
        (doctor(), {"consented": False}, RecordAccessDenied),
        (doctor(), {"closes_at": NOW}, RecordAccessDenied),
        (doctor(), {"dead": {"s1"}}, AuthRequired),
        (doctor(session_id=None), {}, AuthRequired),
    ],
)
async def test_whoever_may_not_gets_no_byte_and_leaves_a_row(
    quick: Records, painter: BlankPainter, actor: Actor, change: dict[str, Any], refusal: type[DomainError]
) -> None:
    record_id = await first_of(quick, Form.LAB)
    for name, value in change.items():
        setattr(quick.orders, name, value)
    with pytest.raises(refusal):
        await quick.service.list_records(actor, ORDER)
    with pytest.raises(refusal):
        await quick.service.render_page(actor, ORDER, record_id, 1, Look())
    assert painter.drawn == []
    assert await quick.views.list_of_order("default", ORDER, before=None, limit=10) == []
    rows = await quick.audit_rows(outcome="denied", order_id=ORDER)
    assert [(r["action"], r["subject"]) for r in rows] == [("record.listed", ORDER), ("record.page_viewed", record_id)]


async def test_an_order_that_closes_while_the_page_is_drawn_gives_no_page(quick: Records, painter: BlankPainter) -> None:
    record_id = await first_of(quick, Form.LAB)
    quick.orders.close_after = quick.orders.checks + 1
    with pytest.raises(RecordAccessDenied):
        await quick.service.render_page(doctor(), ORDER, record_id, 1, Look())
    assert len(painter.drawn) == 1
    assert await quick.views.list_of_order("default", ORDER, before=None, limit=10) == []


async def test_the_last_instant_of_an_order_is_too_late(quick: Records) -> None:
    record_id = await first_of(quick, Form.LAB)
    quick.clock.advance(timedelta(hours=48, milliseconds=-1))
    await quick.service.render_page(doctor(), ORDER, record_id, 1, Look())
    quick.clock.advance(timedelta(milliseconds=1))
    with pytest.raises(RecordAccessDenied):
        await quick.service.render_page(doctor(), ORDER, record_id, 1, Look())


class FailingAudit:
    async def record(self, row: AuditRow) -> None:
        if row.action == "record.page_viewed":
            raise Unavailable


async def test_without_an_audit_row_there_is_no_page(database: Database, clock: ManualClock, base: str) -> None:
    async with records(database, clock, base, painter=BlankPainter(), audit=FailingAudit()) as made:
        record_id = await first_of(made, Form.LAB)
        with pytest.raises(Unavailable):
            await made.service.render_page(doctor(), ORDER, record_id, 1, Look())


@pytest.mark.parametrize("number", [0, -1, 2_000])
async def test_a_page_that_is_not_there_and_another_patients_record_are_one_answer(quick: Records, number: int) -> None:
    record_id = await first_of(quick, Form.LAB)
    for wanted, page in ((record_id, number), ("0" * 32, 1), ("x", 1)):
        with pytest.raises(RecordNotFound):
            await quick.service.render_page(doctor(), ORDER, wanted, page, Look())


async def test_only_the_patient_sees_who_looked(quick: Records) -> None:
    with pytest.raises(RecordAccessDenied):
        await quick.service.list_views(doctor(), ORDER, before=None, limit=10)
    with pytest.raises(NotFound):
        await quick.service.list_views(replace(patient(), account_id="other"), ORDER, before=None, limit=10)


async def test_many_looks_at_once_are_each_a_view(quick: Records) -> None:
    record_id = await first_of(quick, Form.LAB)
    await asyncio.gather(*(quick.service.render_page(doctor(), ORDER, record_id, 1, Look()) for _ in range(20)))
    views = await quick.views.list_of_order("default", ORDER, before=None, limit=100)
    rows = await quick.audit_rows(action="record.page_viewed")
    assert {f"{view.view_id:012x}" for view in views} == {row["subject"] for row in rows}
    assert len(views) == 20


# What can be wrong with a hospital


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("down", MissingReason.UNAVAILABLE), ("nonsense", MissingReason.UNREADABLE)],
)
async def test_what_fails_is_named_and_the_rest_is_shown(quick: Records, fault: str, reason: MissingReason) -> None:
    await quick.faults(requests=fault, resources=["Composition", "MedicationRequest"])
    found = await quick.service.list_records(doctor(), ORDER)
    assert {(m.part, m.reason) for m in found.missing} == {(Part.NOTES, reason), (Part.PRESCRIPTIONS, reason)}
    assert {item.record.form for item in found.items} == {Form.NOTE, Form.LAB, Form.EXAM, Form.IMAGING}


async def test_a_slow_part_is_given_up_within_its_limit(quick: Records) -> None:
    await quick.faults(requests="slow", resources=["ImagingStudy"], late_seconds=20)
    began = asyncio.get_running_loop().time()
    found = await quick.service.list_records(doctor(), ORDER)
    assert asyncio.get_running_loop().time() - began < 6
    assert [(m.part, m.reason) for m in found.missing] == [(Part.IMAGING, MissingReason.TIMED_OUT)]


@pytest.mark.parametrize("fault", ["down", "nonsense", "slow"])
async def test_a_hospital_that_does_not_answer_is_said_to(quick: Records, fault: str) -> None:
    await quick.faults(requests=fault, late_seconds=20)
    with pytest.raises(RecordSourceUnavailable):
        await quick.service.list_records(doctor(), ORDER)


async def test_another_persons_entry_is_refused_and_reported(quick: Records) -> None:
    await quick.faults(requests="other_patient", resources=["Patient"])
    with pytest.raises(RecordIdentityMismatch):
        await quick.service.list_records(doctor(), ORDER)
    [row] = await quick.audit_rows(action="record.identity_mismatch")
    assert (row["outcome"], row["order_id"]) == ("denied", ORDER)


async def test_another_persons_resources_are_refused_counted_and_reported(quick: Records) -> None:
    await quick.faults(requests="other_patient", resources=["Observation", "Composition"])
    found = await quick.service.list_records(doctor(), ORDER)
    mismatched = {m.part for m in found.missing if m.reason is MissingReason.IDENTITY_MISMATCH}
    assert mismatched == {Part.NOTES, Part.LABS}
    assert Form.LAB not in {item.record.form for item in found.items}
    assert len(await quick.audit_rows(action="record.identity_mismatch")) == 1


async def test_another_persons_pictures_are_refused_and_reported(quick: Records) -> None:
    record_id = await first_of(quick, Form.IMAGING)
    await quick.faults(requests="other_patient", resources=["dicomweb"])
    with pytest.raises(RecordIdentityMismatch):
        await quick.service.render_page(doctor(), ORDER, record_id, 1, Look())
    assert len(await quick.audit_rows(action="record.identity_mismatch")) == 1


async def test_another_sex_is_another_person(quick: Records) -> None:
    quick.orders.person = replace(quick.orders.person, sex="male")
    with pytest.raises(RecordIdentityMismatch):
        await quick.service.list_records(doctor(), ORDER)


async def test_a_person_whom_the_hospital_does_not_know_has_no_records(quick: Records) -> None:
    quick.orders.person = replace(quick.orders.person, id_type="passport", id_number="NODIGITS")
    found = await quick.service.list_records(doctor(), ORDER)
    assert (found.items, found.is_known) == ((), False)


async def test_a_report_of_five_thousand_rows_is_paged(database: Database, clock: ManualClock, base: str) -> None:
    async with records(database, clock, base, painter=BlankPainter(), limit_seconds=60) as made:
        await made.faults(huge_lab=True)
        found = await made.service.list_records(doctor(), ORDER)
        await made.faults()
    assert [item.pages for item in found.items if item.record.title == "批量导出"] == [125]


async def test_a_note_of_ten_megabytes_is_paged_and_says_what_it_leaves_out(quick: Records, painter: BlankPainter) -> None:
    await quick.faults(huge_note=True)
    found = await quick.service.list_records(doctor(), ORDER)
    longest = max((item for item in found.items if item.record.form is Form.NOTE), key=lambda item: item.pages)
    assert 50 < longest.pages <= 400
    await quick.service.render_page(doctor(), ORDER, longest.record.id, longest.pages, Look())
    assert "未显示" in repr(painter.drawn[0].sheet.blocks[-1])


async def test_a_chart_with_a_part_missing_is_asked_for_again_soon(quick: Records) -> None:
    await quick.faults(requests="down", resources=["Composition"])
    assert (await quick.service.list_records(doctor(), ORDER)).missing != ()
    await quick.faults()
    quick.clock.advance(timedelta(seconds=6))
    assert (await quick.service.list_records(doctor(), ORDER)).missing == ()


async def test_a_character_without_a_glyph_fails_the_page_loudly(world: Records) -> None:
    record_id = await first_of(world, Form.NOTE)
    world.orders.person = replace(world.orders.person, name="唐\U00012000兰")
    world.clock.advance(timedelta(seconds=61))
    with pytest.raises(RecordNotDrawable):
        await world.service.render_page(doctor(), ORDER, record_id, 1, Look())
    assert await world.views.list_of_order("default", ORDER, before=None, limit=10) == []


async def test_a_rare_name_is_drawn(world: Records) -> None:
    record_id = await first_of(world, Form.NOTE)
    world.orders.person = replace(world.orders.person, name="㛃𬱖䶮")
    shown = await world.service.render_page(doctor(), ORDER, record_id, 1, Look())
    assert opened(shown.page.data).size == (1080, 1920)


# The lease


@pytest.mark.parametrize("other", [{"device_id": "d2"}, {"session_id": "s9"}, {"session_id": "s9", "device_id": "d2"}])
async def test_a_page_is_for_the_session_and_device_that_listed_the_records(
    quick: Records, painter: BlankPainter, other: dict[str, str]
) -> None:
    here, elsewhere = doctor(device_id="d1"), doctor(**{"device_id": "d1"} | other)
    record_id = await first_of(quick, Form.NOTE, here)
    with pytest.raises(RecordAccessDenied):
        await quick.service.render_page(elsewhere, ORDER, record_id, 1, Look())
    assert painter.drawn == []
    [row] = await quick.audit_rows(outcome="denied", order_id=ORDER)
    assert (row["action"], row["subject"]) == ("record.page_viewed", record_id)
    await quick.service.render_page(here, ORDER, record_id, 1, Look())


async def test_a_withdrawal_ends_what_was_open_though_the_patient_agrees_again(quick: Records) -> None:
    record_id = await first_of(quick, Form.NOTE)
    quick.clock.advance(timedelta(seconds=1))
    told = event_of(
        patient(),
        "consult.record_access_changed",
        subject=ORDER,
        at=quick.clock.now(),
        order_id=ORDER,
        hospital_id="default",
        granted=False,
    )
    await quick.ender.consume(told)
    with pytest.raises(RecordAccessDenied):
        await quick.service.render_page(doctor(), ORDER, record_id, 1, Look())
    quick.clock.advance(timedelta(seconds=1))
    await quick.service.list_records(doctor(), ORDER)
    await quick.ender.consume(told)
    await quick.service.render_page(doctor(), ORDER, record_id, 1, Look())


async def test_the_chats_mark_is_a_transparent_tile_for_the_doctor_alone(world: Records) -> None:
    tile = await world.service.mark_chat(doctor(), ORDER)
    image = opened(tile.data)
    assert (image.format, image.mode, image.size) == ("PNG", "LA", (tile.width, tile.height))
    assert image.getchannel("A").getextrema() == (0, 28)
    for actor, refusal in ((patient(), RecordAccessDenied), (replace(doctor(), account_id="other"), NotFound)):
        with pytest.raises(refusal):
            await world.service.mark_chat(actor, ORDER)
    rows = await world.audit_rows(action="record.chat_marked")
    assert [(row["outcome"], row["order_id"]) for row in rows] == [("ok", ORDER), ("denied", ORDER), ("denied", ORDER)]
