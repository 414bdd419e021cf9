"""The course of a test: reference band, line, dots in the colour of their flag, the last value in large type."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Final

from ehr_view.domain import sheets
from ehr_view.domain.pagination import CHART_HEIGHT, SHANGHAI, figure
from ehr_view.drawing.canvas import Canvas
from ehr_view.drawing.palette import colour_of
from server.kernel.clock import from_ms

_HEAD: Final = 92
_FOOT: Final = 56
_AXIS: Final = 104
_INSET: Final = 26


def chart(canvas: Canvas, block: sheets.Chart, left: int, right: int, y: float) -> float:
    palette = canvas.palette
    bottom = y + CHART_HEIGHT - 20
    canvas.box(left, y, right, bottom, palette.panel, radius=16)
    last = block.dots[-1]
    shown = canvas.text(right - _INSET, y + 50, block.unit, 25, fill=palette.muted, anchor="rm") + 12 if block.unit else 0
    colour = colour_of(palette, last.flag)
    value = canvas.text(right - _INSET - shown, y + 46, last.value, 42, fill=colour, bold=True, anchor="rm")
    room = right - left - 2 * _INSET - shown - value - 40
    name, size = canvas.fit(block.name, room * 0.62, (32, 28, 25), bold=True)
    wide = canvas.text(left + _INSET, y + 46, name, size, bold=True, anchor="lm")
    if block.range:
        words, size = canvas.fit(f"参考 {block.range}", room - wide - 20, (24, 22))
        canvas.text(left + _INSET + wide + 20, y + 48, words, size, fill=palette.muted, anchor="lm")
    _plot(canvas, block, left + _AXIS, right - _INSET - 34, y + _HEAD + 20, bottom - _FOOT)
    return y + CHART_HEIGHT


def _plot(canvas: Canvas, block: sheets.Chart, left: float, right: float, top: float, bottom: float) -> None:
    palette = canvas.palette
    low, high, ticks = _scale(block)
    first_ms, last_ms = block.dots[0].at_ms, block.dots[-1].at_ms

    def across(at_ms: int) -> float:
        return left + (right - left) * (at_ms - first_ms) / max(1, last_ms - first_ms)

    def down(number: float) -> float:
        return bottom - (bottom - top) * (min(max(number, low), high) - low) / (high - low)

    if block.low is not None or block.high is not None:
        upper = down(high if block.high is None else block.high)
        lower = down(low if block.low is None else block.low)
        canvas.box(left - 12, upper, right + 30, lower, palette.normal_band)
    for tick in ticks:
        canvas.rule(left - 12, right + 30, down(tick), palette.line, thick=1)
        canvas.text(left - 24, down(tick), figure(tick), 23, fill=palette.muted, anchor="rm")
    smooth = canvas.smooth(left - 20, top - 24, right - left + 54, bottom - top + 48)
    places = [(across(dot.at_ms), down(dot.number)) for dot in block.dots]
    smooth.line(places, palette.accent, 4)
    for (x, y), dot in zip(places, block.dots, strict=True):
        smooth.dot(x, y, 9, palette.panel)
        smooth.dot(x, y, 7, colour_of(palette, dot.flag) if dot.flag else palette.accent)
    smooth.done()
    _labels(canvas, block, places, top, bottom)
    _days(canvas, block, across, bottom)


def _labels(canvas: Canvas, block: sheets.Chart, places: list[tuple[float, float]], top: float, bottom: float) -> None:
    """The values at the ends and at the extremes, each where the line is not."""
    numbers = [dot.number for dot in block.dots]
    lowest = numbers.index(min(numbers))
    chosen = {0, len(numbers) - 1, numbers.index(max(numbers)), lowest}
    edge = places[0][0] - 10
    taken: list[tuple[float, float]] = []
    for index in sorted(chosen, reverse=True):
        x, y = places[index]
        words = block.dots[index].value
        half = canvas.measure(words, 24, bold=True) / 2
        is_low = index == lowest and len(set(numbers)) > 1
        if is_low and bottom - y < 40:
            x, y = x + half + 16, y - 4
        else:
            x, y = max(x, edge + half), y + 26 if is_low or y - top < 36 else y - 26
        if any(x - half < r and x + half > left for left, r in taken):
            continue
        canvas.text(x, y, words, 24, fill=colour_of(canvas.palette, block.dots[index].flag), bold=True, anchor="mm")
        taken.append((x - half - 10, x + half + 10))


def _days(canvas: Canvas, block: sheets.Chart, place: Callable[[int], float], bottom: float) -> None:
    """Dates below, as many as fit."""
    end = -math.inf
    dots = [block.dots[-1], *block.dots[:-1]]
    last_left = place(block.dots[-1].at_ms) - canvas.measure("2026-01", 22) / 2 - 16
    for dot in dots:
        day: datetime = from_ms(dot.at_ms).astimezone(SHANGHAI)
        words = f"{day:%Y-%m}"
        x, half = place(dot.at_ms), canvas.measure(words, 22) / 2
        is_last = dot is block.dots[-1]
        if not is_last and (x - half < end or x + half > last_left):
            continue
        canvas.text(x, bottom + 30, words, 22, fill=canvas.palette.muted, anchor="mm")
        if not is_last:
            end = x + half + 16


def _scale(block: sheets.Chart) -> tuple[float, float, list[float]]:
    """The ends of the axis and its ticks: all values and, where it is not far off, the reference within it."""
    numbers = [dot.number for dot in block.dots]
    low, high = min(numbers), max(numbers)
    span = max(high - low, abs(high) * 0.1, 1e-9)
    for bound in (block.low, block.high):
        if bound is not None and low - 1.5 * span <= bound <= high + 1.5 * span:
            low, high = min(low, bound), max(high, bound)
    step = _nice((high - low or abs(high) or 1.0) / 4)
    low, high = math.floor(low / step - 0.15) * step, math.ceil(high / step + 0.15) * step
    if min(numbers) >= 0:
        low = max(0.0, low)
    count = round((high - low) / step)
    return low, high, [round(low + n * step, 9) for n in range(count + 1)]


def _nice(step: float) -> float:
    size = 10.0 ** math.floor(math.log10(step))
    return next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= step * 0.999)
