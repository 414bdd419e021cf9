"""What of favourites crosses the network."""

from typing import Annotated

from pydantic import Field, StringConstraints

from im.wire import MAX_SEQ, MessageModel
from server.kernel.wire import CleanText, Id, Instant, Page, WireModel

Label = Annotated[CleanText, StringConstraints(max_length=100)]


class FavouriteIn(WireModel):
    """A message of a conversation that one is in."""

    conversation_id: Id
    seq: Annotated[int, Field(ge=1, le=MAX_SEQ)]
    label: Label = ""


class FavouriteLabelIn(WireModel):
    label: Label


class FavouriteOut(WireModel):
    """`message` as it stands now: recalled, it is a tombstone without parts; null where one may not see it any more."""

    id: str
    conversation_id: str
    seq: int
    label: str
    created_at: Instant
    message: MessageModel | None


class FavouritePage(Page[FavouriteOut]):
    """Newest first."""
