"""What the database must look like before the product runs: every package's indexes, and the version that says so."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog
from pymongo.errors import PyMongoError

import accounts.mongo
import billing.mongo
import billing.reconciliation.mongo
import consult.mongo
import ehr_view.critical.mongo
import ehr_view.hl7.mongo
import ehr_view.mongo
import im.favourites.mongo
import im.mongo
import im.push.mongo
import im.search.mongo
import media.mongo
from admin_console import mongo as admin_mongo
from server.app import idempotency
from server.kernel import audit
from server.kernel.actor import PLATFORM
from server.kernel.mongo import Database, Indexes

log = structlog.get_logger(__name__)

SCHEMA: Final = 12
"""Raised with every change of an index or of stored documents."""

META: Final = "meta"

_ASK_SECONDS: Final = 0.05

_INDEXES: Final[Sequence[Indexes]] = (
    audit.INDEXES,
    idempotency.INDEXES,
    accounts.mongo.INDEXES,
    im.mongo.INDEXES,
    im.push.mongo.INDEXES,
    im.favourites.mongo.INDEXES,
    im.search.mongo.INDEXES,
    media.mongo.INDEXES,
    billing.mongo.INDEXES,
    billing.reconciliation.mongo.INDEXES,
    consult.mongo.INDEXES,
    ehr_view.mongo.INDEXES,
    ehr_view.hl7.mongo.INDEXES,
    ehr_view.critical.mongo.INDEXES,
    admin_mongo.INDEXES,
)

OUTBOXES: Final[tuple[str, ...]] = (
    *accounts.mongo.OUTBOXES,
    *media.mongo.OUTBOXES,
    *billing.mongo.OUTBOXES,
    *billing.reconciliation.mongo.OUTBOXES,
    *consult.mongo.OUTBOXES,
    *ehr_view.mongo.OUTBOXES,
    *ehr_view.critical.mongo.OUTBOXES,
)


async def migrate(database: Database) -> None:
    """Bring the database to this version. Running it twice, or two at once, changes nothing more."""
    await asyncio.gather(
        *(database[name].create_indexes(list(models)) for indexes in _INDEXES for name, models in indexes.items() if models)
    )
    await database[META].update_one({"_id": "schema", "hospital_id": PLATFORM}, {"$max": {"version": SCHEMA}}, upsert=True)


async def find_epoch(database: Database) -> int:
    """The deployment's epoch: another one after each restore, so that devices begin anew."""
    stored = await database[META].find_one({"_id": "epoch", "hospital_id": PLATFORM})
    return 1 if stored is None else int(stored["value"])


async def raise_epoch(database: Database, now: datetime) -> int:
    """The new epoch. It is higher than any before, also when the same backup is restored twice: it is the time in seconds, or
    one more than the last."""
    raised = {"$max": [{"$add": [{"$ifNull": ["$value", 1]}, 1]}, int(now.timestamp())]}
    await database[META].update_one({"_id": "epoch", "hospital_id": PLATFORM}, [{"$set": {"value": raised}}], upsert=True)
    return await find_epoch(database)


async def is_current(database: Database) -> bool:
    """Whether `migrate` of this version has run."""
    stored = await database[META].find_one({"_id": "schema", "hospital_id": PLATFORM})
    return stored is not None and int(stored["version"]) >= SCHEMA


async def until_current(database: Database, stop: asyncio.Event | None = None) -> bool:
    """Wait for `migrate` of this version, which another process does: nothing is served or swept before its indexes are. False:
    `stop` came first."""
    stop = stop or asyncio.Event()
    while not stop.is_set():
        try:
            if await is_current(database):
                return True
        except PyMongoError as error:
            log.warning("migrations.not_known", error=type(error).__name__)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _ASK_SECONDS)
    return False
