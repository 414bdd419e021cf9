from dataclasses import replace

from server.kernel.actor import system_actor
from server.kernel.audit import AUDIT, INDEXES, AuditLog, audit_row
from server.kernel.mongo import Database
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
    import asyncio

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
