"""Consent texts: versioned, and hashed over the exact bytes that were shown."""

from dataclasses import dataclass
from enum import StrEnum


class Language(StrEnum):
    ZH = "zh"
    EN = "en"


@dataclass(frozen=True, slots=True)
class Consent:
    """`sha256` is the hexadecimal digest of `text` in UTF-8."""

    kind: str
    version: str
    language: Language
    title: str
    text: str
    sha256: str
