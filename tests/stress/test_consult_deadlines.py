"""Many deadlines at once."""

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

MANY = 10_000
MOST_SECONDS = 30


async def test_ten_thousand_due_orders_are_closed_and_settled_in_half_a_minute(database, clock) -> None:
    """None of them was ever read by this process, and none has even its opening yet: the worst case, after a long outage."""
    async with open_world(database, clock) as world:
        keys = await Keyring(MasterKey(bytes(32)), database).hospital("default")
        one = (await world.order()).order
        paid_at, deadline_at = clock.now(), clock.now() + timedelta(hours=48)
        documents = []
        for n in range(MANY):
            order = replace(one, id=new_id(), conversation_id=new_id(), number=str(n), phase=Phase.CAPTURED, version=2)
            documents.append(
                order_document(order, keys)
                | {
                    "paid_at": paid_at,
                    "deadline_at": deadline_at,
                    "expire_at": deadline_at,
                    "unpaid_at": None,
                    "captured_payment_id": new_id(),
                    "policy": policy_document(world.settings.policy),
                }
            )
        await database["orders"].insert_many(documents)
        await world.consult.consults.cancel_order((await _patient_of(world, one.patient_account)), one.id, new_id())
        clock.advance(timedelta(hours=48))
        began = time.monotonic()
        assert await world.consult.deadlines.expire_due() == MANY
        seconds = time.monotonic() - began
        assert await database["orders"].count_documents({"log.settled": "refund", "log.close_reason": "expired"}) == MANY
        assert await world.consult.deadlines.sweep() == 0
        assert seconds < MOST_SECONDS


async def _patient_of(world, account_id: str):
    return replace(world.patient(), account_id=account_id)
