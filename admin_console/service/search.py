"""What was said, found by its words, for those who audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from admin_console.domain.access import View
from admin_console.domain.orders import OrderFilter
from admin_console.ports import StaffOrders
from admin_console.service.guard import Guard
from consult.domain.order import Order
from consult.domain.status import Phase
from im.search.domain import Found, Place, Scoped
from im.search.service import ListScope, MessageSearch
from server.kernel.actor import Actor
from server.kernel.audit import Audit
from server.kernel.clock import Clock, from_ms, to_ms
from server.kernel.errors import RequestInvalid

_BEHIND: Final = "~"
"""Sorts behind every id that it is put to: a list that begins after such a place begins with the id itself."""


class StaffSearch:
    """Only within an order or what a patient ever asked, and each search and each order whose words it shows is a row."""

    def __init__(self, audit: Audit, clock: Clock, orders: StaffOrders, search: MessageSearch) -> None:
        self._guard = Guard(audit, clock)
        self._orders = orders
        self._search = search

    async def search(
        self, actor: Actor, text: str, *, order_id: str | None, patient_id: str | None, limit: int, cursor: str | None
    ) -> Found:
        """Raises Forbidden, RequestInvalid, OrderNotFound. A patient whom the hospital does not know has said nothing."""
        subject = order_id or patient_id or "messages"
        await self._guard.require(actor, View.MESSAGES, subject=subject, order_id=order_id)
        if (order_id is None) == (patient_id is None):
            raise RequestInvalid(body="takes one of order_id and patient_id")
        listed = await self._one(actor, order_id) if order_id is not None else self._of_patient(actor, patient_id)
        found = await self._search.search_for_staff(text, listed, limit=limit, cursor=cursor)
        await self._guard.record(actor, View.MESSAGES, subject=subject, order_id=order_id)
        for shown in sorted({hit.order_id for hit in found.hits} - {order_id}):
            await self._guard.record(actor, View.MESSAGES, subject=shown, order_id=shown)
        return found

    async def _one(self, actor: Actor, order_id: str) -> ListScope:
        found = await self._orders.find_order(actor.hospital_id, order_id)
        order = await self._guard.require_found(actor, View.MESSAGES, found, order_id)
        return _Fixed(_scoped([order] if order.phase is Phase.CAPTURED else []))

    def _of_patient(self, actor: Actor, patient_id: str | None) -> ListScope:
        wanted = OrderFilter(actor.hospital_id, patient_id=patient_id, paid=True)

        async def listed(limit: int, start: Place | None) -> Sequence[Scoped]:
            after = None if start is None else (from_ms(start[0]), start[1] + _BEHIND)
            return _scoped(await self._orders.list_orders_for_staff(wanted, limit=limit, after=after))

        return listed


@dataclass(frozen=True, slots=True)
class _Fixed:
    """The same conversations at every call."""

    scope: Sequence[Scoped]

    async def __call__(self, limit: int, start: Place | None) -> Sequence[Scoped]:
        return self.scope


def _scoped(orders: Sequence[Order]) -> list[Scoped]:
    return [Scoped(order.conversation_id, order.hospital_id, (to_ms(order.created_at), order.id)) for order in orders]
