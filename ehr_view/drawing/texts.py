"""Headings, running text, remarks, drugs."""

from typing import Final

from ehr_view.domain import sheets
from ehr_view.domain.pagination import (
    BLOCK_GAP,
    BODY_LINE,
    BODY_SIZE,
    DRUG_INDENT,
    DRUG_NAME_SIZE,
    DRUG_SIZE,
    HEADING_HEIGHT,
    REMARK_LINE,
    REMARK_SIZE,
    STRONG_INSET,
    STRONG_PAD,
    drug_lines,
)
from ehr_view.domain.typography import wrap
from ehr_view.drawing.canvas import Canvas

_MEASURE: Final = 1560
"""Lines of running text are no longer than this: longer ones are hard to read."""


def heading(canvas: Canvas, block: sheets.Heading, left: int, right: int, y: float) -> float:
    middle = y + HEADING_HEIGHT - 38
    canvas.box(left, middle - 16, left + 8, middle + 16, canvas.palette.accent, radius=4)
    words, size = canvas.fit(block.text, right - left - 26, (34, 30, 27), bold=True)
    canvas.text(left + 26, middle, words, size, fill=canvas.palette.accent, bold=True, anchor="lm")
    return y + HEADING_HEIGHT


def text(canvas: Canvas, block: sheets.Text, left: int, right: int, y: float) -> float:
    width = min(right - left, _MEASURE)
    if not block.strong:
        for line in wrap(block.text, width * 1000 // BODY_SIZE):
            canvas.text(left, y + BODY_LINE / 2, line, BODY_SIZE, anchor="lm")
            y += BODY_LINE
        return y
    lines = wrap(block.text, (width - 2 * STRONG_INSET) * 1000 // BODY_SIZE)
    bottom = y + len(lines) * BODY_LINE + 2 * STRONG_PAD
    canvas.box(left, y, left + width, bottom, canvas.palette.panel, radius=14)
    canvas.box(left, y + 14, left + 6, bottom - 14, canvas.palette.accent)
    y += STRONG_PAD
    for line in lines:
        canvas.text(left + STRONG_INSET, y + BODY_LINE / 2, line, BODY_SIZE, anchor="lm")
        y += BODY_LINE
    return bottom + BLOCK_GAP


def remark(canvas: Canvas, block: sheets.Remark, left: int, right: int, y: float) -> float:
    for line in wrap(block.text, min(right - left, _MEASURE) * 1000 // REMARK_SIZE):
        canvas.text(left, y + REMARK_LINE / 2, line, REMARK_SIZE, fill=canvas.palette.odd, anchor="lm")
        y += REMARK_LINE
    return y + BLOCK_GAP


def drug(canvas: Canvas, block: sheets.Drug, left: int, right: int, y: float) -> float:
    palette = canvas.palette
    right = min(right, left + _MEASURE)
    name, how = drug_lines(block, right - left)
    top = y + 14
    canvas.box(left, top + 4, left + 42, top + 46, palette.accent, radius=21)
    canvas.text(left + 21, top + 25, str(block.number), 25, fill=palette.on_accent, bold=True, anchor="mm")
    canvas.text(right, top + 25, block.quantity, DRUG_SIZE, fill=palette.accent, bold=True, anchor="rm")
    for line in name:
        canvas.text(left + DRUG_INDENT, top + 25, line, DRUG_NAME_SIZE, bold=True, anchor="lm")
        top += 50
    for line in how:
        canvas.text(left + DRUG_INDENT, top + 22, line, DRUG_SIZE, fill=palette.muted, anchor="lm")
        top += 44
    bottom = y + len(name) * 50 + len(how) * 44 + 40
    canvas.rule(left + DRUG_INDENT, right, bottom - 8)
    return bottom
