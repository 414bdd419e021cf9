"""What crosses the network of a conversation.

Bodies of socket commands are msgspec structs (strict types, no unknown fields): the hot command is parsed and checked in one
go. The same bodies over HTTP are pydantic models with the same limits; a test holds them together. A message is encoded once
and the same bytes serve the ack, the live event and the other processes.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct
from pydantic import Field, model_validator

from im.cards import MAX_FIELD, MAX_FIELDS, MAX_NOTE, card_flaw
from im.domain import Entry, EntryKind, Snapshot
from im.domain import Receipt as Marks
from server.kernel.clock import iso_ms
from server.kernel.wire import CleanText, Page, PageQuery, QueryModel, WireModel, unclean

MAX_PARTS: Final = 9
MAX_TEXT: Final = 4_000
MAX_CURSORS: Final = 200
MAX_SEQ: Final = 2**53
CLIENT_ID: Final = r"^[!-~]{8,64}$"
"""8 to 64 visible ASCII characters."""

Identifier = Annotated[str, Meta(min_length=1, max_length=64)]
"""An id as a client sends it: opaque. One that is not ours finds nothing."""

ClientId = Annotated[str, Meta(min_length=8, max_length=64, pattern=CLIENT_ID + r"(?!\n)")]
"""Python's `$` alone would let a line feed stand at the end."""

CardField = Annotated[str, Meta(max_length=MAX_FIELD)]
CardValue = Annotated[str, Meta(max_length=MAX_NOTE)]

Seq = Annotated[int, Meta(ge=1, le=MAX_SEQ)]


class TextPart(Struct, tag="text", tag_field="kind", forbid_unknown_fields=True, frozen=True):
    """Words. Control, bidi and surrogate characters are refused."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]

    def __post_init__(self) -> None:
        if reason := unclean(self.text):
            raise ValueError(f"holds a {reason} character")


class ImagePart(Struct, tag="image", tag_field="kind", forbid_unknown_fields=True, frozen=True):
    """A picture that its sender uploaded."""

    media_id: Identifier


class VoicePart(Struct, tag="voice", tag_field="kind", forbid_unknown_fields=True, frozen=True):
    """A voice clip that its sender uploaded."""

    media_id: Identifier


class SentCardPart(Struct, tag="card", tag_field="kind", forbid_unknown_fields=True, frozen=True):
    """A card. `record_shared`: {record_id}; `booking`: {department, date, period, note?}, with `date` as 2026-01-05 and
    `period` one of morning, afternoon, evening."""

    card: Literal["record_shared", "booking"]
    data: Annotated[dict[CardField, CardValue], Meta(max_length=MAX_FIELDS)]

    def __post_init__(self) -> None:
        if flaw := card_flaw(self.card, self.data):
            raise ValueError(flaw)


class CardPart(Struct, tag="card", tag_field="kind", frozen=True):
    """Something that clients show in a form of its own; `card` says which. Besides those that are sent, the product makes
    `gift`: {count} and `rating`: {order_id}. A shared record is its id, and nothing of what it says."""

    card: Literal["record_shared", "booking", "gift", "rating"]
    data: dict[str, Any]


class SystemPart(Struct, tag="system", tag_field="kind", frozen=True):
    """What happened to the consult; `event` is the entry's kind."""

    event: str
    data: dict[str, Any]


ClientPart = TextPart | ImagePart | VoicePart | SentCardPart
"""What clients may send. System parts, and all other cards, are the product's."""

AnyPart = TextPart | ImagePart | VoicePart | CardPart | SystemPart


class SendBody(Struct, forbid_unknown_fields=True, frozen=True):
    """`message.send`. `client_id` is unique per sender and conversation; `corrects` names an earlier message."""

    conversation_id: Identifier
    client_id: ClientId
    parts: Annotated[list[ClientPart], Meta(min_length=1, max_length=MAX_PARTS)]
    corrects: Seq | None = None


class RecallBody(Struct, forbid_unknown_fields=True, frozen=True):
    """`message.recall`."""

    conversation_id: Identifier
    client_id: ClientId
    seq: Seq


class ReceiptBody(Struct, forbid_unknown_fields=True, frozen=True):
    """`receipt.delivered` and `receipt.read`: everything up to `seq`."""

    conversation_id: Identifier
    seq: Annotated[int, Meta(ge=0, le=MAX_SEQ)]


class TypingBody(Struct, forbid_unknown_fields=True, frozen=True):
    """`typing`."""

    conversation_id: Identifier


class SyncBody(Struct, forbid_unknown_fields=True, frozen=True):
    """`conversation.sync`: the last number that the client has of each conversation that it asks for. None named: all that
    are open, from their beginning: 200 at most, the rest by `GET /conversations`. The newest conversation comes first."""

    cursors: Annotated[dict[Identifier, Annotated[int, Meta(ge=0, le=MAX_SEQ)]], Meta(max_length=MAX_CURSORS)] = {}


class Sender(Struct, frozen=True):
    """Who wrote it. The product itself: role `system`, no account."""

    account_id: str | None
    role: str
    name: str | None


class Message(Struct, frozen=True):
    """One entry of a conversation, of any kind. `seq` is its place and the only order."""

    conversation_id: str
    seq: int
    kind: EntryKind
    client_id: str | None
    sender: Sender
    parts: list[AnyPart]
    sent_at: str
    recalled: bool
    recalls: int | None
    corrects: int | None
    closes: str | None


class Receipt(Struct, frozen=True):
    """How far an account has received and read."""

    conversation_id: str
    account_id: str
    delivered_seq: int
    read_seq: int


class Typing(Struct, frozen=True):
    conversation_id: str
    account_id: str


class SyncedConversation(Struct, frozen=True):
    """A conversation as of now. `messages` are ascending and begin after the cursor; `more` says that some are left."""

    conversation_id: str
    order_id: str
    open: bool
    closes_at: str
    seq: int
    messages: list[Message]
    more: bool
    receipts: list[Receipt]
    unread: int


class MessageAck(Struct, frozen=True):
    ok: Literal[True]
    message: Message


class EmptyAck(Struct, frozen=True):
    ok: Literal[True]


class SyncAck(Struct, frozen=True):
    """`epoch`: a client that knows another one forgets what it has and asks again from 0."""

    ok: Literal[True]
    epoch: int
    conversations: list[SyncedConversation]


class SocketError(Struct, frozen=True):
    code: str
    kind: str
    fields: dict[str, str | int | list[str]]


class ErrorAck(Struct, frozen=True):
    """Any command's answer when it was refused."""

    ok: Literal[False]
    error: SocketError


class SessionRevoked(Struct, frozen=True):
    reason: str


# --- the way out ---

_encode = msgspec.json.Encoder().encode

_SILENT: Final = frozenset({EntryKind.MESSAGE, EntryKind.RECALL})
"""Kinds that have no content of their own where the rules gave them none."""

_SYSTEM: Final = Sender(None, "system", None)


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return iso_ms(seconds * 1_000)[:-5]


def instant(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds and `Z`."""
    seconds, milliseconds = divmod(at_ms, 1_000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


def parts_of(entry: Entry) -> Sequence[Mapping[str, Any]]:
    """The content that members see. What ends or changes the consult says so in a system part."""
    draft = entry.draft
    if draft.parts or draft.kind in _SILENT:
        return draft.parts
    data = {} if draft.closes is None else {"reason": draft.closes}
    return ({"kind": "system", "event": draft.kind.value, "data": data},)


def render(entry: Entry, name: str | None, *, recalled: bool = False) -> bytes:
    """The entry as JSON. Content that was recalled since never leaves this way."""
    draft = entry.draft
    sender = _SYSTEM if draft.sender is None else Sender(draft.sender, draft.role, name)
    shown: Any = () if recalled else parts_of(entry)
    return _encode(
        Message(
            entry.conversation_id,
            entry.seq,
            draft.kind,
            draft.client_id,
            sender,
            shown,
            instant(entry.at_ms),
            recalled,
            draft.recalls,
            draft.corrects,
            draft.closes,
        )
    )


def as_json(value: Any) -> bytes:
    """Any of this package's structs, compact."""
    return _encode(value)


def render_receipt(receipt: Marks) -> Receipt:
    return Receipt(receipt.conversation_id, receipt.account_id, receipt.delivered_seq, receipt.read_seq)


def render_conversation(
    snapshot: Snapshot, messages: Sequence[bytes], *, more: bool, receipts: Sequence[Marks], unread: int
) -> bytes:
    """One conversation of a sync, round messages that are encoded already."""
    summary = snapshot.summary
    return _encode(
        {
            "conversation_id": snapshot.conversation_id,
            "order_id": summary.order_id,
            "open": summary.open,
            "closes_at": instant(summary.closes_at_ms),
            "seq": snapshot.seq,
            "messages": [Raw(message) for message in messages],
            "more": more,
            "receipts": [render_receipt(receipt) for receipt in receipts],
            "unread": unread,
        }
    )


def render_listed(snapshot: Snapshot, last: bytes, *, receipts: Sequence[Marks], unread: int) -> bytes:
    """One conversation of the list, round its last entry that is encoded already."""
    summary = snapshot.summary
    return _encode(
        {
            "conversation_id": snapshot.conversation_id,
            "order_id": summary.order_id,
            "open": summary.open,
            "closes_at": instant(summary.closes_at_ms),
            "seq": snapshot.seq,
            "last": Raw(last),
            "receipts": [render_receipt(receipt) for receipt in receipts],
            "unread": unread,
        }
    )


def render_sync(epoch: int, conversations: Sequence[bytes]) -> bytes:
    """The acknowledgement of `conversation.sync`."""
    return b'{"ok":true,"epoch":%d,"conversations":[%b]}' % (epoch, b",".join(conversations))


# --- the way in ---

_PLACE: Final = re.compile(r" - at `(key in )?\$([^`]*)`$")
_INDEX: Final = re.compile(r"\[(\d+|\.\.\.)\]")
_SAFE: Final = re.compile(r"^Expected `[a-z |]+`(, got `[a-z]+`| of length [<>=]+ \d+| [<>=]+ \d+)$")
_MISSING: Final = re.compile(r"^Object missing required field `(\w+)`$")


def fields_of(error: Exception) -> dict[str, str]:
    """Where a body is wrong and why, by the names of our fields: nothing of what was sent."""
    if not isinstance(error, msgspec.ValidationError):
        return {"body": "is not JSON in UTF-8"}
    text = str(error)
    place = _PLACE.search(text)
    reason, path = (text[: place.start()], place[2]) if place else (text, "")
    field = _INDEX.sub(lambda m: f".{m[1]}", path).replace("...", "?").strip(".") or "body"
    if missing := _MISSING.match(reason):
        return {missing[1] if field == "body" else f"{field}.{missing[1]}": "is required"}
    if reason.startswith("Object contains unknown field"):
        return {field: "holds an unknown field"}
    if reason.startswith("holds a ") or _SAFE.match(reason):
        return {field: reason[0].lower() + reason[1:].replace("`", "")}
    return {field: "is not valid"}


def plain_parts(parts: Sequence[ClientPart]) -> tuple[dict[str, Any], ...]:
    """Parts as the log stores them."""
    return tuple(_plain_part(part) for part in parts)


def _plain_part(part: ClientPart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"kind": "text", "text": part.text}
    if isinstance(part, SentCardPart):
        return {"kind": "card", "card": part.card, "data": part.data}
    return {"kind": "image" if isinstance(part, ImagePart) else "voice", "media_id": part.media_id}


# --- the same over HTTP ---


class TextPartModel(WireModel):
    kind: Literal["text"]
    text: Annotated[CleanText, Field(min_length=1, max_length=MAX_TEXT)]


class MediaPartModel(WireModel):
    kind: Literal["image", "voice"]
    media_id: str = Field(min_length=1, max_length=64)


class CardPartModel(WireModel):
    """A card. `record_shared`: {record_id}; `booking`: {department, date, period, note?}, with `date` as 2026-01-05 and
    `period` one of morning, afternoon, evening."""

    kind: Literal["card"]
    card: Literal["record_shared", "booking"]
    data: Annotated[
        dict[Annotated[str, Field(max_length=MAX_FIELD)], Annotated[str, Field(max_length=MAX_NOTE)]],
        Field(max_length=MAX_FIELDS),
    ]

    @model_validator(mode="after")
    def _is_one(self) -> "CardPartModel":
        if flaw := card_flaw(self.card, self.data):
            raise ValueError(flaw)
        return self


class SendModel(WireModel):
    """A message to say. The same `client_id` with the same content is the same message."""

    client_id: str = Field(min_length=8, max_length=64, pattern=CLIENT_ID)
    parts: list[Annotated[TextPartModel | MediaPartModel | CardPartModel, Field(discriminator="kind")]] = Field(
        min_length=1, max_length=MAX_PARTS
    )
    corrects: int | None = Field(default=None, ge=1, le=MAX_SEQ)


class HistoryQuery(QueryModel):
    """`after_seq` (the next ones) or `before_seq` (the last ones before it); a `cursor` goes on; none: from the beginning."""

    after_seq: int | None = Field(default=None, ge=0, le=MAX_SEQ)
    before_seq: int | None = Field(default=None, ge=1, le=MAX_SEQ)
    cursor: str | None = Field(default=None, max_length=400)
    limit: int = Field(default=100, ge=1, le=100)


class SenderModel(WireModel):
    account_id: str | None
    role: str
    name: str | None


class PartModel(WireModel):
    """`text`: text. `image`, `voice`: media_id. `card`: card, data. `system`: event, data."""

    kind: Literal["text", "image", "voice", "card", "system"]
    text: str | None = None
    media_id: str | None = None
    card: str | None = None
    event: str | None = None
    data: dict[str, Any] | None = None


class MessageModel(WireModel):
    """One entry of a conversation, of any kind. `seq` is its place and the only order."""

    conversation_id: str
    seq: int
    kind: EntryKind
    client_id: str | None
    sender: SenderModel
    parts: list[PartModel]
    sent_at: str
    recalled: bool
    recalls: int | None
    corrects: int | None
    closes: str | None


class ReceiptModel(WireModel):
    conversation_id: str
    account_id: str
    delivered_seq: int
    read_seq: int


class ConversationModel(WireModel):
    """A conversation as of now; `last` is its last entry, of any kind."""

    conversation_id: str
    order_id: str
    open: bool
    closes_at: str
    seq: int
    last: MessageModel
    receipts: list[ReceiptModel]
    unread: int


class ConversationPage(Page[ConversationModel]):
    """The newest order's first. A page may be shorter than asked for though more follow."""


class ConversationQuery(PageQuery):
    """`open=true`: those that are not over; that may lag behind the conversations for a moment."""

    open: bool = False


class MessagePage(Page[MessageModel]):
    """Messages in ascending order."""
