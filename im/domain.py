"""A conversation is an append-only log of entries; everything else about it is folded from them.

This package owns the mechanism: numbers, order, identity, the hash chain, who was told. What an entry means (open, quota,
deadline, money) is the rules' business, which are handed in through `ports.Rules`.

What is made for every message is a `msgspec.Struct`: as frozen as a dataclass, at a fifth of the price.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import msgspec


class EntryKind(StrEnum):
    """What an entry is; the `kind` of a message on the wire."""

    OPENED = "opened"
    MESSAGE = "message"
    RECALL = "recall"
    GIFT = "gift"
    REFERRED = "referred"
    CLOSED = "closed"
    SETTLED = "settled"


ALWAYS_FITS: Final = frozenset({EntryKind.OPENED, EntryKind.RECALL, EntryKind.CLOSED, EntryKind.SETTLED})
"""Kinds that a full conversation still takes: what ends or takes back must never be refused for want of room."""

Part = Mapping[str, Any]
"""One part of a message, as on the wire: `{"kind": "text", "text": …}`, `{"kind": "image", "media_id": …}`, …"""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Draft(msgspec.Struct, frozen=True):
    """What a rule decided to append; the log gives it its number, id, instant and hash.

    `sender` None is the product itself. `data` is what the rules want to find again when they fold: policy, counts, the
    inputs of a decision. It is encrypted with the rest of the body and never sent to clients as it is.
    """

    kind: EntryKind
    sender: str | None
    role: str
    client_id: str | None = None
    parts: tuple[Part, ...] = ()
    recalls: int | None = None
    corrects: int | None = None
    closes: str | None = None
    data: Mapping[str, Any] = _NOTHING


class Entry(msgspec.Struct, frozen=True):
    """One stored entry, opened. `at_ms` never goes back within a conversation."""

    conversation_id: str
    seq: int
    id: str
    at_ms: int
    hash: bytes
    draft: Draft


class SendMessage(msgspec.Struct, frozen=True):
    """A member wants to say something. Parts are checked for form already."""

    account_id: str
    client_id: str
    parts: tuple[Part, ...]
    corrects: int | None = None


@dataclass(frozen=True, slots=True)
class RecallMessage:
    """A member wants entry `seq` taken back."""

    account_id: str
    client_id: str
    seq: int


class Summary(msgspec.Struct, frozen=True):
    """What the log shows of the rules' state to members. `members` maps account to role (`patient`, `doctor`)."""

    order_id: str
    hospital_id: str
    members: Mapping[str, str]
    open: bool
    closes_at_ms: int


@dataclass(frozen=True, slots=True)
class Opening:
    """The first entry of a conversation that has none yet: its place, its instant and what stands in it."""

    hospital_id: str
    at_ms: int
    draft: Draft


class Appended(msgspec.Struct, frozen=True):
    """What became of an append: the entry and the rules' state now. `repeated`: it stood in the log before this call.

    `state` is the log's own and moves on with it: look at it before the next `await`, and keep `summary` instead.
    """

    entry: Entry
    state: Any
    summary: Summary
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A conversation at its head. `state` is the log's own and moves on with it: look at it before the next `await`."""

    conversation_id: str
    seq: int
    at_ms: int
    state: Any
    summary: Summary


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries in ascending order, with which of them are recalled as of `snapshot`, and whether there are more beyond them."""

    entries: tuple[Entry, ...]
    recalled: frozenset[int]
    more: bool
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Receipt:
    """How far an account's devices got (`delivered_seq`) and how far it read. Both only rise; read is also delivered."""

    conversation_id: str
    account_id: str
    delivered_seq: int
    read_seq: int


@dataclass(frozen=True, slots=True)
class Marked:
    """A receipt after it was raised. `moved` False: it stood there before, so nobody need be told. `members` are to be told."""

    receipt: Receipt
    moved: bool
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Marks:
    """All members' receipts of a conversation, and what one of them has not read."""

    receipts: tuple[Receipt, ...]
    unread: int
