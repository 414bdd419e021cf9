"""Auditors find what was said by its words, in an order or in all that a patient asked."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from consult.errors import OrderNotFound
from im.domain import RecallMessage
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.audit import AUDIT
from server.kernel.errors import RequestInvalid
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.supervision import DOCTOR, PATIENT, Supervision, staff, supervision

AUDITOR = staff(StaffRole.AUDITOR)


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Supervision]:
    made = await supervision(database, clock, tmp_path)
    yield made
    await made.close()


async def _find(world: Supervision, words: str, actor: Actor = AUDITOR, **where: Any) -> list[tuple[str, int, str]]:
    found: list[tuple[str, int, str]] = []
    asked: dict[str, Any] = {"order_id": None, "patient_id": None, "limit": 1, "cursor": None} | where
    while True:
        page = await world.search.search(actor, words, **asked)
        for hit in page.hits:
            message = orjson.loads(hit.message)
            found.append((hit.order_id, hit.seq, message["parts"][0]["text"]))
        if (asked := asked | {"cursor": page.cursor})["cursor"] is None:
            return found


async def test_an_auditor_finds_what_stands_by_order_and_by_patient_and_nothing_that_was_taken_back(world: Supervision) -> None:
    """Also where the index does not know yet that it was: a hit, or none, would tell the words."""
    first, second = await world.order(), await world.order()
    await world.order(paid=False)
    recalled, late = await world.say(first, DOCTOR, "剂量五毫克"), await world.say(first, DOCTOR, "剂量两片")
    kept = await world.say(first, PATIENT, "剂量谢谢")
    await world.say(second, PATIENT, "剂量多少")
    doctor = Actor(DOCTOR, Role.DOCTOR, "default", new_id())
    await world.log.recall(doctor, first.conversation_id, RecallMessage(DOCTOR, new_id(), recalled))
    await world.follow()
    await world.log.recall(doctor, first.conversation_id, RecallMessage(DOCTOR, new_id(), late))
    assert await _find(world, "剂量", order_id=first.id) == [(first.id, kept, "剂量谢谢")]
    assert await _find(world, "剂量", patient_id=first.patient.id) == [(first.id, kept, "剂量谢谢")]
    assert await _find(world, "剂量", patient_id=second.patient.id) == [(second.id, 2, "剂量多少")]
    assert await _find(world, "剂量", patient_id=new_id()) == []


async def test_each_search_and_each_order_shown_is_a_row_without_the_words(world: Supervision) -> None:
    order = await world.order()
    await world.say(order, PATIENT, "头痛三天")
    await world.follow()
    await _find(world, "头痛", patient_id=order.patient.id, limit=5)
    rows = await world.database[AUDIT].find({"account_id": AUDITOR.account_id}).to_list()
    assert [(row["action"], row["subject"], row["order_id"]) for row in rows] == [
        ("admin.messages_searched", order.patient.id, None),
        ("admin.messages_searched", order.id, order.id),
    ]
    assert "头痛" not in str(rows)


async def test_another_hospital_s_order_does_not_exist_and_its_patient_said_nothing(world: Supervision) -> None:
    order = await world.order(hospital_id="elsewhere")
    await world.say(order, PATIENT, "头痛三天")
    await world.follow()
    with pytest.raises(OrderNotFound):
        await _find(world, "头痛", order_id=order.id)
    assert await _find(world, "头痛", patient_id=order.patient.id) == []
    theirs = staff(StaffRole.AUDITOR, hospital_id="elsewhere")
    assert await _find(world, "头痛", theirs, order_id=order.id) == [(order.id, 2, "头痛三天")]


@pytest.mark.parametrize("where", [{}, {"order_id": "1" * 32, "patient_id": "2" * 32}])
async def test_a_search_is_about_one_order_or_one_patient(world: Supervision, where: dict[str, str]) -> None:
    with pytest.raises(RequestInvalid):
        await _find(world, "头痛", **where)
