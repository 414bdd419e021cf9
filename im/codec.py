"""How an entry is stored: an envelope in the clear, a body that is sealed with the conversation's key, and the chain.

A stored entry is `{_id, hospital_id, id, v, kind, at, body, hash}`: `_id` is 16 bytes of conversation id and the number in 8
bytes, `id` 16 bytes of the entry's own, `at` a date, `body` sealed for this very number of this very conversation, and `hash`
the link to the entry before. The chain covers all of the envelope and the ciphertext, so whoever has no keys can verify it.

This is the hottest code of the product. The document is written as BSON by hand, which its fixed shape allows, and the constant
parts of a conversation are made once; tests hold both against `bson.encode` and `server.kernel.streams.link`.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any, Final

import bson
import orjson
from bson.codec_options import CodecOptions, DatetimeConversion

from im.domain import Draft, Entry, EntryKind
from server.kernel.crypto import SealingKey, conversation_purpose
from server.kernel.streams import GENESIS, position

VERSION: Final = 1
"""The form of entries that are written now; `v` in the document."""

HASH_BYTES: Final = 32
DIGEST_BYTES: Final = 16
MAX_BODY_BYTES: Final = 512 * 1024
"""Nine parts of 4 000 characters are below 150 KB; what is larger is a fault of ours, and refused before it is sealed."""

LAST_SEQ: Final = 2**64 - 1

RAW_OPTIONS: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict, tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_MS
)
"""Dates of entries are read as milliseconds: no datetime is made on the way."""

_le32: Final = struct.Struct("<i").pack
_le64: Final = struct.Struct("<q").pack
_be32: Final = struct.Struct(">I").pack

_ATOM_32: Final = b"b" + _be32(32)
_ATOM_16: Final = b"b" + _be32(16)
_INT_ATOMS: Final = tuple(b"i" + _be32(length) for length in range(21))

_B_ID_FIELD: Final = b"\x05_id\0" + _le32(24) + b"\0"
_B_ENTRY_ID: Final = b"\x05id\0" + _le32(16) + b"\0"
_B_AT: Final = b"\x09at\0"
_B_BODY: Final = b"\x05body\0"
_B_HASH: Final = b"\x05hash\0" + _le32(HASH_BYTES) + b"\0"
_B_VERSION: Final = b"\x10v\0" + _le32(VERSION)


def _bson_text(name: bytes, value: str) -> bytes:
    data = value.encode()
    return b"\x02" + name + b"\0" + _le32(len(data) + 1) + data + b"\0"


def _text_atom(value: str) -> bytes:
    data = value.encode()
    return b"s" + _be32(len(data)) + data


_VERSION_AND_KIND_BSON: Final = {kind: _B_VERSION + _bson_text(b"kind", kind.value) for kind in EntryKind}
_VERSION_ATOM: Final = _INT_ATOMS[len(str(VERSION))] + str(VERSION).encode()
_VERSION_AND_KIND_ATOMS: Final = {kind: _VERSION_ATOM + _text_atom(kind.value) for kind in EntryKind}


@dataclass(slots=True)
class Opened:
    """A stored entry, opened, and the digest of the command that it answered (None: it answered none).

    Not frozen: one is made for every message, and nobody keeps it.
    """

    entry: Entry
    digest: bytes | None


def entry_hash(previous: bytes, conversation: bytes, seq: int, document: Mapping[str, Any]) -> bytes:
    """The link of a stored entry. `at` in the document is anything that turns to milliseconds by `int`."""
    return _chain(
        previous,
        _ATOM_16 + conversation,
        seq,
        document["id"],
        _INT_ATOMS[len(str(document["v"]))] + str(document["v"]).encode() + _text_atom(document["kind"]),
        int(document["at"]),
        _text_atom(document["hospital_id"]),
        document["body"],
    )


def _chain(
    previous: bytes, stream: bytes, seq: int, entry_id: bytes, form: bytes, at_ms: int, hospital: bytes, body: bytes
) -> bytes:
    """`link(previous, conversation, seq, id, v, kind, at, hospital_id, body)` of `server.kernel.streams`, with the parts that
    do not change made beforehand."""
    number, instant = b"%d" % seq, b"%d" % at_ms
    return sha256(
        b"".join(
            (
                _ATOM_32,
                previous,
                stream,
                _INT_ATOMS[len(number)],
                number,
                _ATOM_16,
                entry_id,
                form,
                _INT_ATOMS[len(instant)],
                instant,
                hospital,
                b"b",
                _be32(len(body)),
                body,
            )
        )
    ).digest()


def command_digest(*content: Any) -> bytes:
    """16 bytes that are the same for the same content of a command, however its objects are ordered."""
    return blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=_plain), digest_size=DIGEST_BYTES).digest()


def draft_digest(draft: Draft) -> bytes:
    """The digest of an entry that was appended under a client id by a rule of its own."""
    return command_digest(draft.kind.value, draft.parts, draft.recalls, draft.corrects, draft.closes, draft.data)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an entry cannot hold a {type(value).__name__}")


def encode_body(draft: Draft, digest: bytes | None) -> bytes:
    """Canonical enough to be sealed: JSON without what is not there."""
    body: dict[str, Any] = {"role": draft.role}
    if draft.sender is not None:
        body["sender"] = draft.sender
    if draft.client_id is not None:
        body["client_id"] = draft.client_id
    if digest is not None:
        body["digest"] = digest.hex()
    if draft.parts:
        body["parts"] = draft.parts
    if draft.recalls is not None:
        body["recalls"] = draft.recalls
    if draft.corrects is not None:
        body["corrects"] = draft.corrects
    if draft.closes is not None:
        body["closes"] = draft.closes
    if draft.data:
        body["data"] = draft.data
    encoded = orjson.dumps(body, default=_plain)
    if len(encoded) > MAX_BODY_BYTES:
        raise ValueError("the body of an entry is too large")
    return encoded


class ConversationCodec:
    """Seals and opens the entries of one conversation; holds its key and what never changes in its documents."""

    __slots__ = ("_hospital_atom", "_hospital_bson", "_key", "_stream", "conversation", "conversation_id", "hospital_id")

    def __init__(self, conversation_id: str, hospital_id: str, key: SealingKey) -> None:
        self.conversation_id = conversation_id
        self.conversation = bytes.fromhex(conversation_id)
        self.hospital_id = hospital_id
        self._key = key
        self._stream = _ATOM_16 + self.conversation
        self._hospital_atom = _text_atom(hospital_id)
        self._hospital_bson = _bson_text(b"hospital_id", hospital_id)

    def seal(
        self, seq: int, entry_id: bytes, at_ms: int, draft: Draft, previous: bytes, digest: bytes | None = None
    ) -> tuple[Entry, bytes]:
        """The entry and its document as BSON."""
        place = position(self.conversation, seq)
        body = self._key.seal(encode_body(draft, digest), place)
        kind = draft.kind
        link = _chain(previous, self._stream, seq, entry_id, _VERSION_AND_KIND_ATOMS[kind], at_ms, self._hospital_atom, body)
        inner = b"".join(
            (
                _B_ID_FIELD,
                place,
                self._hospital_bson,
                _B_ENTRY_ID,
                entry_id,
                _VERSION_AND_KIND_BSON[kind],
                _B_AT,
                _le64(at_ms),
                _B_BODY,
                _le32(len(body)),
                b"\0",
                body,
                _B_HASH,
                link,
                b"\0",
            )
        )
        return Entry(self.conversation_id, seq, entry_id.hex(), at_ms, link, draft), _le32(len(inner) + 4) + inner

    def open(self, document: Mapping[str, Any]) -> Opened:
        """The entry of a stored document. Raises Damaged where the body was changed, or belongs to another place."""
        place: bytes = document["_id"]
        seq = int.from_bytes(place[16:], "big")
        body = orjson.loads(self._key.open(document["body"], conversation_purpose(self.conversation, seq)))
        digest = body.get("digest")
        draft = Draft(
            kind=EntryKind(document["kind"]),
            sender=body.get("sender"),
            role=body["role"],
            client_id=body.get("client_id"),
            parts=tuple(body.get("parts", ())),
            recalls=body.get("recalls"),
            corrects=body.get("corrects"),
            closes=body.get("closes"),
            data=body.get("data", {}),
        )
        entry = Entry(self.conversation_id, seq, document["id"].hex(), int(document["at"]), document["hash"], draft)
        return Opened(entry, None if digest is None else bytes.fromhex(digest))

    def follows(self, document: Mapping[str, Any], previous: bytes) -> bool:
        """Whether the chain holds between an entry's document and the hash before it."""
        seq = int.from_bytes(document["_id"][16:], "big")
        return entry_hash(previous, self.conversation, seq, document) == bytes(document["hash"])


def decode_document(raw: bytes) -> dict[str, Any]:
    """A document as BSON, as `ConversationCodec.seal` and other processes give it."""
    return bson.decode(raw, RAW_OPTIONS)


def first_hash() -> bytes:
    """What stands before the first entry."""
    return GENESIS
