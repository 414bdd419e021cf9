"""HL7 v2: frames, characters, escapes, and what a message says in our words."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehr_view.domain.records import ExamReport, Flag, Form, LabReport, Note, Range, Record
from ehr_view.hl7.domain import Identity, is_resident_number
from ehr_view.hl7.mapping import arrivals_of, range_of
from ehr_view.hl7.message import Hl7Refused, Separators, acknowledge, escape, instant_of, parse
from ehr_view.hl7.mllp import Framer, FrameTooLarge, NotFrames, frame
from tests.support.hl7 import NUMBER, OBR, PID, POTASSIUM, SODIUM, header, message, result

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
_TXA = "TXA|1|CN||||||||||D1"


def refused(data: bytes) -> tuple[str, bool]:
    with pytest.raises(Hl7Refused) as caught:
        arrivals_of(parse(data), "default", NOW)
    return caught.value.code, caught.value.reject


def records_of(data: bytes) -> list[Record]:
    return [arrived.record for arrival in arrivals_of(parse(data), "default", NOW) for arrived in arrival.records]


# Frames


def test_frames_are_found_in_whatever_pieces_they_come() -> None:
    stream = frame(b"one") + b"\r\n" + frame(b"two") + b"\x0bthree\x1c" + frame(b"four")
    for size in (1, 2, 5, len(stream)):
        framer, found = Framer(100), []
        for start in range(0, len(stream), size):
            found += framer.feed(stream[start : start + size])
        assert found == [b"one", b"two", b"three", b"four"]
        assert not framer.is_inside


def test_a_frame_may_be_as_long_as_allowed_and_no_byte_longer() -> None:
    assert list(Framer(5).feed(frame(b"12345"))) == [b"12345"]
    with pytest.raises(FrameTooLarge) as caught:
        list(Framer(5).feed(frame(b"123456")))
    assert caught.value.head.startswith(b"123456")
    with pytest.raises(FrameTooLarge):
        list(Framer(5).feed(b"\x0b123456"))


def test_noise_between_frames_is_borne_for_a_while() -> None:
    framer = Framer(10)
    assert list(framer.feed(b"x" * 4_096)) == []
    with pytest.raises(NotFrames):
        list(framer.feed(b"x"))


# Characters and escapes


@pytest.mark.parametrize(
    ("declared", "sent"),
    [
        ("GB18030", "gb18030"),
        ("GB 18030-2000", "gb18030"),
        ("GBK", "gbk"),
        ("UNICODE UTF-8", "utf-8"),
        ("UNICODE", "utf-8"),
        ("", "utf-8"),
        ("", "gb18030"),
        ("ASCII", "gb18030"),
        ("UNICODE UTF-8", "gb18030"),
        ("GB18030", "utf-8"),
    ],
)
def test_chinese_is_read_whatever_the_header_declares(declared: str, sent: str) -> None:
    data = message(header(charset=declared), PID, OBR, POTASSIUM, charset=sent)
    assert parse(data).header.get(4) == "示范医院"
    assert records_of(data)[0].title == "肾功能四项+电解质"


def test_a_byte_of_a_chinese_character_is_no_separator() -> None:
    data = message(header(charset="GB18030"), PID.replace("玉兰", "亅"), OBR, POTASSIUM, charset="gb18030")
    assert "亅".encode("gb18030")[1:] == b"|"
    (arrival,) = arrivals_of(parse(data), "default", NOW)
    assert arrival.person.names == ("唐亅",)


def test_bytes_in_no_known_characters_are_refused() -> None:
    assert refused(b"MSH|^~\\&|A\xff\xff|||||ORU^R01|1|P|2.4\r") == ("message.characters_unknown", False)
    assert refused("MSH|^~\\&|A".encode("utf-16")) == ("message.characters_unknown", False)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (r"10\S\9/L", "10^9/L"),
        (r"a\F\b\T\c\R\d\E\e", "a|b&c~d\\e"),
        (r"one\.br\two\.sp2\three", "one\ntwo\nthree"),
        (r"\H\bold\N\ plain", "bold plain"),
        (r"\XC3A9\t\X0A\u", "ét\nu"),
        (r"\Zown\x", "[Zown]x"),
        (r"C:\data", "C:\\data"),
        (r"C:\data\file", "C:\\data\\file"),
        (r"half\XZZ\ done", "half\\XZZ\\ done"),
        ('""', ""),
        ("bell\x07bidi\u202e", "bellbidi"),
    ],
)
def test_escapes_are_undone_and_what_is_none_stays(raw: str, text: str) -> None:
    data = message(header(), PID, OBR, f"OBX|1|ST|X^x||{raw}")
    assert parse(data).first("OBX").get(5) == text  # type: ignore[union-attr]


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc", "Cf")), max_size=60))
def test_what_is_escaped_comes_back(text: str) -> None:
    data = message(header(), f"ZZZ|{escape(text, Separators())}")
    segment = parse(data).first("ZZZ")
    assert segment is not None
    assert segment.get(1) == text.strip()


def test_other_separators_are_taken_as_the_header_says() -> None:
    data = b"MSH#*@!%#LIS#H###20261122##ADT*A08#C1#P#2.4\rPID#1##M1*****MR@110105196602150023****NI##T*Y\r"
    (arrival,) = arrivals_of(parse(data), "default", NOW)
    assert arrival.person.identity == Identity("resident", NUMBER)
    assert arrival.person.cards == ("|M1",)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "message.no_header"),
        (b"hello", "message.no_header"),
        (b"PID|1\r", "message.no_header"),
        (b"MSH", "message.bad_separators"),
        (b"MSHAAAAA\r", "message.bad_separators"),
        (b"MSH||||LIS\r", "message.bad_separators"),
        (b"MSH|^^\\&|LIS|H|||20261122||ORU^R01|C1|P|2.4\r", "message.bad_separators"),
        (b"MSH|^~\\&|LIS|H|||20261122||ORU^R01||P|2.4\r", "message.no_control_id"),
        (b"MSH|^~\\&|LIS|H|||20261122||ORU^R01|" + b"1" * 200 + b"|P|2.4\r", "message.no_control_id"),
        (b"MSH|^~\\&|LIS|H|||20261122|||C1|P|2.4\r", "message.no_type"),
        (b"MSH|^~\\&|LIS|H|||20261122||ORU^R01|C1|P|2.4\rnonsense\r", "message.not_a_segment"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(data: bytes, code: str) -> None:
    assert refused(data) == (code, False)


def test_a_message_of_too_many_segments_is_rejected() -> None:
    assert refused(message(header(), *["NTE|1"] * 20_000)) == ("message.too_many_segments", True)


# Results


def test_a_laboratory_report_is_mapped() -> None:
    (arrival,) = arrivals_of(parse(result()), "default", NOW)
    assert arrival.person.identity == Identity("resident", NUMBER)
    assert (arrival.person.names, arrival.person.birth_date, arrival.person.sex) == (("唐玉兰",), date(1966, 2, 15), "female")
    assert arrival.person.cards == ("HIS|M00012345",)
    (arrived,) = arrival.records
    record = arrived.record
    assert (record.form, record.title, record.source, record.critical) == (Form.LAB, "肾功能四项+电解质", "LIS", True)
    assert record.occurred_at == datetime(2026, 11, 22, 0, 30, tzinfo=UTC)
    assert isinstance(record.content, LabReport)
    potassium, sodium = record.content.items
    assert (potassium.code, potassium.name, potassium.value, potassium.unit) == (
        "http://loinc.org|2823-3",
        "钾",
        "6.8",
        "mmol/L",
    )
    assert (potassium.number, potassium.range, potassium.flag) == (6.8, Range(3.5, 5.3, "3.5–5.3"), Flag.CRITICAL_HIGH)
    assert sodium.flag is Flag.NORMAL
    assert record.content.specimen == "血清"


@pytest.mark.parametrize(
    ("flags", "flag"),
    [
        ("HH", Flag.CRITICAL_HIGH),
        ("LL", Flag.CRITICAL_LOW),
        ("AA", Flag.CRITICAL),
        ("A^A^HL70078~H^H", Flag.ABNORMAL),
        ("A~HH", Flag.CRITICAL_HIGH),
        ("", Flag.HIGH),
        ("??", Flag.HIGH),
        ("N", Flag.NORMAL),
    ],
)
def test_flags_are_the_hospitals_and_else_the_ranges(flags: str, flag: Flag) -> None:
    (record,) = records_of(result(lines=[f"OBX|1|NM|2823-3^钾^LN||6.8|mmol/L|3.5-5.3|{flags}|||F"]))
    assert isinstance(record.content, LabReport)
    assert record.content.items[0].flag is flag


@pytest.mark.parametrize(
    ("obx", "value"),
    [
        ("SN|1^x||>^100", ">100"),
        ("SN|1^x||<=^0.5", "≤0.5"),
        ("SN|1^x||^1^:^160", "1:160"),
        ("CE|1^x||260385009^阴性^SCT", "阴性"),
        ("CWE|1^x||^^^^^^^^弱阳性", "弱阳性"),
        ("ST|1^x||阴性(-)~少量", "阴性(-)、少量"),
        ("TS|1^x||20261122083000", "2026-11-22 08:30"),
        ("XYZ|1^x||a^b&c", "a b c"),
        ("NM|1^x||", "（无结果）"),
        ("NM|1^x||1E400", "1E400"),
    ],
)
def test_values_of_every_type_become_text(obx: str, value: str) -> None:
    (record,) = records_of(message(header(), PID, OBR, f"OBX|1|{obx}|||||||F"))
    assert isinstance(record.content, LabReport)
    assert record.content.items[0].value == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3.5-5.3", Range(3.5, 5.3, "3.5–5.3")),
        ("3.5--5.3", Range(3.5, 5.3, "3.5–5.3")),
        ("-2～3", Range(-2.0, 3.0, "-2–3")),
        ("<5.2", Range(None, 5.2, "<5.2")),
        ("≥90", Range(90.0, None, "≥90")),
        ("阴性", Range(text="阴性")),
        ("", Range()),
    ],
)
def test_ranges_are_read_or_kept_as_words(text: str, found: Range) -> None:
    assert range_of(text) == found


def test_comments_and_unknown_segments_are_shown() -> None:
    (record,) = records_of(result(lines=[POTASSIUM, "NTE|1||标本轻度溶血", "ZLB|1|复检^已复检", SODIUM]))
    assert isinstance(record.content, LabReport)
    assert record.content.conclusion == "钾：标本轻度溶血\nZLB：1 | 复检 已复检"


def test_a_withdrawn_result_is_said_to_be_so_and_an_order_in_progress_says_nothing() -> None:
    (record,) = records_of(result(lines=[POTASSIUM.replace("|||F|", "|||W|"), SODIUM]))
    assert isinstance(record.content, LabReport)
    assert [item.name for item in record.content.items] == ["钠"]
    assert record.content.conclusion == "钾：医院已撤回此项结果"
    assert not record.critical
    assert records_of(message(header(), PID, OBR)) == []
    (arrival,) = arrivals_of(parse(message(header(), PID, OBR.replace("|LAB|F", "|LAB|X"))), "default", NOW)
    assert arrival.records[0].is_withdrawn


def test_an_examination_is_mapped_to_findings_and_impression() -> None:
    obr = OBR.replace("LAB|F", "RAD|F").replace("24362-6^肾功能四项+电解质^LN", "CT01^胸部CT平扫")
    lines = ["OBX|1|FT|F^检查所见||右肺上叶结节\\.br\\直径8mm", "OBX|2|FT|I^诊断意见||考虑炎性", "OBX|3|NM|D^剂量||5.1|mGy"]
    (record,) = records_of(message(header(), PID, obr, *lines))
    assert record.form is Form.EXAM
    assert record.content == ExamReport("右肺上叶结节\n直径8mm\n剂量：5.1 mGy", "考虑炎性", "RAD")


def test_several_persons_and_reports_are_kept_apart() -> None:
    other = "PID|2||440524198001010013^^^^NI||李^四"
    data = message(header(), PID, OBR, POTASSIUM, OBR.replace("L20261122001", "L2"), SODIUM, other, OBR, SODIUM)
    arrivals = arrivals_of(parse(data), "default", NOW)
    assert [len(arrival.records) for arrival in arrivals] == [2, 1]
    assert [a.person.identity and a.person.identity.id_number for a in arrivals] == [NUMBER, "440524198001010013"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (message(header(), OBR, POTASSIUM), ("patient.missing", False)),
        (message(header(), "PID|1", OBR, POTASSIUM), ("patient.no_number", False)),
        (message(header(), PID), ("result.no_report", False)),
        (message(header(), PID, POTASSIUM), ("result.no_report", False)),
        (message(header(), PID.replace("||19660215", "||19660216"), OBR, POTASSIUM), ("patient.contradiction", False)),
        (message(header(), PID.replace("|F", "|M"), OBR, POTASSIUM), ("patient.contradiction", False)),
        (message(header(), PID.replace("||唐", "~440524198001010013^^^^NI||唐"), OBR), ("patient.two_identities", False)),
        (message(header("ORM^O01"), PID), ("message.type_unsupported", True)),
        (message(header("ORU^R30"), PID, OBR), ("message.event_unsupported", True)),
        (message(header(mode="T"), PID, OBR, POTASSIUM), ("message.not_production", True)),
        (message(header("ADT^A40"), PID), ("merge.no_prior_number", False)),
        (message(header("ADT^A01")), ("patient.missing", False)),
        (message(header("MDM^T02"), PID), ("document.missing", False)),
        (message(header("MDM^T02"), PID, "TXA|1|CN"), ("document.no_number", False)),
        (message(header("MDM^T02"), PID, "TXA|1|CN||||||||||D1"), ("document.empty", False)),
        (message(header("MDM^T02"), PID, _TXA, "OBX|1|ED|x||^T^XML^Base64^*"), ("document.not_base64", False)),
        (message(header("MDM^T02"), PID, _TXA, "OBX|1|ED|x||^T^XML^Hex^G"), ("document.not_hex", False)),
        (result(lines=[SODIUM] * 5_001), ("result.too_many", True)),
    ],
)  # fmt: skip
def test_what_cannot_be_held_is_refused_with_the_reason(data: bytes, code: tuple[str, bool]) -> None:
    assert refused(data) == code


def test_an_identity_number_is_found_by_kind_by_place_and_by_form() -> None:
    for pid in (
        f"PID|1||{NUMBER}^^^^NI",
        f"PID|1||{NUMBER}",
        f"PID|1||M1^^^H^MR||||||||||||||||{NUMBER}",
        f"PID|1|{NUMBER}^^^^SS|",
    ):
        (arrival,) = arrivals_of(parse(message(header("ADT^A08"), pid)), "default", NOW)
        assert arrival.person.identity == Identity("resident", NUMBER), pid
    (arrival,) = arrivals_of(parse(message(header("ADT^A08"), "PID|1||E1234567^^^^PPN")), "default", NOW)
    assert arrival.person.identity == Identity("passport", "E1234567")


def test_a_resident_number_has_a_check_digit_and_a_day() -> None:
    assert is_resident_number(NUMBER)
    assert not is_resident_number("110105196602150024")
    assert not is_resident_number("110105196613150023")


# Documents


def test_a_document_is_a_note_with_its_sections() -> None:
    txa = "TXA|1|CN^首次病程记录||20261121100000|||||D001^王^慧敏|||DOC-1"
    data = message(header("MDM^T02"), PID, txa, "OBX|1|TX|1^x||【主诉】胸闷3天", "OBX|2|TX|1^x||【现病史】无明显诱因|")
    (record,) = records_of(data)
    assert (record.form, record.title, record.author) == (Form.NOTE, "首次病程记录", "王慧敏")
    assert record.occurred_at == datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
    assert isinstance(record.content, Note)
    assert [(s.title, s.text) for s in record.content.sections] == [("主诉", "胸闷3天"), ("现病史", "无明显诱因")]


def test_a_replacement_withdraws_its_parent_and_a_cancellation_the_document() -> None:
    first = message(header("MDM^T02"), PID, "TXA|1|CN||||||||||D1", "OBX|1|TX|1^x||a")
    again = message(header("MDM^T10"), PID, "TXA|1|CN||||||||||D2|D1", "OBX|1|TX|1^x||b")
    gone = message(header("MDM^T11"), PID, "TXA|1|CN||||||||||D1")
    own = records_of(first)[0].id
    assert arrivals_of(parse(again), "default", NOW)[0].withdrawn_ids == (own,)
    assert arrivals_of(parse(gone), "default", NOW)[0].withdrawn_ids == (own,)


def test_a_document_that_is_no_text_is_said_to_be_so() -> None:
    data = message(header("MDM^T02"), PID, "TXA|1|CN||||||||||D1", "OBX|1|ED|1^x||^AP^PDF^Base64^JVBERi0x")
    (record,) = records_of(data)
    assert isinstance(record.content, Note)
    assert "ap/pdf" in record.content.sections[0].text


# Answers and time


def test_the_answer_names_the_message_and_the_reason_and_nothing_else_of_it() -> None:
    found = parse(result(control="A|B".replace("|", r"\F\ ".strip())))
    answer = acknowledge(
        found.header,
        "AE",
        own_id="1",
        at=NOW,
        charset=found.charset,
        refused=Hl7Refused("patient.no_number", "PID^1^3", condition="101"),
    ).decode()
    assert answer.split("\r") == [
        "MSH|^~\\&|YUNZHEN||LIS|示范医院|20261122100000+0800||ACK^R01^ACK|1|P|2.4||||||UNICODE UTF-8",
        "MSA|AE|A\\F\\B|patient.no_number",
        "ERR||PID^1^3|101^Required field missing^HL70357|E||patient.no_number",
        "",
    ]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("20261122093000", datetime(2026, 11, 22, 1, 30, tzinfo=UTC)),
        ("20261122093000.1234-0500", datetime(2026, 11, 22, 14, 30, 0, 123_000, tzinfo=UTC)),
        ("202611220930", datetime(2026, 11, 22, 1, 30, tzinfo=UTC)),
        ("20261122", datetime(2026, 11, 21, 16, 0, tzinfo=UTC)),
        ("2026", datetime(2025, 12, 31, 16, 0, tzinfo=UTC)),
        ("20261322", None),
        ("00010101", None),
        ("yesterday", None),
        ("", None),
        ("20261122093000+9999", None),
    ],
)
def test_time_stamps_are_chinas_unless_they_say_otherwise(text: str, at: datetime | None) -> None:
    assert instant_of(text) == at


# Whatever comes

_SAMPLES = [
    result(),
    message(header(charset="GB18030"), PID, OBR, POTASSIUM, "ZLB|1|x", charset="gb18030"),
    message(header("MDM^T02"), PID, "TXA|1|CN||||||||||D1", "OBX|1|ED|1^x||^T^XML^Base64^PGE+YjwvYT4="),
    message(header("ADT^A40"), PID, "MRG|M9^^^HIS"),
]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(_SAMPLES),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 40), st.binary(max_size=12)), min_size=1, max_size=5),
)
def test_no_mutation_of_a_message_makes_it_fail_otherwise_than_refused(
    sample: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    for start, length, other in changes:
        sample = sample[:start] + other + sample[start + length :]
    try:
        found = parse(sample)
        acknowledge(found.header, "AA", own_id="1", at=NOW, charset=found.charset)
        arrivals_of(found, "default", NOW)
    except Hl7Refused as refusal:
        acknowledge(None, "AE", own_id="1", at=NOW, refused=refusal)
