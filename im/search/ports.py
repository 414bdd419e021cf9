"""What search needs from the outside."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from im.domain import Entry, EntryPage, Snapshot
from im.search.domain import Candidate, Place, Scoped, Sought, TermRun
from server.kernel.actor import Actor


class TermRepository(Protocol):
    """What is kept of messages. Writing twice changes nothing."""

    async def find_log_seqs(self, conversation_ids: Collection[str]) -> Mapping[str, int]: ...

    async def write(self, runs: Sequence[TermRun]) -> None:
        """Keep these, note which were taken back, and note up to where the log was read."""
        ...

    async def forget(self, conversation_id: str, hospital_id: str) -> None:
        """Nothing of the conversation is kept any more."""
        ...

    async def find(
        self, sought: Sought, scope: Sequence[Scoped], *, below: tuple[str, int] | None, limit: int
    ) -> list[Candidate]:
        """Messages of these conversations that hold all pairs, or too many to tell; descending by conversation and number,
        beginning below a place. None that was taken back, as far as is known."""
        ...


class Hospitals(Protocol):
    async def find_hospital(self, conversation_id: str) -> str | None:
        """Whose conversation it is; None while it has no entry."""
        ...


class Scope(Protocol):
    """The conversations of an account that may be searched."""

    async def list_scope(self, actor: Actor, *, limit: int, start: Place | None, open_only: bool = False) -> Sequence[Scoped]:
        """Newest first, from this place on, itself included. Which are open may lag behind the log."""
        ...


class Conversations(Protocol):
    """The log, as far as search reads it."""

    async def access(self, actor: Actor, conversation_id: str) -> Snapshot: ...

    async def read_numbers(self, conversation_id: str, seqs: Collection[int]) -> EntryPage: ...


class Messages(Protocol):
    async def find_messages(
        self, actor: Actor, conversation_id: str, seqs: Collection[int], accept: Callable[[Entry], bool]
    ) -> tuple[str, Sequence[tuple[int, bytes]]]:
        """The order, and those of the messages that stand and are accepted, encoded, ascending. Raises ConversationNotFound for
        whoever is no member."""
        ...

    async def render_for_staff(self, page: EntryPage, entries: Sequence[Entry]) -> Sequence[bytes]:
        """For whoever the caller says may see them."""
        ...
