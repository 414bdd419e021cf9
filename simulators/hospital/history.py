"""A person's history at this hospital: visits, and what was written, ordered, found and pictured at each.

Everything stands at fixed instants that depend on the person alone; as time goes on the history only grows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from simulators.hospital.catalogue import PANELS, TESTS, Panel
from simulators.hospital.illnesses import BY_LIFE, EXAMS, ILLNESSES, Drug, Exam, Illness
from simulators.hospital.people import Person
from simulators.hospital.results import Health, Result, results_of

_FIRST_ONSET: Final = datetime(2024, 6, 3, tzinfo=UTC)
_FOLLOW_UPS: Final = (14, 42, 84)
_INTERVAL_DAYS: Final = 82
_MOST_VISITS: Final = 60
_CHILD_YEARS: Final = 14
_OLDER_YEARS: Final = 45
_DOCTORS: Final = {
    "内分泌科": ("沈静宜", "顾怀瑾"),
    "肾内科": ("陆明哲", "邵雨桐"),
    "风湿免疫科": ("秦望舒",),
    "感染科": ("韦若曦", "骆嘉树"),
    "血液内科": ("钟毓秀",),
    "儿科": ("温以宁", "柏颜"),
    "呼吸内科": ("龚知远", "祁墨"),
    "体检中心": ("尹素心",),
}
_REPORTERS: Final = ("喻清和", "闵之行", "㛃予安", "汤镕")
"""Those who sign exams; one has a rare name, as people do."""


@dataclass(frozen=True, slots=True)
class Report:
    """A laboratory report."""

    id: str
    panel: Panel
    at: datetime
    results: tuple[Result, ...]
    department: str
    author: str


@dataclass(frozen=True, slots=True)
class Examination:
    id: str
    exam: Exam
    at: datetime
    department: str
    author: str
    study_id: str | None = None


@dataclass(frozen=True, slots=True)
class Study:
    """An imaging study; `look` says what its pictures show."""

    id: str
    at: datetime
    modality: str
    description: str
    site: str
    look: str
    frames: int


@dataclass(frozen=True, slots=True)
class Visit:
    """One encounter and its note. `kind` is AMB or IMP."""

    id: str
    at: datetime
    kind: str
    department: str
    doctor: str
    title: str
    sections: tuple[tuple[str, str], ...]
    drugs: tuple[Drug, ...]
    diagnoses: tuple[tuple[str, str], ...]
    is_document: bool
    """Its note is a document of several sections (a FHIR Composition), not one text."""


@dataclass(frozen=True, slots=True)
class History:
    person: Person
    illness: Illness
    onset: datetime
    visits: tuple[Visit, ...]
    reports: tuple[Report, ...]
    examinations: tuple[Examination, ...]
    studies: tuple[Study, ...]


@lru_cache(maxsize=256)
def history_on(person: Person, day: datetime) -> History:
    """The history as of an instant. Callers pass the start of an hour, so that it is made once an hour."""
    return _Writer(person).write(day)


class _Writer:
    def __init__(self, person: Person) -> None:
        self._person = person
        chance = person.random("life", 373)
        onset = _FIRST_ONSET + timedelta(days=chance.randrange(150))
        born = datetime(person.birth_date.year, person.birth_date.month, person.birth_date.day, tzinfo=UTC)
        onset = max(onset, born + timedelta(days=200))
        self._onset = _working(onset, chance.randrange(8 * 60, 11 * 60))
        self._illness = ILLNESSES[chance.choice(BY_LIFE[self._life()])]
        self._is_child = person.age_at(self._onset) < _CHILD_YEARS
        flare = self._onset + timedelta(days=chance.randrange(190, 420))
        self._flare_at = _working(flare, chance.randrange(9 * 60, 20 * 60))
        self._health = Health(person, self._illness, self._onset, self._flare_at)
        self._department = "儿科" if self._is_child else self._illness.department
        self._doctor = chance.choice(_DOCTORS[self._department])
        self._reporter = chance.choice(_REPORTERS)
        self._visits: list[Visit] = []
        self._reports: list[Report] = []
        self._examinations: list[Examination] = []
        self._studies: list[Study] = []

    def _life(self) -> str:
        age = self._person.age_at(self._onset)
        if age < _CHILD_YEARS:
            return "child"
        if age >= _OLDER_YEARS:
            return "older"
        return "young_man" if self._person.male else "young_woman"

    def write(self, now: datetime) -> History:
        if not self._is_child:
            self._check_up(self._onset - timedelta(days=self._person.random("check-up").randrange(120, 230)))
        for number, at in enumerate(self._follow_up_times(now)):
            self._visit(number, at)
        if self._flare_at <= now:
            self._infection(self._flare_at)
        return History(
            person=self._person,
            illness=self._illness,
            onset=self._onset,
            visits=tuple(v for v in self._visits if v.at <= now),
            reports=tuple(r for r in self._reports if r.at <= now),
            examinations=tuple(e for e in self._examinations if e.at <= now),
            studies=tuple(s for s in self._studies if s.at <= now),
        )

    def _follow_up_times(self, now: datetime) -> list[datetime]:
        chance = self._person.random("visits")
        times = [self._onset]
        while len(times) < _MOST_VISITS:
            number = len(times)
            days = _FOLLOW_UPS[number - 1] if number <= len(_FOLLOW_UPS) else _FOLLOW_UPS[-1] + (number - 3) * _INTERVAL_DAYS
            at = _working(self._onset + timedelta(days=days + chance.randrange(-4, 5)), chance.randrange(8 * 60, 11 * 60))
            if at > now:
                break
            times.append(at)
        return times

    def _check_up(self, at: datetime) -> None:
        at = _working(at, self._person.random("check-up", "time").randrange(8 * 60, 9 * 60 + 40))
        doctor = _DOCTORS["体检中心"][0]
        for panel in ("cbc", "biochemistry", "urine"):
            self._report(panel, at, "体检中心", doctor)
        self._chest("chest_normal", at, "normal")
        sections = (
            ("体检类别", "年度健康体检"),
            ("一般检查", "身高、体重、血压已测，体格检查未见明显异常。"),
            ("体检结论", "本次所检项目大致正常，个别指标见检验报告。建议规律作息，每年体检一次。"),
        )
        self._visits.append(
            Visit(
                self._id("visit", at),
                at,
                "AMB",
                "体检中心",
                doctor,
                "健康体检报告",
                sections,
                (),
                (("Z00.001", "健康查体"),),
                False,
            )
        )

    def _visit(self, number: int, at: datetime) -> None:
        illness = self._illness
        panels = [*illness.panels]
        if number == 0 or number % 2 == 0 or {"HGB", "WBC"} & illness.courses.keys():
            panels.insert(0, "cbc")
        if number % 3 == 0:
            panels = [p for p in panels if p not in ("kidney", "liver", "lipids")]
            panels.insert(1, "biochemistry")
        if number % 2 == 0:
            panels.append("urine")
        found: dict[str, Result] = {}
        for panel in panels:
            for result in self._report(panel, at, self._department, self._doctor):
                found[result.key] = result
        if number % 4 == 0:
            for name in illness.exams if number == 0 else illness.exams[:1]:
                self._examine(name, at + timedelta(minutes=50))
        if number == 0 and self._is_child:
            self._chest("chest_normal", at, "normal")
        self._visits.append(
            Visit(
                id=self._id("visit", at),
                at=at,
                kind="AMB",
                department=self._department,
                doctor=self._doctor,
                title="门诊病历（初诊）" if number == 0 else "门诊病历（复诊）",
                sections=self._sections(number, found),
                drugs=illness.drugs if number < 2 or len(illness.drugs) < 3 else illness.drugs[: 3 + number % 2],
                diagnoses=((illness.icd10, illness.name), *illness.also),
                is_document=number == 0,
            )
        )

    def _sections(self, number: int, found: dict[str, Result]) -> tuple[tuple[str, str], ...]:
        illness = self._illness
        abnormal = [r for r in found.values() if r.flag and not isinstance(r.value, str)][:8]
        lab = "；".join(f"{TESTS[r.key].name} {_shown(r)}" for r in abnormal) or "本次检验结果大致正常"
        diagnosis = "\n".join(
            f"{n}. {name}" for n, (_, name) in enumerate(((illness.icd10, illness.name), *illness.also), start=1)
        )
        if number == 0:
            return (
                ("主诉", illness.complaint + "。"),
                ("现病史", illness.history),
                ("既往史", "否认结核等传染病史，否认手术、外伤、输血史。否认药物及食物过敏史。预防接种史随社会。"),
                ("体格检查", illness.examination),
                ("辅助检查", lab + "。"),
                ("初步诊断", diagnosis),
                ("处理意见", illness.advice),
            )
        story = illness.followup[min(number - 1, len(illness.followup) - 1)]
        return (
            ("主诉", f"{illness.name}治疗后复诊。"),
            ("现病史", story),
            ("辅助检查", lab + "。"),
            ("诊断", diagnosis),
            ("处理意见", illness.advice),
        )

    def _infection(self, at: datetime) -> None:
        """Pneumonia: admitted, pictured, treated, better."""
        department = "儿科" if self._is_child else "呼吸内科"
        doctor = _DOCTORS[department][0]
        for days, panels in ((0, ("cbc", "infection", "clotting")), (3, ("cbc", "infection")), (8, ("cbc", "infection"))):
            for panel in panels:
                self._report(panel, at + timedelta(days=days), department, doctor)
        self._chest("chest_pneumonia", at + timedelta(minutes=70), "pneumonia")
        if not self._is_child:
            ct_at = at + timedelta(minutes=150)
            study = Study(self._id("study", ct_at), ct_at, "CT", "胸部CT平扫", "胸部", "ct_pneumonia", 24)
            self._studies.append(study)
            self._examine("ct_pneumonia", ct_at + timedelta(minutes=40), study.id)
        sections = (
            ("主诉", "发热、咳嗽、咳黄痰3天。"),
            (
                "现病史",
                "患者3天前受凉后出现发热，体温最高39.2 ℃，伴畏寒、咳嗽，咳黄色黏痰，右侧胸部隐痛，"
                "深呼吸时加重，无咯血、呼吸困难。"
                "自服退热药后体温反复，遂来院。门诊查血常规示白细胞及中性粒细胞升高，胸片示右肺下叶炎症，收入院。",
            ),
            ("既往史", f"{self._illness.name}病史，规律治疗中。否认药物过敏史。"),
            (
                "体格检查",
                "T 38.9 ℃，P 104次/分，R 22次/分，BP 126/78 mmHg，SpO₂ 95%（未吸氧）。"
                "右下肺叩诊稍浊，可闻及湿啰音，未闻及胸膜摩擦音。",
            ),
            (
                "诊疗经过",
                "入院后予头孢曲松联合阿奇霉素抗感染、化痰及补液等治疗，3天后体温正常，咳嗽减轻，复查炎症指标明显下降。",
            ),
            ("出院诊断", f"1. 社区获得性肺炎（右肺下叶，非重症）\n2. {self._illness.name}"),
            (
                "出院医嘱",
                "1. 继续口服抗菌药物3天，注意休息、多饮水；\n2. 2～4周后复查胸部影像；\n3. 原有疾病继续原治疗，专科随诊。",
            ),
        )
        drugs = (
            Drug("盐酸莫西沙星片 0.4 g×3片", "0.4 g", "口服，每日1次", "1盒"),
            Drug("盐酸氨溴索口服溶液 100 mL:0.6 g", "10 mL", "口服，每日3次", "1瓶"),
        )
        if self._is_child:
            drugs = (
                Drug("头孢地尼分散片 50 mg×12片", "50 mg", "口服，每日3次", "1盒"),
                Drug("小儿氨溴索口服溶液 60 mL", "5 mL", "口服，每日3次", "1瓶"),
            )
        self._visits.append(
            Visit(
                id=self._id("visit", at),
                at=at + timedelta(days=8, hours=3),
                kind="IMP",
                department=department,
                doctor=doctor,
                title="出院记录",
                sections=sections,
                drugs=drugs,
                diagnoses=(("J15.902", "社区获得性肺炎"), (self._illness.icd10, self._illness.name)),
                is_document=True,
            )
        )

    def _report(self, key: str, at: datetime, department: str, author: str) -> tuple[Result, ...]:
        panel = PANELS[key]
        minutes = self._person.random("laboratory", key, at.isoformat()).randrange(35, 150)
        results = tuple(results_of(self._health, panel, at))
        reported = at + timedelta(minutes=minutes)
        self._reports.append(Report(self._id("report", at, key), panel, reported, results, department, author))
        return results

    def _examine(self, name: str, at: datetime, study_id: str | None = None) -> None:
        exam = EXAMS[name]
        department = {"US": "超声医学科", "ECG": "心电图室", "PF": "肺功能室"}.get(exam.modality, "放射科")
        self._examinations.append(Examination(self._id("exam", at, name), exam, at, department, self._reporter, study_id))

    def _chest(self, name: str, at: datetime, look: str) -> None:
        taken = at + timedelta(minutes=25)
        study = Study(self._id("study", taken), taken, "CR", "胸部正位", "胸部", look, 1)
        self._studies.append(study)
        self._examine(name, taken + timedelta(minutes=35), study.id)

    def _id(self, kind: str, at: datetime, *more: str) -> str:
        return f"{kind}-{self._person.random('id', kind, at.isoformat(), *more).getrandbits(64):016x}"


def _working(at: datetime, minutes: int) -> datetime:
    """That day (or the Monday after, at a weekend) at so many minutes past midnight in China."""
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    day += timedelta(days=max(0, 7 - day.weekday()) if day.weekday() >= 5 else 0)
    return day + timedelta(minutes=minutes - 8 * 60)


def _shown(result: Result) -> str:
    test = TESTS[result.key]
    unit = test.unit.replace("10*", "10^").replace("umol", "μmol").replace("[IU]", "IU")
    unit = "" if unit.startswith(("{", "1", "[")) and "10" not in unit else unit.replace("{1.73_m2}", "1.73m²")
    arrow = {"H": "↑", "L": "↓", "HH": "↑↑", "LL": "↓↓"}.get(result.flag, "")
    return f"{result.value:.{test.digits}f}{' ' + unit if unit else ''}{arrow}"
