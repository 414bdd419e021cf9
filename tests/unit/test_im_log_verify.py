"""The verifier needs no keys and names the first broken place."""

import pytest
from bson.datetime_ms import DatetimeMS

from im.codec import ConversationCodec, decode_document
from im.domain import Draft, EntryKind
from im.verify import verify_conversation
from server.kernel.crypto import SealingKey
from server.kernel.ids import new_id, new_id_bytes
from server.kernel.streams import GENESIS


@pytest.fixture
def documents():
    codec, previous, made = ConversationCodec(new_id(), "default", SealingKey(bytes(32))), GENESIS, []
    for seq in range(1, 8):
        entry, raw = codec.seal(seq, new_id_bytes(), 1_000 + seq, Draft(EntryKind.MESSAGE, None, "system"), previous)
        made.append(decode_document(raw))
        previous = entry.hash
    return made


def broken(documents):
    verification = verify_conversation(documents)
    return verification.broken_at, verification.reason


def test_untouched_entries_are_sound(documents):
    verification = verify_conversation(documents)
    assert (verification.is_sound, verification.seq, verification.head_hash) == (True, 7, documents[-1]["hash"])


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("kind", "recall", "chain"),
        ("body", b"other", "chain"),
        ("id", bytes(16), "chain"),
        ("v", 2, "chain"),
        ("hash", bytes(32), "chain"),
        ("hospital_id", "other", "hospital"),
        ("at", DatetimeMS(1_005), "chain"),
        ("at", DatetimeMS(1), "time"),
        ("at", "yesterday", "form"),
        ("v", True, "form"),
        ("hash", b"short", "form"),
        ("extra", 1, "form"),
    ],
)
def test_an_edit_is_found_at_its_place(documents, field, value, reason):
    documents[3][field] = value
    assert broken(documents) == (4, reason)


def test_a_dropped_a_doubled_and_a_moved_entry_are_found(documents):
    assert broken(documents[:2] + documents[3:]) == (3, "number")
    assert broken(documents[:2] + documents[1:]) == (3, "number")
    assert broken(documents[1:]) == (1, "number")
    documents[2], documents[3] = documents[3] | {"_id": documents[2]["_id"]}, documents[2] | {"_id": documents[3]["_id"]}
    assert broken(documents) == (3, "chain")


def test_an_entry_of_another_conversation_is_found(documents):
    codec = ConversationCodec(new_id(), "default", SealingKey(bytes(32)))
    _, raw = codec.seal(4, new_id_bytes(), 1_004, Draft(EntryKind.MESSAGE, None, "system"), documents[2]["hash"])
    documents[3] = decode_document(raw)
    assert broken(documents) == (4, "number")


def test_a_field_that_is_missing_is_found(documents):
    del documents[5]["hash"]
    assert broken(documents) == (6, "form")


def test_a_cut_tail_shows_in_the_head(documents):
    verification = verify_conversation(documents[:5])
    assert (verification.is_sound, verification.seq, verification.head_hash) == (True, 5, documents[4]["hash"])
