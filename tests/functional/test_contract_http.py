"""The wire contract over HTTP: conventions, signing in, people, doctors, consents."""

import asyncio
import hashlib
import re
import time
import uuid
from datetime import date
from typing import Any

import pyotp
import pytest

from tests.support.contract import PATIENCE_SECONDS, World, identity_number, instant, new_phone

A_CHILDS_BIRTHDAY = date(2021, 5, 4)
AN_ADULTS_BIRTHDAY = date(1985, 11, 2)


def _device() -> dict[str, str]:
    return {"device_id": uuid.uuid4().hex, "device_name": "测试机"}


def _session_shape(session: Any, role: str) -> None:
    assert session.keys() == {
        *("access_token", "expires_in_seconds", "refresh_token", "refresh_expires_in_seconds", "account", "device_id")
    }
    assert session["expires_in_seconds"] == 900
    assert session["refresh_expires_in_seconds"] > 900
    assert session["account"].keys() == {"account_id", "role", "name"}
    assert session["account"]["role"] == role


# --- conventions ---


async def test_what_is_not_there_is_a_problem_like_any_other(world: World) -> None:
    (await world.nobody.ask("GET", "/nothing-here")).refused(404, "request.not_found")
    (await world.nobody.ask("PATCH", "/departments")).refused(405, "request.method_not_allowed")


@pytest.mark.parametrize("token", [None, "", "x", "Bearer", "eyJhbGciOiJub25lIn0.e30.", "a" * 5000, "é"])
async def test_who_is_not_signed_in_is_told_so_and_sees_nothing(world: World, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    for method, path in (
        *(("GET", path) for path in ("/me", "/departments", "/doctors", "/patients", "/orders", "/desk/settings")),
        *(("GET", path) for path in ("/consents/consult", "/desk/quick-replies", "/desk/figures")),
        *(("GET", f"/admin/{path}") for path in ("audit", "orders", "figures", "refunds", "doctors")),
        *(("POST", path) for path in ("/patients", "/orders", "/media", "/desk/quick-replies", "/admin/doctors")),
        ("DELETE", "/auth/sessions/current"),
        ("GET", f"/orders/{'0' * 32}"),
        ("GET", f"/conversations/{'0' * 32}/messages"),
    ):
        answer = await world.nobody.ask(method, path, {} if method == "POST" else None, headers=headers)
        answer.refused(401, "auth.required")


BAD_BODIES = [
    pytest.param(b"", id="empty"),
    pytest.param(b"{", id="broken"),
    pytest.param(b"[]", id="array"),
    pytest.param(b"null", id="null"),
    pytest.param(b'"text"', id="text"),
    pytest.param(b"\xff\xfe", id="not utf-8"),
    pytest.param(b'{"phone": "\xc3\x28"}', id="broken utf-8"),
    pytest.param(b'{"phone": 13800000001, "purpose": "login"}', id="number for text"),
    pytest.param(b'{"phone": ["13800000001"], "purpose": "login"}', id="array for text"),
    pytest.param(b'{"phone": "13800000001", "purpose": "other"}', id="unknown purpose"),
    pytest.param(b'{"phone": "13800000001"}', id="field missing"),
    pytest.param(b'{"phone": "13800000001", "purpose": "login", "more": 1}', id="unknown field"),
    pytest.param(b'{"phone": "1380000000\\u0000", "purpose": "login"}', id="nul"),
    pytest.param(b'{"phone": "+8613800000001", "purpose": "login"}', id="other form of phone"),
    pytest.param(b'{"phone": "\\ud800", "purpose": "login"}', id="lone surrogate"),
    pytest.param(b"[" * 100_000, id="deep"),
    pytest.param(b'{"phone": 1e999999, "purpose": "login"}', id="huge number"),
]


@pytest.mark.parametrize("raw", BAD_BODIES)
async def test_a_body_that_is_not_what_it_should_be_is_refused_and_never_echoed(world: World, raw: bytes) -> None:
    problem = (await world.nobody.ask("POST", "/auth/sms-codes", raw=raw)).refused(422, "request.invalid")
    assert "13800000001" not in str(problem)


async def test_a_huge_body_and_another_kind_of_body_are_refused(world: World) -> None:
    answer = await world.nobody.ask("POST", "/auth/sms-codes", raw=b'{"phone": "' + b"1" * 600_000 + b'"}')
    answer.refused(413, "request.too_large")
    headers = {"Content-Type": "text/plain"}
    raw = b'{"phone": "13800000001", "purpose": "login"}'
    (await world.nobody.ask("POST", "/auth/sms-codes", raw=raw, headers=headers)).refused(422, "request.invalid")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "cursor=nonsense", "other=1", "cursor=%00", "limit=1&limit=2"]
)
async def test_lists_refuse_limits_and_cursors_that_are_not_theirs(world: World, query: str) -> None:
    patient, staff = await world.patient(), await world.staff()
    for client, path in ((patient, "/doctors"), (patient, "/orders"), (staff, "/admin/orders"), (staff, "/admin/audit")):
        (await client.ask("GET", f"{path}?{query}")).refused(422, "request.invalid")
    (await staff.ask("GET", f"/admin/refunds?{query}")).refused(422, "request.invalid")


async def test_every_list_is_items_and_a_cursor(world: World) -> None:
    patient, staff, doctor = await world.patient(), await world.staff(), (await world.new_doctor())[0]
    for client, paths in (
        (patient, ("/departments", "/doctors", "/patients", "/orders")),
        (doctor, ("/orders", "/desk/quick-replies", "/doctors")),
        (staff, ("/admin/audit", "/admin/orders", "/admin/refunds", "/admin/doctors", "/departments", "/doctors")),
    ):
        for path in paths:
            page = await client.get(path)
            assert page.keys() == {"items", "next_cursor"}, path
            assert isinstance(page["items"], list)
            assert page["next_cursor"] is None or isinstance(page["next_cursor"], str)


async def test_the_same_key_gives_the_first_answer_and_another_body_is_a_mismatch(world: World) -> None:
    doctor, _, _ = await world.new_doctor()
    key = uuid.uuid4().hex
    first = await doctor.ask("POST", "/desk/quick-replies", {"text": "多喝水"}, key=key)
    again = await doctor.ask("POST", "/desk/quick-replies", {"text": "多喝水"}, key=key)
    assert (again.status, again.body) == (201, first.body)
    (await doctor.ask("POST", "/desk/quick-replies", {"text": "少喝水"}, key=key)).refused(409, "idempotency.mismatch")
    assert [reply["text"] for reply in (await doctor.get("/desk/quick-replies"))["items"]] == ["多喝水"]
    (await doctor.ask("PATCH", f"/desk/quick-replies/{first.body['id']}", {"text": "休息"}, key=key)).ok()
    other, _, _ = await world.new_doctor()
    (await other.ask("POST", "/desk/quick-replies", {"text": "少喝水"}, key=key)).ok(201)


async def test_every_write_takes_a_key(world: World) -> None:
    doctor, _, _ = await world.new_doctor()
    settings = await doctor.get("/desk/settings")
    key = uuid.uuid4().hex
    answers = [await doctor.ask("PUT", "/desk/settings", settings, key=key) for _ in range(2)]
    assert [answer.ok() for answer in answers] == [settings, settings]
    reply = await doctor.post("/desk/quick-replies", {"text": "好的"}, 201)
    key = uuid.uuid4().hex
    for _ in range(2):
        assert (await doctor.ask("DELETE", f"/desk/quick-replies/{reply['id']}", key=key)).status == 204
    (await doctor.ask("DELETE", "/auth/sessions/current", key=key)).ok(204)


async def test_of_many_with_one_key_one_works_and_the_others_get_its_answer_or_wait(world: World) -> None:
    pair = await world.pair()
    body, key = await pair.order_body(), uuid.uuid4().hex
    answers = await asyncio.gather(*(pair.patient.ask("POST", "/orders", body, key=key) for _ in range(20)))
    made = [answer.body for answer in answers if answer.status == 201]
    assert made and all(order == made[0] for order in made)
    for answer in answers:
        if answer.status != 201:
            answer.refused(409, "idempotency.in_progress")
    assert [order["id"] for order in (await pair.patient.get("/orders"))["items"]] == [made[0]["id"]]


@pytest.mark.parametrize("key", ["", "x" * 201, "a b"])
async def test_a_key_that_is_no_key_is_refused(world: World, key: str) -> None:
    doctor, _, _ = await world.new_doctor()
    (await doctor.ask("POST", "/desk/quick-replies", {"text": "好"}, key=key)).refused(422, "request.invalid")


async def test_the_documents_of_the_wire_are_served(world: World) -> None:
    openapi = (await world.nobody.ask("GET", "/openapi.json")).ok()
    assert openapi["openapi"].startswith("3.")
    assert "/api/v1/orders/{order_id}/payments" in {*openapi["paths"]} | {f"/api/v1{path}" for path in openapi["paths"]}
    asyncapi = (await world.nobody.ask("GET", "/asyncapi.json")).ok()
    assert asyncapi["asyncapi"]


# --- signing in ---


async def test_a_code_is_asked_for_alike_by_known_and_unknown_phones(world: World) -> None:
    known = world.product.demo["patients"][0]["phone"]
    answers = [
        (await world.nobody.ask("POST", "/auth/sms-codes", {"phone": phone, "purpose": purpose})).ok(202)
        for phone in (known, new_phone())
        for purpose in ("login", "reset_password")
    ]
    assert answers[0].keys() == {"retry_after_seconds", "expires_in_seconds"}
    assert answers[0]["expires_in_seconds"] == 300
    assert answers == [answers[0]] * 4


async def test_an_sms_is_shown_by_the_simulated_phone(world: World) -> None:
    phone = new_phone()
    codes = [await world.code(phone) for _ in range(2)]
    messages = await world.outside("GET", f"/sms/messages?phone={phone}")
    assert [message["params"]["code"] for message in messages] == codes[::-1]
    for message in messages:
        assert message.keys() >= {"template", "params", "text", "sent_at"}
        instant(message["sent_at"])
        assert message["params"]["code"] in message["text"]


async def test_the_first_code_registers_and_the_next_finds_the_same_account(world: World) -> None:
    phone, device = new_phone(), uuid.uuid4().hex
    first = (await world.sign_in("patient", phone, device)).ok(201)
    _session_shape(first, "patient")
    assert first["device_id"] == device
    second = (await world.sign_in("patient", phone)).ok(201)
    assert second["account"] == first["account"]
    me = await world.client(second).get("/me")
    assert me.keys() == {"account_id", "role", "name", "devices"}
    assert (me["account_id"], me["role"]) == (first["account"]["account_id"], "patient")
    assert {each["device_id"] for each in me["devices"]} == {first["device_id"], second["device_id"]}


async def test_a_code_is_good_once_and_only_for_its_purpose(world: World) -> None:
    phone = new_phone()
    code = await world.code(phone, "reset_password")
    body = {"phone": phone, "code": code, **_device()}
    (await world.nobody.ask("POST", "/auth/patient/sessions", body)).refused(401, "auth.invalid")
    body["code"] = await world.code(phone)
    (await world.nobody.ask("POST", "/auth/patient/sessions", body)).ok(201)
    (await world.nobody.ask("POST", "/auth/patient/sessions", body)).refused(401, "auth.invalid")


async def test_of_many_who_bring_one_code_at_once_one_gets_in(world: World) -> None:
    phone = new_phone()
    body = {"phone": phone, "code": await world.code(phone), **_device()}
    answers = await asyncio.gather(*(world.nobody.ask("POST", "/auth/patient/sessions", body) for _ in range(8)))
    assert sorted(answer.status for answer in answers)[0] == 201
    assert [answer.status for answer in answers].count(201) == 1


@pytest.mark.parametrize("role", ["patient", "doctor"])
async def test_five_wrong_codes_void_the_code_until_a_new_one_is_asked_for(world: World, role: str) -> None:
    phone = new_phone() if role == "patient" else (await world.new_doctor())[2]
    right = await world.code(phone)
    wrong = f"{(int(right) + 1) % 10 ** len(right):0{len(right)}}"
    body = {"phone": phone, "code": wrong, **_device()}
    for _ in range(4):
        (await world.nobody.ask("POST", f"/auth/{role}/sessions", body)).refused(401, "auth.invalid")
    fifth = await world.nobody.ask("POST", f"/auth/{role}/sessions", body)
    assert fifth.body["code"] in ("auth.invalid", "auth.locked")
    for code in (right, wrong):
        (await world.nobody.ask("POST", f"/auth/{role}/sessions", body | {"code": code})).refused(429, "auth.locked")
    body["code"] = await world.code(phone)
    (await world.nobody.ask("POST", f"/auth/{role}/sessions", body)).ok(201)


async def test_a_new_code_makes_the_old_one_worthless(world: World) -> None:
    phone = new_phone()
    old = await world.code(phone)
    new = await world.code(phone)
    body = {"phone": phone, "code": old, **_device()}
    if old != new:
        (await world.nobody.ask("POST", "/auth/patient/sessions", body)).refused(401, "auth.invalid")
    (await world.nobody.ask("POST", "/auth/patient/sessions", body | {"code": new})).ok(201)


@pytest.mark.parametrize(
    "change",
    [
        {"code": "abcdef"},
        {"code": 123456},
        {"code": None},
        {"password": "x"},
        {"device_id": ""},
        {"device_name": "a\u0000b"},
        {"device_name": "a\u202eb"},
        {"device_id": "x" * 10_000},
        {"more": 1},
        {"phone": "139"},
        {"phone": "１３８００００００１１"},
    ],
)
async def test_a_sign_in_that_is_not_well_formed_is_refused(world: World, change: dict[str, Any]) -> None:
    body = {"phone": new_phone(), "code": "123456", **_device()} | change
    (await world.nobody.ask("POST", "/auth/patient/sessions", body)).refused(422, "request.invalid")


async def test_a_password_is_set_by_the_account_and_reset_by_a_code(world: World) -> None:
    phone = new_phone()
    patient = await world.patient(phone)
    by_password = {"phone": phone, "password": "correct horse 9", **_device()}
    (await world.nobody.ask("POST", "/auth/patient/sessions", by_password)).refused(401, "auth.invalid")
    first = {"password": "correct horse 9"}
    (await patient.ask("PUT", "/me/password", first)).refused(403, "auth.code_required")
    (await patient.ask("PUT", "/me/password", first | {"code": await world.code(phone, "reset_password")})).ok(204)
    _session_shape((await world.nobody.ask("POST", "/auth/patient/sessions", by_password)).ok(201), "patient")
    wrong = by_password | {"password": "battery staple 9"}
    (await world.nobody.ask("POST", "/auth/patient/sessions", wrong)).refused(401, "auth.invalid")
    code = await world.code(phone, "reset_password")
    reset = {"phone": phone, "code": code, "password": "battery staple 9"}
    (await world.nobody.ask("POST", "/auth/password-reset", reset)).ok(204)
    (await world.nobody.ask("POST", "/auth/patient/sessions", wrong)).ok(201)
    (await patient.ask("GET", "/me")).refused(401, "auth.required")


async def test_only_an_authorised_phone_signs_in_as_a_doctor(world: World) -> None:
    demo = world.product.demo["doctors"][8]
    session = (await world.sign_in("doctor", demo["phone"])).ok(201)
    _session_shape(session, "doctor")
    assert session["account"] == {"account_id": demo["doctor_id"], "role": "doctor", "name": demo["name"]}
    (await world.sign_in("doctor", new_phone())).refused(403, "auth.phone_not_authorised")
    body = {"phone": new_phone(), "code": "123456", **_device()}
    (await world.nobody.ask("POST", "/auth/doctor/sessions", body)).refused(401, "auth.invalid")


async def test_staff_signs_in_by_password_and_one_time_code(world: World) -> None:
    person = world.product.demo["staff"][1]
    totp = pyotp.TOTP(person["totp_secret"])
    for change in ({"password": "wrong"}, {"totp": f"{(int(totp.now()) + 1) % 10**6:06}"}, {"username": "nobody"}):
        (await world.sign_in_staff(person, **change)).refused(401, "auth.invalid")
    session = (await world.sign_in_staff(person)).ok(201)
    _session_shape(session, "staff")
    me = await world.client(session).get("/me")
    assert (me["role"], me["account_id"]) == ("staff", session["account"]["account_id"])


async def test_refreshing_rotates_and_an_old_token_ends_the_whole_family(world: World) -> None:
    patient = await world.patient()
    socket = await world.socket(patient)
    assert patient.session is not None
    old = patient.session["refresh_token"]
    next_ = (await world.nobody.ask("POST", "/auth/refresh", {"refresh_token": old})).ok()
    _session_shape(next_, "patient")
    assert next_["refresh_token"] != old
    assert (next_["account"], next_["device_id"]) == (patient.session["account"], patient.session["device_id"])
    newer = world.client(next_)
    await newer.get("/me")
    await patient.get("/me")
    (await world.nobody.ask("POST", "/auth/refresh", {"refresh_token": old})).refused(401, "auth.invalid")
    began = time.monotonic()
    await socket.wait_for("session.revoked", lambda body: body.keys() == {"reason"}, 1.2)
    await socket.wait_closed(1.2)
    assert time.monotonic() - began < 1.2
    for client in (patient, newer):
        (await client.ask("GET", "/me")).refused(401, "auth.required")
    for token in (old, next_["refresh_token"]):
        (await world.nobody.ask("POST", "/auth/refresh", {"refresh_token": token})).refused(401, "auth.invalid")


async def test_of_many_refreshes_at_once_one_at_most_gets_tokens(world: World) -> None:
    patient = await world.patient()
    assert patient.session is not None
    body = {"refresh_token": patient.session["refresh_token"]}
    answers = await asyncio.gather(*(world.nobody.ask("POST", "/auth/refresh", body) for _ in range(6)))
    assert [answer.status for answer in answers].count(200) <= 1


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 400, "\u0000", 5, None])
async def test_a_refresh_token_that_is_none_of_ours_is_refused(world: World, token: Any) -> None:
    answer = await world.nobody.ask("POST", "/auth/refresh", {"refresh_token": token})
    assert answer.body["code"] in ("auth.invalid", "request.invalid")
    answer.refused(401 if answer.body["code"] == "auth.invalid" else 422, answer.body["code"])


async def test_an_access_token_is_no_refresh_token_and_the_other_way_round(world: World) -> None:
    patient = await world.patient()
    assert patient.session is not None
    answer = await world.nobody.ask("POST", "/auth/refresh", {"refresh_token": patient.session["access_token"]})
    answer.refused(401, "auth.invalid")
    headers = {"Authorization": f"Bearer {patient.session['refresh_token']}"}
    (await world.nobody.ask("GET", "/me", headers=headers)).refused(401, "auth.required")


async def test_signing_out_closes_the_sockets_of_this_session_only(world: World) -> None:
    phone = new_phone()
    here, there = await world.patient(phone), await world.patient(phone)
    sockets = [await world.socket(here), await world.socket(here)]
    other = await world.socket(there)
    (await here.ask("DELETE", "/auth/sessions/current")).ok(204)
    for socket in sockets:
        await socket.wait_closed(1.2)
        assert [body.keys() for body in socket.all("session.revoked")] == [{"reason"}]
    (await here.ask("GET", "/me")).refused(401, "auth.required")
    assert (await other.call("conversation.sync", {"cursors": {}}))["ok"] is True
    assert other.closed_at is None
    devices = (await there.get("/me"))["devices"]
    assert there.session is not None
    assert [each["device_id"] for each in devices] == [there.session["device_id"]]


# --- doctors, departments, consents ---


async def test_departments_and_doctors_have_their_fields(world: World) -> None:
    patient = await world.patient()
    departments = (await patient.get("/departments"))["items"]
    assert all(each.keys() == {"id", "name"} for each in departments)
    demo = world.product.demo["doctors"]
    assert {each["department"] for each in demo} <= {each["name"] for each in departments}
    one = await patient.get(f"/doctors/{demo[4]['doctor_id']}")
    fields = {"id", "name", "title", "department", "good_at", "fee_fen", "accepting"}
    assert one.keys() == fields | {"stars", "replied_rate", "median_reply_minutes"}
    assert (one["id"], one["name"], one["department"]) == (demo[4]["doctor_id"], demo[4]["name"], demo[4]["department"])
    assert isinstance(one["fee_fen"], int) and one["fee_fen"] > 0
    assert one["accepting"] is True
    listed = [each for page in await patient.pages("/doctors", 7) for each in page]
    assert len({each["id"] for each in listed}) == len(listed)
    assert {each["doctor_id"] for each in demo[:10]} <= {each["id"] for each in listed}
    assert one in listed


async def test_doctors_are_found_by_department_name_and_whether_they_take_orders(world: World) -> None:
    patient = await world.patient()
    demo = world.product.demo["doctors"][7]
    department = next(d for d in (await patient.get("/departments"))["items"] if d["name"] == demo["department"])
    found = [d for page in await patient.pages(f"/doctors?department_id={department['id']}", 5) for d in page]
    assert {each["department"] for each in found} == {demo["department"]}
    assert demo["doctor_id"] in {each["id"] for each in found}
    found = (await patient.get(f"/doctors?q={demo['name']}"))["items"]
    assert demo["doctor_id"] in {each["id"] for each in found}
    doctor, doctor_id, _ = await world.new_doctor(name="钱三强", good_at="罕见的慢性荨麻疹")
    for words in ("钱三强", "qiansanqiang", "qsq", "慢性荨麻疹"):
        assert doctor_id in {each["id"] for page in await patient.pages(f"/doctors?q={words}", 50) for each in page}, words
    settings = await doctor.get("/desk/settings")
    (await doctor.ask("PUT", "/desk/settings", {**settings, "accepting": False})).ok()
    assert (await patient.get(f"/doctors/{doctor_id}"))["accepting"] is False
    for accepting, expected in (("true", False), ("false", True)):
        pages = await patient.pages(f"/doctors?accepting={accepting}", 50)
        assert (doctor_id in {each["id"] for page in pages for each in page}) is expected
        assert {each["accepting"] for page in pages for each in page} == {accepting == "true"}
    assert (await patient.get("/doctors?q=%E6%B2%A1%E6%9C%89%E8%BF%99%E4%B8%AA%E4%BA%BA"))["items"] == []
    for query in ("accepting=maybe", "department_id=" + "x" * 200, "q=" + "x" * 1000):
        (await patient.ask("GET", f"/doctors?{query}")).refused(422, "request.invalid")
    (await patient.ask("GET", f"/doctors/{'0' * 32}")).refused(404, "doctor.not_found")
    (await patient.ask("GET", "/doctors/nonsense")).refused(404, "doctor.not_found")


async def test_the_consent_says_version_title_text_and_hash(world: World) -> None:
    for client in (await world.patient(), (await world.new_doctor())[0], await world.staff()):
        consent = await client.get("/consents/consult")
        assert consent.keys() >= {"version", "title", "text", "sha256"}
        assert consent["sha256"] == hashlib.sha256(consent["text"].encode()).hexdigest()
    (await (await world.patient()).ask("GET", "/consents/nothing")).refused(404, "consent.not_found")


# --- patients ---


async def test_a_patient_is_added_changed_and_removed_with_masked_numbers(world: World) -> None:
    client = await world.patient()
    number, phone = identity_number(AN_ADULTS_BIRTHDAY, 248), new_phone()
    body = {"name": "孙丽", "id_type": "resident", "id_number": number, "phone": phone, "default": True}
    added = (await client.ask("POST", "/patients", body)).ok(201)
    assert {"id", "name", "id_type", "id_number", "phone", "guardian", "default"} <= added.keys()
    assert (added["name"], added["id_type"], added["default"], added["guardian"]) == ("孙丽", "resident", True, None)
    assert number not in str(added) and phone not in str(added)
    assert "*" in added["id_number"] and "*" in added["phone"]
    assert added["id_number"][-4:] == number[-4:]
    assert (await client.get("/patients"))["items"] == [added]
    changed = (await client.ask("PATCH", f"/patients/{added['id']}", {"name": "孙莉"})).ok()
    assert changed == {**added, "name": "孙莉"}
    other = await world.new_patient(client, default=True)
    listed = (await client.get("/patients"))["items"]
    assert [(each["id"], each["default"]) for each in listed] == [(other["id"], True), (added["id"], False)]
    (await client.ask("DELETE", f"/patients/{other['id']}")).ok(204)
    listed = (await client.get("/patients"))["items"]
    assert [(each["id"], each["default"]) for each in listed] == [(added["id"], True)]
    (await client.ask("DELETE", f"/patients/{other['id']}")).refused(404, "patient.not_found")


@pytest.mark.parametrize(
    ("id_type", "number"),
    [("passport", "E12345678"), ("permit", "H12345678"), ("resident", identity_number(AN_ADULTS_BIRTHDAY, 77))],
)
async def test_documents_of_every_kind_are_taken(world: World, id_type: str, number: str) -> None:
    client = await world.patient()
    added = await world.new_patient(client, id_type=id_type, id_number=number)
    assert added["id_type"] == id_type
    assert added["default"] is True
    body = {"name": "另一人", "id_type": id_type, "id_number": number, "phone": new_phone(), "default": False}
    (await client.ask("POST", "/patients", body)).refused(409, "patient.duplicate")


async def test_a_child_needs_a_guardian(world: World) -> None:
    client = await world.patient()
    body = {
        "name": "陈小宝",
        "id_type": "resident",
        "id_number": identity_number(A_CHILDS_BIRTHDAY, 11),
        "phone": new_phone(),
        "default": True,
    }
    (await client.ask("POST", "/patients", body)).refused(422, "request.invalid")
    (await client.ask("POST", "/patients", {**body, "guardian": None})).refused(422, "request.invalid")
    child_as_guardian = {"name": "陈小二", "id_number": identity_number(A_CHILDS_BIRTHDAY, 13)}
    (await client.ask("POST", "/patients", {**body, "guardian": child_as_guardian})).refused(422, "request.invalid")
    guardian = {"name": "陈大", "id_number": identity_number(AN_ADULTS_BIRTHDAY, 15)}
    added = (await client.ask("POST", "/patients", {**body, "guardian": guardian})).ok(201)
    assert added["guardian"]["name"] == "陈大"
    assert re.fullmatch(r"\d+\*+[\dX]+", added["guardian"]["id_number"])
    born = {**body, "id_type": "birth_certificate", "id_number": "K110123456"}
    (await client.ask("POST", "/patients", born)).refused(422, "request.invalid")
    (await client.ask("POST", "/patients", {**born, "guardian": guardian})).ok(201)


@pytest.mark.parametrize(
    "change",
    [
        {"id_number": identity_number(AN_ADULTS_BIRTHDAY, 5)[:-1] + "?"},
        {"id_number": "110105198511020059"},
        {"id_number": "11010519851302005X"},
        {"id_number": ""},
        {"id_number": None},
        {"id_type": "driving_licence"},
        {"phone": "12345"},
        {"name": ""},
        {"name": "a\u0000"},
        {"name": "x" * 1000},
        {"default": "yes"},
        {"guardian": {}},
        {"guardian": "mother"},
        {"more": 1},
    ],
)
async def test_a_patient_that_is_not_well_formed_is_refused_and_nothing_is_stored(world: World, change: dict[str, Any]) -> None:
    client = await world.patient()
    body = {"name": "孙丽", "id_type": "resident", "phone": new_phone(), "default": True}
    body |= {"id_number": identity_number(AN_ADULTS_BIRTHDAY, 5)} | change
    (await client.ask("POST", "/patients", body)).refused(422, "request.invalid")
    assert (await client.get("/patients"))["items"] == []


async def test_an_account_holds_five_patients_one_of_them_the_default(world: World) -> None:
    client = await world.patient()
    bodies = [
        {
            "name": f"家人{n}",
            "id_type": "resident",
            "id_number": identity_number(AN_ADULTS_BIRTHDAY, 100 + n),
            "phone": new_phone(),
            "default": n % 2 == 0,
        }
        for n in range(9)
    ]
    answers = await asyncio.gather(*(client.ask("POST", "/patients", body) for body in bodies))
    assert sorted(answer.status for answer in answers) == [201] * 5 + [409] * 4
    for answer in answers:
        if answer.status == 409:
            answer.refused(409, "patient.limit_reached")
    listed = (await client.get("/patients"))["items"]
    assert [each["default"] for each in listed] == [True, False, False, False, False]
    await asyncio.gather(*(client.ask("PATCH", f"/patients/{each['id']}", {"default": True}) for each in listed))
    assert sorted(each["default"] for each in (await client.get("/patients"))["items"]) == [False] * 4 + [True]


async def test_nobody_touches_the_patients_of_another_account(world: World) -> None:
    owner, stranger = await world.patient(), await world.patient()
    mine = await world.new_patient(owner)
    for method, body in (("PATCH", {"name": "别人"}), ("DELETE", None)):
        (await stranger.ask(method, f"/patients/{mine['id']}", body)).refused(404, "patient.not_found")
    assert (await owner.get("/patients"))["items"] == [mine]
    doctor, _, _ = await world.new_doctor()
    for other in (doctor, await world.staff()):
        assert (await other.ask("GET", "/patients")).status == 403


# --- limits and what runs beside ---


async def test_the_process_says_that_it_lives_and_is_ready(world: World) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        for path in ("/healthz", "/readyz"):
            assert (await world.nobody.ask("GET", f"{world.base_url}{path}")).status == 200
    assert (await world.nobody.ask("GET", f"{world.base_url}/metrics")).status == 404
