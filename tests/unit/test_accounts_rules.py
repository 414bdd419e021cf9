from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.domain.codes import Granted, Purpose, SmsPolicy, wait_for_code, whole_seconds
from accounts.domain.doctors import Doctor, search_keys, search_terms
from accounts.domain.identity import IdType, Sex, age_on, check_identity, is_minor, local_day, mask_number
from accounts.domain.patients import (
    Guardian,
    PatientBook,
    PatientDetails,
    add_patient,
    change_patient,
    check_details,
    make_default,
    remove_patient,
)
from accounts.domain.phones import check_phone, mask_phone
from accounts.errors import PatientDuplicate, PatientLimitReached, PatientNotFound
from server.kernel.errors import RequestInvalid
from server.kernel.settings import Rate
from tests.support.accounts import adult, resident_number

NOW = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
TODAY = date(2026, 1, 5)
GUARDIAN = Guardian("王大明", resident_number("19800101", "001"))


@pytest.mark.parametrize("phone", ["13812341234", "19900000000"])
def test_a_mainland_mobile_number_is_a_phone(phone: str) -> None:
    assert check_phone(phone) == phone


@pytest.mark.parametrize(
    "phone", ["", "12812341234", "1381234123", "138123412345", "+8613812341234", "１3812341234", "1381234123a"]
)
def test_anything_else_is_not_a_phone(phone: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        check_phone(phone)
    assert list(refused.value.fields) == ["phone"]
    assert phone == "" or phone not in str(refused.value.fields)


def test_numbers_are_masked_in_the_middle() -> None:
    assert mask_phone("13812341234") == "138****1234"
    assert mask_number("110105194912310022") == "110***********0022"
    assert mask_number("E12345678") == "E1*****78"


def test_the_standards_own_example_is_valid_and_says_birth_and_sex() -> None:
    identity = check_identity(IdType.RESIDENT, " 11010519491231002x ", TODAY)
    assert (identity.number, identity.birth_date, identity.sex) == ("11010519491231002X", date(1949, 12, 31), Sex.FEMALE)
    assert check_identity(IdType.RESIDENT, "440524188001010014", date(2020, 1, 1)).sex is Sex.MALE


@given(st.integers(0, 9), st.integers(0, 16))
def test_one_wrong_digit_is_always_noticed(digit: int, place: int) -> None:
    number = "11010519491231002X"
    changed = number[:place] + str(digit) + number[place + 1 :]
    if changed != number:
        with pytest.raises(RequestInvalid):
            check_identity(IdType.RESIDENT, changed, TODAY)


@pytest.mark.parametrize(
    "number",
    [
        resident_number("20260106"),  # born tomorrow
        resident_number("19900230"),
        resident_number("18000101"),
        resident_number(place="990105"),
        "110105194912310",  # the form of fifteen digits is no longer valid
        "",
    ],
)
def test_a_resident_number_must_be_possible(number: str) -> None:
    with pytest.raises(RequestInvalid):
        check_identity(IdType.RESIDENT, number, TODAY)


@pytest.mark.parametrize(
    ("id_type", "good", "bad"),
    [
        (IdType.PASSPORT, "e12345678", "护照12345"),
        (IdType.PERMIT, "H12345678", "X12345678"),
        (IdType.PERMIT, "12345678", "1234567"),
        (IdType.BIRTH_CERTIFICATE, "T110123456", "110123456"),
    ],
)
def test_other_documents_have_their_forms(id_type: IdType, good: str, bad: str) -> None:
    assert check_identity(id_type, good, TODAY).number == good.upper()
    with pytest.raises(RequestInvalid):
        check_identity(id_type, bad, TODAY)


def test_one_is_of_age_on_the_eighteenth_birthday_in_china() -> None:
    birth = date(2008, 1, 5)
    assert is_minor(birth, date(2026, 1, 4))
    assert not is_minor(birth, date(2026, 1, 5))
    assert local_day(datetime(2026, 1, 4, 15, 59, 59, tzinfo=UTC)) == date(2026, 1, 4)
    assert local_day(datetime(2026, 1, 4, 16, 0, tzinfo=UTC)) == date(2026, 1, 5)
    assert age_on(date(2008, 2, 29), date(2026, 2, 28)) == 17
    assert age_on(date(2008, 2, 29), date(2026, 3, 1)) == 18


def test_sex_and_birth_date_come_from_the_number_and_must_not_contradict_it() -> None:
    checked = check_details(adult(resident_number("19900307", "122")), NOW)
    assert (checked.birth_date, checked.sex) == (date(1990, 3, 7), Sex.FEMALE)
    for field, details in {
        "birth_date": PatientDetails("王", IdType.RESIDENT, resident_number(), "13900001111", birth_date=date(1990, 3, 8)),
        "sex": PatientDetails("王", IdType.RESIDENT, resident_number(), "13900001111", sex=Sex.FEMALE),
    }.items():
        with pytest.raises(RequestInvalid) as refused:
            check_details(details, NOW)
        assert list(refused.value.fields) == [field]


@pytest.mark.parametrize(
    "details",
    [
        PatientDetails("王小", IdType.RESIDENT, resident_number("20080106"), "13900001111"),
        PatientDetails("王小", IdType.PASSPORT, "E12345678", "13900001111", birth_date=date(2020, 5, 5)),
        PatientDetails("王小", IdType.BIRTH_CERTIFICATE, "T110123456", "13900001111"),
    ],
)
def test_a_child_needs_a_guardian(details: PatientDetails) -> None:
    with pytest.raises(RequestInvalid) as refused:
        check_details(details, NOW)
    assert list(refused.value.fields) == ["guardian"]
    with_guardian = PatientDetails(
        details.name, details.id_type, details.id_number, details.phone, GUARDIAN, details.birth_date
    )
    assert check_details(with_guardian, NOW).guardian == GUARDIAN


def test_an_adult_of_today_needs_no_guardian() -> None:
    assert check_details(adult(resident_number("20080105")), NOW).guardian is None


@pytest.mark.parametrize(
    "number", [resident_number("20100101"), "110105194912310021", resident_number("20150505", "001"), "E12345678"]
)
def test_a_guardian_is_an_adult_with_a_resident_number_of_their_own(number: str) -> None:
    child = PatientDetails("王小", IdType.RESIDENT, resident_number("20150505", "001"), "13900001111", Guardian("王", number))
    with pytest.raises(RequestInvalid) as refused:
        check_details(child, NOW)
    assert list(refused.value.fields) == ["guardian.id_number"]


def _book(*ids: str) -> PatientBook:
    book = PatientBook("default", "account")
    for index, patient_id in enumerate(ids):
        details = adult(resident_number(order=f"{index:03}"))
        book = add_patient(book, patient_id, details, make_default=False, limit=5, now=NOW + timedelta(seconds=index))
    return book


def test_there_is_always_exactly_one_default_while_there_is_a_patient() -> None:
    book = _book("a", "b", "c")
    assert [(p.id, p.is_default) for p in book.listed()] == [("a", True), ("b", False), ("c", False)]
    book = make_default(book, "c")
    assert [(p.id, p.is_default) for p in book.listed()] == [("c", True), ("a", False), ("b", False)]
    book = remove_patient(book, "b")
    assert book.default_id == "c"
    book = remove_patient(book, "c")
    assert book.default_id == "a"
    book = remove_patient(book, "a")
    assert (book.default_id, book.items) == (None, ())


def test_the_sixth_patient_and_a_second_of_the_same_number_are_refused() -> None:
    book = _book("a", "b", "c", "d", "e")
    with pytest.raises(PatientLimitReached):
        add_patient(book, "f", adult(resident_number(order="777")), make_default=False, limit=5, now=NOW)
    book = remove_patient(book, "a")
    with pytest.raises(PatientDuplicate):
        add_patient(book, "f", adult(resident_number(order="001")), make_default=False, limit=5, now=NOW)
    with pytest.raises(PatientDuplicate):
        change_patient(book, "c", adult(resident_number(order="001")), now=NOW)
    assert add_patient(book, "b", adult(), make_default=True, limit=5, now=NOW) is book


def test_what_is_not_in_the_book_is_not_found() -> None:
    for change in (make_default, remove_patient):
        with pytest.raises(PatientNotFound):
            change(_book("a"), "b")


def test_codes_are_bounded_by_the_resend_time_and_by_the_window() -> None:
    policy = SmsPolicy(resend_after=timedelta(seconds=60), per_phone=Rate(2, timedelta(minutes=10)))
    first = [Granted(NOW, Purpose.LOGIN)]
    second = [*first, Granted(NOW + timedelta(minutes=1), Purpose.LOGIN)]
    assert wait_for_code([], Purpose.LOGIN, policy, NOW) == timedelta(0)
    assert wait_for_code(first, Purpose.LOGIN, policy, NOW + timedelta(seconds=1)) == timedelta(seconds=59)
    assert wait_for_code(first, Purpose.RESET_PASSWORD, policy, NOW + timedelta(seconds=1)) == timedelta(0)
    assert wait_for_code(first, Purpose.LOGIN, policy, NOW + timedelta(seconds=60)) == timedelta(0)
    assert wait_for_code(second, Purpose.LOGIN, policy, NOW + timedelta(minutes=9)) == timedelta(minutes=1)
    assert wait_for_code(second, Purpose.LOGIN, policy, NOW + timedelta(minutes=10)) == timedelta(0)
    assert wait_for_code(first, Purpose.LOGIN, SmsPolicy(resend_after=timedelta(0)), NOW) == timedelta(0)
    assert wait_for_code(second, Purpose.LOGIN, policy, NOW - timedelta(hours=1)) == timedelta(0)  # the clock was set back
    assert whole_seconds(timedelta(milliseconds=1)) == 1
    assert whole_seconds(timedelta(seconds=59)) == 59


def test_a_doctor_is_found_by_name_pinyin_department_and_disease() -> None:
    doctor = Doctor("d", "default", "曾丽", "主任医师", "x", "心血管内科", "高血压、冠心病", 5000, True)
    keys = search_keys(doctor)
    for q in ("曾丽", "曾", "zengli", "ZengLi", "cengli", "zl", "心血管", "xinxueguan", "高血压", "gaoxueya", "主任"):
        assert any(term in key for term in search_terms(q) for key in keys), q
    assert not any("wangli" in key for key in keys)
