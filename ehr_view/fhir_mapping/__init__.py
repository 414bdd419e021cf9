"""FHIR R4 resources to our model. Pure, and forgiving: what is not understood is kept as text or counted as unreadable."""

from ehr_view.fhir_mapping.imaging import (
    checked_uid,
    imaging_study,
)
from ehr_view.fhir_mapping.notes import (
    OtherPersonsDocument,
    attachment_text,
    note_of_composition,
    note_of_document,
    split_sections,
)
from ehr_view.fhir_mapping.prescriptions import (
    prescriptions,
)
from ehr_view.fhir_mapping.reports import (
    FINDINGS,
    exam_report,
    is_laboratory,
    lab_report,
)
from ehr_view.fhir_mapping.results import (
    TAKEN_BACK,
    is_mere_panel,
    items_of,
    with_members,
)
from ehr_view.fhir_mapping.values import (
    SHANGHAI,
    Mapped,
    codes_of,
    decimal_text,
    dicts,
    instant_of,
    is_dead,
    names_of,
    narrative_of,
    parse_instant,
    reference_id,
    strip_markup,
    text_of,
)

__all__ = [
    "FINDINGS",
    "SHANGHAI",
    "TAKEN_BACK",
    "Mapped",
    "OtherPersonsDocument",
    "attachment_text",
    "checked_uid",
    "codes_of",
    "decimal_text",
    "dicts",
    "exam_report",
    "imaging_study",
    "instant_of",
    "is_dead",
    "is_laboratory",
    "is_mere_panel",
    "items_of",
    "lab_report",
    "names_of",
    "narrative_of",
    "note_of_composition",
    "note_of_document",
    "parse_instant",
    "prescriptions",
    "reference_id",
    "split_sections",
    "strip_markup",
    "text_of",
    "with_members",
]
