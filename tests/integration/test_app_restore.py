"""Backups, and what a restored database must say of itself."""

import asyncio
import getpass
import hashlib
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bson
import pytest
from pydantic import SecretStr

from server.app.backup import BackupFailed, load_backup, write_backup
from server.app.commands import make_backup
from server.app.migrations import find_epoch, raise_epoch
from server.app.settings import Settings
from server.kernel.ids import new_id
from server.kernel.mongo import ALL_HOSPITALS, Database, Document, connect
from server.kernel.mongo import database as open_database
from tests.support.faulty_mongo import FaultyMongo, faults_of, faulty_mongo

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


async def test_each_restore_has_an_epoch_that_no_device_has_seen(database: Database) -> None:
    assert await find_epoch(database) == 1
    first = await raise_epoch(database, NOW)
    assert (first, await find_epoch(database)) == (int(NOW.timestamp()), int(NOW.timestamp()))
    assert await raise_epoch(database, NOW) == first + 1
    assert await raise_epoch(database, NOW - timedelta(days=1)) == first + 2


async def test_the_same_backup_restored_twice_is_two_epochs(database: Database) -> None:
    first = await raise_epoch(database, NOW)
    await database["meta"].delete_one({"_id": "epoch", "hospital_id": "platform"})
    assert await raise_epoch(database, NOW + timedelta(hours=1)) == first + 3600


@asynccontextmanager
async def _own_database(mongo_url: str) -> AsyncIterator[Database]:
    client = connect(mongo_url)
    name = f"test_{new_id()}"
    yield open_database(client, name)
    await client.drop_database(name)
    await client.close()


@pytest.fixture
async def full(mongo_url: str) -> AsyncIterator[Database]:
    """What is backed up: with nothing in it but what a test puts there."""
    async with _own_database(mongo_url) as made:
        yield made


@pytest.fixture
async def empty(mongo_url: str) -> AsyncIterator[Database]:
    """What is restored into."""
    async with _own_database(mongo_url) as made:
        yield made


async def _filled(database: Database) -> dict[str, list[Document]]:
    """Every kind of value that is stored, more documents than one batch, and an empty collection."""
    await database["things"].insert_many([{"_id": number, "hospital_id": "default", "at": NOW} for number in range(1_200)])
    await database["sealed"].insert_one({"_id": b"\0" * 16, "hospital_id": "default", "body": bytes(300_000), "z": 1, "a": 2})
    await database.create_collection("nothing_yet")
    return await _all(database)


async def _all(database: Database) -> dict[str, list[Document]]:
    names = sorted(await database.list_collection_names())
    return {name: await database[name].find({}, sort=[("_id", 1)], comment=ALL_HOSPITALS).to_list() for name in names}


async def test_a_backup_put_into_an_empty_database_is_the_same_database(
    full: Database, empty: Database, tmp_path: Path
) -> None:
    there = await _filled(full)
    file = tmp_path / "yunzhen.backup"
    made = await write_backup(full, file, NOW)
    await full["things"].delete_many({"hospital_id": "default"})
    assert (made.collections, made.documents, made.bytes) == (3, 1_201, file.stat().st_size)
    assert made.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert file.stat().st_mode & 0o777 == 0o600
    assert await load_backup(empty, file) == made
    restored = await _all(empty)
    assert restored == {name: documents for name, documents in there.items() if documents}
    assert list(restored["sealed"][0]) == ["_id", "hospital_id", "body", "z", "a"]


async def test_a_backup_is_of_one_instant_whatever_is_written_meanwhile(
    full: Database, empty: Database, tmp_path: Path
) -> None:
    """`a` is copied first. Whoever writes `a` and then `b` is found with both, with neither, or with `a` alone."""
    await full["b"].insert_one({"_id": 0, "hospital_id": "default"})
    over = asyncio.Event()

    async def write() -> None:
        for number in itertools.count(1):
            for name in ("a", "b"):
                await full[name].insert_one({"_id": number, "hospital_id": "default"})
            if over.is_set():
                return

    writing = asyncio.create_task(write())
    for number in range(5):
        await write_backup(full, tmp_path / f"{number}.backup", NOW)
    over.set()
    await writing
    await load_backup(empty, tmp_path / "4.backup")
    a, b = [await empty[name].count_documents({"_id": {"$gt": 0}, "hospital_id": "default"}) for name in "ab"]
    assert a - b in (0, 1)
    assert a > 0


async def test_what_is_damaged_cut_short_or_something_else_restores_nothing(
    full: Database, empty: Database, tmp_path: Path
) -> None:
    await _filled(full)
    file = tmp_path / "good"
    await write_backup(full, file, NOW)
    good = file.read_bytes()
    wrong = {
        "cut short": good[:-1],
        "without its end": good[: good.rindex(b"E")],
        "changed": good.replace(b"default", b"defualt", 1),
        "longer": good + good,
        "empty": b"",
        "something else": b"PK\x03\x04" + bytes(100),
        "of another kind": b"H" + bson.encode({"format": "yunzhen-backup-9"}) + b"E" + bson.encode({}),
    }
    for name, content in wrong.items():
        (tmp_path / "wrong").write_bytes(content)
        with pytest.raises(BackupFailed):
            await load_backup(empty, tmp_path / "wrong")
        assert await empty.list_collection_names() == [], name


async def test_nothing_is_restored_over_what_is_there_and_no_backup_is_overwritten(full: Database, tmp_path: Path) -> None:
    await _filled(full)
    file = tmp_path / "yunzhen.backup"
    await write_backup(full, file, NOW)
    before = await _all(full)
    with pytest.raises(BackupFailed, match="not empty"):
        await load_backup(full, file)
    assert await _all(full) == before
    with pytest.raises(BackupFailed, match="exists"):
        await write_backup(full, file, NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["yunzhen.backup"]


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyMongo]:
    with faulty_mongo(tmp_path_factory.mktemp("mongod")) as running:
        yield running


def _settings(url: str, folder: Path) -> Settings:
    return Settings(mongo_url=SecretStr(url), redis_url=SecretStr("redis://127.0.0.1:1/0"), data_dir=folder)


async def _rows(database: Database) -> list[tuple[str, str, str | None, str]]:
    rows = await database["audit"].find({"hospital_id": "platform"}, sort=[("at", 1), ("_id", 1)]).to_list()
    assert {row["account_id"] for row in rows} == {f"operator:{getpass.getuser()}"}
    return [(row["action"], row["subject"], row["address"], row["outcome"]) for row in rows]


async def test_who_made_a_backup_where_and_what_it_is_stands_in_the_audit(
    mongod: FaultyMongo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with _own_database(mongod.url) as full:
        await _filled(full)
        url = mongod.url.replace("/?", f"/{full.name}?")
        file = tmp_path / "yunzhen.backup"
        assert await make_backup(_settings(url, tmp_path), file) == 0
        digest, place = hashlib.sha256(file.read_bytes()).hexdigest(), f"{socket.gethostname()}:{file}"[-200:]
        assert f"sha256 {digest}" in capsys.readouterr().out
        made = ("app.backup_made", f"sha256:{digest}:{file.stat().st_size}", place, "ok")
        assert await _rows(full) == [("app.backup_began", "yunzhen.backup", place, "ok"), made]
        assert await make_backup(_settings(url, tmp_path), file) == 1
        assert [row[0] for row in await _rows(full)] == ["app.backup_began", "app.backup_made", "app.backup_began"]


async def test_without_an_audit_there_is_no_backup(mongod: FaultyMongo, tmp_path: Path) -> None:
    async with _own_database(mongod.url) as full:
        await full.create_collection("audit", validator={"never": True})
        url = mongod.url.replace("/?", f"/{full.name}?")
        assert await make_backup(_settings(url, tmp_path), tmp_path / "yunzhen.backup") == 1
    assert not (tmp_path / "yunzhen.backup").exists()


async def test_a_snapshot_that_will_be_gone_before_the_end_is_said_before_the_beginning(
    mongod: FaultyMongo, tmp_path: Path
) -> None:
    file = tmp_path / "yunzhen.backup"
    async with _own_database(mongod.url) as full:
        await _filled(full)
        window = {"setParameter": 1, "minSnapshotHistoryWindowInSeconds": 0}
        await full.client.admin.command(window)
        with pytest.raises(BackupFailed, match=r"\(0 s\); it would take .* minSnapshotHistoryWindowInSeconds: 60"):
            await write_backup(full, file, NOW)
        await full.client.admin.command({**window, "minSnapshotHistoryWindowInSeconds": 300})
        await write_backup(full, file, NOW)


@pytest.mark.parametrize("code", [239, 246])
async def test_a_snapshot_that_goes_on_the_way_leaves_no_file_and_says_what_to_set(
    mongod: FaultyMongo, tmp_path: Path, code: int
) -> None:
    async with _own_database(mongod.url) as full, faults_of(mongod.url) as faults:
        await _filled(full)
        await faults.sometimes(1.0, failCommands=["getMore"], errorCode=code, namespace=f"{full.name}.things")
        with pytest.raises(BackupFailed, match=r"let the snapshot go after .* bytes copied; it would take .* minSnapshotHist"):
            await write_backup(full, tmp_path / "yunzhen.backup", NOW)
        await faults.none()
    assert list(tmp_path.iterdir()) == []
