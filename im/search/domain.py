"""What is looked for and what is found.

A message is found by pairs of neighbouring characters, which serves Chinese and Latin alike: no dictionary, and a word of two
characters is one pair. What is stored of a pair is a keyed hash of the hospital's, so that the database alone tells no words,
nor whether two hospitals speak of the same; how often a pair stands in a hospital's messages it does tell. Pairs only propose:
every proposal is held against the message itself before it is shown.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import add
from typing import Final

from im.domain import Draft, Entry, EntryKind
from server.kernel.crypto import HospitalKeys
from server.kernel.errors import RequestInvalid

SEARCH_TERMS: Final = "search_terms"

MOST_SOUGHT: Final = 64
"""Characters that may be looked for at once."""

MOST_TERMS: Final = 1_000
"""Pairs that are stored of one message at most. One that has more is proposed to every search instead."""

TERM_BYTES: Final = 8
"""A chance match of two pairs costs one look at a message, no more."""

_FIELD: Final = "messages.pair"
_TOO_MANY: Final = "too many"
"""No pair has this many characters: what stands for a message with more pairs than are kept."""

_REMEMBERED: Final = 50_000
"""Pairs whose term is not made anew: people use few pairs most of the time."""

_WORD: Final = re.compile(r"[^\W_]+")

Place = tuple[int, str]
"""Where in a list of conversations: milliseconds, and an id that makes it unique."""


@dataclass(frozen=True, slots=True)
class Scoped:
    """A conversation that may be searched, and its place in the list of those."""

    conversation_id: str
    hospital_id: str
    place: Place


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for: all of these words, each somewhere in the message."""

    words: tuple[str, ...]
    pairs: frozenset[str]

    def is_in(self, draft: Draft) -> bool:
        text = " ".join(words_of(text_of(draft)))
        return all(word in text for word in self.words)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that may be what is looked for. `corrected_by`: a correction of it that stands."""

    conversation_id: str
    hospital_id: str
    seq: int
    corrected_by: int | None = None


@dataclass(frozen=True, slots=True)
class TermEntry:
    """What is kept of a message. `corrects` is the message that it stands for instead."""

    seq: int
    terms: tuple[bytes, ...]
    corrects: int | None


@dataclass(frozen=True, slots=True)
class TermRun:
    """What is kept of a run of entries of one conversation, that ends at `log_seq`. `recalls`: messages that it took back."""

    conversation_id: str
    hospital_id: str
    entries: tuple[TermEntry, ...]
    recalls: tuple[int, ...]
    log_seq: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that was found, encoded. `corrected_by` is for supervision: members are not shown such."""

    conversation_id: str
    order_id: str
    seq: int
    message: bytes
    corrected_by: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Hits, newest conversation and newest message first. `cursor`: there may be more, also where there are no hits."""

    hits: tuple[Hit, ...]
    cursor: str | None


def parse_sought(text: str) -> Sought:
    """Raises RequestInvalid where there are no two characters side by side to go by."""
    words = tuple(words_of(text))
    pairs = frozenset(pair for word in words for pair in _pairs(word))
    if not pairs:
        raise RequestInvalid(q="must hold a word of two characters or more")
    return Sought(words, pairs)


def words_of(text: str) -> list[str]:
    """Runs of letters and digits; wide and narrow forms, upper and lower case are the same."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def text_of(draft: Draft) -> str:
    """The words of a message. Parts are apart: no word goes over from one to the next."""
    return "\n".join(part["text"] for part in draft.parts if part["kind"] == "text")


def term_entry_of(entry: Entry, keys: HospitalKeys) -> TermEntry | None:
    """What is kept of an entry; None where there is nothing to find or to stand for another message."""
    draft = entry.draft
    if draft.kind is not EntryKind.MESSAGE:
        return None
    pairs: set[str] = set()
    for word in words_of(text_of(draft)):
        pairs.update(_pairs(word))
        if len(pairs) > MOST_TERMS:
            return TermEntry(entry.seq, (too_many(keys),), draft.corrects)
    if not pairs and draft.corrects is None:
        return None
    return TermEntry(entry.seq, terms_of(pairs, keys), draft.corrects)


def terms_of(pairs: Iterable[str], keys: HospitalKeys) -> tuple[bytes, ...]:
    """The keyed form, in an order that says nothing of the pairs'."""
    return tuple(sorted(_term(pair, keys) for pair in pairs))


def too_many(keys: HospitalKeys) -> bytes:
    return _term(_TOO_MANY, keys)


@lru_cache(_REMEMBERED)
def _term(pair: str, keys: HospitalKeys) -> bytes:
    return keys.blind(pair, field=_FIELD)[:TERM_BYTES]


def _pairs(word: str) -> Iterator[str]:
    return map(add, word, word[1:])
