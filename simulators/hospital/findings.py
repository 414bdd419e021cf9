"""What the laboratory finds while we watch: a report of now, with the figures that somebody wants in it."""

from datetime import datetime, timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from server.kernel.clock import iso
from simulators.hospital.catalogue import PANELS, TESTS
from simulators.hospital.fhir import Resource, observation, report_resource
from simulators.hospital.history import History, Report
from simulators.hospital.results import Result, flag_of

_TAKEN_BEFORE: Final = timedelta(minutes=20)


class Finding(BaseModel):
    """`values` by the catalogue's key (`K`, `NA`, `GLU`): what is not named is healthy. Not `in_report`: results that stand in
    none, as some hospitals send them."""

    model_config = ConfigDict(extra="forbid")

    number: str = Field(max_length=18)
    report: str = Field(default="now", pattern=r"^[A-Za-z0-9-]{1,32}$")
    panel: str = "kidney"
    values: dict[str, float] = Field(default_factory=dict, max_length=100)
    status: Literal["final", "corrected", "entered-in-error"] = "final"
    in_report: bool = True


def found_now(history: History, told: Finding, version: int, now: datetime, at: datetime | None) -> dict[str, list[Resource]]:
    """The resources, as of now. `at`: when the blood was taken; None: a while ago."""
    person, panel = history.person, PANELS[told.panel]
    at = at or now - _TAKEN_BEFORE
    results = []
    for key in panel.tests:
        if key in TESTS:
            value = round(told.values.get(key, TESTS[key].healthy(male=person.male)), TESTS[key].digits)
            results.append(Result(key, value, flag_of(person, key, value, now)))
    report = Report(f"{person.id}-{told.report}", panel, at, tuple(results), "检验科", "喻清和")
    changed: dict[str, Any] = {"status": told.status, "meta": {"versionId": str(version), "lastUpdated": iso(now)}}
    found = {"Observation": [observation(history, report, each) | changed for each in results]}
    if told.in_report:
        found["DiagnosticReport"] = [report_resource(history, report) | changed]
    return found
