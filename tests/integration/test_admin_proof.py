import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from admin_console.domain.checkpoints import Signer
from admin_console.domain.verification import Damage
from admin_console.files import CheckpointFiles
from admin_console.mongo import MongoCheckpoints, MongoFeed
from admin_console.mongo.checkpoints import CHECKPOINTS, FEED_PLACES
from admin_console.service import Checkpoints, Verifier
from consult.domain.order import Order
from server.kernel.actor import system_actor
from server.kernel.audit import AUDIT, AuditLog, audit_row
from server.kernel.ids import id_bytes
from server.kernel.mongo import Database
from server.kernel.streams import position
from tests.support.clock import ManualClock
from tests.support.supervision import PATIENT, SIGNER, Supervision, supervision

LOG = "log"


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Supervision]:
    made = await supervision(database, clock, tmp_path)
    yield made
    await made.close()


async def _history(world: Supervision) -> Order:
    """Ten audit rows of one stream and a conversation of ten entries, under checkpoints."""
    order = await world.order()
    for _ in range(9):
        await world.say(order, PATIENT)
    await _audited(world, 10)
    assert await world.checkpoints.run() == 1
    assert (await world.verifier.verify()).lines() == [
        "unbroken: 20 items in 2 streams, 1 checkpoints, 0 items not yet under a checkpoint"
    ]
    return order


async def _audited(world: Supervision, count: int, log: AuditLog | None = None) -> None:
    for _ in range(count):
        row = audit_row(system_actor(), "a.b", subject="s", at=world.clock.now())
        await (log or world.audit).record(row)


async def _findings(world: Supervision) -> list[tuple[Damage, str, int]]:
    report = await world.verifier.verify()
    assert report.holds == (not report.findings)
    return [(finding.damage, finding.kind, finding.seq) for finding in report.findings]


async def _documents(world: Supervision, kind: str) -> list[dict[str, Any]]:
    return await world.database[kind].find({}).sort("_id", 1).to_list()


@pytest.mark.parametrize("kind", [AUDIT, LOG])
async def test_an_edited_item_is_named(world: Supervision, kind: str) -> None:
    await _history(world)
    victim = (await _documents(world, kind))[4]
    change = {"action": "a.c"} if kind == AUDIT else {"body": victim["body"][:-1] + b"\0"}
    await world.database[kind].update_one({"_id": victim["_id"]}, {"$set": change})
    assert await _findings(world) == [(Damage.EDITED, kind, 5)]


@pytest.mark.parametrize("change", [{"at": "yesterday"}, {"extra": 1}, {"hash": b"short"}, {"hash": 7}, {"outcome": "maybe"}])
async def test_an_item_of_another_form_is_an_edited_one(world: Supervision, change: dict[str, Any]) -> None:
    await _history(world)
    victim = (await _documents(world, AUDIT))[4]
    await world.database[AUDIT].update_one({"_id": victim["_id"]}, {"$set": change})
    assert (Damage.EDITED, AUDIT, 5) in await _findings(world)


@pytest.mark.parametrize("kind", [AUDIT, LOG])
async def test_a_dropped_item_is_named(world: Supervision, kind: str) -> None:
    await _history(world)
    victim = (await _documents(world, kind))[4]
    await world.database[kind].delete_one({"_id": victim["_id"]})
    assert await _findings(world) == [(Damage.DROPPED, kind, 5)]


@pytest.mark.parametrize("kind", [AUDIT, LOG])
@pytest.mark.parametrize(("one", "other"), [(3, 4), (3, 8)])
async def test_items_that_changed_places_are_named(world: Supervision, kind: str, one: int, other: int) -> None:
    await _history(world)
    documents = await _documents(world, kind)
    first, second = documents[one - 1], documents[other - 1]
    await world.database[kind].delete_many({"_id": {"$in": [first["_id"], second["_id"]]}})
    await world.database[kind].insert_many([{**first, "_id": second["_id"]}, {**second, "_id": first["_id"]}])
    assert await _findings(world) == [(Damage.REORDERED, kind, one), (Damage.REORDERED, kind, other)]


@pytest.mark.parametrize("kind", [AUDIT, LOG])
async def test_a_cut_end_is_named(world: Supervision, kind: str) -> None:
    await _history(world)
    for document in (await _documents(world, kind))[7:]:
        await world.database[kind].delete_one({"_id": document["_id"]})
    assert await _findings(world) == [(Damage.TRUNCATED, kind, 8)]


@pytest.mark.parametrize("kind", [AUDIT, LOG])
async def test_a_stream_that_is_gone_is_named(world: Supervision, kind: str) -> None:
    await _history(world)
    await world.database[kind].delete_many({})
    assert await _findings(world) == [(Damage.TRUNCATED, kind, 1)]


async def test_a_history_that_was_rewritten_with_its_chain_contradicts_the_checkpoint(world: Supervision) -> None:
    order = await _history(world)
    stream = id_bytes(order.conversation_id)
    await _rewrite(world, stream, first=6)
    assert await _findings(world) == [(Damage.REWRITTEN, LOG, 10)]
    (finding,) = (await world.verifier.verify()).findings
    assert finding.stream == order.conversation_id


async def _rewrite(world: Supervision, stream: bytes, first: int) -> None:
    """What someone with the database and this code, but without the checkpoint key, can do."""
    from admin_console.domain.verification import link_of

    previous = b""
    for seq, document in enumerate(await _documents(world, LOG), start=1):
        if seq >= first:
            changed = {**document, "id": b"\1" * 16} if seq == first else dict(document)
            milliseconds = {**changed, "at": int(changed["at"].timestamp() * 1000)}
            changed["hash"] = link_of(LOG, previous, stream, seq, milliseconds)
            await world.database[LOG].replace_one({"_id": document["_id"]}, changed)
            document = changed
        previous = document["hash"]


async def test_what_is_no_item_at_all_is_found(world: Supervision) -> None:
    await _history(world)
    await world.database[AUDIT].insert_many([{"_id": "x", "audit_id": "1"}, {"_id": position(bytes(16), 0), "audit_id": "2"}])
    assert sorted(await _findings(world)) == [(Damage.FOREIGN, AUDIT, 0), (Damage.FOREIGN, AUDIT, 0)]


async def test_only_streams_that_changed_stand_in_the_next_checkpoint(world: Supervision, clock: ManualClock) -> None:
    order = await _history(world)
    assert await world.checkpoints.run() == 0
    other = AuditLog(world.database)
    await _audited(world, 3, other)
    clock.advance(timedelta(minutes=1))
    assert await world.checkpoints.run() == 1
    await world.say(order, PATIENT)
    assert await world.checkpoints.run() == 1
    stored = [checkpoint async for checkpoint in MongoCheckpoints(world.database).list_after(0)]
    assert [[(head.kind, head.seq) for head in checkpoint.heads] for checkpoint in stored] == [
        [(AUDIT, 10), (LOG, 10)],
        [(AUDIT, 3)],
        [(LOG, 11)],
    ]
    lines = [line async for line in CheckpointFiles(world.folder, SIGNER.public_key).lines()]
    assert lines == stored
    assert await _findings(world) == []


async def test_a_feed_that_lost_its_place_reads_all_heads(world: Supervision) -> None:
    await _history(world)
    await world.database[FEED_PLACES].delete_many({})
    assert await world.checkpoints.run() == 1
    await world.database[FEED_PLACES].update_one({}, {"$set": {"tokens.log": {"_data": "00"}}})
    order = await world.order()
    await world.say(order, PATIENT)
    assert await world.checkpoints.run() == 1
    assert await _findings(world) == []
    assert (await world.verifier.verify()).uncovered == 0


async def test_a_change_of_history_is_noticed_when_it_is_made(world: Supervision) -> None:
    await _history(world)
    place = await MongoCheckpoints(world.database).find_place()
    victim = (await _documents(world, LOG))[4]
    await world.database[LOG].update_one({"_id": victim["_id"]}, {"$set": {"kind": "gift"}})
    changed = await MongoFeed(world.database).changed_since(place)
    assert changed.tampered == (f"log.update {victim['_id'].hex()}",)
    assert changed.heads == ()


async def test_two_keepers_at_once_make_one_chain(world: Supervision) -> None:
    await _history(world)
    for _ in range(5):
        await _audited(world, 2)
        second = Checkpoints(
            MongoFeed(world.database),
            MongoCheckpoints(world.database),
            CheckpointFiles(world.folder / "second", SIGNER.public_key),
            SIGNER,
            world.clock,
        )
        await asyncio.gather(world.checkpoints.run(), second.run())
    await _audited(world, 1)
    await world.checkpoints.run()
    assert await _findings(world) == []


async def test_two_keepers_that_share_a_folder_write_each_checkpoint_once(world: Supervision) -> None:
    """One that was frozen while it led goes on where it was, beside the one that leads now."""
    await _history(world)
    (made,) = [each async for each in MongoCheckpoints(world.database).list_after(0)]
    frozen, now = (CheckpointFiles(world.folder, SIGNER.public_key) for _ in range(2))
    await asyncio.gather(*(file.append(made) for file in (frozen, now) for _ in range(4)))
    await _audited(world, 1)
    await world.checkpoints.run()
    await frozen.append(made)
    assert [line.number async for line in now.lines() if line is not None] == [1, 2]
    assert await _findings(world) == []


async def test_what_a_crash_kept_from_the_file_is_carried_out_later(world: Supervision, tmp_path: Path) -> None:
    await _history(world)
    (path,) = world.folder.glob("*.jsonl")
    whole = path.read_bytes()
    await _audited(world, 1)
    await world.checkpoints.run()
    torn = path.read_bytes()[: len(whole) + 40]
    path.write_bytes(torn)
    assert await _findings(world) == []
    await _audited(world, 1)
    await world.checkpoints.run()
    assert path.read_bytes().startswith(whole)
    lines = [line async for line in CheckpointFiles(world.folder, SIGNER.public_key).lines()]
    assert [line.number for line in lines if line is not None] == [1, 2, 3]
    assert await _findings(world) == []


async def _three_checkpoints(world: Supervision, clock: ManualClock) -> Path:
    await _history(world)
    for _ in range(2):
        await _audited(world, 1)
        await world.checkpoints.run()
    clock.advance(timedelta(minutes=10))
    (path,) = world.folder.glob("*.jsonl")
    return path


async def test_tampering_with_the_file_is_named(world: Supervision, clock: ManualClock) -> None:
    path = await _three_checkpoints(world, clock)
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + third)
    assert await _findings(world) == [(Damage.CHECKPOINT, "file", 3), (Damage.CHECKPOINT, "file", 2)]
    path.write_bytes(second + first + third)
    assert (Damage.CHECKPOINT, "file", 2) in await _findings(world)
    path.write_bytes(first + b"{}\n" + third)
    assert (Damage.CHECKPOINT, "file", 2) in await _findings(world)
    path.write_bytes(first.replace(b'"at_ms":1', b'"at_ms":2') + second + third)
    assert (Damage.CHECKPOINT, "file", 1) in await _findings(world)
    path.write_bytes(first + second + third)
    assert await _findings(world) == []


def _note(files: str, last: int) -> str:
    return f"not shown: the files of this host {files}, the database has {last}. "


async def test_files_that_end_early_accuse_nobody_and_what_they_do_not_show_is_said(
    world: Supervision, clock: ManualClock
) -> None:
    """A host whose keeper was away, or that has none: its files are a beginning of what there is."""
    path = await _three_checkpoints(world, clock)
    first, second, _ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second)
    assert await _findings(world) == []
    (note,) = (await world.verifier.verify()).notes
    assert note.startswith(_note("end at checkpoint 2", 3))
    shutil.rmtree(world.folder)
    assert await _findings(world) == []
    (note,) = (await world.verifier.verify()).notes
    assert note.startswith(_note("are not there", 3))


async def test_a_host_without_files_verifies_by_a_copy_of_another_hosts(
    world: Supervision, clock: ManualClock, tmp_path: Path
) -> None:
    await _three_checkpoints(world, clock)
    copy = CheckpointFiles(shutil.copytree(world.folder, tmp_path / "copy"), SIGNER.public_key)
    shutil.rmtree(world.folder)
    assert (await world.verifier.verify(copy)).notes == []
    await world.database[CHECKPOINTS].delete_many({"_id": {"$gt": 2}})
    assert await _findings(world) == []
    assert [(each.damage, each.seq) for each in (await world.verifier.verify(copy)).findings] == [(Damage.CHECKPOINT, 3)]


async def test_a_keeper_that_never_led_has_all_checkpoints_in_its_own_files(world: Supervision, tmp_path: Path) -> None:
    await _history(world)
    await _audited(world, 1)
    await world.checkpoints.run()
    files = CheckpointFiles(tmp_path / "another-host", SIGNER.public_key)
    standby = Checkpoints(MongoFeed(world.database), MongoCheckpoints(world.database), files, SIGNER, world.clock)
    assert (await standby.carry_out(), await standby.carry_out()) == (2, 0)
    (theirs,), (ours,) = world.folder.glob("*.jsonl"), (tmp_path / "another-host").glob("*.jsonl")
    assert ours.read_bytes() == theirs.read_bytes()
    assert (await world.verifier.verify(files)).lines() == [
        "unbroken: 21 items in 2 streams, 2 checkpoints, 0 items not yet under a checkpoint"
    ]


async def test_tampering_with_the_checkpoints_in_the_database_is_named(world: Supervision, clock: ManualClock) -> None:
    await _three_checkpoints(world, clock)
    await world.database[CHECKPOINTS].delete_one({"_id": 3})
    assert await _findings(world) == [(Damage.CHECKPOINT, "database", 3)]
    await world.database[CHECKPOINTS].update_one({"_id": 2}, {"$set": {"heads": b""}})
    assert (Damage.CHECKPOINT, "database", 2) in await _findings(world)


async def test_a_set_back_database_is_seen_and_the_numbers_go_on_behind_the_file(
    world: Supervision, clock: ManualClock
) -> None:
    await _three_checkpoints(world, clock)
    await world.database[CHECKPOINTS].delete_many({"_id": {"$gt": 1}})
    last = (await _documents(world, AUDIT))[-1]
    await world.database[AUDIT].delete_one({"_id": last["_id"]})
    await _audited(world, 1, AuditLog(world.database))
    assert await world.checkpoints.run() == 1
    found = await _findings(world)
    assert (Damage.TRUNCATED, AUDIT, 12) in found
    assert {(d, k, s) for d, k, s in found if d is Damage.CHECKPOINT} == {
        (Damage.CHECKPOINT, "database", 2),
        (Damage.CHECKPOINT, "database", 3),
        (Damage.CHECKPOINT, "database", 4),
    }


async def test_checkpoints_of_another_key_prove_nothing(world: Supervision, clock: ManualClock) -> None:
    await _history(world)
    stranger = Signer(bytes(32))
    await world.database[CHECKPOINTS].delete_many({})
    await world.database[FEED_PLACES].delete_many({})
    shutil.rmtree(world.folder)
    file = CheckpointFiles(world.folder, stranger.public_key)
    forged = Checkpoints(MongoFeed(world.database), MongoCheckpoints(world.database), file, stranger, clock)
    assert await forged.run() == 1
    assert await _findings(world) == [(Damage.CHECKPOINT, "file", 1), (Damage.CHECKPOINT, "database", 1)]


async def test_verifying_needs_no_key_of_any_content(world: Supervision) -> None:
    await _history(world)
    await world.database["keys"].delete_many({})
    archive = world.verifier._archive
    verifier = Verifier(archive, CheckpointFiles(world.folder, b""), SIGNER.public_key, world.clock)
    assert (await verifier.verify()).holds
