"""Time-outs: stored instants, found by index, decided by the same rules and writes as everything else.

Any number of these may run at once and die at any moment: what an order's log or document says decides, the sweep only asks.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from consult.domain.decisions import decide_expiry, decide_settlement
from consult.domain.log import facts_of
from consult.domain.order import ORDERS, DueOrder
from consult.domain.quick import decide_lapse
from consult.domain.status import CloseReason, LogFacts
from consult.errors import OrderTransitionRefused
from consult.ports import ClockOk, Decide, DueOrders, Log, OrderRepository, Outboxes, PlaceRepository, ReadMarks
from consult.service.payments import OrderPaymentService
from consult.service.places import CRASHED_AFTER, HeldPlaces
from consult.service.settlement import settled_event
from server.kernel.actor import system_actor
from server.kernel.clock import Clock, to_ms
from server.kernel.outbox import Event

log = structlog.get_logger(__name__)

_CHUNK: Final = 200


@dataclass(frozen=True, slots=True)
class _Decision:
    """Whether something was decided now, and what the order's log says then, where it was asked."""

    taken: bool
    facts: LogFacts | None = None


_Decider = Callable[[DueOrder], Awaitable[_Decision]]


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
    held: HeldPlaces
    reads: ReadMarks
    concurrency: int = 50

    async def sweep(self) -> int:
        """Everything that is due now. Returns how many decisions were taken."""
        taken = 0
        for part in (self.expire_due, self.settle_due, self.cancel_unpaid, self.return_silent, self.free_places):
            taken += await part()
        return taken

    async def expire_due(self) -> int:
        """Close what is open at its deadline; where nothing can be recalled, settle it too."""
        return await self._each(self.due.expiring(self.clock.now()), self._expire, asks_log=True)

    async def settle_due(self) -> int:
        """Say the last word on money where no recall can change it any more."""
        return await self._each(self.due.settling(self.clock.now()), self._settle, asks_log=True)

    async def cancel_unpaid(self) -> int:
        """Cancel what nobody paid in time."""
        return await self._each(self.due.unpaid(self.clock.now()), self._cancel, asks_log=False)

    async def return_silent(self) -> int:
        """Put quick consults back into their pool whose doctor neither said nor read anything."""
        return await self._each(self.due.lapsing(self.clock.now()), self._lapse, asks_log=True)

    async def free_places(self) -> int:
        """Free what an attempt took while its order was being cancelled, and then died; settle what an entry that never came
        had claimed."""
        freed = await self._each(self.due.unfreed(self.clock.now() - CRASHED_AFTER), self._free, asks_log=False)
        return freed + (await self.held.settle_claims() if self.clock_ok() else 0)

    async def _expire(self, order: DueOrder) -> _Decision:
        closed = await self._append(order, decide_expiry)
        due = closed.facts.settle_due_at_ms if closed.facts is not None else None
        if not closed.taken or due is None or due > to_ms(self.clock.now()):
            return closed
        settled = await self._append(order, decide_settlement)
        return _Decision(taken=True, facts=settled.facts)

    async def _settle(self, order: DueOrder) -> _Decision:
        return await self._append(order, decide_settlement)

    async def _lapse(self, order: DueOrder) -> _Decision:
        """A doctor who reads at this very moment may lose it all the same; they said nothing, so nothing is lost."""
        now, state = self.clock.now(), (await self.log.read_fresh(order.conversation_id)).state
        read_seq = await self.reads.read_seq(order.conversation_id, state.doctor)
        decided = await self._append(order, partial(decide_lapse, read_seq=read_seq))
        await self.due.lapse_decided(order, now)
        return decided

    async def _append(self, order: DueOrder, decide: Decide) -> _Decision:
        """Refused: the document lags behind the log; what the log says now is written over it."""
        try:
            return _Decision(taken=True, facts=facts_of((await self.log.append(order.conversation_id, decide)).state))
        except OrderTransitionRefused:
            return _Decision(taken=False, facts=facts_of((await self.log.read_fresh(order.conversation_id)).state))

    async def _cancel(self, order: DueOrder) -> _Decision:
        found = await self.orders.find(order.id)
        assert found is not None, "orders are not deleted"
        system = system_actor(order.hospital_id, name="deadlines")
        try:
            await self.payments.cancel_unpaid(system, found, CloseReason.UNPAID)
        except OrderTransitionRefused:
            return _Decision(taken=False)
        return _Decision(taken=True)

    async def _free(self, order: DueOrder) -> _Decision:
        if order.place_day is not None:
            await self.places.free(order.hospital_id, order.doctor_id, order.place_day, order.id)
        await self.due.place_freed(order.id, order.hospital_id)
        return _Decision(taken=True)

    async def _each(self, orders: AsyncIterator[DueOrder], decide: _Decider, *, asks_log: bool) -> int:
        """Decide for each, so many at once. What fails is logged, and found again by the next sweep.

        Money follows when all are decided: after a long outage the deadlines come first.
        """
        if not self.clock_ok():
            return 0
        taken, settled = 0, list[DueOrder]()
        async for chunk in _chunks(orders, _CHUNK):
            if asks_log:
                await self.log.preload([order.conversation_id for order in chunk])
            decisions = await self._decide_all(chunk, decide)
            taken += sum(decision.taken for decision in decisions)
            settled += await self._show(list(zip(chunk, decisions, strict=True)))
        for order in settled:
            self.relay.soon(ORDERS, order.id, order.hospital_id)
        return taken

    async def _decide_all(self, orders: list[DueOrder], decide: _Decider) -> list[_Decision]:
        room = asyncio.Semaphore(self.concurrency)

        async def quietly(order: DueOrder) -> _Decision:
            async with room:
                try:
                    return await decide(order)
                except Exception as error:  # one order's trouble must not keep the others from their deadline
                    log.warning("deadline.failed", order_id=order.id, error=type(error).__name__, exc_info=True)
                    return _Decision(taken=False)

        return await asyncio.gather(*(quietly(order) for order in orders))

    async def _show(self, decided: list[tuple[DueOrder, _Decision]]) -> list[DueOrder]:
        """Write what the logs say into the documents, so that the next sweep does not find them again. Returns the settled."""
        now, settled = self.clock.now(), list[DueOrder]()
        shown: list[tuple[DueOrder, LogFacts, Event | None]] = []
        for order, decision in decided:
            if decision.facts is not None:
                event = settled_event(order.id, order.hospital_id, decision.facts, now)
                shown.append((order, decision.facts, event))
                settled += [order] if event is not None else []
        if shown:
            await self.orders.show_logs(shown)
        return settled


async def _chunks(orders: AsyncIterator[DueOrder], size: int) -> AsyncIterator[list[DueOrder]]:
    chunk: list[DueOrder] = []
    async for order in orders:
        chunk.append(order)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
