"""Appending to a conversation's log: numbers, order, identity, refusals, openings."""

import asyncio
from datetime import timedelta

import pytest

from im.codec import RAW_OPTIONS
from im.domain import Draft, EntryKind, RecallMessage
from im.errors import (
    ConversationClosed,
    ConversationFull,
    ConversationNotFound,
    ConversationQuotaExhausted,
    MessageAlreadyRecalled,
    MessageRecallExpired,
    MessageRecallRefused,
)
from im.verify import verify_conversation
from server.kernel.crypto import KEYS
from server.kernel.errors import IdempotencyMismatch, Unavailable
from server.kernel.ids import new_id
from server.kernel.streams import position
from tests.support.im_log import DOCTOR, PATIENT, STRANGER, Heard, Openings, actor, make_log, say, text


@pytest.fixture
def conversation():
    return new_id()


@pytest.fixture
def openings(conversation):
    return Openings(conversation)


@pytest.fixture
async def log(database, openings, clock):
    made = make_log(database, openings, clock)
    yield made
    await made.close()


@pytest.fixture
async def other(database, openings, clock):
    """Another process."""
    made = make_log(database, openings, clock)
    yield made
    await made.close()


async def stored(database, conversation):
    log = database.get_collection("log", codec_options=RAW_OPTIONS)
    return await log.find({"_id": {"$gte": position(bytes.fromhex(conversation), 0)}}, sort=[("_id", 1)]).to_list()


async def send(log, conversation, account, words="你好", client_id=None):
    return await log.send(actor(account), conversation, say(account, words, client_id))


async def test_the_first_message_finds_the_opening_written_before_it(log, database, conversation, clock):
    appended = await send(log, conversation, PATIENT)
    documents = await stored(database, conversation)
    assert [document["kind"] for document in documents] == ["opened", "message"]
    assert appended.entry.seq == 2
    assert appended.entry.at_ms == clock.now_ms()
    assert appended.entry.draft.parts == text("你好")
    assert not appended.repeated
    assert appended.summary.members == {PATIENT: "patient", DOCTOR: "doctor"}
    assert verify_conversation(documents).is_sound


async def test_two_processes_that_open_a_conversation_open_it_once(log, other, database, conversation):
    await asyncio.gather(send(log, conversation, PATIENT), send(other, conversation, DOCTOR))
    assert [document["kind"] for document in await stored(database, conversation)] == ["opened", "message", "message"]


@pytest.mark.parametrize("name", ["", "x" * 32, "A" * 32, "0" * 31, "01a20260d85c76bf813833a7e34ef6c8"])
async def test_what_nobody_knows_is_not_found_and_nothing_is_written(log, database, name):
    with pytest.raises(ConversationNotFound):
        await send(log, name, PATIENT)
    with pytest.raises(ConversationNotFound):
        await log.read_entries(name, after_seq=0)
    assert await database["log"].count_documents({}) == 0
    assert await database[KEYS].count_documents({"_id": {"$regex": "^conversation"}}) == 0


async def test_hundred_concurrent_replies_store_exactly_the_quota(log, database, conversation):
    outcomes = await asyncio.gather(*(send(log, conversation, DOCTOR) for _ in range(100)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert len(refused) == 97
    assert {type(error) for error in refused} == {ConversationQuotaExhausted}
    documents = await stored(database, conversation)
    assert [int.from_bytes(document["_id"][16:], "big") for document in documents] == [1, 2, 3, 4]
    assert verify_conversation(documents).is_sound


async def test_one_entry_of_a_conversation_is_in_flight_at_a_time(log, conversation):
    """So within a process no number is ever lost: as many entries are sent to the database as are stored."""
    await asyncio.gather(*(send(log, conversation, PATIENT) for _ in range(50)))
    assert (log.figures.entries, log.figures.inserts) == (51, 51)


async def test_a_number_that_another_process_took_is_decided_again_on_what_it_stored(log, other, conversation):
    await send(log, conversation, DOCTOR)
    await send(other, conversation, DOCTOR)
    assert (await send(log, conversation, DOCTOR)).entry.seq == 4
    assert (await log.read(conversation)).state.counted == [2, 3, 4]
    with pytest.raises(ConversationQuotaExhausted):
        await send(other, conversation, DOCTOR)


async def test_a_refusal_is_decided_on_the_tail_that_others_wrote(log, other, conversation, clock):
    """The cached state says the quota is used; another process has recalled a reply since."""
    first = (await send(log, conversation, DOCTOR)).entry.seq
    await send(log, conversation, DOCTOR)
    await send(log, conversation, DOCTOR)
    await other.recall(actor(DOCTOR), conversation, RecallMessage(DOCTOR, new_id(), first))
    assert (await send(log, conversation, DOCTOR)).entry.seq == 6


async def test_ten_retries_of_one_client_id_are_one_message_with_one_number(log, other, conversation):
    command = say(PATIENT, "我咳嗽", "client-0001")
    outcomes = await asyncio.gather(*(each.send(actor(PATIENT), conversation, command) for each in [log, other] * 5))
    assert {outcome.entry.seq for outcome in outcomes} == {2}
    assert len({outcome.entry.id for outcome in outcomes}) == 1
    assert [outcome.repeated for outcome in outcomes].count(False) == 1
    assert (await log.read_fresh(conversation)).seq == 2


async def test_a_client_id_with_another_body_is_a_mismatch(log, other, conversation):
    await send(log, conversation, PATIENT, "我咳嗽", "client-0001")
    for each in (log, other):
        with pytest.raises(IdempotencyMismatch):
            await send(each, conversation, PATIENT, "我发烧", "client-0001")
    assert (await log.read_fresh(conversation)).seq == 2


async def test_a_client_id_belongs_to_one_sender(log, conversation):
    await send(log, conversation, PATIENT, "我咳嗽", "client-0001")
    assert (await send(log, conversation, DOCTOR, "多喝水", "client-0001")).entry.seq == 3


async def test_a_client_id_is_one_over_sends_and_recalls(log, conversation):
    await send(log, conversation, PATIENT, "我咳嗽", "client-0001")
    with pytest.raises(IdempotencyMismatch):
        await log.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, "client-0001", 2))


async def test_a_repeated_send_is_answered_also_when_the_order_has_closed_since(log, other, conversation):
    await send(log, conversation, PATIENT, "我咳嗽", "client-0001")
    for _ in range(3):
        await send(other, conversation, DOCTOR)
    with pytest.raises(ConversationClosed):
        await send(log, conversation, PATIENT)
    again = await send(log, conversation, PATIENT, "我咳嗽", "client-0001")
    assert (again.entry.seq, again.repeated) == (2, True)
    assert again.entry.draft.parts == text("我咳嗽")


async def test_the_reply_that_uses_up_the_quota_closes_in_the_same_entry(log, conversation):
    closes = [(await send(log, conversation, DOCTOR)).entry.draft.closes for _ in range(3)]
    assert closes == [None, None, "quota"]
    assert not (await log.read(conversation)).summary.open


async def test_a_stranger_learns_no_more_than_from_a_conversation_that_is_not_there(log, conversation, database):
    await send(log, conversation, PATIENT)
    for attempt in (
        log.send(actor(STRANGER), conversation, say(STRANGER, "?")),
        log.recall(actor(STRANGER), conversation, RecallMessage(STRANGER, new_id(), 2)),
        log.access(actor(STRANGER), conversation),
        log.access(actor(STRANGER), new_id()),
    ):
        with pytest.raises(ConversationNotFound) as refusal:
            await attempt
        assert refusal.value.fields == {}
    assert len(await stored(database, conversation)) == 2


async def test_a_command_of_somebody_else_is_a_fault_of_the_caller(log, conversation):
    with pytest.raises(ValueError, match="its actor's own"):
        await log.send(actor(STRANGER), conversation, say(PATIENT, "?"))


class Denials:
    def __init__(self):
        self.rows = []

    async def record(self, row):
        self.rows.append(row)


async def test_refused_access_is_recorded_with_the_order(database, openings, conversation, clock):
    denials = Denials()
    log = make_log(database, openings, clock, audit=denials)
    await send(log, conversation, PATIENT)
    for attempt in (log.access(actor(STRANGER), conversation), log.send(actor(STRANGER), conversation, say(STRANGER, "?"))):
        with pytest.raises(ConversationNotFound):
            await attempt
    seen = {(row.account_id, row.action, row.subject, row.order_id, row.outcome) for row in denials.rows}
    assert seen == {(STRANGER, "im.conversation_refused", conversation, conversation[::-1], "denied")}
    assert len(denials.rows) == 2
    await log.close()


async def test_a_recall_is_an_entry_of_its_own_and_masks_the_message(log, other, conversation):
    await send(log, conversation, PATIENT, "我咳嗽")
    recalled = await log.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, "client-0002", 2))
    assert (recalled.entry.seq, recalled.entry.draft.kind, recalled.entry.draft.recalls) == (3, EntryKind.RECALL, 2)
    again = await other.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, "client-0002", 2))
    assert (again.entry.seq, again.repeated) == (3, True)
    assert (await other.read_entries(conversation, after_seq=0)).recalled == frozenset({2})


async def test_a_recall_of_a_reply_gives_the_quota_back(log, conversation):
    for _ in range(3):
        await send(log, conversation, DOCTOR)
    await log.recall(actor(DOCTOR), conversation, RecallMessage(DOCTOR, new_id(), 4))
    assert (await send(log, conversation, DOCTOR)).entry.seq == 6
    with pytest.raises(ConversationQuotaExhausted):
        await send(log, conversation, DOCTOR)


@pytest.mark.parametrize("seq", [1, 3, 4, 99, 0, -1])
async def test_what_is_no_message_cannot_be_recalled(log, conversation, seq):
    await send(log, conversation, PATIENT)
    await log.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, new_id(), 2))
    with pytest.raises(MessageRecallRefused):
        await log.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, new_id(), seq))


async def test_a_message_is_recalled_once_by_its_sender_in_time(log, other, conversation, clock):
    await send(log, conversation, PATIENT)
    await send(log, conversation, PATIENT)
    await other.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, new_id(), 2))
    with pytest.raises(MessageAlreadyRecalled):
        await log.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, new_id(), 2))
    clock.advance(timedelta(minutes=2))
    with pytest.raises(MessageRecallExpired):
        await log.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, new_id(), 3))


async def test_hundred_concurrent_recalls_of_one_message_store_one(log, other, conversation):
    await send(log, conversation, PATIENT)
    outcomes = await asyncio.gather(
        *(each.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, new_id(), 2)) for each in [log, other] * 50),
        return_exceptions=True,
    )
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, Exception)} == {MessageAlreadyRecalled}
    assert (await log.read_fresh(conversation)).seq == 3


async def test_a_message_is_recalled_through_another_process_the_moment_it_was_acknowledged(log, other, conversation):
    """Which has not heard of it: users of others saw such a recall fail."""
    await send(other, conversation, PATIENT)  # and so it has the conversation at hand, as it was
    for seq in range(3, 40, 2):
        sent = await send(log, conversation, PATIENT)
        recalled = await other.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, new_id(), sent.entry.seq))
        assert (sent.entry.seq, recalled.entry.seq, recalled.entry.draft.recalls) == (seq, seq + 1, seq)


async def test_at_the_deadline_a_reply_is_late_and_never_before(database, clock, conversation):
    opened_ms = clock.now_ms()
    openings = Openings(conversation, at_ms=opened_ms, closes_at_ms=opened_ms + 48 * 3_600_000)
    log = make_log(database, openings, clock)
    clock.advance(timedelta(hours=48) - timedelta(milliseconds=1))
    await send(log, conversation, DOCTOR)
    clock.advance(timedelta(milliseconds=1))
    with pytest.raises(ConversationClosed):
        await send(log, conversation, DOCTOR)
    await log.close()


async def test_an_entry_is_never_older_than_the_one_before_and_is_decided_at_that_instant(database, clock, conversation):
    opened_ms = clock.now_ms() + 1_500
    log = make_log(database, Openings(conversation, at_ms=opened_ms, closes_at_ms=opened_ms), clock)
    seen = []

    def decide(state, now_ms):
        seen.append(now_ms)
        return Draft(EntryKind.GIFT, None, "system", data={"count": 1})

    assert (await log.append(conversation, decide)).entry.at_ms == opened_ms
    assert seen == [opened_ms]
    with pytest.raises(ConversationClosed):
        await send(log, conversation, DOCTOR)
    await log.close()


async def test_a_process_whose_clock_is_off_decides_nothing_but_reads(database, openings, conversation, clock):
    in_order = [True]
    log = make_log(database, openings, clock, clock_ok=lambda: in_order[0])
    await send(log, conversation, PATIENT)
    in_order[0] = False
    with pytest.raises(Unavailable):
        await send(log, conversation, PATIENT)
    assert (await log.read_entries(conversation, after_seq=0)).entries[-1].seq == 2
    in_order[0] = True
    assert (await send(log, conversation, PATIENT)).entry.seq == 3
    await log.close()


async def test_a_full_conversation_still_takes_recalls_and_what_ends_it(database, openings, conversation, clock):
    log = make_log(database, openings, clock, max_entries=3)
    await send(log, conversation, PATIENT)
    await send(log, conversation, PATIENT)
    with pytest.raises(ConversationFull):
        await send(log, conversation, PATIENT)
    with pytest.raises(ConversationFull):
        await log.append(conversation, lambda *_: Draft(EntryKind.GIFT, None, "system", data={"count": 1}))
    await log.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, new_id(), 3))
    for kind in (EntryKind.CLOSED, EntryKind.SETTLED):
        await log.append(conversation, lambda *_, kind=kind: Draft(kind, None, "system", closes="expired"))
    assert (await log.read(conversation)).seq == 6
    await log.close()


async def test_whatever_a_decision_raises_is_raised_once_it_was_asked_on_a_fresh_tail(log, other, conversation):
    class AlreadyDone(Exception):
        pass

    await send(log, conversation, PATIENT)
    await send(other, conversation, PATIENT)
    asked = []

    def decide(state, now_ms):
        asked.append(state.seq)
        raise AlreadyDone

    with pytest.raises(AlreadyDone):
        await log.append(conversation, decide)
    assert asked == [2, 3]
    assert (await send(log, conversation, PATIENT)).entry.seq == 4


async def test_an_append_with_a_client_id_has_its_effect_once(log, other, conversation):
    def gift(count):
        return lambda *_: Draft(EntryKind.GIFT, DOCTOR, "doctor", "gift-0001", data={"count": count})

    first = await log.append(conversation, gift(2))
    again = await other.append(conversation, gift(2))
    assert (first.repeated, again.repeated, again.entry.seq) == (False, True, first.entry.seq)
    assert again.state.quota == 5
    with pytest.raises(IdempotencyMismatch):
        await log.append(conversation, gift(3))


async def test_a_draft_that_cannot_be_written_is_refused_and_the_lane_goes_on(log, conversation):
    with pytest.raises(TypeError):
        await log.append(conversation, lambda *_: Draft(EntryKind.GIFT, None, "system", data={"count": object()}))
    assert (await send(log, conversation, PATIENT)).entry.seq == 2


async def test_whoever_stops_waiting_leaves_no_hole_and_no_doubt(log, database, conversation):
    await send(log, conversation, PATIENT)
    sends = [asyncio.create_task(send(log, conversation, PATIENT, client_id=f"client-{n:04}")) for n in range(20)]
    await asyncio.sleep(0)
    for task in sends[::2]:
        task.cancel()
    await asyncio.gather(*sends, return_exceptions=True)
    documents = await stored(database, conversation)
    head = await log.read_fresh(conversation)
    assert [int.from_bytes(document["_id"][16:], "big") for document in documents] == list(range(1, head.seq + 1))
    assert verify_conversation(documents).is_sound
    kept = {client_id for _, kind, client_id in head.state.trail if kind == "message"}
    assert {f"client-{n:04}" for n in range(1, 20, 2)} <= kept
    assert (await send(log, conversation, PATIENT)).entry.seq == head.seq + 1


async def test_listeners_hear_of_each_own_entry_once_at_the_state_after_it(database, openings, conversation, clock):
    heard, late, hints = Heard(), Heard(), []
    log = make_log(database, openings, clock, listeners=[heard], hints=[lambda *hint: hints.append(hint)])
    log.add_listener(late)
    await asyncio.gather(*(send(log, conversation, PATIENT) for _ in range(5)))
    assert [(entry.seq, seq) for entry, seq in heard.entries] == [(n, n) for n in range(1, 7)]
    assert late.entries == heard.entries
    assert [conversation_id for conversation_id, _ in hints] == [conversation] * 6
    await log.close()


class Faulty:
    def entry_appended(self, entry, state):
        raise RuntimeError("listener")


async def test_a_listener_that_fails_harms_nobody(database, openings, conversation, clock):
    heard = Heard()
    log = make_log(database, openings, clock, listeners=[Faulty(), heard])
    assert (await send(log, conversation, PATIENT)).entry.seq == 2
    assert len(heard.entries) == 2
    await log.close()


async def test_after_close_nothing_is_taken_and_what_was_under_way_is_stored(database, openings, conversation, clock):
    log = make_log(database, openings, clock)
    await send(log, conversation, PATIENT)
    sends = [asyncio.create_task(send(log, conversation, PATIENT)) for _ in range(10)]
    await asyncio.sleep(0)
    await log.close()
    assert sorted(appended.entry.seq for appended in await asyncio.gather(*sends)) == list(range(3, 13))
    with pytest.raises(Unavailable):
        await send(log, conversation, PATIENT)
