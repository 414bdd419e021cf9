"""What of notices crosses the network."""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from consult.domain.notices import MOST_READ_AT_ONCE, Notice, NoticeKind
from server.kernel.wire import Id, Instant, Page, WireModel


class NoticeOut(WireModel):
    """`data` is what the kind says besides its order, in ids, numbers, codes and instants: a client makes its own words from
    it; `title` and `text` are ours for one that does not. `read_at` null: not read yet."""

    notice_id: str
    kind: NoticeKind
    title: str
    text: str
    order_id: str | None
    created_at: Instant
    data: dict[str, str | int | bool]
    read_at: Instant | None


class NoticePage(Page[NoticeOut]):
    """Newest first."""


class NoticesReadIn(WireModel):
    """Either these, or the one named by `up_to` and all that are older."""

    notice_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_READ_AT_ONCE)] | None = None
    up_to: Annotated[Id, StringConstraints(max_length=32)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "NoticesReadIn":
        if (self.notice_ids is None) == (self.up_to is None):
            raise ValueError("takes one of notice_ids and up_to")
        return self


class BadgeOut(WireModel):
    """Unread notices, counted up to 1000: what is behind that is one thousand to a person."""

    unread: int


def notice_out(notice: Notice) -> NoticeOut:
    return NoticeOut(
        notice_id=notice.id,
        kind=notice.kind,
        title=notice.title,
        text=notice.text,
        order_id=notice.order_id,
        created_at=notice.created_at,
        data=dict(notice.data),
        read_at=notice.read_at,
    )
