"""A consult as a file that other systems read."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from admin_console.domain.access import View
from admin_console.domain.fhir import Attached, ConsultFile, bundle, shown_media
from admin_console.ports import ContentReader, LogReader, MoneyReader, OrderGate, OrderLookup
from admin_console.service.guard import Guard
from consult.domain.order import Order
from consult.errors import OrderNotFound
from im.domain import Entry
from im.errors import ConversationNotFound
from server.kernel.actor import Actor, Role
from server.kernel.audit import Audit, audit_row
from server.kernel.clock import Clock

EXPORTED: Final = "consult.order_exported"
MAX_INLINE_BYTES: Final = 32 * 1024 * 1024
"""Of all pictures and recordings together; what does not fit stays a reference."""


class ConsultExport:
    """For the patient of the order, for the staff that may see it, and for the product's operator. Each export is a row."""

    def __init__(
        self,
        audit: Audit,
        clock: Clock,
        orders: OrderLookup,
        gate: OrderGate,
        log: LogReader,
        money: MoneyReader,
        media: ContentReader,
    ) -> None:
        self._guard = Guard(audit, clock)
        self._audit = audit
        self._clock = clock
        self._orders = orders
        self._gate = gate
        self._log = log
        self._money = money
        self._media = media

    async def for_staff(self, actor: Actor, order_id: str, *, inline: bool) -> dict[str, Any]:
        """The bundle. Raises Forbidden, OrderNotFound."""
        await self._guard.require(actor, View.EXPORT, subject=order_id, order_id=order_id)
        found = await self._orders.find_order(actor.hospital_id, order_id)
        order = await self._guard.require_found(actor, View.EXPORT, found, order_id)
        return await self._export(actor, order, View.EXPORT.value, inline=inline)

    async def for_patient(self, actor: Actor, order_id: str, *, inline: bool) -> dict[str, Any]:
        """The bundle of an own order. Raises OrderNotFound."""
        order = await self._gate.access_order_as_patient(actor, order_id, EXPORTED)
        return await self._export(actor, order, EXPORTED, inline=inline)

    async def conceal(self, actor: Actor, order_id: str) -> None:
        """Raises OrderNotFound unless the actor may see the order, whatever else of it."""
        await self._gate.require_visible(actor, order_id)

    async def for_operator(self, actor: Actor, hospital_id: str, order_id: str, *, inline: bool) -> dict[str, Any]:
        """The bundle, for whoever runs the product. Raises OrderNotFound."""
        order = await self._orders.find_order(hospital_id, order_id) if actor.role is Role.SYSTEM else None
        if order is None:
            raise OrderNotFound
        return await self._export(actor, order, View.EXPORT.value, inline=inline)

    async def _export(self, actor: Actor, order: Order, action: str, *, inline: bool) -> dict[str, Any]:
        entries = await self._entries(order)
        if entries:
            order = order.with_log((await self._log.read_fresh(order.conversation_id)).state)
        payments = await self._money.list_of_order(order.id, order.hospital_id)
        refunds = await self._money.list_refunds_of_order(order.id, order.hospital_id)
        media = await self._contents(order, entries) if inline else {}
        now = self._clock.now()
        row = audit_row(actor, action, subject=order.id, at=now, order_id=order.id, hospital_id=order.hospital_id)
        await self._audit.record(row)
        file = ConsultFile(order, entries, payments, refunds, media)
        return await asyncio.to_thread(bundle, file, now=now, exporter=actor.account_id)

    async def _entries(self, order: Order) -> Sequence[Entry]:
        """All of the log. A message that is recalled while this reads is recalled by an entry that this reads, too."""
        found: list[Entry] = []
        try:
            while True:
                page = await self._log.read_entries(order.conversation_id, after_seq=len(found))
                found += page.entries
                if not page.more:
                    return found
        except ConversationNotFound:  # nothing is paid
            return found

    async def _contents(self, order: Order, entries: Sequence[Entry]) -> dict[str, Attached]:
        found: dict[str, Attached] = {}
        room = MAX_INLINE_BYTES
        for owner_kind, media_id in shown_media(order, entries):
            owner_id = order.id if owner_kind == "order" else order.conversation_id
            content = await self._media.read_attached(order.hospital_id, owner_kind, owner_id, media_id, most_bytes=room)
            if content is not None:
                mime, data = content
                found[media_id] = Attached(mime, data)
                room -= len(data)
        return found
