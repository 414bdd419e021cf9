"""Results that stand in no report: some hospitals send them so, and they are not less true for it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from ehr_view.domain.records import Form, LabReport, Record, is_abnormal, is_critical, record_id
from ehr_view.fhir import Resource
from ehr_view.fhir_mapping import (
    Mapped,
    dicts,
    instant_of,
    is_laboratory,
    is_mere_panel,
    items_of,
    names_of,
    reference_id,
    text_of,
    with_members,
)

_WHEN = ("effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued")


def add_loose(mapped: Mapped, hospital_id: str, reports: Iterable[Resource], observations: Sequence[Resource]) -> None:
    """Laboratory results that no report names, those of one instant together."""
    by_id = {str(each.get("id")): each for each in observations}
    named = set(with_members((reference_id(ref) for report in reports for ref in dicts(report.get("result"))), by_id))
    groups: dict[tuple[str, datetime], list[Resource]] = defaultdict(list)
    for each in observations:
        if str(each.get("id")) in named or not is_laboratory(each) or is_mere_panel(each):
            continue
        try:
            groups[subject_of(each), instant_of(each, *_WHEN)].append(each)
        except (ValueError, TypeError, AttributeError, OverflowError):
            mapped.unreadable += 1
    for (subject, at), group in groups.items():
        mapped.add({"group": group}, partial(_report, hospital_id, subject, at))


def subject_of(resource: Resource) -> str:
    subject = resource.get("subject")
    return reference_id(subject) if isinstance(subject, dict) else ""


def _report(hospital_id: str, subject: str, at: datetime, found: Resource) -> Record:
    group = found["group"]
    items = [item for each in group for item in items_of(each)]
    return Record(
        id=record_id(hospital_id, "Observation", f"{subject}/{at.isoformat()}"),
        form=Form.LAB,
        title=text_of(group[0].get("code")) if len(group) == 1 else "检验结果",
        occurred_at=at,
        content=LabReport(tuple(items), text_of(group[0].get("specimen"))),
        department=names_of(group[0].get("performer")),
        abnormal=is_abnormal(items),
        critical=is_critical(items),
    )
