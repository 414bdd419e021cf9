"""XML from strangers: no document types, no entities of its own, nothing fetched, and bounds on size, depth and number.

Over expat itself, because no reader has the bounds on depth: one that is too deep or too large is refused while it is read.
"""

import codecs
import re
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat

MOST_BYTES: Final = 16 * 1024 * 1024
MOST_DEPTH: Final = 100
MOST_ELEMENTS: Final = 200_000

_DECLARED: Final = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_CHARSETS: Final = {"gbk": "gb18030", "gb2312": "gb18030", "gb18030": "gb18030", "iso-8859-1": "latin-1", "us-ascii": "utf-8"}


class XmlRefused(ValueError):
    """Why, in words that hold nothing of the document."""


@dataclass(slots=True)
class Element:
    """`name` and the names of attributes are local names."""

    name: str
    attributes: dict[str, str]
    children: "list[Element | str]" = field(default_factory=list)

    def get(self, name: str) -> str:
        return self.attributes.get(name, "").strip()

    def elements(self, name: str | None = None) -> "list[Element]":
        return [c for c in self.children if isinstance(c, Element) and name in (None, c.name)]

    def find(self, *path: str) -> "Element | None":
        """The first element at a path of names."""
        found: Element | None = self
        for name in path:
            found = next(iter(found.elements(name)), None) if found is not None else None
        return found

    def all(self, *path: str) -> "list[Element]":
        """Every element at a path of names."""
        found = [self]
        for name in path:
            found = [child for each in found for child in each.elements(name)]
        return found

    def text(self) -> str:
        """All text within, in one line."""
        parts: list[str] = []
        waiting: list[Element | str] = [self]
        while waiting:
            each = waiting.pop()
            if isinstance(each, str):
                parts.append(each)
            else:
                waiting += reversed(each.children)
        return " ".join("".join(parts).split())


def read_xml(data: bytes) -> Element:
    """The root. Raises XmlRefused."""
    if len(data) > MOST_BYTES:
        raise XmlRefused("too large")
    reader = _Reader()
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.ExternalEntityRefHandler = reader.refuse
    parser.SkippedEntityHandler = reader.refuse
    try:
        parser.Parse(_decoded(data).encode(), True)
    except expat.ExpatError as error:
        raise XmlRefused("not well formed") from error
    if reader.root is None:
        raise XmlRefused("empty")
    return reader.root


class _Reader:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MOST_ELEMENTS:
            raise XmlRefused("too many elements")
        if len(self._open) >= MOST_DEPTH:
            raise XmlRefused("too deep")
        element = Element(_local(name), {_local(key): value for key, value in attributes.items()})
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, name: str) -> None:
        self._open.pop()

    def text(self, words: str) -> None:
        if self._open:
            self._open[-1].children.append(words)

    def refuse(self, *_: Any) -> int:
        raise XmlRefused("document types and entities are not taken")


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        charset = "utf-16"
    elif found := _DECLARED.match(data[:300]):
        name = found[1].decode().lower()
        charset = _CHARSETS.get(name, "utf-8-sig" if name in ("utf-8", "utf8") else "")
    else:
        charset = "utf-8-sig"
    for name in filter(None, dict.fromkeys((charset, "utf-8-sig", "gb18030"))):
        try:
            return data.decode(name)
        except UnicodeDecodeError:
            continue
    raise XmlRefused("characters unknown")
