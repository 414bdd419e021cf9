"""The consent texts, as files: `<kind>.<version>.<language>.txt`, the first line is the title, the rest the text.

A file that was released is never edited: its hash stands in orders. A new wording is a new version.
"""

from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from accounts.domain.consents import Consent, Language
from accounts.service.consents import CONSULT, ConsentService

IN_FORCE: Final = MappingProxyType({CONSULT: "2026-01"})


def load_consents() -> ConsentService:
    """All texts of the package."""
    texts: dict[tuple[str, str, Language], Consent] = {}
    for file in sorted(files(__name__).iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".txt"):
            continue
        kind, version, language = file.name.removesuffix(".txt").split(".")
        title, _, text = file.read_text(encoding="utf-8").partition("\n")
        text = text.strip("\n")
        consent = Consent(kind, version, Language(language), title, text, sha256(text.encode()).hexdigest())
        texts[kind, version, consent.language] = consent
    return ConsentService(MappingProxyType(texts), IN_FORCE)
