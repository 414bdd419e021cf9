"""What the log needs from the outside."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from im.domain import Draft, Entry, Opening, Part, RecallMessage, SendMessage, Summary
from server.kernel.actor import Actor


class Rules(Protocol):
    """The meaning of entries: pure, quick, without I/O.

    `fold` may change the state that it is given and return it: the log owns that state and shows it to nobody while folding.
    `decide_*` raise a DomainError to refuse. State is opaque to the log.
    """

    def fold(self, state: Any | None, entry: Entry) -> Any: ...

    def decide_message(self, state: Any, command: SendMessage, now_ms: int) -> Draft: ...

    def decide_recall(self, state: Any, command: RecallMessage, now_ms: int) -> Draft: ...

    def summary(self, state: Any) -> Summary: ...


class Opener(Protocol):
    """Knows how a conversation that has no entry yet must begin. The same answer every time it is asked."""

    async def find_opening(self, conversation_id: str) -> Opening | None: ...


class Directory(Protocol):
    """Which conversations an account has open, newest first, at most `limit`."""

    async def list_open_conversations(self, actor: Actor, limit: int) -> Sequence[str]: ...


class Names(Protocol):
    """What people are called, resolved on the way out. Ids that are unknown are missing in the answer."""

    async def find_names(self, account_ids: Collection[str]) -> Mapping[str, str]: ...


class MediaGate(Protocol):
    """Only its uploader may attach a medium, and once sent it belongs to that conversation.

    Raises `media.not_found` when one of the ids is not the actor's to attach, is of another kind than the part says, or
    belongs elsewhere.
    """

    async def claim_for_conversation(
        self, actor: Actor, hospital_id: str, conversation_id: str, kinds_by_media_id: Mapping[str, str]
    ) -> None: ...


class CardGate(Protocol):
    """Asked before a message with cards is appended that the rules would take. Raises whatever the cards are refused with."""

    async def check_cards(self, actor: Actor, order_id: str, cards: Sequence[Part]) -> None: ...


class EntryListener(Protocol):
    """Told of each entry that this process appended, after it is stored, off the way to the ack. Must not raise.

    `before` and `after` are summaries; `state` is the rules' state after the entry (do not keep it).
    """

    def entry_appended(self, entry: Entry, state: Any) -> None: ...


class EntryConsumer(Protocol):
    """A projection, or anything else that follows all conversations, in the keeper.

    It keeps for each conversation the number of the last entry that it took in (`log_seq`, in the same write as the effect
    where there is one). It is handed runs of entries without a hole that begin at `log_seq` + 1, several conversations at once
    so that it can write for all of them in one go, and each by one caller at a time. After a crash or a change of leader the
    same entries may come again, so `consume` passes over numbers that it has, and its writes are guarded by `log_seq`. What it
    raises is logged, and those conversations come again later, each alone.
    """

    @property
    def name(self) -> str:
        """Fixed for ever: under a new name everything is read from the beginning."""
        ...

    async def find_log_seqs(self, conversation_ids: Collection[str]) -> Mapping[str, int]:
        """The last number taken in, by conversation; one that is missing in the answer counts as 0."""
        ...

    async def consume(self, runs: Mapping[str, Sequence[Entry]]) -> None:
        """Take these in, by conversation."""
        ...


class Rebuilt(EntryConsumer, Protocol):
    """A consumer that can begin a conversation anew."""

    async def forget(self, conversation_id: str) -> None:
        """Before everything of it comes again."""
        ...
