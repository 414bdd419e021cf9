import asyncio
from dataclasses import replace

import pytest

from server.kernel.actor import system_actor
from server.kernel.audit import AUDIT, INDEXES, MOST_WAITING, AuditLog, audit_row
from server.kernel.errors import Unavailable
from server.kernel.mongo import Database, connect
from server.kernel.mongo import database as open_database
from server.kernel.outbox import OUTBOX_INDEX, Event, Relay, event_of, to_outbox
from server.kernel.streams import GENESIS, parse_position
from tests.support.clock import ManualClock


async def test_a_stream_has_no_hole_and_a_row_of_another_stream_is_not_written_twice(
    database: Database, clock: ManualClock
) -> None:
    await database[AUDIT].create_indexes(list(INDEXES[AUDIT]))
    first, second = AuditLog(database), AuditLog(database)
    rows = [audit_row(system_actor(), "a.b", subject="s", at=clock.now()) for _ in range(5)]
    await first.record(rows[2])
    await asyncio.gather(*(second.record(row) for row in rows))
    stored = await database[AUDIT].find().sort("_id", 1).to_list()
    assert sorted(r["audit_id"] for r in stored) == sorted(r.audit_id for r in rows)
    streams: dict[bytes, list[int]] = {}
    for document in stored:
        stream, seq = parse_position(document["_id"])
        streams.setdefault(stream, []).append(seq)
    assert sorted(streams.values()) == [[1], [1, 2, 3, 4]]


async def test_an_event_is_audited_consumed_and_leaves_its_outbox(database: Database, clock: ManualClock) -> None:
    await database[AUDIT].create_indexes(list(INDEXES[AUDIT]))
    await database["things"].create_indexes([OUTBOX_INDEX])
    audit = AuditLog(database)
    relay = Relay(database, audit)
    relay.watch("things")
    taken: list[Event] = []

    async def take(event: Event) -> None:
        taken.append(event)

    relay.on("thing.made", take)
    event = event_of(system_actor(), "thing.made", subject="t1", at=clock.now(), size=3)
    await database["things"].insert_one({"_id": "t1", "hospital_id": "default", "outbox": [to_outbox(event)]})
    await relay.deliver("things", "t1", "default")
    await relay.deliver("things", "t1", "default")
    assert taken == [replace(event)]
    assert await database[AUDIT].count_documents({"audit_id": event.id}) == 1
    assert (await database["things"].find_one({"_id": "t1"}))["outbox"] == []  # type: ignore[index]
    assert bytes(32) == GENESIS


@pytest.mark.parametrize("subject", ["\ud800", "x" * 5_000])
async def test_a_row_that_cannot_be_written_is_refused_and_keeps_no_other_from_being_written(
    database: Database, clock: ManualClock, subject: str
) -> None:
    audit = AuditLog(database)
    bad = audit_row(system_actor(), "a.b", subject=subject, at=clock.now())
    good = audit_row(system_actor(), "a.b", subject="s", at=clock.now())
    refused, stored = await asyncio.gather(audit.record(bad), audit.record(good), return_exceptions=True)
    assert (type(refused), stored) == (ValueError, None)
    assert await database[AUDIT].count_documents({}) == 1


async def test_rows_that_wait_are_bounded_and_closing_does_not_wait_for_a_database_that_is_gone(clock: ManualClock) -> None:
    client = connect("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50", app_name="nobody")
    audit = AuditLog(open_database(client, "nowhere"))
    row = audit_row(system_actor(), "a.b", subject="s", at=clock.now())
    waiting = [asyncio.create_task(audit.record(row)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await audit.record(row)
    await audit.close(0.2)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    await client.close()
