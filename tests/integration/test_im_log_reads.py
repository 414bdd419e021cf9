"""Reading a conversation's log: pages, freshness, caches, hints, proofs."""

import asyncio
from datetime import timedelta

import pytest
from bson.raw_bson import RawBSONDocument

from im.codec import RAW_OPTIONS, ConversationCodec
from im.domain import Draft, EntryKind, RecallMessage, SendMessage
from im.errors import ConversationClosed, ConversationNotFound
from im.mongo import LOG
from im.verify import verify_conversation
from server.kernel.crypto import KEYS, Keyring
from server.kernel.errors import Unavailable
from server.kernel.ids import new_id, new_id_bytes
from server.kernel.mongo import ALL_HOSPITALS
from tests.support.im_log import DOCTOR, MASTER, PATIENT, STRANGER, Openings, actor, make_log, say


@pytest.fixture
def conversation():
    return new_id()


@pytest.fixture
def openings(conversation):
    return Openings(conversation, quota=100_000)


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


async def send(log, conversation, times=1, sender=PATIENT):
    return await asyncio.gather(*(log.send(actor(sender), conversation, say(sender, f"第{n}句")) for n in range(times)))


def numbers(page):
    return [entry.seq for entry in page.entries]


async def test_entries_are_read_after_or_before_a_number_ascending(log, conversation):
    await send(log, conversation, 9)
    page = await log.read_entries(conversation, after_seq=3, limit=4)
    assert (numbers(page), page.more) == ([4, 5, 6, 7], True)
    page = await log.read_entries(conversation, after_seq=7, limit=4)
    assert (numbers(page), page.more) == ([8, 9, 10], False)
    page = await log.read_entries(conversation, before_seq=4, limit=2)
    assert (numbers(page), page.more) == ([2, 3], True)
    page = await log.read_entries(conversation, before_seq=3, limit=4)
    assert (numbers(page), page.more) == ([1, 2], False)
    page = await log.read_entries(conversation, limit=2)
    assert (numbers(page), page.more) == ([9, 10], True)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"after_seq": 10}, []),
        ({"after_seq": 2**80}, []),
        ({"after_seq": -5, "limit": 2}, [1, 2]),
        ({"before_seq": 1}, []),
        ({"before_seq": -1}, []),
        ({"before_seq": 2**80, "limit": 1}, [10]),
        ({"after_seq": 0, "limit": 0}, [1]),
    ],
)
async def test_bounds_from_outside_are_taken_as_they_come(log, conversation, bounds, expected):
    await send(log, conversation, 9)
    assert numbers(await log.read_entries(conversation, **bounds)) == expected


async def fill(database, conversation, log, last):
    """Store entries up to `last` at once; one by one they would take their time."""
    head = (await send(log, conversation))[0].entry
    codec = ConversationCodec(conversation, "default", await Keyring(MASTER, database).conversation("default", conversation))
    documents, previous = [], head.hash
    for seq in range(head.seq + 1, last + 1):
        draft = Draft(EntryKind.MESSAGE, PATIENT, "patient", f"client-{seq}", ({"kind": "text", "text": "你好"},))
        entry, raw = codec.seal(seq, new_id_bytes(), head.at_ms, draft, previous, bytes(16))
        documents.append(RawBSONDocument(raw))
        previous = entry.hash
    await database[LOG].insert_many(documents)


async def test_ten_thousand_entries_page_in_order_none_missing_or_twice(database, log, other, conversation):
    await fill(database, conversation, log, 10_000)
    seen, after = [], 0
    while True:
        page = await other.read_entries(conversation, after_seq=after, limit=1_000)
        seen += numbers(page)
        if not page.more:
            break
        after = seen[-1]
    assert seen == list(range(1, 10_001))


async def test_many_conversations_are_read_ahead_and_those_that_cannot_be_are_read_when_asked_for(database, clock):
    ids = [new_id() for _ in range(5)]
    openings = Openings(*ids, quota=100_000)
    first, second = make_log(database, openings, clock), make_log(database, openings, clock)
    whole, erased, broken, unopened, long = ids
    for conversation_id in (whole, erased, broken):
        await send(first, conversation_id, 2)
    await fill(database, long, first, 2_100)
    await database[KEYS].delete_one({"_id": f"conversation:{erased}"})
    await database[LOG].update_one(
        {"_id": bytes.fromhex(broken) + (2).to_bytes(8, "big")}, {"$set": {"body": b"\1" + b"x" * 40}}
    )
    await second.preload([*ids, new_id(), "no id"])
    before = second.cached_bytes
    assert before > 0
    assert (await second.read(whole)).seq == 3
    assert second.cached_bytes == before
    assert (await second.read(long)).seq == 2_100
    assert (await second.read(unopened)).seq == 1
    with pytest.raises(ConversationNotFound):
        await second.read(erased)
    with pytest.raises(Unavailable):
        await second.read(broken)
    await send(second, whole)
    assert (await first.read_fresh(whole)).seq == 4
    await first.close()
    await second.close()


async def test_reading_ahead_and_asking_at_once_give_one_head(log, other, conversation):
    await send(log, conversation, 3)
    _, snapshot, _ = await asyncio.gather(
        other.preload([conversation]), other.read(conversation), other.preload([conversation])
    )
    assert snapshot.seq == 4
    await asyncio.gather(send(other, conversation), other.preload([conversation]))
    assert (await other.read(conversation)).seq == 5


async def test_a_fresh_read_sees_all_that_any_process_acknowledged(log, other, conversation):
    await send(log, conversation)
    for seq in range(3, 9):
        await send(other, conversation)
        assert (await log.read_fresh(conversation)).seq == seq
        assert numbers(await log.read_entries(conversation, after_seq=seq - 1)) == [seq]


async def test_a_cached_read_may_be_old_and_asks_nobody(log, other, conversation):
    await send(log, conversation)
    await send(other, conversation)
    assert (await log.read(conversation)).seq == 2


async def test_a_page_says_what_is_recalled_at_its_head(log, other, conversation):
    await send(log, conversation, 4)
    await other.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, new_id(), 3))
    assert (await log.read_entries(conversation, after_seq=0, limit=3)).recalled == frozenset({3})
    assert (await log.read_entries(conversation, after_seq=3)).recalled == frozenset()


async def test_a_medium_is_found_where_it_is_shown_and_not_where_it_was_recalled(log, other, conversation):
    medium, part = new_id(), {"kind": "image"}
    for client_id in ("client-0001", "client-0002"):
        command = SendMessage(PATIENT, client_id, ({**part, "media_id": medium}, {"kind": "text", "text": "看"}))
        await log.send(actor(PATIENT), conversation, command)
    assert await other.find_media(conversation, medium) == (2, 3)
    await log.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, new_id(), 2))
    assert await other.find_media(conversation, medium) == (3,)
    await log.recall(actor(PATIENT), conversation, RecallMessage(PATIENT, new_id(), 3))
    assert await other.find_media(conversation, medium) == ()
    assert await other.names_media(conversation, medium) is True
    assert await other.names_media(conversation, new_id()) is False
    assert await other.find_media(conversation, new_id()) == ()


class Gate:
    def __init__(self):
        self.claims = []

    async def claim_for_conversation(self, actor, hospital_id, conversation_id, kinds_by_media_id):
        self.claims.append((actor.account_id, hospital_id, conversation_id, dict(kinds_by_media_id)))


async def test_media_are_claimed_for_the_conversation_by_members_only(database, openings, conversation, clock):
    gate, medium = Gate(), new_id()
    log = make_log(database, openings, clock, media=gate)
    with pytest.raises(ConversationNotFound):
        await log.send(
            actor(STRANGER), conversation, SendMessage(STRANGER, "client-0001", ({"kind": "image", "media_id": medium},))
        )
    assert gate.claims == []
    await log.send(actor(PATIENT), conversation, SendMessage(PATIENT, "client-0001", ({"kind": "image", "media_id": medium},)))
    await send(log, conversation)
    assert gate.claims == [(PATIENT, "default", conversation, {medium: "image"})]
    await log.close()


async def test_a_message_that_is_refused_claims_no_media_and_one_that_is_there_claims_none_again(database, conversation, clock):
    gate, media = Gate(), [new_id(), new_id()]
    log = make_log(database, Openings(conversation, closes_at_ms=clock.now_ms() + 1), clock, media=gate)
    commands = [
        SendMessage(PATIENT, f"client-000{n}", ({"kind": "image", "media_id": medium},)) for n, medium in enumerate(media)
    ]
    first = await log.send(actor(PATIENT), conversation, commands[0])
    assert (await log.send(actor(PATIENT), conversation, commands[0])).entry == first.entry
    clock.advance(timedelta(milliseconds=1))
    with pytest.raises(ConversationClosed):
        await log.send(actor(PATIENT), conversation, commands[1])
    assert (await log.send(actor(PATIENT), conversation, commands[0])).entry == first.entry
    assert [claimed for *_, claimed in gate.claims] == [{media[0]: "image"}]
    await log.close()


async def test_a_cold_conversation_is_read_once_however_many_ask(log, other, conversation, openings):
    await send(log, conversation, 300)
    snapshots = await asyncio.gather(*(other.read(conversation) for _ in range(50)))
    assert {snapshot.seq for snapshot in snapshots} == {301}
    assert openings.asked == [conversation], "only the first process had to ask how it begins"


async def test_whoever_stops_waiting_for_a_cold_conversation_does_not_stop_the_others(log, other, conversation):
    await send(log, conversation, 300)
    readers = [asyncio.create_task(other.read(conversation)) for _ in range(3)]
    await asyncio.sleep(0)
    readers[0].cancel()
    assert [(await reader).seq for reader in readers[1:]] == [301, 301]


async def test_the_cache_is_bounded_by_bytes_and_what_fell_out_is_read_again(database, openings, clock):
    log = make_log(database, openings, clock, cache_bytes=40_000)
    conversations = [new_id() for _ in range(12)]
    openings.known.update(conversations)
    for conversation_id in conversations:
        await send(log, conversation_id, 10)
        assert log.cached_bytes <= 40_000
    for conversation_id in conversations:
        assert (await log.read_fresh(conversation_id)).seq == 11
        assert log.cached_bytes <= 40_000
    await asyncio.gather(*(send(log, conversation_id, 3) for conversation_id in conversations))
    assert [(await log.read_fresh(each)).seq for each in conversations] == [14] * 12
    await log.close()


async def hints_of(database, conversation, first):
    found = database.get_collection(LOG, codec_options=RAW_OPTIONS).find(
        {"_id": {"$gte": bytes.fromhex(conversation) + first.to_bytes(8, "big")}}, sort=[("_id", 1)], comment=ALL_HOSPITALS
    )
    return await found.to_list()


async def test_a_hint_is_folded_only_if_it_is_the_very_next_entry(database, openings, conversation, clock, other):
    hints = []
    log = make_log(database, openings, clock, hints=[lambda _, raw: hints.append(raw)])
    assert not other.fold_hint(conversation, b"")
    await send(log, conversation, 2)
    assert (await other.read(conversation)).seq == 3
    await send(log, conversation, 3)
    third, fourth, fifth = hints[-3:]
    assert not other.fold_hint(conversation, fourth), "a hole"
    assert other.fold_hint(conversation, third)
    assert not other.fold_hint(conversation, third), "an older one"
    assert other.fold_hint(conversation, fourth)
    assert (await other.read(conversation)).seq == 5
    assert not other.fold_hint(conversation, fifth[:-10])
    assert not other.fold_hint(new_id(), fifth)
    assert (await other.read_fresh(conversation)).seq == 6
    await log.close()


async def test_a_forged_hint_is_passed_over(database, openings, conversation, clock, other):
    hints = []
    log = make_log(database, openings, clock, hints=[lambda _, raw: hints.append(raw)])
    await send(log, conversation, 1)
    await other.read(conversation)
    await send(log, conversation, 1)
    position = hints[-1].index(b"kind\0") + 9
    forged = bytearray(hints[-1])
    forged[position] ^= 1
    assert not other.fold_hint(conversation, bytes(forged))
    assert other.fold_hint(conversation, hints[-1])
    await log.close()


async def test_an_erased_conversation_is_as_if_it_had_never_been(database, log, conversation, openings, clock):
    await send(log, conversation, 2)
    await database[KEYS].delete_one({"_id": f"conversation:{conversation}"})
    fresh = make_log(database, openings, clock)
    for attempt in (fresh.read_fresh(conversation), send(fresh, conversation), fresh.find_media(conversation, new_id())):
        with pytest.raises(ConversationNotFound):
            await attempt
    assert len(await hints_of(database, conversation, 1)) == 3
    await fresh.close()


@pytest.mark.parametrize("damage", ["edited", "dropped"])
async def test_nothing_is_decided_on_a_log_that_was_tampered_with(database, log, other, conversation, damage):
    await send(log, conversation, 4)
    key = {"_id": bytes.fromhex(conversation) + (3).to_bytes(8, "big")}
    if damage == "edited":
        await database[LOG].update_one(key, {"$set": {"kind": "gift"}})
    else:
        await database[LOG].delete_one(key)
    with pytest.raises(Unavailable):
        await send(other, conversation)
    with pytest.raises(Unavailable):
        await other.read_entries(conversation, after_seq=0)
    verification = verify_conversation(await hints_of(database, conversation, 1))
    assert (verification.broken_at, verification.reason) == (3, "chain" if damage == "edited" else "number")
    assert verification.seq == 2


async def test_a_sound_conversation_verifies_to_its_head(database, log, conversation):
    appended = (await send(log, conversation, 5, DOCTOR))[-1]
    verification = verify_conversation(await hints_of(database, conversation, 1))
    assert (verification.conversation_id, verification.seq, verification.is_sound) == (conversation, 6, True)
    assert verification.head_hash == appended.entry.hash
    assert verify_conversation(await database[LOG].find({}, sort=[("_id", 1)]).to_list()) == verification
