"""Seeing what was taken back: one asks, another agrees, then both may look, and each step is a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from admin_console.domain.access import View
from admin_console.domain.custody import Reveal, decide_reveal, require_shown
from admin_console.errors import NothingRecalled, RevealClosed, RevealNotFound
from admin_console.ports import LogReader, OrderLookup, RevealBook
from admin_console.service.guard import Guard
from im.domain import Entry, EntryKind
from im.errors import ConversationNotFound
from server.kernel.actor import Actor
from server.kernel.audit import Audit
from server.kernel.clock import Clock
from server.kernel.errors import DomainError
from server.kernel.ids import is_id

_LISTED: Final = 100


@dataclass(frozen=True, slots=True)
class Revealed:
    """A request, and the message that it is about."""

    reveal: Reveal
    entry: Entry


class Custody:
    """Every step and every look is a row with its order, refused ones too; the words themselves are in none."""

    def __init__(self, audit: Audit, clock: Clock, *, book: RevealBook, orders: OrderLookup, log: LogReader) -> None:
        self._guard = Guard(audit, clock)
        self._clock = clock
        self._book = book
        self._orders = orders
        self._log = log

    async def ask(self, actor: Actor, order_id: str, seq: int, reason: str, *, reveal_id: str) -> Reveal:
        """Raises Forbidden, OrderNotFound, NothingRecalled where that is no recalled message."""
        await self._guard.require(actor, View.REVEAL_ASKED, subject=order_id, order_id=order_id)
        found = await self._orders.find_order(actor.hospital_id, order_id)
        order = await self._guard.require_found(actor, View.REVEAL_ASKED, found, order_id)
        await self._recalled(order.conversation_id, seq)
        await self._guard.record(actor, View.REVEAL_ASKED, subject=reveal_id, order_id=order_id)
        asked = Reveal(reveal_id, actor.hospital_id, order_id, seq, reason, actor.account_id, self._clock.now())
        return await self._book.insert(asked)

    async def list_newest(self, actor: Actor) -> Sequence[Reveal]:
        """Requests of the hospital with their reasons, newest first. Raises Forbidden."""
        await self._guard.require(actor, View.REVEALS, subject="reveals")
        found = await self._book.list_newest(actor.hospital_id, limit=_LISTED)
        await self._guard.record(actor, View.REVEALS, subject="reveals")
        return found

    async def decide(self, actor: Actor, reveal_id: str, *, agrees: bool) -> Reveal:
        """Raises Forbidden, RevealNotFound, RevealNeedsAnother for who asked, RevealClosed where it is decided or over."""
        view = View.REVEAL_AGREED if agrees else View.REVEAL_REFUSED
        reveal = await self._find(actor, view, reveal_id)
        try:
            decided = decide_reveal(reveal, actor.account_id, agrees=agrees, now=self._clock.now())
        except DomainError:
            await self._guard.deny(actor, view, subject=reveal.id, order_id=reveal.order_id)
            raise
        await self._guard.record(actor, view, subject=reveal.id, order_id=reveal.order_id)
        if not await self._book.save(decided):
            raise RevealClosed
        return decided

    async def show(self, actor: Actor, reveal_id: str) -> Revealed:
        """The words. Raises Forbidden, RevealNotFound, RevealNeedsAnother, RevealClosed; NothingRecalled once erased."""
        reveal = await self._find(actor, View.REVEALED, reveal_id)
        try:
            require_shown(reveal, actor.account_id, now=self._clock.now())
        except DomainError:
            await self._guard.deny(actor, View.REVEALED, subject=reveal.id, order_id=reveal.order_id)
            raise
        order = await self._orders.find_order(reveal.hospital_id, reveal.order_id)
        if order is None:
            raise NothingRecalled
        entry = await self._recalled(order.conversation_id, reveal.seq)
        await self._guard.record(actor, View.REVEALED, subject=reveal.id, order_id=reveal.order_id)
        return Revealed(reveal, entry)

    async def _find(self, actor: Actor, view: View, reveal_id: str) -> Reveal:
        subject = reveal_id if is_id(reveal_id) else "reveal"
        await self._guard.require(actor, view, subject=subject)
        reveal = await self._book.find(actor.hospital_id, reveal_id) if is_id(reveal_id) else None
        if reveal is None:
            await self._guard.deny(actor, view, subject=subject)
            raise RevealNotFound
        return reveal

    async def _recalled(self, conversation_id: str, seq: int) -> Entry:
        try:
            page = await self._log.read_entries(conversation_id, after_seq=seq - 1, limit=1)
        except ConversationNotFound:
            raise NothingRecalled from None
        entry = page.entries[0] if page.entries else None
        if entry is None or entry.seq not in page.recalled or entry.draft.kind is not EntryKind.MESSAGE:
            raise NothingRecalled
        return entry
