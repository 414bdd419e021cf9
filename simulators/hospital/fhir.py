"""A person's history as FHIR R4 resources, as plain JSON values."""

import base64
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from server.kernel.clock import iso
from simulators.hospital.catalogue import TESTS, WORDS
from simulators.hospital.dicom import uid
from simulators.hospital.history import Examination, History, Report, Study, Visit
from simulators.hospital.people import MRN_SYSTEM, Person
from simulators.hospital.results import Result, limits

Resource = dict[str, Any]

LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
ICD10: Final = "http://hl7.org/fhir/sid/icd-10"
INTERPRETATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_SECTION: Final = "http://diagnostic-service.hl7.org/section"
_INSTITUTION: Final = "云诊模拟医院"
_FINDINGS: Final = "59776-5"
_MARK: Final = "\u2e1a"
_NOTE_TYPES: Final = {"AMB": ("34108-1", "门诊病历"), "IMP": ("18842-5", "出院记录")}
_EXTENSION: Final = {"url": "urn:yunzhen:simulated-hospital:source-system", "valueString": "HIS 5.2"}
"""An extension that no reader knows: to be ignored."""

RESOURCES: Final = (
    "Patient",
    "Encounter",
    "Condition",
    "DocumentReference",
    "Composition",
    "Binary",
    "MedicationRequest",
    "DiagnosticReport",
    "Observation",
    "ImagingStudy",
)


def patient(person: Person, name: str | None) -> Resource:
    resource: Resource = {
        "resourceType": "Patient",
        "id": person.id,
        "meta": {"versionId": "1"},
        "extension": [_EXTENSION],
        "identifier": [
            {"use": "official", "system": person.system, "value": person.number},
            {"use": "usual", "system": MRN_SYSTEM, "value": person.mrn},
        ],
        "active": True,
    }
    if name is not None:
        resource["name"] = [{"use": "official", "text": name}]
    if person.is_stated:
        resource["gender"] = "male" if person.male else "female"
        resource["birthDate"] = person.birth_date.isoformat()
    return resource


def resources_of(history: History, kind: str) -> list[Resource]:
    """All resources of one type but Patient, oldest first."""
    return list(_MAKERS[kind](history))


def _subject(history: History) -> Resource:
    return {"reference": f"Patient/{history.person.id}"}


def _encounters(history: History) -> Iterator[Resource]:
    names = {"AMB": "ambulatory", "IMP": "inpatient encounter"}
    for visit in history.visits:
        began = visit.at - timedelta(days=8) if visit.kind == "IMP" else visit.at
        yield {
            "resourceType": "Encounter",
            "id": visit.id,
            "status": "finished",
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": visit.kind,
                "display": names[visit.kind],
            },
            "subject": _subject(history),
            "period": {"start": iso(began), "end": iso(visit.at + timedelta(minutes=20))},
            "serviceProvider": {"display": _INSTITUTION},
            "participant": [{"individual": {"display": visit.doctor}}],
        }


def _conditions(history: History) -> Iterator[Resource]:
    for visit in history.visits:
        for number, (code, name) in enumerate(visit.diagnoses):
            yield {
                "resourceType": "Condition",
                "id": f"{visit.id}-d{number}",
                "subject": _subject(history),
                "encounter": {"reference": f"Encounter/{visit.id}"},
                "code": {"coding": [{"system": ICD10, "code": code, "display": name}], "text": name},
                "recordedDate": iso(visit.at),
            }


def _notes(history: History) -> Iterator[Resource]:
    """Notes of one text: the text is an attachment, short ones within, longer ones at a Binary."""
    for visit in history.visits:
        if visit.is_document:
            continue
        text = note_text(visit)
        code, display = _NOTE_TYPES[visit.kind]
        attachment: Resource = {"contentType": "text/plain; charset=utf-8", "title": visit.title, "language": "zh-CN"}
        if len(text) < 120:
            attachment["data"] = base64.b64encode(text.encode()).decode()
        else:
            attachment |= {"url": f"Binary/{visit.id}", "size": len(text.encode())}
        yield {
            "resourceType": "DocumentReference",
            "id": f"{visit.id}-n",
            "status": "current",
            "type": {"coding": [{"system": LOINC, "code": code}], "text": display},
            "subject": _subject(history),
            "date": iso(visit.at),
            "author": [{"display": visit.doctor}],
            "description": visit.title,
            "content": [{"attachment": attachment}],
            "context": {"encounter": [{"reference": f"Encounter/{visit.id}"}], "practiceSetting": {"text": visit.department}},
        }


def note_text(visit: Visit) -> str:
    """A note as one text: `【主诉】…`."""
    return "\n".join(f"【{title}】{text}" for title, text in visit.sections)


def binary(visit: Visit) -> Resource:
    return {
        "resourceType": "Binary",
        "id": visit.id,
        "contentType": "text/plain; charset=utf-8",
        "data": base64.b64encode(note_text(visit).encode()).decode(),
    }


def _binaries(history: History) -> Iterator[Resource]:
    return (binary(visit) for visit in history.visits if not visit.is_document)


def _documents(history: History) -> Iterator[Resource]:
    for visit in history.visits:
        if not visit.is_document:
            continue
        code, display = _NOTE_TYPES[visit.kind]
        yield {
            "resourceType": "Composition",
            "id": f"{visit.id}-c",
            "status": "final",
            "type": {"coding": [{"system": LOINC, "code": code}], "text": display},
            "subject": _subject(history),
            "encounter": {"reference": f"Encounter/{visit.id}"},
            "date": iso(visit.at),
            "author": [{"display": visit.doctor}],
            "title": visit.title,
            "custodian": {"display": visit.department},
            "section": [{"title": title, "text": {"status": "generated", "div": _div(text)}} for title, text in visit.sections],
        }


def _div(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br/>")
    return f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escaped}</p></div>'


def _prescriptions(history: History) -> Iterator[Resource]:
    for visit in history.visits:
        for number, drug in enumerate(visit.drugs):
            yield {
                "resourceType": "MedicationRequest",
                "id": f"{visit.id}-m{number}",
                "status": "completed",
                "intent": "order",
                "groupIdentifier": {"system": "urn:yunzhen:simulated-hospital:prescription", "value": visit.id},
                "medicationCodeableConcept": {"text": drug.name},
                "subject": _subject(history),
                "encounter": {"reference": f"Encounter/{visit.id}"},
                "authoredOn": iso(visit.at + timedelta(minutes=12)),
                "requester": {"display": visit.doctor},
                "reasonCode": [{"text": name} for _, name in visit.diagnoses],
                "dosageInstruction": [{"text": drug.usage, "doseAndRate": [{"doseQuantity": _dose(drug.dose)}]}],
                "dispenseRequest": {"quantity": _dose(drug.quantity), "performer": {"display": visit.department}},
            }


def _dose(words: str) -> Resource:
    """`0.5 g` and `4盒` as quantities."""
    figure = "".join(c for c in words if c in "0123456789.")
    return (
        {"value": float(figure) if "." in figure else int(figure), "unit": words.removeprefix(figure).strip()}
        if figure
        else {"unit": words}
    )


def _reports(history: History) -> Iterator[Resource]:
    for report in history.reports:
        yield report_resource(history, report)
    for examination in history.examinations:
        yield _exam_report(history, examination)


def report_resource(history: History, report: Report) -> Resource:
    """A laboratory report, which names its results."""
    return {
        "resourceType": "DiagnosticReport",
        "id": report.id,
        "status": "final",
        "category": [{"coding": [{"system": f"{_SECTION}", "code": "LAB", "display": "Laboratory"}]}],
        "code": {"coding": [{"system": LOINC, "code": report.panel.loinc}], "text": report.panel.title},
        "subject": _subject(history),
        "effectiveDateTime": iso(report.at),
        "issued": iso(report.at),
        "performer": [{"display": "检验科"}],
        "resultsInterpreter": [{"display": report.author}],
        "specimen": [{"display": report.panel.specimen}],
        "result": [{"reference": f"Observation/{_observation_id(report, result)}"} for result in report.results],
    }


def _exam_report(history: History, examination: Examination) -> Resource:
    exam = examination.exam
    section = "RAD" if exam.modality in {"CR", "CT", "US"} else "OTH"
    resource: Resource = {
        "resourceType": "DiagnosticReport",
        "id": examination.id,
        "status": "final",
        "category": [{"coding": [{"system": _SECTION, "code": section}, {"system": _SECTION, "code": exam.modality}]}],
        "code": {"coding": [{"system": "urn:yunzhen:simulated-hospital:exam", "code": exam.modality}], "text": exam.title},
        "subject": _subject(history),
        "effectiveDateTime": iso(examination.at),
        "issued": iso(examination.at + timedelta(minutes=30)),
        "performer": [{"display": examination.department}],
        "resultsInterpreter": [{"display": examination.author}],
        "result": [{"reference": f"Observation/{examination.id}-f"}],
        "conclusion": exam.impression,
        "extension": [{"url": "urn:yunzhen:simulated-hospital:body-site", "valueString": exam.site}],
    }
    if exam.abnormal:
        resource["conclusionCode"] = [{"coding": [{"system": INTERPRETATION, "code": "A", "display": "Abnormal"}]}]
    if examination.study_id is not None:
        resource["imagingStudy"] = [{"reference": f"ImagingStudy/{examination.study_id}"}]
    return resource


def _observation_id(report: Report, result: Result) -> str:
    return f"{report.id}-{result.key.lower()}"


def _observations(history: History) -> Iterator[Resource]:
    for report in history.reports:
        for result in report.results:
            yield observation(history, report, result)
    for examination in history.examinations:
        yield {
            "resourceType": "Observation",
            "id": f"{examination.id}-f",
            "status": "final",
            "category": [_category("imaging")],
            "code": {"coding": [{"system": LOINC, "code": _FINDINGS}], "text": "检查所见"},
            "subject": _subject(history),
            "effectiveDateTime": iso(examination.at),
            "bodySite": {"text": examination.exam.site},
            "valueString": examination.exam.findings,
        }


def _category(code: str) -> Resource:
    return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": code}]}


def observation(history: History, report: Report, result: Result) -> Resource:
    resource: Resource = {
        "resourceType": "Observation",
        "id": _observation_id(report, result),
        "status": "final",
        "category": [_category("laboratory")],
        "subject": _subject(history),
        "effectiveDateTime": iso(report.at),
        "issued": iso(report.at),
        "extension": [_EXTENSION],
    }
    if result.flag:
        resource["interpretation"] = [{"coding": [{"system": INTERPRETATION, "code": result.flag}]}]
    if isinstance(result.value, str):
        words = WORDS[result.key]
        code, name = words.loinc, words.name
        resource |= {"valueString": result.value, "referenceRange": [{"text": words.reference}]}
    else:
        test = TESTS[result.key]
        code, name = test.loinc, test.name
        shown = {"system": UCUM, "code": test.unit, "unit": test.unit}
        resource["valueQuantity"] = {"value": _exact(result.value, test.digits), **shown}
        low, high = limits(history.person, result.key, report.at)
        bounds = {
            name: {"value": _exact(x, test.digits), **shown} for name, x in (("low", low), ("high", high)) if x is not None
        }
        if bounds:
            resource["referenceRange"] = [bounds]
    resource["code"] = {
        "coding": [{"system": LOINC, "code": code}, {"system": "urn:yunzhen:simulated-hospital:test", "code": result.key}],
        "text": name,
    }
    return resource


def _exact(value: float, digits: int) -> str:
    """A figure with its digits: FHIR decimals say how precise they are, so 4.60 stays 4.60. `encode` takes the marks away."""
    return f"{_MARK}{value:.{digits}f}{_MARK}"


def encode(resource: Resource) -> bytes:
    """The JSON text of a resource."""
    mark = _MARK.encode()
    return orjson.dumps(resource).replace(b'"' + mark, b"").replace(mark + b'"', b"")


def _studies(history: History) -> Iterator[Resource]:
    for study in history.studies:
        yield _study(history, study)


def _study(history: History, study: Study) -> Resource:
    return {
        "resourceType": "ImagingStudy",
        "id": study.id,
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid(study.id)}"}],
        "status": "available",
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": study.modality}],
        "subject": _subject(history),
        "started": iso(study.at),
        "numberOfSeries": 1,
        "numberOfInstances": study.frames,
        "description": study.description,
        "series": [
            {
                "uid": uid(study.id, 1),
                "number": 1,
                "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": study.modality},
                "description": "PA" if study.modality == "CR" else "Axial 5.0 mm",
                "numberOfInstances": study.frames,
                "bodySite": {"display": study.site},
                "instance": [
                    {"uid": uid(study.id, 1, number), "sopClass": {"system": "urn:ietf:rfc:3986"}, "number": number}
                    for number in range(1, study.frames + 1)
                ],
            }
        ],
    }


_MAKERS: Final = {
    "Encounter": _encounters,
    "Condition": _conditions,
    "DocumentReference": _notes,
    "Composition": _documents,
    "Binary": _binaries,
    "MedicationRequest": _prescriptions,
    "DiagnosticReport": _reports,
    "Observation": _observations,
    "ImagingStudy": _studies,
}


def bundle(base: str, items: Iterable[Resource], *, total: int, self_url: str, next_url: str | None) -> Resource:
    links = [{"relation": "self", "url": self_url}]
    if next_url is not None:
        links.append({"relation": "next", "url": next_url})
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": total,
        "timestamp": iso(datetime(2000, 1, 1, tzinfo=UTC)),
        "link": links,
        "entry": [
            {"fullUrl": f"{base}/{item['resourceType']}/{item['id']}", "resource": item, "search": {"mode": "match"}}
            for item in items
        ],
    }


def outcome(code: str, text: str) -> Resource:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code, "diagnostics": text}]}
