"""From a record to its pages. Pure: pages are counted without drawing.

Heights and widths are those of the narrow page (1080×1920); a wide page holds the same blocks, so that a page has one number
whatever it is drawn for.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta, timezone
from itertools import pairwise
from typing import Final

from msgspec import structs

from ehr_view.domain import sheets
from ehr_view.domain.grids import filled, grid_of, head_height, parts_of, row_height
from ehr_view.domain.records import (
    ExamReport,
    Flag,
    ImagingStudy,
    LabItem,
    LabReport,
    Note,
    Prescription,
    Range,
    Record,
    Section,
)
from ehr_view.domain.sheets import AnyBlock, Sheet
from ehr_view.domain.trends import Trend
from ehr_view.domain.typography import clean, is_whole, medical, text_width, unit_text, wrap, wrap_whole
from server.kernel.clock import to_ms

PAGE_WIDTH: Final = 1080
PAGE_HEIGHT: Final = 1920
MARGIN: Final = 56
HEAD_HEIGHT: Final = 232
FOOT_HEIGHT: Final = 84
INNER_WIDTH: Final = PAGE_WIDTH - 2 * MARGIN
BODY_HEIGHT: Final = PAGE_HEIGHT - HEAD_HEIGHT - FOOT_HEIGHT

BODY_SIZE: Final = 34
BODY_LINE: Final = 56
HEADING_HEIGHT: Final = 84
BLOCK_GAP: Final = 18
REMARK_SIZE: Final = 26
REMARK_LINE: Final = 42
STRONG_INSET: Final = 28
STRONG_PAD: Final = 20

TABLE_HEAD: Final = 54
ROW_LINES: Final = (38, 34, 31)
ROW_PADS: Final = (22, 14, 7)
ROW_SIZES: Final = (30, 28, 25)
SMALL_SIZES: Final = (25, 24, 22)
COLUMNS: Final = (318, 184, 166, 172, 128)
"""Name, value, unit, range, previous."""
CELL_PAD: Final = 10
FLAG_WIDTH: Final = 46
"""Kept free in the value's cell for the arrow."""

DRUG_NAME_SIZE: Final = 34
DRUG_SIZE: Final = 29
DRUG_INDENT: Final = 64
CHART_HEIGHT: Final = 496

PICTURE_CAPTION: Final = 44

MAX_PAGES: Final = 400
"""What goes beyond is left out, and the last page says so."""

MAX_TEXT: Final = 80_000
"""Characters of one document that are set; the page says what was left out."""

SHANGHAI: Final = timezone(timedelta(hours=8))


def paginate(record: Record, trends: Sequence[Trend] = ()) -> tuple[Sheet, ...]:
    """All pages of a record, at least one."""
    content = record.content
    match content:
        case Note():
            pages = _flow(_note_blocks(content.sections))
        case Prescription():
            pages = _flow(_prescription_blocks(content))
        case ExamReport():
            pages = _flow(_exam_blocks(content))
        case LabReport():
            pages = _lab_pages(content, trends)
        case ImagingStudy():
            pages = _picture_pages(content)
    pages = _bounded(pages)
    facts = _facts(record)
    return tuple(
        Sheet(
            form=record.form.value,
            title=_one_line(record.title) or "病历",
            number=number,
            count=len(pages),
            facts=facts,
            blocks=tuple(blocks),
            critical=record.critical,
        )
        for number, blocks in enumerate(pages, start=1)
    )


def _bounded(pages: list[list[AnyBlock]]) -> list[list[AnyBlock]]:
    if not pages:
        return [[sheets.Remark("医院返回的这份记录没有内容。")]]
    if len(pages) <= MAX_PAGES:
        return pages
    left = len(pages) - MAX_PAGES
    last: list[AnyBlock] = [sheets.Remark(f"内容过长：其后还有 {left + 1} 页未显示，请在医院系统中查看全文。")]
    return [*pages[: MAX_PAGES - 1], last]


def _one_line(text: str) -> str:
    return medical(" ".join(clean(text).split()))


def _facts(record: Record) -> tuple[tuple[str, str], ...]:
    local = record.occurred_at.astimezone(SHANGHAI)
    pairs = [("日期", f"{local:%Y-%m-%d %H:%M}"), ("科室", record.department), ("医师", record.author)]
    match record.content:
        case LabReport(specimen=specimen):
            pairs.insert(1, ("标本", specimen))
        case ExamReport(body_site=site) | ImagingStudy(body_site=site):
            pairs.insert(1, ("部位", site))
        case _:
            pass
    return tuple((label, _one_line(words)) for label, words in pairs if words.strip())


# Flowing text


def _note_blocks(sections: Iterable[Section]) -> list[AnyBlock]:
    blocks: list[AnyBlock] = []
    room = MAX_TEXT
    for section in sections:
        if section.title:
            blocks.append(sheets.Heading(_one_line(section.title)))
        if len(section.text) > room:
            blocks.append(sheets.Text(_set(clean(section.text[:room]).strip("\n"))))
            blocks.append(sheets.Remark(f"内容过长：此处以下约 {len(section.text) - room} 字未显示，请在医院系统中查看全文。"))
            break
        room -= len(section.text)
        blocks += _told(section.text, len(blocks))
    return blocks


def _told(text: str, number: int) -> Iterator[AnyBlock]:
    """Paragraphs and tables. `number`: what no other block of the document has."""
    for part in parts_of(text):
        grid = None if isinstance(part, str) else grid_of(part, number, INNER_WIDTH, BODY_HEIGHT - HEADING_HEIGHT - BLOCK_GAP)
        number += 1
        words = clean(part if isinstance(part, str) else "\n".join(part)).strip("\n")
        if grid is not None:
            yield grid
        elif words:
            yield sheets.Text(_set(words))


def _set(text: str) -> str:
    return "\n".join(medical(line.rstrip()) for line in text.split("\n"))


def _prescription_blocks(content: Prescription) -> list[AnyBlock]:
    blocks: list[AnyBlock] = []
    if content.diagnosis.strip():
        blocks += [sheets.Heading("临床诊断"), sheets.Text(_set(clean(content.diagnosis)))]
    blocks.append(sheets.Heading("处方  Rp."))
    for number, drug in enumerate(content.drugs, start=1):
        words = (drug.name, drug.dose, drug.usage, drug.quantity, drug.note)
        blocks.append(sheets.Drug(number, *map(_one_line, words)))
    return blocks


def _exam_blocks(content: ExamReport) -> list[AnyBlock]:
    blocks: list[AnyBlock] = []
    if content.findings.strip():
        blocks += [sheets.Heading("检查所见"), sheets.Text(_set(clean(content.findings).strip()[:MAX_TEXT]))]
    if content.impression.strip():
        blocks += [sheets.Heading("检查提示"), sheets.Text(_set(clean(content.impression).strip()[:MAX_TEXT]), strong=True)]
    return blocks


def _flow(blocks: Iterable[AnyBlock]) -> list[list[AnyBlock]]:
    """Blocks over pages: text is cut between lines, a heading never stands alone at the foot of a page."""
    pages: list[list[AnyBlock]] = []
    page: list[AnyBlock] = []
    left = BODY_HEIGHT
    for block in blocks:
        for piece, own in _pieces(block):
            height = own + _opening(page, piece)
            if height > left and page:
                carried = [page.pop()] if isinstance(page[-1], sheets.Heading) and len(page) > 1 else []
                pages.append(page)
                page = list(carried)
                left = BODY_HEIGHT - len(page) * HEADING_HEIGHT
                height = own + _opening(page, piece)
            page.append(piece)
            left -= height
    if page:
        pages.append(page)
    return [_joined(p) for p in pages]


def _opening(page: Sequence[AnyBlock], piece: AnyBlock) -> int:
    """What a row of a table needs beside its own height: where its table begins on the page, its head."""
    if not isinstance(piece, sheets.Grid) or (page and _is_same_table(page[-1], piece)):
        return 0
    return head_height(piece) + BLOCK_GAP


def _is_same_table(one: AnyBlock, other: sheets.Grid) -> bool:
    return isinstance(one, sheets.Grid) and one.number == other.number


def _pieces(block: AnyBlock) -> Iterable[tuple[AnyBlock, int]]:
    """Text line by line (a strong one in pieces that fit a page), tables of documents row by row, all else whole; each with its
    height."""
    if isinstance(block, sheets.Grid):
        whole = filled(block.rows)
        return [
            (structs.replace(block, rows=(row, said)), row_height(said, block.widths))
            for row, said in zip(block.rows, whole, strict=True)
        ]
    if not isinstance(block, sheets.Text):
        return ((block, block_height(block)),)
    lines = wrap_whole(block.text, text_columns(strong=block.strong))
    if not block.strong:
        return [(sheets.Text(line), BODY_LINE) for line in lines]
    frame = 2 * STRONG_PAD + BLOCK_GAP
    most = (BODY_HEIGHT - HEADING_HEIGHT - frame) // BODY_LINE
    parts = [lines[i : i + most] for i in range(0, len(lines), most)]
    return [(sheets.Text("".join(part).rstrip("\n"), strong=True), len(part) * BODY_LINE + frame) for part in parts]


def _joined(page: list[AnyBlock]) -> list[AnyBlock]:
    """Lines that follow one another as one text again, so that a wide page sets its paragraphs anew; rows as one table, the
    first on a page with what goes on from the page before."""
    out: list[AnyBlock] = []
    texts: list[str] = []
    for block in page:
        if isinstance(block, sheets.Text) and not block.strong:
            texts.append(block.text)
            continue
        if texts:
            out.append(sheets.Text("".join(texts).removesuffix("\n")))
            texts = []
        if isinstance(block, sheets.Grid):
            row, said = block.rows
            if out and _is_same_table(last := out[-1], block) and isinstance(last, sheets.Grid):
                out[-1] = structs.replace(last, rows=(*last.rows, row))
            else:
                out.append(structs.replace(block, rows=(said,)))
            continue
        out.append(block)
    if texts:
        out.append(sheets.Text("".join(texts).removesuffix("\n")))
    return out


def text_columns(*, strong: bool) -> int:
    """The width of running text, in thousandths of its size."""
    width = INNER_WIDTH - (2 * STRONG_INSET if strong else 0)
    return width * 1000 // BODY_SIZE


def block_height(block: AnyBlock) -> int:
    """How much of a narrow page a block takes."""
    match block:
        case sheets.Heading():
            return HEADING_HEIGHT
        case sheets.Text(text=text, strong=strong):
            lines = len(wrap(text, text_columns(strong=strong)))
            return lines * BODY_LINE + (2 * STRONG_PAD + BLOCK_GAP if strong else 0)
        case sheets.Remark(text=text):
            return len(wrap(text, INNER_WIDTH * 1000 // REMARK_SIZE)) * REMARK_LINE + BLOCK_GAP
        case sheets.Drug():
            return drug_height(block)
        case sheets.Table():
            return TABLE_HEAD + sum(result_height(row, block.density) for row in block.rows) + BLOCK_GAP
        case sheets.Grid(rows=rows, widths=widths):
            return head_height(block) + sum(row_height(row, widths) for row in rows) + BLOCK_GAP
        case sheets.Chart():
            return CHART_HEIGHT
        case sheets.Pictures():
            return BODY_HEIGHT


def drug_lines(drug: sheets.Drug, width: int = INNER_WIDTH) -> tuple[list[str], list[str]]:
    """The lines of a drug's name, and those of how it is taken."""
    name = wrap(drug.name, (width - DRUG_INDENT - 190) * 1000 // DRUG_NAME_SIZE)
    how = "    ".join(words for words in (drug.dose, drug.usage, drug.note) if words)
    return name, wrap(how, (width - DRUG_INDENT) * 1000 // DRUG_SIZE) if how else []


def drug_height(drug: sheets.Drug) -> int:
    name, how = drug_lines(drug)
    return len(name) * 50 + len(how) * 44 + 40


# Tables


def _lab_pages(report: LabReport, trends: Sequence[Trend]) -> list[list[AnyBlock]]:
    rows = [_row(item) for item in report.items]
    pages: list[list[AnyBlock]] = []
    if rows:
        density = _density(rows)
        pages = [[sheets.Table(tuple(part), density)] for part in _split_rows(rows, density)]
    tail: list[AnyBlock] = []
    if report.left_out:
        tail.append(sheets.Remark(f"另有 {report.left_out} 项结果未能从医院取得，此处未显示。"))
    if report.conclusion.strip():
        tail += [sheets.Heading("结论"), sheets.Text(_set(clean(report.conclusion)), strong=True)]
    for trend in trends:
        tail.append(_chart(trend))
    more = _flow(tail)
    if pages and more and sum(map(block_height, [*pages[-1], *more[0]])) <= BODY_HEIGHT:
        pages[-1] = [*pages[-1], *more.pop(0)]
    return pages + more


def _row(item: LabItem) -> sheets.Row:
    return sheets.Row(
        name=_one_line(item.name) or "（未命名项目）",
        value=_one_line(item.value),
        unit=unit_text(item.unit),
        range=range_text(item.range),
        flag=item.flag.value,
        previous=_one_line(item.previous),
        move=_move(item),
    )


def _move(item: LabItem) -> int:
    if item.number is None or item.previous_number is None or item.number == item.previous_number:
        return 0
    return 1 if item.number > item.previous_number else -1


def range_text(reference: Range) -> str:
    """`3.5–9.5`, `≤5.2`, `≥60`, or the hospital's own words."""
    if reference.text.strip():
        return _one_line(reference.text).replace("--", "–")
    low, high = reference.low, reference.high
    if low is None:
        return "" if high is None else f"≤{figure(high)}"
    return f"≥{figure(low)}" if high is None else f"{figure(low)}–{figure(high)}"


def figure(number: float) -> str:
    """A figure without needless zeros and never in powers of ten."""
    text = f"{number:.6f}".rstrip("0").rstrip(".")
    return text if text not in ("-0", "") else "0"


def row_cells(row: sheets.Row, density: int, widths: Sequence[int] = COLUMNS) -> tuple[list[str], ...]:
    """The lines of each of a row's cells. A figure, range or unit stays on one line, set smaller if too wide."""
    return tuple(
        _lines(text, most, column) for column, (text, most) in enumerate(zip(_texts(row), _room(density, widths), strict=True))
    )


def _lines(text: str, most: int, column: int) -> list[str]:
    return [text] if text_width(text) <= most or (column > 0 and is_whole(text)) else wrap(text, most)


def _texts(row: sheets.Row) -> tuple[str, ...]:
    return (row.name, row.value, row.unit, row.range, row.previous)


def _room(density: int, widths: Sequence[int]) -> list[int]:
    """The widths of a row's cells, in thousandths of their type's size."""
    size, small = ROW_SIZES[density], SMALL_SIZES[density]
    sizes = (size, size, small, small, small)
    taken = (CELL_PAD, CELL_PAD + FLAG_WIDTH, CELL_PAD, CELL_PAD, CELL_PAD)
    return [(width - used) * 1000 // type_size for width, used, type_size in zip(widths, taken, sizes, strict=True)]


def result_height(row: sheets.Row, density: int) -> int:
    return _heights([row], density)[0]


def _heights(rows: Sequence[sheets.Row], density: int) -> list[int]:
    room = _room(density, COLUMNS)
    counts = (max(len(_lines(text, room[column], column)) for column, text in enumerate(_texts(row))) for row in rows)
    return [lines * ROW_LINES[density] + ROW_PADS[density] for lines in counts]


def _density(rows: Sequence[sheets.Row]) -> int:
    """The loosest spacing that needs no more pages than the tightest."""

    def pages(density: int) -> int:
        return len(_greedy(rows, _heights(rows, density), _ROWS_HEIGHT))

    tightest = len(ROW_LINES) - 1
    if sum(_heights(rows, 0)) <= _ROWS_HEIGHT:
        return 0
    fewest = pages(tightest)
    return next((density for density in range(tightest) if pages(density) == fewest), tightest)


_ROWS_HEIGHT: Final = BODY_HEIGHT - TABLE_HEAD - BLOCK_GAP


def _split_rows(rows: Sequence[sheets.Row], density: int) -> list[list[sheets.Row]]:
    """Rows over pages, as evenly as their heights allow."""
    heights = _heights(rows, density)
    if sum(heights) <= _ROWS_HEIGHT:
        return [list(rows)]
    pages = len(_greedy(rows, heights, _ROWS_HEIGHT))
    even = -(-sum(heights) // pages)
    for target in range(even, _ROWS_HEIGHT, max(heights)):
        split = _greedy(rows, heights, target)
        if len(split) == pages:
            return split
    return _greedy(rows, heights, _ROWS_HEIGHT)


def _greedy(rows: Sequence[sheets.Row], heights: Sequence[int], room: int) -> list[list[sheets.Row]]:
    pages: list[list[sheets.Row]] = [[]]
    used = 0
    for row, height in zip(rows, heights, strict=True):
        if pages[-1] and used + height > room:
            pages.append([])
            used = 0
        pages[-1].append(row)
        used += height
    return pages


def _chart(trend: Trend) -> sheets.Chart:
    return sheets.Chart(
        name=_one_line(trend.name),
        unit=unit_text(trend.unit),
        range=range_text(trend.range),
        low=trend.range.low,
        high=trend.range.high,
        dots=tuple(sheets.Dot(to_ms(p.at), p.number, _one_line(p.value), _flag(p.flag)) for p in trend.points),
    )


def _flag(flag: Flag) -> str:
    return flag.value


# Pictures

SINGLE_MOST: Final = 4
"""A study with so few pictures shows each on a page of its own; one with more, six a page."""


def _picture_pages(study: ImagingStudy) -> list[list[AnyBlock]]:
    columns, per_page = (1, 1) if len(study.frames) <= SINGLE_MOST else (2, 6)
    pages: list[list[AnyBlock]] = []
    for first, after in pairwise([*range(0, len(study.frames), per_page), len(study.frames)]):
        slots = tuple(
            sheets.PictureSlot(index, _one_line(frame.caption)) for index, frame in enumerate(study.frames[first:after])
        )
        pages.append([sheets.Pictures(columns, slots)])
    return pages


def frames_of_page(study: ImagingStudy, number: int) -> range:
    """Which frames of a study stand on page `number` (from 1)."""
    per_page = 1 if len(study.frames) <= SINGLE_MOST else 6
    first = (number - 1) * per_page
    return range(first, min(first + per_page, len(study.frames)))
