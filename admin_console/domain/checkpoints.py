"""A checkpoint: the heads of all streams that changed since the one before, under one signature.

Its root is a Merkle tree over the heads (RFC 6962: leaves hashed behind 0x00, nodes behind 0x01), so that one stream's place
in it can be shown without the others. Its message covers the number, the instant, the hash of the checkpoint before, the number
of heads and the root; the signature is Ed25519. Changing, dropping or moving one breaks the chain of checkpoints; what a stream
held at a checkpoint cannot be rewritten or cut off without contradicting it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from server.kernel.clock import iso_ms
from server.kernel.streams import GENESIS, canonical

MOST_HEADS: Final = 20_000
"""A checkpoint with more is made several: a document and a line stay of a size that can be handled."""

_FORM: Final = "yunzhen/checkpoint/1"


class CheckpointUnreadable(Exception):
    """A stored checkpoint does not have the form that one has."""


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """The last item of a stream: `kind` is the collection (`log`, `audit`)."""

    kind: str
    stream: bytes
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`number` starts at 1 and rises by exactly 1. `heads` are in order of kind and stream."""

    number: int
    at_ms: int
    previous: bytes
    heads: tuple[Head, ...]
    signature: bytes

    @property
    def hash(self) -> bytes:
        """What the next one names as `previous`."""
        return sha256(message(self.number, self.at_ms, self.previous, self.heads)).digest()


class Signer:
    """Signs checkpoints with a key that never enters the database."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> bytes:
        """32 bytes, for the verifier."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, last: Checkpoint | None, heads: Sequence[Head], at_ms: int) -> Checkpoint:
        """The checkpoint after `last`. Its instant is never before its predecessor's."""
        number = 1 if last is None else last.number + 1
        previous = GENESIS if last is None else last.hash
        at_ms = at_ms if last is None else max(at_ms, last.at_ms)
        ordered = tuple(sorted(heads))
        return Checkpoint(number, at_ms, previous, ordered, self._key.sign(message(number, at_ms, previous, ordered)))


def is_signed(checkpoint: Checkpoint, public_key: bytes) -> bool:
    """Whether the holder of the key signed exactly this."""
    content = message(checkpoint.number, checkpoint.at_ms, checkpoint.previous, checkpoint.heads)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(checkpoint.signature, content)
    except InvalidSignature:
        return False
    return True


def message(number: int, at_ms: int, previous: bytes, heads: Sequence[Head]) -> bytes:
    return canonical((_FORM, number, at_ms, previous, len(heads), merkle_root(heads)))


def merkle_root(heads: Sequence[Head]) -> bytes:
    """The root of RFC 6962 over the heads in the order given."""
    level = [sha256(b"\0" + canonical((h.kind, h.stream, h.seq, h.hash))).digest() for h in heads]
    if not level:
        return sha256(b"").digest()
    while len(level) > 1:
        paired = [sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def to_json(checkpoint: Checkpoint, public_key: bytes) -> dict[str, Any]:
    """The form outside the database: one JSON object a line."""
    return {
        "v": 1,
        "number": checkpoint.number,
        "at": iso_ms(checkpoint.at_ms),
        "at_ms": checkpoint.at_ms,
        "previous": checkpoint.previous.hex(),
        "root": merkle_root(checkpoint.heads).hex(),
        "heads": [[h.kind, h.stream.hex(), h.seq, h.hash.hex()] for h in checkpoint.heads],
        "signature": checkpoint.signature.hex(),
        "public_key": public_key.hex(),
    }


def from_json(value: Any) -> Checkpoint:
    """Raises CheckpointUnreadable for anything that `to_json` does not give. The public key in it is not believed."""
    try:
        heads = tuple(
            Head(_text(kind), bytes.fromhex(stream), _integer(seq), bytes.fromhex(link))
            for kind, stream, seq, link in value["heads"]
        )
        checkpoint = Checkpoint(
            _integer(value["number"]),
            _integer(value["at_ms"]),
            bytes.fromhex(value["previous"]),
            heads,
            bytes.fromhex(value["signature"]),
        )
        if value["root"] != merkle_root(heads).hex() or value["at"] != iso_ms(checkpoint.at_ms):
            raise ValueError("the root or the instant does not belong to it")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointUnreadable(str(error)) from error
    return checkpoint


def _integer(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
