from datetime import UTC, datetime, timedelta

import pytest

from server.app.demo_people import list_patients
from simulators.hospital.catalogue import PANELS
from simulators.hospital.history import History, history_on
from simulators.hospital.people import Person, find_person

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def person(number: str) -> Person:
    found = find_person(number)
    if found is None:
        raise LookupError(number)
    return found


@pytest.fixture(scope="module")
def demo() -> list[History]:
    return [history_on(person(p.id_number), NOW) for p in list_patients(8, NOW)]


def test_the_demos_patients_have_different_illnesses(demo: list[History]) -> None:
    assert len({history.illness.key for history in demo}) == 8


def test_everybody_has_two_years_of_results_notes_exams_and_pictures(demo: list[History]) -> None:
    for history in demo:
        assert min(r.at for r in history.reports) < NOW - timedelta(days=700)
        assert len(history.visits) > 9
        assert len(history.examinations) > 3
        assert {study.modality for study in history.studies} >= {"CR"}


def test_a_history_is_the_same_at_every_look_and_only_grows(demo: list[History]) -> None:
    history_on.cache_clear()
    again = history_on(demo[4].person, NOW)
    later = history_on(demo[4].person, NOW + timedelta(days=200))
    assert again == demo[4]
    assert {r.id for r in later.reports} > {r.id for r in again.reports}
    assert set(later.visits) > set(again.visits)


def test_an_untreated_diabetic_is_critical_and_gets_better(demo: list[History]) -> None:
    history = next(h for h in demo if h.illness.key == "diabetes")
    glucose = [r for report in sorted(history.reports, key=lambda r: r.at) for r in report.results if r.key == "GLU"]
    onset = next(r for r in glucose if r.flag == "HH")
    assert onset.value > 22
    assert glucose[0].flag == ""
    assert glucose[-1].value < 7.5
    hba1c = [r.value for report in sorted(history.reports, key=lambda r: r.at) for r in report.results if r.key == "HBA1C"]
    assert hba1c[0] > 10
    assert hba1c[-1] < 7.2


def test_figures_of_one_report_agree_with_one_another(demo: list[History]) -> None:
    for history in demo:
        for report in history.reports:
            found = {r.key: r.value for r in report.results}
            if report.panel.key == "cbc":
                assert found["NEUT"] == pytest.approx(found["WBC"] * found["NEUTP"] / 100, abs=0.02)
                assert found["HCT"] == pytest.approx(found["RBC"] * found["MCV"] / 1000, abs=0.003)
                assert found["HGB"] == pytest.approx(found["RBC"] * found["MCH"], abs=1.5)
                assert 96 < sum(found[k] for k in ("NEUTP", "LYMP", "MONOP", "EOSP", "BASOP")) < 104.5
            if report.panel.key == "biochemistry":
                assert found["GLB"] == pytest.approx(found["TP"] - found["ALB"], abs=0.15)
                assert found["IBIL"] == pytest.approx(found["TBIL"] - found["DBIL"], abs=0.15)


def test_the_biochemistry_panel_has_forty_rows() -> None:
    assert len(PANELS["biochemistry"].tests) == 40


@pytest.mark.parametrize("number", ["", "110105198803120020", "1101051988031200XX", "110105199902300019", "<script>", "ABCDE"])
def test_what_is_no_number_of_a_document_is_nobody(number: str) -> None:
    assert find_person(number) is None


@pytest.mark.parametrize("number", ["E12345678", "H12345678", "A123456789", "830000199001011234"])
def test_other_documents_have_a_stable_history_too(number: str) -> None:
    found = person(number)
    assert found == person(number.lower())
    assert len(history_on(found, NOW).reports) > 0
