"""`yunzhen check deadlines` on the real log and the real orders."""

from datetime import timedelta

import pytest

from consult.domain.proofs import Count, DeadlineReport, Fault, Finding
from consult.service.proofs import DeadlineProof
from im.codec import ConversationCodec, decode_document
from im.domain import Entry, EntryKind
from im.reading import LogReader
from server.kernel.clock import from_ms
from server.kernel.crypto import KEYS, Keyring, MasterKey
from server.kernel.ids import id_bytes, new_id_bytes
from server.kernel.streams import position
from tests.support.consult import Case, World, open_world

VALIDITY = timedelta(hours=48)
LATE = timedelta(seconds=61)


@pytest.fixture
async def world(database, clock):
    async with open_world(database, clock) as made:
        yield made


async def prove(world: World) -> tuple[list[Finding], DeadlineReport]:
    keyring = Keyring(MasterKey(bytes(32)), world.database)
    proof = DeadlineProof(LogReader(world.database, keyring), world.consult.parts.orders, world.clock)
    return [finding async for finding in proof.findings()], proof.report


async def append_again(world: World, case: Case, entry: Entry) -> int:
    """What somebody with the keys and the database writes behind our back: `entry` once more, at the next number."""
    talk = case.order.conversation_id
    key = await Keyring(MasterKey(bytes(32)), world.database).conversation(case.order.hospital_id, talk)
    seq = (await world.log.read_fresh(talk)).seq + 1
    codec = ConversationCodec(talk, case.order.hospital_id, key)
    _, raw = codec.seal(seq, new_id_bytes(), entry.at_ms, entry.draft, bytes(32))
    await world.database["log"].insert_one(decode_document(raw) | {"at": from_ms(entry.at_ms)})
    return seq


async def test_each_decision_of_the_sweep_is_found_right_and_counted(world: World) -> None:
    expired, answered, cancelled = await world.paid(), await world.paid(), await world.paid()
    await answered.say(answered.doctor)
    await world.consult.consults.cancel_order(cancelled.patient, cancelled.id, "1" * 32)
    unpaid = await world.order()
    world.clock.advance(timedelta(minutes=30, seconds=2))
    await world.consult.deadlines.sweep()
    world.clock.advance(VALIDITY - timedelta(minutes=30) + timedelta(seconds=1))
    await world.consult.deadlines.sweep()
    waiting = await world.paid()
    await world.follow()
    findings, report = await prove(world)
    assert findings == []
    assert report.holds
    assert (report.conversations, report.orders, report.waiting) == (4, 5, 1)
    assert (report.expired, report.unpaid) == (Count(2, 3_000), Count(1, 2_000))
    assert report.settled.taken == 3
    assert {expired.id, unpaid.id, waiting.id} <= {order["_id"] async for order in world.database["orders"].find()}


async def test_a_sweep_that_came_late_is_named_with_its_conversation(world: World) -> None:
    case = await world.paid()
    world.clock.advance(VALIDITY + LATE)
    findings, _ = await prove(world)
    assert [(f.fault, f.subject, f.seq) for f in findings] == [(Fault.LATE, case.order.conversation_id, 0)]
    await world.consult.deadlines.sweep()
    findings, report = await prove(world)
    assert [(f.fault, f.subject, f.seq) for f in findings] == [(Fault.LATE, case.order.conversation_id, 2)]
    assert report.expired.latest_ms == 61_000


async def test_a_paid_order_whose_log_never_began_is_late_too(world: World) -> None:
    case = await world.paid()
    await world.consult.parts.announcer.close()
    unopened = {"$set": {"log": None, "shown_seq": 0}}
    await world.database["orders"].update_one({"_id": case.id, "hospital_id": "default"}, unopened)
    await world.database["log"].delete_many({"hospital_id": "default"})
    world.clock.advance(VALIDITY + LATE)
    findings, _ = await prove(world)
    assert [(f.fault, f.subject, f.seq) for f in findings] == [(Fault.LATE, case.id, 0)]


async def test_a_second_settlement_written_behind_our_back_is_double(world: World) -> None:
    case = await world.paid()
    world.clock.advance(VALIDITY)
    await world.consult.deadlines.sweep()
    entries = (await world.log.read_entries(case.order.conversation_id, after_seq=0)).entries
    assert entries[-1].draft.kind is EntryKind.SETTLED
    seq = await append_again(world, case, entries[-1])
    findings, _ = await prove(world)
    assert [(f.fault, f.seq) for f in findings] == [(Fault.DOUBLE, seq)]


async def test_an_erased_conversation_is_counted_and_a_damaged_one_is_a_fault(world: World) -> None:
    erased, damaged = await world.paid(), await world.paid()
    for case in (erased, damaged):
        await case.say(case.patient)
    await world.database[KEYS].delete_one({"_id": f"conversation:{erased.order.conversation_id}", "hospital_id": "default"})
    place = position(id_bytes(damaged.order.conversation_id), 2)
    await world.database["log"].update_one({"_id": place, "hospital_id": "default"}, {"$set": {"body": bytes(40)}})
    findings, report = await prove(world)
    assert (report.erased, report.conversations) == (1, 2)
    assert [(f.fault, f.subject, f.seq) for f in findings] == [(Fault.UNREADABLE, damaged.order.conversation_id, 2)]
