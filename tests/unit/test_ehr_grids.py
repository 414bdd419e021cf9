"""Tables of documents: from a CDA narrative to the page, cell by cell."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehr_view.cda import read_cda
from ehr_view.domain import sheets
from ehr_view.domain.grids import MOST_COLUMNS, filled, line_of
from ehr_view.domain.pagination import BODY_HEIGHT, INNER_WIDTH, block_height, paginate
from ehr_view.domain.records import Form, Note, Record, Section
from ehr_view.domain.sheets import Sheet
from ehr_view.domain.typography import ABOVE, CELL, HEAD, LEFT
from ehr_view.drawing.page import draw_sheet
from ehr_view.hl7.mapping import split_sections

AT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
MARKS = (CELL, HEAD, ABOVE, LEFT)
MEDICINES = """<table><caption>出院带药</caption>
<thead><tr><th rowspan="2">药品</th><th colspan="2">用法</th><th rowspan="2">备注</th></tr>
<tr><th>剂量</th><th>频次</th></tr></thead>
<tbody>
<tr><td rowspan="2">二甲双胍</td><td>0.5 g</td><td>早餐后</td><td></td></tr>
<tr><td>0.25 g</td><td>晚餐后</td><td>肌酐升高时停用</td></tr>
<tr><td>阿司匹林</td><td colspan="2">100 mg 每晚</td><td>【必要时】</td></tr>
</tbody></table>"""


def document(narrative: str) -> bytes:
    return (
        '<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>出院小结</title><component><structuredBody>'
        f"<component><section><title>用药</title><text>{narrative}</text></section></component>"
        "</structuredBody></component></ClinicalDocument>"
    ).encode()


def pages(text: str) -> tuple[Sheet, ...]:
    """As a document comes: through one text and apart again."""
    return paginate(Record("r", Form.NOTE, "出院小结", AT, Note(tuple(split_sections(text)))))


def grids(found: tuple[Sheet, ...]) -> list[sheets.Grid]:
    return [block for sheet in found for block in sheet.blocks if isinstance(block, sheets.Grid)]


def test_a_table_keeps_its_rows_columns_head_and_cells_that_span() -> None:
    found = pages(read_cda(document(f"<paragraph>共两种。</paragraph>{MEDICINES}<paragraph>按时服药。</paragraph>")).text)
    assert [type(block).__name__ for block in found[0].blocks] == ["Heading", "Text", "Grid", "Text"]
    (grid,) = grids(found)
    assert grid.head == (("药品", "用法", LEFT, "备注"), (ABOVE, "剂量", "频次", ABOVE))
    assert grid.rows == (
        ("二甲双胍", "0.5 g", "早餐后", ""),
        (ABOVE, "0.25 g", "晚餐后", "肌酐升高时停用"),
        ("阿司匹林", "100 mg 每晚", LEFT, "〔必要时〕"),
    )
    assert sum(grid.widths) == INNER_WIDTH
    assert [block.text for block in found[0].blocks if isinstance(block, sheets.Text)] == ["共两种。\n出院带药", "按时服药。"]


@pytest.mark.parametrize(("width", "dark"), [(1080, False), (1440, True)])
def test_a_table_is_drawn_at_every_width(width: int, *, dark: bool) -> None:
    (sheet,) = pages(read_cda(document(MEDICINES)).text)
    (plain,) = pages("用药：见医嘱")
    drawn, empty = (draw_sheet(s, "唐玉兰", "YZ1", width=width, dark=dark, loaded=()) for s in (sheet, plain))
    assert drawn.width == empty.width
    assert drawn.tobytes() != empty.tobytes()


def test_a_long_table_has_its_head_on_each_page_and_says_again_what_goes_on_from_the_page_before() -> None:
    first = '<td rowspan="100">住院医嘱</td>'
    rows = "".join(f"<tr>{first if n == 0 else ''}<td>第 {n} 项</td></tr>" for n in range(100))
    head = "<thead><tr><th>类别</th><th>内容</th></tr></thead>"
    found = pages(read_cda(document(f"<table>{head}<tbody>{rows}</tbody></table>")).text)
    parts = grids(found)
    assert len(parts) == len(found) > 2
    assert {part.head for part in parts} == {(("类别", "内容"),)}
    assert [part.rows[0][0] for part in parts] == ["住院医嘱"] * len(parts)
    assert [row[1] for part in parts for row in part.rows] == [f"第 {n} 项" for n in range(100)]
    assert all(sum(map(block_height, sheet.blocks)) <= BODY_HEIGHT for sheet in found)


@pytest.mark.parametrize(
    "table",
    [
        "<table><tr>" + "".join(f"<td>第{n}格</td>" for n in range(MOST_COLUMNS + 1)) + "</tr></table>",
        f'<table><tr><td colspan="999999999">第0格</td><td>第{MOST_COLUMNS}格</td></tr></table>',
        "<table><tr><th>第0格</th></tr><tr><th>第8格</th></tr></table>",
        f"<table><tr><td>第0格</td><td>{'很长。' * 4000}第8格</td></tr></table>",
    ],
    ids=["columns", "spans", "only heads", "a row longer than a page"],
)
def test_what_is_no_table_for_a_page_is_told_in_lines_and_in_full(table: str) -> None:
    found = pages(read_cda(document(table)).text)
    words = "".join(block.text for sheet in found for block in sheet.blocks if isinstance(block, sheets.Text))
    assert grids(found) == []
    assert "第0格" in words
    assert "第8格" in words
    assert not any(mark in words for mark in MARKS)


PIECES = st.sampled_from([*MARKS, "甲", "x" * 40, "K+ 3.5", "\n", "【", ""])


@given(st.lists(st.lists(PIECES, max_size=12).map("".join), max_size=12))
@settings(max_examples=60, deadline=None)
def test_marks_from_outside_are_a_table_or_nothing_and_never_drawn(lines: list[str]) -> None:
    for sheet in paginate(Record("r", Form.NOTE, "病历", AT, Note((Section("", "\n".join(lines)),)))):
        for block in sheet.blocks:
            assert sum(map(block_height, sheet.blocks)) <= BODY_HEIGHT
            if isinstance(block, sheets.Text):
                assert not any(mark in block.text for mark in MARKS)
        draw_sheet(sheet, "唐玉兰", "YZ1", width=1080, dark=False, loaded=())


def test_a_row_is_one_line_and_what_goes_on_is_filled_from_above() -> None:
    assert line_of(["a", "b"], is_head=True) == f"{HEAD}a{CELL}b"
    assert filled([("a", "b"), (ABOVE, "c"), (ABOVE, ABOVE)]) == [("a", "b"), ("a", "c"), ("a", "c")]
