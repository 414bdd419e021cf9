"""ImagingStudies."""

import re
from collections.abc import Callable, Iterable

from ehr_view.domain.records import Form, Frame, ImagingStudy, Record, record_id
from ehr_view.fhir import Resource
from ehr_view.fhir_mapping.values import dicts, instant_of, is_dead, text_of


def imaging_study(hospital_id: str, numbers: frozenset[str]) -> Callable[[Resource], Record | None]:
    """`numbers`: the PatientIDs that the study's pictures may carry."""

    def mapping(resource: Resource) -> Record | None:
        if is_dead(resource):
            return None
        frames = [frame for series in dicts(resource.get("series")) for frame in _frames(series)]
        if not frames:
            raise ValueError("a study without pictures")
        modality = "、".join(dict.fromkeys(text_of(m) or str(m.get("code", "")) for m in dicts(resource.get("modality"))))
        site = next((text_of(s.get("bodySite")) for s in dicts(resource.get("series")) if s.get("bodySite")), "")
        description = str(resource.get("description") or f"{modality} 影像")
        return Record(
            id=record_id(hospital_id, "ImagingStudy", str(resource["id"])),
            form=Form.IMAGING,
            title=description,
            occurred_at=instant_of(resource, "started"),
            content=ImagingStudy(_study_uid(resource), modality, description, tuple(frames), site, numbers),
            department="放射科",
        )

    return mapping


def _study_uid(resource: Resource) -> str:
    for identifier in dicts(resource.get("identifier")):
        value = str(identifier.get("value") or "")
        if identifier.get("system") == "urn:dicom:uid" or value.startswith("urn:oid:"):
            return checked_uid(value.removeprefix("urn:oid:"))
    raise ValueError("no study UID")


def checked_uid(uid: str) -> str:
    """A DICOM UID, which will stand in an address. Raises ValueError."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", uid) or len(uid) > 64:
        raise ValueError("not a UID")
    return uid


def _frames(series: Resource) -> Iterable[Frame]:
    series_uid = checked_uid(str(series["uid"]))
    instances = sorted(dicts(series.get("instance")), key=lambda i: i.get("number") or 0)
    words = str(series.get("description") or "")
    for place, instance in enumerate(instances, start=1):
        caption = f"{words}  {place} / {len(instances)}".strip()
        yield Frame(series_uid, checked_uid(str(instance["uid"])), 1, caption)
