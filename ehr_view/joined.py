"""One hospital, two ways in: what it shows when asked (FHIR, DICOMweb) and what it has sent (HL7 v2), as one chart.

A report that came both ways is shown once. When the asked one does not answer, what was sent is still there.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from ehr_view.domain.records import (
    Chart,
    ExamReport,
    Form,
    Frame,
    ImagingStudy,
    LabReport,
    Missing,
    MissingReason,
    Note,
    Part,
    PatientRef,
    Record,
    newest_first,
)
from ehr_view.errors import RecordSourceUnavailable
from ehr_view.hl7.domain import HeldRecord, identity_of, is_same_person
from ehr_view.hl7.ports import HeldRecords
from ehr_view.ports import Hospital, Picture

SAME_REPORT: Final = timedelta(hours=3)
"""Two ways of sending one report may date it by sampling, receipt or release."""

_PARTS: Final = {
    Form.NOTE: Part.NOTES,
    Form.PRESCRIPTION: Part.PRESCRIPTIONS,
    Form.LAB: Part.LABS,
    Form.EXAM: Part.EXAMS,
    Form.IMAGING: Part.IMAGING,
}

ChartListener = Callable[[str, PatientRef, Sequence[Record]], None]
"""Is told of each chart that was had, at once and without waiting."""


@dataclass(slots=True)
class JoinedHospital:
    """Implements `ports.Hospital` and `ports.Stamps`."""

    asked: Hospital
    held: HeldRecords
    listener: ChartListener | None = None

    async def fetch_chart(self, hospital_id: str, patient: PatientRef) -> Chart:
        sent, asked = await asyncio.gather(self._sent(hospital_id, patient), self._asked(hospital_id, patient))
        if asked is None and not sent:
            raise RecordSourceUnavailable
        own = [each.record for each in sent if is_same_person(each.person, patient)]
        missing = [*(asked.missing if asked is not None else _nothing()), *_strangers(sent, patient)]
        records = joined(asked.records if asked is not None else (), own)
        if self.listener is not None and asked is not None:
            self.listener(hospital_id, patient, asked.records)
        return Chart(records, tuple(missing), is_known=bool(own) or asked is None or asked.is_known)

    async def fetch_pictures(
        self, hospital_id: str, patient: PatientRef, study: ImagingStudy, frames: Sequence[Frame]
    ) -> Sequence[Picture | None]:
        return await self.asked.fetch_pictures(hospital_id, patient, study, frames)

    async def stamp(self, hospital_id: str, patient: PatientRef) -> str:
        """Another text after each message that changed the chart."""
        return await self.held.stamp(hospital_id, identity_of(patient))

    async def _sent(self, hospital_id: str, patient: PatientRef) -> Sequence[HeldRecord]:
        return await self.held.list_of(hospital_id, identity_of(patient))

    async def _asked(self, hospital_id: str, patient: PatientRef) -> Chart | None:
        """None: it does not answer."""
        try:
            return await self.asked.fetch_chart(hospital_id, patient)
        except RecordSourceUnavailable:
            return None


def _nothing() -> Iterable[Missing]:
    return (Missing(part, MissingReason.UNAVAILABLE) for part in Part)


def _strangers(sent: Iterable[HeldRecord], patient: PatientRef) -> list[Missing]:
    """Records under this person's number that say somebody else: none is shown, each is counted."""
    counts: dict[Part, int] = {}
    for each in sent:
        if not is_same_person(each.person, patient):
            part = _PARTS[each.record.form]
            counts[part] = counts.get(part, 0) + 1
    return [Missing(part, MissingReason.IDENTITY_MISMATCH, count) for part, count in counts.items()]


def joined(asked: Sequence[Record], sent: Iterable[Record]) -> tuple[Record, ...]:
    """Both, newest first. What was sent and is among the asked ones is the asked one, marked with the graver of both marks."""
    records = list(asked)
    for record in sent:
        place = next((n for n, other in enumerate(records) if is_same_report(other, record)), None)
        if place is None:
            records.append(record)
        else:
            other = records[place]
            records[place] = replace(
                other, abnormal=other.abnormal or record.abnormal, critical=other.critical or record.critical
            )
    return newest_first(records)


def is_same_report(one: Record, other: Record) -> bool:
    """Whether these are one report: form, about the same time, and all that the second says stands in the first."""
    if one.form is not other.form or abs(one.occurred_at - other.occurred_at) > SAME_REPORT:
        return False
    said = _said(other)
    return bool(said) and said <= _said(one)


def _said(record: Record) -> frozenset[tuple[str, str]]:
    content = record.content
    match content:
        case LabReport():
            items = ((i.code.rpartition("|")[2] or i.name, i.value) for i in content.items)
            notes = [("", content.conclusion)] if content.conclusion else []
            return frozenset([*items, *notes])
        case ExamReport():
            return frozenset({("findings", content.findings), ("impression", content.impression)})
        case Note():
            return frozenset((s.title, "".join(s.text.split())) for s in content.sections)
        case _:
            return frozenset()
