"""Time-outs: stored instants, found by index, decided by the same rules and writes as everything else.

Any number of these may run at once and die at any moment: what an order's log or document says decides, the sweep only asks.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from consult.domain.decisions import decide_expiry, decide_settlement
from consult.domain.log import facts_of
from consult.domain.order import ORDERS, DueOrder
from consult.domain.status import CloseReason, LogFacts
from consult.errors import OrderTransitionRefused
from consult.ports import ClockOk, DueOrders, Log, OrderRepository, Outboxes, PlaceRepository
from consult.service.payments import OrderPaymentService
from consult.service.settlement import settled_event
from server.kernel.actor import system_actor
from server.kernel.clock import Clock, to_ms

log = structlog.get_logger(__name__)

_CRASHED_AFTER: Final = timedelta(minutes=1)
"""A payment attempt is over by then, whether its process lives or not: no place is taken for a cancelled order any more."""


@dataclass(slots=True)
class Deadlines:
    """`clock_ok` False: this process's clock is not to be trusted, so it decides nothing."""

    due: DueOrders
    orders: OrderRepository
    places: PlaceRepository
    payments: OrderPaymentService
    log: Log
    relay: Outboxes
    clock: Clock
    clock_ok: ClockOk
    concurrency: int = 100

    async def sweep(self) -> int:
        """Everything that is due now. Returns how many decisions were taken."""
        taken = 0
        for part in (self.expire_due, self.settle_due, self.cancel_unpaid, self.free_places):
            taken += await part()
        return taken

    async def expire_due(self) -> int:
        """Close what is open at its deadline; where nothing can be recalled, settle it too."""
        return await self._each(self.due.expiring(self.clock.now()), self._expire)

    async def settle_due(self) -> int:
        """Say the last word on money where no recall can change it any more."""
        return await self._each(self.due.settling(self.clock.now()), self._settle)

    async def cancel_unpaid(self) -> int:
        """Cancel what nobody paid in time."""
        return await self._each(self.due.unpaid(self.clock.now()), self._cancel)

    async def free_places(self) -> int:
        """Free what an attempt took while its order was being cancelled, and then died."""
        return await self._each(self.due.unfreed(self.clock.now() - _CRASHED_AFTER), self._free)

    async def _expire(self, order: DueOrder) -> bool:
        try:
            facts = facts_of((await self.log.append(order.conversation_id, decide_expiry)).state)
        except OrderTransitionRefused:
            await self._show(order, facts_of((await self.log.read_fresh(order.conversation_id)).state))
            return False
        if facts.settle_due_at_ms is not None and facts.settle_due_at_ms <= to_ms(self.clock.now()):
            await self._settle(order)
        else:
            await self._show(order, facts)
        return True

    async def _settle(self, order: DueOrder) -> bool:
        try:
            facts = facts_of((await self.log.append(order.conversation_id, decide_settlement)).state)
        except OrderTransitionRefused:
            await self._show(order, facts_of((await self.log.read_fresh(order.conversation_id)).state))
            return False
        await self._show(order, facts)
        return True

    async def _cancel(self, order: DueOrder) -> bool:
        found = await self.orders.find(order.id)
        assert found is not None, "orders are not deleted"
        try:
            await self.payments.cancel_unpaid(system_actor(order.hospital_id, name="deadlines"), found, CloseReason.UNPAID)
        except OrderTransitionRefused:
            return False
        return True

    async def _free(self, order: DueOrder) -> bool:
        if order.place_day is not None:
            await self.places.free(order.hospital_id, order.doctor_id, order.place_day, order.id)
        await self.due.place_freed(order.id, order.hospital_id)
        return True

    async def _show(self, order: DueOrder, facts: LogFacts) -> None:
        """Write what the log says into the document, so that the next sweep does not find it again."""
        event = settled_event(order.id, order.hospital_id, facts, self.clock.now())
        if await self.orders.show_log(order.id, order.hospital_id, facts, event) and event is not None:
            self.relay.soon(ORDERS, order.id, order.hospital_id)

    async def _each(self, orders: AsyncIterator[DueOrder], decide: Callable[[DueOrder], Awaitable[bool]]) -> int:
        """Decide for each, so many at once. What fails is logged, and found again by the next sweep."""
        if not self.clock_ok():
            return 0
        taken, running = 0, set[asyncio.Task[bool]]()
        async with aclosing(orders) as found:  # type: ignore[type-var]
            async for order in found:
                if len(running) >= self.concurrency:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    taken += sum(task.result() for task in done)
                running.add(asyncio.create_task(self._quietly(order, decide)))
        return taken + sum(await asyncio.gather(*running))

    async def _quietly(self, order: DueOrder, decide: Callable[[DueOrder], Awaitable[bool]]) -> bool:
        try:
            return await decide(order)
        except Exception as error:  # one order's trouble must not keep the others from their deadline
            log.warning("deadline.failed", order_id=order.id, error=type(error).__name__, exc_info=True)
            return False
