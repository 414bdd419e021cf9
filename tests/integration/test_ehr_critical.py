"""Critical values over MLLP into a real database: told once, acknowledged, escalated, whatever fails in between."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from ehr_view.critical.domain import CriticalStatus, People
from ehr_view.errors import CriticalNotFound, CriticalTransitionRefused
from ehr_view.hl7.domain import Identity
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.critical import DOCTOR, NOW, ORDER, PATIENT, POLICY, STRANGER, critical_world
from tests.support.critical import CriticalWorld as World
from tests.support.hl7 import NUMBER, OBR, PID, POTASSIUM, SODIUM, connected, header, message, verdict
from tests.support.records import PERSON


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> AsyncIterator[World]:
    async with critical_world(database, clock) as found:
        yield found


async def test_a_critical_result_is_told_once_however_often_it_comes(world: World) -> None:
    await world.send()
    await world.send()
    await world.send(control="again", at="20261122095900")
    value = await world.only()
    assert (value["status"], value["accounts"]) == ("told", [PATIENT.account_id, DOCTOR.account_id])
    assert NUMBER not in repr(value)
    assert world.did() == ["notice"]
    ((accounts, event, payload),) = world.told.events
    assert (set(accounts), event) == ({PATIENT.account_id, DOCTOR.account_id}, "critical.changed")
    assert payload == {
        "critical_id": value["_id"],
        "record_id": value["record_id"],
        "order_ids": [ORDER],
        "status": "told",
        "raised_at": "2026-11-22T02:00:00.000Z",
        "acknowledge_by": "2026-11-22T02:10:00.000Z",
        "acknowledged_at": None,
    }
    assert await world.actions() == ["critical.raised ok", "critical.told ok"]


async def test_what_is_on_the_hospitals_list_needs_no_mark_and_what_is_normal_raises_nothing(world: World) -> None:
    await world.send(lines=[POTASSIUM.replace("HH", "H").replace("6.8", "6.1"), SODIUM])
    assert await world.values() == []
    await world.send(control="2", at="20261122095000", lines=[POTASSIUM.replace("HH", "H")])
    assert (await world.only())["status"] == "told"


async def test_a_crash_before_telling_loses_nothing_and_tells_once(world: World) -> None:
    world.broken = {"notice"}
    await world.send()
    assert world.did() == []
    assert (await world.only())["status"] == "told"
    for _ in range(2):
        await world.relay.sweep(world.clock.now() + timedelta(seconds=1))
    assert world.did() == ["notice"]


async def test_unacknowledged_it_is_an_sms_and_then_a_task_each_once(world: World) -> None:
    await world.send()
    assert await world.wait(POLICY.text_after - timedelta(milliseconds=1)) == 0
    world.broken = {"sms"}
    assert await world.wait(timedelta(milliseconds=1)) == 1
    assert await world.wait(POLICY.task_after) == 1
    assert await world.wait(timedelta(days=1)) == 0
    assert world.did() == ["notice", "sms", "task"]
    assert (await world.only())["status"] == "tasked"
    value = await world.service.acknowledge(DOCTOR, (await world.only())["_id"])
    await world.relay.close()
    assert value.status is CriticalStatus.ACKNOWLEDGED
    assert world.did() == ["notice", "sms", "task", "withdraw_task"]
    assert await world.actions() == [
        "critical.raised ok",
        "critical.told ok",
        "critical.text_due ok",
        "critical.task_due ok",
        "critical.acknowledged ok",
    ]


async def test_an_acknowledged_one_goes_no_further(world: World) -> None:
    await world.send()
    value_id = (await world.only())["_id"]
    assert (await world.service.acknowledge(PATIENT, value_id)).status is CriticalStatus.TOLD
    assert (await world.service.acknowledge(DOCTOR, value_id)).status is CriticalStatus.ACKNOWLEDGED
    assert (await world.service.acknowledge(DOCTOR, value_id)).acknowledged_by == DOCTOR.account_id
    assert await world.wait(timedelta(days=1)) == 0
    assert "sms" not in world.did()
    assert [v.id for v in await world.service.list_values(DOCTOR, limit=5, after=None)] == [value_id]
    assert await world.service.list_values(STRANGER, limit=5, after=None) == []


async def test_whom_it_does_not_concern_may_not_acknowledge_it(world: World) -> None:
    await world.send()
    value_id = (await world.only())["_id"]
    for wrong in (value_id, "f" * 32, "no id"):
        with pytest.raises(CriticalNotFound) as caught:
            await world.service.acknowledge(STRANGER, wrong)
        assert caught.value.code == "critical.not_found"
    assert (await world.only())["status"] == "told"
    assert (await world.actions()).count("critical.acknowledged denied") == 2


async def test_a_corrected_result_withdraws_it(world: World) -> None:
    await world.send()
    value_id = (await world.only())["_id"]
    await world.send(control="2", at="20261122095000", lines=[POTASSIUM.replace("6.8", "4.6").replace("HH", "N"), SODIUM])
    assert (await world.only())["status"] == "withdrawn"
    assert await world.wait(timedelta(days=1)) == 0
    with pytest.raises(CriticalTransitionRefused):
        await world.service.acknowledge(DOCTOR, value_id)
    assert world.told.events[-1][2]["status"] == "withdrawn"


async def test_a_withdrawn_result_that_is_said_again_is_told_again(world: World) -> None:
    await world.send()
    for control, at, value, flag in (("2", "20261122095000", "4.6", "N"), ("3", "20261122095500", "6.8", "HH")):
        await world.send(control=control, at=at, lines=[POTASSIUM.replace("6.8", value).replace("HH", flag), SODIUM])
    await world.send(control="4", at="20261122095600")
    assert sorted(value["status"] for value in await world.values()) == ["told", "withdrawn"]
    assert world.did().count("notice") == 2


async def test_a_report_that_is_sent_and_stands_in_a_chart_too_is_told_once_and_a_second_measurement_again(
    world: World,
) -> None:
    await world.send()
    (held,) = await world.hl7.records.list_of("default", Identity("resident", NUMBER))
    in_chart = replace(held.record, id="c" * 32, occurred_at=held.record.occurred_at + timedelta(minutes=30))
    world.service.watch_chart("default", PERSON, [in_chart])
    await world.service.close()
    await world.relay.close()
    assert (await world.only())["record_id"] == held.record.id
    later = replace(in_chart, id="f" * 32, occurred_at=in_chart.occurred_at + timedelta(milliseconds=1))
    world.service.watch_chart("default", PERSON, [later])
    await world.service.close()
    await world.relay.close()
    assert world.did() == ["notice", "notice"]


async def test_two_measurements_of_the_same_value_that_are_sent_are_both_told(world: World) -> None:
    await world.send()
    async with connected(world.hl7.port) as sender:
        other = message(header(control="2"), PID, OBR.replace("L20261122001", "L20261122002"), POTASSIUM)
        assert verdict(await sender.send(other))[0] == "AA"
    await world.relay.close()
    assert world.did() == ["notice", "notice"]


async def test_without_an_account_or_order_nobody_is_told_and_no_time_runs(world: World) -> None:
    world.people = People()
    await world.send()
    value = await world.only()
    assert (value["status"], value["deadline_at"]) == ("told", None)


async def test_a_fresh_critical_result_in_a_chart_is_raised_too_and_an_old_one_not(world: World) -> None:
    world.broken = {"nothing"}
    await world.send(lines=[SODIUM])
    (held,) = await world.hl7.records.list_of("default", Identity("resident", NUMBER))
    await world.send(control="2", at="20261122095000")
    (critical,) = await world.hl7.records.list_of("default", Identity("resident", NUMBER))
    await world.hl7.database["critical_values"].delete_many({"hospital_id": "default"})
    world.clock.advance(timedelta(hours=30))
    world.service.watch_chart("default", PERSON, [critical.record])
    world.clock.advance(timedelta(hours=-29))
    world.service.watch_chart("default", PERSON, [held.record])
    await world.service.close()
    assert await world.values() == []
    world.service.watch_chart("default", PERSON, [held.record, critical.record])
    world.service.watch_chart("default", PERSON, [critical.record])
    await world.service.close()
    await world.relay.close()
    assert (await world.only())["status"] == "told"
