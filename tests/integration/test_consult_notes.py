"""Internal notes on real MongoDB: who writes and reads them, in which order, how many, and who hears of them."""

import asyncio
from datetime import timedelta

import pytest

from consult.domain.notes import MOST_NOTES, STAFF_NOTES, WATCH_LASTS
from consult.errors import NotesFull, OrderNotFound
from server.kernel.actor import DEFAULT_HOSPITAL, Actor, Role, StaffRole, system_actor
from server.kernel.clock import iso
from server.kernel.errors import Forbidden, RequestInvalid
from server.kernel.ids import new_id
from tests.support.consult import World, open_world

WORDS = "家属来电，请先电话核实用药。"


@pytest.fixture
async def world(database, clock):
    async with open_world(database, clock) as made:
        yield made


def staff(*roles: StaffRole, hospital_id: str = DEFAULT_HOSPITAL) -> Actor:
    return Actor(new_id(), Role.STAFF, hospital_id, new_id(), staff_roles=frozenset(roles))


async def test_doctor_and_staff_write_to_one_another_and_read_it_newest_first_by_pages(world: World) -> None:
    case, other = await world.paid(), await world.paid()
    notes, agent, auditor = world.consult.notes, staff(StaffRole.AGENT), staff(StaffRole.AUDITOR)
    admin = staff(StaffRole.MEDICAL_ADMIN, StaffRole.FINANCE)
    written = [await notes.add_note(who, new_id(), case.id, f"{WORDS}{who.role}") for who in (agent, case.doctor, admin)]
    await notes.add_note(other.doctor, new_id(), other.id, "别的订单")
    assert [(note.number, note.author_id, note.author_role) for note in written] == [
        (1, agent.account_id, "staff"),
        (2, case.doctor.account_id, "doctor"),
        (3, admin.account_id, "staff"),
    ]
    for who in (case.doctor, agent, admin, auditor):
        assert await notes.list_notes(who, case.id, 100, None) == (written[::-1], None)
    first, cursor = await notes.list_notes(auditor, case.id, 2, None)
    assert (first, await notes.list_notes(auditor, case.id, 2, cursor)) == (written[:0:-1], (written[:1], None))
    for bad in ("x", cursor[::-1] if cursor else ""):
        with pytest.raises(RequestInvalid):
            await notes.list_notes(auditor, case.id, 2, bad)
    await world.deliver()
    rows = await world.database["audit"].find({"order_id": case.id, "action": {"$regex": "consult.note"}}).to_list()
    assert sorted(row["action"] for row in rows) == ["consult.note_added"] * 3 + ["consult.notes_viewed"] * 6
    everything = [str(await world.database[name].find().to_list()) for name in await world.database.list_collection_names()]
    assert WORDS[:6] not in "".join(everything)


async def test_whoever_is_neither_its_doctor_nor_fitting_staff_neither_reads_nor_writes_nor_hears(world: World) -> None:
    case = await world.paid()
    notes, stranger = world.consult.notes, (await world.paid()).doctor
    await notes.add_note(case.doctor, new_id(), case.id, WORDS)
    outside = staff(StaffRole.MEDICAL_ADMIN, hospital_id="other")
    by_role = (case.patient, staff(StaffRole.FINANCE, StaffRole.OPERATOR), staff(), system_actor())
    for who, refusal in (*((who, Forbidden) for who in by_role), (stranger, OrderNotFound), (outside, OrderNotFound)):
        for attempt in (
            notes.list_notes(who, case.id, 10, None),
            notes.add_note(who, new_id(), case.id, "x"),
            notes.watch(who, case.id),
        ):
            with pytest.raises(refusal):
                await attempt
    with pytest.raises(Forbidden):
        await notes.add_note(staff(StaffRole.AUDITOR), new_id(), case.id, "x")
    for missing in (new_id(), "nonsense"):
        with pytest.raises(OrderNotFound):
            await notes.list_notes(staff(StaffRole.AGENT), missing, 10, None)
    await world.deliver()
    assert await world.database[STAFF_NOTES].count_documents({}) == 1
    assert await world.database["staff_note_watches"].count_documents({}) == 0
    denied = await world.database["audit"].count_documents({"outcome": "denied", "order_id": case.id})
    assert denied == 6 * 3 + 1
    assert not [event for _, event, _ in world.live.sent if event == "note.added"]


async def test_a_doctor_who_had_the_order_before_reads_on(world: World) -> None:
    case = await world.paid()
    await case.say(case.doctor, "您好，请问疼了多久？")
    note = await world.consult.notes.add_note(case.doctor, new_id(), case.id, WORDS)
    successor = world.doctors.add()
    await world.database["orders"].update_one({"_id": case.id}, {"$set": {"doctor_id": successor.id}})
    assert await world.consult.notes.list_notes(case.doctor, case.id, 10, None) == ([note], None)
    assert await world.consult.notes.list_notes(world.doctor_actor(successor), case.id, 10, None) == ([note], None)


async def test_many_at_once_get_each_a_number_and_the_same_id_is_the_same_note(world: World) -> None:
    case, agent = await world.paid(), staff(StaffRole.AGENT)
    ids = [new_id() for _ in range(8)]
    async with open_world(world.database, world.clock, beside=world) as other:
        made = await asyncio.gather(
            *(each.consult.notes.add_note(agent, note_id, case.id, WORDS) for note_id in ids for each in (world, other))
        )
    assert sorted({note.number for note in made}) == list(range(1, 9))
    assert {note.id for note in made} == set(ids)
    assert await world.database[STAFF_NOTES].count_documents({"order_id": case.id}) == 8


async def test_an_order_has_so_many_notes_and_no_more(world: World) -> None:
    case, other = await world.paid(), await world.paid()
    notes = world.consult.notes
    note = await notes.add_note(case.doctor, new_id(), case.id, WORDS)
    await world.database[STAFF_NOTES].update_one({"_id": note.id}, {"$set": {"number": MOST_NOTES - 1}})
    last = await notes.add_note(case.doctor, new_id(), case.id, WORDS)
    assert last.number == MOST_NOTES
    with pytest.raises(NotesFull):
        await notes.add_note(case.doctor, new_id(), case.id, WORDS)
    assert await notes.add_note(case.doctor, last.id, case.id, WORDS) == last
    assert (await notes.add_note(other.doctor, new_id(), other.id, WORDS)).number == 1


async def test_who_has_the_order_open_hears_of_a_note_at_once_and_of_no_word_of_it(world: World) -> None:
    case, agent, admin = await world.paid(), staff(StaffRole.AGENT), staff(StaffRole.MEDICAL_ADMIN)
    notes = world.consult.notes
    assert await notes.watch(agent, case.id) == 90
    world.clock.advance(WATCH_LASTS - timedelta(milliseconds=1))
    await notes.watch(case.doctor, case.id)
    note = await notes.add_note(admin, new_id(), case.id, WORDS)
    await world.deliver()
    told = {"order_id": case.id, "note_id": note.id, "number": 1, "created_at": iso(note.created_at)}
    heard = [(set(who), payload) for who, event, payload in world.live.sent if event == "note.added"]
    assert heard == [({agent.account_id, case.doctor.account_id}, told)]
    world.clock.advance(timedelta(milliseconds=1))
    await notes.add_note(admin, new_id(), case.id, WORDS)
    await world.deliver()
    assert len(world.live.of("note.added", agent.account_id)) == 1
    assert len(world.live.of("note.added", case.doctor.account_id)) == 2
    assert world.live.of("note.added", case.patient.account_id) == []
