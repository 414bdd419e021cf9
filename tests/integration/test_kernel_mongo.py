"""The client, where operations are cancelled while there is no database."""

import asyncio
import random

import pytest
from pymongo.errors import ServerSelectionTimeoutError

from server.kernel.mongo import connect, database

_OPERATIONS = 30
_CANCELLATIONS = 1_500


async def test_cancelled_operations_leave_a_client_that_still_works() -> None:
    """They must give back the driver's lock; an operation after them then fails as it should and does not hang."""
    chance = random.Random(1)
    client = connect("mongodb://127.0.0.1:1/?replicaSet=rs0")
    things = database(client, "nowhere")["things"]

    def begin() -> asyncio.Task[object]:
        return asyncio.create_task(things.find_one({"hospital_id": "a"}))

    tasks = [begin() for _ in range(_OPERATIONS)]
    ended: list[asyncio.Task[object]] = []
    await asyncio.sleep(0.1)
    for _ in range(_CANCELLATIONS):
        chance.choice(tasks).cancel()
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.004)
        ended += [task for task in tasks if task.done()]
        tasks = [begin() if task.done() else task for task in tasks]
    for task in tasks:
        task.cancel()
    _, stuck = await asyncio.wait([*ended, *tasks], timeout=20)
    assert stuck == set()
    outcomes = await asyncio.gather(*ended, *tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {asyncio.CancelledError, ServerSelectionTimeoutError}
    async with asyncio.timeout(10):
        with pytest.raises(ServerSelectionTimeoutError):
            await things.find_one({"hospital_id": "a"})
    await client.close()
