"""What every package's wire models are made of: strict bodies, clean text, instants, pages."""

import base64
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from server.kernel.clock import iso
from server.kernel.errors import RequestInvalid

T = TypeVar("T")

_BIDI: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_ALLOWED_CONTROLS: Final = frozenset("\n\t\r")


def unclean(text: str) -> str | None:
    """Why this text must not be stored or shown (`control`, `bidi`, `surrogate`), or None when it is clean."""
    if text.isascii() and text.isprintable():
        return None
    for character in text:
        category = unicodedata.category(character)
        if category == "Cc" and character not in _ALLOWED_CONTROLS:
            return "control"
        if category == "Cs":
            return "surrogate"
        if character in _BIDI:
            return "bidi"
    return None


def _clean(text: str) -> str:
    if reason := unclean(text):
        raise ValueError(f"holds a {reason} character")
    return text


def _one_line(text: str) -> str:
    text = _clean(text).strip()
    if not text or any(c in text for c in "\n\r\t"):
        raise ValueError("must be one line of text")
    return text


CleanText = Annotated[str, AfterValidator(_clean)]
"""Text of people: several lines, no control, bidi or surrogate characters."""

OneLine = Annotated[str, AfterValidator(_one_line)]
"""A name, a title: one line, trimmed, not empty."""

Instant = Annotated[datetime, PlainSerializer(iso, return_type=str)]
"""RFC 3339, UTC, milliseconds, `Z`."""

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class WireModel(BaseModel):
    """A request body or an answer. Unknown fields and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class QueryModel(BaseModel):
    """Query parameters: text that is parsed to the field's type; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoBody(WireModel):
    """`{}`, or no body at all."""


class PageQuery(QueryModel):
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=400)


class Page(WireModel, Generic[T]):
    items: Sequence[T]
    next_cursor: str | None = None


def encode_cursor(*values: Any) -> str:
    """An opaque place in a list."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> list[Any]:
    """The values of a cursor that `encode_cursor` made. Raises RequestInvalid for any other text."""
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, UnicodeError) as error:
        raise RequestInvalid(cursor="is not one of ours") from error
    if not isinstance(values, list) or len(values) != len(types) or not all(map(isinstance, values, types)):
        raise RequestInvalid(cursor="is not one of ours")
    return values
