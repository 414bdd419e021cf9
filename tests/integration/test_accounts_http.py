"""The routes through the real edge."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from accounts.domain import DoctorDetails
from accounts.http import routes
from accounts.passwords import new_totp_secret, totp_code
from accounts.tasks import jobs
from server.app.address import address_of
from server.app.edge import Edge, outermost
from server.app.idempotency import IdempotencyStore
from server.app.limits import RateLimiter
from server.kernel.actor import StaffRole
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from server.kernel.settings import parse_rate
from tests.support.accounts import PHONE, Accounts, resident_number, system
from tests.support.clock import ManualClock

DEVICE = {"device_id": "d-1", "device_name": "A phone"}
PATIENT = {"name": "王小明", "id_type": "resident", "id_number": resident_number(), "phone": "13900001111", "default": True}


@dataclass
class World:
    accounts: Accounts
    http: TestClient[web.Request, web.Application]
    token: str | None = None

    async def call(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self.http.request(method, f"/api/v1{path}", json=body, headers=headers, **more) as answer:
            return answer.status, (await answer.json() if await answer.read() else None)

    async def code(self, phone: str = PHONE, purpose: str = "login") -> str:
        status, body = await self.call("POST", "/auth/sms-codes", {"phone": phone, "purpose": purpose})
        assert (status, body) == (202, {"retry_after_seconds": 60, "expires_in_seconds": 300})
        return self.accounts.sms.code_of(phone)

    async def patient(self, phone: str = PHONE) -> dict[str, Any]:
        body = {"phone": phone, "code": await self.code(phone), **DEVICE}
        status, session = await self.call("POST", "/auth/patient/sessions", body)
        assert status == 201
        self.token = session["access_token"]
        opened: dict[str, Any] = session
        return opened

    async def staff(self, *roles: StaffRole, username: str = "admin") -> None:
        """Sign in as a new member with these roles."""
        secret = new_totp_secret()
        await self.accounts.staff.add_staff(
            system(), username=username, name="李", password="right horse", totp_secret=secret, roles=roles
        )
        code = totp_code(secret, self.accounts.clock.now())
        body = {"username": username, "password": "right horse", "totp": code, **DEVICE}
        status, session = await self.call("POST", "/auth/staff/sessions", body)
        assert status == 201
        self.token = session["access_token"]


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> AsyncIterator[World]:
    accounts = Accounts(database, clock)
    await accounts.prepare()
    edge = Edge(
        sessions=accounts.sessions,
        idempotency=IdempotencyStore(database, Keyring(MasterKey(bytes(32)), database), clock),
        limiter=RateLimiter(parse_rate("1000/s"), clock),
        audit=accounts.audit,
        clock=clock,
        secure_cookies=False,
        address_of=address_of(0),
    )
    app = web.Application(middlewares=[outermost])
    edge.add(
        app,
        routes(
            codes=accounts.codes,
            sign_in=accounts.sign_in,
            sessions=accounts.sessions,
            passwords=accounts.password_service,
            doctors=accounts.doctors,
            patients=accounts.patients,
            consents=accounts.consents,
            staff=accounts.staff,
        ),
    )
    async with TestClient(TestServer(app)) as http:
        yield World(accounts, http)
    await accounts.close()


async def test_a_session_is_answered_as_promised_and_sets_the_cookie_for_media(world: World) -> None:
    session = await world.patient()
    assert set(session) == {
        "access_token",
        "expires_in_seconds",
        "refresh_token",
        "refresh_expires_in_seconds",
        "account",
        "device_id",
    }
    assert (session["expires_in_seconds"], session["refresh_expires_in_seconds"]) == (900, 30 * 86400)
    assert session["account"] | {"account_id": ""} == {"account_id": "", "role": "patient", "name": "138****1234"}
    [cookie] = list(world.http.session.cookie_jar)
    assert (cookie.key, cookie["path"], bool(cookie["httponly"])) == ("yz_media", "/api/v1/media", True)
    status, me = await world.call("GET", "/me")
    assert status == 200
    assert {k: me[k] for k in ("account_id", "role", "name")} == session["account"]
    [device] = me["devices"]
    assert {k: device[k] for k in ("device_id", "device_name", "current")} == DEVICE | {"current": True}
    status, refreshed = await world.call("POST", "/auth/refresh", {"refresh_token": session["refresh_token"]})
    assert (status, refreshed["account"]) == (200, session["account"])
    assert await world.call("DELETE", "/auth/sessions/current") == (204, None)
    assert list(world.http.session.cookie_jar) == []
    status, problem = await world.call("GET", "/me")
    assert (status, problem["code"]) == (401, "auth.required")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/auth/sms-codes", {"phone": "123", "purpose": "login"}, "phone"),
        ("/auth/sms-codes", {"phone": PHONE, "purpose": "other"}, "purpose"),
        ("/auth/sms-codes", {"phone": PHONE, "purpose": "login", "role": "doctor"}, "role"),
        ("/auth/sms-codes", {"phone": 13812341234, "purpose": "login"}, "phone"),
        ("/auth/patient/sessions", {"phone": PHONE, **DEVICE}, "body"),
        ("/auth/patient/sessions", {"phone": PHONE, "code": "123456", "password": "x", **DEVICE}, "body"),
        ("/auth/patient/sessions", {"phone": PHONE, "code": "１23456", **DEVICE}, "code"),
        ("/auth/doctor/sessions", {"phone": PHONE, "code": "123456", "device_id": "d"}, "device_name"),
        ("/auth/password-reset", {"phone": PHONE, "code": "123456", "password": "short"}, "password"),
        ("/auth/refresh", {}, "refresh_token"),
    ],
)
async def test_bad_requests_are_refused_by_field(world: World, path: str, body: object, field: str) -> None:
    status, problem = await world.call("POST", path, body)
    assert (status, problem["code"], list(problem["fields"])) == (422, "request.invalid", [field])


async def test_a_wrong_code_is_401_and_a_phone_that_is_not_authorised_403(world: World) -> None:
    code = await world.code()
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    status, problem = await world.call("POST", "/auth/doctor/sessions", {"phone": PHONE, "code": wrong, **DEVICE})
    assert (status, problem["code"]) == (401, "auth.invalid")
    status, problem = await world.call("POST", "/auth/doctor/sessions", {"phone": PHONE, "code": code, **DEVICE})
    assert (status, problem["code"]) == (403, "auth.phone_not_authorised")


async def test_asking_too_early_says_how_long_to_wait(world: World) -> None:
    await world.code()
    world.accounts.clock.advance(timedelta(seconds=20))
    status, problem = await world.call("POST", "/auth/sms-codes", {"phone": PHONE, "purpose": "login"})
    assert (status, problem["code"], problem["fields"]) == (429, "request.rate_limited", {"retry_after_seconds": 40})


async def test_a_forgotten_password_is_reset_and_then_opens_a_session(world: World) -> None:
    await world.patient()
    world.accounts.clock.advance(timedelta(minutes=1))
    first = {"password": "right horse", "code": await world.code(purpose="reset_password")}
    assert (await world.call("PUT", "/me/password", first))[0] == 204
    world.accounts.clock.advance(timedelta(minutes=1))
    world.token = None
    code = await world.code(purpose="reset_password")
    body = {"phone": PHONE, "code": code, "password": "another horse"}
    assert (await world.call("POST", "/auth/password-reset", body))[0] == 204
    login = {"phone": PHONE, "password": "another horse", **DEVICE}
    assert (await world.call("POST", "/auth/patient/sessions", login))[0] == 201
    status, problem = await world.call("POST", "/auth/patient/sessions", login | {"password": "right horse"})
    assert (status, problem["code"]) == (401, "auth.invalid")


async def test_patients_over_the_wire_are_masked_and_change_by_field(world: World) -> None:
    await world.patient()
    status, added = await world.call("POST", "/patients", PATIENT)
    assert status == 201
    assert added == {
        "id": added["id"],
        "name": "王小明",
        "id_type": "resident",
        "id_number": "110***********" + resident_number()[-4:],
        "phone": "139****1111",
        "sex": "male",
        "birth_date": "1990-03-07",
        "guardian": None,
        "default": True,
    }
    child = {
        "name": "王小小",
        "id_type": "birth_certificate",
        "id_number": "T110123456",
        "phone": "13900001111",
        "birth_date": "2025-12-01",
        "sex": "female",
        "default": False,
    }
    status, problem = await world.call("POST", "/patients", child)
    assert (status, problem["code"], list(problem["fields"])) == (422, "request.invalid", ["guardian"])
    guardian = {"name": "王小明", "id_number": resident_number()}
    status, child = await world.call("POST", "/patients", child | {"guardian": guardian})
    assert (status, child["guardian"]["id_number"]) == (201, added["id_number"])
    path = f"/patients/{child['id']}"
    status, changed = await world.call("PATCH", path, {"name": "王大大", "default": True})
    assert (status, changed) == (200, child | {"name": "王大大", "default": True})
    status, problem = await world.call("PATCH", path, {"guardian": None})
    assert (status, list(problem["fields"])) == (422, ["guardian"])
    items = (await world.call("GET", "/patients"))[1]["items"]
    assert items == [changed, added | {"default": False}]
    assert await world.call("DELETE", path) == (204, None)
    assert await world.call("GET", "/patients") == (200, {"items": [added], "next_cursor": None})
    status, problem = await world.call("DELETE", path)
    assert (status, problem["code"]) == (404, "patient.not_found")


async def test_the_sixth_patient_is_refused(world: World) -> None:
    await world.patient()
    for index in range(5):
        number = resident_number(order=f"{index:03}")
        assert (await world.call("POST", "/patients", PATIENT | {"id_number": number}))[0] == 201
    status, problem = await world.call("POST", "/patients", PATIENT | {"id_number": resident_number(order="900")})
    assert (status, problem["code"]) == (409, "patient.limit_reached")
    status, problem = await world.call("POST", "/patients", PATIENT | {"id_number": "110105194912310021"})
    assert (status, problem["code"], list(problem["fields"])) == (422, "request.invalid", ["id_number"])
    assert "110105194912310021" not in str(problem)


async def test_departments_and_the_consent_are_for_whoever_is_signed_in(world: World) -> None:
    await world.accounts.doctors.ensure_department(system(), "儿科")
    assert (await world.call("GET", "/departments"))[0] == 401
    await world.patient()
    status, page = await world.call("GET", "/departments")
    assert (status, [d["name"] for d in page["items"]]) == (200, ["儿科"])
    consent = await world.accounts.consents.current()
    status, answer = await world.call("GET", "/consents/consult")
    assert (status, answer["sha256"], answer["text"]) == (200, consent.sha256, consent.text)
    assert await world.call("GET", f"/consents/consult?version={consent.version}") == (200, answer)
    status, english = await world.call("GET", "/consents/consult?language=en")
    assert (status, english["language"]) == (200, "en")
    for path in ("/consents/other", "/consents/consult?version=1"):
        status, problem = await world.call("GET", path)
        assert (status, problem["code"]) == (404, "consent.not_found")


async def test_the_authorised_list_is_kept_by_medical_administrators(world: World) -> None:
    department = await world.accounts.doctors.ensure_department(system(), "儿科")
    await world.staff(StaffRole.MEDICAL_ADMIN)
    body = {
        "name": "张伟",
        "title": "医师",
        "department_id": department.id,
        "good_at": "哮喘",
        "fee_fen": 100,
        "phone": "13900000001",
    }
    status, added = await world.call("POST", "/admin/doctors", body)
    assert (status, added["phone"], added["department"]) == (201, "139****0001", {"id": department.id, "name": "儿科"})
    status, problem = await world.call("POST", "/admin/doctors", body)
    assert (status, problem["code"]) == (409, "doctor.phone_taken")
    path = f"/admin/doctors/{added['id']}"
    status, changed = await world.call("PATCH", path, {"fee_fen": 200, "phone": "13900000002"})
    assert (status, changed) == (200, added | {"fee_fen": 200, "phone": "139****0002"})
    assert (await world.call("GET", "/admin/doctors?q=zhangwei"))[1]["items"] == [changed]
    assert await world.call("DELETE", path) == (204, None)
    assert (await world.call("GET", "/admin/doctors"))[1]["items"] == []
    assert (await world.call("DELETE", path))[0] == 404


async def test_other_roles_are_kept_from_the_authorised_list(world: World) -> None:
    department = await world.accounts.doctors.ensure_department(system(), "儿科")
    details = DoctorDetails("张伟", "医师", department.id, "哮喘", 100, "13900000001")
    doctor_id = (await world.accounts.doctors.add_doctor(system(), new_id(), details)).doctor.id
    await world.staff(StaffRole.FINANCE)
    for method, path, body in (
        ("GET", "/admin/doctors", None),
        ("PATCH", f"/admin/doctors/{doctor_id}", {"fee_fen": 1}),
        ("DELETE", f"/admin/doctors/{doctor_id}", None),
    ):
        status, problem = await world.call(method, path, body)
        assert (status, problem["code"]) == (403, "request.forbidden")
    world.token = None
    await world.patient()
    assert (await world.call("GET", "/admin/doctors"))[0] == 403
    assert (await world.accounts.doctors.get_doctor(doctor_id)).fee_fen == 100


async def test_jobs_are_named_after_this_package_and_run(world: World) -> None:
    periodic = jobs(world.accounts.codes, world.accounts.sessions, world.accounts.texts)
    assert [job.name for job in periodic] == ["accounts.settle_sms", "accounts.tidy"]
    for job in periodic:
        await job.handler()


COOKIE_PATH = "/auth/cookie/refresh"


async def _in_cookie(world: World, origin: str | None) -> tuple[int, Any]:
    body = {"phone": PHONE, "code": await world.code(), **DEVICE, "refresh_in_cookie": True}
    headers = {} if origin is None else {"Origin": origin}
    async with world.http.post("/api/v1/auth/patient/sessions", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def _by_cookie(
    world: World, *, token: str | None = None, device_id: str = "d-1", origin: str | None = None
) -> tuple[int, Any]:
    headers = {"Origin": origin or str(world.http.make_url("/")).rstrip("/")}
    if token is not None:
        world.http.session.cookie_jar.clear()
        headers["Cookie"] = f"yz_refresh_patient={token}"
    body = {"role": "patient", "device_id": device_id}
    async with world.http.post(f"/api/v1{COOKIE_PATH}", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


def _kept(world: World) -> str:
    [cookie] = [each for each in world.http.session.cookie_jar if each.key == "yz_refresh_patient"]
    assert (cookie["path"], bool(cookie["httponly"]), cookie["samesite"]) == ("/api/v1/auth/cookie", True, "Strict")
    return cookie.value


async def test_a_page_of_ours_has_its_refresh_token_in_a_cookie_alone(world: World) -> None:
    own = str(world.http.make_url("/")).rstrip("/")
    status, session = await _in_cookie(world, own)
    assert (status, session["refresh_token"]) == (201, None)
    first = _kept(world)
    status, refreshed = await _by_cookie(world)
    assert (status, refreshed["refresh_token"], refreshed["account"]) == (200, None, session["account"])
    assert _kept(world) != first
    world.token = refreshed["access_token"]
    assert await world.call("DELETE", "/auth/sessions/current") == (204, None)
    assert list(world.http.session.cookie_jar) == []
    assert (await _by_cookie(world))[1]["code"] == "auth.invalid"


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null", "https://[", "http://127.0.0.1"])
async def test_no_other_page_may_use_the_cookie(world: World, origin: str | None) -> None:
    """`auth.origin_refused`: neither have one set nor bring one."""
    status, problem = await _in_cookie(world, origin)
    assert (status, problem["code"]) == (403, "auth.origin_refused")
    assert list(world.http.session.cookie_jar) == []
    status, problem = await _by_cookie(world, origin=origin or "http://other.example")
    assert (status, problem["code"]) == (403, "auth.origin_refused")


async def test_a_cookie_that_was_just_replaced_is_answered_with_the_present_one_for_ten_seconds(world: World) -> None:
    """A page that is left while it refreshes has not kept the answer's cookie."""
    await _in_cookie(world, str(world.http.make_url("/")).rstrip("/"))
    first = _kept(world)
    await _by_cookie(world)
    second = _kept(world)
    world.accounts.clock.advance(timedelta(seconds=9, milliseconds=999))
    assert (await _by_cookie(world, token=first))[0] == 200
    assert _kept(world) == second
    world.accounts.clock.advance(timedelta(milliseconds=1))
    status, problem = await _by_cookie(world, token=first)
    assert (status, problem["code"]) == (401, "auth.invalid")
    assert (await _by_cookie(world, token=second))[0] == 401


async def test_a_just_replaced_cookie_from_another_device_ends_the_session(world: World) -> None:
    await _in_cookie(world, str(world.http.make_url("/")).rstrip("/"))
    first = _kept(world)
    await _by_cookie(world)
    second = _kept(world)
    assert (await _by_cookie(world, token=first, device_id="d-2"))[0] == 401
    assert (await _by_cookie(world, token=second))[0] == 401


async def test_two_tabs_that_bring_one_cookie_at_once_both_go_on(world: World) -> None:
    await _in_cookie(world, str(world.http.make_url("/")).rstrip("/"))
    first = _kept(world)
    answers = await asyncio.gather(*(_by_cookie(world, token=first) for _ in range(4)))
    assert [status for status, _ in answers] == [200] * 4


async def test_the_grace_is_for_cookies_alone(world: World) -> None:
    session = await world.patient()
    status, refreshed = await world.call("POST", "/auth/refresh", {"refresh_token": session["refresh_token"]})
    assert status == 200
    assert (await world.call("POST", "/auth/refresh", {"refresh_token": session["refresh_token"]}))[0] == 401
    assert (await world.call("POST", "/auth/refresh", {"refresh_token": refreshed["refresh_token"]}))[0] == 401
