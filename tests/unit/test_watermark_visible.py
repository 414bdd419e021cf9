"""The visible mark is there on any ground, in any part of a page, and hides nothing."""

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw

from watermark import fonts
from watermark.visible import VisibleMark, draw_visible, transparent_tile, visible_tile

MARK = VisibleMark("欧阳晓䶮", "D20260017", "6789", datetime(2026, 11, 22, 6, 3, 5, tzinfo=UTC), "YZ20261122000123")


def test_the_mark_names_viewer_number_phone_order_and_chinas_time() -> None:
    assert MARK.lines() == ("欧阳晓䶮 D20260017", "YZ20261122000123", "2026-11-22 14:03:05", "尾号 6789")


@pytest.mark.parametrize("tail", ["", "678", "67890", "67a9", "６７８９"])
def test_a_phone_tail_is_four_digits(tail: str) -> None:
    with pytest.raises(ValueError, match="four digits"):
        replace(MARK, phone_tail=tail)


def test_an_instant_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        replace(MARK, at=datetime(2026, 11, 22, 6, 3, 5))  # noqa: DTZ001 - the point of this test


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("ground", [0, 38, 128, 228, 255])
def test_it_shows_on_every_ground_and_changes_it_by_little(ground: int, dark: bool) -> None:
    page = Image.new("RGB", (540, 960), (ground,) * 3)
    marked = np.asarray(draw_visible(page, MARK, dark=dark)).astype(int)
    change = marked - ground
    assert np.abs(change).max() <= 24
    assert np.mean(np.abs(change) >= 12) > 0.03
    assert page.getextrema() == ((ground, ground),) * 3


def test_half_of_a_phone_page_each_way_holds_a_whole_mark() -> None:
    down, across = visible_tile(MARK, dark=False).shape
    assert across + across <= 540 + 12
    assert down + down // 2 <= 960


@pytest.mark.parametrize("number", ["20261122-6GNW3T9N", "20261122-WWMMWWMM"])
def test_an_orders_number_stays_on_one_line(number: str) -> None:
    short = replace(MARK, viewer="王慧敏", staff_number="1007", order_number="1")
    assert (
        visible_tile(replace(short, order_number=number), dark=False).shape[0] <= visible_tile(short, dark=False).shape[0] + 12
    )


def test_values_stay_as_readable_as_they_were() -> None:
    page = Image.new("RGB", (540, 300), (228, 229, 226))
    draw = ImageDraw.Draw(page)
    for row in range(6):
        fonts.draw_text(draw, (20, 10 + row * 44), "血钾 6.85 mmol/L ↑↑ 危急值", size=30, fill=(20, 22, 26))
    ink = np.asarray(page.convert("L")) < 60
    marked = np.asarray(draw_visible(page, MARK, dark=False).convert("L")).astype(int)
    assert marked[ink].max() <= 60 + 18
    assert marked[np.asarray(page.convert("L")) > 220].min() >= 221 - 24


def test_marks_of_two_views_differ_and_the_same_view_is_drawn_alike() -> None:
    later = replace(MARK, at=datetime(2026, 11, 22, 6, 3, 6, tzinfo=UTC))
    assert (visible_tile(MARK, dark=False) == visible_tile(replace(MARK), dark=False)).all()
    other = visible_tile(later, dark=False)
    assert other.shape != visible_tile(MARK, dark=False).shape or (other != visible_tile(MARK, dark=False)).any()


def test_a_name_that_cannot_be_written_fails_the_mark() -> None:
    with pytest.raises(fonts.UndrawableText):
        draw_visible(Image.new("RGB", (100, 100)), replace(MARK, viewer="😀"), dark=False)


def test_the_chat_tile_is_a_transparent_seamless_png_for_light_and_dark() -> None:
    tile = Image.open(BytesIO(transparent_tile(MARK)))
    assert (tile.format, tile.mode) == ("PNG", "LA")
    grey, alpha = (np.asarray(band).astype(int) for band in tile.split())
    assert alpha.max() == 28
    assert np.mean(alpha == 0) > 0.7
    assert {0, 255} <= set(grey[alpha > 10].tolist())
    assert len(transparent_tile(MARK)) < 60_000
    assert transparent_tile(MARK, 16) != transparent_tile(MARK)
