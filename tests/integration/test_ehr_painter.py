"""Drawing processes: what comes out is marked, and what breaks one breaks nothing else."""

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from ehr_view.domain.access import Viewer
from ehr_view.domain.pagination import paginate
from ehr_view.domain.records import Flag, Form, Frame, ImagingStudy, LabItem, LabReport, Note, Range, Record, Section
from ehr_view.domain.sheets import Sheet
from ehr_view.domain.trends import trends_of
from ehr_view.errors import RecordNotDrawable
from ehr_view.painter import PagePainter
from ehr_view.ports import Drawing, ImageFormat, Mark, Picture, Theme
from server.kernel.errors import Unavailable
from watermark.forensic import read

AT = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
KEY = b"q" * 32


@pytest.fixture
async def painter() -> AsyncIterator[PagePainter]:
    painter = PagePainter(KEY, workers=1)
    yield painter
    await painter.close()


def drawing(
    sheet: Sheet, *, view_id: int = 0x0123456789AB, pictures: tuple[Picture | None, ...] = (), tail: str = "5678"
) -> Drawing:
    mark = Mark(Viewer("d", "王慧敏", "D10023", tail), AT, "YZ1", view_id)
    return Drawing(sheet, "唐玉兰  女  59岁", mark, format=ImageFormat.PNG, pictures=pictures)


def lab(at: datetime = AT, number: float = 6.5, flag: Flag = Flag.CRITICAL_HIGH) -> Record:
    names = ("钾", "白细胞计数", "估算肾小球滤过率")
    items = (LabItem(name, name, f"{number}", "10*9/L", Range(3.5, 5.3), flag, number) for name in names)
    return Record(f"l{at:%m%d}", Form.LAB, "电解质", at, LabReport(tuple(items)), critical=flag.is_critical)


def note(text: str) -> Sheet:
    return paginate(Record("n", Form.NOTE, "病历", AT, Note((Section("主诉", text),))))[0]


async def test_a_page_carries_the_view_id_it_was_drawn_for(painter: PagePainter) -> None:
    page = await painter.draw(drawing(paginate(lab())[0], view_id=0xFEDCBA987654))
    reading = read(Image.open(io.BytesIO(page.data)), key=KEY)
    assert reading is not None
    assert reading.view_id == 0xFEDCBA987654


async def test_two_views_of_one_page_differ_and_neither_is_unmarked(painter: PagePainter) -> None:
    sheet = paginate(lab())[0]
    first, second = [await painter.draw(drawing(sheet, view_id=view)) for view in (1, 2)]
    assert first.data != second.data


async def test_courses_are_drawn_for_one_value_many_and_far_apart(painter: PagePainter) -> None:
    for numbers in ((5.0, 5.0, 5.4), (0.001, 28_600_000, 12), (1e-6, 2e-6, 3e-6), (-3, 0, 7)):
        records = [lab(AT + timedelta(days=n * 90), number, Flag.HIGH) for n, number in enumerate(numbers)]
        pages = paginate(records[-1], trends_of(records[-1], records))
        for sheet in pages:
            assert (await painter.draw(drawing(sheet))).height == 1920


async def test_a_character_that_no_face_has_fails_the_page_and_the_next_is_drawn(painter: PagePainter) -> None:
    with pytest.raises(RecordNotDrawable):
        await painter.draw(drawing(note("血钾 \U00012000 mmol/L")))
    assert (await painter.draw(drawing(note("血钾 5.2 mmol/L")))).width == 1080


async def test_a_mark_that_cannot_be_made_gives_no_page(painter: PagePainter) -> None:
    with pytest.raises(RecordNotDrawable):
        await painter.draw(drawing(note("头痛"), tail="56"))


async def test_pictures_that_are_broken_or_missing_are_said_to_be(painter: PagePainter) -> None:
    whole = io.BytesIO()
    Image.effect_noise((300, 200), 60).convert("L").save(whole, "JPEG")
    study = ImagingStudy("1.2", "CT", "胸部", tuple(Frame("1.3", f"1.{n}", 1, f"{n} / 4") for n in range(5)))
    [sheet] = paginate(Record("i", Form.IMAGING, "胸部CT", AT, study))
    pictures = (
        Picture(whole.getvalue(), 0.7, 300),
        None,
        Picture(whole.getvalue()[:200]),
        Picture(b"no picture"),
        Picture(b"GIF89a"),
    )
    page = await painter.draw(drawing(sheet, pictures=pictures))
    assert page.height == 1920


async def test_a_process_that_is_killed_is_replaced(painter: PagePainter) -> None:
    await painter.draw(drawing(note("头痛")))
    [pid] = painter.worker_pids()
    os.kill(pid, signal.SIGKILL)
    assert (await painter.draw(drawing(note("头痛")))).width == 1080
    assert painter.worker_pids() != [pid]


async def test_a_process_that_stalls_is_ended_and_the_page_refused() -> None:
    stalled = PagePainter(KEY, workers=1, limit_seconds=0, command=(sys.executable, "-c", "import time; time.sleep(60)"))
    with pytest.raises(RecordNotDrawable):
        await stalled.draw(drawing(note("头痛")))
    assert stalled.worker_pids() == []
    await stalled.close()


async def test_what_waits_at_the_end_is_refused(painter: PagePainter) -> None:
    await painter.close()
    with pytest.raises(Unavailable):
        await painter.draw(drawing(note("头痛")))


async def test_pages_are_drawn_side_by_side_light_and_dark(painter: PagePainter) -> None:
    sheet = note("头痛3天，伴恶心。")
    both = [Drawing(sheet, "唐玉兰", drawing(sheet).mark, width, theme) for width in (1080, 1600) for theme in Theme]
    pages = await asyncio.gather(*(painter.draw(one) for one in both))
    assert [page.width for page in pages] == [1080, 1080, 1600, 1600]


async def test_a_list_does_not_wait_for_a_process_that_cannot_be_had() -> None:
    absent = PagePainter(KEY, workers=1, command=("/nonexistent/python",))
    await absent.warm()
    assert absent.worker_pids() == []
    await absent.close()


async def test_one_process_is_warmed_and_no_more() -> None:
    painter = PagePainter(KEY, workers=2)
    try:
        await painter.warm()
        await painter.warm()
        assert len(painter.worker_pids()) == 1
    finally:
        await painter.close()
