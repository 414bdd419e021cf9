"""What every part of the product stands on: the database, the clock, the keys, the audit stream and the outboxes' relay."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from server.app.migrations import OUTBOXES
from server.app.settings import Settings
from server.kernel.audit import AuditLog
from server.kernel.clock import Clock, SystemClock
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.mongo import Database, connect, database
from server.kernel.outbox import Relay

_POOL: Final = 100


@dataclass(frozen=True, slots=True)
class Ground:
    database: Database
    clock: Clock
    master: MasterKey
    keyring: Keyring
    audit: AuditLog
    relay: Relay


@asynccontextmanager
async def ground(settings: Settings, mongo_url: str) -> AsyncIterator[Ground]:
    """For the running event loop, until the end of the block; then what waits in outboxes and audit is stored first."""
    async with AsyncExitStack() as stack:
        client = connect(mongo_url, pool_size=_POOL)
        stack.push_async_callback(client.close)
        db = database(client)
        settings.key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        master = MasterKey.load_or_create(settings.key_file)
        audit = AuditLog(db)
        stack.push_async_callback(audit.close)
        relay = Relay(db, audit)
        relay.watch(*OUTBOXES)
        stack.push_async_callback(relay.close)
        yield Ground(db, SystemClock(), master, Keyring(master, db), audit, relay)
