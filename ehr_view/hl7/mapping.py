"""HL7 v2 to our model: ORU^R01 results, MDM documents, ADT persons. Pure.

What is not understood is shown as text: notes, unknown segments, values of unknown types. Administrative segments that say
nothing of health are not shown; the message itself is kept.
"""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from ehr_view.cda import CdaDocument, looks_like_xml, read_cda
from ehr_view.domain.records import (
    ExamReport,
    Flag,
    Form,
    LabItem,
    LabReport,
    Note,
    Range,
    Record,
    Section,
    flag_of,
    is_abnormal,
    is_critical,
    record_id,
)
from ehr_view.fhir_mapping import attachment_text, split_sections
from ehr_view.hl7.domain import (
    Arrival,
    ArrivedRecord,
    Identity,
    PersonFacts,
    Standing,
    Version,
    contradicts_itself,
    is_resident_number,
)
from ehr_view.hl7.message import Hl7Refused, Message, Segment, instant_of
from ehr_view.safe_xml import XmlRefused

MOST_RESULTS: Final = 5_000
_IDENTITY_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("NI", "NNCHN", "SS", "ID", "IDCARD", "IDENTITYNUMBER", "01", "居民身份证", "身份证"), "resident"),
    **dict.fromkeys(("PPN", "PPNCHN", "PP", "护照"), "passport"),
    **dict.fromkeys(("HMT", "PRC", "TAX", "港澳居民来往内地通行证", "台湾居民来往大陆通行证"), "permit"),
    **dict.fromkeys(("BR", "BCT", "出生医学证明"), "birth_certificate"),
}
"""Kinds of identity documents by CX-5."""

_SEX: Final[Mapping[str, str]] = {"M": "male", "1": "male", "男": "male", "F": "female", "2": "female", "女": "female"}
_FLAGS: Final[Mapping[str, Flag]] = {
    **dict.fromkeys(("HH", "↑↑", ">>"), Flag.CRITICAL_HIGH),
    **dict.fromkeys(("LL", "↓↓", "<<"), Flag.CRITICAL_LOW),
    "AA": Flag.CRITICAL,
    **dict.fromkeys(("H", "HU", ">", "↑"), Flag.HIGH),
    **dict.fromkeys(("L", "LU", "<", "↓"), Flag.LOW),
    **dict.fromkeys(("A", "POS", "阳性", "ABN"), Flag.ABNORMAL),
    **dict.fromkeys(("N", "NEG", "阴性", "正常"), Flag.NORMAL),
}
_EXAMS: Final = frozenset(
    "RAD CT NMR MR RUS OUS VUS CUS US EC EN XRC CTH PF PHR CP AU NRS NMS RX ES PT DX CR".split()  # noqa: SIM905 - one table
)
_LABS: Final = frozenset("LAB HM CH MB BLB CG GE IMM SR URN TX VR MYC PAR SP PAT".split())  # noqa: SIM905 - one table
_WORDY: Final = frozenset({"TX", "FT", "ED", "RP"})
_SILENT: Final = frozenset(
    "MSH SFT UAC EVN PID PD1 NK1 PV1 PV2 ROL PRT DB1 ORC TQ1 TQ2 CTD CTI FT1 SPM SAC SID GT1 IN1 IN2 IN3 ACC UB1 UB2 "  # noqa: SIM905
    "MRG TXA CON ARV DSC BLG BHS BTS FHS FTS OBR OBX NTE".split()
)
"""Segments that are read, or that say nothing of health. Any other is shown as text."""

_WITHDRAWN: Final = frozenset({"D", "W"})
_NUMBER: Final = re.compile(r"[+-]?\d{1,15}(\.\d{1,10})?")
_POWER: Final = re.compile(r"10\^(\d)")
"""Powers in units as UCUM writes them, so that one test has one unit."""

_RANGE: Final = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(?:-{1,2}|–|—|~|～|至)\s*([+-]?\d+(?:\.\d+)?)")
_BOUND: Final = re.compile(r"(<=|>=|<|>|≤|≥|＜|＞)\s*(\d+(?:\.\d+)?)")


@dataclass(slots=True)
class _Group:
    """One person's segments, then one report's."""

    pid: Segment
    reports: list[list[Segment]] = field(default_factory=list)
    others: list[Segment] = field(default_factory=list)


def arrivals_of(message: Message, hospital_id: str, received_at: datetime) -> tuple[Arrival, ...]:
    """What the message says, by person. Raises Hl7Refused. Takes a while for long ones: not for the event loop."""
    reading = _READINGS.get(message.kind)
    if reading is None:
        raise Hl7Refused("message.type_unsupported", "MSH^1^9", condition="200", reject=True)
    if message.header.get(11).upper() not in ("", "P"):
        raise Hl7Refused("message.not_production", "MSH^1^11", condition="202", reject=True)
    sent_at = min(instant_of(message.header.get(7)) or received_at, received_at)
    return tuple(reading(message, hospital_id, sent_at))


_STANDINGS: Final[Mapping[str, Standing]] = {
    **dict.fromkeys("OISYZN", Standing.PENDING),
    **dict.fromkeys("APR", Standing.PRELIMINARY),
    **dict.fromkeys("CM", Standing.CORRECTED),
    "X": Standing.WITHDRAWN,
}
"""OBR-25 (HL7 table 0123). A final report, or what a system says in its own words, is none of these."""

_TO_THE_MINUTE: Final = 12
"""Digits. A day alone does not say which of two forms of it was first."""


def version_of(order: Segment, results: Sequence[Segment], sent_at: datetime) -> Version:
    """Which form of a report this is. Systems that leave OBR-25 at F mark the results that they corrected. An instant to come
    is a wrong clock's: it counts as that of the message."""
    standing = _STANDINGS.get(order.get(25).upper(), Standing.FINAL)
    if standing is not Standing.WITHDRAWN and any(s.get(11).upper() in ("C", *_WITHDRAWN) for s in results):
        standing = Standing.CORRECTED
    changed_at = instant_of(order.get(22)) if len(order.get(22)) >= _TO_THE_MINUTE else None
    return Version(min(changed_at or sent_at, sent_at), standing, sent_at)


# People


def person_of(pid: Segment) -> PersonFacts:
    """Raises Hl7Refused where nothing says who it is, or where it says two things."""
    identity: Identity | None = None
    cards: list[str] = []
    for repetition in (*pid.repetitions(3), *pid.repetitions(2), *pid.repetitions(4)):
        number, kind = pid.part(repetition), pid.part(repetition, 5).upper()
        found = _identity(number, kind)
        if found is None and number and _IDENTITY_TYPES.get(kind) != "resident":
            cards.append(f"{pid.part(repetition, 4)}|{number}")
        elif found is not None and identity is not None and found != identity and found.id_type == identity.id_type:
            raise Hl7Refused("patient.two_identities", "PID^1^3", condition="204")
        identity = identity or found
    identity = identity or _identity(pid.get(19), "SS")
    if identity is None and not cards:
        raise Hl7Refused("patient.no_number", "PID^1^3", condition="101")
    names = (f"{pid.part(r)}{pid.part(r, 2)}" for r in pid.repetitions(5))
    born = instant_of(pid.get(7))
    person = PersonFacts(
        identity=identity,
        cards=tuple(dict.fromkeys(cards)),
        names=tuple(dict.fromkeys(name for name in names if name)),
        birth_date=_date(pid.get(7)) if born is not None else None,
        sex=_SEX.get(pid.get(8).upper()),
    )
    if contradicts_itself(person):
        raise Hl7Refused("patient.contradiction", "PID^1^7", condition="204")
    return person


def _identity(number: str, kind: str) -> Identity | None:
    number = number.strip().upper()
    if (kind in ("", "SS") or _IDENTITY_TYPES.get(kind) == "resident") and is_resident_number(number):
        return Identity("resident", number)
    id_type = _IDENTITY_TYPES.get(kind)
    return Identity(id_type, number) if id_type not in (None, "resident") and number else None


def _date(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None


def _cards(segment: Segment, number: int) -> tuple[str, ...]:
    found = ((segment.part(r, 4), segment.part(r)) for r in segment.repetitions(number))
    return tuple(f"{authority}|{card}" for authority, card in found if card)


# ADT


def _adt(message: Message, hospital_id: str, sent_at: datetime) -> Iterator[Arrival]:
    """Every event says who somebody is; A40 that two cards are one person. Other parts of it are kept, not shown."""
    pid = message.first("PID")
    if pid is None:
        raise Hl7Refused("patient.missing", "PID", condition="100")
    merged: tuple[str, ...] = ()
    if message.trigger == "A40":
        mrg = message.first("MRG")
        merged = _cards(mrg, 1) if mrg is not None else ()
        if not merged:
            raise Hl7Refused("merge.no_prior_number", "MRG^1^1", condition="101")
    yield Arrival(person_of(pid), sent_at, merged_cards=merged)


# ORU


def _oru(message: Message, hospital_id: str, sent_at: datetime) -> Iterator[Arrival]:
    if message.trigger not in ("R01", ""):
        raise Hl7Refused("message.event_unsupported", "MSH^1^9", condition="201", reject=True)
    groups = _groups(message)
    if not groups:
        raise Hl7Refused("patient.missing", "PID", condition="100")
    for group in groups:
        if not group.reports:
            raise Hl7Refused("result.no_report", "OBR", condition="100")
        reports = (_report(message, hospital_id, sent_at, lines, group.others) for lines in group.reports)
        yield Arrival(person_of(group.pid), sent_at, tuple(report for report in reports if report is not None))


def _groups(message: Message) -> list[_Group]:
    """Persons, and under each its reports: an OBR with what follows it. An OBX or OBR before any person is refused."""
    groups: list[_Group] = []
    for segment in message.segments[1:]:
        if segment.name == "PID":
            groups.append(_Group(segment))
        elif not groups:
            if segment.name in ("OBR", "OBX"):
                raise Hl7Refused("patient.missing", "PID", condition="100")
        elif segment.name == "OBR":
            groups[-1].reports.append([segment])
        elif groups[-1].reports:
            groups[-1].reports[-1].append(segment)
        elif segment.name == "OBX":
            raise Hl7Refused("result.no_report", "OBR", condition="100")
        elif segment.name not in _SILENT or segment.name == "NTE":
            groups[-1].others.append(segment)
    return groups


def _report(
    message: Message, hospital_id: str, sent_at: datetime, lines: Sequence[Segment], others: Sequence[Segment]
) -> ArrivedRecord | None:
    """None: an order in progress, which says nothing yet."""
    order = lines[0]
    results = [s for s in lines if s.name == "OBX" and s.get(11).upper() not in _WITHDRAWN]
    if len(results) > MOST_RESULTS:
        raise Hl7Refused("result.too_many", "OBX", reject=True)
    form = _form_of(order.get(24).upper(), results)
    notes = list(_notes(lines, others))
    content: LabReport | ExamReport
    if form is Form.LAB:
        items = tuple(_item(segment) for segment in results)
        specimen = next((s for s in (_specimen(line) for line in lines) if s), "") or order.words(15)
        content = LabReport(items, specimen, "\n".join(notes))
    else:
        items = ()
        content = _exam(order, results, notes)
    source = "|".join((message.sender, order.get(3) or order.get(2) or f"{message.control_id}#{order.get(1)}", order.get(4)))
    own = record_id(hospital_id, "hl7", source)
    times = (instant_of(t) for t in (order.get(7), order.get(14), order.get(22), results[0].get(14) if results else ""))
    marked = [flag for segment in results if (flag := _flag(segment)) is not None]
    record = Record(
        id=own,
        form=form,
        title=order.get(4, 2) or order.get(4, 5) or order.get(4) or ("检验报告" if form is Form.LAB else "检查报告"),
        occurred_at=next((t for t in times if t is not None), sent_at),
        content=content,
        department=_department(order, message),
        author=_person_name(order, 32) or _person_name(order, 34),
        abnormal=is_abnormal(items) or any(flag is not Flag.NORMAL for flag in marked),
        critical=is_critical(items) or any(flag.is_critical for flag in marked),
        source=message.header.get(3),
    )
    withdrawn = order.get(25).upper() == "X"
    version = version_of(order, [s for s in lines if s.name == "OBX"], sent_at)
    return ArrivedRecord(record, version, withdrawn) if withdrawn or results or notes else None


def _form_of(section: str, results: Sequence[Segment]) -> Form:
    if section in _EXAMS:
        return Form.EXAM
    wordy = bool(results) and all(s.get(2).upper() in _WORDY for s in results)
    return Form.EXAM if wordy and section not in _LABS else Form.LAB


def _notes(lines: Iterable[Segment], others: Iterable[Segment]) -> Iterator[str]:
    """Comments with what they are about, then whatever segments nobody knows."""
    about = ""
    for line in lines:
        if line.name == "OBX":
            about = line.get(3, 2) or line.get(3)
        if line.name == "OBX" and line.get(11).upper() in _WITHDRAWN:
            yield f"{about}：医院已撤回此项结果"
        if line.name == "NTE" and (words := line.words(3)):
            yield f"{about}：{words}" if about else words
    for line in (*lines, *others):
        if line.name == "NTE" and line in others and (words := line.words(3)):
            yield words
        elif line.name not in _SILENT:
            yield line.whole()


def _specimen(line: Segment) -> str:
    return (line.get(4, 2) or line.get(4)) if line.name == "SPM" else ""


def _department(order: Segment, message: Message) -> str:
    return order.get(24, 2) or message.header.get(4)


def _person_name(segment: Segment, number: int) -> str:
    """A person's name in XCN, CNN or NDL: the first part may itself be in parts."""
    found = segment.repetitions(number)
    if not found:
        return ""
    parts = found[0].split(segment.separators.component)
    name = parts[0].split(segment.separators.subcomponent) if len(parts) == 1 else parts
    words = [segment.text(p) for p in name[1:3]]
    return "".join(words) or segment.text(name[0])


def _item(segment: Segment) -> LabItem:
    value, number = _value(segment)
    reference = range_of(segment.text(segment.raw(7)))
    flag = _flag(segment)
    return LabItem(
        code=_code(segment),
        name=segment.get(3, 2) or segment.get(3, 5) or segment.get(3) or "（未注明项目）",
        value=value or "（无结果）",
        unit=_POWER.sub(r"10*\1", segment.get(6, 1) or segment.get(6, 2)),
        range=reference,
        flag=flag if flag is not None else flag_of(number, reference),
        number=number,
    )


def _code(segment: Segment) -> str:
    """What joins a test over time, as FHIR's results are joined: LOINC where it is said, else the hospital's own code."""
    for code, system in ((segment.get(3), segment.get(3, 3)), (segment.get(3, 4), segment.get(3, 6))):
        if code and system.upper() in ("LN", "LOINC"):
            return f"http://loinc.org|{code}"
    return f"{segment.get(3, 3)}|{segment.get(3)}" if segment.get(3) else segment.get(3, 2)


def _flag(segment: Segment) -> Flag | None:
    """The gravest of OBX-8; None where it says nothing that is known."""
    found = [_FLAGS[code] for r in segment.repetitions(8) if (code := segment.part(r).upper()) in _FLAGS]
    return max(found, key=lambda f: (f.is_critical, f is not Flag.NORMAL)) if found else None


def _value(segment: Segment) -> tuple[str, float | None]:
    """Words and figure of OBX-5, by OBX-2; of an unknown type its text."""
    kind = segment.get(2).upper()
    if kind == "SN":
        comparator, first, between, second = (segment.get(5, n) for n in range(1, 5))
        words = f"{_comparator(comparator)}{first}{between if second else ''}{second}"
        return words, float(first) if not comparator and not second and _NUMBER.fullmatch(first) else None
    if kind in ("CE", "CWE", "CNE", "CF"):
        found = (segment.part(r, 2) or segment.part(r, 9) or segment.part(r) for r in segment.repetitions(5))
        return "、".join(filter(None, found)), None
    if kind in ("DT", "TS", "DTM", "TM"):
        return _date_words(segment.get(5)), None
    if kind in ("ED", "RP"):
        return document_of(segment), None
    if kind in ("NM", "ST", ""):
        words = "、".join(filter(None, (segment.part(r) or segment.spoken(r) for r in segment.repetitions(5))))
        return words, float(words) if _NUMBER.fullmatch(words) else None
    if kind in ("TX", "FT"):
        return _lines_of(segment), None
    return segment.words(5), None


def _lines_of(segment: Segment) -> str:
    """Text in full: separators in it that nobody escaped are text too."""
    return "\n".join(segment.text(repetition) for repetition in segment.repetitions(5))


def _comparator(text: str) -> str:
    return {"<=": "≤", ">=": "≥"}.get(text, text)


def _date_words(text: str) -> str:
    at = instant_of(text)
    if at is None or len(text) < 8:
        return text
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" + (f" {text[8:10]}:{text[10:12]}" if len(text) >= 12 else "")


def range_of(text: str) -> Range:
    """`3.5-5.3`, `<5.2`, or words."""
    words = text.strip()
    if found := _RANGE.fullmatch(words):
        return Range(float(found[1]), float(found[2]), f"{found[1]}–{found[2]}")
    if found := _BOUND.fullmatch(words):
        sign = {"<=": "≤", ">=": "≥", "＜": "<", "＞": ">"}.get(found[1], found[1])
        low, high = (None, float(found[2])) if sign in "<≤" else (float(found[2]), None)
        return Range(low, high, f"{sign}{found[2]}")
    return Range(text=words)


def _exam(order: Segment, results: Sequence[Segment], notes: Sequence[str]) -> ExamReport:
    """Findings and impression by what the results are called; everything else stands with its name among the findings."""
    findings: list[str] = []
    impression: list[str] = []
    for segment in results:
        name, (words, _) = segment.get(3, 2) or segment.get(3), _value(segment)
        words = f"{words} {segment.get(6, 1)}".strip()
        if not words:
            continue
        if _is_impression(segment):
            impression.append(words)
        else:
            findings.append(words if _is_findings(segment) or not name else f"{name}：{words}")
    return ExamReport(
        findings="\n".join([*findings, *notes]),
        impression="\n".join(impression),
        modality=order.get(24).upper(),
        body_site=order.get(15, 4),
    )


def _is_impression(segment: Segment) -> bool:
    name = f"{segment.get(3)} {segment.get(3, 2)}".upper()
    return any(word in name for word in ("IMP", "19005-8", "诊断", "印象", "结论", "意见"))


def _is_findings(segment: Segment) -> bool:
    name = f"{segment.get(3)} {segment.get(3, 2)}".upper()
    return any(word in name for word in ("GDT", "59776-5", "18782-3", "所见", "描述"))


# MDM


_WITH_CONTENT: Final = frozenset({"T02", "T04", "T06", "T08", "T10"})
_CORRECTING: Final = frozenset({"T06", "T08", "T10"})
_WITHOUT_CONTENT: Final = frozenset({"T01", "T03", "T05", "T07", "T09"})


def _mdm(message: Message, hospital_id: str, sent_at: datetime) -> Iterator[Arrival]:
    pid, txa = message.first("PID"), message.first("TXA")
    if pid is None:
        raise Hl7Refused("patient.missing", "PID", condition="100")
    if txa is None:
        raise Hl7Refused("document.missing", "TXA", condition="100")
    number = txa.get(12)
    if not number:
        raise Hl7Refused("document.no_number", "TXA^1^12", condition="101")
    own = _document_id(message, hospital_id, number)
    if message.trigger == "T11" or txa.get(19).upper() == "CA":
        yield Arrival(person_of(pid), sent_at, withdrawn_ids=(own,))
        return
    if message.trigger not in _WITH_CONTENT | _WITHOUT_CONTENT:
        raise Hl7Refused("message.event_unsupported", "MSH^1^9", condition="201", reject=True)
    replaced = (_document_id(message, hospital_id, txa.get(13)),) if message.trigger == "T10" and txa.get(13) else ()
    shown = message.trigger in _WITH_CONTENT
    standing = Standing.CORRECTED if message.trigger in _CORRECTING else Standing.FINAL
    version = Version(sent_at, standing, sent_at)
    records = (ArrivedRecord(_document(message, txa, own, sent_at), version),) if shown else ()
    yield Arrival(person_of(pid), sent_at, records, withdrawn_ids=tuple(r for r in replaced if r != own))


def _document_id(message: Message, hospital_id: str, number: str) -> str:
    return record_id(hospital_id, "hl7.document", f"{message.sender}|{number}")


def _document(message: Message, txa: Segment, own: str, sent_at: datetime) -> Record:
    results = list(message.all("OBX"))
    cda = next((found for segment in results if (found := _cda_in(segment)) is not None), None)
    pid = message.first("PID")
    identity = person_of(pid).identity if pid is not None else None
    if cda is not None and identity is not None and cda.numbers and identity.id_number not in cda.numbers:
        raise Hl7Refused("document.other_patient", "OBX^1^5", condition="204")
    words = "\n".join(filter(None, (_value(segment)[0] for segment in results)))
    notes = [s.words(3) for s in message.all("NTE")] + [s.whole() for s in message.segments if s.name not in _SILENT]
    sections = [*split_sections(words), *(Section("附注", note) for note in notes if note)]
    if not sections:
        raise Hl7Refused("document.empty", "OBX^1^5", condition="101")
    named = next((segment.get(3, 2) for segment in results if segment.get(3, 2)), "")
    times = (instant_of(txa.get(n)) for n in (4, 6, 7, 8))
    pv1 = message.first("PV1")
    items = cda.items if cda is not None else ()
    content: Note | LabReport = Note(tuple(sections))
    if items:
        content = LabReport(items, conclusion="\n".join(f"{s.title}：{s.text}" if s.title else s.text for s in sections))
    return Record(
        id=own,
        form=Form.LAB if items else Form.NOTE,
        title=(cda.title if cda is not None else "") or txa.get(2, 2) or named or txa.get(2) or "病历文书",
        occurred_at=next((t for t in times if t is not None), (cda.at if cda is not None else None) or sent_at),
        content=content,
        department=(pv1.get(3, 1) if pv1 is not None else "") or message.header.get(4),
        author=_person_name(txa, 9) or _person_name(txa, 5) or (cda.author if cda is not None else ""),
        abnormal=is_abnormal(items),
        critical=is_critical(items),
        source=message.header.get(3),
    )


def _cda_in(segment: Segment) -> CdaDocument | None:
    if segment.get(2).upper() != "ED":
        return None
    _, subtype, raw = encapsulated(segment)
    return _cda(raw) if looks_like_xml(raw) or "CDA" in subtype else None


def document_of(segment: Segment) -> str:
    """What an ED or RP holds, as text; of what is no text, that it is so. Raises Hl7Refused for broken data."""
    if segment.get(2).upper() == "RP":
        return f"（文书在医院系统中：{segment.get(5, 4) or segment.get(5, 3) or '未知格式'}）"
    kind, subtype, raw = encapsulated(segment)
    if looks_like_xml(raw) or "CDA" in subtype:
        return _cda(raw).text
    return attachment_text(_content_type(kind, subtype, raw), base64.b64encode(raw).decode())


def _cda(raw: bytes) -> CdaDocument:
    try:
        return read_cda(raw)
    except XmlRefused as error:
        raise Hl7Refused("document.unreadable_xml", "OBX^1^5", condition="102") from error


def encapsulated(segment: Segment) -> tuple[str, str, bytes]:
    """Kind, subtype and bytes of an ED. Raises Hl7Refused for broken data."""
    parts = (segment.repetitions(5) or ("",))[0].split(segment.separators.component)
    kind, subtype, encoding = (segment.part(segment.separators.component.join(parts), n).upper() for n in (2, 3, 4))
    data = "".join(segment.text(part) for part in parts[4:])
    if encoding == "BASE64":
        try:
            raw = base64.b64decode("".join(data.split()), validate=True)
        except ValueError as error:
            raise Hl7Refused("document.not_base64", "OBX^1^5", condition="102") from error
    elif encoding == "HEX":
        try:
            raw = bytes.fromhex(data)
        except ValueError as error:
            raise Hl7Refused("document.not_hex", "OBX^1^5", condition="102") from error
    else:
        raw = data.encode()
    return kind, subtype, raw


def _content_type(kind: str, subtype: str, raw: bytes) -> str:
    """The media type that an ED's kind and subtype mean."""
    start = raw[:200].lstrip(b"\xef\xbb\xbf\r\n\t ")
    if subtype in ("HTML", "XHTML"):
        return "text/html"
    if kind in ("TX", "FT", "TEXT") or subtype in ("TEXT", "PLAIN", "TXT") or (not subtype and not start.startswith(b"%PDF")):
        return "text/plain"
    return f"{kind.lower() or 'application'}/{subtype.lower() or 'octet-stream'}"


_READINGS: Final[Mapping[str, Callable[[Message, str, datetime], Iterator[Arrival]]]] = {
    "ORU": _oru,
    "MDM": _mdm,
    "ADT": _adt,
}
