"""Tables of a CDA narrative as rows of text, with cells that span columns or rows."""

from typing import Final

from ehr_view.domain.grids import MOST_COLUMNS, line_of
from ehr_view.domain.typography import ABOVE, LEFT
from ehr_view.safe_xml import Element

_GROUPS: Final = ("thead", "tbody", "tfoot")
_CELLS: Final = ("td", "th")
_BRACKETS: Final = str.maketrans("【】\n\r", "〔〕  ")
"""Titles of sections stand in 【】, and a row is one line."""


def table_lines(table: Element) -> list[str]:
    """Caption and rows; nothing where it is wider than a page can be, so that it is told cell by cell."""
    lines, held, found_body = [], list[int](), False
    for row, in_head in _rows(table):
        cells, held = _cells(row, held)
        if not 1 <= len(cells) <= MOST_COLUMNS:
            return []
        is_head = not found_body and (in_head or all(cell.name == "th" for cell in _own(row)))
        found_body = found_body or not is_head
        lines.append(line_of(cells, is_head=is_head))
    captions = [words for caption in table.elements("caption") if (words := " ".join(caption.text().split()))]
    return captions + lines if found_body else []


def _rows(table: Element) -> list[tuple[Element, bool]]:
    """All rows, those of the head first, and whether they are of it."""
    rows: list[tuple[Element, bool]] = []
    for group in _GROUPS:
        rows += [(row, group == "thead") for part in table.elements(group) for row in part.elements("tr")]
        if group == "thead":
            rows += [(row, False) for row in table.elements("tr")]
    return rows


def _own(row: Element) -> list[Element]:
    return [cell for cell in row.elements() if cell.name in _CELLS]


def _cells(row: Element, held: list[int]) -> tuple[list[str], list[int]]:
    """A row's cells, and for how many more rows each column is held from above. What is too wide ends early."""
    cells: list[str] = []
    goes_on: list[int] = []

    def take_held() -> None:
        while len(cells) < len(held) and held[len(cells)] > 0:
            goes_on.append(held[len(cells)] - 1)
            cells.append(ABOVE)

    for cell in _own(row):
        take_held()
        words = " ".join(cell.text().translate(_BRACKETS).split())
        wide, down = (_span(cell, name) for name in ("colspan", "rowspan"))
        cells += [words, *[LEFT] * (wide - 1)]
        goes_on += [down - 1] * wide
        if len(cells) > MOST_COLUMNS:
            break
    take_held()
    return cells, goes_on


def _span(cell: Element, name: str) -> int:
    """1 where nothing sensible is said. A hundred rows are more than a page has."""
    said = cell.get(name)
    most = MOST_COLUMNS + 1 if name == "colspan" else 100
    return min(max(int(said), 1), most) if said.isascii() and said.isdigit() and len(said) < 10 else 1
