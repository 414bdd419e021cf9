"""The one way to a MongoDB: majority writes with journal, majority reads, aware times. Defaults have lost writes."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, IndexModel, ReadPreference, UpdateOne, WriteConcern
from pymongo.asynchronous import pool, topology
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError
from pymongo.read_concern import ReadConcern

Document = dict[str, Any]
Database = AsyncDatabase[Document]
Collection = AsyncCollection[Document]
Indexes = Mapping[str, Sequence[IndexModel]]
"""Index models by collection; every package's `mongo.py` exports one as `INDEXES`."""

DATABASE = "yunzhen"

ALL_HOSPITALS = "all-hospitals"
"""The `comment` of a query that crosses hospitals on purpose (a sweep, a patient's own things). A test fails on any other
query of a hospital's collection whose filter does not name the hospital."""

_DUPLICATE_KEY = 11000


async def _wait_in_this_task(condition: Any, timeout: float | None) -> bool:
    """The driver's wait, without the second task that `asyncio.wait_for` makes before Python 3.12.

    When a waiter was cancelled, that second task could take the driver's lock after its owner was gone and keep it: every
    later operation of the client then hung for ever, in a process that looked alive.
    """
    try:
        async with asyncio.timeout(timeout):
            return bool(await condition.wait())
    except TimeoutError:
        return False


if sys.version_info < (3, 12):
    for _module in (pool, topology):
        if not hasattr(_module, "_async_cond_wait"):
            raise ImportError("this driver waits in another way: see whether it still needs our help")
        _module._async_cond_wait = _wait_in_this_task  # type: ignore[attr-defined]


def connect(url: str, *, pool_size: int = 100, app_name: str = "yunzhen") -> AsyncMongoClient[Document]:
    """A client for the running event loop. Keep concurrent operations below `pool_size`: its queue has a long tail."""
    return AsyncMongoClient(
        url,
        maxPoolSize=pool_size,
        appname=app_name,
        serverSelectionTimeoutMS=5_000,
        connectTimeoutMS=3_000,
        socketTimeoutMS=30_000,
        retryWrites=True,
        retryReads=True,
        tz_aware=True,
    )


def database(client: AsyncMongoClient[Document], name: str | None = None) -> Database:
    """The product's database (the one that the URL names, else `yunzhen`) with the concerns that every part relies on."""
    chosen = name or client.get_default_database(DATABASE).name
    return client.get_database(
        chosen,
        codec_options=CodecOptions(tz_aware=True, tzinfo=UTC),
        write_concern=WriteConcern(w="majority", j=True),
        read_concern=ReadConcern("majority"),
        read_preference=ReadPreference.PRIMARY,
    )


def unhurried(collection: Collection) -> Collection:
    """The same collection, written without waiting for a majority and its journal: only for what may be lost in a crash or a
    change of primary. A later write does not make it lasting: another primary may take that one and never have seen this."""
    return collection.with_options(write_concern=WriteConcern(w=1))


async def insert_new(collection: Collection, documents: Sequence[Document]) -> set[Any]:
    """Insert these in one go; one whose id is there stays as it was. Returns the ids that were there."""
    try:
        if documents:
            await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        return {documents[failed["index"]]["_id"] for failed in _duplicates(error)}
    return set()


async def upsert_guarded(collection: Collection, updates: Sequence[UpdateOne]) -> None:
    """Upserts whose filter holds a guard besides the id, in one go: where the document is there, not as guarded, nothing."""
    try:
        if updates:
            await collection.bulk_write(updates, ordered=False)
    except BulkWriteError as error:
        _duplicates(error)


def _duplicates(error: BulkWriteError) -> Sequence[Mapping[str, Any]]:
    """What failed because its id is there. Raises the error itself where anything else failed."""
    failed: Sequence[Mapping[str, Any]] = error.details["writeErrors"]
    if error.details["writeConcernErrors"] or any(each["code"] != _DUPLICATE_KEY for each in failed):
        raise error
    return failed
