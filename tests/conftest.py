"""Real databases for the whole run, one fresh database a test."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from server.app.embedded import Addresses, Embedded
from server.kernel.ids import new_id
from server.kernel.mongo import Database, connect
from server.kernel.mongo import database as open_database
from tests.support.clock import ManualClock
from tests.support.tenancy import WATCH, watch

watch()


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


@pytest.fixture
async def database(mongo_url: str) -> AsyncIterator[Database]:
    """An empty database that goes with the test. The product must not have asked it anything without naming the hospital."""
    client = connect(mongo_url)
    name = f"test_{new_id()}"
    yield open_database(client, name)
    await client.drop_database(name)
    await client.close()
    assert WATCH.take(name) == []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
