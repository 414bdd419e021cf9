"""Orders and figures as staff see them."""

from contextlib import suppress
from datetime import datetime

from admin_console.domain.access import View
from admin_console.domain.audit import AuditFilter, Place, RowPage
from admin_console.domain.orders import HospitalFigures, OrderFilter
from admin_console.ports import LedgerReader, LogReader, StaffOrders
from admin_console.service.audit import AuditQuery
from admin_console.service.guard import Guard
from consult.domain.order import Order
from im.errors import ConversationNotFound
from server.kernel.actor import Actor
from server.kernel.audit import Audit
from server.kernel.clock import Clock


class StaffDesk:
    """Every read is a row; an order of another hospital does not exist."""

    def __init__(
        self,
        audit: Audit,
        clock: Clock,
        orders: StaffOrders,
        log: LogReader,
        ledger: LedgerReader,
        query: AuditQuery,
    ) -> None:
        self._guard = Guard(audit, clock)
        self._clock = clock
        self._orders = orders
        self._log = log
        self._ledger = ledger
        self._query = query

    async def list_orders(
        self, actor: Actor, wanted: OrderFilter, *, limit: int, after: tuple[datetime, str] | None
    ) -> tuple[list[Order], bool]:
        """At most `limit`, newest first, and whether there are more. Statuses may lag behind the log for a moment."""
        await self._guard.require(actor, View.ORDERS, subject="orders")
        found = list(await self._orders.list_orders_for_staff(wanted, limit=limit + 1, after=after))
        await self._guard.record(actor, View.ORDERS, subject="orders")
        return found[:limit], len(found) > limit

    async def view_order(self, actor: Actor, order_id: str) -> Order:
        """The order with its log laid over it."""
        order = await self._access(actor, View.ORDER, order_id)
        with suppress(ConversationNotFound):  # nothing is paid: the document is all there is
            order = order.with_log((await self._log.read_fresh(order.conversation_id)).state)
        await self._guard.record(actor, View.ORDER, subject=order_id, order_id=order_id)
        return order

    async def view_timeline(self, actor: Actor, order_id: str, *, limit: int, after: Place | None) -> RowPage:
        """All that was done and refused about the order, oldest first."""
        await self._access(actor, View.TIMELINE, order_id)
        wanted = AuditFilter(hospital_id=actor.hospital_id, order_id=order_id)
        page = await self._query.list_rows(wanted, limit=limit, after=after, newest_first=False)
        await self._guard.record(actor, View.TIMELINE, subject=order_id, order_id=order_id)
        return page

    async def view_figures(self, actor: Actor) -> HospitalFigures:
        await self._guard.require(actor, View.FIGURES, subject="figures")
        counts = await self._orders.count_orders(actor.hospital_id)
        money = await self._ledger.totals(actor.hospital_id, self._clock.now())
        await self._guard.record(actor, View.FIGURES, subject="figures")
        return HospitalFigures(counts, money)

    async def _access(self, actor: Actor, view: View, order_id: str) -> Order:
        await self._guard.require(actor, view, subject=order_id, order_id=order_id)
        return await self._guard.require_found(
            actor, view, await self._orders.find_order(actor.hospital_id, order_id), order_id
        )
