"""Following the log: every entry, in order, to every consumer, whatever fails in between."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from im.follower import Follower
from im.mongo import FOLLOWERS, LOG
from server.kernel.crypto import KEYS, Keyring
from server.kernel.ids import new_id
from tests.support.im_log import DOCTOR, MASTER, PATIENT, Openings, actor, make_log, say


class Projection:
    """Takes entry n + 1 only, as every consumer must, and can be told to fail."""

    def __init__(self, name="projection"):
        self.name = name
        self.seqs = {}
        self.calls = []
        self.failing = set()
        self.changed = asyncio.Event()

    async def find_log_seqs(self, conversation_ids):
        return {each: self.seqs[each] for each in conversation_ids if each in self.seqs}

    async def consume(self, runs):
        if not self.failing.isdisjoint(runs):
            raise RuntimeError("consumer")
        for conversation_id, entries in runs.items():
            self.take(conversation_id, entries)

    def take(self, conversation_id, entries):
        numbers = [entry.seq for entry in entries]
        assert numbers == list(range(self.seqs.get(conversation_id, 0) + 1, numbers[-1] + 1))
        self.calls.append((conversation_id, numbers))
        self.seqs[conversation_id] = numbers[-1]
        self.changed.set()

    async def reaches(self, **seqs):
        async with asyncio.timeout(20):
            while any(self.seqs.get(conversation_id, 0) < seq for conversation_id, seq in seqs.items()):
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def following(database, *consumers):
    follower = Follower(database, Keyring(MASTER, database), linger_seconds=0)
    task = asyncio.create_task(follower.run(consumers))
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def conversations():
    return [new_id() for _ in range(3)]


@pytest.fixture
async def log(database, conversations, clock):
    made = make_log(database, Openings(*conversations, quota=10_000), clock)
    yield made
    await made.close()


async def send(log, *conversation_ids):
    for conversation_id in conversation_ids:
        await log.send(actor(PATIENT), conversation_id, say(PATIENT, "你好"))


async def test_entries_reach_every_consumer_in_order(database, log, conversations):
    one, two = Projection("one"), Projection("two")
    async with following(database, one, two):
        for _ in range(5):
            await send(log, *conversations)
        for each in (one, two):
            await each.reaches(**dict.fromkeys(conversations, 6))
    assert one.seqs == two.seqs == dict.fromkeys(conversations, 6)


async def test_what_was_written_before_the_first_start_is_found_by_comparing(database, log, conversations):
    await send(log, *conversations)
    projection = Projection()
    async with following(database, projection) as follower:
        await projection.reaches(**dict.fromkeys(conversations, 2))
        assert follower.figures.scans == 1
    assert sorted(projection.calls) == sorted((conversation_id, [1, 2]) for conversation_id in conversations)


async def test_a_follower_goes_on_where_the_last_one_stopped(database, log, conversations):
    first = conversations[0]
    projection = Projection()
    async with following(database, projection):
        await send(log, first)
        await projection.reaches(**{first: 2})
        await stored_place(database)
    await send(log, first, first)
    async with following(database, projection) as follower:
        await projection.reaches(**{first: 4})
        assert follower.figures.scans == 0


async def stored_place(database):
    async with asyncio.timeout(10):
        while await database[FOLLOWERS].find_one({"token": {"$ne": None}}) is None:
            await asyncio.sleep(0)


class Stuck(Projection):
    """Is asked, and never gets any further."""

    async def find_log_seqs(self, conversation_ids):
        self.changed.set()
        await asyncio.Event().wait()


async def test_a_follower_that_dies_with_what_it_found_at_its_start_in_hand_loses_nothing(database, log, conversations):
    """The stream's first answer holds entries already: they are not behind it before they were handed on."""
    first = Projection()
    async with following(database, first):
        await send(log, *conversations)
        await first.reaches(**dict.fromkeys(conversations, 1))
    await send(log, *conversations)
    stuck = Stuck()
    async with following(database, stuck):
        async with asyncio.timeout(20):
            await stuck.changed.wait()
    await database["others"].insert_one({"hospital_id": "default"})  # whatever was written before it, lasts now
    last = Projection()
    last.seqs = dict(first.seqs)
    async with following(database, last):
        await last.reaches(**dict.fromkeys(conversations, 2))


async def test_an_entry_that_comes_again_is_dropped_and_a_gap_is_filled(database, log, conversations):
    first = conversations[0]
    projection = Projection()
    async with following(database, projection):
        await send(log, first)
        await projection.reaches(**{first: 2})
        projection.seqs[first] = 1_000
        await send(log, first)
        projection.seqs[first] = 1
        await send(log, first)
        await projection.reaches(**{first: 4})
    assert projection.calls[-1][1][-1] == 4


async def test_a_new_consumer_gets_everything_and_the_old_one_nothing_twice(database, log, conversations):
    old = Projection("old")
    await send(log, *conversations)
    async with following(database, old):
        await old.reaches(**dict.fromkeys(conversations, 2))
        await stored_place(database)
    calls = len(old.calls)
    new = Projection("new")
    async with following(database, old, new):
        await new.reaches(**dict.fromkeys(conversations, 2))
    assert len(old.calls) == calls


@pytest.mark.parametrize("damage", [{"token": {"_data": "82"}}, {"token": {"_data": "zz"}}, {"token": None}])
async def test_a_lost_place_is_answered_by_comparing(database, log, conversations, damage):
    projection = Projection()
    async with following(database, projection):
        await send(log, conversations[0])
        await projection.reaches(**{conversations[0]: 2})
        await stored_place(database)
    await send(log, *conversations)
    await database[FOLLOWERS].update_many({}, {"$set": damage})
    async with following(database, projection):
        await projection.reaches(**{conversations[0]: 3, conversations[1]: 2, conversations[2]: 2})
        await send(log, conversations[2])
        await projection.reaches(**{conversations[2]: 3})


async def test_after_a_restore_the_projection_that_is_behind_is_brought_up(database, log, conversations):
    projection = Projection()
    async with following(database, projection):
        await send(log, *conversations)
        await projection.reaches(**dict.fromkeys(conversations, 2))
        await stored_place(database)
    projection.seqs[conversations[1]] = 1
    await Follower(database, Keyring(MASTER, database)).forget()
    async with following(database, projection):
        await projection.reaches(**dict.fromkeys(conversations, 2))
    assert projection.calls[-1] == (conversations[1], [2])


async def test_a_consumer_that_fails_holds_up_nobody_and_gets_what_it_is_owed(database, log, conversations):
    bad, good = Projection("bad"), Projection("good")
    bad.failing.add(conversations[0])
    async with following(database, bad, good) as follower:
        await send(log, *conversations, *conversations)
        await good.reaches(**dict.fromkeys(conversations, 3))
        await bad.reaches(**{conversations[1]: 3, conversations[2]: 3})
        assert conversations[0] not in bad.seqs
        bad.failing.clear()
        await bad.reaches(**{conversations[0]: 3})
        async with asyncio.timeout(10):
            while follower.figures.owed:
                await asyncio.sleep(0.01)


async def test_what_is_owed_outlives_the_follower(database, log, conversations):
    bad = Projection("bad")
    bad.failing.add(conversations[0])
    async with following(database, bad):
        await send(log, *conversations)
        await bad.reaches(**{conversations[2]: 2})
        async with asyncio.timeout(10):
            while await database[FOLLOWERS].find_one({"owed": ["bad", conversations[0]]}) is None:
                await asyncio.sleep(0.01)
    bad.failing.clear()
    async with following(database, bad) as follower:
        await bad.reaches(**{conversations[0]: 2})
        assert follower.figures.scans == 0


class Unreachable(Projection):
    async def find_log_seqs(self, conversation_ids):
        raise ConnectionError


async def test_a_consumer_that_cannot_even_be_asked_holds_up_nobody(database, log, conversations):
    good = Projection("good")
    async with following(database, Unreachable("bad"), good):
        await send(log, *conversations)
        await good.reaches(**dict.fromkeys(conversations, 2))


async def test_an_erased_conversation_is_passed_over(database, log, conversations):
    await send(log, *conversations)
    await database[KEYS].delete_one({"_id": f"conversation:{conversations[1]}"})
    projection = Projection()
    async with following(database, projection):
        await projection.reaches(**{conversations[0]: 2, conversations[2]: 2})
    assert conversations[1] not in projection.seqs


async def test_an_entry_that_does_not_open_is_owed_and_the_others_go_on(database, log, conversations):
    await send(log, *conversations)
    await database[LOG].update_one(
        {"_id": bytes.fromhex(conversations[1]) + (2).to_bytes(8, "big")}, {"$set": {"body": b"\1" + b"x" * 40}}
    )
    projection = Projection()
    async with following(database, projection) as follower:
        await projection.reaches(**{conversations[0]: 2, conversations[2]: 2})
        async with asyncio.timeout(20):
            while follower.figures.owed != 1:
                await asyncio.sleep(0)


async def test_what_waits_is_handed_over_in_one_run(database, log, conversations):
    first = conversations[0]
    projection = Projection()
    async with following(database, projection):
        await asyncio.gather(
            *(log.send(actor(account), first, say(account, "你好")) for account in (PATIENT, DOCTOR) for _ in range(100))
        )
        await projection.reaches(**{first: 201})
    assert sum(len(numbers) for _, numbers in projection.calls) == 201


async def test_a_dropped_log_and_a_new_one_are_followed(database, log, conversations, clock):
    projection = Projection()
    async with following(database, projection):
        await send(log, conversations[0])
        await projection.reaches(**{conversations[0]: 2})
        await database.drop_collection(LOG)
        fresh = new_id()
        other = make_log(database, Openings(fresh), clock)
        await send(other, fresh)
        await projection.reaches(**{fresh: 2})
        await other.close()


async def test_two_followers_at_once_do_no_harm(database, log, conversations):
    """Between two leaders both may run for a moment; each consumer guards its own writes."""
    one, two = Projection("same"), Projection("same")
    async with following(database, one), following(database, two):
        await send(log, *conversations, *conversations)
        for each in (one, two):
            await each.reaches(**dict.fromkeys(conversations, 3))


async def test_it_stops_promptly(database, log, conversations):
    projection = Projection()
    follower = Follower(database, Keyring(MASTER, database))
    task = asyncio.create_task(follower.run([projection]))
    await send(log, conversations[0])
    await projection.reaches(**{conversations[0]: 2})
    loop = asyncio.get_running_loop()
    began = loop.time()
    task.cancel()
    await asyncio.wait([task])
    assert loop.time() - began < 2


async def test_it_stops_whatever_it_is_doing_when_it_is_told(database, log, conversations):
    """The driver can lose a cancellation that meets an answer: tried at many moments."""
    projection = Projection()
    for n in range(60):
        follower = Follower(database, Keyring(MASTER, database), linger_seconds=0)
        task = asyncio.create_task(follower.run([projection]))
        sending = asyncio.create_task(send(log, *conversations))
        for _ in range(n * 3):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([task])
        await sending
