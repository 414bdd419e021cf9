"""A critical value in the running product: from the laboratory's message to both people's screens, and back."""

import secrets
import time
from datetime import date
from typing import Any

import pytest

from tests.support.contract import Pair, World, identity_number

WITHIN_SECONDS = 5.0


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


def _number() -> str:
    return identity_number(date(1900 + secrets.randbelow(90), 1 + secrets.randbelow(12), 5), secrets.randbelow(999))


async def _send(world: World, number: str, name: str, **body: Any) -> Any:
    return await world.outside("POST", "/hospital/hl7", {"number": number, "name": name, **body})


async def test_a_critical_potassium_reaches_patient_and_doctor_in_seconds_and_is_acknowledged(pair: Pair) -> None:
    world = pair.world
    patient = await world.new_patient(pair.patient, name="危小急", id_number=(number := _number()))
    order = await pair.paid(patient_id=patient["id"])
    patient_socket, doctor_socket = await world.socket(pair.patient), await world.socket(pair.doctor)
    listed = await pair.doctor.get(f"/orders/{order['id']}/records")
    began = time.monotonic()
    sent = await _send(world, number, "危小急", values={"K": 7.1}, charset="gb18030")
    assert (sent["code"], sent["reason"]) == ("AA", "")
    for socket, order_id in ((patient_socket, None), (doctor_socket, order["id"])):
        notice = await socket.wait_for("notice", lambda n: n["kind"] == "critical_value", WITHIN_SECONDS)
        assert notice["order_id"] == order_id
        assert "7.1" not in str(notice)
        assert "钾" not in str(notice)
    assert time.monotonic() - began < WITHIN_SECONDS
    critical_id, record_id = notice["data"]["critical_id"], notice["data"]["record_id"]
    records = await pair.doctor.get(f"/orders/{order['id']}/records")
    assert len(records["items"]) == len(listed["items"]) + 1
    record = next(item for item in records["items"] if item["record_id"] == record_id)
    assert (record["kind"], record["critical"], record["source"]) == ("lab", True, "LIS")
    page = await pair.doctor.ask("GET", f"/orders/{order['id']}/records/{record_id}/pages/1")
    assert page.ok()[:2] == b"\xff\xd8"
    ack = await doctor_socket.call("critical.acknowledge", {"critical_id": critical_id})
    assert (ack["ok"], ack["critical"]["status"]) == (True, "acknowledged")
    changed = await patient_socket.wait_for("critical.changed", lambda c: c["status"] == "acknowledged", WITHIN_SECONDS)
    assert changed == ack["critical"]
    assert (await pair.patient.get("/critical-values"))["items"] == [changed]
    again = await pair.doctor.post(f"/critical-values/{critical_id}/acknowledge", {})
    assert again == changed


async def test_what_stands_in_the_chart_alone_reaches_both_in_seconds_and_is_withdrawn_with_it(pair: Pair) -> None:
    world = pair.world
    patient = await world.new_patient(pair.patient, name="危小急", id_number=(number := _number()))
    order = await pair.paid(patient_id=patient["id"])
    sockets = [await world.socket(pair.patient), await world.socket(pair.doctor)]
    began = time.monotonic()
    await world.outside("POST", "/hospital/results", {"number": number, "values": {"K": 7.1}})
    for socket in sockets:
        told = await socket.wait_for("critical.changed", lambda c: c["status"] == "told", WITHIN_SECONDS)
        assert told["order_ids"] == [order["id"]]
    assert time.monotonic() - began < WITHIN_SECONDS
    await world.outside("POST", "/hospital/results", {"number": number, "status": "entered-in-error"})
    for socket in sockets:
        gone = await socket.wait_for("critical.changed", lambda c: c["status"] == "withdrawn", WITHIN_SECONDS)
        assert gone["critical_id"] == told["critical_id"]


async def test_whom_it_does_not_concern_learns_nothing_of_it(pair: Pair) -> None:
    world = pair.world
    patient = await world.new_patient(pair.patient, name="危小急", id_number=(number := _number()))
    await pair.paid(patient_id=patient["id"])
    namesake = await world.pair()
    await world.new_patient(namesake.patient, name="别的人", id_number=number)
    sent = await _send(world, number, "危小急", values={"NA": 112.0})
    assert sent["code"] == "AA"
    socket = await world.socket(pair.doctor)
    found = (await pair.doctor.get("/critical-values"))["items"]
    if not found:
        await socket.wait_for("critical.changed", lambda c: c["status"] == "told", WITHIN_SECONDS)
        found = (await pair.doctor.get("/critical-values"))["items"]
    (critical,) = found
    for stranger in (namesake.patient, namesake.doctor):
        assert (await stranger.get("/critical-values"))["items"] == []
        refused = await stranger.ask("POST", f"/critical-values/{critical['critical_id']}/acknowledge", {})
        refused.refused(404, "critical.not_found")


async def test_a_message_that_cannot_be_taken_waits_for_repair_by_command(pair: Pair) -> None:
    number = _number()
    sent = await _send(pair.world, number, "未登记", fault="no_identity")
    assert (sent["code"], sent["reason"]) == ("AE", "patient.unknown")
    code, output = await pair.world.product.yunzhen("hl7", "failed")
    assert code == 0
    (line,) = [each for each in output.splitlines() if sent["sent_as"] in each]
    assert "patient.unknown PID^1^3" in line
    assert number not in output
    code, output = await pair.world.product.yunzhen("hl7", "drop", line.split()[0])
    assert (code, "dropped" in output) == (0, True)
