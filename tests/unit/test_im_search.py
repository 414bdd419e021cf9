"""What a message is found by."""

import pytest

from im.domain import Draft, Entry, EntryKind
from im.search.domain import MOST_TERMS, TERM_BYTES, parse_sought, term_entry_of, terms_of, too_many
from server.kernel.crypto import HospitalKeys
from server.kernel.errors import RequestInvalid

KEYS, OTHERS = HospitalKeys(bytes(32)), HospitalKeys(bytes([1]) * 32)


def draft(*texts: str) -> Draft:
    return Draft(EntryKind.MESSAGE, "p", "patient", "client", tuple({"kind": "text", "text": text} for text in texts))


def entry(made: Draft, seq: int = 2) -> Entry:
    return Entry("c" * 32, seq, "e" * 32, 0, b"", made)


@pytest.mark.parametrize(
    ("sought", "text"),
    [
        ("感冒", "我感冒了"),
        ("头痛 三天", "三天来一直头痛"),
        ("b超", "做过Ｂ超检查"),
        ("ASPIRIN", "aspirin 100mg"),
        ("100MG", "阿司匹林１００ｍｇ"),
        ("spir", "Aspirin"),
        ("café", "CAFE\u0301 au lait"),
        ("𠮷野", "𠮷野医生"),
        ("痛 头疼", "头疼,痛"),
    ],
)
def test_a_word_is_found_whatever_its_width_case_and_neighbours(sought: str, text: str) -> None:
    wanted = parse_sought(sought)
    assert wanted.is_in(draft(text))
    kept = term_entry_of(entry(draft(text)), KEYS)
    assert kept is not None
    assert set(terms_of(wanted.pairs, KEYS)) <= set(kept.terms)


@pytest.mark.parametrize(
    ("sought", "texts"),
    [("感冒", ("感 冒",)), ("感冒", ("感", "冒")), ("冒感", ("感冒",)), ("头痛", ("头疼腹痛",)), ("感冒发烧", ("发烧感冒",))],
)
def test_characters_that_are_not_side_by_side_are_no_word(sought: str, texts: tuple[str, ...]) -> None:
    assert not parse_sought(sought).is_in(draft(*texts))


@pytest.mark.parametrize("sought", ["痛", "a b c", "……", " ", "头,痛", "_"])
def test_two_characters_side_by_side_are_needed(sought: str) -> None:
    with pytest.raises(RequestInvalid):
        parse_sought(sought)


def test_terms_are_keyed_short_and_no_hospital_s_are_another_s() -> None:
    kept, elsewhere = (term_entry_of(entry(draft("头痛三天")), keys) for keys in (KEYS, OTHERS))
    assert kept is not None
    assert elsewhere is not None
    assert [len(term) for term in kept.terms] == [TERM_BYTES] * 3
    assert not set(kept.terms) & set(elsewhere.terms)
    assert not any(word.encode() in b"".join(kept.terms) for word in ("头痛", "痛三"))


def test_a_message_with_more_pairs_than_are_kept_is_proposed_to_every_search() -> None:
    most = "".join(chr(0x4E00 + n) for n in range(MOST_TERMS + 1))
    kept = term_entry_of(entry(draft(most)), KEYS)
    assert kept is not None
    assert len(kept.terms) == MOST_TERMS
    over = term_entry_of(entry(draft(most + chr(0x4E00 + MOST_TERMS + 1))), KEYS)
    assert over is not None
    assert over.terms == (too_many(KEYS),)


def test_what_has_no_words_is_not_kept_unless_it_stands_for_another_message() -> None:
    image = Draft(EntryKind.MESSAGE, "p", "patient", "client", ({"kind": "image", "media_id": "m"},))
    assert term_entry_of(entry(image), KEYS) is None
    assert term_entry_of(entry(Draft(EntryKind.GIFT, "d", "doctor", parts=({"kind": "text", "text": "头痛"},))), KEYS) is None
    correction = Draft(EntryKind.MESSAGE, "p", "patient", "client", image.parts, corrects=2)
    kept = term_entry_of(entry(correction, 3), KEYS)
    assert kept is not None
    assert (kept.terms, kept.corrects) == ((), 2)
