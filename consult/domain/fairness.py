"""Fair replies: a reply that says nothing, or says what the doctor said to others, is shown to the patient as such.

It stays a counted reply: whether it was one is for people to judge, when the patient contests it.
"""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from server.kernel.ids import derived_id

REPLY_FLAGS: Final = "reply_flags"
"""The collection, for the relay."""

SHORTEST: Final = 6
"""Letters, digits and characters that a reply without picture or voice has at least: 您好，请稍等 has five."""

REMEMBERED: Final = 50
"""So many of a doctor's last replies are compared with."""


class Flaw(StrEnum):
    """EMPTY: too short to answer anything. REPEATED: word for word what the doctor wrote in another order lately."""

    EMPTY = "empty"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class Said:
    """An earlier reply of the doctor, by its digest."""

    order_id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class ReplyFlag:
    """`reason` is what the patient wrote when contesting; empty before."""

    id: str
    hospital_id: str
    order_id: str
    conversation_id: str
    seq: int
    doctor_id: str
    flaw: Flaw
    flagged_at: datetime
    contested_at: datetime | None = None
    reason: str = ""


def flag_id_of(conversation_id: str, seq: int) -> str:
    return derived_id("reply_flag", conversation_id, str(seq))


def normalised(parts: Sequence[Mapping[str, Any]]) -> str:
    """The words of a reply without what makes no difference: width, case, spaces, punctuation, signs."""
    text = "".join(part["text"] for part in parts if part["kind"] == "text")
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LN")


def find_flaw(parts: Sequence[Mapping[str, Any]], digest: bytes, earlier: Collection[Said], *, order_id: str) -> Flaw | None:
    """What is wrong with this reply; `digest` is that of its normalised words. A picture, a voice or a card says something by
    itself. The same words again in the same order are no canned ones: the patient may not have seen them."""
    if any(part["kind"] != "text" for part in parts):
        return None
    if len(normalised(parts)) < SHORTEST:
        return Flaw.EMPTY
    if any(said.digest == digest and said.order_id != order_id for said in earlier):
        return Flaw.REPEATED
    return None
