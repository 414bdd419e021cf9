"""What resources of all kinds are made of (words, instants, figures, references), and what the mapping of a part gives."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from html.parser import HTMLParser
from typing import Any, Final

from ehr_view.domain.records import Missing, MissingReason, Part, Record
from ehr_view.fhir import Resource

SHANGHAI: Final = timezone(timedelta(hours=8))
_DEAD: Final = frozenset({"entered-in-error", "cancelled"})
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


def narrative_of(value: Any) -> str:
    return strip_markup(str(value["div"])) if isinstance(value, dict) and isinstance(value.get("div"), str) else ""


def names_of(value: Any) -> str:
    return "、".join(name for name in (text_of(item) for item in dicts(value)) if name)


def reference_id(reference: Resource) -> str:
    """The id that a reference names: relative, absolute, of one version, within the resource, or as `urn:uuid:`."""
    told = str(reference.get("reference") or "").partition("/_history/")[0]
    return told.rpartition("/")[2].rpartition(":")[2].removeprefix("#")
