"""What is new at a FHIR server, asked for again and again: laboratory results of several patients in one search."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ehr_view.critical.ports import Change, FoundLabs
from ehr_view.domain.records import PatientRef, record_id
from ehr_view.errors import RecordSourceUnavailable
from ehr_view.fhir import FhirClient, Found, Resource
from ehr_view.fhir_loose import add_loose, subject_of
from ehr_view.fhir_mapping import Mapped, is_dead, is_laboratory, lab_report, parse_instant
from ehr_view.hospital import find_people

_CHANGED: Final[tuple[tuple[str, Mapping[str, str]], ...]] = (
    ("Observation", {"category": "laboratory"}),
    ("DiagnosticReport", {}),
)
_ELEMENTS: Final = {"_elements": "id,meta,subject"}


@dataclass(frozen=True, slots=True)
class FhirLabFeed:
    """Implements `critical.ports.LabFeed`."""

    fhir: FhirClient

    async def find_ids(self, patient: PatientRef) -> tuple[str, ...]:
        people = await find_people(self.fhir, patient, self.fhir.deadline())
        return tuple(str(person["id"]) for person in people)

    async def list_changes(self, patient_ids: Sequence[str], since: datetime) -> Sequence[Change]:
        """A part of an answer counts as none: what was not said is said the next time."""
        until = self.fhir.deadline()
        words = {"patient": _references(patient_ids), "_lastUpdated": f"ge{_instant(since)}"}
        searches = (self.fhir.search(kind, {**words, **more, **_ELEMENTS}, until) for kind, more in _CHANGED)
        found = await asyncio.gather(*searches)
        _require_whole(found)
        own = frozenset(patient_ids)
        return [_change(r) for part in found for r in part.resources if subject_of(r) in own]

    async def fetch_labs(self, hospital_id: str, patient_ids: Sequence[str], since: datetime) -> FoundLabs:
        until = self.fhir.deadline()
        words = {"patient": _references(patient_ids), "date": f"ge{_instant(since)}"}
        reports, observations = await asyncio.gather(
            self.fhir.search("DiagnosticReport", words, until), self.fhir.search("Observation", words, until)
        )
        _require_whole((reports, observations))
        own = frozenset(patient_ids)
        return await asyncio.to_thread(_labs, hospital_id, _of(reports, own), _of(observations, own))


def _labs(hospital_id: str, reports: list[Resource], observations: list[Resource]) -> FoundLabs:
    mapped = Mapped()
    by_id = {str(each.get("id")): each for each in observations}
    as_lab = lab_report(hospital_id, by_id)
    for report in reports:
        if is_laboratory(report):
            mapped.add(report, as_lab)
    add_loose(mapped, hospital_id, reports, observations)
    dead = tuple(record_id(hospital_id, "DiagnosticReport", str(r.get("id"))) for r in reports if is_dead(r))
    return FoundLabs(tuple(mapped.records), dead, is_whole=not mapped.unreadable)


def _require_whole(found: Iterable[Found]) -> None:
    if any(part.failure is not None for part in found):
        raise RecordSourceUnavailable


def _of(found: Found, own: frozenset[str]) -> list[Resource]:
    """Those of this person. Others' are no news to anybody here."""
    return [resource for resource in found.resources if subject_of(resource) in own]


def _change(resource: Resource) -> Change:
    meta = resource.get("meta")
    facts = meta if isinstance(meta, dict) else {}
    updated = str(facts.get("lastUpdated") or "")
    name = f"{resource.get('resourceType')}/{resource.get('id')}"
    try:
        at = parse_instant(updated) if updated else None
    except (ValueError, OverflowError):
        at = None
    return Change(subject_of(resource), f"{name}|{facts.get('versionId') or ''}|{updated}", at)


def _references(patient_ids: Iterable[str]) -> str:
    return ",".join(f"Patient/{name}" for name in patient_ids)


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
