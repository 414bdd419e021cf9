"""The embedded databases: real ones, that come back, are shared, and never outlive their program."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import AsyncMongoClient

from server.app.embedded import Addresses, DataFolderInUse, EmbeddedFailed, databases, embedded_databases
from server.app.settings import Settings
from server.kernel.mongo import Document, connect

_HOLDER = """
import asyncio, sys
from pathlib import Path
from server.app.embedded import embedded_databases

async def hold():
    async with embedded_databases(Path(sys.argv[1])):
        print("up", flush=True)
        await asyncio.sleep(600)

asyncio.run(hold())
"""


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "embedded.json").read_text())
    return record


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[AsyncMongoClient[Document]]:
    client = connect(url)
    try:
        yield client
    finally:
        await client.close()


async def _insert(addresses: Addresses, number: int) -> None:
    async with _client(addresses.mongo_url) as client:
        await client.db.things.insert_one({"_id": number})


async def _stored(addresses: Addresses) -> list[int]:
    async with _client(addresses.mongo_url) as client:
        return [document["_id"] async for document in client.db.things.find({}, sort=[("_id", 1)])]


async def _until_changed(folder: Path, name: str, pid: int) -> None:
    async with asyncio.timeout(20):
        while _record(folder)[name]["pid"] == pid:
            await asyncio.sleep(0.02)


def _hold(folder: Path) -> "subprocess.Popen[str]":
    """Another program that owns the folder's databases."""
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "up\n"
    return holder


async def _until_gone(pids: list[int]) -> None:
    async with asyncio.timeout(10):
        while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
            await asyncio.sleep(0.02)


async def test_transactions_and_redis_work_and_data_stays(tmp_path: Path) -> None:
    async with embedded_databases(tmp_path) as addresses:
        async with _client(addresses.mongo_url) as client:
            async with client.start_session() as session, await session.start_transaction():
                await client.db.things.insert_one({"_id": 1}, session=session)
            hello = await client.admin.command("hello")
            assert (hello["setName"], hello["hosts"]) == ("rs0", [f"127.0.0.1:{_record(tmp_path)['mongo']['port']}"])
        reader, writer = await asyncio.open_connection("127.0.0.1", _record(tmp_path)["redis"]["port"])
        writer.write(b"PING\r\n")
        assert await reader.readline() == b"+PONG\r\n"
        writer.close()
        await writer.wait_closed()
    async with embedded_databases(tmp_path) as again:
        assert again == addresses
        assert await _stored(again) == [1]


async def test_both_listen_on_loopback_only(tmp_path: Path) -> None:
    async with embedded_databases(tmp_path):
        for name in ("mongo", "redis"):
            listening = [
                c.laddr.ip
                for c in psutil.Process(_record(tmp_path)[name]["pid"]).net_connections("all")
                if c.status == "LISTEN"
            ]
            assert listening == ["127.0.0.1"]


async def test_what_is_killed_comes_back_on_its_port_with_its_data(tmp_path: Path) -> None:
    said: list[str] = []
    async with embedded_databases(tmp_path, say=said.append) as addresses:
        await _insert(addresses, 1)
        before = _record(tmp_path)
        for name in ("mongo", "redis"):
            os.kill(before[name]["pid"], signal.SIGKILL)
            await _until_changed(tmp_path, name, before[name]["pid"])
        after = _record(tmp_path)
        assert [after[name]["port"] for name in ("mongo", "redis")] == [before[name]["port"] for name in ("mongo", "redis")]
        assert await _stored(addresses) == [1]
    assert f"mongod (pid {before['mongo']['pid']}) died (signal SIGKILL): starting it again" in said


async def test_a_second_program_is_refused_by_the_first_ones_pid(tmp_path: Path) -> None:
    async with embedded_databases(tmp_path):
        with pytest.raises(DataFolderInUse, match=f"in use by process {os.getpid()}: stop it"):
            async with embedded_databases(tmp_path, exclusive=True):
                raise AssertionError("both own the folder")


async def test_a_second_command_uses_what_runs_and_leaves_it_running(tmp_path: Path) -> None:
    async with embedded_databases(tmp_path) as addresses:
        before = _record(tmp_path)
        async with embedded_databases(tmp_path) as shared:
            assert shared == addresses
        assert _record(tmp_path) == before
        await _insert(addresses, 1)


async def test_everything_dies_with_its_program_and_the_next_takes_over(tmp_path: Path) -> None:
    holder = _hold(tmp_path)
    record = _record(tmp_path)
    assert record["pid"] == holder.pid
    async with embedded_databases(tmp_path) as shared:
        await _insert(shared, 1)
    holder.kill()
    holder.communicate()
    await _until_gone([record["mongo"]["pid"], record["redis"]["pid"]])
    async with embedded_databases(tmp_path, exclusive=True) as own:
        assert await _stored(own) == [1]
        assert _record(tmp_path)["mongo"]["port"] == record["mongo"]["port"]


async def test_an_orphan_that_still_holds_the_data_is_ended(tmp_path: Path) -> None:
    async with embedded_databases(tmp_path) as addresses:
        await _insert(addresses, 1)
    command = _mongod_command(tmp_path)
    orphan = subprocess.Popen(command, cwd=tmp_path / "mongo", stdout=subprocess.DEVNULL)
    async with asyncio.timeout(20):
        while (tmp_path / "mongo" / "mongod.lock").read_text().strip() != str(orphan.pid):
            await asyncio.sleep(0.02)
    async with embedded_databases(tmp_path) as again:
        assert orphan.wait(5) is not None
        assert await _stored(again) == [1]


def _mongod_command(folder: Path) -> list[str]:
    from server.app.embedded import mongod_binary

    port = str(_record(folder)["mongo"]["port"])
    binary = str(mongod_binary())
    return [binary, "--dbpath", str(folder / "mongo"), "--port", port, "--bind_ip", "127.0.0.1", "--replSet", "rs0"]


async def test_a_recorded_pid_that_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        async with embedded_databases(tmp_path):
            pass
        record = _record(tmp_path)
        record["mongo"]["pid"] = record["redis"]["pid"] = bystander.pid
        (tmp_path / "embedded.json").write_text(json.dumps(record))
        (tmp_path / "mongo" / "mongod.lock").write_text(f"{bystander.pid}\n")
        async with embedded_databases(tmp_path):
            assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_a_taken_port_is_given_up_and_the_set_moves_with_its_data(tmp_path: Path) -> None:
    async with embedded_databases(tmp_path) as addresses:
        await _insert(addresses, 1)
    port = _record(tmp_path)["mongo"]["port"]

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", port), embedded_databases(tmp_path) as moved:
        assert _record(tmp_path)["mongo"]["port"] != port
        assert await _stored(moved) == [1]


async def test_a_damaged_record_is_no_record(tmp_path: Path) -> None:
    tmp_path.joinpath("embedded.json").write_text('{"mongo": {"port": "x"')
    async with embedded_databases(tmp_path, mongo=False) as addresses:
        assert addresses == Addresses("", f"redis://127.0.0.1:{_record(tmp_path)['redis']['port']}/0")


async def test_a_snapshot_that_redis_cannot_read_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "dump.rdb").write_bytes(b"REDIS9999 from the future")
    async with embedded_databases(tmp_path, mongo=False):
        assert (tmp_path / "redis" / "dump.rdb.unreadable").read_bytes() == b"REDIS9999 from the future"


async def test_a_database_that_cannot_start_says_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "mongo").mkdir()
    (tmp_path / "mongo" / "storage.bson").write_text("not what it should be")
    with pytest.raises(EmbeddedFailed, match=r"mongod ended at its start \(exit code \d+\)"):
        async with embedded_databases(tmp_path):
            raise AssertionError("it started")
    assert _record_of_nothing(tmp_path)
    async with embedded_databases(tmp_path, mongo=False, exclusive=True):
        pass


def _record_of_nothing(folder: Path) -> bool:
    record = _record(folder)
    return record["pid"] is None and not psutil.pid_exists(record["redis"]["pid"])


async def test_given_urls_need_no_embedded_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YZ_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("YZ_MONGO_URL", "mongodb://db.example/?replicaSet=rs")
    monkeypatch.setenv("YZ_REDIS_URL", "redis://cache.example/0")
    async with databases(Settings()) as addresses:
        assert addresses == Addresses("mongodb://db.example/?replicaSet=rs", "redis://cache.example/0")
    assert list(tmp_path.iterdir()) == []
