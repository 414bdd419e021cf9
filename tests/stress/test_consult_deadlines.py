"""Many deadlines at once."""

import asyncio
import os
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from consult.domain.status import Phase
from consult.mongo.codec import order_document, policy_document
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.ids import new_id
from tests.support.consult import open_world

pytestmark = [pytest.mark.stress, pytest.mark.slow]

MANY = int(os.environ.get("YZ_TEST_DUE_ORDERS", "1000"))
MOST_SECONDS = 30
DONE = {"log.settled": "refund", "log.close_reason": "expired", "expire_at": None, "settle_at": None, "log.seq": 3}


async def test_due_orders_are_closed_and_settled_in_half_a_minute_by_a_keeper_that_never_read_them(database, clock) -> None:
    """The bound is the product's for 10 000 (YZ_TEST_DUE_ORDERS) on two idle cores; fewer are the everyday run."""
    async with open_world(database, clock) as world:
        await _paid_orders(world, database, clock, MANY)
    clock.advance(timedelta(hours=48))
    async with open_world(database, clock, beside=world) as keeper:
        began = time.monotonic()
        taken = await keeper.consult.deadlines.expire_due()
        seconds = time.monotonic() - began
        print(f"{MANY} due orders: {seconds:.2f} s")
        assert taken == await database["orders"].count_documents(DONE) == MANY
        assert seconds < MOST_SECONDS


async def test_three_keepers_at_once_decide_each_deadline_once(database, clock) -> None:
    async with open_world(database, clock) as world:
        await _paid_orders(world, database, clock, 60)
    clock.advance(timedelta(hours=48))
    async with (
        open_world(database, clock, beside=world) as first,
        open_world(database, clock, beside=world) as second,
        open_world(database, clock, beside=world) as third,
    ):
        taken = await asyncio.gather(*(each.consult.deadlines.expire_due() for each in (first, second, third)))
        assert sum(taken) == await database["orders"].count_documents(DONE) == 60
        assert await first.consult.deadlines.sweep() == 0
        await first.deliver()
        assert len(first.payments.refunds) == 60


async def _paid_orders(world, database, clock, many: int) -> None:
    """Orders as a capture leaves them, opened, without the detour through payments."""
    keys = await Keyring(MasterKey(bytes(32)), database).hospital("default")
    patient, doctor = world.patient(), world.doctors.add()
    one = await world.consult.orders.create_order(patient, new_id(), world.request(patient, doctor))
    deadline_at = clock.now() + timedelta(hours=48)
    documents = []
    for n in range(many):
        order = replace(one, id=new_id(), conversation_id=new_id(), number=str(n), phase=Phase.CAPTURED, version=2)
        captured = {
            "paid_at": clock.now(),
            "deadline_at": deadline_at,
            "expire_at": deadline_at,
            "unpaid_at": None,
            "captured_payment_id": new_id(),
            "policy": policy_document(world.settings.policy),
        }
        documents.append(order_document(order, keys) | captured)
    await database["orders"].insert_many(documents)
    await world.consult.consults.cancel_order(patient, one.id, new_id())
    opening = asyncio.Semaphore(50)

    async def open_one(conversation_id: str) -> None:
        async with opening:
            await world.log.read_fresh(conversation_id)

    await asyncio.gather(*(open_one(document["conversation_id"]) for document in documents))
