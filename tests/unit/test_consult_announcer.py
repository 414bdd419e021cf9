"""Who is told of an order, how often, and at what price."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

from consult.domain.status import LogFacts
from consult.ports import Live, OrderRepository, Outboxes
from consult.service.announcer import OrderAnnouncer
from server.kernel.clock import Clock
from tests.unit.test_consult_rules import PAID, D, Log


async def test_an_order_that_cannot_be_told_does_not_silence_the_next_sweep() -> None:
    orders = create_autospec(OrderRepository, instance=True)
    asked: list[list[str]] = []

    async def find_all(order_ids: Any) -> list[Any]:
        asked.append(list(order_ids))
        return [SimpleNamespace(id="a", facts=None)]  # nothing that can be told

    orders.find_all = find_all
    announcer = OrderAnnouncer(
        orders, create_autospec(Live), create_autospec(Outboxes), create_autospec(Clock), pause_seconds=0.01
    )
    for order_id in ("a", "b"):
        announcer._tell_together(SimpleNamespace(order_id=order_id))  # type: ignore[arg-type]
        await asyncio.wait(set(announcer._tasks), timeout=5)
    await announcer.close()
    assert asked == [["a"], ["b"]]


async def test_a_doctor_who_replies_again_and_again_costs_one_order_told_by_itself() -> None:
    log = Log()
    shown: list[int] = []
    told: list[int] = []
    at_once, together = asyncio.Event(), asyncio.Event()

    async def show_log(order_id: str, hospital_id: str, facts: LogFacts, settled: Any) -> None:
        shown.append(facts.counted_replies)
        at_once.set()

    async def find_all(order_ids: Sequence[str]) -> list[Any]:
        together.set()
        return [SimpleNamespace(id=order_id, facts=None, with_facts=lambda facts: facts) for order_id in order_ids]

    orders = create_autospec(OrderRepository, instance=True)
    orders.show_log, orders.find_all = show_log, find_all
    orders.find.return_value = None
    announcer = OrderAnnouncer(
        orders, create_autospec(Live), create_autospec(Outboxes), create_autospec(Clock), pause_seconds=0.01
    )
    announcer.announce = lambda facts: told.append(facts.counted_replies)  # type: ignore[method-assign, assignment]
    log.gift(10, PAID)
    for minute in range(1, 9):
        log.say(D, PAID + minute)
        announcer.entry_appended(log.entries[-1], log.state)
        async with asyncio.timeout(5):
            if minute == 1:
                await at_once.wait()
            elif minute == 4:  # the pause after the first ends, and finds numbers only
                await together.wait()
    await announcer.close()
    assert (shown, told[-1], len(told) < 4) == ([1], 8, True)
