"""A hospital that speaks FHIR R4 and DICOMweb, behind the one port.

First the person is found and held against what we know; then all parts are asked at once, each for itself. A resource that
names another person is refused, counted, and reported by whoever asked.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import structlog

from ehr_view import fhir_mapping as mapping
from ehr_view.dicomweb import DicomWebClient
from ehr_view.domain.records import (
    Chart,
    Frame,
    ImagingStudy,
    Missing,
    MissingReason,
    Part,
    PatientRef,
    Record,
    newest_first,
)
from ehr_view.errors import RecordIdentityMismatch, RecordSourceUnavailable
from ehr_view.fhir import FhirClient, FhirFailure, Found, Resource
from ehr_view.fhir_loose import add_loose
from ehr_view.fhir_mapping import Mapped, dicts
from ehr_view.ports import Picture

log = structlog.get_logger(__name__)

_SYSTEMS: Final[Mapping[str, str]] = {"resident": "urn:oid:2.16.156.10011.1.3"}
"""Identifier systems by kind of document; others are asked for by value alone."""

PARTS: Final[Mapping[str, Part]] = {
    "Composition": Part.NOTES,
    "DocumentReference": Part.NOTES,
    "MedicationRequest": Part.PRESCRIPTIONS,
    "DiagnosticReport": Part.LABS,
    "Observation": Part.LABS,
    "ImagingStudy": Part.IMAGING,
}
_AT_ONCE: Final = 8


class FhirHospital:
    """Implements `ports.Hospital`."""

    def __init__(self, fhir: FhirClient, dicomweb: DicomWebClient) -> None:
        self._fhir = fhir
        self._dicomweb = dicomweb

    @property
    def fhir(self) -> FhirClient:
        return self._fhir

    async def close(self) -> None:
        await self._fhir.close()
        await self._dicomweb.close()

    async def fetch_chart(self, hospital_id: str, patient: PatientRef) -> Chart:
        until = self._fhir.deadline()
        people = await find_people(self._fhir, patient, until)
        if not people:
            return Chart((), is_known=False)
        ids = [str(person["id"]) for person in people]
        texts: dict[str, str] = {}
        number = patient.id_number if patient.id_type == "resident" else None
        missing: list[Missing] = []
        parts = await asyncio.gather(*(self._part(kind, ids, until, texts, missing, number) for kind in PARTS))
        found = dict(zip(PARTS, parts, strict=True))
        if all(part.failure is not None and not part.resources for part in found.values()):
            raise RecordSourceUnavailable
        missing += _failures(found)
        own = {kind: _own(part.resources, set(ids), PARTS[kind], missing) for kind, part in found.items()}
        numbers = frozenset(str(i["value"]) for person in people for i in dicts(person.get("identifier")) if i.get("value"))
        has_reports = found["DiagnosticReport"].failure is None
        records, unread = await asyncio.to_thread(map_all, hospital_id, own, texts, numbers, has_reports=has_reports)
        return Chart(newest_first(records), tuple(_merged([*missing, *unread])))

    async def fetch_pictures(
        self, hospital_id: str, patient: PatientRef, study: ImagingStudy, frames: Sequence[Frame]
    ) -> Sequence[Picture | None]:
        return await self._dicomweb.fetch(study, frames)

    async def stamp(self, hospital_id: str, patient: PatientRef) -> str:
        """Always the same: who is only asked tells us of no change."""
        return ""

    async def has_visit(self, patient: PatientRef) -> bool:
        """Whether the hospital has seen this person (a finished encounter). Raises RecordSourceUnavailable."""
        until = self._fhir.deadline()
        ids = [str(person["id"]) for person in await find_people(self._fhir, patient, until)]
        if not ids:
            return False
        found = await self._fhir.search("Encounter", _of(ids), until)
        visits = [r for r in found.resources if r.get("status") == "finished" and _subject(r) in ids]
        if not visits and found.failure is not None:
            raise RecordSourceUnavailable
        return bool(visits)

    async def _part(
        self,
        kind: str,
        ids: Sequence[str],
        until: float,
        texts: dict[str, str],
        missing: list[Missing],
        number: str | None,
    ) -> Found:
        """All resources of one type. Of documents also the words: they come into `texts`, by the document's id."""
        found = await self._fhir.search(kind, _of(ids), until)
        if kind == "DocumentReference":
            own = [document for document in found.resources if _subject(document) in ids]
            await self._texts(own, until, texts, missing, number)
        return found

    async def _texts(
        self,
        documents: Iterable[Resource],
        until: float,
        texts: dict[str, str],
        missing: list[Missing],
        number: str | None,
    ) -> None:
        room = asyncio.Semaphore(_AT_ONCE)

        async def take(document: Resource) -> None:
            async with room:
                try:
                    texts[str(document["id"])] = await self._text(document, until, number)
                except FhirFailure as failure:
                    missing.append(Missing(Part.NOTES, failure.reason, 1))
                except mapping.OtherPersonsDocument:
                    missing.append(Missing(Part.NOTES, MissingReason.IDENTITY_MISMATCH, 1))
                except (ValueError, KeyError, TypeError, AttributeError):
                    missing.append(Missing(Part.NOTES, MissingReason.UNREADABLE, 1))

        await asyncio.gather(*(take(document) for document in documents))

    async def _text(self, document: Resource, until: float, number: str | None) -> str:
        words = []
        for content in dicts(document.get("content")):
            attachment: Any = content.get("attachment")
            kind, data = str(attachment.get("contentType") or ""), attachment.get("data")
            if data is None:
                binary = await self._fhir.read(str(attachment["url"]), until)
                kind, data = str(binary.get("contentType") or kind), binary.get("data")
            words.append(await asyncio.to_thread(mapping.attachment_text, kind, str(data), number))
        return "\n".join(words)


async def find_people(fhir: FhirClient, patient: PatientRef, until: float) -> list[Resource]:
    """The hospital's entries of this person: none, one, or several cards. Raises RecordSourceUnavailable,
    RecordIdentityMismatch."""
    system = _SYSTEMS.get(patient.id_type)
    identifier = f"{system}|{patient.id_number}" if system else patient.id_number
    found = await fhir.search("Patient", {"identifier": identifier}, until, in_body=True)
    if found.failure is not None and not found.resources:
        raise RecordSourceUnavailable
    if not all(is_same_person(person, patient) for person in found.resources):
        raise RecordIdentityMismatch
    return found.resources[:5]


def is_same_person(person: Resource, patient: PatientRef) -> bool:
    """Whether the hospital's person is ours: the number must be the same, and birth date, sex and name where both say."""
    values = {str(i.get("value", "")).upper() for i in dicts(person.get("identifier"))}
    if patient.id_number.upper() not in values:
        return False
    born, sex = person.get("birthDate"), person.get("gender")
    if patient.birth_date is not None and born and not patient.birth_date.isoformat().startswith(str(born)):
        return False
    if patient.sex in ("male", "female") and sex in ("male", "female") and sex != patient.sex:
        return False
    names = [_name(name) for name in dicts(person.get("name"))]
    return not any(names) or _plain(patient.name) in names


def _name(name: Resource) -> str:
    given = name.get("given") if isinstance(name.get("given"), list) else []
    return _plain(str(name.get("text") or f"{name.get('family') or ''}{''.join(map(str, given or []))}"))


def _plain(name: str) -> str:
    return "".join(name.split()).replace("•", "·").casefold()


def _of(ids: Sequence[str]) -> dict[str, str]:
    return {"patient": ",".join(f"Patient/{name}" for name in ids)}


def _subject(resource: Resource) -> str:
    subject = resource.get("subject") or resource.get("patient")
    return mapping.reference_id(subject) if isinstance(subject, dict) else ""


def _own(resources: Iterable[Resource], ids: set[str], part: Part, missing: list[Missing]) -> list[Resource]:
    """Those of this person. What names another, or nobody, is refused."""
    own: list[Resource] = []
    strange = 0
    for resource in resources:
        if _subject(resource) in ids:
            own.append(resource)
        else:
            strange += 1
    if strange:
        missing.append(Missing(part, MissingReason.IDENTITY_MISMATCH, strange))
    return own


def _failures(found: Mapping[str, Found]) -> list[Missing]:
    missing = []
    for kind, part in found.items():
        if part.failure is not None:
            missing.append(Missing(PARTS[kind], part.failure))
            if kind in ("DiagnosticReport", "Observation"):
                missing.append(Missing(Part.EXAMS, part.failure))
    return missing


def _merged(missing: Iterable[Missing]) -> Iterable[Missing]:
    """One entry a part and reason."""
    counts: dict[tuple[Part, MissingReason], int] = {}
    for each in missing:
        counts[each.part, each.reason] = counts.get((each.part, each.reason), 0) + each.count
    return [Missing(part, reason, count) for (part, reason), count in counts.items()]


def map_all(
    hospital_id: str,
    own: Mapping[str, Sequence[Resource]],
    texts: Mapping[str, str],
    numbers: frozenset[str],
    *,
    has_reports: bool,
) -> tuple[list[Record], list[Missing]]:
    """All resources as records. Takes a while for long charts: not for the event loop. Not `has_reports`: there may be reports
    that did not come, so that no result is known to stand in none."""
    observations = {str(o.get("id")): o for o in own["Observation"]}
    notes, labs, exams, imaging = Mapped(), Mapped(), Mapped(), Mapped()
    for resource in own["Composition"]:
        notes.add(resource, mapping.note_of_composition(hospital_id))
    for resource in own["DocumentReference"]:
        notes.add(resource, mapping.note_of_document(hospital_id, texts))
    as_lab, as_exam = mapping.lab_report(hospital_id, observations), mapping.exam_report(hospital_id, observations)
    for resource in own["DiagnosticReport"]:
        if mapping.is_laboratory(resource):
            labs.add(resource, as_lab)
        else:
            exams.add(resource, as_exam)
    if has_reports:
        add_loose(labs, hospital_id, own["DiagnosticReport"], own["Observation"])
    for resource in own["ImagingStudy"]:
        imaging.add(resource, mapping.imaging_study(hospital_id, numbers))
    drugs = mapping.prescriptions(hospital_id, own["MedicationRequest"])
    parts = ((Part.NOTES, notes), (Part.LABS, labs), (Part.EXAMS, exams), (Part.IMAGING, imaging), (Part.PRESCRIPTIONS, drugs))
    records = [record for _, mapped in parts for record in mapped.records]
    return records, [each for part, mapped in parts for each in mapped.missing(part)]
