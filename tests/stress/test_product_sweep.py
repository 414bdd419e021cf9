"""Deadlines in the running product: all that came due while no keeper ran, and those of an ordinary day.

`YZ_TEST_DUE_ORDERS` asks for more orders than the everyday run makes; each is made, paid and opened over the real wire.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from server.kernel.clock import SystemClock
from server.kernel.mongo import Collection, Database, connect, database
from tests.support.devices import Customer, customer
from tests.support.product import Product

pytestmark = [pytest.mark.stress, pytest.mark.slow, pytest.mark.timeout(3_600)]

MANY = int(os.environ.get("YZ_TEST_DUE_ORDERS", "60"))
MOST_SECONDS = 30.0
LATEST = timedelta(seconds=5)
FEW = 6
_AT_ONCE = 8
_CLOSED = {"log.close_reason": "expired"}


@asynccontextmanager
async def _database(product: Product) -> AsyncIterator[Database]:
    embedded = json.loads((product.data_dir / "embedded.json").read_text())
    client = connect(f"mongodb://127.0.0.1:{embedded['mongo']['port']}/?directConnection=true")
    try:
        yield database(client)
    finally:
        await client.close()


@pytest.fixture
async def customers(product: Product, http: aiohttp.ClientSession) -> list[Customer]:
    return [(await customer(http, product.demo, number))[0] for number in range(4)]


async def _pay_for(customers: list[Customer], many: int, name: str) -> list[tuple[Customer, str]]:
    """That many paid orders, made by several people at once."""
    waiting = iter(range(many))
    orders: list[tuple[Customer, str]] = []

    async def buy(who: Customer) -> None:
        for number in waiting:
            order = await who.order(f"{name}-{number}")
            await who.pay(order["id"], f"{name}-{number}")
            orders.append((who, order["id"]))

    await asyncio.gather(*(buy(customers[number % len(customers)]) for number in range(_AT_ONCE)))
    return orders


async def _wait(orders: Collection, query: dict[str, Any], many: int, seconds: float) -> float:
    """Seconds until so many orders are so."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while await orders.count_documents(query) < many:
            await asyncio.sleep(0.05)
    return time.monotonic() - began


async def test_what_came_due_while_no_keeper_ran_is_closed_at_once(product: Product, customers: list[Customer]) -> None:
    """The bound is for 10 000 on two idle cores. The keeper has to follow their logs, too."""
    keeper = product.processes("keeper")[0]
    ours = {"created_at": {"$gte": SystemClock().now()}}
    async with _database(product) as db:
        orders = db["orders"]
        os.kill(keeper.pid, signal.SIGSTOP)
        try:
            made = await _pay_for(customers, MANY, "many")
            await _wait(orders, ours | {"phase": "captured"}, MANY, 120)
            last = await orders.find_one(ours, sort=[("deadline_at", -1)])
            assert last is not None
            await asyncio.sleep(max(0.0, (last["deadline_at"] - SystemClock().now()).total_seconds()))
            assert await orders.count_documents(ours | _CLOSED) == 0
        finally:
            os.kill(keeper.pid, signal.SIGCONT)
        closed = await _wait(orders, ours | _CLOSED, MANY, MOST_SECONDS * 4)
        refunded = closed + await _wait(orders, ours | {"status": "refunded"}, MANY, 60 + MANY / 10)
        print(f"{MANY} due orders: closed after {closed:.2f} s, refunded after {refunded:.2f} s")
        assert closed < MOST_SECONDS
        assert await orders.count_documents(ours | {"log.seq": 3, "log.settled": "refund"}) == len(made) == MANY
        refunds = {"order_id": {"$in": [order_id for _, order_id in made]}}
        assert await db["refunds"].count_documents(refunds | {"status": "refunded"}) == MANY
        assert await db["refunds"].count_documents(refunds) == MANY


async def test_few_deadlines_are_never_late(product: Product, customers: list[Customer]) -> None:
    orders = []
    for number in range(FEW):
        orders += await _pay_for(customers, 1, f"few-{number}")
        await asyncio.sleep(0.3)
    late = []
    for who, order_id in orders:
        done = await who.until(order_id, "refunded")
        assert done["close_reason"] == "expired"
        late.append(datetime.fromisoformat(done["closed_at"]) - datetime.fromisoformat(done["deadline_at"]))
    print(f"late by at most {max(late).total_seconds():.2f} s")
    assert timedelta(0) <= min(late)
    assert max(late) < LATEST


async def test_after_all_of_it_the_books_balance_and_the_chains_hold(product: Product) -> None:
    for command in (("ledger", "verify"), ("audit", "verify")):
        code, output = await product.yunzhen(*command)
        assert code == 0, output
