"""Parsers over what others publish, whole and damaged: read or refused, and nothing else. DICOM is in `test_ehr_dicom`."""

import base64
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ehr_view.cda import read_cda
from ehr_view.charts import prepare
from ehr_view.domain.records import Chart, Form, LabReport, Record
from ehr_view.fhir_mapping import attachment_text
from ehr_view.hl7.mapping import arrivals_of
from ehr_view.hl7.message import Hl7Refused, parse
from ehr_view.hospital import PARTS, map_all
from ehr_view.safe_xml import XmlRefused
from tests.support.samples import cda_documents, damaged, fhir_resources, hl7_messages, misshapen

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
NO_CDA = {
    *("parser-ncpdp/newrx.xml", "sense/newrx.xml", "unit/telecom.xml", "example/CCD_Vitals.xml"),
    *("sense/broken.xml", "sense/empty.xml", "sense/empty_no_declaration.xml"),
}
SLOWLY = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


def _paged(records: list[Record]) -> int:
    """How many pages they make; each page has something on it."""
    prepared = prepare(Chart(tuple(records)))
    assert all(prepared.pages[record.id] for record in records)
    return sum(map(len, prepared.pages.values()))


# FHIR


def _mapped(resources: list[dict[str, Any]]) -> tuple[list[Record], int]:
    """Records, and how many resources were not understood."""
    own = {kind: [r for r in resources if r.get("resourceType") == kind] for kind in PARTS}
    texts = {str(r.get("id")): _text(r) for r in own["DocumentReference"]}
    records, missing = map_all("default", own, texts, frozenset(), has_reports=True)
    return records, sum(each.count for each in missing)


def _text(document: dict[str, Any]) -> str:
    try:
        attachment = document["content"][0]["attachment"]
        return attachment_text(str(attachment.get("contentType")), str(attachment.get("data", "")))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return ""


def test_two_lifetimes_of_r4_become_records_and_pages() -> None:
    resources = list(fhir_resources())
    records, unread = _mapped(resources)
    forms = {form: sum(record.form is form for record in records) for form in Form}
    assert (len(resources), unread) == (461, 0)
    assert forms == {Form.NOTE: 0, Form.PRESCRIPTION: 8, Form.LAB: 2, Form.EXAM: 0, Form.IMAGING: 1}
    assert {len(record.content.items) for record in records if isinstance(record.content, LabReport)} == {11}
    assert _paged(records) == 11


@pytest.mark.parametrize("version", ["stu3", "dstu2"])
def test_resources_of_other_versions_are_read_as_far_as_they_go(version: str) -> None:
    records, _ = _mapped(list(fhir_resources(version)))
    assert _paged(records) > 0


READ = [r for r in fhir_resources() if r["resourceType"] in PARTS]


@SLOWLY
@given(misshapen(READ))
def test_a_misshapen_resource_is_read_or_counted(resource: dict[str, Any]) -> None:
    records, _ = _mapped([resource])
    _paged(records)


# CDA


@pytest.mark.parametrize("name", sorted(cda_documents().keys() - NO_CDA))
def test_a_document_of_another_country_is_text_and_nothing_in_it_is_lost(name: str) -> None:
    raw = cda_documents()[name]
    document = read_cda(raw)
    if b"<ClinicalDocument" not in raw:
        return
    shown = re.sub(r"\s+", "", document.text)
    for title in re.findall(r"<section[^>]*>.*?<title>([^<&]+)</title>", raw.decode(), re.S):
        assert re.sub(r"\s+", "", title) in shown


@pytest.mark.parametrize("name", sorted(NO_CDA))
def test_a_document_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(XmlRefused):
        read_cda(cda_documents()[name])


@SLOWLY
@given(damaged([each for each in cda_documents().values() if len(each) < 130_000]))
def test_a_damaged_document_is_read_or_refused(raw: bytes) -> None:
    try:
        attachment_text("text/xml", base64.b64encode(raw).decode())
    except ValueError:
        return


# HL7 v2


def _arrived(data: bytes) -> list[Record] | None:
    """None: refused, with a reason that says nothing of the message."""
    try:
        arrivals = arrivals_of(parse(data), "default", NOW)
    except Hl7Refused as refused:
        if not re.fullmatch(r"[a-z]+\.[a-z_]+", refused.code):
            raise
        return None
    return [arrived.record for arrival in arrivals for arrived in arrival.records]


def test_messages_of_other_parsers_are_read_or_refused() -> None:
    arrived = [records for each in hl7_messages() if (records := _arrived(each)) is not None]
    assert (len(hl7_messages()), len(arrived)) == (22, 4)  # three ADT and one ORU; DFT, SIU and ACK are not for us
    culture, other = [record for records in arrived for record in records]
    assert (culture.title, culture.form) == ("UPPER RESPIRATORY CULTURE", Form.LAB)
    assert isinstance(other.content, LabReport)
    assert "BETA LACTAMASE POSITIVE" in other.content.conclusion
    assert _paged([culture, other]) == 2


@SLOWLY
@given(damaged(list(hl7_messages())))
def test_a_damaged_message_is_read_or_refused(data: bytes) -> None:
    try:
        message = parse(data)
        arrivals_of(message, "default", NOW)
    except Hl7Refused:
        return
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise AssertionError("the intake would have to call it unreadable") from error
