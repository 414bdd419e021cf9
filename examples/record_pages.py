"""Pages of records as a doctor sees them: `python -m examples.record_pages FOLDER`, of simulated patients, drawn as in earnest.

Nothing here is of a person: the hospital is the simulated one. Instant and views are fixed: each time the same files.
"""

import argparse
import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from ehr_view.charts import PreparedChart, prepare
from ehr_view.domain.pagination import frames_of_page
from ehr_view.domain.records import Chart, Form, ImagingStudy, LabReport, Record, newest_first
from ehr_view.fhir_mapping import attachment_text
from ehr_view.hospital import PARTS, map_all
from ehr_view.service import age_words
from ehr_view.worker import Job, MarkHead, PictureHead, render
from simulators.hospital import fhir
from simulators.hospital.dicom import instance_metadata, uid
from simulators.hospital.findings import Finding, found_now
from simulators.hospital.history import History, history_on
from simulators.hospital.images import rendered
from simulators.hospital.people import Person, find_person

NOW: Final = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
_WOMAN: Final = "110105196602150023"
_MAN: Final = "440524198001010013"
_RENAL_FAILURE: Final = {
    "K": 6.84,
    "CREA": 386,
    "UREA": 24.3,
    "UA": 512,
    "CYSC": 3.41,
    "EGFR": 11,
    "NA": 128,
    "CO2": 15.6,
    "P": 2.18,
}
_DISCHARGE: Final = """<ClinicalDocument xmlns="urn:hl7-org:v3"><code code="C0034" displayName="出院记录"/>
<title>出院记录</title><effectiveTime value="20261118"/><component><structuredBody>
<component><section><title>入院情况</title><text><paragraph>患者因“反复胸闷、气促 3 天，加重 1 天”入院。入院时
T 37.8 ℃，P 104 次/分，R 24 次/分，BP 142/86 mmHg，SpO₂ 92 %（未吸氧）。双下肺可闻及湿啰音，双下肢轻度凹陷性水肿。</paragraph>
</text></section></component>
<component><section><title>诊疗经过</title><text><paragraph>入院后完善检查，予利尿、扩血管、控制感染等治疗，监测电解质及出入量。</paragraph>
<table><tr><th>项目</th><th>入院</th><th>第 3 日</th><th>出院</th></tr>
<tr><td>NT-proBNP（pg/mL）</td><td>5 820</td><td>2 140</td><td>768</td></tr>
<tr><td>血钾（mmol/L）</td><td>3.1</td><td>3.9</td><td>4.4</td></tr>
<tr><td>肌酐（μmol/L）</td><td>118</td><td>104</td><td>92</td></tr></table></text></section></component>
<component><section><title>出院诊断</title><text><list><item>慢性心力衰竭急性加重，NYHA Ⅲ 级</item><item>肺部感染</item>
<item>高血压 2 级，很高危</item></list></text></section></component>
<component><section><title>出院医嘱</title><text><list listType="ordered">
<item>低盐饮食，每日称体重，3 日内增加 2 kg 以上及时就诊。</item>
<item>沙库巴曲缬沙坦 50 mg，每日 2 次；螺内酯 20 mg，每日 1 次；呋塞米 20 mg，每日 1 次。</item>
<item>1 周后复查电解质、肾功能。</item></list></text></section></component>
</structuredBody></component></ClinicalDocument>"""


@dataclass(frozen=True, slots=True)
class Patient:
    name: str
    person: Person
    history: History
    chart: PreparedChart

    @property
    def subject(self) -> str:
        sex = "男" if self.person.male else "女"
        return f"{self.name}  {sex}  {age_words(self.person.birth_date, NOW.date())}"

    def of(self, form: Form) -> list[Record]:
        """Newest first."""
        return [record for record in self.chart.chart.records if record.form is form]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    folder: Path = arguments.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    woman, man = patient("唐玉兰", _WOMAN), patient("欧阳景行", _MAN)
    critical = next(r for r in woman.chart.chart.records if r.critical)
    long = max((r for r in woman.chart.chart.records if r.title == "住院检验汇总"), key=lambda r: r.occurred_at)
    discharge = next(r for r in woman.chart.chart.records if r.title == "出院记录")
    trend = max((r for r in woman.of(Form.LAB) if r is not long), key=lambda r: len(woman.chart.pages[r.id]))
    film = next(r for r in woman.of(Form.IMAGING) if isinstance(r.content, ImagingStudy) and r.content.modality == "CR")
    scan = max(man.of(Form.IMAGING), key=lambda r: len(man.chart.pages[r.id]))
    for name, whom, record, number, width, dark in (
        ("note", woman, woman.of(Form.NOTE)[1], 1, 1080, False),
        ("document", woman, discharge, 1, 1080, False),
        ("prescription", woman, woman.of(Form.PRESCRIPTION)[0], 1, 1080, False),
        ("prescription-wide", man, man.of(Form.PRESCRIPTION)[0], 1, 1600, False),
        ("lab-critical-light", woman, critical, 1, 1080, False),
        ("lab-critical-dark", woman, critical, 1, 1080, True),
        ("lab-long-1", woman, long, 1, 1080, False),
        ("lab-long-2", woman, long, 2, 1080, False),
        ("trends", woman, trend, 2, 1080, False),
        ("exam", woman, woman.of(Form.EXAM)[0], 1, 1080, False),
        ("film-dark", woman, film, 1, 1080, True),
        ("ct-wide", man, scan, 2 if len(man.chart.pages[scan.id]) > 1 else 1, 1600, False),
    ):
        (folder / f"{name}.jpg").write_bytes(page(whom, record, number, width=width, dark=dark))
        print(folder / f"{name}.jpg")


def patient(name: str, number: str) -> Patient:
    person = find_person(number)
    if person is None:
        raise LookupError(number)
    history = history_on(person, NOW)
    finding = Finding(number=number, values=_RENAL_FAILURE)
    found = found_now(history, finding, 1, NOW, None)
    resources = {kind: [*fhir.resources_of(history, kind), *found.get(kind, ())] for kind in PARTS}
    own = {kind: [_decoded(item) for item in items] for kind, items in resources.items()}
    records, _ = map_all("default", own, _texts(history, own["DocumentReference"]), frozenset({person.mrn}), has_reports=True)
    records += [_summary([record for record in records if not record.critical]), _discharge()]
    return Patient(name, person, history, prepare(Chart(newest_first(records))))


def _decoded(resource: fhir.Resource) -> dict[str, Any]:
    """As it comes over the wire."""
    found: dict[str, Any] = msgspec.json.decode(fhir.encode(resource))
    return found


def _texts(history: History, documents: Sequence[dict[str, Any]]) -> dict[str, str]:
    binaries = {each["id"]: each["data"] for each in fhir.resources_of(history, "Binary")}
    texts = {}
    for document in documents:
        attachment = document["content"][0]["attachment"]
        data = attachment.get("data") or binaries[attachment["url"].rpartition("/")[2]]
        texts[document["id"]] = attachment_text(attachment["contentType"], data)
    return texts


def _summary(records: Sequence[Record]) -> Record:
    """The newest result of every test in one table, as a stay's report has them."""
    labs = sorted((r for r in records if isinstance(r.content, LabReport)), key=lambda r: r.occurred_at)
    newest = {item.code: item for r in labs if isinstance(r.content, LabReport) for item in r.content.items}
    content = LabReport(tuple(newest.values()), "血清、全血、尿")
    return replace(labs[-2], id="summary", title="住院检验汇总", content=content, abnormal=True)


def _discharge() -> Record:
    from ehr_view.fhir_mapping import note_of_document

    text = attachment_text("text/xml", base64.b64encode(_DISCHARGE.encode()).decode())
    reference = {"resourceType": "DocumentReference", "id": "d", "description": "出院记录", "date": "2026-11-18T10:00:00+08:00"}
    more = {"author": [{"display": "沈静宜"}], "context": {"practiceSetting": {"text": "心血管内科"}}}
    record = note_of_document("default", {"d": text})(reference | more)
    if record is None:
        raise LookupError("d")
    return record


def page(whom: Patient, record: Record, number: int, *, width: int, dark: bool) -> bytes:
    mark = MarkHead("王慧敏", "1007", "5678", NOW, "20261122-7KQ2M4XA", 0x5EED0000 + number)
    pictures, heads = _pictures(whom, record, number)
    sheet = whom.chart.pages[record.id][number - 1]
    job = Job(sheet, whom.subject, mark, width, dark, "image/jpeg", tuple(heads))
    return render(job, list(pictures), b"documentation pages, no secret..")[0]


def _pictures(whom: Patient, record: Record, number: int) -> tuple[list[bytes], list[PictureHead]]:
    content = record.content
    if not isinstance(content, ImagingStudy):
        return [], []
    study = next(each for each in whom.history.studies if uid(each.id) == content.study_uid)
    numbers = [index + 1 for index in frames_of_page(content, number)]
    pictures = [rendered(study.id, study.modality, study.look, each, study.frames, None) for each in numbers]
    facts = instance_metadata(study.id, study.modality, 1, whom.person.mrn)
    spacing = next((facts[tag]["Value"][1] for tag in ("00280030", "00181164") if tag in facts), None)
    return pictures, [PictureHead(len(each), spacing, facts["00280011"]["Value"][0]) for each in pictures]


if __name__ == "__main__":
    main()
