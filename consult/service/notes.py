"""Internal notes on an order: for its doctor, those who were, and the hospital's staff who work on orders. Nobody else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from consult.domain.notes import MOST_NOTES, STAFF_NOTES, WATCH_LASTS, StaffNote, may_read, may_write
from consult.domain.order import Order
from consult.errors import NotesFull, OrderNotFound
from consult.ports import AccountNames, Live, Log, NoteRepository, OrderRepository, Outboxes
from im.errors import ConversationNotFound
from server.kernel.actor import Actor, Role
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock, iso
from server.kernel.errors import Forbidden, RequestInvalid, Unavailable
from server.kernel.ids import is_id
from server.kernel.outbox import Event, event_of
from server.kernel.wire import decode_cursor, encode_cursor

NOTE_ADDED: Final = "consult.note_added"
NOTES_VIEWED: Final = "consult.notes_viewed"
NOTES_WATCHED: Final = "consult.notes_watched"

NOTE_EVENT: Final = "note.added"
"""What sockets are told."""

_TRIES: Final = 50


@dataclass(slots=True)
class NoteService:
    """Each use case asks anew who the actor is to the order; every look is a row, every refusal too."""

    notes: NoteRepository
    orders: OrderRepository
    log: Log
    names: AccountNames | None
    audit: Audit
    relay: Outboxes
    live: Live
    clock: Clock

    async def list_notes(
        self, actor: Actor, order_id: str, limit: int, cursor: str | None
    ) -> tuple[list[StaffNote], str | None]:
        """Newest first. Raises Forbidden, OrderNotFound."""
        order = await self._access(actor, order_id, NOTES_VIEWED, allowed=may_read(actor))
        before = None if cursor is None else _number_of(cursor)
        found = await self.notes.list_of(order.hospital_id, order.id, limit=limit + 1, before=before)
        await self.audit.record(audit_row(actor, NOTES_VIEWED, subject=order.id, at=self.clock.now(), order_id=order.id))
        page = list(found[:limit])
        return page, encode_cursor(page[-1].number) if len(found) > limit else None

    async def add_note(self, actor: Actor, note_id: str, order_id: str, text: str) -> StaffNote:
        """The same id again is the same note. Raises Forbidden, OrderNotFound, NotesFull."""
        order = await self._access(actor, order_id, NOTE_ADDED, allowed=may_write(actor))
        now = self.clock.now()
        for _ in range(_TRIES):
            stored = await self.notes.find(order.hospital_id, order.id, note_id)
            if stored is not None:
                return stored
            number = await self.notes.last_number(order.hospital_id, order.id) + 1
            if number > MOST_NOTES:
                raise NotesFull
            note = StaffNote(note_id, order.hospital_id, order.id, number, actor.account_id, actor.role.value, text, now)
            event = event_of(actor, NOTE_ADDED, subject=note.id, at=now, order_id=order.id, number=number)
            if await self.notes.insert(note, event):
                self.relay.soon(STAFF_NOTES, note.id, note.hospital_id)
                return note
        raise Unavailable

    async def watch(self, actor: Actor, order_id: str) -> int:
        """The actor has the order open: tell them of notes for so many seconds. Raises Forbidden, OrderNotFound."""
        order = await self._access(actor, order_id, NOTES_WATCHED, allowed=may_read(actor))
        await self.notes.watch(order.hospital_id, order.id, actor.account_id, self.clock.now() + WATCH_LASTS)
        return int(WATCH_LASTS.total_seconds())

    async def note_added(self, event: Event) -> None:
        """`consult.note_added`: say that there is one, and no word of it, to whoever has the order open."""
        watchers = await self.notes.list_watchers(event.hospital_id, event.order_id or "", self.clock.now())
        payload = {
            "order_id": event.order_id,
            "note_id": event.subject,
            "number": event.data["number"],
            "created_at": iso(event.at),
        }
        if watchers:
            self.live.send(watchers, NOTE_EVENT, payload)

    async def names_of(self, notes: Sequence[StaffNote]) -> Mapping[str, str]:
        """What their authors are called."""
        return {} if self.names is None else await self.names.find_names({note.author_id for note in notes})

    async def _access(self, actor: Actor, order_id: str, action: str, *, allowed: bool) -> Order:
        """Missing and forbidden look alike, but for a role that reads no notes at all: that is refused before the order is
        looked for."""
        order = await self.orders.find(order_id) if allowed and is_id(order_id) else None
        if order is not None and order.hospital_id == actor.hospital_id and await self._belongs(actor, order):
            return order
        await self.audit.record(
            audit_row(
                actor,
                action,
                subject=order_id if is_id(order_id) else "order",
                at=self.clock.now(),
                order_id=order_id if is_id(order_id) else None,
                outcome=Outcome.DENIED,
                hospital_id=None if order is None else order.hospital_id,
            )
        )
        raise OrderNotFound if allowed else Forbidden

    async def _belongs(self, actor: Actor, order: Order) -> bool:
        """Staff of its hospital; its doctor, and whoever took part in its conversation as one."""
        if actor.role is Role.STAFF or order.doctor.id == actor.account_id:
            return True
        try:
            snapshot = await self.log.read_fresh(order.conversation_id)
        except ConversationNotFound:
            return False
        return actor.account_id in snapshot.state.accounts


def _number_of(cursor: str) -> int:
    (number,) = decode_cursor(cursor, int)
    if not 1 < number <= MOST_NOTES:
        raise RequestInvalid(cursor="is not one of ours")
    return int(number)
