"""Staff accounts through the real edge: who keeps them, and how who lost the phone is let in again."""

import base64
from datetime import timedelta

import pytest

from accounts.domain.people import StaffAccount
from accounts.domain.renewals import OPEN_FOR
from accounts.passwords import totp_code
from server.app.idempotency import IDEMPOTENCY
from server.kernel.actor import StaffRole
from server.kernel.audit import AUDIT
from server.kernel.ids import new_id
from tests.integration.test_accounts_http import DEVICE, World, world
from tests.support.accounts import system

__all__ = ["world"]


async def test_operators_keep_the_staff_and_whatever_they_change_ends_the_members_sessions(world: World) -> None:
    await world.staff(StaffRole.OPERATOR)
    operator = world.token
    body = {"username": "Wang.Fang", "name": "王芳", "password": "correct horse", "roles": ["finance", "agent"]}
    status, added = await world.call("POST", "/admin/staff", body)
    assert (status, added["username"], added["roles"], added["active"]) == (201, "wang.fang", ["agent", "finance"], True)
    assert len(base64.b32decode(added["totp_secret"])) == 20
    assert (await world.call("POST", "/admin/staff", body))[1]["code"] == "staff.username_taken"
    member = await _staff_token(world, "wang.fang", "correct horse", added["totp_secret"])
    shown = {name: value for name, value in added.items() if name != "totp_secret"}
    world.token = member
    assert await world.call("GET", "/admin/me") == (200, shown)

    world.token, path = operator, f"/admin/staff/{added['account_id']}"
    listed = (await world.call("GET", "/admin/staff?limit=1"))[1]
    assert [each["username"] for each in listed["items"]] == ["admin"]
    rest = (await world.call("GET", f"/admin/staff?cursor={listed['next_cursor']}"))[1]
    assert rest == {"items": [shown], "next_cursor": None}
    assert await world.call("PATCH", path, {"roles": ["agent"]}) == (200, shown | {"roles": ["agent"]})
    world.token = member
    assert (await world.call("GET", "/admin/me"))[0] == 401

    world.accounts.clock.advance(timedelta(minutes=1))  # each code is good once
    member = await _staff_token(world, "wang.fang", "correct horse", added["totp_secret"])
    world.token = operator
    assert await world.call("DELETE", path) == (204, None)
    assert (await world.call("DELETE", path))[1]["code"] == "staff.not_found"
    assert [each["active"] for each in (await world.call("GET", "/admin/staff"))[1]["items"]] == [True, False]
    world.token = member
    assert (await world.call("GET", "/admin/me"))[0] == 401


async def _asked(world: World, *, member: StaffRole = StaffRole.MEDICAL_ADMIN) -> tuple[StaffAccount, str, str, str]:
    """A member who lost the phone, the tokens of who asked and of the other office, and where that one answers."""
    lost = await world.accounts.staff.add_staff(
        system(), username="he.qing", name="何清", password="correct horse", roles=[member]
    )
    await world.staff(StaffRole.OPERATOR)
    operator = world.token
    await world.staff(StaffRole.AUDITOR, username="watch")
    auditor = world.token
    keeper, second = (auditor, operator) if member is StaffRole.AUDITOR else (operator, auditor)
    world.token = keeper
    status, asked = await world.call("POST", f"/admin/staff/{lost.id}/renewals")
    assert (status, asked["renewal"]["agreed_by"]) == (201, None)
    assert keeper is not None
    assert second is not None
    return lost, keeper, second, f"/admin/staff/{lost.id}/renewals/{asked['renewal']['renewal_id']}/decision"


@pytest.mark.parametrize("member", [StaffRole.MEDICAL_ADMIN, StaffRole.AUDITOR])
async def test_who_lost_the_phone_is_let_in_again_by_two_people_of_different_offices(world: World, member: StaffRole) -> None:
    lost, keeper, second, decision = await _asked(world, member=member)
    signed_in = await _staff_token(world, "he.qing", "correct horse", lost.totp_secret)
    world.token = keeper
    path, new = f"/admin/staff/{lost.id}", {"password": "another horse"}
    assert (await world.call("POST", f"{path}/credentials", new))[1]["code"] == "staff.renewal_not_agreed"
    assert (await world.call("POST", decision, {"agrees": True}))[1]["code"] == "request.forbidden"
    world.token = signed_in
    assert (await world.call("GET", "/admin/me"))[0] == 200  # nothing has changed for the member so far
    world.token = second
    status, agreed = await world.call("POST", decision, {"agrees": True})
    assert (status, agreed["renewal"]["agreed_at"] is not None) == (200, True)
    assert (await world.call("POST", f"{path}/credentials", new))[1]["code"] == "staff.duties_separate"
    world.token = keeper
    status, renewed = await world.call("POST", f"{path}/credentials", new)
    assert (status, renewed["totp_secret"] != lost.totp_secret, renewed["renewal"]) == (200, True, None)
    assert (await world.call("POST", f"{path}/credentials", new))[1]["code"] == "staff.renewal_not_agreed"  # once
    world.token = signed_in
    assert (await world.call("GET", "/admin/me"))[0] == 401
    await _staff_token(world, "he.qing", "another horse", renewed["totp_secret"])
    await world.accounts.settle()
    rows = await world.accounts.database[AUDIT].find({"subject": lost.id, "outcome": "ok"}).to_list()
    done = [row["action"] for row in rows if row["role"] == "staff"]
    assert sorted(done) == [
        "accounts.staff_credentials_renewed",
        "accounts.staff_renewal_agreed",
        "accounts.staff_renewal_asked",
    ]


async def test_a_renewal_that_is_refused_replaced_changed_or_over_is_none(world: World) -> None:
    lost, keeper, second, decision = await _asked(world)
    path, new = f"/admin/staff/{lost.id}", {"password": "another horse"}

    async def ends(*, agrees: bool = True) -> None:
        world.token = second
        assert (await world.call("POST", decision, {"agrees": agrees}))[1]["code"] == "staff.renewal_over"
        world.token = keeper
        assert (await world.call("POST", f"{path}/credentials", new))[1]["code"] == "staff.renewal_not_agreed"

    async def again() -> str:
        world.token = keeper
        asked = (await world.call("POST", f"{path}/renewals"))[1]["renewal"]
        return f"{path}/renewals/{asked['renewal_id']}/decision"

    world.token = second
    assert (await world.call("POST", decision, {"agrees": True}))[0] == 200
    assert (await world.call("POST", decision, {"agrees": False}))[1]["renewal"] is None  # taken back
    await ends()
    await again()
    await ends()  # another request took its place
    decision = await again()
    await world.call("PATCH", path, {"name": "何青"})
    await ends()
    decision = await again()
    world.accounts.clock.advance(OPEN_FOR)
    world.token = None  # that one is over too
    await world.staff(StaffRole.OPERATOR, username="second")
    keeper = str(world.token)
    await world.staff(StaffRole.AUDITOR, username="watch2")
    second = str(world.token)
    await ends()
    found = (await world.call("GET", "/admin/staff"))[1]["items"]
    assert [each["renewal"] for each in found if each["account_id"] == lost.id] == [None]


async def test_another_operator_cannot_use_what_was_agreed_to_and_nobody_with_both_offices_agrees_alone(world: World) -> None:
    lost, _, second, decision = await _asked(world)
    world.token = second
    assert (await world.call("POST", decision, {"agrees": True}))[0] == 200
    await world.staff(StaffRole.OPERATOR, username="third")
    path, new = f"/admin/staff/{lost.id}", {"password": "another horse"}
    assert (await world.call("POST", f"{path}/credentials", new))[1]["code"] == "staff.renewal_not_agreed"
    await world.staff(*StaffRole, username="everything")
    asked = (await world.call("POST", f"{path}/renewals"))[1]["renewal"]
    own = f"{path}/renewals/{asked['renewal_id']}/decision"
    assert (await world.call("POST", own, {"agrees": True}))[1]["code"] == "staff.renewal_not_agreed"
    assert (await world.call("POST", f"{path}/credentials", new))[1]["code"] == "staff.renewal_not_agreed"
    await world.staff(StaffRole.MEDICAL_ADMIN, StaffRole.FINANCE, StaffRole.AGENT, username="others")
    for way, body in ((f"{path}/renewals", None), (own, {"agrees": True}), (f"{path}/credentials", new)):
        assert (await world.call("POST", way, body))[1]["code"] == "request.forbidden"
    known = await world.accounts.staff.staff.find(lost.id)
    assert known is not None
    assert (known.password_hash, known.totp_secret) == (lost.password_hash, lost.totp_secret)


async def test_a_members_password_and_secret_are_not_kept_under_an_idempotency_key(world: World) -> None:
    await world.staff(StaffRole.OPERATOR)
    headers = {"Idempotency-Key": "k", "Authorization": f"Bearer {world.token}"}
    body = {"username": "wang.fang", "name": "王芳", "password": "correct horse", "roles": ["finance"]}
    for status in (201, 409):
        async with world.http.post("/api/v1/admin/staff", json=body, headers=headers) as answer:
            assert answer.status == status
    assert await world.accounts.database[IDEMPOTENCY].count_documents({}) == 0


async def test_nobody_changes_or_ends_ones_own_staff_account(world: World) -> None:
    await world.staff(StaffRole.OPERATOR)
    own = (await world.call("GET", "/admin/me"))[1]["account_id"]
    for method, path, body in (
        ("PATCH", f"/admin/staff/{own}", {"roles": ["finance"]}),
        ("POST", f"/admin/staff/{own}/credentials", {"password": "another horse"}),
        ("POST", f"/admin/staff/{own}/renewals", None),
        ("POST", f"/admin/staff/{own}/renewals/{new_id()}/decision", {"agrees": True}),
        ("DELETE", f"/admin/staff/{own}", None),
    ):
        status, problem = await world.call(method, path, body)
        assert (status, problem["code"]) == (409, "staff.self_refused")


async def test_no_operator_alone_makes_an_auditor_or_touches_one_and_no_auditor_anyone_else(world: World) -> None:
    """By appointing, by changing roles, by handing out what an auditor signs in with, or by ending who watches."""
    auditor = await world.accounts.staff.add_staff(
        system(), username="sun.li", name="孙丽", password="correct horse", roles=[StaffRole.AUDITOR]
    )
    agent = await world.accounts.staff.add_staff(
        system(), username="zhou.min", name="周敏", password="correct horse", roles=[StaffRole.AGENT]
    )
    puppet = {"username": "puppet", "name": "某", "password": "correct horse", "roles": ["auditor"]}
    await world.staff(StaffRole.OPERATOR)
    for method, path, body in (
        ("POST", "/admin/staff", puppet),
        ("POST", "/admin/staff", puppet | {"roles": ["auditor", "agent"]}),
        ("PATCH", f"/admin/staff/{agent.id}", {"roles": ["auditor"]}),
        ("PATCH", f"/admin/staff/{agent.id}", {"roles": ["agent", "auditor"]}),
        ("PATCH", f"/admin/staff/{auditor.id}", {"roles": ["auditor", "operator"]}),
        ("PATCH", f"/admin/staff/{auditor.id}", {"name": "别人"}),
        ("POST", f"/admin/staff/{auditor.id}/credentials", {"password": "another horse"}),
        ("POST", f"/admin/staff/{auditor.id}/renewals", None),
        ("DELETE", f"/admin/staff/{auditor.id}", None),
    ):
        status, problem = await world.call(method, path, body)
        assert (status, problem["code"]) == (409, "staff.duties_separate")
    await world.staff(StaffRole.AUDITOR, username="watch")
    for method, path, body in (
        ("POST", "/admin/staff", puppet | {"roles": ["finance"]}),
        ("POST", "/admin/staff", puppet | {"roles": ["auditor", "finance"]}),
        ("PATCH", f"/admin/staff/{auditor.id}", {"roles": ["finance"]}),
        ("PATCH", f"/admin/staff/{agent.id}", {"name": "别人"}),
        ("POST", f"/admin/staff/{agent.id}/credentials", {"password": "another horse"}),
        ("POST", f"/admin/staff/{agent.id}/renewals", None),
        ("DELETE", f"/admin/staff/{agent.id}", None),
    ):
        status, problem = await world.call(method, path, body)
        assert (status, problem["code"]) == (409, "staff.duties_separate")
    assert await world.accounts.database[AUDIT].count_documents({"outcome": "denied"}) == 16
    assert [await world.accounts.staff.staff.find(each.id) for each in (auditor, agent)] == [auditor, agent]
    status, added = await world.call("POST", "/admin/staff", puppet | {"username": "second"})
    assert (status, added["roles"]) == (201, ["auditor"])
    assert (await world.call("DELETE", f"/admin/staff/{added['account_id']}"))[0] == 204


async def test_staff_who_keep_none_are_kept_from_the_staff_and_it_is_recorded(world: World) -> None:
    await world.staff(StaffRole.MEDICAL_ADMIN, StaffRole.FINANCE, StaffRole.AGENT)
    other = new_id()
    for method, path, body in (
        ("GET", "/admin/staff", None),
        ("POST", "/admin/staff", {"username": "me2", "name": "我", "password": "correct horse", "roles": ["operator"]}),
        ("PATCH", f"/admin/staff/{other}", {"roles": ["finance"]}),
        ("DELETE", f"/admin/staff/{other}", None),
    ):
        status, problem = await world.call(method, path, body)
        assert (status, problem["code"]) == (403, "request.forbidden")
    rows = await world.accounts.database[AUDIT].find({"outcome": "denied"}, sort=[("_id", 1)]).to_list()
    assert [(row["action"], row["subject"]) for row in rows] == [
        ("accounts.staff_listed", "staff"),
        ("accounts.staff_added", "staff"),
        ("accounts.staff_changed", other),
        ("accounts.staff_disabled", other),
    ]


async def _staff_token(world: World, username: str, password: str, secret: str) -> str:
    world.token = None
    code = totp_code(secret, world.accounts.clock.now())
    body = {"username": username, "password": password, "totp": code, **DEVICE}
    status, session = await world.call("POST", "/auth/staff/sessions", body)
    assert status == 201
    token: str = session["access_token"]
    return token
