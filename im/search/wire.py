"""What of search crosses the network."""

from typing import Annotated

from pydantic import Field

from im.search.domain import MOST_SOUGHT
from im.wire import MessageModel
from server.kernel.wire import CleanText, Id, Page, WireModel

SoughtText = Annotated[CleanText, Field(min_length=1, max_length=MOST_SOUGHT)]


class SearchWords(WireModel):
    """In a body, so that no address, and so no log of addresses, says what was looked for. `q`: words, all of which must be
    there; one of them at least of two characters or more."""

    q: SoughtText
    limit: Annotated[int, Field(ge=1, le=50)] = 20
    cursor: Annotated[str, Field(max_length=400)] | None = None


class SearchIn(SearchWords):
    """In all of one's conversations, or in one."""

    conversation_id: Id | None = None


class HitOut(WireModel):
    conversation_id: str
    order_id: str
    message: MessageModel


class HitPage(Page[HitOut]):
    """Newest conversation first, newest message first. Short or empty pages with a cursor: go on."""
