"""What was taken back is seen by two people who agreed, and by nobody alone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from admin_console.domain.custody import OPEN_FOR, SHOWN_FOR, Reveal, RevealState
from admin_console.errors import NothingRecalled, RevealClosed, RevealNeedsAnother, RevealNotFound
from consult.domain.order import Order
from consult.errors import OrderNotFound
from im.domain import RecallMessage
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.audit import AUDIT
from server.kernel.errors import Forbidden
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.supervision import DOCTOR, PATIENT, Supervision, staff, supervision

WORDS = "剂量五毫克"


def _member(*roles: StaffRole, hospital_id: str = "default") -> Actor:
    """Another person at each call."""
    return replace(staff(*roles, hospital_id=hospital_id), account_id=new_id())


AUDITOR, MEDICAL, BOTH = _member(StaffRole.AUDITOR), _member(StaffRole.MEDICAL_ADMIN), _member(*StaffRole)


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Supervision]:
    made = await supervision(database, clock, tmp_path)
    yield made
    await made.close()


async def _recalled(world: Supervision, hospital_id: str = "default") -> tuple[Order, int]:
    order = await world.order(hospital_id=hospital_id)
    seq = await world.say(order, DOCTOR, WORDS)
    doctor = Actor(DOCTOR, Role.DOCTOR, hospital_id, new_id())
    await world.log.recall(doctor, order.conversation_id, RecallMessage(DOCTOR, new_id(), seq))
    return order, seq


async def _asked(world: Supervision, actor: Actor = AUDITOR) -> Reveal:
    order, seq = await _recalled(world)
    return await world.custody.ask(actor, order.id, seq, "患者投诉剂量错误", reveal_id=new_id())


async def _rows(world: Supervision) -> list[tuple[str, str, str]]:
    rows = await world.database[AUDIT].find({"action": {"$regex": "^admin"}}, sort=[("_id", 1)]).to_list()
    assert WORDS not in str(rows)
    return [(row["action"], row["outcome"], row["account_id"]) for row in rows]


async def test_one_asks_and_another_agrees_and_then_both_see_the_words_for_a_day(world: Supervision) -> None:
    reveal = await _asked(world)
    with pytest.raises(RevealNeedsAnother):
        await world.custody.show(AUDITOR, reveal.id)
    agreed = await world.custody.decide(MEDICAL, reveal.id, agrees=True)
    assert (agreed.state, agreed.decided_by) == (RevealState.AGREED, MEDICAL.account_id)
    world.clock.advance(SHOWN_FOR - timedelta(milliseconds=1))
    for actor in (AUDITOR, MEDICAL):
        shown = await world.custody.show(actor, reveal.id)
        assert (shown.entry.seq, shown.entry.draft.parts[0]["text"]) == (reveal.seq, WORDS)
    with pytest.raises(RevealNeedsAnother):  # a third, though of the same office
        await world.custody.show(_member(StaffRole.AUDITOR), reveal.id)
    world.clock.advance(timedelta(milliseconds=1))
    with pytest.raises(RevealClosed):
        await world.custody.show(AUDITOR, reveal.id)
    auditor, medical = AUDITOR.account_id, MEDICAL.account_id
    rows = await _rows(world)
    assert rows[:5] == [
        ("admin.reveal_asked", "ok", auditor),
        ("admin.recalled_revealed", "denied", auditor),
        ("admin.reveal_agreed", "ok", medical),
        ("admin.recalled_revealed", "ok", auditor),
        ("admin.recalled_revealed", "ok", medical),
    ]
    assert [row[:2] for row in rows[5:]] == [("admin.recalled_revealed", "denied")] * 2
    orders = await world.database[AUDIT].distinct("order_id", {"action": {"$regex": "^admin"}})
    assert orders == [reveal.order_id]


async def test_who_asked_never_agrees_whatever_offices_he_holds(world: Supervision) -> None:
    reveal = await _asked(world, BOTH)
    with pytest.raises(RevealNeedsAnother):
        await world.custody.decide(BOTH, reveal.id, agrees=True)
    assert (await _rows(world))[-1] == ("admin.reveal_agreed", "denied", BOTH.account_id)
    with pytest.raises(RevealNeedsAnother):
        await world.custody.show(BOTH, reveal.id)


async def test_a_request_is_answered_once_and_within_its_time(world: Supervision) -> None:
    first, second, late = await _asked(world), await _asked(world), await _asked(world)
    answers = await asyncio.gather(
        *(world.custody.decide(_member(StaffRole.MEDICAL_ADMIN), first.id, agrees=agrees) for agrees in (True, False)),
        return_exceptions=True,
    )
    assert sorted(type(each) is RevealClosed for each in answers) == [False, True]
    await world.custody.decide(MEDICAL, second.id, agrees=False)
    for actor in (AUDITOR, MEDICAL):
        with pytest.raises(RevealClosed):
            await world.custody.show(actor, second.id)
    world.clock.advance(OPEN_FOR)
    with pytest.raises(RevealClosed):
        await world.custody.decide(MEDICAL, late.id, agrees=True)
    listed = await world.custody.list_newest(AUDITOR)
    assert {(each.id, each.reason) for each in listed} == {(each.id, first.reason) for each in (first, second, late)}
    stored = await world.database["reveals"].find({}).to_list()
    assert first.reason not in str(stored)


async def test_only_what_was_recalled_in_an_order_of_the_hospital_is_asked_for(world: Supervision) -> None:
    order, seq = await _recalled(world)
    standing = await world.say(order, PATIENT, "谢谢")
    for number in (1, standing, seq + 1, 10_000):
        with pytest.raises(NothingRecalled):
            await world.custody.ask(AUDITOR, order.id, number, "患者投诉", reveal_id=new_id())
    theirs, their_seq = await _recalled(world, "elsewhere")
    with pytest.raises(OrderNotFound):
        await world.custody.ask(AUDITOR, theirs.id, their_seq, "患者投诉", reveal_id=new_id())
    reveal = await world.custody.ask(AUDITOR, order.id, seq, "患者投诉", reveal_id=new_id())
    assert await world.custody.ask(AUDITOR, order.id, seq, "患者投诉", reveal_id=reveal.id) == reveal
    for actor, reveal_id in ((MEDICAL, new_id()), (_member(StaffRole.MEDICAL_ADMIN, hospital_id="elsewhere"), reveal.id)):
        with pytest.raises(RevealNotFound):
            await world.custody.decide(actor, reveal_id, agrees=True)
    unpaid = await world.order(paid=False)
    with pytest.raises(NothingRecalled):
        await world.custody.ask(AUDITOR, unpaid.id, 2, "患者投诉", reveal_id=new_id())


@pytest.mark.parametrize("role", [StaffRole.OPERATOR, StaffRole.FINANCE, StaffRole.AGENT, None])
async def test_no_other_office_asks_agrees_lists_or_looks(world: Supervision, role: StaffRole | None) -> None:
    reveal = await _asked(world)
    actor = Actor(DOCTOR, Role.DOCTOR, "default", new_id()) if role is None else _member(role)
    custody = world.custody
    for attempt in (
        custody.ask(actor, reveal.order_id, reveal.seq, "患者投诉", reveal_id=new_id()),
        custody.list_newest(actor),
        custody.decide(actor, reveal.id, agrees=True),
        custody.show(actor, reveal.id),
    ):
        with pytest.raises(Forbidden):
            await attempt
    with pytest.raises(Forbidden):  # the second office does not ask, nor the first agree
        await custody.ask(MEDICAL, reveal.order_id, reveal.seq, "患者投诉", reveal_id=new_id())
    with pytest.raises(Forbidden):
        await custody.decide(_member(StaffRole.AUDITOR), reveal.id, agrees=True)
