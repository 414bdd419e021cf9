"""Proof that a conversation's log is what was written: the chain recomputed from the stored documents, without any key.

The chain shows an entry that was edited, dropped, moved or put in. A tail that was cut off shows only against a checkpoint of
the head, so the head is part of the answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from im.codec import HASH_BYTES, entry_hash, first_hash
from server.kernel.clock import to_ms
from server.kernel.ids import ID_BYTES

_FIELDS = frozenset({"_id", "hospital_id", "id", "v", "kind", "at", "body", "hash"})


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in one conversation. `broken_at` is the first number at which something is wrong, `reason` what: `form`,
    `number` (a hole or a stranger), `hospital`, `time` or `chain`. `seq` and `head_hash` are of the last sound entry."""

    conversation_id: str
    seq: int
    head_hash: bytes
    broken_at: int | None = None
    reason: str | None = None

    @property
    def is_sound(self) -> bool:
        return self.broken_at is None


class ChainVerifier:
    """Takes the documents of one conversation one by one in ascending order, however many there are."""

    def __init__(self, conversation_id: str) -> None:
        self._id = conversation_id
        self._conversation = bytes.fromhex(conversation_id)
        self._seq = 0
        self._hash = first_hash()
        self._at_ms: int | None = None
        self._hospital_id: str | None = None
        self._broken: tuple[int, str] | None = None

    @property
    def result(self) -> Verification:
        broken_at, reason = self._broken or (None, None)
        return Verification(self._id, self._seq, self._hash, broken_at, reason)

    def take(self, document: Mapping[str, Any]) -> bool:
        """False as soon as the conversation is broken; nothing behind that place is looked at."""
        if self._broken is None:
            reason = self._fault(document)
            if reason is not None:
                self._broken = (self._seq + 1, reason)
        return self._broken is None

    def _fault(self, document: Mapping[str, Any]) -> str | None:
        seq = self._seq + 1
        if not _is_formed(document):
            return "form"
        if document["_id"] != self._conversation + seq.to_bytes(8, "big"):
            return "number"
        if self._hospital_id not in (None, document["hospital_id"]):
            return "hospital"
        at_ms = _milliseconds(document["at"])
        if self._at_ms is not None and at_ms < self._at_ms:
            return "time"
        if entry_hash(self._hash, self._conversation, seq, {**document, "at": at_ms}) != document["hash"]:
            return "chain"
        self._seq, self._hash, self._at_ms = seq, document["hash"], at_ms
        self._hospital_id = document["hospital_id"]
        return None


def verify_conversation(documents: Iterable[Mapping[str, Any]]) -> Verification:
    """Verify the stored documents of one conversation, in ascending order, at least one."""
    verifier: ChainVerifier | None = None
    for document in documents:
        if verifier is None:
            verifier = ChainVerifier(bytes(document["_id"])[:ID_BYTES].hex())
        if not verifier.take(document):
            break
    if verifier is None:
        raise ValueError("a conversation has at least one entry")
    return verifier.result


def _is_formed(document: Mapping[str, Any]) -> bool:
    """Whether the document has the fields of an entry and no other, of the types that the chain covers."""
    return (
        document.keys() == _FIELDS
        and isinstance(document["_id"], bytes)
        and isinstance(document["hospital_id"], str)
        and isinstance(document["id"], bytes)
        and len(document["id"]) == ID_BYTES
        and type(document["v"]) is int
        and isinstance(document["kind"], str)
        and isinstance(document["body"], bytes)
        and isinstance(document["hash"], bytes)
        and len(document["hash"]) == HASH_BYTES
        and (hasattr(document["at"], "timestamp") or hasattr(document["at"], "__int__"))
    )


def _milliseconds(at: Any) -> int:
    """Of a datetime, or of whatever reads as a number of milliseconds."""
    return to_ms(at) if isinstance(at, datetime) else int(at)
