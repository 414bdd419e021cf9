"""The wire contract of staff, gateways and operators against the running product."""

import asyncio
import base64
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import aiohttp
import pytest

from tests.support.contract import ORDER_FIELDS, PATIENCE_SECONDS, Pair, World, instant, new_phone, text

ROW_FIELDS = {"audit_id", "at", "actor", "action", "subject", "order_id", "outcome", "request_id"}


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


async def _rows(world: World, query: str) -> list[Any]:
    staff = await world.staff()
    return [row for page in await staff.pages(f"/admin/audit?{query}", 100) for row in page]


async def _rows_with(world: World, query: str, actions: set[str]) -> list[Any]:
    """The rows, once all these actions are among them: those of events are written a moment after the answer."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        rows = await _rows(world, query)
        missing = actions - {row["action"] for row in rows}
        if not missing:
            return rows
        assert asyncio.get_running_loop().time() < deadline, f"missing {missing}"
        await asyncio.sleep(0.1)


# --- the audit ---


async def test_everything_done_to_an_order_is_a_row_and_the_conversation_s_entries_too(pair: Pair) -> None:
    order = await pair.paid()
    await pair.reply(order["conversation_id"])
    ask = {"client_id": "a-question", "parts": [text("请问")]}
    await pair.patient.post(f"/conversations/{order['conversation_id']}/messages", ask, 201)
    await pair.doctor.post(f"/orders/{order['id']}/gifts", {"count": 1})
    await pair.doctor.post(f"/orders/{order['id']}/finish", {})
    await pair.patient.post(f"/orders/{order['id']}/rating", {"stars": 5, "tags": [], "text": ""})
    rows = await _rows_with(
        pair.world,
        f"order_id={order['id']}",
        {
            "consult.order_created",
            "consult.order_paid",
            "consult.order_rated",
            "im.opened",
            "im.message",
            "im.gift",
            "im.closed",
        },
    )
    for row in rows:
        assert row.keys() == ROW_FIELDS
        assert row["actor"].keys() == {"account_id", "role"}
        assert (row["order_id"], row["outcome"]) == (order["id"], "ok")
        instant(row["at"])
    assert len({row["audit_id"] for row in rows}) == len(rows)
    assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)
    said = [row for row in rows if row["action"] == "im.message"]
    assert [row["actor"] for row in said[::-1]] == [
        {"account_id": pair.doctor_id, "role": "doctor"},
        {"account_id": pair.patient.account_id, "role": "patient"},
    ]
    assert "请问" not in json.dumps(rows, ensure_ascii=False)
    staff = await pair.world.staff()
    one_by_one = [row["audit_id"] for page in await staff.pages(f"/admin/audit?order_id={order['id']}", 3) for row in page]
    assert [each for each in one_by_one if each in {row["audit_id"] for row in rows}] == [row["audit_id"] for row in rows]


async def test_refused_looks_are_rows_with_the_order(pair: Pair) -> None:
    order = await pair.paid()
    stranger = await pair.world.pair()
    staff = await pair.world.staff()
    refused = {stranger.patient.account_id: "patient", stranger.doctor.account_id: "doctor"}
    for client in (stranger.patient, stranger.doctor):
        (await client.ask("GET", f"/orders/{order['id']}")).refused(404, "order.not_found")
        (await client.ask("POST", f"/orders/{order['id']}/cancel", {})).refused(404, "order.not_found")
        (await client.ask("GET", f"/conversations/{order['conversation_id']}/messages")).refused(404, "conversation.not_found")
    (await pair.doctor.ask("POST", f"/orders/{order['id']}/cancel", {})).refused(403, "request.forbidden")
    denied = [row for row in await _rows(pair.world, f"order_id={order['id']}") if row["outcome"] == "denied"]
    for account_id, role in refused.items():
        actions = [row["action"] for row in denied if row["actor"] == {"account_id": account_id, "role": role}]
        assert len(actions) == 3
    assert [row["action"] for row in denied if row["actor"]["account_id"] == pair.doctor_id] == ["request.cancel_order"]
    assert all(row["request_id"] for row in denied)
    assert (await pair.patient.ask("GET", f"/admin/orders/{order['id']}")).status == 403
    own = await _rows(pair.world, f"order_id={order['id']}&actor={pair.patient.account_id}")
    assert "denied" in {row["outcome"] for row in own}
    assert (await staff.ask("GET", f"/orders/{order['id']}")).status in (403, 404)


async def test_rows_are_found_by_actor_action_subject_and_time(pair: Pair) -> None:
    order = await pair.place()
    rows = await _rows_with(pair.world, f"actor={pair.patient.account_id}", {"consult.order_created"})
    assert {row["actor"]["account_id"] for row in rows} == {pair.patient.account_id}
    created = next(row for row in rows if row["action"] == "consult.order_created")
    assert (created["subject"], created["order_id"], created["outcome"]) == (order["id"], order["id"], "ok")
    at = instant(created["at"])
    for query, found in (
        (f"subject={order['id']}", True),
        (f"subject={order['id']}&action=consult.order_created", True),
        (f"subject={order['id']}&action=consult.order_cancelled", False),
        (f"order_id={order['id']}&since={created['at']}", True),
        (f"order_id={order['id']}&until={created['at']}", False),
        (f"order_id={order['id']}&since={(at - timedelta(minutes=1)).isoformat().replace('+00:00', 'Z')}", True),
        (f"order_id={order['id']}&since={(at + timedelta(minutes=1)).isoformat().replace('+00:00', 'Z')}", False),
    ):
        assert (created in await _rows(pair.world, query)) is found, query
    staff = await pair.world.staff()
    for query in ("since=yesterday", "until=5", "order_id=x'y", "other=1", "limit=1000", "cursor=abc"):
        (await staff.ask("GET", f"/admin/audit?{query}")).refused(422, "request.invalid")


async def test_sign_ins_patients_and_desks_are_rows_too(pair: Pair) -> None:
    settings = await pair.doctor.get("/desk/settings")
    (await pair.doctor.ask("PUT", "/desk/settings", {**settings, "daily_maximum": 9})).ok()
    actions = {
        row["action"] for row in await _rows_with(pair.world, f"actor={pair.doctor_id}", {"consult.desk_settings_changed"})
    }
    assert "accounts.session_opened" in actions
    rows = await _rows_with(pair.world, f"actor={pair.patient.account_id}", {"accounts.session_opened"})
    assert any(row["subject"] == pair.patient_id for row in rows)


async def test_only_staff_with_the_role_looks_at_the_audit(world: World) -> None:
    roles = {person["username"]: number for number, person in enumerate(world.product.demo["staff"])}
    allowed = {"/admin/audit": {"admin", "medical", "auditor"}, "/admin/refunds": {"admin", "finance"}}
    for username in ("auditor", "finance", "agent"):
        staff = await world.staff(roles[username])
        for path, who in allowed.items():
            if username in who:
                await staff.get(path)
            elif username == "agent":
                (await staff.ask("GET", path)).refused(403, "request.forbidden")


# --- orders, figures, refunds ---


async def test_staff_sees_orders_figures_and_refunds(pair: Pair) -> None:
    staff = await pair.world.staff()
    before = await staff.get("/admin/figures")
    order = await pair.paid()
    listed = (await staff.get(f"/admin/orders?doctor_id={pair.doctor_id}"))["items"]
    assert [(each["id"], each.keys()) for each in listed] == [(order["id"], ORDER_FIELDS)]
    await (await pair.world.pair()).place()
    assert (await staff.get("/admin/orders?limit=1"))["next_cursor"] is not None
    await pair.patient.post(f"/orders/{order['id']}/cancel", {})
    await pair.until(order["id"], "refunded")
    refund = next(each for page in await staff.pages("/admin/refunds", 50) for each in page if each["order_id"] == order["id"])
    assert {"refund_id", "order_id", "amount_fen", "status", "created_at"} <= refund.keys()
    assert (refund["amount_fen"], refund["status"]) == (order["fee_fen"], "refunded")
    instant(refund["created_at"])
    after = await staff.get("/admin/figures")
    assert after["orders"] >= before["orders"] + 1
    money = after["money"]
    assert money["paid_fen"] == money["held_fen"] + money["earned_fen"] + money["refunded_fen"]
    assert money["refunded_fen"] >= before["money"]["refunded_fen"] + order["fee_fen"]


async def test_staff_keeps_the_list_of_doctors(world: World) -> None:
    staff = await world.staff()
    department = (await staff.get("/departments"))["items"][0]
    phone = new_phone()
    body = {
        "name": "周敏",
        "title": "主治医师",
        "department_id": department["id"],
        "good_at": "发热",
        "fee_fen": 1234,
        "phone": phone,
    }
    added = await staff.post("/admin/doctors", body, 201)
    assert (added["name"], added["title"], added["fee_fen"], added["good_at"]) == ("周敏", "主治医师", 1234, "发热")
    assert phone not in json.dumps(added)
    (await staff.ask("POST", "/admin/doctors", body)).refused(409, "doctor.phone_taken")
    for bad in ({"fee_fen": -1}, {"fee_fen": 1.5}, {"phone": "x"}, {"name": ""}, {"department_id": "x"}, {"more": 1}):
        (await staff.ask("POST", "/admin/doctors", {**body, "phone": new_phone(), **bad})).refused(422, "request.invalid")
    changed = (await staff.ask("PATCH", f"/admin/doctors/{added['id']}", {"fee_fen": 4321, "title": "主任医师"})).ok()
    assert changed == {**added, "fee_fen": 4321, "title": "主任医师"}
    assert (await staff.get(f"/doctors/{added['id']}"))["fee_fen"] == 4321
    listed = [each for page in await staff.pages("/admin/doctors", 50) for each in page]
    assert changed in listed
    (await staff.ask("DELETE", f"/admin/doctors/{added['id']}")).ok(204)
    (await staff.ask("DELETE", f"/admin/doctors/{added['id']}")).refused(404, "doctor.not_found")
    (await staff.ask("PATCH", f"/admin/doctors/{added['id']}", {"fee_fen": 1})).refused(404, "doctor.not_found")
    assert added["id"] not in {each["id"] for page in await staff.pages("/doctors", 50) for each in page}
    patient = await world.patient()
    (await patient.ask("POST", "/admin/doctors", body)).refused(403, "request.forbidden")


# --- gateways ---


@pytest.mark.parametrize("what", ["payments", "refunds"])
async def test_a_callback_that_is_not_the_gateway_s_changes_nothing(pair: Pair, what: str) -> None:
    order = await pair.place()
    await pair.start_payment(order["id"])
    forged = {
        "id": uuid.uuid4().hex,
        "create_time": "2026-01-05T10:00:00+08:00",
        "resource_type": "encrypt-resource",
        "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
        "resource": {
            "original_type": "transaction",
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(b"x" * 64).decode(),
            "associated_data": "transaction",
            "nonce": "0123456789ab",
        },
    }
    signed = {
        "Wechatpay-Timestamp": "1767578400",
        "Wechatpay-Nonce": "abc",
        "Wechatpay-Signature": base64.b64encode(b"s" * 256).decode(),
        "Wechatpay-Serial": "A" * 40,
        "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
    }
    for headers in ({}, signed, {**signed, "Wechatpay-Timestamp": "x"}, {**signed, "Wechatpay-Signature": "é"}):
        for raw in (json.dumps(forged).encode(), b"", b"{", b"[]", b"null", b"\xff"):
            answer = await pair.world.nobody.ask("POST", f"/callbacks/wechatpay/{what}", raw=raw, headers=headers)
            assert (answer.status, answer.body) == (401, {"code": "FAIL", "message": "payment.signature_invalid"})
    assert (await pair.patient.get(f"/orders/{order['id']}"))["status"] == "pending_payment"


@pytest.mark.parametrize("fault", ["forged", "duplicated", "late", "lost"])
async def test_whatever_becomes_of_callbacks_an_order_is_paid_once(pair: Pair, fault: str) -> None:
    order = await pair.place()
    payment = await pair.start_payment(order["id"])
    await pair.world.outside("PUT", "/wechatpay/faults", {"callbacks": fault, "late_seconds": 0.5, "count": 1})
    await pair.world.outside("POST", f"/wechatpay/wallet/{payment['prepay_id']}/pay")
    try:
        await pair.until(order["id"], "awaiting_doctor", 60)
    finally:
        await pair.world.outside("PUT", "/wechatpay/faults", {})
    rows = await _rows_with(pair.world, f"order_id={order['id']}", {"consult.order_paid"})
    assert [row["action"] for row in rows].count("consult.order_paid") == 1
    assert [each["kind"] for each in await pair.log(order["conversation_id"])] == ["opened"]


# --- operators ---


async def test_metrics_are_on_the_operations_port_only(world: World) -> None:
    ports = {
        connection.laddr.port
        for process in world.product.processes("serve")
        for connection in process.net_connections("tcp")
        if connection.status == "LISTEN"
    }
    ports.discard(int(world.base_url.rpartition(":")[2]))
    answers = {}
    for port in ports:
        async with world.http.get(f"http://127.0.0.1:{port}/metrics") as answer:
            answers[port] = (answer.status, await answer.text())
    assert [status for status, _ in answers.values()] == [200]
    assert "# TYPE " in next(iter(answers.values()))[1]
    async with world.http.get(f"{world.base_url}/metrics") as answer:
        assert answer.status == 404
    for path in ("healthz", "readyz"):
        async with world.http.get(f"http://127.0.0.1:{next(iter(ports))}/{path}") as answer:
            assert answer.status == 200


async def test_the_demo_says_who_can_sign_in(world: World) -> None:
    demo = world.product.demo
    assert demo.keys() == {"base_url", "simulators_url", "patients", "doctors", "staff"}
    assert (demo["base_url"], demo["simulators_url"]) == (world.product.base_url, world.product.simulators_url)
    assert all(each.keys() == {"phone", "name"} for each in demo["patients"])
    assert all(each.keys() == {"phone", "doctor_id", "name", "department"} for each in demo["doctors"])
    assert all(each.keys() == {"username", "password", "totp_secret", "roles"} for each in demo["staff"])
    assert (len(demo["patients"]), len(demo["doctors"])) == (8, 12)
    assert {role for each in demo["staff"] for role in each["roles"]} == set(demo["staff"][0]["roles"])
    assert all(len(base64.b32decode(each["totp_secret"])) == 20 for each in demo["staff"])
    patient = await world.patient(demo["patients"][5]["phone"])
    (mine,) = (await patient.get("/patients"))["items"]
    assert (mine["name"], mine["default"]) == (demo["patients"][5]["name"], True)
    doctor = await world.doctor(demo["doctors"][9]["phone"])
    settings = await doctor.get("/desk/settings")
    assert (settings["accepting"], settings["daily_maximum"]) == (True, None)


async def test_the_operators_see_their_commands_and_settings_but_no_secret(world: World) -> None:
    """That the ledger and the audit verify is asked after all else has happened, in the journeys."""
    code, output = await world.product.yunzhen("--help")
    assert code == 0, output
    words = ("serve", "keeper", "worker", "beat", "simulators", "migrate", "demo", "check", "schemas", "ledger", "audit")
    assert [word for word in words if word not in output] == []
    code, output = await world.product.yunzhen("check")
    assert code == 0, output
    assert "YZ_CONSULT_VALIDITY" in output
    for person in world.product.demo["staff"]:
        assert person["password"] not in output and person["totp_secret"] not in output


async def test_a_wrong_setting_fails_the_check_and_says_which(world: World) -> None:
    product = replace(world.product, environment={**world.product.environment, "YZ_CONSULT_VALIDITY": "soon"})
    code, output = await product.yunzhen("check")
    assert code != 0
    assert "YZ_CONSULT_VALIDITY" in output
    assert "Traceback" not in output


async def test_readiness_says_how_things_are(world: World) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{world.base_url}/readyz") as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        assert "ok" in await answer.text()


# --- the console's own questions ---


async def test_the_console_sees_the_board_a_dossier_and_what_came_of_a_verification(pair: Pair) -> None:
    order, staff = await pair.paid(), await pair.world.staff()
    await pair.reply(order["conversation_id"])
    board = await staff.get("/admin/board")
    assert board["in_session"] >= 1
    assert (await staff.get("/admin/figures/daily?days=7"))["days"][-1] == board["today"]
    dossier = await staff.get(f"/admin/orders/{order['id']}/dossier")
    assert [entry["kind"] for entry in dossier["entries"]] == ["opened", "message"]
    assert [(each["entry"], each["amount_fen"]) for each in dossier["postings"]] == [("captured", order["fee_fen"])]
    (payment,) = dossier["payments"]
    assert payment["status"] == "captured"
    assert {pair.doctor_id, pair.patient.account_id} <= {person["account_id"] for person in dossier["people"]}
    assert (await staff.get(f"/admin/orders?patient_account={pair.patient.account_id}"))["items"][0]["id"] == order["id"]
    asked = await staff.post("/admin/audit/verifications", {}, 202)
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while (done := (await staff.get("/admin/audit/verifications"))["items"][0])["state"] != "done":
        assert asyncio.get_running_loop().time() < deadline, done
        await asyncio.sleep(0.1)
    assert (done["verification_id"], done["holds"], done["findings"]) == (asked["verification_id"], True, [])
    (await staff.ask("POST", f"/admin/hl7/{'0' * 32}/retry", {})).refused(404, "hl7.message_not_found")
    assert (await staff.get("/admin/hl7"))["items"] == []
    assert (await pair.doctor.ask("GET", "/admin/board")).status == 403


async def test_a_days_bill_is_compared_with_the_books_and_listed(pair: Pair) -> None:
    """Today's, which the gateway gives early when it is told to; the final comparison is tomorrow's."""
    world, staff, finance = pair.world, await pair.world.staff(), await pair.world.staff(2)
    order, path = await pair.paid(), "/admin/reconciliations"
    await pair.patient.post(f"/orders/{order['id']}/cancel", {})
    await pair.until(order["id"], "refunded")
    today = f"{datetime.now(UTC).astimezone(timezone(timedelta(hours=8))):%Y-%m-%d}"
    (await finance.ask("POST", path, {"day": today})).refused(409, "reconciliation.bill_not_ready")
    await world.outside("PUT", "/wechatpay/faults", {"bills": "early", "count": 1})
    done = await finance.post(path, {"day": today}, 201)
    assert done["payments"]["count"] >= 1 and done["refunds"]["amount_fen"] >= order["fee_fen"]
    assert [each for each in done["findings"] if each["order_id"] == order["id"]] == []
    page = await staff.get(f"{path}?limit=100")
    assert [each["day"] for each in page["items"] if each["reconciliation_id"] == done["reconciliation_id"]] == [today]
    for bad in ({}, {"day": "2026-13-01"}, {"day": "9999-01-01"}, {"day": 5}, {"day": today, "more": 1}):
        (await finance.ask("POST", path, bad)).refused(422, "request.invalid")
    for who in (pair.patient, pair.doctor, await world.staff(4)):
        (await who.ask("GET", path)).refused(403, "request.forbidden")
        (await who.ask("POST", path, {"day": today})).refused(403, "request.forbidden")
