"""What every package's wire models are made of: strict bodies, clean text, instants, pages."""

import base64
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from server.kernel.clock import from_ms, iso
from server.kernel.errors import RequestInvalid

T = TypeVar("T")

_UNCLEAN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters other than line feed, carriage return and tab; lone surrogates; what turns the direction of text."""


def unclean(text: str) -> str | None:
    """Why this text must not be stored or shown (`control`, `bidi`, `surrogate`), or None when it is clean."""
    found = _UNCLEAN.search(text)
    if found is None:
        return None
    character = found[0]
    return "control" if character < "\u0100" else "surrogate" if "\ud800" <= character <= "\udfff" else "bidi"


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
    """A request body or an answer. Unknown fields and wrong types are refused. Validators are built at first use, so that a
    process starts quickly."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class QueryModel(BaseModel):
    """Query parameters: text that is parsed to the field's type; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


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
    if not isinstance(values, list) or len(values) != len(types) or not all(map(_is_of, values, types)):
        raise RequestInvalid(cursor="is not one of ours")
    return values


def _is_of(value: Any, wanted: type) -> bool:
    """Of the type, and a number that a database can hold; true and false are no numbers."""
    if isinstance(value, bool) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        return False
    return isinstance(value, wanted)


def cursor_instant(at_ms: int) -> datetime:
    """The instant in a cursor. Raises RequestInvalid for one that no calendar has."""
    try:
        return from_ms(at_ms)
    except OverflowError as error:
        raise RequestInvalid(cursor="is not one of ours") from error
