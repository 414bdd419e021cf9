"""Entries that wait together are stored together, and each waiter hears the truth about its own."""

import asyncio

import bson
import pytest

from im.group_commit import MOST_BYTES, MOST_ENTRIES, UNKNOWN, GroupCommit, Outcome, Result, outcomes_of
from server.kernel.mongo import connect
from server.kernel.mongo import database as open_database
from tests.support.faulty_mongo import faults_of, faulty_mongo

STORED, TAKEN = Result.STORED, Result.TAKEN


@pytest.fixture(scope="module")
def faulty_url(tmp_path_factory):
    with faulty_mongo(tmp_path_factory.mktemp("faulty")) as mongo:
        yield mongo.url


@pytest.fixture
async def faults(faulty_url):
    async with faults_of(faulty_url) as faults:
        yield faults


@pytest.fixture
async def collection(faulty_url, request):
    client = connect(faulty_url)
    collection = open_database(client, "group_commit")[request.node.name[:40]]
    await collection.drop()
    yield collection
    await client.close()


@pytest.fixture
async def group(collection):
    made = GroupCommit(collection)
    yield made
    await made.close()


def document(number, size=0):
    return bson.encode({"_id": number, "hospital_id": "default", "body": b"x" * size})


def results(outcomes):
    return [outcome.result for outcome in outcomes]


async def test_one_entry_leaves_alone_and_those_that_wait_leave_together(group, collection):
    first = asyncio.create_task(group.insert(document(0)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(group.insert(document(n))) for n in range(1, 50)]
    assert results(await asyncio.gather(first, *others)) == [STORED] * 50
    assert (group.figures.inserts, group.figures.entries) == (2, 50)
    assert await collection.count_documents({}) == 50


async def test_an_entry_after_the_last_flush_ended_is_not_forgotten(group):
    for n in range(30):
        assert (await group.insert(document(n))).result is STORED


async def test_a_taken_number_is_told_to_its_own_waiter_only(group):
    assert (await group.insert(document(3))).result is STORED
    outcomes = await asyncio.gather(*(group.insert(document(n)) for n in range(6)))
    assert results(outcomes) == [STORED, STORED, STORED, TAKEN, STORED, STORED]
    assert outcomes[3].at.operation_time is not None


async def test_a_batch_is_bounded_by_entries_and_by_bytes(group):
    await asyncio.gather(*(group.insert(document(n)) for n in range(MOST_ENTRIES * 2 + 1)))
    assert group.figures.inserts == 3
    await asyncio.gather(*(group.insert(document(10_000 + n, MOST_BYTES // 4)) for n in range(8)))
    assert group.figures.inserts == 6


@pytest.mark.parametrize("in_flight", [1, 2, 4])
async def test_several_batches_in_flight_lose_nothing(collection, in_flight):
    group = GroupCommit(collection, in_flight=in_flight)
    outcomes = await asyncio.gather(*(group.insert(document(n)) for n in range(2_000)))
    assert set(results(outcomes)) == {STORED}
    assert await collection.count_documents({}) == 2_000
    await group.close()


async def test_a_write_concern_error_makes_all_but_the_taken_unknown(group, faults):
    await group.insert(document(1))
    await faults.next(1, failCommands=["insert"], writeConcernError={"code": 64, "errmsg": "timed out"})
    outcomes = await asyncio.gather(*(group.insert(document(n)) for n in range(3)))
    assert results(outcomes) == [Result.UNKNOWN, TAKEN, Result.UNKNOWN]
    outcomes = await asyncio.gather(*(group.insert(document(n)) for n in range(3)))
    assert results(outcomes) == [TAKEN, TAKEN, TAKEN], "what was unknown had been stored"


@pytest.mark.parametrize(
    "fault",
    [{"closeConnection": True}, {"errorCode": 10107}, {"errorCode": 11602}, {"errorCode": 50}, {"errorCode": 8}],
    ids=["connection closed", "not primary", "stepped down", "timed out", "other"],
)
async def test_a_failed_command_is_unknown_and_is_not_repeated_by_the_driver(group, faults, collection, fault):
    await faults.next(1, failCommands=["insert"], **fault)
    outcomes = await asyncio.gather(*(group.insert(document(n)) for n in range(3)))
    assert outcomes == [UNKNOWN] * 3
    assert await collection.count_documents({}) == 0
    assert results(await asyncio.gather(*(group.insert(document(n)) for n in range(3)))) == [STORED] * 3


async def test_more_than_may_wait_is_unknown_at_once(collection):
    group = GroupCommit(collection, most_waiting=10)
    outcomes = await asyncio.gather(*(group.insert(document(n)) for n in range(12)))
    assert results(outcomes) == [STORED] * 10 + [Result.UNKNOWN] * 2
    await group.close()


async def test_close_stores_what_waits_and_takes_no_more(collection):
    group = GroupCommit(collection)
    waiting = [asyncio.create_task(group.insert(document(n))) for n in range(20)]
    await asyncio.sleep(0)
    await group.close()
    assert set(results(await asyncio.gather(*waiting))) == {STORED}
    assert await group.insert(document(99)) == UNKNOWN
    assert await collection.count_documents({}) == 20


async def test_close_does_not_wait_longer_than_it_was_told(collection, faults):
    group = GroupCommit(collection)
    await faults.next(1, failCommands=["insert"], blockConnection=True, blockTimeMS=2_000)
    waiting = [asyncio.create_task(group.insert(document(n))) for n in range(3)]
    await asyncio.sleep(0)
    while group.figures.waiting:
        await asyncio.sleep(0)
    waiting.append(asyncio.create_task(group.insert(document(9))))
    await asyncio.sleep(0)
    await group.close(0.1)
    assert await asyncio.gather(*waiting) == [UNKNOWN] * 4


async def test_a_flusher_that_is_cancelled_leaves_nobody_waiting_and_the_next_one_works(collection):
    group = GroupCommit(collection)
    before = asyncio.all_tasks()
    waiting = [asyncio.create_task(group.insert(document(n))) for n in range(3)]
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - before - set(waiting):
        task.cancel()
    assert await asyncio.gather(*waiting) == [UNKNOWN] * 3
    assert (await group.insert(document(7))).result is STORED
    await group.close()


async def test_a_waiter_that_fails_takes_nobody_elses_outcome(collection):
    group = GroupCommit(collection)
    heard: list[Outcome] = []

    def fail(outcome):
        raise RuntimeError("waiter")

    group.submit(document(1), fail)
    group.submit(document(2), heard.append)
    await group.close()
    assert results(heard) == [STORED]


def test_a_reply_that_counts_fewer_than_it_explains_is_no_proof():
    assert results(outcomes_of({"n": 1}, 2)) == [Result.UNKNOWN, Result.UNKNOWN]
    errors = [{"index": 0, "code": 11000}, {"index": 1, "code": 91}]
    assert results(outcomes_of({"n": 1, "writeErrors": errors}, 3)) == [TAKEN, Result.UNKNOWN, STORED]
