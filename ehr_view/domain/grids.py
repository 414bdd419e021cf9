"""Tables within running text: how they are written in it, and how wide and high their cells are.

A document's text goes through many hands as text. A row of a table is a line that begins with `HEAD` or `CELL`, its cells apart
by `CELL`; in place of a cell, `ABOVE` is more of the cell above, `LEFT` more of the one to the left. The marks are
noncharacters of Unicode, which no text of a hospital means anything by; whoever sets text as it is sees blanks in their place.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from ehr_view.domain import sheets
from ehr_view.domain.typography import ABOVE, CELL, HEAD, LEFT, clean, medical, text_width, wrap

MOST_COLUMNS: Final = 8
"""More do not fit a phone's page: such a table stands there line by line."""

GRID_SIZE: Final = 27
GRID_LINE: Final = 40
GRID_PAD: Final = 18
CELL_INSET: Final = 10
_NARROWEST: Final = 84
_BOLD: Final = 1.07
"""How much wider bold type is."""

Row = tuple[str, ...]


def line_of(cells: Iterable[str], *, is_head: bool) -> str:
    """A row as a line of text."""
    return (HEAD if is_head else CELL) + CELL.join(cells)


def parts_of(text: str) -> Iterator[str | list[str]]:
    """Text and tables of it in turn; a table as its lines."""
    for is_table, grouped in groupby(text.split("\n"), lambda line: line.startswith((HEAD, CELL))):
        lines = list(grouped)
        yield lines if is_table else "\n".join(lines)


def grid_of(lines: Sequence[str], number: int, width: int, most_height: int) -> sheets.Grid | None:
    """The table in these lines, `width` wide. None for what cannot be set as one: too many columns, a row that fits no page."""
    rows = [tuple(cell if cell in (ABOVE, LEFT) else _set(cell) for cell in line[1:].split(CELL)) for line in lines]
    columns = max(map(len, rows))
    heads = next((n for n, line in enumerate(lines) if line[0] != HEAD), len(lines))
    if not 1 <= columns <= MOST_COLUMNS or heads == len(lines):
        return None
    padded = [row + ("",) * (columns - len(row)) for row in rows]
    grid = sheets.Grid(number, _widths(padded, heads, width), tuple(padded[:heads]), tuple(padded[heads:]))
    tallest = max(row_height(row, grid.widths) for row in filled(grid.rows))
    return grid if head_height(grid) + tallest <= most_height else None


def filled(rows: Sequence[Row]) -> list[Row]:
    """The rows with what goes on from above said again, as at the top of a page."""
    out: list[Row] = []
    for row in rows:
        before = out[-1] if out else ("",) * len(row)
        out.append(tuple(above if cell == ABOVE else cell for cell, above in zip(row, before, strict=True)))
    return out


def cell_lines(row: Row, widths: Sequence[int]) -> list[tuple[int, int, list[str]]]:
    """First column, number of columns and lines of each cell of a row that says something."""
    out = []
    for column, cell in enumerate(row):
        if cell in (ABOVE, LEFT):
            continue
        last = column + 1
        while last < len(row) and row[last] == LEFT:
            last += 1
        room = sum(widths[column:last]) - 2 * CELL_INSET
        out.append((column, last - column, wrap(cell, room * 1000 // GRID_SIZE) if cell else []))
    return out


def row_height(row: Row, widths: Sequence[int]) -> int:
    return max([1, *(len(lines) for _, _, lines in cell_lines(row, widths))]) * GRID_LINE + GRID_PAD


def head_height(grid: sheets.Grid) -> int:
    return sum(row_height(row, grid.widths) for row in grid.head)


def _set(cell: str) -> str:
    return medical(" ".join(clean(cell).split()))


def _widths(rows: Sequence[Row], heads: int, width: int) -> tuple[int, ...]:
    """As wide as their words where all fit; else the widest give way to the others. Together they are `width`."""
    columns = range(len(rows[0]))
    wanted = [_NARROWEST] * len(columns)
    for number, row in enumerate(rows):
        size = GRID_SIZE * _BOLD if number < heads else GRID_SIZE
        for column, cell in enumerate(row):
            if cell not in (ABOVE, LEFT) and row[column + 1 : column + 2] != (LEFT,):
                wanted[column] = max(wanted[column], round(text_width(cell) * size / 1000) + 2 * CELL_INSET + 2)
    given = list(wanted)
    if sum(wanted) > width:
        low, high = 0, max(wanted)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if sum(min(w, middle) for w in wanted) <= width else (low, middle - 1)
        given = [min(w, low) for w in wanted]
    total = sum(given)
    stretched = [w * width // total for w in given]
    stretched[-1] += width - sum(stretched)
    return tuple(stretched)
