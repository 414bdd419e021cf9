"""Critical values: what is one, and every step that may and may not follow."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from ehr_view.critical.domain import (
    DEFAULT_LIMITS,
    TRANSITIONS,
    CriticalCommand,
    CriticalPolicy,
    CriticalStatus,
    CriticalValue,
    Limit,
    People,
    Recipient,
    decide_acknowledgement,
    decide_escalation,
    decide_telling,
    decide_withdrawal,
    find_critical,
    is_item_critical,
    limits_from,
)
from ehr_view.domain.records import Flag, Form, LabItem, LabReport, Range, Record
from ehr_view.errors import CriticalTransitionRefused
from ehr_view.hl7.domain import Identity

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
POLICY = CriticalPolicy(timedelta(minutes=10), timedelta(minutes=20))
WHO = Identity("resident", "110105196602150023")
DOCTOR = People(("patient",), (Recipient("order", "doctor"),))
ALONE = People(("patient",))


def item(number: float | None, *, code: str = "2823-3", unit: str = "mmol/L", flag: Flag = Flag.NORMAL) -> LabItem:
    return LabItem(f"http://loinc.org|{code}", "钾", str(number), unit, Range(), flag, number)


def report(*items: LabItem) -> Record:
    return Record("r" * 32, Form.LAB, "电解质", NOW, LabReport(items))


def raised() -> CriticalValue:
    value = find_critical("default", WHO, report(item(6.8)), DEFAULT_LIMITS, NOW)
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("number", "critical"), [(2.7, True), (2.8, True), (2.81, False), (4.0, False), (6.19, False), (6.2, True), (6.3, True)]
)
def test_a_potassium_at_the_limit_is_critical(number: float, critical: bool) -> None:
    assert is_item_critical(item(number), DEFAULT_LIMITS) is critical


@pytest.mark.parametrize(
    ("code", "unit", "number"),
    [
        ("2951-2", "mmol/L", 118.0),
        ("14771-0", "mmol/L", 2.5),
        ("718-7", "g/L", 55.0),
        ("777-3", "10*9/L", 12.0),
        ("89579-7", "ng/L", 230.0),
        ("10839-9", "ug/L", 0.4),
    ],
)
def test_the_common_analytes_are_on_the_list(code: str, unit: str, number: float) -> None:
    assert is_item_critical(item(number, code=code, unit=unit), DEFAULT_LIMITS)


def test_another_unit_is_not_judged_and_the_hospitals_mark_always_is() -> None:
    assert not is_item_critical(item(160.0, unit="mg/dL"), DEFAULT_LIMITS)
    assert not is_item_critical(item(None), DEFAULT_LIMITS)
    for flag in (Flag.CRITICAL_HIGH, Flag.CRITICAL_LOW, Flag.CRITICAL):
        assert is_item_critical(item(None, flag=flag), ())
    assert not is_item_critical(item(6.0, flag=Flag.HIGH), ())


def test_a_hospitals_own_list_is_read_or_refused() -> None:
    assert limits_from('[{"codes": ["K"], "unit": "mmol/L", "high": 7}]') == (Limit(frozenset({"K"}), "mmol/L", None, 7.0),)
    for wrong in ("{", '[{"codes": ["K"]}]', '{"a": 1}', '[{"codes": ["K"], "unit": "x", "low": []}]'):
        with pytest.raises(ValueError):
            limits_from(wrong)


def test_the_same_results_are_one_value_and_other_results_another() -> None:
    assert find_critical("default", WHO, report(item(6.8), item(4.0)), DEFAULT_LIMITS, NOW + POLICY.text_after) is not None
    again = find_critical("default", WHO, report(item(4.0), item(6.8)), DEFAULT_LIMITS, NOW)
    other = find_critical("default", WHO, report(item(7.1)), DEFAULT_LIMITS, NOW)
    assert again is not None
    assert other is not None
    assert again.id == raised().id
    assert other.id != raised().id
    assert find_critical("default", WHO, report(item(4.0)), DEFAULT_LIMITS, NOW) is None


def test_the_doctor_has_until_the_deadline_then_an_sms_then_the_staff() -> None:
    told = decide_telling(raised(), DOCTOR, POLICY, NOW)
    assert (told.status, told.deadline_at, told.version) == (CriticalStatus.TOLD, NOW + POLICY.text_after, 2)
    assert decide_escalation(told, POLICY, NOW + POLICY.text_after - timedelta(milliseconds=1)) is None
    texted = decide_escalation(told, POLICY, NOW + POLICY.text_after)
    assert texted is not None
    assert (texted.status, texted.deadline_at) == (CriticalStatus.TEXTED, NOW + POLICY.text_after + POLICY.task_after)
    assert decide_escalation(texted, POLICY, NOW + POLICY.text_after) is None
    assert texted.deadline_at is not None
    tasked = decide_escalation(texted, POLICY, texted.deadline_at)
    assert tasked is not None
    assert (tasked.status, tasked.deadline_at) == (CriticalStatus.TASKED, None)
    assert decide_escalation(tasked, POLICY, NOW + timedelta(days=1)) is None


def test_without_a_doctor_the_patient_has_the_time_and_then_the_staff() -> None:
    told = decide_telling(raised(), ALONE, POLICY, NOW)
    assert told.deadline_at == NOW + POLICY.task_after
    tasked = decide_escalation(told, POLICY, NOW + POLICY.task_after)
    assert tasked is not None
    assert tasked.status is CriticalStatus.TASKED
    assert decide_telling(raised(), People(), POLICY, NOW).deadline_at is None


def test_the_doctor_ends_it_and_the_patient_only_where_there_is_no_doctor() -> None:
    told = decide_telling(raised(), DOCTOR, POLICY, NOW)
    assert decide_acknowledgement(told, "patient", NOW) is None
    ended = decide_acknowledgement(told, "doctor", NOW)
    assert ended is not None
    assert (ended.status, ended.acknowledged_by, ended.deadline_at) == (CriticalStatus.ACKNOWLEDGED, "doctor", None)
    assert decide_acknowledgement(ended, "doctor", NOW) is None
    alone = decide_acknowledgement(decide_telling(raised(), ALONE, POLICY, NOW), "patient", NOW)
    assert alone is not None
    assert alone.status is CriticalStatus.ACKNOWLEDGED


def test_a_withdrawn_one_cannot_be_acknowledged() -> None:
    with pytest.raises(CriticalTransitionRefused) as caught:
        decide_acknowledgement(decide_withdrawal(decide_telling(raised(), DOCTOR, POLICY, NOW)), "doctor", NOW)
    assert caught.value.code == "critical.transition_refused"


ALLOWED = {
    ("raised", "tell"), ("raised", "withdraw"),
    ("told", "text"), ("told", "task"), ("told", "acknowledge"), ("told", "withdraw"),
    ("texted", "task"), ("texted", "acknowledge"), ("texted", "withdraw"),
    ("tasked", "acknowledge"), ("tasked", "withdraw"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "command"), list(product(CriticalStatus, CriticalCommand)))
def test_every_other_step_is_forbidden(status: CriticalStatus, command: CriticalCommand) -> None:
    assert ((status, command) in TRANSITIONS) is ((status.value, command.value) in ALLOWED)
