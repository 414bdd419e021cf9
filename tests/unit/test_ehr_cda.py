"""CDA documents, and XML that means harm."""

import base64
import time
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehr_view.cda import read_cda
from ehr_view.domain.records import Flag, Form, LabReport, Note, Range, Section
from ehr_view.domain.typography import CELL, HEAD
from ehr_view.fhir_mapping import OtherPersonsDocument, attachment_text, split_sections
from ehr_view.hl7.mapping import arrivals_of
from ehr_view.hl7.message import Hl7Refused, parse
from ehr_view.safe_xml import MOST_DEPTH, MOST_ELEMENTS, XmlRefused, read_xml
from tests.support.cda import CONSULTATION, LABORATORY, NUMBER
from tests.support.hl7 import PID, header, message

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def test_a_chinese_document_is_read_with_its_header_and_sections() -> None:
    found = read_cda(CONSULTATION.encode())
    assert (found.title, found.author, found.custodian) == ("首次病程记录", "王慧敏", "示范医院")
    assert found.at == datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
    assert (found.numbers, found.items) == (frozenset({NUMBER}), ())
    assert (found.name, found.birth_date) == ("唐玉兰", date(1966, 2, 15))
    assert found.sections == (
        Section("主诉", f"胸闷 3 天\n• 无发热\n• 无咳嗽\n{HEAD}项目{CELL}结果\n{CELL}体温{CELL}36.5 ℃"),
        Section("既往史", "过敏史：青霉素 <皮试阳性>\n阿司匹林 100 mg"),
    )


@pytest.mark.parametrize("charset", ["gbk", "gb2312", "gb18030", "utf-16"])
def test_documents_come_in_chinese_charsets(charset: str) -> None:
    text = CONSULTATION.replace('encoding="UTF-8"', f'encoding="{charset.upper()}"').replace("℃", "度")
    assert read_cda(text.encode(charset)).title == "首次病程记录"


def test_a_laboratory_document_is_a_report_with_results() -> None:
    (item,) = read_cda(LABORATORY.encode()).items
    assert (item.code, item.name, item.value, item.unit) == ("http://loinc.org|2823-3", "钾", "6.80", "mmol/L")
    assert (item.number, item.range, item.flag) == (6.8, Range(3.5, 5.3, "3.5–5.3"), Flag.CRITICAL_HIGH)


def test_a_body_that_is_no_xml_is_shown_or_said_to_be_so() -> None:
    start = '<ClinicalDocument xmlns="urn:hl7-org:v3"><component><nonXMLBody><text '
    end = "</text></nonXMLBody></component></ClinicalDocument>"
    words = base64.b64encode("门诊记录".encode()).decode()
    assert read_cda(f'{start}mediaType="text/plain" representation="B64">{words}{end}'.encode()).text == "门诊记录"
    assert "application/pdf" in read_cda(f'{start}mediaType="application/pdf">{words}{end}'.encode()).text


def test_an_attachment_is_its_sections_and_of_another_person_it_is_refused() -> None:
    data = base64.b64encode(CONSULTATION.encode()).decode()
    for kind in ("application/xml", "text/xml; charset=utf-8", "application/hl7-cda+xml"):
        assert split_sections(attachment_text(kind, data, NUMBER)) == read_cda(CONSULTATION.encode()).sections
    with pytest.raises(OtherPersonsDocument):
        attachment_text("application/xml", data, "440524198001010013")


def _mdm(document: str, *, pid: str = PID) -> bytes:
    data = base64.b64encode(document.encode()).decode()
    return message(header("MDM^T02"), pid, "TXA|1|||||||||||D1", f"OBX|1|ED|1^x||^TEXT^XML^Base64^{data}")


def test_a_document_in_a_message_is_a_note_or_a_report() -> None:
    (arrival,) = arrivals_of(parse(_mdm(CONSULTATION)), "default", NOW)
    note = arrival.records[0].record
    assert (note.form, note.title, note.author) == (Form.NOTE, "首次病程记录", "王慧敏")
    assert note.occurred_at == datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
    assert isinstance(note.content, Note)
    assert [s.title for s in note.content.sections] == ["主诉", "既往史"]
    (arrival,) = arrivals_of(parse(_mdm(LABORATORY)), "default", NOW)
    report = arrival.records[0].record
    assert (report.form, report.critical) == (Form.LAB, True)
    assert isinstance(report.content, LabReport)
    assert [i.name for i in report.content.items] == ["钾"]


def test_a_document_of_another_person_and_broken_xml_are_refused() -> None:
    other = "PID|1||440524198001010013^^^^NI||李^四"
    for data, code in (
        (_mdm(CONSULTATION, pid=other), "document.other_patient"),
        (_mdm("<?xml version='1.0'?><ClinicalDocument>"), "document.unreadable_xml"),
    ):
        with pytest.raises(Hl7Refused) as caught:
            arrivals_of(parse(data), "default", NOW)
        assert caught.value.code == code


BOMB = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "hostile",
    [
        f'<!DOCTYPE x [<!ENTITY a0 "ha">{BOMB}]><x>&a9;</x>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>',
        "<!DOCTYPE html><html/>",
        "<x>&unknown;</x>",
        "<x>" * (MOST_DEPTH + 1) + "</x>" * (MOST_DEPTH + 1),
        "<x>" + "<y/>" * MOST_ELEMENTS + "</x>",
        "<x>" * 100_000,
        "<x",
        "",
        "text",
        "<x>\x00</x>",
    ],
)
def test_hostile_xml_is_refused_at_once(hostile: str) -> None:
    began = time.process_time()
    with pytest.raises(XmlRefused):
        read_xml(hostile.encode())
    assert time.process_time() - began < 5


def test_what_is_within_bounds_is_read() -> None:
    assert read_xml(("<x>" * MOST_DEPTH + "a" + "</x>" * MOST_DEPTH).encode()).text() == "a"
    assert read_xml(b'<?xml version="1.0"?><a x="1">t<!-- c --><b>u</b><![CDATA[<v>]]></a>').text() == "tu<v>"


def test_what_is_no_document_is_refused() -> None:
    with pytest.raises(XmlRefused):
        read_cda(b"<html/>")


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([CONSULTATION.encode(), LABORATORY.encode()]),
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 60), st.binary(max_size=10)), min_size=1, max_size=4),
)
def test_no_mutation_of_a_document_makes_it_fail_otherwise_than_refused(
    sample: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    for start, length, other in changes:
        sample = sample[:start] + other + sample[start + length :]
    try:
        read_cda(sample)
    except XmlRefused:
        return


WORDS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=20)


@settings(max_examples=100, deadline=None)
@given(WORDS, st.sampled_from(["value", "text", "entry", "observation", "title", "id", "code"]), WORDS)
def test_no_words_or_moved_elements_make_it_fail(words: str, name: str, other: str) -> None:
    escaped = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    shown = other.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    sample = CONSULTATION.replace('value="36.5"', f'value="{escaped}"').replace(
        "<title>主诉", f"<{name}>{shown}</{name}><title>主诉"
    )
    assert read_cda(sample.encode()).numbers == {NUMBER}
