"""What a restored database must say of itself."""

from datetime import UTC, datetime, timedelta

from server.app.migrations import find_epoch, raise_epoch
from server.kernel.mongo import Database

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
