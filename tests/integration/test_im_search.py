"""Search over sealed messages: the terms that follow the log, and what members find by them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from im.domain import RecallMessage, SendMessage
from im.errors import ConversationNotFound
from im.follower import Follower
from im.history import History
from im.mongo import LogStore
from im.names import NameBook
from im.receipts import Receipts
from im.search import service as search_service
from im.search.domain import SEARCH_TERMS, Found, Place, Scoped
from im.search.mongo import INDEXES, MongoTerms
from im.search.projection import SearchTerms
from im.search.service import SEARCHED, MessageSearch
from im.service import ConversationLog
from server.kernel.actor import Actor
from server.kernel.audit import AUDIT, AuditLog
from server.kernel.crypto import KEYS, Keyring
from server.kernel.errors import RequestInvalid
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.im_log import DOCTOR, MASTER, PATIENT, STRANGER, Openings, actor, make_log, text
from tests.support.indexes import make_indexes


@dataclass
class Talks:
    """Implements `Scope`: the conversations of a test, newest first, and names of nobody."""

    talks: list[str]
    asked: list[int] = field(default_factory=list)

    async def list_scope(self, who: Actor, *, limit: int, start: Place | None, open_only: bool = False) -> list[Scoped]:
        self.asked.append(limit)
        scoped = [Scoped(each, "default", (0, each)) for each in sorted(self.talks, reverse=True)]
        return [each for each in scoped if start is None or each.place <= start][:limit]

    async def find_names(self, account_ids: Any) -> dict[str, str]:
        return {}

    async def list_open_conversations(self, who: Any, limit: int) -> list[str]:
        return []


@dataclass
class World:
    database: Database
    log: ConversationLog
    terms: SearchTerms
    follower: Follower
    search: MessageSearch
    talks: Talks

    async def say(self, talk: str, words: str, who: str = PATIENT, corrects: int | None = None) -> int:
        command = SendMessage(who, new_id(), text(words), corrects)
        return (await self.log.send(actor(who), talk, command)).entry.seq

    async def recall(self, talk: str, seq: int, who: str = PATIENT) -> None:
        await self.log.recall(actor(who), talk, RecallMessage(who, new_id(), seq))

    async def follow(self) -> None:
        await self.follower.catch_up([self.terms])

    async def find(self, words: str, who: str = PATIENT, **where: Any) -> list[tuple[str, int]]:
        """All pages."""
        found: list[tuple[str, int]] = []
        asked: dict[str, Any] = {"conversation_id": None, "limit": 50, "cursor": None} | where
        while True:
            page = await self.search.search(actor(who), words, **asked)
            found += places(page)
            if page.cursor is None:
                return found
            asked["cursor"] = page.cursor


def places(found: Found) -> list[tuple[str, int]]:
    return [(hit.conversation_id, hit.seq) for hit in found.hits]


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> AsyncIterator[World]:
    await make_indexes(database, INDEXES)
    talks = Talks([new_id() for _ in range(3)])
    keyring, audit = Keyring(MASTER, database), AuditLog(database)
    log = make_log(database, Openings(*talks.talks, quota=100_000), clock, audit=audit)
    receipts = Receipts(database, log)
    history = History(log, receipts, talks, NameBook(talks, clock), audit, clock, epoch=1)
    terms = MongoTerms(database, keyring)
    projection = SearchTerms(terms, LogStore(database), keyring)
    search = MessageSearch(terms, talks, log, history, audit, clock)
    yield World(database, log, projection, Follower(database, keyring), search, talks)
    await receipts.close()
    await log.close()
    await audit.close()


async def test_a_two_character_word_is_found_newest_first_in_all_of_ones_conversations(world: World) -> None:
    first, second, _ = sorted(world.talks.talks)
    await world.say(first, "孩子感冒三天了")
    await world.say(first, "没有别的")
    await world.say(first, "还是感冒", DOCTOR)
    await world.say(second, "感冒药 Paracetamol 500mg 怎么吃")
    assert await world.find("感冒") == []
    await world.follow()
    assert await world.find("感冒") == [(second, 2), (first, 4), (first, 2)]
    assert await world.find("感冒", DOCTOR) == [(second, 2), (first, 4), (first, 2)]
    assert await world.find("感冒 paracetamol") == [(second, 2)]
    assert await world.find("感冒", conversation_id=first) == [(first, 4), (first, 2)]
    assert await world.find("发烧") == []
    page = await world.search.search(actor(PATIENT), "500MG", conversation_id=None, limit=1, cursor=None)
    message = orjson.loads(page.hits[0].message)
    assert (message["seq"], message["parts"][0]["text"]) == (2, "感冒药 Paracetamol 500mg 怎么吃")


async def test_a_stranger_finds_nothing_even_if_the_list_names_the_conversation(world: World) -> None:
    talk = world.talks.talks[0]
    await world.say(talk, "感冒三天")
    await world.follow()
    assert await world.find("感冒", STRANGER) == []
    with pytest.raises(ConversationNotFound):
        await world.find("感冒", STRANGER, conversation_id=talk)
    with pytest.raises(ConversationNotFound):
        await world.find("感冒", STRANGER, conversation_id=new_id())
    denied = await world.database[AUDIT].find({"outcome": "denied"}).to_list()
    assert [(row["action"], row["account_id"], row["subject"]) for row in denied] == [
        ("im.conversation_refused", STRANGER, talk)
    ]


async def test_what_was_recalled_or_corrected_is_not_found_and_the_correction_is(world: World) -> None:
    talk = world.talks.talks[0]
    recalled = await world.say(talk, "剂量五毫克")
    corrected = await world.say(talk, "剂量五十毫克")
    correction = await world.say(talk, "剂量十五毫克", corrects=corrected)
    await world.follow()
    await world.recall(talk, recalled)
    assert await world.find("毫克") == [(talk, correction)]  # the projection has not heard of the recall yet
    await world.follow()
    assert await world.find("毫克") == [(talk, correction)]
    await world.recall(talk, correction)
    await world.follow()
    assert await world.find("毫克") == [(talk, corrected)]


async def test_the_database_alone_tells_no_words(world: World) -> None:
    talk = world.talks.talks[0]
    await world.say(talk, "感冒三天")
    await world.follow()
    stored = await world.database[SEARCH_TERMS].find({}).to_list()
    assert len(stored) == 2
    whole = str(stored)
    assert not any(word in whole for word in ("感冒", "冒三", "三天"))
    assert sorted(key for document in stored for key in document) == sorted(
        ["_id", "hospital_id", "log_seq", "_id", "hospital_id", "conversation", "terms", "corrects", "recalled"]
    )


async def test_entries_that_come_again_in_any_order_change_nothing(world: World) -> None:
    talk = world.talks.talks[0]
    seq = await world.say(talk, "感冒三天")
    await world.recall(talk, seq)
    await world.say(talk, "感冒好了")
    await world.follow()
    before = await world.database[SEARCH_TERMS].find({}, sort=[("_id", 1)]).to_list()
    entries = (await world.log.read_entries(talk, after_seq=0)).entries
    for again in (entries, entries[:2], entries[1:3], entries):
        await world.terms.consume({talk: again})
    assert await world.database[SEARCH_TERMS].find({}, sort=[("_id", 1)]).to_list() == before


async def test_a_recall_that_could_not_be_noted_is_not_taken_for_followed(world: World) -> None:
    """How far a conversation is followed is written with it, in one go: it must not stand where the recall does not."""
    talk = world.talks.talks[0]
    seq = await world.say(talk, "感冒三天")
    await world.follow()
    await world.recall(talk, seq)
    rule: dict[str, Any] = {"collMod": SEARCH_TERMS, "validator": {"recalled": {"$ne": True}}}
    await world.database.command(rule)
    await world.follow()
    assert await world.terms.find_log_seqs([talk]) == {talk: seq}
    await world.database.command({**rule, "validator": {}})
    await world.follow()
    assert await world.terms.find_log_seqs([talk]) == {talk: seq + 1}
    assert await world.database[SEARCH_TERMS].count_documents({"recalled": True}) == 1


async def test_terms_are_made_anew_from_the_log_while_the_follower_goes_on(world: World) -> None:
    one, two, three = world.talks.talks
    for talk in (one, two):
        for words in ("感冒三天", "发烧一天"):
            await world.say(talk, words)
    await world.follow()
    before = await world.database[SEARCH_TERMS].find({}, sort=[("_id", 1)]).to_list()
    await world.database[SEARCH_TERMS].update_many({}, {"$set": {"terms": []}})
    assert await world.find("感冒") == []
    assert await world.follower.rebuild(world.terms) == 2
    assert await world.database[SEARCH_TERMS].find({}, sort=[("_id", 1)]).to_list() == before
    await world.database[SEARCH_TERMS].delete_many({})
    await asyncio.gather(world.follower.rebuild(world.terms), world.say(three, "感冒两天"))
    await world.follow()
    assert len(await world.find("感冒")) == 3


async def test_pages_neither_miss_nor_repeat_and_each_does_a_bounded_piece_of_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_service, "_CONVERSATIONS", 2)
    monkeypatch.setattr(search_service, "_PROPOSALS", 3)
    monkeypatch.setattr(search_service, "_ROUNDS", 2)
    expected = []
    for talk in sorted(world.talks.talks, reverse=True):
        expected += [(talk, await world.say(talk, f"感冒第{n}天")) for n in range(5)][::-1]
    await world.follow()
    for limit in (1, 2, 4, 50):
        found, cursor, calls = [], None, 0
        while True:
            world.talks.asked.clear()
            page = await world.search.search(actor(PATIENT), "感冒", conversation_id=None, limit=limit, cursor=cursor)
            assert len(world.talks.asked) <= 2
            assert len(page.hits) <= min(limit, 6)
            found += places(page)
            calls += 1
            if (cursor := page.cursor) is None:
                break
            if calls == 1:  # a conversation that begins meanwhile moves nothing
                world.talks.talks.append("f" * 32)
        world.talks.talks = [talk for talk in world.talks.talks if talk != "f" * 32]
        assert found == expected


async def test_an_erased_conversation_is_passed_over(world: World) -> None:
    gone, stays = world.talks.talks[:2]
    for talk in (gone, stays):
        await world.say(talk, "感冒三天")
    await world.follow()
    await world.database[KEYS].delete_one({"_id": f"conversation:{gone}"})
    other = make_log(world.database, Openings(), ManualClock())
    world.search.log = other
    world.search.messages._log = other  # type: ignore[attr-defined]
    assert await world.find("感冒") == [(stays, 2)]
    await other.close()


async def test_searches_are_rows_without_the_words_and_so_are_the_conversations_shown(world: World) -> None:
    shown, silent = world.talks.talks[:2]
    await world.say(shown, "感冒三天")
    await world.say(silent, "发烧三天")
    await world.follow()
    await world.find("感冒")
    rows = await world.database[AUDIT].find({"account_id": PATIENT}).to_list()
    assert [(row["action"], row["subject"]) for row in rows] == [("im.conversation_read", shown), (SEARCHED, PATIENT)]
    assert "感冒" not in str(rows)


@pytest.mark.parametrize("cursor", ["x", "WzEsMl0", "WzAsIngiLCIiLDBd", "WzkyMjMzNzIwMzY4NTQ3NzU4MDcsImEiLCIiLDBd"])
async def test_a_cursor_that_is_not_ours_is_refused(world: World, cursor: str) -> None:
    with pytest.raises(RequestInvalid):
        await world.find("感冒", cursor=cursor)


async def test_a_message_with_too_many_pairs_is_found_by_its_last_word(world: World) -> None:
    talk = world.talks.talks[0]
    await world.say(talk, "".join(chr(0x4E00 + n) for n in range(3_000)) + " 感冒")
    await world.say(talk, "无关")
    await world.follow()
    assert await world.find("感冒") == [(talk, 2)]
    assert await world.find("没有") == []
