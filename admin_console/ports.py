"""What supervision needs from the outside."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from accounts.domain.people import PatientAccount
from admin_console.domain.audit import AuditFilter, Place, ShownRow
from admin_console.domain.board import BoardCounts, Series
from admin_console.domain.checkpoints import Checkpoint, Head
from admin_console.domain.custody import Reveal
from admin_console.domain.orders import MoneyTotals, OrderCounts, OrderFilter
from admin_console.domain.proofs import Proof
from admin_console.domain.traces import Findings
from billing.domain import Payment, PostingSet, Refund
from consult.domain.order import Order
from ehr_view.domain.access import RecordView
from ehr_view.hl7.domain import HeldMessage, Repair
from im.domain import EntryPage, Snapshot
from server.kernel.actor import Actor


class AuditReader(Protocol):
    async def search(self, wanted: AuditFilter, *, limit: int, after: Place | None, newest_first: bool) -> Sequence[ShownRow]:
        """Recorded rows behind the place, in order of instant and audit_id."""
        ...


class LogReader(Protocol):
    """`im.service.ConversationLog`, read. Raises ConversationNotFound where there is no log (yet)."""

    async def read_entries(
        self, conversation_id: str, *, after_seq: int | None = None, before_seq: int | None = None, limit: int = 100
    ) -> EntryPage: ...

    async def read_fresh(self, conversation_id: str) -> Snapshot: ...


class OrderLookup(Protocol):
    async def find_order(self, hospital_id: str, order_id: str) -> Order | None:
        """The order, if it is this hospital's."""
        ...


class StaffOrders(OrderLookup, Protocol):
    async def list_orders_for_staff(
        self, wanted: OrderFilter, *, limit: int, after: tuple[datetime, str] | None
    ) -> Sequence[Order]:
        """Newest first, behind the place `after` (made at, id)."""
        ...

    async def count_orders(self, hospital_id: str) -> OrderCounts: ...

    async def has_ordered(self, hospital_id: str, patient_account: str) -> bool: ...


class BoardReader(Protocol):
    async def count_now(self, hospital_id: str, now: datetime, soon: datetime) -> BoardCounts: ...

    async def series(self, hospital_id: str, since: datetime, now: datetime, days: int) -> Series:
        """`days` local days, the first of which begins at `since`, the last of which is that of `now`."""
        ...


class ViewBook(Protocol):
    """`ehr_view`'s looks at records."""

    async def list_of_order(
        self, hospital_id: str, order_id: str, *, before: tuple[datetime, int] | None, limit: int
    ) -> Sequence[RecordView]:
        """Newest first."""
        ...


class Names(Protocol):
    async def find_names(self, account_ids: Collection[str]) -> Mapping[str, str]:
        """Names by account; unknown ids are missing."""
        ...


class AccountBook(Protocol):
    async def find_by_phone(self, phone: str) -> PatientAccount | None: ...


class Hl7Intake(Protocol):
    """`ehr_view.hl7.service.Intake`, of one hospital."""

    async def list_failed(self, limit: int) -> Sequence[HeldMessage]: ...

    async def retry(self, message_id: str) -> Repair | None:
        """Take a failed message again. None where there is none."""
        ...


class RevealBook(Protocol):
    async def insert(self, reveal: Reveal) -> Reveal:
        """The same id again is the same request."""
        ...

    async def find(self, hospital_id: str, reveal_id: str) -> Reveal | None: ...

    async def save(self, reveal: Reveal) -> bool:
        """Its answer, while it has none."""
        ...

    async def list_newest(self, hospital_id: str, *, limit: int) -> Sequence[Reveal]: ...


class ProofBook(Protocol):
    """Verifications as stored."""

    async def insert(self, proof: Proof) -> Proof:
        """Keep it; where one of its hospital waits or runs, that one."""
        ...

    async def claim(self, proof_id: str, now: datetime, stale: datetime) -> Proof | None:
        """The first takes one that waits, or that runs since before `stale`."""
        ...

    async def save(self, proof: Proof) -> None:
        """What came of it, by whoever claimed it last."""
        ...

    async def list_newest(self, hospital_id: str, *, limit: int) -> Sequence[Proof]: ...

    async def list_waiting(self, stale: datetime) -> Sequence[str]:
        """Ids of all hospitals' that `claim` would give."""
        ...


class LedgerReader(Protocol):
    async def totals(self, hospital_id: str, now: datetime) -> MoneyTotals:
        """Sums of all postings of the hospital."""
        ...


class OrderGate(Protocol):
    """`consult.service.access.OrderAccess`: who may see an order."""

    async def access_order_as_patient(self, actor: Actor, order_id: str, action: str) -> Order:
        """The order, for its patient's account. Raises OrderNotFound, and records the denial."""
        ...

    async def require_visible(self, actor: Actor, order_id: str) -> None:
        """Raises OrderNotFound, and records the denial, unless the actor is one of the order's two."""
        ...


class MoneyReader(Protocol):
    async def list_of_order(self, order_id: str, hospital_id: str) -> Sequence[Payment]: ...

    async def list_refunds_of_order(self, order_id: str, hospital_id: str) -> Sequence[Refund]: ...

    async def list_postings_of_order(self, order_id: str, hospital_id: str) -> Sequence[PostingSet]:
        """In the order in which they were booked."""
        ...


class ContentReader(Protocol):
    """`media.service.MediaService`, read by the product itself."""

    async def read_attached(
        self, hospital_id: str, owner_kind: str, owner_id: str, media_id: str, *, most_bytes: int
    ) -> tuple[str, bytes] | None:
        """MIME type and bytes of a medium that belongs there; None where it does not, is gone, or is longer."""
        ...


class IssuedViews(Protocol):
    """Looks at records, each with the id that stands hidden in the page."""

    async def list_ids(self, hospital_id: str | None, since: datetime, *, limit: int) -> Sequence[int]:
        """The newest first. None: of all hospitals."""
        ...

    async def find(self, view_id: int) -> RecordView | None: ...


class MarkReader(Protocol):
    """Reads hidden marks from pictures of any kind, in a process of its own."""

    async def read(self, picture: bytes, issued: Sequence[int]) -> Findings:
        """Raises LeakPictureUnsupported, LeakPictureTooLarge, LeakPictureDamaged; Unavailable when too many wait."""
        ...


FeedPlace = Mapping[str, Any]
"""How far each collection was followed; opaque, kept as it is."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Heads of streams with new items since a place, and the place after them. `tampered`: operations other than an insert."""

    heads: tuple[Head, ...]
    place: FeedPlace
    tampered: tuple[str, ...] = field(default=())


class StreamFeed(Protocol):
    async def changed_since(self, place: FeedPlace | None) -> Changed:
        """What changed behind the place; all streams where there is no place, or it is lost."""
        ...


class CheckpointStore(Protocol):
    async def find_last(self) -> Checkpoint | None: ...

    async def insert(self, checkpoint: Checkpoint) -> bool:
        """False where another with this number is there."""
        ...

    def list_after(self, number: int) -> AsyncIterator[Checkpoint]:
        """In order of their numbers. Raises CheckpointUnreadable."""
        ...

    async def find_place(self) -> FeedPlace | None: ...

    async def save_place(self, place: FeedPlace) -> None: ...


class CheckpointFile(Protocol):
    """Checkpoints outside the database."""

    async def find_last(self) -> Checkpoint | None:
        """Mends a last line that a crash tore off. Raises CheckpointUnreadable."""
        ...

    async def append(self, checkpoint: Checkpoint) -> None:
        """On disk when it returns."""
        ...

    def lines(self) -> AsyncIterator[Checkpoint | None]:
        """All of them, in the order in which they stand; None for a line that cannot be read."""
        ...


class Archive(Protocol):
    """The streams as stored, raw."""

    def documents(self, kind: str) -> AsyncIterator[Mapping[str, Any]]:
        """All documents of a collection in order of `_id`; instants are integers of milliseconds."""
        ...

    def checkpoints(self) -> AsyncIterator[Checkpoint | None]:
        """Those in the database, by number; None for one that cannot be read."""
        ...
