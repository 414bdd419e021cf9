"""Telling of what a sweep decided."""

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

from consult.ports import Live, OrderRepository, Outboxes
from consult.service.announcer import OrderAnnouncer
from server.kernel.clock import Clock


async def test_an_order_that_cannot_be_told_does_not_silence_the_next_sweep(monkeypatch: Any) -> None:
    monkeypatch.setattr("consult.service.announcer.facts_of", lambda state: SimpleNamespace(seq=2))
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
