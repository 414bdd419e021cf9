"""FHIR R4 resources to our model. Pure, and forgiving: what is not understood is kept as text or counted as unreadable."""

import base64
import binascii
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from html.parser import HTMLParser
from typing import Any, Final

from ehr_view.cda import read_cda
from ehr_view.domain.records import (
    ExamReport,
    Flag,
    Form,
    Frame,
    ImagingStudy,
    LabItem,
    LabReport,
    Missing,
    MissingReason,
    Note,
    Part,
    PrescribedDrug,
    Prescription,
    Range,
    Record,
    Section,
    flag_of,
    is_abnormal,
    is_critical,
    record_id,
)
from ehr_view.fhir import Resource

SHANGHAI: Final = timezone(timedelta(hours=8))
FINDINGS: Final = frozenset({"59776-5", "18782-3", "19005-8"})
_LAB: Final = frozenset(
    "LAB laboratory HM CH MB BLB SR CG CTH GE IMM URN TX VR MYC PAR".split()  # noqa: SIM905 - one table, read as words
)
_FLAGS: Final[Mapping[str, Flag]] = {
    "H": Flag.HIGH,
    "HU": Flag.HIGH,
    "HX": Flag.HIGH,
    ">": Flag.HIGH,
    "L": Flag.LOW,
    "LU": Flag.LOW,
    "LX": Flag.LOW,
    "<": Flag.LOW,
    "HH": Flag.CRITICAL_HIGH,
    "LL": Flag.CRITICAL_LOW,
    "A": Flag.ABNORMAL,
    "AA": Flag.CRITICAL,
    "POS": Flag.ABNORMAL,
    "N": Flag.NORMAL,
    "NEG": Flag.NORMAL,
}
_MARKED: Final = re.compile(r"【([^【】\n]{1,30})】")
_DEAD: Final = frozenset({"entered-in-error", "cancelled"})
_XML: Final = frozenset(
    {"application/xml", "text/xml", "application/hl7-cda+xml", "application/cda+xml", "application/hl7-v3+xml"}
)
_MOST_DEPTH: Final = 5
TAKEN_BACK: Final = "（医院已撤回）"
_BREAKS: Final = frozenset({"p", "br", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol"})


@dataclass(slots=True)
class Mapped:
    """Records of a part, and how many resources could not be understood."""

    records: list[Record] = field(default_factory=list)
    unreadable: int = 0

    def add(self, resource: Resource, mapping: Callable[[Resource], Record | None]) -> None:
        """Map one resource; whatever is wrong with it, the others are not to blame."""
        try:
            record = mapping(resource)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError):
            self.unreadable += 1
            return
        if record is not None:
            self.records.append(record)

    def missing(self, part: Part) -> list[Missing]:
        return [Missing(part, MissingReason.UNREADABLE, self.unreadable)] if self.unreadable else []


# Small things


def text_of(concept: Any) -> str:
    """What a CodeableConcept, Coding, Reference or string says to people."""
    if isinstance(concept, str):
        return concept
    if not isinstance(concept, dict):
        return ""
    if isinstance(concept.get("text"), str) and concept["text"].strip():
        return str(concept["text"])
    for coding in dicts(concept.get("coding")):
        for key in ("display", "code"):
            if isinstance(coding.get(key), str) and coding[key].strip():
                return str(coding[key])
    return str(concept.get("display") or "")


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; of one object, itself."""
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def is_dead(resource: Resource) -> bool:
    """Whether the hospital took it back."""
    return str(resource.get("status")) in _DEAD


def codes_of(value: Any) -> set[str]:
    return {str(c["code"]) for concept in dicts(value) for c in dicts(concept.get("coding")) if c.get("code")}


def instant_of(resource: Resource, *names: str) -> datetime:
    """The first instant that is there; a date alone is its first moment in China. Raises ValueError."""
    for name in names:
        value = resource.get(name)
        if isinstance(value, dict):
            value = value.get("start") or value.get("end")
        if isinstance(value, str) and value:
            return parse_instant(value)
    raise ValueError("no instant")


def parse_instant(text: str) -> datetime:
    if re.fullmatch(r"\d{4}", text):
        text += "-01-01"
    elif re.fullmatch(r"\d{4}-\d{2}", text):
        text += "-01"
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo is not None else at.replace(tzinfo=SHANGHAI)
    return at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000)


def decimal_text(value: Any) -> str:
    """A figure as it was written, never in powers of ten."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return ""
    try:
        number = Decimal(str(value))
        return f"{number:f}" if number.is_finite() and abs(number.adjusted()) < 30 else ""
    except InvalidOperation:
        return ""


class _Stripper(HTMLParser):
    """Text of a narrative; markup, scripts and entities gone."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._hidden += 1
        if tag in _BREAKS:
            self.parts.append("\n")
        if tag in ("td", "th"):
            self.parts.append("　")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden = max(0, self._hidden - 1)
        if tag in _BREAKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def strip_markup(markup: str) -> str:
    stripper = _Stripper()
    stripper.feed(markup)
    stripper.close()
    lines = (" ".join(line.split(" ")).strip(" ") for line in "".join(stripper.parts).split("\n"))
    return "\n".join(line for line in lines if line)


def _narrative(value: Any) -> str:
    return strip_markup(str(value["div"])) if isinstance(value, dict) and isinstance(value.get("div"), str) else ""


# Notes


def note_of_composition(hospital_id: str) -> Callable[[Resource], Record | None]:
    def mapping(resource: Resource) -> Record | None:
        if is_dead(resource):
            return None
        sections = list(_sections(resource.get("section"), 0))
        if not sections and (words := _narrative(resource.get("text"))):
            sections = [Section("", words)]
        return Record(
            id=record_id(hospital_id, "Composition", str(resource["id"])),
            form=Form.NOTE,
            title=str(resource.get("title") or text_of(resource.get("type"))),
            occurred_at=instant_of(resource, "date"),
            content=Note(tuple(sections)),
            department=text_of(resource.get("custodian")),
            author=names_of(resource.get("author")),
        )

    return mapping


def _sections(value: Any, depth: int) -> Iterable[Section]:
    if depth > _MOST_DEPTH:
        return
    for section in dicts(value):
        title, words = str(section.get("title") or text_of(section.get("code"))), _narrative(section.get("text"))
        if title or words:
            yield Section(title, words)
        yield from _sections(section.get("section"), depth + 1)


def names_of(value: Any) -> str:
    return "、".join(name for name in (text_of(item) for item in dicts(value)) if name)


def note_of_document(hospital_id: str, texts: Mapping[str, str]) -> Callable[[Resource], Record | None]:
    """`texts` by DocumentReference id: what stands in its attachment."""

    def mapping(resource: Resource) -> Record | None:
        if is_dead(resource) or str(resource["id"]) not in texts:
            return None
        context = resource.get("context") if isinstance(resource.get("context"), dict) else {}
        return Record(
            id=record_id(hospital_id, "DocumentReference", str(resource["id"])),
            form=Form.NOTE,
            title=str(resource.get("description") or text_of(resource.get("type"))),
            occurred_at=instant_of(resource, "date"),
            content=Note(split_sections(texts[str(resource["id"])])),
            department=text_of((context or {}).get("practiceSetting")),
            author=names_of(resource.get("author")),
        )

    return mapping


def split_sections(text: str) -> tuple[Section, ...]:
    """`【主诉】…【现病史】…` as sections; a text without such marks is one."""
    parts = _MARKED.split(text)
    sections = [Section("", parts[0].strip())] if parts[0].strip() else []
    sections += [Section(title.strip(), words.strip()) for title, words in zip(parts[1::2], parts[2::2], strict=True)]
    return tuple(sections)


class OtherPersonsDocument(ValueError):
    """A document that names another person as its patient."""


def attachment_text(content_type: str, data: str, number: str | None = None) -> str:
    """The text of base64 data; of a CDA document its sections. What is no text is said to be so.

    Raises ValueError for what is not base64 or no safe XML, OtherPersonsDocument for a document whose patient has another
    resident identity number than `number`.
    """
    kind, _, words = content_type.partition(";")
    kind = kind.strip().lower()
    if kind in _XML:
        document = read_cda(base64.b64decode(data, validate=False))
        if number is not None and document.numbers and number.upper() not in document.numbers:
            raise OtherPersonsDocument
        return document.text
    if not kind.startswith("text/") and kind not in ("application/xhtml+xml", ""):
        return f"这份文书的格式是 {kind or '未知'}，此处不能显示，请在医院系统中查看。"
    try:
        raw = base64.b64decode(data, validate=False)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    charset = words.partition("charset=")[2].strip(' "').lower()
    text = _decoded(raw, charset)
    return strip_markup(text) if kind in ("text/html", "application/xhtml+xml") else text


def _decoded(raw: bytes, charset: str) -> str:
    for name in (charset if charset in ("gbk", "gb2312", "gb18030") else "", "utf-8-sig", "gb18030"):
        if name:
            try:
                return raw.decode("gb18030" if name in ("gbk", "gb2312") else name)
            except UnicodeDecodeError:
                continue
    return raw.decode("utf-8", errors="replace")


# Prescriptions


def prescriptions(hospital_id: str, resources: Sequence[Resource]) -> Mapped:
    """Orders of drugs, grouped as they were prescribed."""
    groups: dict[str, list[Resource]] = defaultdict(list)
    mapped = Mapped()
    for resource in resources:
        if is_dead(resource):
            continue
        try:
            groups[_group_of(resource)].append(resource)
        except (KeyError, TypeError, ValueError):
            mapped.unreadable += 1
    for key, group in groups.items():
        mapped.add({"key": key, "group": group}, lambda found: _prescription(hospital_id, found["key"], found["group"]))
    return mapped


def _group_of(resource: Resource) -> str:
    group, encounter = resource.get("groupIdentifier"), resource.get("encounter")
    if isinstance(group, dict) and group.get("value"):
        return f"group/{group['value']}"
    if isinstance(encounter, dict) and encounter.get("reference"):
        return f"encounter/{encounter['reference']}"
    return f"single/{resource['id']}"


def _prescription(hospital_id: str, key: str, group: Sequence[Resource]) -> Record:
    first = group[0]
    reasons = dict.fromkeys(text_of(reason) for resource in group for reason in dicts(resource.get("reasonCode")))
    dispense = first.get("dispenseRequest") if isinstance(first.get("dispenseRequest"), dict) else {}
    return Record(
        id=record_id(hospital_id, "MedicationRequest", key),
        form=Form.PRESCRIPTION,
        title="处方笺",
        occurred_at=min(instant_of(resource, "authoredOn") for resource in group),
        content=Prescription(tuple(map(_drug, group)), "；".join(reason for reason in reasons if reason)),
        department=text_of((dispense or {}).get("performer")),
        author=text_of(first.get("requester")),
    )


def _drug(resource: Resource) -> PrescribedDrug:
    name = text_of(resource.get("medicationCodeableConcept")) or text_of(resource.get("medicationReference"))
    doses, usages = [], []
    for dosage in dicts(resource.get("dosageInstruction")):
        doses += [_quantity(rate.get("doseQuantity")) for rate in dicts(dosage.get("doseAndRate"))]
        usages.append(text_of(dosage.get("text")))
        usages.append(str(dosage.get("patientInstruction") or ""))
    dispense = resource.get("dispenseRequest") if isinstance(resource.get("dispenseRequest"), dict) else {}
    quantity = _quantity((dispense or {}).get("quantity"), "")
    return PrescribedDrug(
        name=name or "（未注明药品）",
        dose="每次 " + "、".join(filter(None, doses)) if any(doses) else "",
        usage="，".join(filter(None, usages)),
        quantity=f"×{quantity}" if quantity else "",
        note="；".join(str(note.get("text", "")) for note in dicts(resource.get("note"))),
    )


def _quantity(value: Any, between: str = " ") -> str:
    if not isinstance(value, dict):
        return ""
    return between.join(filter(None, (decimal_text(value.get("value")), str(value.get("unit") or value.get("code") or ""))))


# Reports


def is_laboratory(report: Resource) -> bool:
    return bool(codes_of(report.get("category")) & _LAB)


def lab_report(hospital_id: str, observations: Mapping[str, Resource]) -> Callable[[Resource], Record | None]:
    """`observations` by id. Results that the report names and that are not there are counted in it."""

    def mapping(report: Resource) -> Record | None:
        if is_dead(report):
            return None
        items: list[LabItem] = []
        names = [reference_id(ref) for ref in dicts(report.get("result"))]
        for name in with_members(names, observations):
            items += items_of(observations[name])
        left_out = sum(name not in observations for name in names)
        if names and left_out == len(names) and not report.get("conclusion"):
            raise ValueError("none of the results is there")
        return Record(
            id=record_id(hospital_id, "DiagnosticReport", str(report["id"])),
            form=Form.LAB,
            title=text_of(report.get("code")) or "检验报告",
            occurred_at=instant_of(report, "effectiveDateTime", "effectivePeriod", "issued"),
            content=LabReport(tuple(items), names_of(report.get("specimen")), str(report.get("conclusion") or ""), left_out),
            department=names_of(report.get("performer")),
            author=names_of(report.get("resultsInterpreter")),
            abnormal=is_abnormal(items),
            critical=is_critical(items),
        )

    return mapping


def reference_id(reference: Resource) -> str:
    """The id that a reference names: relative, absolute, of one version, within the resource, or as `urn:uuid:`."""
    told = str(reference.get("reference") or "").partition("/_history/")[0]
    return told.rpartition("/")[2].rpartition(":")[2].removeprefix("#")


def with_members(names: Iterable[str], observations: Mapping[str, Resource]) -> list[str]:
    """Those that are there, each followed by its members (a panel may stand for its results), once each. A panel that says
    nothing itself is left out."""
    found: dict[str, None] = {}
    waiting = list(names)[::-1]
    while waiting:
        name = waiting.pop()
        observation = observations.get(name)
        if observation is None or name in found:
            continue
        found[name] = None
        waiting += [reference_id(ref) for ref in dicts(observation.get("hasMember"))][::-1]
    return [name for name in found if not is_mere_panel(observations[name])]


def is_mere_panel(observation: Resource) -> bool:
    """Whether it only holds others together."""
    says = observation.get("component") or any(key.startswith("value") for key in observation)
    return bool(dicts(observation.get("hasMember"))) and not says and not is_dead(observation)


def items_of(observation: Resource) -> list[LabItem]:
    """An observation's result, and those of its components. Of one that was taken back, a line that says so."""
    name, code = text_of(observation.get("code")), _code(observation.get("code"))
    if is_dead(observation):
        return [LabItem(code=code, name=name, value=TAKEN_BACK, unit="", range=Range(), flag=Flag.NORMAL)]
    items = []
    if any(key.startswith("value") for key in observation) or not observation.get("component"):
        items.append(_item(name, code, observation))
    parts = dicts(observation.get("component"))
    return [*items, *(_item(text_of(part.get("code")) or name, _code(part.get("code")), part) for part in parts)]


def _code(concept: Any) -> str:
    """What joins a test over time: the LOINC code where there is one, else the hospital's own, else its name."""
    codings = dicts(concept.get("coding")) if isinstance(concept, dict) else []
    for coding in sorted(codings, key=lambda c: c.get("system") != "http://loinc.org"):
        if coding.get("code"):
            return f"{coding.get('system', '')}|{coding['code']}"
    return text_of(concept)


def _item(name: str, code: str, source: Resource) -> LabItem:
    value, unit, number = _value(source)
    reference = _range(source.get("referenceRange"))
    codes = codes_of(source.get("interpretation"))
    known = [_FLAGS[c] for c in codes if c in _FLAGS]
    flag = max(known, key=lambda f: (f.is_critical, f is not Flag.NORMAL)) if known else flag_of(number, reference)
    return LabItem(code=code, name=name, value=value, unit=unit, range=reference, flag=flag, number=number)


def _value(source: Resource) -> tuple[str, str, float | None]:
    """Words, unit, figure."""
    quantity = source.get("valueQuantity")
    if isinstance(quantity, dict):
        text = decimal_text(quantity.get("value"))
        unit = str(quantity.get("unit") or quantity.get("code") or "")
        comparator = {"<=": "≤", ">=": "≥"}.get(str(quantity.get("comparator", "")), str(quantity.get("comparator", "")))
        return comparator + text, unit, float(text) if text and not comparator else None
    for key in ("valueString", "valueDateTime", "valueTime"):
        if isinstance(source.get(key), str):
            return str(source[key]), "", None
    for key in ("valueInteger",):
        if isinstance(source.get(key), int):
            return str(source[key]), "", float(source[key])
    if isinstance(source.get("valueBoolean"), bool):
        return ("是" if source["valueBoolean"] else "否"), "", None
    if "valueCodeableConcept" in source:
        return text_of(source["valueCodeableConcept"]), "", None
    for key, between in (("valueRange", "–"), ("valueRatio", ":")):
        if isinstance(source.get(key), dict):
            ends = [source[key].get(end) for end in ("low", "high", "numerator", "denominator")]
            unit = next((str(end.get("unit") or "") for end in ends if isinstance(end, dict)), "")
            return between.join(decimal_text(end.get("value")) for end in ends if isinstance(end, dict)), unit, None
    return text_of(source.get("dataAbsentReason")) or "（无结果）", "", None


def _range(value: Any) -> Range:
    for reference in dicts(value):
        bounds = [reference.get(end) for end in ("low", "high")]
        low, high = (decimal_text(bound.get("value")) if isinstance(bound, dict) else "" for bound in bounds)
        words = str(reference.get("text") or "")
        if not words and (low or high):
            words = f"{low}–{high}" if low and high else f"≥{low}" if low else f"≤{high}"
        if words:
            return Range(float(low) if low else None, float(high) if high else None, words)
    return Range()


def exam_report(hospital_id: str, observations: Mapping[str, Resource]) -> Callable[[Resource], Record | None]:
    def mapping(report: Resource) -> Record | None:
        if is_dead(report):
            return None
        findings, sites = [], []
        for reference in dicts(report.get("result")):
            found = observations.get(reference_id(reference))
            if found is None:
                findings.append("（一项检查所见未能从医院取得）")
                continue
            sites.append(text_of(found.get("bodySite")))
            for item in items_of(found):
                words = f"{item.value} {item.unit}".strip()
                findings.append(words if codes_of([found.get("code")]) & FINDINGS else f"{item.name}：{words}")
        if not findings and (words := _narrative(report.get("text"))):
            findings.append(words)
        sections = codes_of(report.get("category"))
        return Record(
            id=record_id(hospital_id, "DiagnosticReport", str(report["id"])),
            form=Form.EXAM,
            title=text_of(report.get("code")) or "检查报告",
            occurred_at=instant_of(report, "effectiveDateTime", "effectivePeriod", "issued"),
            content=ExamReport(
                findings="\n".join(findings),
                impression=str(report.get("conclusion") or ""),
                modality="、".join(sorted(sections)),
                body_site=next((site for site in sites if site), ""),
            ),
            department=names_of(report.get("performer")),
            author=names_of(report.get("resultsInterpreter")),
            abnormal=bool(codes_of(report.get("conclusionCode")) & {"A", "AA", "H", "L", "HH", "LL"}),
        )

    return mapping


# Imaging


def imaging_study(hospital_id: str, numbers: frozenset[str]) -> Callable[[Resource], Record | None]:
    """`numbers`: the PatientIDs that the study's pictures may carry."""

    def mapping(resource: Resource) -> Record | None:
        if is_dead(resource):
            return None
        frames = [frame for series in dicts(resource.get("series")) for frame in _frames(series)]
        if not frames:
            raise ValueError("a study without pictures")
        modality = "、".join(dict.fromkeys(text_of(m) or str(m.get("code", "")) for m in dicts(resource.get("modality"))))
        site = next((text_of(s.get("bodySite")) for s in dicts(resource.get("series")) if s.get("bodySite")), "")
        description = str(resource.get("description") or f"{modality} 影像")
        return Record(
            id=record_id(hospital_id, "ImagingStudy", str(resource["id"])),
            form=Form.IMAGING,
            title=description,
            occurred_at=instant_of(resource, "started"),
            content=ImagingStudy(_study_uid(resource), modality, description, tuple(frames), site, numbers),
            department="放射科",
        )

    return mapping


def _study_uid(resource: Resource) -> str:
    for identifier in dicts(resource.get("identifier")):
        value = str(identifier.get("value") or "")
        if identifier.get("system") == "urn:dicom:uid" or value.startswith("urn:oid:"):
            return checked_uid(value.removeprefix("urn:oid:"))
    raise ValueError("no study UID")


def checked_uid(uid: str) -> str:
    """A DICOM UID, which will stand in an address. Raises ValueError."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", uid) or len(uid) > 64:
        raise ValueError("not a UID")
    return uid


def _frames(series: Resource) -> Iterable[Frame]:
    series_uid = checked_uid(str(series["uid"]))
    instances = sorted(dicts(series.get("instance")), key=lambda i: i.get("number") or 0)
    words = str(series.get("description") or "")
    for place, instance in enumerate(instances, start=1):
        caption = f"{words}  {place} / {len(instances)}".strip()
        yield Frame(series_uid, checked_uid(str(instance["uid"])), 1, caption)
