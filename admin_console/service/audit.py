"""The search in the audit: recorded rows and, with an order, the entries of its conversation, in one list."""

from typing import Final

from admin_console.domain.access import View
from admin_console.domain.audit import AuditFilter, Place, RowPage, ShownRow, entry_row, is_behind, matches, merge
from admin_console.ports import AuditReader, LogReader, OrderLookup
from admin_console.service.guard import Guard
from im.errors import ConversationNotFound
from server.kernel.actor import Actor
from server.kernel.audit import Audit
from server.kernel.clock import Clock

_READ_AT_ONCE: Final = 200


class AuditQuery:
    """Auditors and medical administrators search; each search is a row itself, recorded after it was read, so that it does
    not stand in its own answer."""

    def __init__(self, audit: Audit, clock: Clock, rows: AuditReader, log: LogReader, orders: OrderLookup) -> None:
        self._guard = Guard(audit, clock)
        self._rows = rows
        self._log = log
        self._orders = orders

    async def search(self, actor: Actor, wanted: AuditFilter, *, limit: int, after: Place | None) -> RowPage:
        """Newest first. Raises Forbidden."""
        subject = wanted.order_id or "audit"
        await self._guard.require(actor, View.AUDIT, subject=subject, order_id=wanted.order_id)
        page = await self.list_rows(wanted, limit=limit, after=after, newest_first=True)
        await self._guard.record(actor, View.AUDIT, subject=subject, order_id=wanted.order_id)
        return page

    async def list_rows(self, wanted: AuditFilter, *, limit: int, after: Place | None, newest_first: bool) -> RowPage:
        """A page of the list, for whoever was allowed to see it."""
        recorded = await self._rows.search(wanted, limit=limit + 1, after=after, newest_first=newest_first)
        entries: list[ShownRow] = []
        if wanted.order_id is not None:
            order = await self._orders.find_order(wanted.hospital_id, wanted.order_id)
            if order is not None:
                entries = await self._entries(order.conversation_id, wanted, limit + 1, after, newest_first=newest_first)
        return merge(recorded, entries, limit=limit, after=after, newest_first=newest_first)

    async def _entries(
        self, conversation_id: str, wanted: AuditFilter, limit: int, after: Place | None, *, newest_first: bool
    ) -> list[ShownRow]:
        """At least the first `limit` of the conversation's entries that belong behind the place."""
        assert wanted.order_id is not None, "entries are asked for by their order"
        seq = after.seq if after is not None else 0
        found: list[ShownRow] = []
        more = not (newest_first and seq == 1)
        while more and len(found) < limit:
            try:
                page = await self._log.read_entries(
                    conversation_id,
                    after_seq=None if newest_first else seq,
                    before_seq=seq or None if newest_first else None,
                    limit=_READ_AT_ONCE,
                )
            except ConversationNotFound:
                return []
            entries = reversed(page.entries) if newest_first else page.entries
            rows = [entry_row(entry, wanted.order_id) for entry in entries]
            found += [r for r in rows if matches(r, wanted) and is_behind(r, after, newest_first=newest_first)]
            more = page.more and bool(rows)
            if rows:
                seq = rows[-1].seq or 0
        return found
