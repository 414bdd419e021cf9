import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any

import pytest

from accounts.domain import Device, DoctorDetails, Purpose, SmsPolicy
from accounts.errors import AuthInvalid, AuthLocked, PatientDuplicate, PatientLimitReached
from accounts.passwords import new_totp_secret, totp_code
from server.kernel.actor import StaffRole
from server.kernel.errors import AuthRequired, DomainError
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from server.kernel.outbox import event_of
from tests.support.accounts import DEVICE, PHONE, Accounts, adult, patient_actor, resident_number, system
from tests.support.clock import ManualClock

pytestmark = pytest.mark.stress


@pytest.fixture
async def accounts(database: Database, clock: ManualClock) -> AsyncIterator[Accounts]:
    whole = Accounts(database, clock)
    await whole.prepare()
    yield whole
    await whole.close()


async def _race(*commands: Awaitable[Any]) -> Counter[str]:
    """How each ended: `ok`, or the code of its refusal. Anything else fails."""
    ends = await asyncio.gather(*commands, return_exceptions=True)
    counted: Counter[str] = Counter()
    for end in ends:
        if isinstance(end, DomainError):
            counted[end.code] += 1
        elif isinstance(end, BaseException):
            raise end
        else:
            counted["ok"] += 1
    return counted


async def test_one_code_used_by_twenty_at_once_opens_one_session(accounts: Accounts) -> None:
    code = await accounts.ask()
    ends = await _race(
        *(accounts.sign_in.open_patient_by_code(accounts.anyone(), PHONE, code, Device(f"d{i}", "x")) for i in range(20))
    )
    assert ends == {"ok": 1, AuthInvalid.code: 19}
    assert await accounts.database["sessions"].count_documents({}) == 1
    assert await accounts.database["patient_accounts"].count_documents({}) == 1


async def test_a_hundred_guesses_at_once_are_five_tries(accounts: Accounts) -> None:
    code = await accounts.ask()
    guesses = [f"{(int(code) + i) % 10**6:06d}" for i in range(1, 101)]
    ends = await _race(*(accounts.codes.use_code(PHONE, Purpose.LOGIN, guess) for guess in guesses))
    assert ends == {AuthInvalid.code: 5, AuthLocked.code: 95}
    with pytest.raises(AuthLocked):
        await accounts.codes.use_code(PHONE, Purpose.LOGIN, code)


async def test_fifty_requests_for_one_phone_at_once_send_one_code(accounts: Accounts) -> None:
    ends = await _race(
        *(accounts.codes.request_code(accounts.anyone(f"203.0.113.{i}"), PHONE, Purpose.LOGIN) for i in range(50))
    )
    assert ends == {"ok": 1, "request.rate_limited": 49}
    assert len(accounts.sms.sent) == 1


async def test_the_limits_of_a_phone_and_of_an_address_hold_under_load(database: Database, clock: ManualClock) -> None:

    accounts = Accounts(database, clock, SmsPolicy(resend_after=timedelta(0)))
    await accounts.prepare()
    ends = await _race(
        *(accounts.codes.request_code(accounts.anyone(f"203.0.113.{i}"), PHONE, Purpose.LOGIN) for i in range(40))
    )
    assert ends == {"ok": 5, "request.rate_limited": 35}
    ends = await _race(
        *(accounts.codes.request_code(accounts.anyone("198.51.100.1"), f"139000000{i}", Purpose.LOGIN) for i in range(10, 60))
    )
    assert ends == {"ok": 30, "request.rate_limited": 20}
    assert sum(phone != PHONE for phone, *_ in accounts.sms.sent) == 30
    await accounts.close()


async def test_two_first_logins_of_a_phone_are_one_account(accounts: Accounts) -> None:

    async def register() -> str:
        account_id, now = new_id(), accounts.clock.now()
        event = event_of(system(), "accounts.patient_account_registered", subject=account_id, at=now, hospital_id="platform")
        account = await accounts.accounts.register(PHONE, account_id=account_id, name=None, now=now, event=event)
        return account.id

    assert len(set(await asyncio.gather(*(register() for _ in range(20))))) == 1


async def test_of_twenty_refreshes_with_one_token_one_wins_and_then_nobody_has_the_session(accounts: Accounts) -> None:
    opened = await accounts.patient()
    ends = await _race(*(accounts.sessions.refresh(accounts.anyone(), opened.refresh_token) for _ in range(20)))
    assert ends == {"ok": 1, AuthInvalid.code: 19}
    with pytest.raises(AuthRequired):
        await accounts.actor_of(opened)
    await accounts.settle()
    assert [e.data["reason"] for e in accounts.revoked] == ["token_reused"]


async def test_a_hundred_concurrent_additions_leave_exactly_five_patients_and_one_default(accounts: Accounts) -> None:
    actor = patient_actor()
    ends = await _race(
        *(
            accounts.patients.add_patient(actor, new_id(), adult(resident_number(order=f"{i:03}")), make_default=i % 2 == 0)
            for i in range(100)
        )
    )
    assert ends == {"ok": 5, PatientLimitReached.code: 95}
    patients = await accounts.patients.list_patients(actor)
    assert [p.is_default for p in patients] == [True, False, False, False, False]
    assert len(await accounts.audited("accounts.patient_added")) == 5


async def test_one_number_added_by_many_at_once_is_one_patient(accounts: Accounts) -> None:
    actor = patient_actor()
    ends = await _race(*(accounts.patients.add_patient(actor, new_id(), adult()) for _ in range(20)))
    assert ends == {"ok": 1, PatientDuplicate.code: 19}


async def test_removals_and_changes_of_the_default_at_once_always_leave_one_default(accounts: Accounts) -> None:
    actor, ids = patient_actor(), [new_id() for _ in range(5)]
    for index, patient_id in enumerate(ids):
        await accounts.patients.add_patient(actor, patient_id, adult(resident_number(order=f"{index:03}")))
    await _race(
        *(accounts.patients.change_patient(actor, patient_id, lambda old: old, True) for patient_id in ids),
        *(accounts.patients.remove_patient(actor, patient_id) for patient_id in ids[:4]),
    )
    left = await accounts.patients.list_patients(actor)
    assert [(p.id, p.is_default) for p in left] == [(ids[4], True)]


async def test_one_time_code_used_by_ten_at_once_opens_one_session(accounts: Accounts, clock: ManualClock) -> None:
    secret = new_totp_secret()
    await accounts.staff.add_staff(
        system(), username="admin", name="李", password="right horse", totp_secret=secret, roles=[StaffRole.AGENT]
    )
    code = totp_code(secret, clock.now())
    ends = await _race(
        *(accounts.sign_in.open_staff(accounts.anyone(), "admin", "right horse", code, DEVICE) for _ in range(10))
    )
    assert ends["ok"] == 1
    assert await accounts.database["sessions"].count_documents({}) == 1


async def test_wrong_passwords_at_once_are_no_more_than_the_limit(accounts: Accounts) -> None:
    ends = await _race(
        *(accounts.sign_in.open_patient_by_password(accounts.anyone(), PHONE, f"wrong horse {i}", DEVICE) for i in range(30))
    )
    assert ends == {AuthInvalid.code: 5, AuthLocked.code: 25}


async def test_a_doctor_removed_while_signing_in_is_never_left_with_a_session(accounts: Accounts, clock: ManualClock) -> None:

    department = await accounts.doctors.ensure_department(system(), "儿科")
    for round_ in range(10):
        phone = f"1390000000{round_}"
        details = DoctorDetails("张伟", "医师", department.id, "哮喘", 100, phone)
        doctor_id = (await accounts.doctors.add_doctor(system(), new_id(), details)).doctor.id
        code = await accounts.ask(phone)

        async def leave(doctor_id: str = doctor_id, after: int = round_) -> None:
            for _ in range(after * 3):
                await asyncio.sleep(0)
            await accounts.doctors.remove_doctor(accounts.admin(), doctor_id)

        await _race(accounts.sign_in.open_doctor(accounts.anyone(), phone, code, DEVICE), leave())
        clock.advance(timedelta(seconds=61))
    await accounts.settle()
    assert await accounts.database["sessions"].count_documents({"revoked_at": None}) == 0
