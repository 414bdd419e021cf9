"""Catching up and listing by bounded pieces of work: counted in questions to MongoDB, not in time."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from bson.raw_bson import RawBSONDocument

from im import history
from im.codec import ConversationCodec
from im.domain import Draft, EntryKind
from im.errors import ConversationNotFound
from im.history import SYNC_ENTRIES, SYNC_ENTRIES_IN_ALL, History
from im.listing import ConversationList
from im.mongo import LOG
from im.names import NameBook
from im.receipts import Receipts
from im.search.domain import Place, Scoped
from im.service import ConversationLog
from server.kernel.actor import Actor
from server.kernel.audit import AUDIT, AuditLog
from server.kernel.crypto import Keyring
from server.kernel.errors import RequestInvalid
from server.kernel.ids import new_id, new_id_bytes
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.im_log import DOCTOR, MASTER, PATIENT, STRANGER, Openings, actor, make_log, say
from tests.support.round_trips import RoundTrips, counted_database


@dataclass
class Talks:
    """Which conversations there are, newest first; names of nobody."""

    talks: list[str]

    async def list_open_conversations(self, who: Actor, limit: int) -> list[str]:
        return self.talks[:limit]

    async def list_scope(self, who: Actor, *, limit: int, start: Place | None, open_only: bool = False) -> list[Scoped]:
        scoped = [Scoped(each, "default", (0, each)) for each in self.talks]
        return [each for each in scoped if start is None or each.place <= start][:limit]

    async def find_names(self, account_ids: Any) -> dict[str, str]:
        return {}


@dataclass
class World:
    """`writer` is another process; `log` is counted, and has read nothing yet."""

    database: Database
    talks: list[str]
    writer: ConversationLog
    log: ConversationLog
    history: History
    listing: ConversationList
    trips: RoundTrips

    async def fill(self, talk: str, many: int) -> None:
        """So many messages at once."""
        first = (await self.writer.send(actor(PATIENT), talk, say(PATIENT, "您好"))).entry
        key = await Keyring(MASTER, self.database).conversation("default", talk)
        codec, previous, documents = ConversationCodec(talk, "default", key), first.hash, []
        for seq in range(first.seq + 1, first.seq + many):
            draft = Draft(EntryKind.MESSAGE, PATIENT, "patient", f"client-{seq}", ({"kind": "text", "text": "还在吗"},))
            entry, raw = codec.seal(seq, new_id_bytes(), first.at_ms, draft, previous, bytes(16))
            documents.append(RawBSONDocument(raw))
            previous = entry.hash
        if documents:
            await self.database[LOG].insert_many(documents)


@pytest.fixture
async def world(database: Database, mongo_url: str, clock: ManualClock) -> AsyncIterator[World]:
    talks = sorted((new_id() for _ in range(40)), reverse=True)
    trips = RoundTrips()
    client, counted = counted_database(mongo_url, database.name, trips)
    openings, audit, listed = Openings(*talks, quota=100_000), AuditLog(counted), Talks(talks)
    writer, log = make_log(database, openings, clock), make_log(counted, openings, clock, audit=audit)
    receipts = Receipts(counted, log)
    made = History(log, receipts, listed, NameBook(listed, clock), audit, clock, epoch=1)
    yield World(database, talks, writer, log, made, ConversationList(listed, made, receipts), trips)
    for each in (receipts, log, writer, audit):
        await each.close()
    await client.close()


def shape(result: Any) -> list[tuple[str, list[int], bool]]:
    return [
        (each.snapshot.conversation_id, [orjson.loads(message)["seq"] for message in each.messages], each.more)
        for each in result.conversations
    ]


async def test_a_device_that_comes_back_asks_a_few_questions_for_each_sixteen_conversations(world: World) -> None:
    for talk in world.talks:
        await world.writer.send(actor(PATIENT), talk, say(PATIENT, "您好"))
    with world.trips.counting() as first:
        result = await world.history.sync(actor(DOCTOR), {})
    assert shape(result) == [(talk, [1, 2], False) for talk in world.talks]
    assert first == Counter({"find log": 6, "find receipts": 3, "find keys": 4})  # 40 conversations: three pieces
    await world.writer.send(actor(PATIENT), world.talks[20], say(PATIENT, "还在吗"))
    with world.trips.counting() as again:
        result = await world.history.sync(actor(DOCTOR), dict.fromkeys(world.talks, 2))
    assert [seqs for _, seqs, _ in shape(result) if seqs] == [[3]]
    assert again == Counter({"find log": 4, "find receipts": 3})  # three looks at the tails, one page


async def test_ten_thousand_messages_behind_come_in_pages_and_the_newest_conversation_first(world: World) -> None:
    newest, older, *_ = world.talks
    await world.fill(older, 10_000)
    await world.writer.send(actor(PATIENT), newest, say(PATIENT, "今天的"))
    cursors = {older: 0, newest: 0}
    result = await world.history.sync(actor(DOCTOR), cursors)
    assert shape(result) == [(newest, [1, 2], False), (older, list(range(1, SYNC_ENTRIES + 1)), True)]
    seen, calls = list(range(1, SYNC_ENTRIES + 1)), 1
    while True:
        with world.trips.counting() as counted:
            result = await world.history.sync(actor(DOCTOR), {older: seen[-1], newest: 2})
        assert counted == Counter({"find log": 2, "find receipts": 1})
        (_, nothing, _), (_, seqs, more) = shape(result)
        assert nothing == []
        seen += seqs
        calls += 1
        if not more:
            break
    assert seen == list(range(1, 10_002))
    assert calls == 101


async def test_one_answer_holds_so_many_entries_and_says_that_there_are_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SYNC_BYTES", 10**6)
    for talk in world.talks[:5]:
        await world.fill(talk, SYNC_ENTRIES)
    result = await world.history.sync(actor(DOCTOR), dict.fromkeys(world.talks[:5], 0))
    counts = [(len(seqs), more) for _, seqs, more in shape(result)]
    assert counts == [(SYNC_ENTRIES, True)] * 3 + [(0, True)] * 2
    assert sum(count for count, _ in counts) == SYNC_ENTRIES_IN_ALL


async def test_others_conversations_are_left_out_and_each_refusal_is_a_row(world: World) -> None:
    mine, theirs = world.talks[:2]
    for talk in (mine, theirs):
        await world.writer.send(actor(PATIENT), talk, say(PATIENT, "您好"))
    with pytest.raises(ConversationNotFound):
        await world.history.sync(actor(STRANGER), {mine: 0, theirs: 0})
    rows = await world.database[AUDIT].find({"outcome": "denied"}).to_list()
    assert sorted(row["subject"] for row in rows) == sorted([mine, theirs])
    result = await world.history.sync(actor(DOCTOR), {mine: 0, new_id(): 0})
    assert [name for name, _, _ in shape(result)] == [mine]


async def test_the_list_pages_newest_first_with_last_entry_and_unread_in_a_few_questions(world: World) -> None:
    for talk in world.talks:
        await world.writer.send(actor(PATIENT), talk, say(PATIENT, f"给{talk[:4]}"))
    with world.trips.counting() as counted:
        page, cursor = await world.listing.list_conversations(actor(DOCTOR), open_only=False, limit=30, cursor=None)
    assert counted == Counter({"find log": 2, "find receipts": 1, "find keys": 2})
    rest, end = await world.listing.list_conversations(actor(DOCTOR), open_only=False, limit=30, cursor=cursor)
    assert end is None
    listed = [*page, *rest]
    assert [each.snapshot.conversation_id for each in listed] == world.talks
    for each in listed:
        last = orjson.loads(each.last)
        assert (last["seq"], last["parts"][0]["text"]) == (2, f"给{each.snapshot.conversation_id[:4]}")
        assert each.marks.unread == 1
    assert await world.listing.list_conversations(actor(STRANGER), open_only=False, limit=30, cursor=None) == ([], cursor)
    with pytest.raises(RequestInvalid):
        await world.listing.list_conversations(actor(DOCTOR), open_only=False, limit=30, cursor="x")
