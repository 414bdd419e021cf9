"""SMS to doctors: once a cause, whatever the network does."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from accounts.domain.doctors import DoctorDetails
from accounts.ports import Delivered, SmsResult
from server.kernel.actor import DEFAULT_HOSPITAL
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.accounts import Accounts
from tests.support.clock import ManualClock

PHONE = "13900000009"
TEXT_ID = "ab" * 16


@pytest.fixture
async def accounts(database: Database, clock: ManualClock) -> AsyncIterator[Accounts]:
    whole = Accounts(database, clock)
    await whole.prepare()
    yield whole
    await whole.close()


async def _doctor(accounts: Accounts) -> str:
    department = await accounts.doctors.ensure_department(accounts.admin(), "心内科")
    details = DoctorDetails("李医生", "主任医师", department.id, "高血压", 5000, PHONE)
    return (await accounts.doctors.add_doctor(accounts.admin(), new_id(), details)).doctor.id


async def _tell(accounts: Accounts, doctor_id: str) -> None:
    expires_at = accounts.clock.now() + timedelta(hours=4)
    await accounts.texts.tell_doctor(TEXT_ID, DEFAULT_HOSPITAL, doctor_id, "SMS_ORDER_WAITING", {"left": "4 小时"}, expires_at)


async def _state(accounts: Accounts) -> str:
    stored = await accounts.database["doctor_texts"].find_one({"_id": TEXT_ID})
    assert stored is not None
    assert PHONE not in str(stored)
    return str(stored["state"])


async def test_told_ten_times_at_once_it_is_sent_once(accounts: Accounts) -> None:
    doctor_id = await _doctor(accounts)
    await asyncio.gather(*(_tell(accounts, doctor_id) for _ in range(10)))
    assert accounts.sms.sent == [(PHONE, "SMS_ORDER_WAITING", {"left": "4 小时"}, TEXT_ID)]
    assert await _state(accounts) == "sent"


async def test_what_is_in_doubt_is_asked_about_and_never_sent_again(accounts: Accounts) -> None:
    doctor_id = await _doctor(accounts)
    accounts.sms.next_results = [SmsResult(Delivered.IN_DOUBT, "timeout")]
    await _tell(accounts, doctor_id)
    accounts.clock.advance(timedelta(minutes=1))
    assert await accounts.texts.sweep() == 1
    assert (accounts.sms.queried, len(accounts.sms.sent), await _state(accounts)) == ([TEXT_ID], 1, "sent")
    assert await accounts.texts.sweep() == 0


async def test_what_surely_was_not_sent_is_tried_again_until_it_is_worth_nothing(accounts: Accounts) -> None:
    doctor_id = await _doctor(accounts)
    accounts.sms.next_results = [SmsResult(Delivered.UNSENT, "not_connected")] * 2
    await _tell(accounts, doctor_id)
    accounts.clock.advance(timedelta(minutes=1))
    await accounts.texts.sweep()
    assert await _state(accounts) == "pending"
    accounts.clock.advance(timedelta(hours=4))
    await accounts.texts.sweep()
    assert (accounts.sms.sent, await _state(accounts)) == ([], "dropped")
    accounts.clock.advance(timedelta(days=181))
    await accounts.texts.tidy()
    assert await accounts.database["doctor_texts"].count_documents({}) == 0


async def test_a_doctor_who_was_struck_off_is_told_nothing(accounts: Accounts) -> None:
    doctor_id = await _doctor(accounts)
    await accounts.doctors.remove_doctor(accounts.admin(), doctor_id)
    await _tell(accounts, doctor_id)
    assert (accounts.sms.sent, await _state(accounts)) == ([], "dropped")
