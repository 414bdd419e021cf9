"""A stream: a hash-chained, append-only log. Conversations and each process's audit are streams alike.

An item's hash covers the hash before it, the stream's id, its number and its content in one canonical form, so an item that
is edited, dropped, moved or taken from another stream breaks the chain at that place. Truncation shows against a signed
checkpoint of the head, which is kept elsewhere.
"""

from hashlib import sha256
from typing import Final

GENESIS: Final = bytes(32)
"""What stands before the first item."""

Atom = int | str | bytes | None

_INT, _TEXT, _BYTES, _NONE = b"i", b"s", b"b", b"n"


def canonical(atoms: tuple[Atom, ...]) -> bytes:
    """The one byte form of integers, strings, bytes and nothing: tag, length in 4 bytes, content."""
    out = bytearray()
    for atom in atoms:
        if atom is None:
            tag, data = _NONE, b""
        elif isinstance(atom, bytes):
            tag, data = _BYTES, atom
        elif isinstance(atom, str):
            tag, data = _TEXT, atom.encode()
        else:
            tag, data = _INT, str(atom).encode()
        out += tag + len(data).to_bytes(4, "big") + data
    return bytes(out)


def link(previous: bytes, stream_id: bytes, seq: int, *content: Atom) -> bytes:
    """The hash of item `seq` (from 1) of a stream, 32 bytes, given the hash before it."""
    return sha256(canonical((previous, stream_id, seq, *content))).digest()


def position(stream_id: bytes, seq: int) -> bytes:
    """The `_id` of an item: 16-byte stream id and 8-byte big-endian number, so that a stream is one range of the index."""
    return stream_id + seq.to_bytes(8, "big")


def parse_position(position_id: bytes) -> tuple[bytes, int]:
    """Stream id and number of an item's `_id`."""
    return position_id[:16], int.from_bytes(position_id[16:], "big")
