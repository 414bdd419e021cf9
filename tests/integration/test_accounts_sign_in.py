import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from accounts.domain import Device, DoctorChanges, DoctorDetails, Purpose, SmsPolicy
from accounts.domain.codes import SmsState
from accounts.domain.sessions import SessionPolicy
from accounts.errors import (
    AuthCodeRequired,
    AuthInvalid,
    AuthLocked,
    PhoneNotAuthorised,
    SessionNotFound,
    StaffNotFound,
    StaffUsernameTaken,
)
from accounts.passwords import new_totp_secret, totp_code
from accounts.ports import Delivered, SmsResult
from server.kernel.actor import PLATFORM, Role, StaffRole
from server.kernel.errors import AuthRequired, Forbidden, RequestInvalid, RequestRateLimited
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from server.kernel.settings import Rate
from tests.support.accounts import DEVICE, PHONE, Accounts, system
from tests.support.clock import ManualClock

OTHER = Device("device-2", "A tablet")


@pytest.fixture
async def accounts(database: Database, clock: ManualClock) -> AsyncIterator[Accounts]:
    whole = Accounts(database, clock)
    await whole.prepare()
    yield whole
    await whole.close()


async def _doctor(accounts: Accounts, phone: str = PHONE) -> str:

    department = await accounts.doctors.ensure_department(system(), "心血管内科")
    details = DoctorDetails("曾丽", "主任医师", department.id, "高血压", 5000, phone)
    return (await accounts.doctors.add_doctor(system(), new_id(), details)).doctor.id


async def test_a_code_is_sent_once_with_its_purpose_and_is_stored_only_as_a_hash(accounts: Accounts) -> None:
    asked = await accounts.codes.request_code(accounts.anyone(), PHONE, Purpose.LOGIN)
    assert (asked.retry_after_seconds, asked.expires_in_seconds) == (60, 300)
    [(phone, template, params, out_id)] = accounts.sms.sent
    assert (phone, template) == (PHONE, "SMS_LOGIN_CODE")
    assert len(params["code"]) == 6
    await accounts.settle()
    stored = await accounts.database["sms_phones"].find_one({})
    attempt = await accounts.database["sms_attempts"].find_one({})
    assert attempt is not None
    assert (attempt["_id"], attempt["state"], "code" in attempt) == (out_id, "sent", False)
    everything = repr(stored) + repr(attempt)
    assert params["code"].encode().hex() not in everything
    assert f"'{params['code']}'" not in everything
    assert PHONE not in everything
    [row] = await accounts.audited("accounts.sms_code_requested")
    assert (row["hospital_id"], row["address"]) == (PLATFORM, "203.0.113.7")


async def test_the_first_code_registers_and_the_second_finds_the_account(accounts: Accounts, clock: ManualClock) -> None:
    first = await accounts.patient()
    clock.advance(timedelta(minutes=1))
    second = await accounts.patient(device=OTHER)
    assert first.session.holder.account_id == second.session.holder.account_id
    assert (first.name, first.session.holder.role) == ("138****1234", Role.PATIENT)
    actor = await accounts.actor_of(second)
    me = await accounts.sessions.get_me(actor)
    assert [d.device for d in me.devices] == [OTHER, DEVICE]
    assert (actor.hospital_id, actor.device_id, actor.session_id) == (PLATFORM, "device-2", second.session.id)
    assert len(await accounts.audited("accounts.session_opened")) == 2
    assert len(await accounts.audited("accounts.patient_account_registered")) == 1


async def test_a_code_is_worth_nothing_once_used_expired_or_for_another_purpose(accounts: Accounts, clock: ManualClock) -> None:
    code = await accounts.ask()
    with pytest.raises(AuthInvalid):
        await accounts.codes.use_code(PHONE, Purpose.RESET_PASSWORD, code)
    await accounts.sign_in.open_patient_by_code(accounts.anyone(), PHONE, code, DEVICE)
    with pytest.raises(AuthInvalid):
        await accounts.sign_in.open_patient_by_code(accounts.anyone(), PHONE, code, DEVICE)
    clock.advance(timedelta(minutes=1))
    code = await accounts.ask()
    clock.advance(timedelta(minutes=5))
    with pytest.raises(AuthInvalid):
        await accounts.sign_in.open_patient_by_code(accounts.anyone(), PHONE, code, DEVICE)
    assert len(await accounts.audited("accounts.session_refused")) == 2


async def test_five_wrong_tries_void_the_code_until_a_new_one_is_asked_for(accounts: Accounts, clock: ManualClock) -> None:
    code = await accounts.ask()
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for _ in range(5):
        with pytest.raises(AuthInvalid):
            await accounts.codes.use_code(PHONE, Purpose.LOGIN, wrong)
    for given in (code, wrong):
        with pytest.raises(AuthLocked):
            await accounts.codes.use_code(PHONE, Purpose.LOGIN, given)
    clock.advance(timedelta(hours=1))
    with pytest.raises(AuthLocked):
        await accounts.codes.use_code(PHONE, Purpose.LOGIN, code)
    await accounts.patient()


async def test_asking_again_too_early_is_refused_with_the_wait_and_changes_nothing(
    accounts: Accounts, clock: ManualClock
) -> None:
    code = await accounts.ask()
    clock.advance(timedelta(milliseconds=59_001))
    with pytest.raises(RequestRateLimited) as refused:
        await accounts.codes.request_code(accounts.anyone(), PHONE, Purpose.LOGIN)
    assert refused.value.fields == {"retry_after_seconds": 1}
    assert refused.value.status == 429
    await accounts.codes.request_code(accounts.anyone(), PHONE, Purpose.RESET_PASSWORD)
    await accounts.codes.use_code(PHONE, Purpose.LOGIN, code)


async def test_a_phone_gets_five_codes_in_ten_minutes(database: Database, clock: ManualClock) -> None:
    accounts = Accounts(database, clock, SmsPolicy(resend_after=timedelta(0)))
    await accounts.prepare()
    for _ in range(5):
        await accounts.ask()
    with pytest.raises(RequestRateLimited) as refused:
        await accounts.ask()
    assert refused.value.fields == {"retry_after_seconds": 600}
    clock.advance(timedelta(minutes=10))
    await accounts.ask()
    assert len(accounts.sms.sent) == 6
    await accounts.close()


async def test_an_address_gets_so_many_codes_and_refused_ones_do_not_count(database: Database, clock: ManualClock) -> None:
    per_address = Rate(3, timedelta(minutes=10))
    accounts = Accounts(database, clock, SmsPolicy(per_address=per_address))
    await accounts.prepare()
    await accounts.ask(PHONE)
    for _ in range(5):
        with pytest.raises(RequestRateLimited):
            await accounts.ask(PHONE)
    await accounts.ask("13900000001")
    await accounts.ask("13900000002")
    with pytest.raises(RequestRateLimited):
        await accounts.ask("13900000003")
    await accounts.codes.request_code(accounts.anyone("203.0.113.8"), "13900000003", Purpose.LOGIN)
    clock.advance(timedelta(minutes=10))
    await accounts.ask("13900000004")
    await accounts.close()


async def test_an_sms_that_was_surely_not_sent_is_tried_again_and_one_in_doubt_is_only_asked_about(
    accounts: Accounts, clock: ManualClock
) -> None:
    accounts.sms.next_results = [SmsResult(Delivered.UNSENT, "not_connected"), SmsResult(Delivered.IN_DOUBT, "time_out")]
    await accounts.codes.request_code(accounts.anyone(), PHONE, Purpose.LOGIN)
    assert accounts.sms.sent == []
    clock.advance(timedelta(seconds=2))
    assert await accounts.codes.sweep() == 1
    assert len(accounts.sms.sent) == 1
    clock.advance(timedelta(seconds=10))
    assert await accounts.codes.sweep() == 1
    assert accounts.sms.queried == [accounts.sms.sent[0][3]]
    clock.advance(timedelta(minutes=10))
    assert await accounts.codes.sweep() == 0
    assert len(accounts.sms.sent) == 1


async def test_an_sms_whose_sender_died_is_never_sent_again(accounts: Accounts, clock: ManualClock) -> None:

    accounts.sms.next_results = [SmsResult(Delivered.UNSENT, "not_connected")]
    await accounts.codes.request_code(accounts.anyone(), PHONE, Purpose.LOGIN)
    attempt = await accounts.database["sms_attempts"].find_one({})
    assert attempt is not None
    clock.advance(timedelta(seconds=2))
    now = clock.now()
    claimed = await accounts.attempts.claim(attempt["_id"], SmsState.PENDING, now=now, until=now + timedelta(seconds=30))
    assert claimed is not None
    assert await accounts.codes.sweep() == 0
    for _ in range(6):
        clock.advance(timedelta(seconds=31))
        assert await accounts.codes.sweep() == 1
    clock.advance(timedelta(hours=1))
    assert await accounts.codes.sweep() == 0
    lost = await accounts.database["sms_attempts"].find_one({})
    assert lost is not None
    assert (lost["state"], accounts.sms.sent, len(accounts.sms.queried)) == ("lost", [], 6)


async def test_an_sms_left_behind_by_a_newer_code_is_dropped(accounts: Accounts, clock: ManualClock) -> None:
    accounts.sms.next_results = [SmsResult(Delivered.UNSENT, "not_connected")]
    await accounts.codes.request_code(accounts.anyone(), PHONE, Purpose.LOGIN)
    clock.advance(timedelta(minutes=1))
    await accounts.ask()
    assert await accounts.codes.sweep() == 1
    assert len(accounts.sms.sent) == 1
    states = sorted([a["state"] async for a in accounts.database["sms_attempts"].find({})])
    assert states == ["dropped", "sent"]


async def test_a_slow_provider_does_not_hold_the_answer(accounts: Accounts) -> None:
    gate = asyncio.Event()

    class Slow:
        async def send(self, phone: str, template: str, params: object, out_id: str) -> SmsResult:
            await gate.wait()
            return SmsResult(Delivered.ACCEPTED)

        async def query(self, out_id: str, **_: object) -> SmsResult:
            return SmsResult(Delivered.IN_DOUBT)

    accounts.codes.sender = Slow()
    accounts.codes.answer_within_seconds = 0.01
    await accounts.codes.request_code(accounts.anyone(), PHONE, Purpose.LOGIN)
    sending = await accounts.database["sms_attempts"].find_one({})
    gate.set()
    await accounts.settle()
    sent = await accounts.database["sms_attempts"].find_one({})
    assert sending is not None
    assert sent is not None
    assert (sending["state"], sent["state"]) == ("sending", "sent")


async def test_a_doctor_signs_in_only_from_an_authorised_phone_and_learns_so_only_with_the_code(accounts: Accounts) -> None:
    doctor_id = await _doctor(accounts)
    opened = await accounts.sign_in.open_doctor(accounts.anyone(), PHONE, await accounts.ask(), DEVICE)
    actor = await accounts.actor_of(opened)
    assert (actor.account_id, actor.role, actor.hospital_id, opened.name) == (doctor_id, Role.DOCTOR, "default", "曾丽")
    other = "13900000001"
    code = await accounts.ask(other)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    with pytest.raises(AuthInvalid):
        await accounts.sign_in.open_doctor(accounts.anyone(), other, wrong, DEVICE)
    with pytest.raises(PhoneNotAuthorised) as refused:
        await accounts.sign_in.open_doctor(accounts.anyone(), other, code, DEVICE)
    assert refused.value.status == 403
    assert await accounts.database["sessions"].count_documents({}) == 1


async def test_staff_need_password_and_a_one_time_code_that_is_good_once(accounts: Accounts, clock: ManualClock) -> None:
    secret = new_totp_secret()
    await accounts.staff.add_staff(
        system(), username="Admin", name="李主任", password="right horse", totp_secret=secret, roles=[StaffRole.FINANCE]
    )
    code = totp_code(secret, clock.now())
    opened = await accounts.sign_in.open_staff(accounts.anyone(), "admin", "right horse", code, DEVICE)
    assert (await accounts.actor_of(opened)).staff_roles == {StaffRole.FINANCE}
    with pytest.raises(AuthInvalid):
        await accounts.sign_in.open_staff(accounts.anyone(), "admin", "right horse", code, DEVICE)
    clock.advance(timedelta(seconds=30))
    fresh = totp_code(secret, clock.now())
    with pytest.raises(AuthInvalid):
        await accounts.sign_in.open_staff(accounts.anyone(), "admin", "wrong horse", fresh, DEVICE)
    with pytest.raises(AuthInvalid):
        await accounts.sign_in.open_staff(accounts.anyone(), "nobody", "right horse", fresh, DEVICE)
    await accounts.sign_in.open_staff(accounts.anyone(), "ADMIN", "right horse", fresh, DEVICE)


async def test_staff_are_locked_out_after_five_failures_for_a_quarter_of_an_hour(
    accounts: Accounts, clock: ManualClock
) -> None:
    secret = new_totp_secret()
    await accounts.staff.add_staff(
        system(), username="admin", name="李", password="right horse", totp_secret=secret, roles=[StaffRole.AUDITOR]
    )
    for _ in range(5):
        with pytest.raises(AuthInvalid):
            await accounts.sign_in.open_staff(accounts.anyone(), "admin", "wrong horse", "000000", DEVICE)
    with pytest.raises(AuthLocked):
        await accounts.sign_in.open_staff(accounts.anyone(), "admin", "right horse", totp_code(secret, clock.now()), DEVICE)
    clock.advance(timedelta(minutes=15))
    await accounts.sign_in.open_staff(accounts.anyone(), "admin", "right horse", totp_code(secret, clock.now()), DEVICE)


async def test_disabled_staff_are_out_at_once(accounts: Accounts, clock: ManualClock) -> None:
    secret = new_totp_secret()
    await accounts.staff.add_staff(
        system(), username="admin", name="李", password="right horse", totp_secret=secret, roles=[StaffRole.AUDITOR]
    )
    opened = await accounts.sign_in.open_staff(
        accounts.anyone(), "admin", "right horse", totp_code(secret, clock.now()), DEVICE
    )
    await accounts.staff.disable_staff(system(), "admin")
    with pytest.raises(AuthRequired):
        await accounts.actor_of(opened)
    clock.advance(timedelta(seconds=30))
    with pytest.raises(AuthInvalid):
        await accounts.sign_in.open_staff(accounts.anyone(), "admin", "right horse", totp_code(secret, clock.now()), DEVICE)


async def test_a_user_name_is_given_once_and_nobody_is_disabled_twice(accounts: Accounts) -> None:
    given = {"name": "李", "password": "right horse", "totp_secret": new_totp_secret(), "roles": [StaffRole.AUDITOR]}
    await accounts.staff.add_staff(system(), username="admin", **given)
    with pytest.raises(StaffUsernameTaken):
        await accounts.staff.add_staff(system(), username="Admin", **given)
    await accounts.staff.disable_staff(system(), "admin")
    for username in ("admin", "nobody"):
        with pytest.raises(StaffNotFound):
            await accounts.staff.disable_staff(system(), username)


async def test_only_the_product_itself_makes_staff(accounts: Accounts) -> None:
    with pytest.raises(Forbidden):
        await accounts.staff.add_staff(
            accounts.admin(), username="x1", name="x", password="right horse", totp_secret=new_totp_secret(), roles=[]
        )
    assert await accounts.database["staff_accounts"].count_documents({}) == 0


async def test_a_password_is_optional_set_while_signed_in_and_ends_other_sessions(
    accounts: Accounts, clock: ManualClock
) -> None:
    other = await accounts.patient(device=OTHER)
    clock.advance(timedelta(minutes=1))
    opened = await accounts.patient()
    with pytest.raises(AuthInvalid):
        await accounts.sign_in.open_patient_by_password(accounts.anyone(), PHONE, "right horse", DEVICE)
    actor = await accounts.actor_of(opened)
    await accounts.set_first_password(actor)
    await accounts.settle()
    with pytest.raises(AuthRequired):
        await accounts.actor_of(other)
    assert (await accounts.actor_of(opened)).session_id == opened.session.id
    again = await accounts.sign_in.open_patient_by_password(accounts.anyone(), PHONE, "right horse", DEVICE)
    assert again.session.holder.account_id == opened.session.holder.account_id
    with pytest.raises(AuthInvalid):
        await accounts.password_service.change_password(actor, "another horse", "not it")
    await accounts.password_service.change_password(actor, "another horse", "right horse")
    with pytest.raises(AuthInvalid):
        await accounts.sign_in.open_patient_by_password(accounts.anyone(), PHONE, "right horse", DEVICE)
    assert [e.data["reason"] for e in accounts.revoked] == ["password_changed", "password_changed"]
    with pytest.raises(RequestInvalid):
        await accounts.password_service.change_password(actor, "aaaaaaaaaa", "another horse")


async def test_a_session_alone_sets_no_first_password(accounts: Accounts, clock: ManualClock) -> None:
    actor = await accounts.actor_of(await accounts.patient())
    set_password = accounts.password_service.change_password
    with pytest.raises(AuthCodeRequired):
        await set_password(actor, "right horse", None)
    clock.advance(timedelta(minutes=1))
    login_code = await accounts.ask()
    for wrong in (login_code, "000000"):
        with pytest.raises(AuthInvalid):
            await set_password(actor, "right horse", None, wrong)
    with pytest.raises(AuthInvalid):
        await accounts.sign_in.open_patient_by_password(accounts.anyone(), PHONE, "right horse", DEVICE)
    denied = await accounts.database["audit"].find({"action": "accounts.password_changed", "outcome": "denied"}).to_list()
    assert [row["account_id"] for row in denied] == [actor.account_id] * 3
    clock.advance(timedelta(minutes=1))
    await set_password(actor, "right horse", None, await accounts.ask(purpose=Purpose.RESET_PASSWORD))
    await accounts.sign_in.open_patient_by_password(accounts.anyone(), PHONE, "right horse", DEVICE)


async def test_password_tries_are_limited_whether_or_not_the_phone_is_known(accounts: Accounts) -> None:
    opened = await accounts.patient()
    await accounts.set_first_password(await accounts.actor_of(opened))
    for phone in (PHONE, "13900000009"):
        for _ in range(5):
            with pytest.raises(AuthInvalid):
                await accounts.sign_in.open_patient_by_password(accounts.anyone(), phone, "wrong horse", DEVICE)
        with pytest.raises(AuthLocked):
            await accounts.sign_in.open_patient_by_password(accounts.anyone(), phone, "right horse", DEVICE)


async def test_a_reset_by_sms_sets_the_password_ends_all_sessions_and_lifts_the_lock(
    accounts: Accounts, clock: ManualClock
) -> None:
    opened = await accounts.patient()
    for _ in range(5):
        with pytest.raises(AuthInvalid):
            await accounts.sign_in.open_patient_by_password(accounts.anyone(), PHONE, "wrong horse", DEVICE)
    login_code = await accounts.ask(phone="13900000009")
    code = await accounts.ask(purpose=Purpose.RESET_PASSWORD)
    assert accounts.sms.sent[-1][1] == "SMS_RESET_CODE"
    with pytest.raises(AuthInvalid):
        await accounts.password_service.reset_password(accounts.anyone(), "13900000009", login_code, "right horse")
    await accounts.password_service.reset_password(accounts.anyone(), PHONE, code, "right horse")
    with pytest.raises(AuthRequired):
        await accounts.actor_of(opened)
    await accounts.sign_in.open_patient_by_password(accounts.anyone(), PHONE, "right horse", DEVICE)


async def test_resetting_without_an_account_is_like_a_wrong_code(accounts: Accounts) -> None:
    code = await accounts.ask(purpose=Purpose.RESET_PASSWORD)
    with pytest.raises(AuthInvalid):
        await accounts.password_service.reset_password(accounts.anyone(), PHONE, code, "right horse")


async def test_refreshing_rotates_and_an_old_token_ends_the_whole_session(accounts: Accounts, clock: ManualClock) -> None:
    first = await accounts.patient()
    clock.advance(timedelta(minutes=20))
    with pytest.raises(AuthRequired):
        await accounts.actor_of(first)
    second = await accounts.sessions.refresh(accounts.anyone(), first.refresh_token)
    third = await accounts.sessions.refresh(accounts.anyone(), second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert (await accounts.actor_of(third)).session_id == first.session.id
    with pytest.raises(AuthInvalid):
        await accounts.sessions.refresh(accounts.anyone(), first.refresh_token)
    with pytest.raises(AuthRequired):
        await accounts.actor_of(third)
    with pytest.raises(AuthInvalid):
        await accounts.sessions.refresh(accounts.anyone(), third.refresh_token)
    await accounts.settle()
    assert [(e.subject, e.data["reason"]) for e in accounts.revoked] == [(first.session.id, "token_reused")]


async def test_a_refresh_token_is_good_on_its_own_device_only(accounts: Accounts) -> None:
    opened = await accounts.patient()
    next_one = await accounts.sessions.refresh(accounts.anyone(), opened.refresh_token, device_id="device-1")
    with pytest.raises(AuthInvalid):
        await accounts.sessions.refresh(accounts.anyone(), next_one.refresh_token, device_id="device-9")
    with pytest.raises(AuthInvalid):
        await accounts.sessions.refresh(accounts.anyone(), next_one.refresh_token, device_id="device-1")


async def test_a_session_that_is_not_refreshed_for_a_month_is_over(accounts: Accounts, clock: ManualClock) -> None:
    opened = await accounts.patient()
    clock.advance(timedelta(days=30))
    with pytest.raises(AuthInvalid):
        await accounts.sessions.refresh(accounts.anyone(), opened.refresh_token)
    assert await accounts.sessions.list_dead_sessions([opened.session.id]) == {opened.session.id}


@pytest.mark.parametrize("token", ["", "x", "é", "a" * 5000, "A" * 70, "e30.e30.e30"])
async def test_tokens_that_are_not_ours_are_refused(accounts: Accounts, token: str) -> None:
    with pytest.raises(AuthRequired):
        await accounts.sessions.authenticate(token, request_id="r", address=None)
    with pytest.raises(AuthInvalid):
        await accounts.sessions.refresh(accounts.anyone(), token)


async def test_the_media_token_opens_media_only(accounts: Accounts, clock: ManualClock) -> None:
    opened = await accounts.patient()
    actor = await accounts.sessions.authenticate_media(opened.media_token, request_id="r", address=None)
    assert actor.account_id == opened.session.holder.account_id
    with pytest.raises(AuthRequired):
        await accounts.sessions.authenticate(opened.media_token, request_id="r", address=None)
    with pytest.raises(AuthRequired):
        await accounts.sessions.authenticate_media(opened.access_token, request_id="r", address=None)
    await accounts.sessions.close_current(actor)
    with pytest.raises(AuthRequired):
        await accounts.sessions.authenticate_media(opened.media_token, request_id="r", address=None)


async def test_signing_out_ends_the_session_here_at_once_and_elsewhere_within_a_second(
    accounts: Accounts, clock: ManualClock, database: Database
) -> None:
    elsewhere = Accounts(database, clock)
    opened = await accounts.patient()
    await elsewhere.actor_of(opened)
    actor = await accounts.actor_of(opened)
    assert await accounts.sessions.list_dead_sessions([opened.session.id, "f" * 32]) == {"f" * 32}
    await accounts.sessions.close_current(actor)
    with pytest.raises(AuthRequired):
        await accounts.actor_of(opened)
    assert await elsewhere.sessions.list_dead_sessions([opened.session.id]) == {opened.session.id}
    clock.advance(timedelta(milliseconds=1000))
    with pytest.raises(AuthRequired):
        await elsewhere.actor_of(opened)
    await accounts.settle()
    [event] = accounts.revoked
    assert (event.subject, dict(event.data)) == (
        opened.session.id,
        {"session_id": opened.session.id, "reason": "signed_out"},
    )
    await elsewhere.close()


async def test_another_device_can_be_signed_out_but_only_ones_own(accounts: Accounts, clock: ManualClock) -> None:
    first = await accounts.patient()
    clock.advance(timedelta(minutes=1))
    second = await accounts.patient(device=OTHER)
    stranger = await accounts.patient(phone="13900000001")
    for target in (first.session.id, "f" * 32, "nonsense"):
        with pytest.raises(SessionNotFound):
            await accounts.sessions.close_other(await accounts.actor_of(stranger), target)
    await accounts.sessions.close_other(await accounts.actor_of(second), first.session.id)
    with pytest.raises(AuthRequired):
        await accounts.actor_of(first)
    with pytest.raises(SessionNotFound):
        await accounts.sessions.close_other(await accounts.actor_of(second), first.session.id)


async def test_questions_at_the_same_moment_share_one_query(accounts: Accounts) -> None:
    opened = [await accounts.patient(phone=f"1390000000{i}") for i in range(5)]
    asked: list[int] = []
    store = accounts.session_store

    class Counting:
        async def filter_alive(self, session_ids: object, now: object) -> set[str]:
            ids = list(session_ids)  # type: ignore[call-overload]
            asked.append(len(ids))
            return await store.filter_alive(ids, now)  # type: ignore[arg-type]

    accounts.sessions._liveness._sessions = Counting()  # type: ignore[assignment]
    await asyncio.gather(*(accounts.actor_of(o) for o in opened for _ in range(4)))
    await asyncio.gather(*(accounts.actor_of(o) for o in opened))
    assert asked == [5]


async def test_taking_a_doctor_off_the_list_ends_the_sessions_at_once(accounts: Accounts) -> None:
    doctor_id = await _doctor(accounts)
    opened = await accounts.sign_in.open_doctor(accounts.anyone(), PHONE, await accounts.ask(), DEVICE)
    await accounts.doctors.remove_doctor(accounts.admin(), doctor_id)
    with pytest.raises(AuthRequired):
        await accounts.actor_of(opened)
    await accounts.settle()
    assert [(e.subject, e.data["reason"]) for e in accounts.revoked] == [(opened.session.id, "not_authorised")]


async def test_a_crash_between_removing_a_doctor_and_ending_the_sessions_leaves_none_alive(accounts: Accounts) -> None:
    doctor_id = await _doctor(accounts)
    opened = await accounts.sign_in.open_doctor(accounts.anyone(), PHONE, await accounts.ask(), DEVICE)
    doctor = replace(await accounts.doctors.get_doctor(doctor_id), active=False, credentials=2)
    event = accounts.doctors._event(accounts.admin(), "accounts.doctor_removed", doctor)
    assert await accounts.doctor_store.save(doctor, None, event)
    await accounts.settle()
    assert await accounts.sessions.list_dead_sessions([opened.session.id]) == {opened.session.id}


async def test_another_phone_ends_the_sessions_of_the_old_one(accounts: Accounts) -> None:

    doctor_id = await _doctor(accounts)
    opened = await accounts.sign_in.open_doctor(accounts.anyone(), PHONE, await accounts.ask(), DEVICE)
    await accounts.doctors.change_doctor(accounts.admin(), doctor_id, DoctorChanges(title="副主任医师", phone=PHONE))
    assert (await accounts.actor_of(opened)).account_id == doctor_id
    await accounts.doctors.change_doctor(accounts.admin(), doctor_id, DoctorChanges(phone="13900000001"))
    with pytest.raises(AuthRequired):
        await accounts.actor_of(opened)
    again = await accounts.sign_in.open_doctor(accounts.anyone(), "13900000001", await accounts.ask("13900000001"), DEVICE)
    await accounts.settle()
    assert (await accounts.actor_of(again)).account_id == doctor_id


async def test_what_is_long_over_is_forgotten(accounts: Accounts, clock: ManualClock) -> None:
    await accounts.patient()
    await accounts.settle()
    clock.advance(timedelta(days=2))
    await accounts.codes.tidy()
    await accounts.sessions.tidy()
    for name, left in {"sms_phones": 0, "sms_attempts": 0, "sign_in_limits": 0, "sessions": 1}.items():
        assert await accounts.database[name].count_documents({}) == left
    clock.advance(timedelta(days=30 + 180))
    await accounts.sessions.tidy()
    assert await accounts.database["sessions"].count_documents({}) == 0


async def test_a_window_of_many_places_stays_small_and_exact_in_number(accounts: Accounts, clock: ManualClock) -> None:
    rate, start = Rate(150, timedelta(minutes=10)), clock.now()
    for _ in range(150):
        assert await accounts.limits.take("kind", "subject", rate, now=clock.now()) is None
        clock.advance(timedelta(seconds=1))
    wait = await accounts.limits.take("kind", "subject", rate, now=clock.now())
    assert wait == start + timedelta(seconds=6) + rate.per - clock.now()
    await accounts.limits.give_back("kind", "subject", rate, taken_at=start)
    assert await accounts.limits.take("kind", "subject", rate, now=clock.now()) is None
    assert await accounts.limits.take("kind", "subject", rate, now=clock.now()) == wait
    window = await accounts.database["sign_in_limits"].find_one({})
    assert window is not None
    assert (len(window["slots"]), sum(slot["n"] for slot in window["slots"])) == (26, 150)


@pytest.mark.parametrize("count", [2, 150])
async def test_a_window_does_not_stay_full_when_the_clock_is_set_back(
    accounts: Accounts, clock: ManualClock, count: int
) -> None:
    rate = Rate(count, timedelta(minutes=10))
    for _ in range(count):
        assert await accounts.limits.take("kind", "subject", rate, now=clock.now()) is None
    clock.advance(timedelta(minutes=-1))
    wait = await accounts.limits.take("kind", "subject", rate, now=clock.now())
    assert wait is not None  # a small step opens nothing
    clock.advance(timedelta(hours=-1))
    for _ in range(count):
        assert await accounts.limits.take("kind", "subject", rate, now=clock.now()) is None
    assert await accounts.limits.take("kind", "subject", rate, now=clock.now()) is not None


async def test_a_place_is_given_back_once(accounts: Accounts, clock: ManualClock) -> None:
    rate, now = Rate(1, timedelta(minutes=10)), clock.now()
    assert await accounts.limits.take("kind", "subject", rate, now=now) is None
    for _ in range(2):
        await accounts.limits.give_back("kind", "subject", rate, taken_at=now)
    assert await accounts.limits.take("kind", "subject", rate, now=now) is None
    assert await accounts.limits.take("kind", "subject", rate, now=now) == timedelta(minutes=10)


async def test_an_address_that_is_often_wrong_is_not_listened_to_and_fills_no_audit(
    accounts: Accounts, clock: ManualClock
) -> None:
    accounts.sessions.policy = SessionPolicy(guesses=Rate(10, timedelta(minutes=10)))
    await accounts.patient()
    clock.advance(timedelta(minutes=1))
    code = await accounts.ask()
    for n in range(10):
        with pytest.raises(AuthInvalid):
            await accounts.sign_in.open_patient_by_password(accounts.anyone(), f"139{n:08}", "not the password", DEVICE)
    refused = [
        accounts.sign_in.open_patient_by_code(accounts.anyone(), PHONE, code, DEVICE),
        accounts.sign_in.open_patient_by_password(accounts.anyone(), PHONE, "not the password", DEVICE),
        accounts.sign_in.open_doctor(accounts.anyone(), PHONE, code, DEVICE),
        accounts.sign_in.open_staff(accounts.anyone(), "admin", "not the password", "000000", DEVICE),
        accounts.password_service.reset_password(accounts.anyone(), PHONE, "000000", "a new password"),
    ]
    for trying in refused:
        with pytest.raises(RequestRateLimited):
            await trying
    assert len(await accounts.audited("accounts.session_refused")) == 10
    elsewhere = accounts.anyone("198.51.100.9")
    assert (await accounts.sign_in.open_patient_by_code(elsewhere, PHONE, code, DEVICE)).session.holder.role is Role.PATIENT
    clock.advance(timedelta(minutes=10))
    with pytest.raises(AuthInvalid):
        await accounts.sign_in.open_patient_by_code(accounts.anyone(), PHONE, code, DEVICE)


async def test_who_is_right_uses_nothing_up(accounts: Accounts, clock: ManualClock) -> None:
    accounts.sessions.policy = SessionPolicy(guesses=Rate(1, timedelta(minutes=10)))
    for _ in range(3):
        await accounts.patient()
        clock.advance(timedelta(minutes=1))


async def test_refused_resets_and_refused_ends_of_sessions_are_audited(accounts: Accounts) -> None:
    mine, theirs = await accounts.patient(), await accounts.patient("13900009999")
    await accounts.codes.request_code(accounts.anyone(), PHONE, Purpose.RESET_PASSWORD)
    with pytest.raises(AuthInvalid):
        await accounts.password_service.reset_password(accounts.anyone(), PHONE, "000000x", "a new password")
    [row] = await accounts.audited("accounts.password_reset")
    assert (row["outcome"], row["subject"]) == ("denied", await accounts.code_store.subject_of(PHONE))
    actor = await accounts.actor_of(mine)
    for session_id, subject in ((theirs.session.id, theirs.session.id), ("13800000001", "session")):
        with pytest.raises(SessionNotFound):
            await accounts.sessions.close_other(actor, session_id)
        rows = await accounts.audited("accounts.session_revoked")
        assert (rows[-1]["outcome"], rows[-1]["subject"], rows[-1]["account_id"]) == ("denied", subject, actor.account_id)


async def test_passwords_that_wait_to_be_judged_are_bounded(accounts: Accounts) -> None:
    tries = [accounts.passwords.verify(None, "not the password") for _ in range(200)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert (outcomes.count(False), sum(isinstance(each, RequestRateLimited) for each in outcomes)) == (100, 100)
