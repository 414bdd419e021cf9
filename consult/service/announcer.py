"""Tells the patient and the doctor how their order stands now, and keeps lists fresh, off the way to the ack.

A change of status that people make is told at once, and then at most once a second for each conversation. What comes in
numbers, a sweep's decisions and replies that only count, is told in one go for many: at once for the first, then at most once a
second for all that came meanwhile; the orders themselves are written by the sweep and by the follower. What changes nothing of
the order (the patient's messages) costs nothing here.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import structlog

from consult.domain.log import DOCTOR, ConsultState, facts_of
from consult.domain.order import ORDERS, Order
from consult.domain.status import LogFacts
from consult.ports import Live, OrderRepository, Outboxes
from consult.service.settlement import settled_event
from consult.wire import order_out, to_payload
from im.domain import Entry, EntryKind
from server.kernel.clock import Clock

log = structlog.get_logger(__name__)

ORDER_CHANGED: Final = "order.changed"
_AT_ONCE: Final = 10
_TOGETHER_AT_ONCE: Final = 200


class _Turn:
    """One conversation's announcing: what is still to be told, whether that is a change of status, and the bell that ends the
    pause early. The state moves on with the log: what is told is what it says then."""

    __slots__ = ("bell", "state", "urgent")

    def __init__(self) -> None:
        self.state: ConsultState | None = None
        self.urgent = False
        self.bell = asyncio.Event()

    def take(self) -> ConsultState | None:
        """What is to be told, which is then on its way."""
        state, self.state, self.urgent = self.state, None, False
        self.bell.clear()
        return state


class OrderAnnouncer:
    """An `im.ports.EntryListener`; one in each process that appends."""

    def __init__(
        self, orders: OrderRepository, live: Live, relay: Outboxes, clock: Clock, *, pause_seconds: float = 1.0
    ) -> None:
        self._orders = orders
        self._live = live
        self._relay = relay
        self._clock = clock
        self._pause = pause_seconds
        self._turns: dict[str, _Turn] = {}
        self._together: dict[str, ConsultState] = {}
        self._telling = False
        self._hurry = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._closing = False

    def entry_appended(self, entry: Entry, state: Any) -> None:
        draft = entry.draft
        if draft.kind is EntryKind.MESSAGE and draft.role != DOCTOR:
            return
        if draft.kind is EntryKind.RECALL and state.sender_of(draft.recalls) != state.doctor:
            return
        swept = draft.sender is None and draft.kind is not EntryKind.OPENED
        counts_only = draft.kind is EntryKind.MESSAGE and draft.closes is None and len(state.counted) > 1
        turn = self._turns.get(state.order_id)
        urgent = not (swept or counts_only)
        if turn is None and not urgent:
            self._tell_together(state)
            return
        self._together.pop(state.order_id, None)
        if turn is None:
            turn = self._turns[state.order_id] = _Turn()
            self._spawn(self._take_turns(state.order_id, state.hospital_id, turn))
        turn.state = state
        if urgent:
            turn.urgent = True
            turn.bell.set()

    def announce(self, order: Order) -> None:
        """Tell both how the order stands; before the payment, only the patient."""
        accounts = (order.patient_account,) if order.paid_at is None else order.members
        self._live.send(accounts, ORDER_CHANGED, to_payload(order_out(order)))

    async def close(self) -> None:
        """Tell what waits, at once."""
        self._closing = True
        self._hurry.set()
        while self._tasks:
            for turn in self._turns.values():
                turn.bell.set()
            await asyncio.wait(self._tasks)

    def _tell_together(self, state: ConsultState) -> None:
        if not self._telling:
            self._telling = True
            self._spawn(self._keep_telling())
        self._together[state.order_id] = state

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="order-announce")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_turns(self, order_id: str, hospital_id: str, turn: _Turn) -> None:
        try:
            while (state := turn.take()) is not None:
                await self._tell(order_id, hospital_id, facts_of(state))
                await self._wait(turn)
                if turn.state is not None and not turn.urgent:  # the pause brought numbers only: one of many again
                    self._tell_together(turn.state)
                    break
        finally:
            del self._turns[order_id]

    async def _keep_telling(self) -> None:
        """Until nothing came for a pause."""
        try:
            while self._together:
                names = list(self._together)
                for at in range(0, len(names), _TOGETHER_AT_ONCE):
                    await self._tell_all(names[at : at + _TOGETHER_AT_ONCE])
                if not self._closing:
                    timer = asyncio.get_running_loop().call_later(self._pause, self._hurry.set)
                    await self._hurry.wait()
                    timer.cancel()
                    if not self._closing:
                        self._hurry.clear()
        finally:
            self._telling = False

    async def _tell_all(self, order_ids: Sequence[str]) -> None:
        """Whatever fails concerns these hints only: whoever tells goes on, or nothing would be told together any more."""
        try:
            orders = await self._orders.find_all(order_ids)
            waiting = {order_id: state for order_id in order_ids if (state := self._together.pop(order_id, None)) is not None}
            for order in orders:
                state = waiting.get(order.id)
                if state is None:  # somebody changed its status meanwhile, and that is told by itself
                    continue
                facts = facts_of(state)
                shown = order.facts is not None and order.facts.seq >= facts.seq
                self.announce(order if shown else order.with_facts(facts))
        except Exception as error:  # the client that missed an event asks
            for order_id in order_ids:
                self._together.pop(order_id, None)
            log.warning("order.announce_failed", orders=len(order_ids), error=type(error).__name__, exc_info=True)

    async def _wait(self, turn: _Turn) -> None:
        """For the pause, the bell or the end, whichever comes first."""
        if not self._closing:
            timer = asyncio.get_running_loop().call_later(self._pause, turn.bell.set)
            await turn.bell.wait()
            timer.cancel()

    async def _tell(self, order_id: str, hospital_id: str, facts: LogFacts) -> None:
        """A failure is logged: the follower writes the projection too, and a client that missed an event asks."""
        try:
            async with self._room:
                event = settled_event(order_id, hospital_id, facts, self._clock.now())
                order = await self._orders.show_log(order_id, hospital_id, facts, event)
                if order is not None and event is not None:
                    self._relay.soon(ORDERS, order_id, hospital_id)
                elif order is None:  # shown already
                    order = await self._orders.find(order_id)
            if order is not None:
                self.announce(order)
        except Exception as error:  # whatever it is, it concerns this hint only
            log.warning("order.announce_failed", order_id=order_id, error=type(error).__name__, exc_info=True)
