"""A favourite points at a message and holds none of it: what is shown is the message as it stands, a tombstone if recalled."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from server.kernel.ids import derived_id

FAVOURITES: Final = "favourites"
"""The collection."""

MOST_FAVOURITES: Final = 500


@dataclass(frozen=True, slots=True)
class Favourite:
    """`label` is what its owner calls it."""

    id: str
    conversation_id: str
    seq: int
    label: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ShownFavourite:
    """`message` is encoded; None where its owner may not see the conversation any more."""

    favourite: Favourite
    message: bytes | None


def favourite_id_of(account_id: str, conversation_id: str, seq: int) -> str:
    """One favourite an account and message."""
    return derived_id("favourite", account_id, conversation_id, str(seq))
