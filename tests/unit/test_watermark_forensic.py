"""The view id comes back from what became of a page, without the original, or not at all."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from bench.pages import table
from bench.watermark import ATTACKS, made_page, photo, product_page
from ehr_view.drawing.page import draw_sheet
from watermark.forensic import embed, match, read
from watermark.page import mark_page
from watermark.visible import VisibleMark, draw_visible

KEY = b"k" * 32
MARK = VisibleMark("欧阳晓䶮", "D20260017", "6789", datetime(2026, 11, 22, 6, 3, 5, tzinfo=UTC), "YZ20261122000123")
VIEW = 0x0123_4567_89AB


def _marked(number: int, view_id: int = VIEW) -> Image.Image:
    page, dark = made_page(number)
    return mark_page(page, MARK, view_id, key=KEY, dark=dark)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_table_a_note_an_image_light_or_dark_are_read_from_a_screenshot(number: int) -> None:
    reading = read(_marked(number), key=KEY)
    assert reading is not None
    assert (reading.view_id, reading.checked) == (VIEW, True)
    assert reading.confidence > 0.9


@pytest.mark.parametrize("attack", ["JPEG 30", "scaled 0.5×, JPEG 30", "20 % crop, JPEG 50", "noise σ 8", "photo, 40 % crop"])
def test_it_survives(attack: str) -> None:
    reading = read(ATTACKS[attack](_marked(3), np.random.default_rng(5)), key=KEY)
    assert reading is not None
    assert reading.view_id == VIEW


@pytest.mark.parametrize("attack", ["cropped, 0.75×, JPEG 55", "photo"])
@pytest.mark.parametrize(("rows", "dark"), [(28, False), (40, True)])
def test_the_stripes_of_a_full_table_are_not_taken_for_the_mark(attack: str, rows: int, dark: bool) -> None:
    """Their period is nearly a whole part of a tile, so that they add up from tile to tile as the mark does."""
    page = draw_sheet(table(rows), "唐玉兰  女  60岁", MARK.order_number, width=1080, dark=dark, loaded=())
    marked = mark_page(page, MARK, VIEW, key=KEY, dark=dark)
    reading = read(ATTACKS[attack](marked, np.random.default_rng(rows)), key=KEY)
    assert reading is not None
    assert (reading.view_id, reading.checked) == (VIEW, True)
    assert reading.confidence > 0.85


@pytest.mark.parametrize("number", [1, 2, 5])
def test_pages_as_the_product_draws_them_are_read_though_scaled_and_turned(number: int) -> None:
    page, dark = product_page(number)
    marked = mark_page(page, MARK, VIEW, key=KEY, dark=dark).rotate(90, expand=True)
    reading = read(ATTACKS["scaled 0.5×, JPEG 30"](marked, np.random.default_rng(number)), key=KEY)
    assert reading is not None
    assert reading.view_id == VIEW


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_it_is_read_whichever_way_the_picture_is_held(turn: int) -> None:
    reading = read(_marked(0).rotate(turn, expand=True), key=KEY)
    assert reading is not None
    assert reading.view_id == VIEW


def test_it_is_read_from_a_photo_of_a_screen() -> None:
    reading = read(photo(_marked(4), np.random.default_rng(11)), key=KEY)
    assert reading is not None
    assert reading.view_id == VIEW


def _visible_only() -> Image.Image:
    page, dark = made_page(0)
    return draw_visible(page, MARK, dark=dark)


@pytest.mark.parametrize(
    "picture",
    [
        lambda: Image.new("RGB", (1080, 1920), (228, 229, 226)),
        lambda: Image.fromarray(np.random.default_rng(1).integers(0, 255, (900, 700, 3), dtype=np.uint8)),
        lambda: Image.new("L", (1, 1)),
        lambda: Image.new("RGBA", (3000, 12)),
        _visible_only,
    ],
)
def test_pictures_without_a_mark_name_nobody(picture: Callable[[], Image.Image]) -> None:
    assert read(picture(), key=KEY, issued=range(200)) is None


def test_another_hospitals_key_reads_nothing() -> None:
    assert read(_marked(0), key=b"x" * 32) is None


def test_the_shading_is_faint_and_leaves_black_text_black() -> None:
    page, _ = made_page(0)
    before, after = (np.asarray(image).astype(int) for image in (page, embed(page, VIEW, key=KEY)))
    assert np.abs(after - before).max() <= 6
    assert after.shape == before.shape


def test_two_views_that_were_averaged_are_both_named_and_nobody_else() -> None:
    views = [1001, 1002]
    mixed = np.mean([np.asarray(_marked(0, view_id), dtype=float) for view_id in views], axis=0)
    leaked = Image.fromarray(np.rint(mixed).astype(np.uint8))
    assert sorted(reading.view_id for reading in match(leaked, range(900, 1100), key=KEY)) == views
    found = read(leaked, key=KEY, issued=range(900, 1100))
    assert found is not None
    assert found.view_id in views


def test_a_page_of_any_size_can_be_marked() -> None:
    for size in ((1, 1), (383, 385), (1440, 200)):
        assert embed(Image.new("L", size, 200), VIEW, key=KEY).size == size
