"""Internal notes in the running product: what doctors and staff write to one another, and a patient who tries everything."""

import json
import re
import secrets
import uuid
from typing import Any

import pytest

from tests.support.contract import Client, Pair, World


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


async def _staff_of(world: World, role: str) -> Client:
    number = next(n for n, person in enumerate(world.product.demo["staff"]) if person["roles"] == [role])
    return await world.staff(number)


async def test_a_note_reaches_colleagues_who_have_the_order_open_and_reads_back(pair: Pair) -> None:
    world, order = pair.world, await pair.paid()
    agent, auditor = await _staff_of(world, "agent"), await _staff_of(world, "auditor")
    path = f"/orders/{order['id']}/notes"
    doctor_socket, agent_socket = await world.socket(pair.doctor), await world.socket(agent)
    for socket in (doctor_socket, agent_socket):
        ack = await socket.ok("notes.watch", {"order_id": order["id"]})
        assert ack == {"ok": True, "expires_in_seconds": 90}
    key = uuid.uuid4().hex
    note = await agent.post(path, {"text": "患者来电，情绪激动。"}, 201, key=key)
    assert note == await agent.post(path, {"text": "患者来电，情绪激动。"}, 201, key=key)
    assert (note["number"], note["text"]) == (1, "患者来电，情绪激动。")
    assert note["author"] == {"account_id": agent.account_id, "role": "staff", "name": agent.session["account"]["name"]}
    hint = {name: note[name] for name in ("order_id", "note_id", "number", "created_at")}
    for socket in (doctor_socket, agent_socket):
        assert await socket.wait_for("note.added", lambda told: told["note_id"] == note["note_id"]) == hint
    answer = await pair.doctor.post(path, {"text": "收到，我先电话联系。"}, 201)
    assert answer["author"]["role"] == "doctor"
    for client in (pair.doctor, agent, auditor):
        assert await client.pages(path, 1) == [[answer], [note]]
    (await auditor.ask("POST", path, {"text": "x"})).refused(403, "request.forbidden")
    for body in ({"text": ""}, {"text": " \n"}, {"text": "x" * 2_001}, {"text": "x\u202e"}, {"text": "x", "more": 1}, {}):
        (await agent.ask("POST", path, body)).refused(422, "request.invalid")
    for role in ("finance", "operator"):
        other = await _staff_of(world, role)
        (await other.ask("GET", path)).refused(403, "request.forbidden")
        (await other.ask("POST", path, {"text": "x"})).refused(403, "request.forbidden")
        await (await world.socket(other)).refused("notes.watch", {"order_id": order["id"]}, "request.forbidden", "forbidden")
    stranger = await world.pair()
    (await stranger.doctor.ask("GET", path)).refused(404, "order.not_found")
    (await stranger.doctor.ask("POST", path, {"text": "x"})).refused(404, "order.not_found")
    await (await world.socket(stranger.doctor)).refused(
        "notes.watch", {"order_id": order["id"]}, "order.not_found", "not_found"
    )
    (await world.nobody.ask("GET", path)).refused(401, "auth.required")
    rows = (await auditor.get(f"/admin/orders/{order['id']}/timeline?limit=100"))["items"]
    actions = [row["action"] for row in rows if row["action"].startswith("consult.note")]
    assert actions.count("consult.note_added") >= 2 + 1 + 2 + 1
    assert "情绪" not in json.dumps(rows, ensure_ascii=False)


async def _everything(client: Client, order: Any) -> dict[str, str]:
    """The answers to all questions that a patient may ask about an order, by operation."""
    document = (await client.ask("GET", "/openapi.json")).ok()
    known = {"order_id": order["id"], "conversation_id": order["conversation_id"], "doctor_id": order["doctor"]["id"]}
    said = {}
    for path, operations in document["paths"].items():
        operation = operations.get("get")
        if operation is None or "patient" not in operation.get("x-roles", ()):
            continue
        filled = re.sub(r"\{(\w+)\}", lambda found: str(known.get(found[1], "0" * 32)), path)
        answer = await client.ask("GET", filled)
        body = answer.body.decode("utf-8", "replace") if isinstance(answer.body, bytes) else answer.body
        said[operation["operationId"]] = json.dumps(body, ensure_ascii=False)
    return said


async def test_a_patient_who_tries_everything_never_meets_a_word_or_a_trace_of_a_note(pair: Pair) -> None:
    world, order = pair.world, await pair.paid()
    marker = secrets.token_hex(6)
    patient = await world.socket(pair.patient)
    heard: list[Any] = []
    patient.client.on("*", lambda name, *body: heard.append((name, body)))
    words = f"疑似多处就诊开药 {marker}"
    path = f"/orders/{order['id']}/notes"
    await (await world.socket(pair.doctor)).ok("notes.watch", {"order_id": order["id"]})
    for method, body in (("GET", None), ("POST", {"text": "x"})):
        (await pair.patient.ask(method, path, body)).refused(403, "request.forbidden")
        (await (await world.pair()).patient.ask(method, path, body)).refused(404, "order.not_found")
    await patient.refused("notes.watch", {"order_id": order["id"]}, "request.forbidden", "forbidden")
    before = (await patient.ok("conversation.sync", {"cursors": {order["conversation_id"]: 0}}))["conversations"][0]
    note = await pair.doctor.post(path, {"text": words}, 201)
    staff = await world.staff()
    await staff.post(path, {"text": words}, 201)
    reply = await (await world.socket(pair.doctor)).say(order["conversation_id"], "您好，请继续观察。")
    await patient.wait_for("message.new", lambda message: message["seq"] == reply["seq"])
    after = (await patient.ok("conversation.sync", {"cursors": {order["conversation_id"]: 0}}))["conversations"][0]
    assert [m["seq"] for m in after["messages"]] == [*(m["seq"] for m in before["messages"]), reply["seq"]]
    said = await _everything(pair.patient, order)
    assert {"get_order", "list_messages", "list_notices", "export_own_order", "list_record_views"} <= said.keys()
    told = json.dumps([said, after, patient.told, heard], ensure_ascii=False)
    for trace in (marker, note["note_id"], "note.added", "疑似多处就诊"):
        assert trace not in told
    assert "请继续观察" in said["list_messages"]
    exported = (await staff.ask("GET", f"/admin/orders/{order['id']}/fhir")).ok()
    assert marker not in (exported.decode() if isinstance(exported, bytes) else json.dumps(exported, ensure_ascii=False))
    pushed = await world.outside("GET", f"/push/messages?device_id={pair.patient.session['device_id']}")
    assert marker not in json.dumps(pushed, ensure_ascii=False)
