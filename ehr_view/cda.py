"""CDA R2 documents (Chinese shared documents after WS/T 500, C-CDA) to sections of text and results.

A section's narrative is what its author signed; of its entries, what the narrative does not say is added as text. So nothing
is dropped that a person could read.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from ehr_view.cda_tables import table_lines
from ehr_view.domain.records import Flag, LabItem, Range, Section, flag_of
from ehr_view.domain.typography import clean
from ehr_view.safe_xml import Element, XmlRefused, read_xml

RESIDENT_ROOT: Final = "2.16.156.10011.1.3"
_SHANGHAI: Final = timezone(timedelta(hours=8))
_LAB_CODES: Final = frozenset({"11502-2", "26436-6", "HSDB05.01", "C0007"})
_BLOCKS: Final = frozenset({"paragraph", "br", "tr", "item", "list", "table", "caption", "thead", "tbody", "footnote"})
_MOST_COMPARED: Final = 50_000
"""Characters of a narrative in which entries are looked for; what stands behind them is said twice rather than not at all."""

_CELLS: Final = frozenset({"td", "th"})
_STATEMENTS: Final = frozenset(
    {"observation", "act", "procedure", "substanceAdministration", "encounter", "supply", "observationMedia"}
)
_FLAGS: Final = {
    "H": Flag.HIGH, "L": Flag.LOW, "HH": Flag.CRITICAL_HIGH, "LL": Flag.CRITICAL_LOW, "A": Flag.ABNORMAL,
    "AA": Flag.CRITICAL, "N": Flag.NORMAL,
}  # fmt: skip
_NUMBER: Final = re.compile(r"[+-]?\d{1,15}(\.\d{1,10})?")
_TIME: Final = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(?:\.\d+)?([+-]\d{4})?")


@dataclass(frozen=True, slots=True)
class CdaDocument:
    """`numbers`: resident identity numbers that it names as its patient's. `items` only where it is a laboratory report."""

    title: str
    at: datetime | None
    author: str
    custodian: str
    numbers: frozenset[str]
    name: str
    birth_date: date | None
    sections: tuple[Section, ...]
    items: tuple[LabItem, ...] = ()

    @property
    def text(self) -> str:
        """All sections as one text, titles in 【】."""
        return "\n".join(
            f"【{s.title.replace('【', '[').replace('】', ']')}】{s.text}" if s.title else s.text for s in self.sections
        )


def looks_like_xml(raw: bytes) -> bool:
    return raw[:200].lstrip(b"\xef\xbb\xbf\r\n\t ").startswith((b"<?xml", b"<ClinicalDocument", b"<!DOCTYPE"))


def read_cda(raw: bytes) -> CdaDocument:
    """The document. Raises XmlRefused (a ValueError) for what is no CDA, or not safe to read."""
    root = read_xml(raw)
    if root.name != "ClinicalDocument":
        raise XmlRefused("not a CDA document")
    code = root.find("code")
    codes = {code.get("code"), code.get("displayName")} if code is not None else set()
    role = root.find("recordTarget", "patientRole")
    patient = role.find("patient") if role is not None else None
    birth = patient.find("birthTime") if patient is not None else None
    name = patient.find("name") if patient is not None else None
    effective = root.find("effectiveTime")
    title = _words(root.find("title")) or (code.get("displayName") if code is not None else "")
    is_lab = bool(codes & _LAB_CODES) or "检验" in title
    born = instant_of(birth.get("value")) if birth is not None else None
    return CdaDocument(
        title=title,
        at=instant_of(effective.get("value")) if effective is not None else None,
        author="、".join(filter(None, (_words(n) for n in root.all("author", "assignedAuthor", "assignedPerson", "name")))),
        custodian=_words(root.find("custodian", "assignedCustodian", "representedCustodianOrganization", "name")),
        numbers=frozenset(
            i.get("extension").upper() for i in (role.all("id") if role is not None else []) if i.get("root") == RESIDENT_ROOT
        ),
        name="".join(_words(name).split()),
        birth_date=born.astimezone(_SHANGHAI).date() if born is not None else None,
        sections=tuple(_sections(root)),
        items=tuple(_items(root)) if is_lab else (),
    )


def instant_of(text: str) -> datetime | None:
    """A CDA time; without a zone it is China's."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    *parts, zone = found.groups()
    year, month, day, hour, minute, second = (int(p) if p else None for p in parts)
    try:
        tz = _SHANGHAI
        if zone:
            tz = timezone((-1 if zone[0] == "-" else 1) * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:])))
        return datetime(year or 1, month or 1, day or 1, hour or 0, minute or 0, second or 0, tzinfo=tz).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _words(element: Element | None) -> str:
    return element.text() if element is not None else ""


def _sections(root: Element) -> Iterator[Section]:
    body = root.find("component", "structuredBody")
    sections = body.all("component", "section") if body is not None else root.all("section")  # some put them there
    for section in sections:
        yield from _section(section)
    if (other := root.find("component", "nonXMLBody", "text")) is not None:
        yield Section("", _other_body(other))


def _section(section: Element) -> Iterator[Section]:
    code = section.find("code")
    title = _words(section.find("title")) or (code.get("displayName") or code.get("code") if code is not None else "")
    told = section.find("text")
    narrative = _narrative(told) if told is not None else ""
    plain = "".join(clean(narrative).split())[:_MOST_COMPARED]
    lines = [narrative] if narrative else []
    for entry in section.elements("entry"):
        for label, value in _statements(entry):
            if value and "".join(value.split()) not in plain:
                lines.append(f"{label}：{value}" if label else value)
    if title or lines:
        yield Section(title, "\n".join(dict.fromkeys(lines)))
    for inner in section.all("component", "section"):
        yield from _section(inner)


def _narrative(text: Element) -> str:
    """Text as its author laid it out: paragraphs and lists as lines, tables as `grids` has them."""
    parts: list[str] = []

    def walk(element: Element) -> None:
        for child in element.children:
            if isinstance(child, str):
                parts.append(re.sub(r"\s+", " ", child))
                continue
            if child.name == "table" and (rows := table_lines(child)):
                parts.append("\n" + "\n".join(rows) + "\n")
                continue
            if child.name in _BLOCKS:
                parts.append("\n")
            if child.name == "item":
                place = element.elements("item").index(child) + 1
                parts.append(f"{place}. " if element.get("listType") == "ordered" else "• ")
            walk(child)
            if child.name in _CELLS:
                parts.append("　")
            if child.name in _BLOCKS:
                parts.append("\n")

    walk(text)
    lines = (line.strip(" 　") for line in "".join(parts).split("\n"))
    return "\n".join(line for line in lines if line)


def _statements(element: Element) -> Iterator[tuple[str, str]]:
    """What entries say: label and value, those within others too."""
    if element.name in _STATEMENTS:
        code = element.find("code")
        label = (code.get("displayName") or _words(code.find("originalText")) or code.get("code")) if code is not None else ""
        for value in element.elements("value"):
            yield label, value_text(value)
        if (text := element.find("text")) is not None:
            yield label, text.text()
        if element.name == "substanceAdministration":
            yield label, _drug(element)
    for child in element.elements():
        if child.name not in ("code", "value", "text", "consumable"):
            yield from _statements(child)


def value_text(value: Element) -> str:
    if value.get("value"):
        return f"{value.get('value')} {value.get('unit')}".strip()
    if value.get("displayName"):
        return value.get("displayName")
    ends = [value_text(end) for name in ("low", "high") for end in value.elements(name)]
    return "–".join(filter(None, ends)) or value.text() or value.get("code") or _flavour(value)


def _flavour(value: Element) -> str:
    return {"UNK": "不详", "NI": "未提供", "NA": "不适用", "ASKU": "患者不知"}.get(value.get("nullFlavor"), "")


def _drug(element: Element) -> str:
    material = element.find("consumable", "manufacturedProduct", "manufacturedLabeledDrug") or element.find(
        "consumable", "manufacturedProduct", "manufacturedMaterial"
    )
    code = material.find("code") if material is not None else None
    name = _words(material.find("name")) if material is not None else ""
    name = name or (code.get("displayName") if code is not None else "")
    route, dose = element.find("routeCode"), element.find("doseQuantity")
    words = (name, value_text(dose) if dose is not None else "", route.get("displayName") if route is not None else "")
    return " ".join(filter(None, words))


def _items(root: Element) -> Iterator[LabItem]:
    """Results: observations with a value that is a figure or a word, and a name."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if element.name == "observation" and (item := _item(element)) is not None:
            yield item
        waiting += reversed(element.elements())


def _item(observation: Element) -> LabItem | None:
    code, value = observation.find("code"), observation.find("value")
    if code is None or value is None or value.get("type").rpartition(":")[2] not in ("PQ", "REAL", "INT"):
        return None
    name = code.get("displayName") or _words(code.find("originalText")) or code.get("code")
    text = value.get("value")
    number = float(text) if _NUMBER.fullmatch(text) else None
    reference = _range(observation)
    marks = [i.get("code").upper() for i in observation.elements("interpretationCode")]
    known = [_FLAGS[m] for m in marks if m in _FLAGS]
    system = "http://loinc.org" if code.get("codeSystem") == "2.16.840.1.113883.6.1" else code.get("codeSystem")
    return LabItem(
        code=f"{system}|{code.get('code')}" if code.get("code") else name,
        name=name or "（未注明项目）",
        value=text or value_text(value) or "（无结果）",
        unit=value.get("unit"),
        range=reference,
        flag=max(known, key=lambda f: (f.is_critical, f is not Flag.NORMAL)) if known else flag_of(number, reference),
        number=number,
    )


def _range(observation: Element) -> Range:
    found = observation.find("referenceRange", "observationRange")
    if found is None:
        return Range()
    bounds = [found.find("value", end) for end in ("low", "high")]
    low, high = (b.get("value") if b is not None and _NUMBER.fullmatch(b.get("value")) else "" for b in bounds)
    words = f"{low}–{high}" if low and high else f"≥{low}" if low else f"≤{high}" if high else _words(found.find("text"))
    return Range(float(low) if low else None, float(high) if high else None, words)


def _other_body(text: Element) -> str:
    """A body that is no XML: its text where it is text."""
    kind = text.get("mediaType") or "text/plain"
    if not kind.startswith("text/"):
        return f"这份文书的格式是 {kind}，此处不能显示，请在医院系统中查看。"
    if text.get("representation") != "B64":
        return text.text()
    try:
        return base64.b64decode("".join(text.text().split())).decode("utf-8", errors="replace")
    except ValueError as error:
        raise XmlRefused("not base64") from error
