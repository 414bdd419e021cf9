"""DiagnosticReports with their Observations: laboratory and exams."""

from collections.abc import Callable, Mapping
from typing import Final

from ehr_view.domain.records import ExamReport, Form, LabItem, LabReport, Record, is_abnormal, is_critical, record_id
from ehr_view.fhir import Resource
from ehr_view.fhir_mapping.results import items_of, with_members
from ehr_view.fhir_mapping.values import codes_of, dicts, instant_of, is_dead, names_of, narrative_of, reference_id, text_of

FINDINGS: Final = frozenset({"59776-5", "18782-3", "19005-8"})
_LAB: Final = frozenset(
    "LAB laboratory HM CH MB BLB SR CG CTH GE IMM URN TX VR MYC PAR".split()  # noqa: SIM905 - one table, read as words
)


def is_laboratory(report: Resource) -> bool:
    return bool(codes_of(report.get("category")) & _LAB)


def lab_report(hospital_id: str, observations: Mapping[str, Resource]) -> Callable[[Resource], Record | None]:
    """`observations` by id. Results that the report names and that are not there are counted in it."""

    def mapping(report: Resource) -> Record | None:
        if is_dead(report):
            return None
        items: list[LabItem] = []
        names = [reference_id(ref) for ref in dicts(report.get("result"))]
        for name in with_members(names, observations):
            items += items_of(observations[name])
        left_out = sum(name not in observations for name in names)
        if names and left_out == len(names) and not report.get("conclusion"):
            raise ValueError("none of the results is there")
        return Record(
            id=record_id(hospital_id, "DiagnosticReport", str(report["id"])),
            form=Form.LAB,
            title=text_of(report.get("code")) or "检验报告",
            occurred_at=instant_of(report, "effectiveDateTime", "effectivePeriod", "issued"),
            content=LabReport(tuple(items), names_of(report.get("specimen")), str(report.get("conclusion") or ""), left_out),
            department=names_of(report.get("performer")),
            author=names_of(report.get("resultsInterpreter")),
            abnormal=is_abnormal(items),
            critical=is_critical(items),
        )

    return mapping


def exam_report(hospital_id: str, observations: Mapping[str, Resource]) -> Callable[[Resource], Record | None]:
    def mapping(report: Resource) -> Record | None:
        if is_dead(report):
            return None
        findings, sites = [], []
        for reference in dicts(report.get("result")):
            found = observations.get(reference_id(reference))
            if found is None:
                findings.append("（一项检查所见未能从医院取得）")
                continue
            sites.append(text_of(found.get("bodySite")))
            for item in items_of(found):
                words = f"{item.value} {item.unit}".strip()
                findings.append(words if codes_of([found.get("code")]) & FINDINGS else f"{item.name}：{words}")
        if not findings and (words := narrative_of(report.get("text"))):
            findings.append(words)
        sections = codes_of(report.get("category"))
        return Record(
            id=record_id(hospital_id, "DiagnosticReport", str(report["id"])),
            form=Form.EXAM,
            title=text_of(report.get("code")) or "检查报告",
            occurred_at=instant_of(report, "effectiveDateTime", "effectivePeriod", "issued"),
            content=ExamReport(
                findings="\n".join(findings),
                impression=str(report.get("conclusion") or ""),
                modality="、".join(sorted(sections)),
                body_site=next((site for site in sites if site), ""),
            ),
            department=names_of(report.get("performer")),
            author=names_of(report.get("resultsInterpreter")),
            abnormal=bool(codes_of(report.get("conclusionCode")) & {"A", "AA", "H", "L", "HH", "LL"}),
        )

    return mapping
