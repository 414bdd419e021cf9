import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from server.kernel.clock_guard import ClockGuard, TrustedClock
from server.kernel.crypto import Damaged, KeyMissing, Keyring, MasterKey
from server.kernel.errors import Unavailable
from server.kernel.leases import Leases
from server.kernel.mongo import Database
from tests.support.clock import ManualClock

MASTER = MasterKey(bytes(range(32)))


async def test_two_first_users_of_a_key_get_the_same_one(database: Database) -> None:
    rings = [Keyring(MASTER, database) for _ in range(8)]
    hospitals = await asyncio.gather(*(ring.hospital("h") for ring in rings))
    sealed = hospitals[0].seal_text("张三", field="patients.name", owner="p1")
    assert {h.open_text(sealed, field="patients.name", owner="p1") for h in hospitals} == {"张三"}
    keys = await asyncio.gather(*(ring.create_conversation("h", "c") for ring in rings))
    body = keys[0].seal(b"words", b"place")
    assert {key.open(body, b"place") for key in keys} == {b"words"}


async def test_a_sealed_value_opens_in_its_own_place_only(database: Database) -> None:
    keyring = Keyring(MASTER, database)
    one, other = await keyring.hospital("one"), await keyring.hospital("other")
    sealed = one.seal_text("x", field="patients.name", owner="p1")
    for keys, field, owner in ((one, "patients.phone", "p1"), (one, "patients.name", "p2"), (other, "patients.name", "p1")):
        with pytest.raises(Damaged):
            keys.open_text(sealed, field=field, owner=owner)
    with pytest.raises(Damaged):
        one.open_text(sealed[:-1] + bytes([sealed[-1] ^ 1]), field="patients.name", owner="p1")
    assert one.blind("13800000000", field="phone") != other.blind("13800000000", field="phone")


async def test_another_master_key_opens_nothing_and_a_missing_key_says_so(database: Database) -> None:
    await Keyring(MASTER, database).hospital("h")
    with pytest.raises(Damaged):
        await Keyring(MasterKey(bytes(32)), database).hospital("h")
    with pytest.raises(KeyMissing):
        await Keyring(MASTER, database).conversation("h", "c")


def test_the_key_file_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    first, second = MasterKey.load_or_create(path), MasterKey.load_or_create(path)
    assert first.secret("a") == second.secret("a") != first.secret("b")
    assert path.stat().st_mode & 0o777 == 0o600


async def test_one_of_many_holds_a_lease_until_it_gives_it_back_or_lets_it_run_out(database: Database) -> None:
    leases = Leases(database)
    ttl = timedelta(seconds=30)
    taken = await asyncio.gather(*(leases.acquire("keeper", f"k{i}", ttl) for i in range(10)))
    assert sum(taken) == 1
    holder = f"k{taken.index(True)}"
    assert await leases.acquire("keeper", holder, ttl)
    assert not await leases.acquire("keeper", "other", ttl)
    await leases.release("keeper", "other")
    assert not await leases.acquire("keeper", "other", ttl)
    await leases.release("keeper", holder)
    assert await leases.acquire("keeper", "short", timedelta(0))
    assert await leases.acquire("keeper", "other", ttl)


async def test_a_clock_that_is_days_ahead_is_not_trusted(database: Database, clock: ManualClock) -> None:
    guard = ClockGuard(database, clock)
    theirs = (await database.command("hello", codec_options=database.codec_options))["localTime"]
    clock.advance(theirs - clock.now())
    assert await guard.check()
    clock.advance(timedelta(days=2))
    assert not await guard.check()
    assert guard.skew is not None
    assert guard.skew > timedelta(days=1, hours=23)


async def test_a_clock_that_is_set_is_not_trusted_from_that_instant_on(database: Database, clock: ManualClock) -> None:
    """No look at the database is needed: what nobody can set went on by less."""
    began = clock.now_ms()
    elapsed: list[int] = [0]
    guard = ClockGuard(database, clock, lambda: elapsed[0])
    theirs = (await database.command("hello", codec_options=database.codec_options))["localTime"]
    clock.advance(theirs - clock.now())
    elapsed[0] = clock.now_ms() - began
    assert not guard.is_ok()
    assert await guard.check()
    trusted = TrustedClock(clock, guard)
    for step in (timedelta(days=3), timedelta(hours=-1)):
        clock.advance(step)
        assert (guard.is_ok(), guard.is_wrong()) == (False, True)
        with pytest.raises(Unavailable):
            trusted.now()
        with pytest.raises(Unavailable):
            trusted.now_ms()
        clock.advance(-step)
        assert (guard.is_ok(), guard.is_wrong()) == (True, False)
    clock.advance(timedelta(minutes=9))
    elapsed[0] += 9 * 60_000
    assert guard.is_ok()
    assert (trusted.now(), trusted.now_ms()) == (clock.now(), clock.now_ms())
