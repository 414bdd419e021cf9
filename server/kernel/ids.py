"""Identifiers: 16 bytes, shown as 32 hexadecimal digits.

New ones are UUIDv7 (they sort by time of birth); derived ones are a digest of their cause, so that doing a thing twice
gives the same id and a unique index says so.
"""

from hashlib import sha256
from typing import Final

import uuid_utils

ID_BYTES: Final = 16


def new_id() -> str:
    """A fresh UUIDv7 as 32 lower-case hexadecimal digits."""
    return uuid_utils.uuid7().hex


def new_id_bytes() -> bytes:
    """A fresh UUIDv7 as 16 bytes."""
    return uuid_utils.uuid7().bytes


def derived_id(*cause: str) -> str:
    """The id that this cause always has. Parts are length-prefixed, so that no two causes can run together."""
    digest = sha256()
    for part in cause:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[: ID_BYTES * 2]


def id_bytes(text: str) -> bytes:
    """The 16 bytes of an id. Raises ValueError for anything that is not one."""
    if not is_id(text):
        raise ValueError("not an id")
    return bytes.fromhex(text)


def is_id(text: str) -> bool:
    """Whether `text` has the one form that an id has. Ids come from outside: check before use."""
    return len(text) == ID_BYTES * 2 and all(c in "0123456789abcdef" for c in text)
