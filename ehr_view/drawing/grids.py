"""Tables that stand in documents."""

from itertools import pairwise

from ehr_view.domain import sheets
from ehr_view.domain.grids import CELL_INSET, GRID_LINE, GRID_PAD, GRID_SIZE, Row, cell_lines, row_height
from ehr_view.domain.pagination import BLOCK_GAP, INNER_WIDTH
from ehr_view.domain.typography import ABOVE
from ehr_view.drawing.canvas import Canvas


def grid(canvas: Canvas, block: sheets.Grid, left: int, right: int, y: float) -> float:
    """Its head in bold on a band, rows apart by rules, which a cell of several rows interrupts."""
    widths = [width * (right - left) // INNER_WIDTH for width in block.widths]
    edges = [left + sum(widths[:n]) for n in range(len(widths) + 1)]
    high = sum(row_height(row, widths) for row in block.head)
    if block.head:
        canvas.box(left, y, edges[-1], y + high, canvas.palette.band)
    rows = (*block.head, *block.rows)
    canvas.rule(left, edges[-1], y)
    for number, (row, below) in enumerate(pairwise((*rows, ()))):
        _row(canvas, row, widths, edges, y, bold=number < len(block.head))
        y += row_height(row, widths)
        for column in range(len(widths)):
            if not (below and below[column] == ABOVE):
                thick = 2 if number == len(block.head) - 1 else 1
                canvas.rule(edges[column], edges[column + 1], y, thick=thick)
    return y + BLOCK_GAP


def _row(canvas: Canvas, row: Row, widths: list[int], edges: list[int], y: float, *, bold: bool) -> None:
    for column, _, lines in cell_lines(row, widths):
        for n, words in enumerate(lines):
            middle = y + GRID_PAD / 2 + GRID_LINE * (n + 0.5)
            canvas.text(edges[column] + CELL_INSET, middle, words, GRID_SIZE, bold=bold, anchor="lm")
