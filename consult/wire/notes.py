"""What of internal notes crosses the network, to doctors and staff only."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from consult.domain.notes import MAX_NOTE, StaffNote
from server.kernel.wire import CleanText, Id, Instant, Page, WireModel


class NoteIn(WireModel):
    """Words for colleagues; no patient sees them."""

    text: Annotated[CleanText, Field(min_length=1, max_length=MAX_NOTE), StringConstraints(pattern=r"\S")]


class NoteAuthorOut(WireModel):
    account_id: str
    role: Literal["doctor", "staff"]
    name: str | None


class NoteOut(WireModel):
    """`number` counts the order's notes from 1. Notes are never changed."""

    note_id: Id
    order_id: Id
    number: int
    author: NoteAuthorOut
    text: str
    created_at: Instant


class NotePage(Page[NoteOut]):
    """Newest first."""


class NoteAddedOut(WireModel):
    """`note.added`: there is a note; what it says is to be asked for."""

    order_id: Id
    note_id: Id
    number: int
    created_at: Instant


def note_out(note: StaffNote, names: Mapping[str, str]) -> NoteOut:
    return NoteOut(
        note_id=note.id,
        order_id=note.order_id,
        number=note.number,
        author=NoteAuthorOut(
            account_id=note.author_id,
            role="doctor" if note.author_role == "doctor" else "staff",
            name=names.get(note.author_id),
        ),
        text=note.text,
        created_at=note.created_at,
    )
