"""What the database must look like before the product runs: every package's indexes, and the version that says so."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from pymongo import IndexModel
from pymongo.errors import CollectionInvalid

import accounts.mongo
import billing.mongo
import consult.mongo
import im.mongo
import media.mongo
from admin_console import mongo as admin_mongo
from server.app import idempotency
from server.kernel import audit
from server.kernel.actor import PLATFORM
from server.kernel.mongo import Database, Indexes

SCHEMA: Final = 1
"""Raised with every change of an index or of stored documents."""

META: Final = "meta"

_INDEXES: Final[Sequence[Indexes]] = (
    audit.INDEXES,
    idempotency.INDEXES,
    accounts.mongo.INDEXES,
    im.mongo.INDEXES,
    media.mongo.INDEXES,
    billing.mongo.INDEXES,
    consult.mongo.INDEXES,
    admin_mongo.INDEXES,
)

OUTBOXES: Final[tuple[str, ...]] = (
    *accounts.mongo.OUTBOXES,
    *media.mongo.OUTBOXES,
    *billing.mongo.OUTBOXES,
    *consult.mongo.OUTBOXES,
)


async def migrate(database: Database) -> None:
    """Bring the database to this version. Running it twice, or two at once, changes nothing more."""
    await asyncio.gather(*(_create(database, name, models) for indexes in _INDEXES for name, models in indexes.items()))
    # Created ahead: a collection cannot be made inside some transactions, and a change stream wants its target.
    await database[META].update_one(
        {"_id": "schema"}, {"$max": {"version": SCHEMA}, "$set": {"hospital_id": PLATFORM}}, upsert=True
    )


async def _create(database: Database, name: str, models: Sequence[IndexModel]) -> None:
    with suppress(CollectionInvalid):  # it is there
        await database.create_collection(name)
    if models:
        await database[name].create_indexes(list(models))


async def is_current(database: Database) -> bool:
    """Whether `migrate` of this version has run."""
    stored = await database[META].find_one({"_id": "schema", "hospital_id": PLATFORM})
    return stored is not None and int(stored["version"]) >= SCHEMA
