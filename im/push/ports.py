"""What pushing needs from the outside."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from im.domain import Marks
from im.push.domain import Occasion, Push, Reached, Row, RowState, Subscription
from server.kernel.actor import Actor


class Taken(StrEnum):
    """What a provider made of a push. GONE: the address is dead for good. LATER: it may be asked again, under the same id."""

    ACCEPTED = "accepted"
    GONE = "gone"
    REFUSED = "refused"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a push. `retry_after`: how long the provider wants nothing more for this device, where it said so."""

    taken: Taken
    retry_after: timedelta | None = None


class Provider(Protocol):
    """Never raises for what the network does."""

    async def push(self, subscription: Subscription, push: Push) -> Answer: ...


class MarkReader(Protocol):
    """`im.receipts.Receipts`."""

    async def marks_of(
        self, account_id: str, conversation_ids: Sequence[str], *, fresh: bool = False
    ) -> Mapping[str, Marks]: ...


class OpenConversations(Protocol):
    """`im.ports.Directory`."""

    async def list_open_conversations(self, actor: Actor, limit: int) -> Sequence[str]: ...


class SubscriptionRepository(Protocol):
    async def save(self, subscription: Subscription) -> None:
        """In place of what the account had on this device; and no other account's browser keeps this endpoint."""
        ...

    async def find(self, subscription_id: str) -> Subscription | None: ...

    async def remove(self, subscription_id: str, *, address: str | None = None) -> None:
        """Only while it has that address, where one is given."""
        ...

    async def remove_session(self, session_id: str) -> None: ...

    async def list_reached(self, account_ids: Collection[str]) -> Mapping[str, Sequence[Reached]]:
        """Those of each of these accounts."""
        ...

    async def connected(self, process_id: str, session_ids: Collection[str]) -> None: ...

    async def disconnected(self, process_id: str, session_ids: Collection[str], at: datetime) -> Sequence[str]:
        """The subscriptions that no socket of this process serves any more."""
        ...

    async def beat(self, process_id: str, alive_until: datetime) -> None: ...

    async def alive_processes(self, now: datetime) -> frozenset[str]: ...

    async def claim(self, subscription_id: str, *, now: datetime, until: datetime) -> Subscription | None:
        """For one worker at a time."""
        ...

    async def release(self, subscription_id: str, *, pushed_at: datetime | None, resting_until: datetime | None = None) -> None:
        """`resting_until`: nobody claims it before."""
        ...


class RowRepository(Protocol):
    async def insert(self, rows: Sequence[Row]) -> None:
        """Those that are not there."""
        ...

    async def list_due(self, subscription_id: str, now: datetime, limit: int) -> Sequence[Row]: ...

    async def list_due_subscriptions(self, now: datetime, limit: int) -> Sequence[str]: ...

    async def finish(self, rows: Sequence[Row], state: RowState) -> None: ...

    async def postpone(self, row: Row, due_at: datetime, *, looked_at: datetime | None = None, tried: bool = False) -> None: ...

    async def hasten(self, subscription_ids: Sequence[str], now: datetime) -> None:
        """What was postponed because the device looked connected is due now."""
        ...

    async def tidy(self, before: datetime) -> None: ...


class Pushes(Protocol):
    """What other packages ask: tell these accounts, wherever they are away. Twice is once."""

    async def tell(self, occasions: Sequence[Occasion]) -> None: ...
