"""Tables of results."""

from typing import Final

from ehr_view.domain import sheets
from ehr_view.domain.pagination import (
    BLOCK_GAP,
    CELL_PAD,
    COLUMNS,
    FLAG_WIDTH,
    INNER_WIDTH,
    ROW_LINES,
    ROW_PADS,
    ROW_SIZES,
    SMALL_SIZES,
    TABLE_HEAD,
    row_cells,
)
from ehr_view.drawing.canvas import Canvas
from ehr_view.drawing.palette import colour_of, tint_of

_LEAST: Final = 12
_TITLES: Final = ("项目", "结果", "单位", "参考区间", "上次")


def table(canvas: Canvas, block: sheets.Table, left: int, right: int, y: float) -> float:
    widths = tuple(column * (right - left) // INNER_WIDTH for column in COLUMNS)
    edges = [left + sum(widths[:n]) for n in range(len(widths) + 1)]
    palette = canvas.palette
    middle = y + TABLE_HEAD / 2
    for number, title in enumerate(_TITLES):
        if number == 1:
            canvas.text(edges[2] - CELL_PAD - FLAG_WIDTH, middle, title, 24, fill=palette.muted, anchor="rm")
        else:
            canvas.text(edges[number] + CELL_PAD, middle, title, 24, fill=palette.muted, anchor="lm")
    y += TABLE_HEAD
    canvas.rule(left, right, y - 2, palette.accent, thick=2)
    for number, row in enumerate(block.rows):
        y = _row(canvas, row, block.density, widths, edges, y, striped=number % 2 == 1)
    canvas.rule(left, right, y)
    return y + BLOCK_GAP


def _row(
    canvas: Canvas, row: sheets.Row, density: int, widths: tuple[int, ...], edges: list[int], y: float, *, striped: bool
) -> float:
    palette = canvas.palette
    cells = row_cells(row, density, widths)
    line, size, small = ROW_LINES[density], ROW_SIZES[density], SMALL_SIZES[density]
    height = max(1, *map(len, cells)) * line + ROW_PADS[density]
    ground = tint_of(palette, row.flag) or (palette.stripe if striped else None)
    if ground is not None:
        canvas.box(edges[0], y, edges[-1], y + height, ground)
    colour = colour_of(palette, row.flag)
    top = y + ROW_PADS[density] / 2 + line / 2
    for n, words in enumerate(cells[0]):
        canvas.text(edges[0] + CELL_PAD, top + n * line, words, size, fill=colour if row.flag else None, anchor="lm")
    _value(canvas, row, cells[1], widths[1] - CELL_PAD - FLAG_WIDTH, edges[2], top, size, density)
    for column in (2, 3):
        for n, words in enumerate(cells[column]):
            fitting = _fitting(canvas, words, widths[column] - CELL_PAD - 4, small)
            canvas.text(edges[column] + CELL_PAD, top + n * line, words, fitting, fill=palette.muted, anchor="lm")
    for n, words in enumerate(cells[4]):
        fitting = _fitting(canvas, words, widths[4] - CELL_PAD, small)
        width = canvas.text(edges[4] + CELL_PAD, top + n * line, words, fitting, fill=palette.muted, anchor="lm")
        room = edges[5] - edges[4] - CELL_PAD - width
        if n == 0 and row.move and room > small:
            canvas.arrow(edges[4] + CELL_PAD + width + small * 0.55, top, small * 0.6, palette.muted, up=row.move > 0)
    return y + height


def _fitting(canvas: Canvas, words: str, room: float, size: int, *, bold: bool = False) -> int:
    """The size at which a figure, range or unit fits its cell; never cut."""
    while size > _LEAST and canvas.measure(words, size, bold=bold) > room:
        size -= 1
    return size


def _value(
    canvas: Canvas, row: sheets.Row, lines: list[str], room: float, right: int, top: float, size: int, density: int
) -> None:
    """The value, to the right; its arrow behind it; a critical one in a filled box."""
    palette, colour, line = canvas.palette, colour_of(canvas.palette, row.flag), ROW_LINES[density]
    edge = right - CELL_PAD - FLAG_WIDTH
    size = min((_fitting(canvas, words, room, size, bold=bool(row.flag)) for words in lines), default=size)
    is_critical = row.flag in ("HH", "LL", "AA")
    if is_critical:
        width = max((canvas.measure(words, size, bold=True) for words in lines), default=0)
        half = line / 2 + min(4, ROW_PADS[density] / 4)
        bottom = top + (max(1, len(lines)) - 1) * line + half
        canvas.box(edge - width - 10, top - half, right - 4, bottom, colour, radius=8)
        colour = palette.on_accent
    for n, words in enumerate(lines):
        canvas.text(edge, top + n * line, words, size, fill=colour if row.flag else None, bold=bool(row.flag), anchor="rm")
    where = edge + FLAG_WIDTH / 2 - 2
    if row.flag in ("H", "L"):
        canvas.arrow(where, top, size * 0.8, colour, up=row.flag == "H")
    elif row.flag in ("HH", "LL"):
        for side in (-1, 1):
            canvas.arrow(where + side * size * 0.26 - 1, top, size * 0.8, colour, up=row.flag == "HH")
    elif row.flag:
        canvas.text(where, top, "*", size, fill=colour, bold=True, anchor="mm")
