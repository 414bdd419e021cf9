"""Lists that are paged by instant and id, newest first: stable under inserts, since a place is a value and not a count."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from server.kernel.clock import from_ms, to_ms
from server.kernel.errors import RequestInvalid
from server.kernel.wire import decode_cursor, encode_cursor

T = TypeVar("T")

Place = tuple[datetime, str]


def place_after(cursor: str | None) -> Place | None:
    """The place that a cursor stands for. Raises RequestInvalid for a cursor that is not ours."""
    if cursor is None:
        return None
    at_ms, item_id = decode_cursor(cursor, int, str)
    try:
        return from_ms(at_ms), item_id
    except OverflowError as error:
        raise RequestInvalid(cursor="is not one of ours") from error


def cut_page(found: Sequence[T], limit: int, place_of: Callable[[T], Place]) -> tuple[list[T], str | None]:
    """Of `limit + 1` items that were asked for: the page, and the cursor of what is behind it."""
    page = list(found[:limit])
    if len(found) <= limit:
        return page, None
    at, item_id = place_of(page[-1])
    return page, encode_cursor(to_ms(at), item_id)
