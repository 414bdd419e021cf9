"""The people of the demo: invented, believable, and accepted by the same rules as everyone."""

import base64
from datetime import UTC, datetime

import pytest

from accounts.domain.identity import IdType, Sex, age_on, local_day
from accounts.domain.patients import Guardian, PatientDetails, check_details
from accounts.domain.people import check_password, check_username
from accounts.domain.phones import check_phone
from server.app.demo_people import list_doctors, list_patients, list_staff
from server.kernel.actor import StaffRole

NOW = datetime(2026, 2, 28, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize("now", [NOW, datetime(2028, 2, 29, 3, 0, tzinfo=UTC), datetime(2026, 12, 31, 16, 0, tzinfo=UTC)])
def test_every_patient_passes_the_rules_of_the_product(now: datetime) -> None:
    ages = []
    for patient in list_patients(400, now):
        guardian = None
        if patient.guardian_name is not None and patient.guardian_id_number is not None:
            guardian = Guardian(patient.guardian_name, patient.guardian_id_number)
        details = PatientDetails(patient.name, IdType.RESIDENT, patient.id_number, patient.phone, guardian)
        checked = check_details(details, now)
        assert checked.birth_date is not None
        ages.append((age_on(checked.birth_date, local_day(now)) < 18, guardian is not None))
    assert set(ages) == {(False, False), (True, True)}
    assert sum(is_child for is_child, _ in ages) == 50


def test_eight_patients_are_seven_adults_and_a_child() -> None:
    patients = list_patients(8, NOW)
    assert [p.guardian_name is not None for p in patients] == [False] * 7 + [True]


def test_a_name_and_the_sex_in_the_number_agree() -> None:
    patients = {p.name: p for p in list_patients(8, NOW)}
    sexes = {
        name: check_details(PatientDetails(name, IdType.RESIDENT, p.id_number, p.phone), NOW).sex
        for name, p in patients.items()
        if p.guardian_name is None
    }
    assert {sexes["郑海涛"], sexes["宋丽娟"]} == {Sex.MALE, Sex.FEMALE}
    assert (sexes["郑海涛"], sexes["宋丽娟"]) == (Sex.MALE, Sex.FEMALE)


def test_nobody_shares_a_phone_or_an_id() -> None:
    doctors, patients = list_doctors(10_000), list_patients(10_000, NOW)
    phones = [check_phone(person.phone) for person in (*doctors, *patients)]
    assert len(set(phones)) == 20_000
    assert len({d.id for d in doctors} | {p.account_id for p in patients} | {p.patient_id for p in patients}) == 30_000
    assert len({p.id_number for p in patients}) == 10_000


def test_twelve_doctors_are_in_twelve_departments() -> None:
    doctors = list_doctors(12)
    assert len({d.department for d in doctors}) == 12
    assert {(d.title, d.fee_fen) for d in doctors} == {("主任医师", 10_000), ("副主任医师", 6_000), ("主治医师", 3_000)}


def test_the_first_of_the_staff_has_every_role_and_secrets_differ() -> None:
    staff = list_staff(b"seed")
    assert staff[0].roles == tuple(StaffRole)
    assert [member.roles for member in staff[1:]] == [(role,) for role in StaffRole]
    assert [len(base64.b32decode(member.totp_secret)) for member in staff] == [20] * len(staff)
    assert len({member.password for member in staff} | {member.totp_secret for member in staff}) == 2 * len(staff)
    for member in staff:
        assert check_username(member.username) == member.username
        assert check_password(member.password) == member.password


def test_the_same_seed_gives_the_same_staff_and_another_seed_other_secrets() -> None:
    assert list_staff(b"seed") == list_staff(b"seed")
    other = {member.password for member in list_staff(b"another")}
    assert other.isdisjoint(member.password for member in list_staff(b"seed"))
