"""Receipts and unread counts."""

import asyncio

import pytest

from im.domain import RecallMessage, Receipt
from im.errors import ConversationNotFound
from im.mongo import RECEIPTS
from im.receipts import Receipts
from server.kernel.errors import Unavailable
from server.kernel.ids import new_id
from tests.support.im_log import DOCTOR, PATIENT, STRANGER, Openings, actor, make_log, say


@pytest.fixture
def conversation():
    return new_id()


@pytest.fixture
def openings(conversation):
    return Openings(conversation, quota=100)


@pytest.fixture
async def log(database, openings, clock):
    made = make_log(database, openings, clock)
    yield made
    await made.close()


@pytest.fixture
async def receipts(database, log):
    made = Receipts(database, log)
    yield made
    await made.close()


async def say_all(log, conversation, *senders):
    for sender in senders:
        await log.send(actor(sender), conversation, say(sender, "你好"))


async def test_marks_rise_and_never_fall(log, receipts, conversation):
    await say_all(log, conversation, DOCTOR, DOCTOR, DOCTOR)
    marked = await receipts.deliver(actor(PATIENT), conversation, 3)
    assert marked.receipt == Receipt(conversation, PATIENT, 3, 0)
    assert (marked.moved, marked.members) == (True, (PATIENT, DOCTOR))
    marked = await receipts.read(actor(PATIENT), conversation, 2)
    assert (marked.receipt, marked.moved) == (Receipt(conversation, PATIENT, 3, 2), True)
    for again in (receipts.read(actor(PATIENT), conversation, 1), receipts.deliver(actor(PATIENT), conversation, 2)):
        marked = await again
        assert (marked.receipt, marked.moved) == (Receipt(conversation, PATIENT, 3, 2), False)


async def test_reading_is_also_delivery(log, receipts, conversation):
    await say_all(log, conversation, DOCTOR)
    marked = await receipts.read(actor(PATIENT), conversation, 2)
    assert marked.receipt == Receipt(conversation, PATIENT, 2, 2)


@pytest.mark.parametrize(("asked", "stored"), [(99, 3), (2**70, 3), (0, 0), (-5, 0)])
async def test_a_mark_is_clamped_to_what_there_is(log, receipts, conversation, asked, stored):
    await say_all(log, conversation, DOCTOR, DOCTOR)
    marked = await receipts.deliver(actor(PATIENT), conversation, asked)
    assert marked.receipt == Receipt(conversation, PATIENT, stored, 0)


async def test_a_mark_on_what_another_process_wrote_counts(database, log, receipts, openings, clock, conversation):
    await say_all(log, conversation, DOCTOR)
    other = make_log(database, openings, clock)
    await say_all(other, conversation, DOCTOR, DOCTOR)
    assert (await receipts.read(actor(PATIENT), conversation, 4)).receipt.read_seq == 4
    await other.close()


async def test_a_stranger_leaves_no_mark(log, receipts, conversation, database):
    await say_all(log, conversation, DOCTOR)
    for attempt in (receipts.read(actor(STRANGER), conversation, 1), receipts.deliver(actor(STRANGER), new_id(), 1)):
        with pytest.raises(ConversationNotFound):
            await attempt
    assert await database[RECEIPTS].count_documents({}) == 0


async def test_concurrent_marks_of_several_processes_lose_none_and_are_coalesced(
    database, log, receipts, openings, clock, conversation
):
    await say_all(log, conversation, *[DOCTOR] * 20)
    other_log = make_log(database, openings, clock)
    other = Receipts(database, other_log)
    marks = [
        each.read(actor(account), conversation, seq)
        for each in (receipts, other)
        for account in (PATIENT, DOCTOR)
        for seq in range(1, 22)
    ]
    await asyncio.gather(*marks)
    expected = {PATIENT: (21, 21), DOCTOR: (21, 21)}
    documents = await database[RECEIPTS].find({}).to_list()
    assert {each["account_id"]: (each["delivered_seq"], each["read_seq"]) for each in documents} == expected
    assert {each["hospital_id"] for each in documents} == {"default"}
    await other.close()
    await other_log.close()


async def test_an_acknowledged_mark_is_seen_by_every_process_at_once(database, log, receipts, openings, clock, conversation):
    await say_all(log, conversation, DOCTOR)
    await receipts.deliver(actor(PATIENT), conversation, 2)
    other_log = make_log(database, openings, clock)
    other = Receipts(database, other_log)
    assert (await other.receipts_of([conversation]))[conversation] == (
        Receipt(conversation, PATIENT, 2, 0),
        Receipt(conversation, DOCTOR, 2, 2),
    )
    await other.close()
    await other_log.close()


async def test_unread_counts_the_others_messages_above_the_mark(log, receipts, conversation):
    await say_all(log, conversation, DOCTOR, DOCTOR)
    assert await receipts.unread(conversation, PATIENT) == 2
    assert await receipts.unread(conversation, DOCTOR) == 0
    await receipts.read(actor(PATIENT), conversation, 2)
    assert await receipts.unread(conversation, PATIENT) == 1
    await say_all(log, conversation, DOCTOR)
    assert await receipts.unread(conversation, PATIENT) == 2


async def test_a_recalled_message_is_not_unread_and_a_recall_is_no_message(log, receipts, conversation):
    await say_all(log, conversation, DOCTOR, DOCTOR)
    await log.recall(actor(DOCTOR), conversation, RecallMessage(DOCTOR, new_id(), 3))
    assert await receipts.unread(conversation, PATIENT) == 1
    await receipts.read(actor(PATIENT), conversation, 4)
    assert await receipts.unread(conversation, PATIENT) == 0


async def test_sending_reads_up_to_the_own_message(log, receipts, conversation, database):
    await say_all(log, conversation, DOCTOR, DOCTOR, PATIENT, DOCTOR)
    assert await receipts.unread(conversation, PATIENT) == 1
    assert (await receipts.receipts_of([conversation]))[conversation][0] == Receipt(conversation, PATIENT, 4, 4)
    assert await database[RECEIPTS].count_documents({}) == 0


async def test_marks_of_many_conversations_come_at_once_and_missing_ones_are_left_out(log, receipts, openings):
    conversations = [new_id() for _ in range(5)]
    openings.known.update(conversations)
    for conversation_id in conversations:
        await say_all(log, conversation_id, DOCTOR)
    marks = await receipts.marks_of(PATIENT, [*conversations, new_id()])
    assert {conversation_id: mark.unread for conversation_id, mark in marks.items()} == dict.fromkeys(conversations, 1)


async def test_after_close_no_mark_is_taken(log, receipts, conversation):
    await say_all(log, conversation, DOCTOR)
    await receipts.close()
    with pytest.raises(Unavailable):
        await receipts.read(actor(PATIENT), conversation, 2)
