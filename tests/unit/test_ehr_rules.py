from datetime import UTC, datetime, timedelta

import pytest

from ehr_view.domain import pagination, sheets
from ehr_view.domain.records import (
    ExamReport,
    Flag,
    Form,
    Frame,
    ImagingStudy,
    LabItem,
    LabReport,
    Note,
    Range,
    Record,
    Section,
    flag_of,
    record_id,
)
from ehr_view.domain.trends import trends_of, with_previous
from ehr_view.domain.typography import medical, text_width, unit_text, wrap, wrap_whole

AT = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)


def item(name: str = "钾", number: float | None = 4.1, flag: Flag = Flag.NORMAL, unit: str = "mmol/L") -> LabItem:
    value = "" if number is None else f"{number}"
    return LabItem(code=f"code-{name}", name=name, value=value, unit=unit, range=Range(3.5, 5.3), flag=flag, number=number)


def lab(*items: LabItem, at: datetime = AT, name: str = "lab") -> Record:
    return Record(f"{name}-{at:%Y%m%d}", Form.LAB, "电解质", at, LabReport(items))


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("10*9/L", "10⁹/L"),
        ("10^12/L", "10¹²/L"),
        ("10\\S\\9/L", "10⁹/L"),
        ("umol/L", "μmol/L"),
        ("µg/L", "μg/L"),
        ("u[IU]/mL", "μIU/mL"),
        ("mL/min/{1.73_m2}", "mL/min/1.73m²"),
        ("Cel", "℃"),
        ("{ratio}", ""),
        ("1", ""),
        ("mm[Hg]", "mmHg"),
        ("某单位", "某单位"),
    ],
)
def test_units_are_set_as_they_are_printed(written: str, printed: str) -> None:
    assert unit_text(written) == printed


def test_powers_and_ions_in_a_text_are_set_and_other_words_left_alone() -> None:
    assert medical("K+ 5.9，HCO3- 18，WBC 12.3×10^9/L，HBsAg(+)，CD4+T") == "K⁺ 5.9，HCO₃⁻ 18，WBC 12.3×10⁹/L，HBsAg(+)，CD4+T"


def test_wrapped_lines_fit_lose_nothing_and_begin_with_no_closing_mark() -> None:
    text = "患者因“反复咳嗽、咳痰（白色泡沫痰）2周，加重伴发热3天”于 2026-01-03 就诊；WBC 12.3×10⁹/L，CRP 56.2 mg/L。\n" * 5
    for width in (9_000, 12_000, 20_000, 28_000):
        assert "".join(wrap_whole(text, width)) == text
        lines = wrap(text, width)
        assert max(map(text_width, lines)) <= width
        assert not [line for line in lines if line.startswith(tuple("，。；）”"))]


def test_a_figure_stays_with_its_unit() -> None:
    text = "右肺下叶后基底段见片状实变影，边界模糊，大小约42 mm×31 mm，内见支气管充气征，尿酸 638 μmol/L↑；肌酐 77 μmol/L。" * 3
    for width in range(12_000, 30_000, 700):
        lines = wrap(text, width)
        assert not [line for line in lines if line[-1].isdigit() and line.endswith(("42", "31", "638", "77"))]
        assert not [line for line in lines if line.startswith(" ")]


def test_a_word_longer_than_a_line_is_cut() -> None:
    assert "".join(wrap("A" * 500, 10_000)) == "A" * 500


def test_at_the_limit_of_a_range_is_within_it() -> None:
    reference = Range(3.5, 5.3)
    flags = [flag_of(number, reference) for number in (3.49, 3.5, 5.3, 5.31, None)]
    assert flags == [Flag.LOW, Flag.NORMAL, Flag.NORMAL, Flag.HIGH, Flag.NORMAL]


def test_a_result_stands_beside_the_one_before_it_in_the_same_unit() -> None:
    later = AT + timedelta(days=30)
    records = (lab(item(number=6.1), at=later), lab(item(number=5.0)), lab(item(number=19.5, unit="mg/dL"), name="other"))
    newest = with_previous(records)[0].content
    assert isinstance(newest, LabReport)
    assert (newest.items[0].previous, newest.items[0].previous_at) == ("5.0", AT)


def test_a_course_needs_three_results_up_to_the_report_and_one_out_of_range() -> None:
    times = [AT + timedelta(days=30 * n) for n in range(4)]
    records = [lab(item(number=5.0 + n, flag=Flag.HIGH if n else Flag.NORMAL), at=at) for n, at in enumerate(times)]
    assert [len(t.points) for t in trends_of(records[3], records)] == [4]
    assert [len(t.points) for t in trends_of(records[2], records)] == [3]
    assert trends_of(records[1], records) == ()
    steady = [lab(item(number=4.0), at=at) for at in times]
    assert trends_of(steady[3], steady) == ()


def test_one_sample_in_two_reports_is_one_measurement() -> None:
    times = [AT, AT + timedelta(days=30), AT + timedelta(days=30, minutes=40), AT + timedelta(days=60)]
    numbers = [5.0, 6.5, 6.5, 6.1]
    records = with_previous(
        [lab(item(number=n, flag=Flag.HIGH), at=at, name=f"r{at:%d%H%M}") for n, at in zip(numbers, times, strict=True)]
    )
    shown = [record.content.items[0].previous for record in records if isinstance(record.content, LabReport)]
    assert shown == ["", "5.0", "5.0", "6.5"]
    assert [[p.number for p in t.points] for t in trends_of(records[3], records)] == [[5.0, 6.5, 6.1]]


def test_ids_are_stable_say_nothing_and_differ_by_hospital() -> None:
    assert record_id("a", "DiagnosticReport", "1") == record_id("a", "DiagnosticReport", "1")
    assert len({record_id(h, k, "1") for h in ("a", "b") for k in ("DiagnosticReport", "Composition")}) == 4


@pytest.mark.parametrize(("rows", "pages"), [(1, 1), (24, 1), (40, 1), (41, 2), (120, 3), (5000, 125)])
def test_a_table_takes_as_few_pages_as_it_can_evenly_filled(rows: int, pages: int) -> None:
    made = pagination.paginate(lab(*(item(f"项目{n}") for n in range(rows))))
    tables = [block for sheet in made for block in sheet.blocks if isinstance(block, sheets.Table)]
    assert len(made) == pages
    assert sum(len(table.rows) for table in tables) == rows
    assert {len(made)} == {sheet.count for sheet in made}
    for sheet in made:
        assert sum(map(pagination.block_height, sheet.blocks)) <= pagination.BODY_HEIGHT


def test_few_rows_are_set_loosely_and_many_tightly() -> None:
    density = [
        block.density
        for rows in (20, 30, 40)
        for block in pagination.paginate(lab(*(item(f"项目{n}") for n in range(rows))))[0].blocks
        if isinstance(block, sheets.Table)
    ]
    assert density == [0, 1, 2]


def test_no_page_of_a_long_note_overflows_and_no_word_is_lost() -> None:
    text = "患者病情平稳，继续目前治疗方案，定期复查血常规及肝肾功能。" * 400
    record = Record("n", Form.NOTE, "病程记录", AT, Note((Section("病程", text), Section("医嘱", "随诊"))))
    made = pagination.paginate(record)
    shown = "".join(block.text for sheet in made for block in sheet.blocks if isinstance(block, sheets.Text))
    assert shown.replace("\n", "") == text + "随诊"
    for sheet in made:
        assert sum(map(pagination.block_height, sheet.blocks)) <= pagination.BODY_HEIGHT
        assert not isinstance(sheet.blocks[-1], sheets.Heading)


def test_a_note_beyond_all_measure_ends_with_how_much_is_left_out() -> None:
    record = Record("n", Form.NOTE, "病程记录", AT, Note((Section("", "长" * 3_000_000),)))
    made = pagination.paginate(record)
    assert len(made) <= pagination.MAX_PAGES
    assert isinstance(made[-1].blocks[-1], sheets.Remark)


def test_an_empty_record_says_that_it_is_empty() -> None:
    [sheet] = pagination.paginate(Record("e", Form.EXAM, "", AT, ExamReport("", "")))
    assert isinstance(sheet.blocks[0], sheets.Remark)


@pytest.mark.parametrize(
    ("frames", "pages"), [(1, [1]), (4, [1, 1, 1, 1]), (5, [5]), (24, [6, 6, 6, 6]), (25, [6, 6, 6, 6, 1])]
)
def test_pictures_stand_alone_or_six_a_page(frames: int, pages: list[int]) -> None:
    study = ImagingStudy("1.2", "CT", "胸部", tuple(Frame("1.3", f"1.4.{n}", 1, f"{n}") for n in range(frames)))
    made = pagination.paginate(Record("i", Form.IMAGING, "胸部CT", AT, study))
    slots = [len(block.slots) for sheet in made for block in sheet.blocks if isinstance(block, sheets.Pictures)]
    assert slots == pages
    taken = [n for number in range(1, len(made) + 1) for n in pagination.frames_of_page(study, number)]
    assert taken == list(range(frames))


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        (Range(3.5, 9.5), "3.5–9.5"),
        (Range(None, 5.18), "≤5.18"),
        (Range(90, None), "≥90"),
        (Range(), ""),
        (Range(text="阴性"), "阴性"),
        (Range(0.0000001, 28600000), "0–28600000"),
    ],
)
def test_ranges_are_printed_without_powers_of_ten(reference: Range, text: str) -> None:
    assert pagination.range_text(reference) == text
