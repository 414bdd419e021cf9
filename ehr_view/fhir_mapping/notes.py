"""Compositions and DocumentReferences: notes, and the documents that hang on them."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ehr_view.cda import read_cda
from ehr_view.domain.records import Form, Note, Record, Section, record_id
from ehr_view.fhir import Resource
from ehr_view.fhir_mapping.values import dicts, instant_of, is_dead, names_of, narrative_of, strip_markup, text_of

_MARKED: Final = re.compile(r"【([^【】\n]{1,30})】")
_XML: Final = frozenset(
    {"application/xml", "text/xml", "application/hl7-cda+xml", "application/cda+xml", "application/hl7-v3+xml"}
)
_MOST_DEPTH: Final = 5


def note_of_composition(hospital_id: str) -> Callable[[Resource], Record | None]:
    def mapping(resource: Resource) -> Record | None:
        if is_dead(resource):
            return None
        sections = list(_sections(resource.get("section"), 0))
        if not sections and (words := narrative_of(resource.get("text"))):
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
        title, words = str(section.get("title") or text_of(section.get("code"))), narrative_of(section.get("text"))
        if title or words:
            yield Section(title, words)
        yield from _sections(section.get("section"), depth + 1)


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
