"""HL7 v2 messages as text: characters, separators, escapes, and the answer to one. Pure; knows no segment but MSH.

Whatever comes is read or refused with a reason that holds nothing of it. Nothing is dropped: fields keep their text, also of
segments that nobody knows.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from server.kernel.wire import unclean

SHANGHAI: Final = timezone(timedelta(hours=8))
MOST_SEGMENTS: Final = 20_000
_MOST_HEADER: Final = 2_000
_MOST_CONTROL: Final = 199
"""Characters of MSH-10: what version 2.9 allows."""

_NAME: Final = re.compile(r"[A-Z][A-Z0-9]{2}")
_BREAKS: Final = re.compile(r"\r\n|\r|\n")
_INSTANT: Final = re.compile(r"(\d{4})(\d{2})?(\d{2})?(?:(\d{2})(\d{2})?(\d{2})?(?:\.(\d{1,6}))?)?([+-]\d{4})?")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FORMATTED: Final = {
    **{".br": "\n", ".sp": "\n", ".ce": "\n", ".sk": " "},
    **{".in": "", ".ti": "", ".fi": "", ".nf": "", "H": "", "N": ""},
}
"""Formatting commands of FT fields; what follows the letters is a number."""

_CHARSETS: Final = {
    "UNICODE UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "GB18030": "gb18030",
    "GB 18030": "gb18030",
    "GB 18030-2000": "gb18030",
    "GB18030-2000": "gb18030",
    "GB18030-2005": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
    "CN-GB": "gb18030",
    "8859/1": "latin-1",
    "BIG-5": "big5hkscs",
    "BIG5": "big5hkscs",
}
"""By what MSH-18 says. ASCII and silence are not here: then the bytes decide."""


class Hl7Refused(Exception):
    """A message that is not taken. `code` names why, `where` the place (`PID^1^3`); neither holds anything of the message.

    `reject`: never sent again as it is (AR); else an error that may be mended here (AE). `condition` is of HL7 table 0357.
    """

    def __init__(self, code: str, where: str = "", *, condition: str = "207", reject: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.where = where
        self.condition = condition
        self.reject = reject


@dataclass(frozen=True, slots=True)
class Separators:
    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


@dataclass(frozen=True, slots=True)
class Segment:
    """One line. Fields count from 1, as in the standard: `MSH-1` is the separator itself."""

    name: str
    fields: tuple[str, ...]
    separators: Separators
    charset: str

    def raw(self, number: int) -> str:
        return self.fields[number - 1] if 0 < number <= len(self.fields) else ""

    def repetitions(self, number: int) -> tuple[str, ...]:
        raw = self.raw(number)
        return tuple(raw.split(self.separators.repetition)) if raw else ()

    def get(self, number: int, component: int = 1, *, repetition: int = 0, subcomponent: int = 1) -> str:
        """The text at a place, escapes undone; empty where there is nothing, or HL7's explicit nothing (`""`)."""
        repetitions = self.repetitions(number)
        return self.part(repetitions[repetition], component, subcomponent) if repetition < len(repetitions) else ""

    def part(self, repetition: str, component: int = 1, subcomponent: int = 1) -> str:
        """The same of a repetition's raw text."""
        components = repetition.split(self.separators.component)
        if component > len(components):
            return ""
        parts = components[component - 1].split(self.separators.subcomponent)
        return self.text(parts[subcomponent - 1]) if subcomponent <= len(parts) else ""

    def text(self, raw: str) -> str:
        """Raw text with escapes undone and control characters gone."""
        return "" if raw == '""' else _clean(_unescape(raw, self.separators, self.charset)).strip()

    def words(self, number: int) -> str:
        """All of a field as text for people: parts that say something, in their order."""
        return "、".join(filter(None, (self.spoken(repetition) for repetition in self.repetitions(number))))

    def spoken(self, repetition: str) -> str:
        separators = self.separators
        parts = [p for c in repetition.split(separators.component) for p in c.split(separators.subcomponent)]
        return " ".join(filter(None, (self.text(part) for part in parts)))

    def whole(self) -> str:
        """The whole segment as text for people, fields set apart."""
        found = [self.words(number) for number in range(1, len(self.fields) + 1)]
        return f"{self.name}：{' | '.join(filter(None, found))}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose header can be read. `charset` is what it was decoded with."""

    segments: tuple[Segment, ...]
    charset: str
    header: Segment = field(repr=False)

    @property
    def control_id(self) -> str:
        return self.header.get(10)

    @property
    def kind(self) -> str:
        """`ORU`, `MDM`, `ADT`."""
        return self.header.get(9, 1).upper()

    @property
    def trigger(self) -> str:
        """`R01`, `T02`, `A08`."""
        return self.header.get(9, 2).upper()

    @property
    def sender(self) -> str:
        """Application and facility: with the control id they name the message."""
        return f"{self.header.get(3)}|{self.header.get(4)}"

    def first(self, name: str) -> Segment | None:
        return next((s for s in self.segments if s.name == name), None)

    def all(self, name: str) -> Iterator[Segment]:
        return (s for s in self.segments if s.name == name)


def parse(data: bytes) -> Message:
    """The message in these bytes. Raises Hl7Refused."""
    text, charset = decode(data)
    lines = [line for line in _BREAKS.split(text.lstrip("\ufeff\r\n\t \x0b")) if line.strip()]
    if not lines or not lines[0].startswith("MSH"):
        raise Hl7Refused("message.no_header", "MSH", condition="100")
    if len(lines) > MOST_SEGMENTS:
        raise Hl7Refused("message.too_many_segments", reject=True)
    separators = separators_of(lines[0])
    header = _header(lines[0], separators, charset)
    segments = [header]
    for number, line in enumerate(lines[1:], start=2):
        name, mark, rest = line.partition(separators.field)
        if not _NAME.fullmatch(name) or (not mark and rest):
            raise Hl7Refused("message.not_a_segment", f"line {number}", condition="100")
        segments.append(Segment(name, tuple(rest.split(separators.field)), separators, charset))
    if not header.get(10) or len(header.get(10)) > _MOST_CONTROL:
        raise Hl7Refused("message.no_control_id", "MSH^1^10", condition="101")
    if not re.fullmatch(r"[A-Za-z0-9]{3}", header.get(9, 1)):
        raise Hl7Refused("message.no_type", "MSH^1^9", condition="101")
    return Message(tuple(segments), charset, header)


def header_of(data: bytes) -> Segment | None:
    """The header of whatever came, as far as there is one: to answer what cannot be read otherwise."""
    start = data.find(b"MSH", 0, 64)
    if start < 0:
        return None
    line = _BREAKS.split(data[start : start + _MOST_HEADER].decode("utf-8", errors="replace"), maxsplit=1)[0]
    try:
        return _header(line, separators_of(line), "utf-8")
    except Hl7Refused:
        return None


def separators_of(line: str) -> Separators:
    """As MSH-1 and MSH-2 say. Raises Hl7Refused where they cannot be told apart from text or from one another."""
    first = line[3:4]
    rest = line[4:].partition(first)[0] if first else ""
    chosen = first + rest[:4]
    if len(chosen) == 4:
        chosen += "&"  # a sender without subcomponents
    if len(chosen) != 5 or len(set(chosen)) != 5 or any(c.isalnum() or c.isspace() or not c.isprintable() for c in chosen):
        raise Hl7Refused("message.bad_separators", "MSH^1^2", condition="102")
    return Separators(*chosen)


def _header(line: str, separators: Separators, charset: str) -> Segment:
    parts = line.split(separators.field)
    return Segment("MSH", (separators.field, *parts[1:]), separators, charset)


def decode(data: bytes) -> tuple[str, str]:
    """The text and the name of its characters. What MSH-18 says comes first where the bytes agree; then UTF-8 and GB18030,
    which hospitals send whatever they declare. Raises Hl7Refused."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Hl7Refused("message.characters_unknown", "MSH^1^18", condition="103")
    for name in dict.fromkeys((_declared(data), "utf-8", "gb18030")):
        if name is None:
            continue
        try:
            return data.decode("utf-8-sig" if name == "utf-8" else name), name
        except UnicodeDecodeError:
            continue
    raise Hl7Refused("message.characters_unknown", "MSH^1^18", condition="103")


def _declared(data: bytes) -> str | None:
    """The characters that MSH-18 declares. Trailing bytes of GB18030 can be separators, so each reading is held against
    itself: the header, decoded as it declares, must still declare that."""
    line = re.split(rb"[\r\n]", data.lstrip(b"\xef\xbb\xbf\r\n\t \x0b")[:_MOST_HEADER], maxsplit=1)[0]
    for name in ("utf-8", "gb18030", "latin-1", "big5hkscs"):
        text = line.decode(name, errors="replace")
        try:
            declared = _header(text, separators_of(text), name).get(18).upper()
        except Hl7Refused:
            continue
        if _CHARSETS.get(declared) == name:
            return name
    return None


def _unescape(raw: str, separators: Separators, charset: str) -> str:
    mark = separators.escape
    if mark not in raw:
        return raw
    known = {
        "F": separators.field,
        "S": separators.component,
        "T": separators.subcomponent,
        "R": separators.repetition,
        "E": mark,
    }
    parts: list[str] = []
    place = 0
    while (start := raw.find(mark, place)) >= 0:
        end = raw.find(mark, start + 1)
        if end < 0:
            break
        parts.append(raw[place:start])
        meant = _escape(raw[start + 1 : end], known, charset)
        if meant is None:  # no escape: a mark that stands for itself
            parts.append(mark)
            place = start + 1
        else:
            parts.append(meant)
            place = end + 1
    parts.append(raw[place:])
    return "".join(parts)


def _escape(name: str, known: dict[str, str], charset: str) -> str | None:
    """What an escape stands for; None for what is none."""
    if not name:
        return None
    if name in known:
        return known[name]
    if name[:1] in ("X", "C", "M") and _HEX.fullmatch(name[1:]):
        try:
            return bytes.fromhex(name[1:]).decode(charset if name[0] == "X" else "gb2312")
        except UnicodeDecodeError:
            return None
    for start, meant in _FORMATTED.items():
        if name.startswith(start) and re.fullmatch(r"[+-]?\d{0,4}", name[len(start) :]):
            return meant
    return f"[{name}]" if name[:1] == "Z" and name.isalnum() else None


def _clean(text: str) -> str:
    return _CONTROLS.sub("", _BREAKS.sub("\n", text)) if unclean(text) or "\r" in text else text


def escape(text: str, separators: Separators) -> str:
    """Text as it may stand in a field."""
    mark = separators.escape
    names = {
        mark: "E",
        separators.field: "F",
        separators.component: "S",
        separators.subcomponent: "T",
        separators.repetition: "R",
        "\n": "X0D",
    }
    return "".join(f"{mark}{names[c]}{mark}" if c in names else c for c in _BREAKS.sub("\n", text))


def instant_of(text: str) -> datetime | None:
    """A time stamp (`20261122093000.123+0800`); without a zone it is China's. None for what is none."""
    found = _INSTANT.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    tz = SHANGHAI
    try:
        if zone:
            sign = -1 if zone[0] == "-" else 1
            tz = timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5])))
        micro = int((fraction or "0").ljust(6, "0"))
        at = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), micro, tz)
        return at.astimezone(UTC).replace(microsecond=micro // 1000 * 1000)
    except (ValueError, OverflowError):
        return None


def acknowledge(
    header: Segment | None, code: str, *, own_id: str, at: datetime, charset: str = "utf-8", refused: Hl7Refused | None = None
) -> bytes:
    """The answer: `AA`, `AE` or `AR`, and where it was refused, why. It repeats of the message the header's names only."""
    separators = header.separators if header is not None else Separators()
    bar, part = separators.field, separators.component

    def given(number: int, component: int = 1) -> str:
        return escape(header.get(number, component), separators) if header is not None else ""

    kind = part.join(filter(None, ("ACK", given(9, 2), "ACK")))
    stamp = at.astimezone(SHANGHAI).strftime("%Y%m%d%H%M%S+0800")
    own = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000", "latin-1": "8859/1", "big5hkscs": "BIG-5"}[charset]
    marks = part + separators.repetition + separators.escape + separators.subcomponent
    head: Sequence[str] = (
        "MSH", marks, "YUNZHEN", "", given(3), given(4), stamp, "", kind, own_id,
        given(11) or "P", given(12) or "2.4", "", "", "", "", "", own,
    )  # fmt: skip
    lines = [bar.join(head), bar.join(["MSA", code, given(10), refused.code if refused else ""]).rstrip(bar)]
    if refused is not None:
        where = part.join(escape(p, separators) for p in refused.where.split("^"))
        condition = part.join((refused.condition, _CONDITIONS.get(refused.condition, "Application error"), "HL70357"))
        lines.append(bar.join(["ERR", "", where, condition, "E", "", refused.code]))
    return ("\r".join(lines) + "\r").encode(charset, errors="replace")


_CONDITIONS: Final = {
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "207": "Application internal error",
}
