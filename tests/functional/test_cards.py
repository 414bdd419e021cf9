"""Cards in the running product: who sends which, and what a shared record shows to whom."""

import json
import uuid
from typing import Any

import pytest

from tests.support.contract import Client, Pair, World, text


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


def _shared(record_id: str) -> dict[str, Any]:
    return {"kind": "card", "card": "record_shared", "data": {"record_id": record_id}}


def _body(*parts: Any) -> dict[str, Any]:
    return {"client_id": uuid.uuid4().hex, "parts": list(parts)}


async def _record(doctor: Client, order: Any) -> Any:
    listed = (await doctor.get(f"/orders/{order['id']}/records"))["items"]
    return next(item for item in listed if item["kind"] == "lab")


async def test_a_shared_record_is_an_id_that_only_the_current_doctor_opens(pair: Pair) -> None:
    order = await pair.paid()
    path = f"/conversations/{order['conversation_id']}/messages"
    patient = await pair.world.socket(pair.patient)
    record = await _record(pair.doctor, order)
    said = await pair.doctor.post(path, _body(text("这一项偏高，我们来看。"), _shared(record["record_id"])), 201)
    assert said["parts"][1] == _shared(record["record_id"])
    assert await patient.wait_for("message.new", lambda m: m["seq"] == said["seq"]) == said
    assert (await pair.patient.get(path))["items"][1] == said
    assert record["title"] not in json.dumps(said, ensure_ascii=False)
    page = f"/orders/{order['id']}/records/{record['record_id']}/pages/1"
    assert (await pair.doctor.ask("GET", page)).status == 200
    (await pair.patient.ask("GET", page)).refused(403, "record.access_denied")
    await pair.patient.post(f"/orders/{order['id']}/record-access", {"granted": False})
    (await pair.doctor.ask("GET", page)).refused(403, "record.access_denied")
    (await pair.doctor.ask("POST", path, _body(_shared(record["record_id"])))).refused(403, "record.access_denied")
    staff = await pair.world.staff()
    rows = (await staff.get(f"/admin/audit?order_id={order['id']}&action=record.shared"))["items"]
    assert [(row["outcome"], row["subject"]) for row in rows] == [("denied", record["record_id"]), ("ok", record["record_id"])]
    assert [m["kind"] for m in await pair.log(order["conversation_id"])] == ["opened", "message"]


async def test_who_could_not_open_a_record_does_not_share_it_and_nothing_is_stored(pair: Pair) -> None:
    order, unlisted = await pair.paid(), await pair.paid()
    record = await _record(pair.doctor, order)
    stranger = await pair.world.pair()
    path = f"/conversations/{order['conversation_id']}/messages"
    card = _shared(record["record_id"])
    (await pair.patient.ask("POST", path, _body(card))).refused(403, "message.card_refused")
    (await stranger.doctor.ask("POST", path, _body(card))).refused(404, "conversation.not_found")
    (await pair.doctor.ask("POST", path, _body(_shared(uuid.uuid4().hex)))).refused(404, "record.not_found")
    elsewhere = f"/conversations/{unlisted['conversation_id']}/messages"
    (await pair.doctor.ask("POST", elsewhere, _body(card))).refused(403, "record.access_denied")
    socket = await pair.world.socket(pair.doctor)
    for bad in (
        _shared("x"),
        {**card, "data": {**card["data"], "title": "血常规"}},
        {**card, "card": "gift", "data": {"count": "9"}},
    ):
        body = {"conversation_id": order["conversation_id"], **_body(bad)}
        await socket.refused("message.send", body, "request.invalid", "invalid")
        (await pair.doctor.ask("POST", path, _body(bad))).refused(422, "request.invalid")
    assert [m["kind"] for m in await pair.log(order["conversation_id"])] == ["opened"]


async def test_a_booking_is_proposed_by_the_doctor_and_once_a_client_id(pair: Pair) -> None:
    order = await pair.paid()
    socket, patient = await pair.world.socket(pair.doctor), await pair.world.socket(pair.patient)
    day = order["paid_at"][:10]
    later = f"{int(day[:4]) + 1}{day[4:8]}01" if day[5:7] == "01" else f"{int(day[:4]) + 1}-01-05"
    data = {"department": "心内科门诊", "date": later, "period": "morning", "note": "请空腹，带好以前的报告。"}
    card = {"kind": "card", "card": "booking", "data": data}
    body = {"conversation_id": order["conversation_id"], **_body(card)}
    said = (await socket.ok("message.send", body))["message"]
    assert said["parts"] == [card]
    assert (await socket.ok("message.send", body))["message"] == said
    assert await patient.wait_for("message.new", lambda m: m["seq"] == said["seq"]) == said
    changed = {**body, "parts": [{**card, "data": {**data, "period": "afternoon"}}]}
    await socket.refused("message.send", changed, "idempotency.mismatch", "conflict")
    past = {**body, **_body({**card, "data": {**data, "date": "2020-01-05"}})}
    await socket.refused("message.send", past, "request.invalid", "invalid")
    await patient.refused("message.send", {**body, **_body(card)}, "message.card_refused", "forbidden")
    assert (await pair.patient.get(f"/orders/{order['id']}"))["replies"]["used"] == 1
