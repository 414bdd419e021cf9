"""Which messages must not overtake one another: those that speak of the same person or report."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ehr_view.hl7.message import Message, Segment

_NAMING: Final[Mapping[str, tuple[int, ...]]] = {
    "PID": (2, 3, 4, 19),
    "MRG": (1,),
    "TXA": (12, 13),
}
"""Fields that say which person or document it is about. Whose a number is does not matter here: two that are alike by
chance wait for one another, which does no harm."""


def lanes_of(message: Message) -> frozenset[str]:
    """Two messages that share a lane are taken one after the other. A message shares one with itself sent again."""
    return frozenset((f"message {message.control_id}", *_numbers(message)))


def _numbers(message: Message) -> Iterator[str]:
    for segment in message.segments:
        for field in _naming(segment):
            numbers = (segment.part(repetition).strip().upper() for repetition in segment.repetitions(field))
            yield from (number for number in numbers if number)


def _naming(segment: Segment) -> Sequence[int]:
    """A report goes by the number of who made it, else by that of who asked for it, which may stand for many reports."""
    if segment.name == "OBR":
        return (3,) if segment.get(3) else (2,)
    return _NAMING.get(segment.name, ())
