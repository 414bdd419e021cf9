"""Real databases for the whole run, one fresh database a test."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from server.app.embedded import Addresses, Embedded
from server.kernel.ids import new_id
from server.kernel.mongo import Database, connect
from server.kernel.mongo import database as open_database
from tests.support.clock import ManualClock
from tests.support.tenancy import WATCH, watch

watch()

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")

MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 1024**3


def _folder(factory: pytest.TempPathFactory) -> Path:
    """In memory where there is room: a thousand tests flush a journal all the time, and none of them pulls the plug. Who does
    (`test_embedded_databases`, `tests/stress`) has a folder on disk of its own."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < _ROOM_BYTES:
        return factory.mktemp("embedded")
    for left in MEMORY.glob("yunzhen-test-*"):
        if not psutil.pid_exists(int(left.name.split("-")[2])):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"yunzhen-test-{os.getpid()}-", dir=MEMORY))


def _start(factory: pytest.TempPathFactory, *, mongo: bool = False, redis: bool = False) -> Iterator[Addresses]:
    """Embedded databases of our own. They end with this process, however it ends."""
    folder = _folder(factory)
    embedded = Embedded(folder, mongo=mongo, redis=redis)
    loop = asyncio.new_event_loop()
    try:
        yield loop.run_until_complete(embedded.start())
    finally:
        loop.run_until_complete(embedded.stop())
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A one-member replica set of our own, or the set that YZ_TEST_MONGO_URL names."""
    if given := os.environ.get("YZ_TEST_MONGO_URL"):
        yield given
        return
    for addresses in _start(tmp_path_factory, mongo=True):
        yield addresses.mongo_url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of our own, or the one that YZ_TEST_REDIS_URL names."""
    if given := os.environ.get("YZ_TEST_REDIS_URL"):
        yield given
        return
    for addresses in _start(tmp_path_factory, redis=True):
        yield addresses.redis_url


@pytest.fixture(scope="module")
def database_name(mongo_url: str) -> Iterator[str]:
    """The database of one file's tests, one after the other."""
    name = f"test_{new_id()}"
    yield name
    asyncio.run(_drop(mongo_url, name))


async def _drop(mongo_url: str, name: str) -> None:
    async with connect(mongo_url) as client:
        await client.drop_database(name)


@pytest.fixture
async def database(mongo_url: str, database_name: str) -> AsyncIterator[Database]:
    """An empty database. The product must not have asked it anything without naming the hospital.

    What a test wrote goes with it; its collections and their indexes stay for the next test of the file, since to make some
    dozens of them anew takes longer than most tests.
    """
    async with connect(mongo_url) as client:
        database = open_database(client, database_name)
        yield database
        collections = await database.list_collection_names(filter={"type": "collection"})
        await asyncio.gather(*(database[name].delete_many({}) for name in collections if not name.startswith("system.")))
    assert WATCH.take(database_name) == []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
