"""The stored form of an entry: written by hand for speed, so held against the libraries that it stands in for."""

import os

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from im.codec import (
    MAX_BODY_BYTES,
    RAW_OPTIONS,
    ConversationCodec,
    command_digest,
    decode_document,
    draft_digest,
    entry_hash,
)
from im.domain import Draft, EntryKind
from server.kernel.crypto import Damaged, SealingKey
from server.kernel.ids import new_id, new_id_bytes
from server.kernel.streams import GENESIS, link, position

CONVERSATION = "0198c2f09d1b7a3c8e4f1a2b3c4d5e6f"
KEY = SealingKey(bytes(range(32)))

words = st.text(max_size=200)
parts = st.lists(st.fixed_dictionaries({"kind": st.just("text"), "text": words}), max_size=9).map(tuple)
numbers = st.none() | st.integers(1, 2**53)
drafts = st.builds(
    Draft,
    kind=st.sampled_from(EntryKind),
    sender=st.none() | words,
    role=words,
    client_id=st.none() | words,
    parts=parts,
    recalls=numbers,
    corrects=numbers,
    closes=st.none() | words,
    data=st.dictionaries(words, st.integers(-(2**53), 2**53) | words | st.booleans() | st.lists(words, max_size=3), max_size=4),
)
instants = st.integers(-(2**40), 2**52)
hospitals = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=20)


@given(drafts, st.integers(1, 2**63), instants, hospitals, st.none() | st.binary(min_size=16, max_size=16))
def test_what_is_sealed_opens_to_the_same_entry(draft, seq, at_ms, hospital, digest):
    codec = ConversationCodec(CONVERSATION, hospital, KEY)
    entry, raw = codec.seal(seq, new_id_bytes(), at_ms, draft, os.urandom(32), digest)
    opened = codec.open(decode_document(raw))
    assert (opened.entry, opened.digest) == (entry, digest)


@given(drafts, st.integers(1, 2**63), instants, hospitals)
def test_the_document_written_by_hand_is_what_bson_writes(draft, seq, at_ms, hospital):
    _, raw = ConversationCodec(CONVERSATION, hospital, KEY).seal(seq, new_id_bytes(), at_ms, draft, GENESIS)
    assert bson.encode(bson.decode(raw, RAW_OPTIONS)) == raw


def test_the_document_has_the_agreed_fields_and_nothing_of_a_person_in_the_clear():
    codec, entry_id = ConversationCodec(CONVERSATION, "default", KEY), new_id_bytes()
    draft = Draft(EntryKind.MESSAGE, "a" * 32, "patient", "client-0001", ({"kind": "text", "text": "咳嗽三天"},))
    entry, raw = codec.seal(7, entry_id, 1_767_578_400_123, draft, GENESIS, b"d" * 16)
    document = decode_document(raw)
    body = document.pop("body")
    assert document == {
        "_id": position(bytes.fromhex(CONVERSATION), 7),
        "hospital_id": "default",
        "id": entry_id,
        "v": 1,
        "kind": "message",
        "at": DatetimeMS(1_767_578_400_123),
        "hash": entry.hash,
    }
    assert b"a" * 32 not in raw
    assert "咳嗽".encode() not in raw
    assert b"client-0001" not in raw
    assert len(body) > 0


@given(drafts, st.integers(1, 2**63), instants, hospitals, st.binary(min_size=32, max_size=32))
def test_the_chain_is_the_kernels_link_over_envelope_and_ciphertext(draft, seq, at_ms, hospital, previous):
    entry, raw = ConversationCodec(CONVERSATION, hospital, KEY).seal(seq, new_id_bytes(), at_ms, draft, previous)
    document = decode_document(raw)
    stream = bytes.fromhex(CONVERSATION)
    expected = link(previous, stream, seq, document["id"], 1, draft.kind.value, at_ms, hospital, document["body"])
    assert entry.hash == expected == entry_hash(previous, stream, seq, document)


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("id", b"x" * 16),
        ("v", 2),
        ("kind", "recall"),
        ("at", DatetimeMS(1_767_578_400_124)),
        ("hospital_id", "other"),
        ("body", b"x" * 60),
        ("_id", position(bytes.fromhex(CONVERSATION), 8)),
    ],
)
def test_a_changed_field_breaks_the_chain(field, other):
    codec = ConversationCodec(CONVERSATION, "default", KEY)
    _, raw = codec.seal(7, new_id_bytes(), 1_767_578_400_123, Draft(EntryKind.MESSAGE, None, "system"), GENESIS)
    document = decode_document(raw)
    assert codec.follows(document, GENESIS)
    assert not codec.follows(document | {field: other}, GENESIS)
    assert not codec.follows(document, b"\1" * 32)


def test_a_body_opens_only_at_its_own_number_of_its_own_conversation():
    draft = Draft(EntryKind.MESSAGE, None, "system")
    codec = ConversationCodec(CONVERSATION, "default", KEY)
    document = decode_document(codec.seal(7, new_id_bytes(), 0, draft, GENESIS)[1])
    with pytest.raises(Damaged):
        codec.open(document | {"_id": position(bytes.fromhex(CONVERSATION), 8)})
    with pytest.raises(Damaged):
        ConversationCodec(new_id(), "default", KEY).open(document)


def test_a_body_that_is_too_large_is_refused_before_it_is_sealed():
    draft = Draft(EntryKind.MESSAGE, None, "system", data={"x": "x" * MAX_BODY_BYTES})
    with pytest.raises(ValueError, match="too large"):
        ConversationCodec(CONVERSATION, "default", KEY).seal(1, new_id_bytes(), 0, draft, GENESIS)


def test_the_digest_of_a_command_does_not_depend_on_the_order_of_names_but_on_all_content():
    one = ({"kind": "text", "text": "早"},)
    other = ({"text": "早", "kind": "text"},)
    assert command_digest("message", one, None) == command_digest("message", other, None)
    assert command_digest("message", one, None) != command_digest("message", one, 3)
    assert command_digest("message", one, None) != command_digest("recall", one, None)
    assert draft_digest(Draft(EntryKind.GIFT, "d", "doctor", "c", data={"count": 2})) != draft_digest(
        Draft(EntryKind.GIFT, "d", "doctor", "c", data={"count": 3})
    )
