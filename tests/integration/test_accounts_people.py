import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256

import pytest

from accounts.domain import Doctor, DoctorChanges, DoctorDetails, DoctorQuery, IdType, Language, PatientDetails, Sex
from accounts.errors import (
    ConsentMismatch,
    ConsentNotFound,
    DoctorNotFound,
    DoctorPhoneTaken,
    DoctorStaffNumberTaken,
    PatientDuplicate,
    PatientNotFound,
)
from accounts.passwords import new_totp_secret
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.audit import AUDIT
from server.kernel.errors import Forbidden, RequestInvalid
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.accounts import PHONE, Accounts, adult, patient_actor, resident_number, system
from tests.support.clock import ManualClock


@pytest.fixture
async def accounts(database: Database, clock: ManualClock) -> AsyncIterator[Accounts]:
    whole = Accounts(database, clock)
    await whole.prepare()
    yield whole
    await whole.close()


async def _add_doctor(
    accounts: Accounts, name: str = "曾丽", phone: str = PHONE, department: str = "心血管内科", good_at: str = "高血压"
) -> str:
    there = await accounts.doctors.ensure_department(system(), department)
    details = DoctorDetails(name, "主任医师", there.id, good_at, 5000, phone)
    return (await accounts.doctors.add_doctor(accounts.admin(), new_id(), details)).doctor.id


async def test_a_patient_comes_back_as_stored_and_nothing_of_it_stands_open(accounts: Accounts, clock: ManualClock) -> None:
    actor, patient_id = patient_actor(), new_id()
    added = await accounts.patients.add_patient(actor, patient_id, adult())
    read = await accounts.patients.access_patient(actor, patient_id)
    assert read == added
    assert (read.birth_date, read.sex, read.is_default) == (date(1990, 3, 7), Sex.MALE, True)
    assert (read.hospital_id, read.account_id, read.created_at) == ("default", actor.account_id, clock.now())
    assert await accounts.patients.find_patient_for_order(patient_id, actor.account_id) == read
    assert await accounts.patients.find_patient_for_order(patient_id, new_id()) is None
    await accounts.settle()
    stored = repr(await accounts.database["patients"].find_one({}))
    for secret in (read.name, read.id_number, read.phone, "1990"):
        assert secret not in stored
        assert repr(secret.encode())[2:-1] not in stored


async def test_another_accounts_patient_is_as_if_missing_and_the_look_is_audited(accounts: Accounts) -> None:
    owner, stranger, patient_id = patient_actor(), patient_actor(), new_id()
    await accounts.patients.add_patient(owner, patient_id, adult())
    doctor = Actor(owner.account_id, Role.DOCTOR, "default", new_id())
    for actor, wanted in ((stranger, patient_id), (stranger, new_id()), (owner, "nonsense"), (doctor, patient_id)):
        with pytest.raises(PatientNotFound):
            await accounts.patients.access_patient(actor, wanted)
    with pytest.raises(PatientNotFound):
        await accounts.patients.remove_patient(stranger, patient_id)
    with pytest.raises(PatientNotFound):
        await accounts.patients.change_patient(stranger, patient_id, lambda old: old, True)
    reads = await accounts.audited("accounts.patient_read")
    assert {r["outcome"] for r in reads} == {"denied"}
    assert sorted(r["subject"] == patient_id for r in reads) == [False, False, True, True]
    assert len(reads) == 4
    assert [r["outcome"] for r in await accounts.audited("accounts.patient_removed")] == ["denied"]
    assert [r["outcome"] for r in await accounts.audited("accounts.patient_changed")] == ["denied"]
    assert (await accounts.patients.list_patients(owner))[0].id == patient_id


async def test_only_patients_have_patients(accounts: Accounts) -> None:
    with pytest.raises(Forbidden):
        await accounts.patients.list_patients(accounts.admin())
    with pytest.raises(Forbidden):
        await accounts.patients.add_patient(accounts.admin(), new_id(), adult())
    assert await accounts.database["patients"].count_documents({}) == 0


async def test_patients_are_added_changed_made_default_and_removed(accounts: Accounts, clock: ManualClock) -> None:
    actor, ids = patient_actor(), [new_id() for _ in range(3)]
    for index, patient_id in enumerate(ids):
        clock.advance(timedelta(seconds=1))
        await accounts.patients.add_patient(actor, patient_id, adult(resident_number(order=f"10{index}")))
    changed = await accounts.patients.change_patient(actor, ids[1], lambda old: replace(old, name="王改名"), True)
    assert (changed.name, changed.is_default) == ("王改名", True)
    with pytest.raises(RequestInvalid) as refused:
        await accounts.patients.change_patient(actor, ids[1], lambda old: old, False)
    assert list(refused.value.fields) == ["default"]
    with pytest.raises(PatientDuplicate):
        await accounts.patients.change_patient(
            actor, ids[2], lambda old: replace(old, id_number=resident_number(order="100")), None
        )
    await accounts.patients.remove_patient(actor, ids[1])
    assert [(p.id, p.is_default) for p in await accounts.patients.list_patients(actor)] == [(ids[0], True), (ids[2], False)]
    assert len(await accounts.audited("accounts.patient_added")) == 3
    assert len(await accounts.audited("accounts.patients_listed")) == 1
    [row] = await accounts.audited("accounts.patient_removed")
    assert (row["subject"], row["account_id"], row["hospital_id"]) == (ids[1], actor.account_id, "default")


async def test_adding_the_same_id_again_is_the_same_patient(accounts: Accounts) -> None:
    actor, patient_id = patient_actor(), new_id()
    first = await accounts.patients.add_patient(actor, patient_id, adult())
    assert await accounts.patients.add_patient(actor, patient_id, adult()) == first
    assert len(await accounts.audited("accounts.patient_added")) == 1


async def test_a_refused_patient_leaves_nothing_behind(accounts: Accounts) -> None:
    actor = patient_actor()
    child = PatientDetails("王小", IdType.RESIDENT, resident_number("20200101"), "13900001111")
    with pytest.raises(RequestInvalid):
        await accounts.patients.add_patient(actor, new_id(), child)
    assert await accounts.database["patients"].count_documents({}) == 0
    assert await accounts.audited("accounts.patient_added") == []


async def test_an_account_is_called_by_its_default_patient_else_by_its_masked_phone(
    accounts: Accounts, clock: ManualClock
) -> None:
    opened = await accounts.patient()
    account_id = opened.session.holder.account_id
    doctor_id = await _add_doctor(accounts, phone="13900000001")
    member = await accounts.staff.add_staff(
        system(),
        username="admin",
        name="李主任",
        password="right horse",
        totp_secret=new_totp_secret(),
        roles=[StaffRole.AGENT],
    )
    everyone = [account_id, doctor_id, member.id, new_id()]
    assert await accounts.names.find_names(everyone) == {
        account_id: "138****1234",
        doctor_id: "曾丽",
        member.id: "李主任",
    }
    await accounts.patients.add_patient(patient_actor(account_id), new_id(), adult(name="王小明"))
    assert (await accounts.names.find_names([account_id]))[account_id] == "138****1234"
    clock.advance(timedelta(seconds=5))
    assert (await accounts.names.find_names([account_id]))[account_id] == "王小明"
    clock.advance(timedelta(minutes=1))
    assert (await accounts.patient()).name == "王小明"


async def test_the_name_at_sign_in_is_not_remembered_beyond_the_first_patient(accounts: Accounts) -> None:
    opened = await accounts.patient()
    account_id = opened.session.holder.account_id
    assert opened.name == "138****1234"
    await accounts.patients.add_patient(patient_actor(account_id), new_id(), adult(name="王小明"))
    assert (await accounts.names.find_names([account_id]))[account_id] == "王小明"


async def test_doctors_are_found_by_every_way_that_people_look(accounts: Accounts) -> None:
    await _add_doctor(accounts)
    await _add_doctor(accounts, "张伟", "13900000001", "儿科", "小儿肺炎、哮喘")
    for q, found in {
        "曾": ["曾丽"],
        "zengli": ["曾丽"],
        "zl": ["曾丽"],
        "儿科": ["张伟"],
        "erke": ["张伟"],
        "哮喘": ["张伟"],
        "zhang 肺炎": ["张伟"],
        "zhang 高血压": [],
        "医师": ["曾丽", "张伟"],
        ".*": [],
        "(": [],
        "": ["曾丽", "张伟"],
    }.items():
        page = await accounts.doctors.list_doctors(DoctorQuery(q=q))
        assert [d.name for d in page.items] == found, q
    [cardiology, paediatrics] = sorted(await accounts.doctors.list_departments(), key=lambda d: d.name, reverse=False)[::-1]
    assert {cardiology.name, paediatrics.name} == {"心血管内科", "儿科"}
    page = await accounts.doctors.list_doctors(DoctorQuery(department_id=paediatrics.id))
    assert [d.department_name for d in page.items] == [paediatrics.name]


async def test_pages_of_doctors_are_stable_while_doctors_are_added(accounts: Accounts) -> None:
    for index, name in enumerate(["白一", "陈二", "丁三", "冯四", "高五"]):
        await _add_doctor(accounts, name, f"1390000000{index}")
    first = await accounts.doctors.list_doctors(DoctorQuery(limit=2))
    await _add_doctor(accounts, "安零", "13900000009")
    second = await accounts.doctors.list_doctors(DoctorQuery(limit=2, cursor=first.next_cursor))
    third = await accounts.doctors.list_doctors(DoctorQuery(limit=2, cursor=second.next_cursor))
    assert [d.name for page in (first, second, third) for d in page.items] == ["白一", "陈二", "丁三", "冯四", "高五"]
    assert third.next_cursor is None
    with pytest.raises(RequestInvalid):
        await accounts.doctors.list_doctors(DoctorQuery(cursor="nonsense"))
    ids = frozenset(d.id for d in second.items)
    assert {d.id for d in (await accounts.doctors.list_doctors(DoctorQuery(ids=ids))).items} == ids


async def test_two_doctors_cannot_have_one_phone_until_one_leaves(accounts: Accounts) -> None:
    first = await _add_doctor(accounts)
    second = await _add_doctor(accounts, "张伟", "13900000001")
    with pytest.raises(DoctorPhoneTaken):
        await _add_doctor(accounts, "李四", PHONE)
    with pytest.raises(DoctorPhoneTaken):
        await accounts.doctors.change_doctor(accounts.admin(), second, DoctorChanges(phone=PHONE))
    await accounts.doctors.remove_doctor(accounts.admin(), first)
    changed = await accounts.doctors.change_doctor(accounts.admin(), second, DoctorChanges(phone=PHONE, fee_fen=1))
    assert (changed.phone, changed.doctor.fee_fen, changed.doctor.name) == (PHONE, 1, "张伟")
    assert (await accounts.doctors.get_doctor(first)).active is False
    assert set(await accounts.doctors.find_doctors([first, second, new_id()])) == {first, second}
    with pytest.raises(DoctorNotFound):
        await accounts.doctors.remove_doctor(accounts.admin(), first)
    assert [d.id for d in (await accounts.doctors.list_doctors(DoctorQuery())).items] == [second]
    stored = repr(await accounts.database["doctors"].find({}).to_list())
    assert PHONE not in stored


async def test_the_hospitals_own_staff_number_is_the_doctors_and_no_two_on_the_list_have_it(accounts: Accounts) -> None:
    admin = accounts.admin()
    there = await accounts.doctors.ensure_department(system(), "肾内科")

    async def add(phone: str, number: str | None) -> Doctor:
        details = DoctorDetails("陆明哲", "主任医师", there.id, "", 5000, phone, number)
        return (await accounts.doctors.add_doctor(admin, new_id(), details)).doctor

    first, plain = await add("13800000001", "1007"), await add("13800000002", None)
    assert (await accounts.doctors.get_doctor(first.id)).staff_number == "1007"
    assert re.fullmatch("D[2-9A-HJ-NP-Z]{6}", plain.staff_number)
    with pytest.raises(DoctorStaffNumberTaken) as caught:
        await add("13800000003", "1007")
    assert caught.value.code == "doctor.staff_number_taken"
    with pytest.raises(DoctorStaffNumberTaken):
        await accounts.doctors.change_doctor(admin, plain.id, DoctorChanges(staff_number="1007"))
    await accounts.doctors.remove_doctor(admin, first.id)
    changed = (await accounts.doctors.change_doctor(admin, plain.id, DoctorChanges(staff_number="1007"))).doctor
    assert (changed.staff_number, (await accounts.doctors.get_doctor(first.id)).staff_number) == ("1007", "1007")


async def test_only_a_medical_administrator_of_the_hospital_changes_the_list(accounts: Accounts) -> None:
    doctor_id = await _add_doctor(accounts)
    finance = Actor(new_id(), Role.STAFF, "default", new_id(), staff_roles=frozenset({StaffRole.FINANCE}))
    doctor = Actor(doctor_id, Role.DOCTOR, "default", new_id(), staff_roles=frozenset({StaffRole.MEDICAL_ADMIN}))
    details = DoctorDetails("x", "x", new_id(), "x", 1, "13900000001")
    for actor in (finance, doctor, patient_actor(), accounts.anyone()):
        with pytest.raises(Forbidden):
            await accounts.doctors.add_doctor(actor, new_id(), details)
        with pytest.raises(Forbidden):
            await accounts.doctors.change_doctor(actor, doctor_id, DoctorChanges(name="x"))
        with pytest.raises(Forbidden):
            await accounts.doctors.remove_doctor(actor, doctor_id)
        with pytest.raises(Forbidden):
            await accounts.doctors.list_with_phones(actor, DoctorQuery())
    elsewhere = replace(accounts.admin(), hospital_id="elsewhere")
    with pytest.raises(DoctorNotFound):
        await accounts.doctors.remove_doctor(elsewhere, doctor_id)
    assert (await accounts.doctors.list_with_phones(elsewhere, DoctorQuery())).items == ()
    await accounts.settle()
    assert await accounts.database[AUDIT].count_documents({"outcome": "denied"}) == 16
    assert (await accounts.doctors.get_doctor(doctor_id)).name == "曾丽"


@pytest.mark.parametrize("changes", [DoctorChanges(fee_fen=0), DoctorChanges(phone="1"), DoctorChanges(department_id="f" * 32)])
async def test_impossible_changes_of_a_doctor_are_refused(accounts: Accounts, changes: DoctorChanges) -> None:
    doctor_id = await _add_doctor(accounts)
    before = await accounts.doctors.get_doctor(doctor_id)
    with pytest.raises(RequestInvalid):
        await accounts.doctors.change_doctor(accounts.admin(), doctor_id, changes)
    assert await accounts.doctors.get_doctor(doctor_id) == before


async def test_the_consent_in_force_is_hashed_over_the_very_text(accounts: Accounts) -> None:
    chinese = await accounts.consents.current()
    english = await accounts.consents.current("consult", Language.EN)
    assert chinese.title == "图文咨询知情同意书"
    for consent in (chinese, english):
        assert consent.sha256 == sha256(consent.text.encode()).hexdigest()
        assert await accounts.consents.require(consent.version, consent.sha256) == consent
        assert await accounts.consents.get("consult", consent.version, consent.language) == consent
    for part in ("权利", "义务", "注意事项", "48 小时", "3 次", "120"):
        assert part in chinese.text
    for version, digest in ((chinese.version, "0" * 64), ("2000-01", chinese.sha256)):
        with pytest.raises(ConsentMismatch):
            await accounts.consents.require(version, digest)
    for kind, version in (("other", "2026-01"), ("consult", "1999-01")):
        with pytest.raises(ConsentNotFound):
            await accounts.consents.get(kind, version)


async def test_a_released_consent_text_is_never_edited(accounts: Accounts) -> None:
    released = {
        (Language.ZH, "2026-01"): "0dafe4973bf0c4820ce624423c67e4d2ca13daa9f8eec9b7d5dad73fec9a4158",
        (Language.EN, "2026-01"): "5d842e3493a90c72230f560234ad9546ce7de7cd24b6a19814fc8dfe59832e60",
    }
    for (language, version), digest in released.items():
        assert (await accounts.consents.get("consult", version, language)).sha256 == digest
