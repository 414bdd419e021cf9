import base64
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ehr_view import fhir_mapping as mapping
from ehr_view.domain.records import ExamReport, Flag, Form, LabReport, Note, PatientRef, Prescription, Section
from ehr_view.domain.typography import text_width
from ehr_view.hospital import PARTS, is_same_person, map_all
from watermark.fonts import load_face

PERSON = PatientRef("resident", "110105196602150023", "唐玉兰", date(1966, 2, 15), "female")


def entry(**more: Any) -> dict[str, Any]:
    known = {"identifier": [{"value": "110105196602150023"}], "birthDate": "1966-02-15", "gender": "female"}
    return known | {"name": [{"text": "唐 玉兰"}]} | more


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"name": []}, True),
        ({"name": [{"family": "唐", "given": ["玉兰"]}]}, True),
        ({"birthDate": "1966-02"}, True),
        ({"identifier": [{"value": "110105196602150031"}]}, False),
        ({"identifier": None}, False),
        ({"birthDate": "1966-02-16"}, False),
        ({"gender": "male"}, False),
        ({"name": [{"text": "唐玉蓝"}]}, False),
    ],
)
def test_the_same_person_has_the_same_number_and_nothing_that_differs(change: dict[str, Any], same: bool) -> None:
    assert is_same_person(entry(**change), PERSON) is same


def test_a_figure_keeps_its_digits_and_its_comparator() -> None:
    quantity = {"value": Decimal("4.60"), "unit": "mmol/L", "comparator": "<"}
    observation = {"code": {"text": "钾"}, "valueQuantity": quantity, "referenceRange": [{"low": {"value": Decimal("3.50")}}]}
    [item] = mapping.items_of(observation)
    assert (item.value, item.unit, item.number, item.range.text) == ("<4.60", "mmol/L", None, "≥3.50")


@pytest.mark.parametrize(
    ("codes", "flag"),
    [
        (["H"], Flag.HIGH),
        (["H", "HH"], Flag.CRITICAL_HIGH),
        (["LL"], Flag.CRITICAL_LOW),
        (["N"], Flag.NORMAL),
        (["XYZ"], Flag.HIGH),
    ],
)
def test_the_hospitals_flag_goes_before_the_range(codes: list[str], flag: Flag) -> None:
    [item] = mapping.items_of(
        {
            "code": {"text": "钾"},
            "valueQuantity": {"value": 9},
            "referenceRange": [{"low": {"value": 3}, "high": {"value": 5}}],
            "interpretation": [{"coding": [{"code": code}]} for code in codes],
        }
    )
    assert item.flag is flag


def test_what_cannot_be_mapped_is_shown_as_text() -> None:
    values: list[dict[str, Any]] = [
        {"valueCodeableConcept": {"text": "阳性"}},
        {"valueBoolean": True},
        {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 320}}},
        {"dataAbsentReason": {"text": "标本溶血"}},
        {},
    ]
    shown = [mapping.items_of({"code": {"text": "x"}, **value})[0].value for value in values]
    assert shown == ["阳性", "是", "1:320", "标本溶血", "（无结果）"]


def test_results_that_a_report_names_and_that_are_not_there_are_counted() -> None:
    report = {
        "id": "1",
        "effectiveDateTime": "2026-01-05T10:00:00+08:00",
        "result": [{"reference": "Observation/a"}, {"reference": "Observation/b"}],
    }
    record = mapping.lab_report("default", {"a": {"code": {"text": "钾"}, "valueString": "4"}})(report)
    if record is None or not isinstance(record.content, LabReport):
        raise AssertionError
    assert (len(record.content.items), record.content.left_out) == (1, 1)
    assert record.occurred_at == datetime(2026, 1, 5, 2, 0, tzinfo=UTC)


def test_a_narrative_loses_its_markup_and_its_scripts() -> None:
    table = "<table><tr><td>a</td><td>b</td></tr></table>"
    markup = f"<div>主诉：<b>头痛</b><script>alert(1)</script><br/>&lt;3天&gt; &amp; {table}</div>"
    assert mapping.strip_markup(markup) == "主诉：头痛\n<3天> &\n　a　b"


def test_a_text_with_marked_headings_becomes_sections() -> None:
    assert mapping.split_sections("前言\n【主诉】头痛\n【诊断】偏头痛") == (
        Section("", "前言"),
        Section("主诉", "头痛"),
        Section("诊断", "偏头痛"),
    )


@pytest.mark.parametrize(
    ("kind", "raw", "text"),
    [
        ("text/plain; charset=utf-8", "头痛".encode(), "头痛"),
        ("text/plain; charset=GBK", "头痛".encode("gb18030"), "头痛"),
        ("text/plain", "头痛".encode("gb18030") + "三天。".encode("gb18030"), "头痛三天。"),
        ("text/plain", b"\xef\xbb\xbf" + "头痛".encode(), "头痛"),
        ("text/html", "<p>头痛</p>".encode(), "头痛"),
    ],
)
def test_attachments_are_read_in_the_character_sets_of_hospitals(kind: str, raw: bytes, text: str) -> None:
    assert mapping.attachment_text(kind, base64.b64encode(raw).decode()) == text


def test_an_attachment_that_is_no_text_is_said_to_be_so() -> None:
    assert "application/pdf" in mapping.attachment_text("application/pdf", "AAAA")


def test_drugs_that_were_prescribed_together_are_one_prescription() -> None:
    def order(name: str, group: str) -> dict[str, Any]:
        return {
            "id": name,
            "authoredOn": "2026-01-05",
            "groupIdentifier": {"value": group},
            "medicationCodeableConcept": {"text": name},
            "dosageInstruction": [{"text": "口服", "doseAndRate": [{"doseQuantity": {"value": Decimal("0.5"), "unit": "g"}}]}],
        }

    mapped = mapping.prescriptions("default", [order("a", "1"), order("b", "1"), order("c", "2")])
    drugs = [[drug.name for drug in r.content.drugs] for r in mapped.records if isinstance(r.content, Prescription)]
    assert sorted(drugs) == [["a", "b"], ["c"]]
    assert {record.form for record in mapped.records} == {Form.PRESCRIPTION}


@pytest.mark.parametrize("uid", ["", "1..2", "../../etc", "1.2/3", "1" * 65, "1.2.x"])
def test_a_uid_that_is_none_never_stands_in_an_address(uid: str) -> None:
    with pytest.raises(ValueError):
        mapping.checked_uid(uid)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["text", "coding", "code", "value", "div", "section", "reference", "result", "id", "unit", "low", "url"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)
NAMES = (
    "id status code category result conclusion text date effectiveDateTime issued section title performer specimen subject "
    "valueQuantity valueString component referenceRange interpretation series identifier modality started content "
    "medicationCodeableConcept dosageInstruction dispenseRequest groupIdentifier encounter authoredOn"
)
FIELDS = st.dictionaries(st.sampled_from(sorted(set(NAMES.split(" ")))), JSON, max_size=10)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FIELDS)
def test_no_resource_breaks_the_mapping_of_the_others(resource: dict[str, Any]) -> None:
    good = {"id": "1", "date": "2026-01-05", "title": "病历", "section": [{"title": "主诉", "text": {"div": "<p>头痛</p>"}}]}
    for make in (
        mapping.note_of_composition("h"),
        mapping.note_of_document("h", {str(resource.get("id")): "x"}),
        mapping.lab_report("h", {"1": resource}),
        mapping.exam_report("h", {"1": resource}),
        mapping.imaging_study("h", frozenset()),
    ):
        mapped = mapping.Mapped()
        mapped.add(resource, make)
        mapped.add(good, mapping.note_of_composition("h"))
        assert mapped.records[-1].content == Note((Section("主诉", "头痛"),))
        assert len(mapped.records) + mapped.unreadable <= 2
    mapping.prescriptions("h", [resource])


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_narrative_becomes_text(markup: str) -> None:
    mapping.strip_markup(markup)
    mapping.split_sections(markup)


def test_an_exam_without_findings_shows_its_narrative() -> None:
    record = mapping.exam_report("h", {})({"id": "1", "issued": "2026-01-05", "text": {"div": "<p>未见异常</p>"}})
    assert record is not None
    assert record.content == ExamReport("未见异常", "", "", "")


def test_text_is_never_wider_than_it_was_reckoned() -> None:
    """Pages are counted without the faces: what they draw must fit."""
    regular, bold = load_face(40), load_face(40, True)
    texts = ["".join(map(chr, range(0x20, 0x7F))), "αβγμ×±≤≥–—“”℃‰°²³¹⁰⁴⁵⁶⁷⁸⁹⁺⁻₂₃", "血红蛋白↑↓，。（）【】；：①②ⅠⅡ"]
    for text in texts:
        for char in unicodedata.normalize("NFC", text):
            widest = max(face.measure(char) for face in (regular, bold))
            assert widest <= text_width(char) * 40 / 1000 + 1


def _observation(name: str, **more: Any) -> dict[str, Any]:
    lab = [{"coding": [{"code": "laboratory"}]}]
    at = "2026-11-22T08:00:00+08:00"
    return {"resourceType": "Observation", "id": name, "category": lab, "effectiveDateTime": at, "code": {"text": name}} | more


def _members(*names: str) -> list[dict[str, str]]:
    return [{"reference": f"Observation/{name}"} for name in names]


def test_a_panel_stands_for_its_members_and_what_no_report_names_is_a_record_of_its_own() -> None:
    observations = [
        _observation("panel", hasMember=_members("钾", "inner", "panel", "gone")),
        _observation("inner", hasMember=_members("钠", "panel"), valueString="见下"),
        _observation("钾", valueString="4.1"),
        _observation("钠", valueString="140"),
        _observation("loose-panel", hasMember=_members("氯")),
        _observation("氯", valueString="101"),
        _observation("钙", status="entered-in-error", valueString="9.9"),
        _observation("脉搏", category=[{"coding": [{"code": "vital-signs"}]}], valueString="80"),
    ]
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "category": [{"coding": [{"code": "LAB"}]}],
        "issued": "2026-11-22T08:00:00+08:00",
        "result": [{"reference": "https://his.example/fhir/Observation/panel/_history/3"}],
    }
    own = dict.fromkeys(PARTS, ()) | {"DiagnosticReport": (report,), "Observation": observations}
    records, missing = map_all("default", own, {}, frozenset(), has_reports=True)
    said = [[(i.name, i.value) for i in r.content.items] for r in records if isinstance(r.content, LabReport)]
    assert said == [[("钾", "4.1"), ("inner", "见下"), ("钠", "140")], [("氯", "101"), ("钙", "（医院已撤回）")]]
    assert missing == []
    assert len(map_all("default", own, {}, frozenset(), has_reports=False)[0]) == 1
