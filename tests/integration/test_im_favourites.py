"""Favourites of messages, on the real log."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from im.domain import RecallMessage
from im.errors import ConversationNotFound, FavouriteNotFound, FavouritesFull, MessageNotFound
from im.favourites.domain import MOST_FAVOURITES, ShownFavourite
from im.favourites.mongo import MongoFavourites
from im.favourites.service import FavouriteService
from im.history import History
from im.names import NameBook
from im.receipts import Receipts
from im.service import ConversationLog
from server.kernel.audit import AuditLog
from server.kernel.crypto import Keyring
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.im_log import DOCTOR, MASTER, PATIENT, STRANGER, Openings, actor, make_log, say


class Nobody:
    """Names and open conversations: none."""

    async def find_names(self, account_ids: Any) -> dict[str, str]:
        return {}

    async def list_open_conversations(self, who: Any, limit: int) -> list[str]:
        return []


@dataclass
class World:
    database: Database
    log: ConversationLog
    service: FavouriteService
    talk: str


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> AsyncIterator[World]:
    talk, keyring, audit, nobody = new_id(), Keyring(MASTER, database), AuditLog(database), Nobody()
    log = make_log(database, Openings(talk, quota=100), clock, audit=audit)
    receipts = Receipts(database, log)
    history = History(log, receipts, nobody, NameBook(nobody, clock), audit, clock, epoch=1)
    yield World(database, log, FavouriteService(MongoFavourites(database, keyring), history, audit, clock), talk)
    await receipts.close()
    await log.close()
    await audit.close()


def message(shown: ShownFavourite) -> Any:
    assert shown.message is not None
    return orjson.loads(shown.message)


async def test_the_favourite_of_a_recalled_message_shows_the_tombstone(world: World) -> None:
    doctor = actor(DOCTOR)
    sent = await world.log.send(doctor, world.talk, say(DOCTOR, "每日一次，饭后服用"))
    for _ in range(2):
        kept = await world.service.add(doctor, world.talk, sent.entry.seq, "用药")
    assert message(kept)["parts"] == [{"kind": "text", "text": "每日一次，饭后服用"}]
    await world.log.recall(doctor, world.talk, RecallMessage(DOCTOR, new_id(), sent.entry.seq))
    (shown,), cursor = await world.service.list_favourites(doctor, 20, None)
    assert (message(shown)["recalled"], message(shown)["parts"], shown.favourite.label, cursor) == (True, [], "用药", None)
    stored = str(await world.database["favourites"].find().to_list())
    assert "用药" not in stored
    assert "饭后" not in stored


async def test_only_a_member_keeps_a_message_and_each_has_their_own(world: World) -> None:
    sent = await world.log.send(actor(PATIENT), world.talk, say(PATIENT, "您好"))
    kept = await world.service.add(actor(DOCTOR), world.talk, sent.entry.seq, "")
    with pytest.raises(ConversationNotFound):
        await world.service.add(actor(STRANGER), world.talk, sent.entry.seq, "")
    for seq in (1, sent.entry.seq + 1):
        with pytest.raises(MessageNotFound):
            await world.service.add(actor(DOCTOR), world.talk, seq, "")
    for other in (PATIENT, STRANGER):
        assert await world.service.list_favourites(actor(other), 20, None) == ([], None)
        for attempt in (
            world.service.label(actor(other), kept.favourite.id, "x"),
            world.service.remove(actor(other), kept.favourite.id),
        ):
            with pytest.raises(FavouriteNotFound):
                await attempt
    assert (await world.service.label(actor(DOCTOR), kept.favourite.id, "问候")).favourite.label == "问候"
    await world.service.remove(actor(DOCTOR), kept.favourite.id)
    assert await world.service.list_favourites(actor(DOCTOR), 20, None) == ([], None)


async def test_favourites_are_paged_and_bounded(world: World, clock: ManualClock) -> None:
    doctor = actor(DOCTOR)
    seqs = [(await world.log.send(doctor, world.talk, say(DOCTOR, f"{n}"))).entry.seq for n in range(3)]
    await asyncio.gather(*(world.service.add(doctor, world.talk, seq, "") for seq in seqs[:2]))
    seen, cursor = [], None
    while True:
        page, cursor = await world.service.list_favourites(doctor, 1, cursor)
        seen += [shown.favourite.seq for shown in page]
        if cursor is None:
            break
    assert sorted(seen) == seqs[:2]
    keys = await Keyring(MASTER, world.database).hospital(doctor.hospital_id)
    fillers = [
        {"id": f"{n:032x}", "conversation_id": world.talk, "seq": seqs[0], "created_at": clock.now()}
        | {"label": keys.seal_text("", field="favourites.label", owner=f"{n:032x}")}
        for n in range(MOST_FAVOURITES - 2)
    ]
    await world.database["favourites"].update_one({"_id": DOCTOR}, {"$push": {"items": {"$each": fillers}}})
    with pytest.raises(FavouritesFull):
        await world.service.add(doctor, world.talk, seqs[2], "")
    await world.service.remove(doctor, fillers[0]["id"])
    assert (await world.service.add(doctor, world.talk, seqs[2], "")).favourite.seq == seqs[2]
