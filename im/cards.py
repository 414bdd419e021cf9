"""Cards: parts of a message that clients show in a form of their own. Which there are, and what each one holds.

A card holds what it takes to show it the same in years, and nothing that is somebody else's to show: of a hospital record only
its id, by which whoever may see records at that moment opens it. Who may send which is the rules' business.
"""

from collections.abc import Callable, Mapping
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from server.kernel.ids import is_id
from server.kernel.wire import unclean

MAX_DEPARTMENT: Final = 40
MAX_NOTE: Final = 200
MAX_FIELDS: Final = 8
MAX_FIELD: Final = 32


class CardKind(StrEnum):
    """RECORD_SHARED: look at this record. BOOKING: come to the hospital then. GIFT: replies were given. RATING: the consult is
    over and may be rated."""

    RECORD_SHARED = "record_shared"
    BOOKING = "booking"
    GIFT = "gift"
    RATING = "rating"


SENT: Final = (CardKind.RECORD_SHARED, CardKind.BOOKING)
"""What clients send; the others are the product's own."""

PERIODS: Final = frozenset({"morning", "afternoon", "evening"})


def gift_card(count: int) -> Mapping[str, Any]:
    """The part that says how many replies were given."""
    return _card(CardKind.GIFT, count=count)


def rating_card(order_id: str) -> Mapping[str, Any]:
    """The part that asks for a rating of this order."""
    return _card(CardKind.RATING, order_id=order_id)


def card_flaw(card: str, data: Mapping[str, str]) -> str | None:
    """What is wrong with a card that a client sends, in words that hold nothing of it; None where nothing is."""
    if card not in SENT:
        return "holds a card that is not sent"
    required, optional = _FIELDS[CardKind(card)]
    if not required.keys() <= data.keys() <= required.keys() | optional.keys():
        return "holds a card without its fields, or with others"
    checks = {**required, **optional}
    return None if all(checks[name](value) for name, value in data.items()) else "holds a card whose field is not valid"


def _card(kind: CardKind, **data: Any) -> Mapping[str, Any]:
    return {"kind": "card", "card": kind.value, "data": data}


def _is_day(value: str) -> bool:
    """`2026-01-05`, and no other way to write it."""
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_text(most: int) -> Callable[[str], bool]:
    return lambda value: 0 < len(value) <= most and value.strip() != "" and unclean(value) is None


_Checks = Mapping[str, Callable[[str], bool]]

_FIELDS: Final[Mapping[CardKind, tuple[_Checks, _Checks]]] = MappingProxyType(
    {
        CardKind.RECORD_SHARED: ({"record_id": is_id}, {}),
        CardKind.BOOKING: (
            {"department": _is_text(MAX_DEPARTMENT), "date": _is_day, "period": PERIODS.__contains__},
            {"note": _is_text(MAX_NOTE)},
        ),
    }
)
"""Of each card that is sent: the fields that it must have, and those that it may have, with what each takes."""
