"""Messages that are put right afterwards, over the real wire: both stand, linked, for both people and for auditors."""

import json
import uuid
from typing import Any

import pytest

from tests.support.contract import Pair, Socket, World, text

WRONG, RIGHT, BEST = "每日三次，每次两片。", "每日两次，每次两片。", "每日两次，每次一片。"


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


async def _refused(socket: Socket, conversation_id: str, corrects: int) -> str:
    body = {"conversation_id": conversation_id, "client_id": uuid.uuid4().hex, "parts": [text("改")], "corrects": corrects}
    ack = await socket.call("message.send", body)
    assert ack["ok"] is False, ack
    return str(ack["error"]["code"])


def _linked(messages: list[Any]) -> list[tuple[int, int | None, list[str]]]:
    return [(m["seq"], m["corrects"], [p["text"] for p in m["parts"]]) for m in messages if m["kind"] == "message"]


async def test_a_doctor_s_correction_and_that_one_s_correction_are_shown_to_both_beside_what_they_correct(pair: Pair) -> None:
    order = await pair.paid()
    conversation = order["conversation_id"]
    doctor, patient = await pair.world.socket(pair.doctor), await pair.world.socket(pair.patient)
    wrong = await doctor.say(conversation, WRONG)
    right = await doctor.say(conversation, RIGHT, corrects=wrong["seq"])
    assert await patient.wait_for("message.new", lambda m: m["corrects"] == wrong["seq"]) == right
    body = {"client_id": (client_id := uuid.uuid4().hex), "parts": [text(BEST)], "corrects": right["seq"]}
    best = await pair.doctor.post(f"/conversations/{conversation}/messages", body, 201)
    assert await patient.wait_for("message.new", lambda m: m["seq"] == best["seq"]) == best
    linked = [(2, None, [WRONG]), (3, 2, [RIGHT]), (4, 3, [BEST])]
    for client, socket in ((pair.patient, patient), (pair.doctor, doctor)):
        page = await client.get(f"/conversations/{conversation}/messages?after_seq=0")
        assert _linked(page["items"]) == linked
        (synced,) = (await socket.ok("conversation.sync", {"cursors": {conversation: 0}}))["conversations"]
        assert _linked(synced["messages"]) == linked
    closed = await pair.until(order["id"], "completed")
    assert (closed["replies"]["used"], closed["close_reason"], best["closes"]) == (3, "quota", "quota")
    assert await pair.doctor.post(f"/conversations/{conversation}/messages", body, 201) == best
    other = {**body, "corrects": wrong["seq"]}
    (await pair.doctor.ask("POST", f"/conversations/{conversation}/messages", other)).refused(409, "idempotency.mismatch")
    assert client_id == best["client_id"]
    assert await _refused(doctor, conversation, wrong["seq"]) == "conversation.quota_exhausted"
    assert await _refused(patient, conversation, wrong["seq"]) == "conversation.closed"


async def test_one_corrects_only_what_one_said_oneself_in_this_very_order_and_what_still_stands(pair: Pair) -> None:
    order, other = await pair.paid(), await pair.paid()
    conversation = order["conversation_id"]
    doctor, patient = await pair.world.socket(pair.doctor), await pair.world.socket(pair.patient)
    asked = await patient.say(conversation, "咳嗽两个周")
    answered = await doctor.say(conversation, "您好，请问有痰吗？")
    elsewhere = await patient.say(other["conversation_id"], "别的事")
    assert elsewhere["seq"] == asked["seq"]
    mended = await patient.say(conversation, "咳嗽两周", corrects=asked["seq"])
    assert await doctor.wait_for("message.new", lambda m: m["corrects"] == asked["seq"]) == mended
    for socket, seq in ((patient, answered["seq"]), (doctor, asked["seq"]), (doctor, 1), (doctor, 99)):
        assert await _refused(socket, conversation, seq) == "request.invalid"
    stranger = await pair.world.pair()
    assert await _refused(await pair.world.socket(stranger.patient), conversation, asked["seq"]) == "conversation.not_found"
    recall = {"conversation_id": conversation, "client_id": uuid.uuid4().hex, "seq": asked["seq"]}
    await patient.ok("message.recall", recall)
    assert await _refused(patient, conversation, asked["seq"]) == "request.invalid"
    shown = _linked((await pair.doctor.get(f"/conversations/{conversation}/messages?after_seq=0"))["items"])
    assert shown == [(2, None, []), (3, None, ["您好，请问有痰吗？"]), (4, 2, ["咳嗽两周"])]
    await patient.ok("message.recall", {**recall, "client_id": uuid.uuid4().hex, "seq": mended["seq"]})
    shown = _linked((await pair.doctor.get(f"/conversations/{conversation}/messages?after_seq=0"))["items"])
    assert shown == [(2, None, []), (3, None, ["您好，请问有痰吗？"]), (4, 2, [])]


async def test_auditors_see_what_was_corrected_beside_its_correction(pair: Pair) -> None:
    order = await pair.paid()
    doctor = await pair.world.socket(pair.doctor)
    wrong = await doctor.say(order["conversation_id"], WRONG)
    right = await doctor.say(order["conversation_id"], RIGHT, corrects=wrong["seq"])
    staff = await pair.world.staff()
    dossier = await staff.get(f"/admin/orders/{order['id']}/dossier")
    said = [(e["seq"], e["corrects"], [p["text"] for p in e["parts"]]) for e in dossier["entries"] if e["kind"] == "message"]
    assert said == [(wrong["seq"], None, [WRONG]), (right["seq"], wrong["seq"], [RIGHT])]
    rows = (await staff.get(f"/admin/orders/{order['id']}/timeline?limit=100"))["items"]
    subjects = [row["subject"] for row in rows if row["action"] == "im.message"]
    assert subjects == [f"{order['conversation_id']}:{message['seq']}" for message in (wrong, right)]
    exported = (await staff.ask("GET", f"/admin/orders/{order['id']}/fhir")).ok()
    bundle = exported if isinstance(exported, dict) else json.loads(exported)
    sent = [each for each in bundle["entry"] if each["resource"]["resourceType"] == "Communication"]
    messages = [each["resource"] for each in sent]
    assert [m["payload"] for m in messages] == [[{"contentString": WRONG}], [{"contentString": RIGHT}]]
    assert "inResponseTo" not in messages[0]
    assert [each["reference"] for each in messages[1]["inResponseTo"]] == [sent[0]["fullUrl"]]
