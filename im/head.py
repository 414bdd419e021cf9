"""One conversation as this process knows it: its last number and hash, the rules' state, and the log's own index of it.

A head only ever moves by `fold`, one entry at a time, each with the next number. It is shown to nobody while it moves, since
nothing here awaits.
"""

from array import array
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from im.codec import ConversationCodec, Opened, first_hash
from im.domain import Entry, EntryKind, Snapshot, Summary
from im.ports import Rules

if TYPE_CHECKING:
    from im.lane import Attempt

_NOBODY: Final = 0

# What a head weighs, measured on conversations of 10, 1 000 and 10 000 entries and rounded up: it bounds the cache, no more.
_BASE_BYTES: Final = 6_000
_ENTRY_BYTES: Final = 48
_CLIENT_ID_BYTES: Final = 340
_MEDIUM_BYTES: Final = 260


class BrokenLog(Exception):
    """The stored entries have a hole or a broken chain: nothing may be decided on them."""


class Head:
    """Owned by the log; everything public here is for the log's own modules."""

    __slots__ = (
        "_numbers",
        "_rules",
        "_senders",
        "_summary",
        "at_ms",
        "attempts",
        "broken",
        "busy",
        "client_ids",
        "codec",
        "fresh_at",
        "hash",
        "last_sent",
        "media",
        "members_ever",
        "recalled",
        "seq",
        "size",
        "state",
    )

    def __init__(self, codec: ConversationCodec, rules: Rules) -> None:
        self._rules = rules
        self.codec = codec
        self.seq = 0
        self.hash = first_hash()
        self.at_ms = 0
        self.state: Any = None
        self._summary: Summary | None = None
        self.client_ids: dict[tuple[str, str], tuple[int, bytes]] = {}
        """(sender, client id) → number and digest, over sends and recalls and all else that carries a client id."""
        self.recalled: dict[int, int] = {}
        """Number of a recalled message → number of its recall."""
        self.media: dict[str, list[int]] = {}
        """Medium → numbers of the messages that hold it."""
        self.last_sent: dict[str, int] = {}
        """Sender → number of the last own message: sending reads up to it."""
        self.members_ever: list[str] = [""]
        self._numbers: dict[str, int] = {}
        self._senders: array[int] = array("H")
        """For each number the place of a message's sender in `members_ever`; 0 where it is no message."""
        self.size = _BASE_BYTES
        self.busy = False
        """Whether an entry of this process is in flight, or its outcome is not known yet."""
        self.attempts: deque[Attempt] = deque()
        self.fresh_at = float("-inf")
        """When the last read of the tail that is folded in began, by the event loop's clock."""
        self.broken = False
        """It and the log disagree: nothing is decided on it any more."""

    @property
    def conversation_id(self) -> str:
        return self.codec.conversation_id

    @property
    def hospital_id(self) -> str:
        return self.codec.hospital_id

    @property
    def summary(self) -> Summary:
        """Made at most once an entry, and only if somebody asks."""
        if self._summary is None:
            self._summary = self._rules.summary(self.state)
        return self._summary

    def snapshot(self) -> Snapshot:
        return Snapshot(self.codec.conversation_id, self.seq, self.at_ms, self.state, self.summary)

    def fold(self, opened: Opened) -> None:
        """Take in the entry with the next number. Raises BrokenLog for any other."""
        entry = opened.entry
        if entry.seq != self.seq + 1:
            raise BrokenLog(f"{self.conversation_id}: {entry.seq} after {self.seq}")
        self.state = self._rules.fold(self.state, entry)
        self._summary = None
        self._index(entry, opened.digest)
        self.seq, self.hash, self.at_ms = entry.seq, entry.hash, entry.at_ms

    def fold_document(self, document: Mapping[str, Any]) -> bool:
        """Take in a stored document if it has the next number and continues the chain. False: an older one.

        Raises BrokenLog for a hole and for a chain that does not hold.
        """
        seq = int.from_bytes(document["_id"][16:], "big")
        if seq <= self.seq:
            return False
        if seq != self.seq + 1 or not self.codec.follows(document, self.hash):
            raise BrokenLog(f"{self.conversation_id}: {seq} does not follow {self.seq}")
        self.fold(self.codec.open(document))
        return True

    def sender_of(self, seq: int) -> str | None:
        """Who sent message `seq`; None where there is none, or the entry is no message."""
        if not 1 <= seq <= self.seq:
            return None
        return self.members_ever[self._senders[seq - 1]] or None

    def recalled_between(self, first: int, last: int) -> frozenset[int]:
        return frozenset(seq for seq in self.recalled if first <= seq <= last)

    def unread(self, account_id: str, read_seq: int) -> int:
        """Others' messages above the mark that are not recalled. What one sent oneself was read up to there."""
        mark = max(read_seq, self.last_sent.get(account_id, 0))
        above = self._senders[mark:]
        own = self._numbers.get(account_id, _NOBODY)
        count = len(above) - above.count(_NOBODY) - (above.count(own) if own else 0)
        return count - sum(1 for seq in self.recalled if seq > mark and self._senders[seq - 1] != own)

    def _index(self, entry: Entry, digest: bytes | None) -> None:
        draft = entry.draft
        number = _NOBODY
        self.size += _ENTRY_BYTES
        if draft.sender is not None and draft.client_id is not None and digest is not None:
            self.client_ids[draft.sender, draft.client_id] = (entry.seq, digest)
            self.size += _CLIENT_ID_BYTES
        if draft.kind is EntryKind.MESSAGE:
            if draft.sender is not None:
                number = self._number_of(draft.sender)
                self.last_sent[draft.sender] = entry.seq
            for part in draft.parts:
                if medium := part.get("media_id"):
                    self.media.setdefault(medium, []).append(entry.seq)
                    self.size += _MEDIUM_BYTES
        elif draft.kind is EntryKind.RECALL and draft.recalls is not None:
            self.recalled.setdefault(draft.recalls, entry.seq)
        self._senders.append(number)

    def _number_of(self, sender: str) -> int:
        number = self._numbers.get(sender)
        if number is None:
            number = self._numbers[sender] = len(self.members_ever)
            self.members_ever.append(sender)
        return number
