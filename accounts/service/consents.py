"""Consent texts that are in force. They are part of the program: a text cannot be changed without a new version of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Self

from accounts.domain.consents import Consent, Language
from accounts.errors import ConsentMismatch, ConsentNotFound

CONSULT: Final = "consult"
IN_FORCE: Final = MappingProxyType({CONSULT: "2026-01"})
_TEXTS: Final = "accounts.consents"


@dataclass(frozen=True, slots=True)
class ConsentService:
    """`texts` by kind, version and language; `in_force` is the version by kind that must be agreed to now."""

    texts: Mapping[tuple[str, str, Language], Consent]
    in_force: Mapping[str, str] = field(default_factory=lambda: IN_FORCE)

    @classmethod
    def load(cls) -> Self:
        """With all texts of the package."""
        texts: dict[tuple[str, str, Language], Consent] = {}
        for file in files(_TEXTS).iterdir():
            if not file.name.endswith(".txt"):
                continue
            kind, version, language = file.name.removesuffix(".txt").split(".")
            title, _, rest = file.read_text(encoding="utf-8").partition("\n")
            text = rest.strip("\n")
            consent = Consent(kind, version, Language(language), title, text, sha256(text.encode()).hexdigest())
            texts[kind, version, consent.language] = consent
        return cls(MappingProxyType(texts))

    async def current(self, kind: str = CONSULT, language: Language = Language.ZH) -> Consent:
        """The text in force. Raises ConsentNotFound."""
        return await self.get(kind, self.in_force.get(kind, ""), language)

    async def get(self, kind: str, version: str, language: Language = Language.ZH) -> Consent:
        """One version, also an older one. Raises ConsentNotFound."""
        consent = self.texts.get((kind, version, language))
        if consent is None:
            raise ConsentNotFound
        return consent

    async def require(self, version: str, sha256: str, kind: str = CONSULT) -> Consent:
        """The text that was agreed to, in whichever language, provided that it is in force. Raises ConsentMismatch."""
        for language in Language:
            consent = self.texts.get((kind, version, language))
            if consent is not None and version == self.in_force.get(kind) and consent.sha256 == sha256:
                return consent
        raise ConsentMismatch
