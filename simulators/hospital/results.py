"""What the laboratory finds: figures that follow a person's health and illness over time, and that agree with one another
(haemoglobin with red cells, fractions with counts, calculated ones with what they are calculated from)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from simulators.hospital.catalogue import TESTS, WORDS, Panel
from simulators.hospital.illnesses import Illness
from simulators.hospital.people import Person

_CHILD_YEARS: Final = 14
_CHILD: Final = {
    "HGB": (110, 160),
    "RBC": (4.0, 5.5),
    "MCV": (77, 92),
    "HCT": (0.34, 0.43),
    "ALP": (143, 406),
    "CREA": (18, 62),
    "FER": (12, 140),
    "UA": (120, 330),
    "LYMP": (23, 53),
}
_FLARE: Final = {
    "WBC": 1.45,
    "NEUTP": 0.48,
    "HSCRP": 78.0,
    "PCT": 38.0,
    "IL6": 24.0,
    "ESR": 6.2,
    "DD": 4.1,
    "FIB": 0.7,
    "PLT": 0.25,
}
"""How far an acute infection lifts a result at its height: as a share of the healthy value, on top of it."""
_FLARE_DAYS: Final = 4.0
_MONTH_DAYS: Final = 30.4
_STEADY: Final = frozenset({"HBSAG", "HBVDNA"})


@dataclass(frozen=True, slots=True)
class Health:
    """A person's health over time: one illness since `onset`, and an infection of a few days from `flare_at` on."""

    person: Person
    illness: Illness
    onset: datetime
    flare_at: datetime | None


@dataclass(frozen=True, slots=True)
class Result:
    """`value` is a figure with the catalogue's digits, or words. `flag`: H, L, HH, LL, A or nothing."""

    key: str
    value: float | str
    flag: str


def limits(person: Person, key: str, at: datetime) -> tuple[float | None, float | None]:
    """The reference range that is printed for this person."""
    if person.age_at(at) < _CHILD_YEARS and key in _CHILD:
        return _CHILD[key]
    return TESTS[key].range_for(male=person.male)


def results_of(health: Health, panel: Panel, at: datetime) -> list[Result]:
    """All results of a panel from one drawing of blood; the same again for the same instant."""
    figures: dict[str, float] = {}
    out: list[Result] = []
    for key in panel.tests:
        if key in WORDS:
            value = _word(health, key, at)
            out.append(Result(key, value, "" if value == WORDS[key].usual else "A"))
        else:
            test = TESTS[key]
            figure = round(_figure(health, key, at, figures), test.digits)
            out.append(Result(key, figure, flag_of(health.person, key, figure, at)))
    return out


def flag_of(person: Person, key: str, figure: float, at: datetime) -> str:
    test = TESTS[key]
    low, high = limits(person, key, at)
    if test.panic_high is not None and figure >= test.panic_high:
        return "HH"
    if test.panic_low is not None and figure <= test.panic_low:
        return "LL"
    if high is not None and figure > high:
        return "H"
    if low is not None and figure < low:
        return "L"
    return ""


def _word(health: Health, key: str, at: datetime) -> str:
    days = (at - health.onset).total_seconds() / 86_400
    if key in health.illness.words and 0 <= days < (10_000 if key.startswith("HB") else 60):
        return health.illness.words[key]
    return WORDS[key].usual


def _figure(health: Health, key: str, at: datetime, known: dict[str, float]) -> float:
    """The figure of one test; `known` holds those that were found already at this instant."""
    if key not in known:
        known[key] = 0.0  # a formula that came back to itself would be a mistake here: it must not run for ever
        formula = _FORMULAS.get(key)
        value = (
            _measured(health, key, at)
            if formula is None
            else formula(lambda other: _figure(health, other, at, known), health, at)
        )
        known[key] = round(max(value, 0.0), TESTS[key].digits + 1)
    return known[key]


def _measured(health: Health, key: str, at: datetime) -> float:
    test, person = TESTS[key], health.person
    low, high = limits(person, key, at)
    healthy = test.healthy(male=person.male)
    if (low, high) != test.range_for(male=person.male) and low is not None and high is not None:
        healthy = low + (high - low) * 0.48
    own = healthy * (1 + person.random("own", key).uniform(-0.5, 0.5) * test.spread)
    scatter = person.random("scatter", key, at.isoformat()).gauss(0, 1)
    months = (at - health.onset).total_seconds() / 86_400 / _MONTH_DAYS
    course = health.illness.courses.get(key)
    if course is not None and months >= 0:
        share = math.exp(-months / course.months)
        scale = 1 + person.random("severity", key).uniform(-0.04, 0.04)
        if course.onset > 100 * max(course.settled, 1):  # a viral load falls by powers of ten
            value = course.settled * math.pow(course.onset / course.settled, share) * scale
        else:
            value = (course.settled + (course.onset - course.settled) * share) * scale
        noise = 0.0 if key in _STEADY else min(test.spread, 0.06) * 0.5
        return value * (1 + _clip(scatter) * noise * (1 - share * 0.8))
    value = own * (1 + _clip(scatter) * test.spread * 0.4)
    return value + healthy * _FLARE.get(key, 0.0) * _flare(health, at)


def _clip(scatter: float) -> float:
    return max(-2.0, min(2.0, scatter))


def _flare(health: Health, at: datetime) -> float:
    if health.flare_at is None or at < health.flare_at:
        return 0.0
    return math.exp(-(at - health.flare_at).total_seconds() / 86_400 / _FLARE_DAYS)


def _egfr(health: Health, at: datetime, creatinine: float) -> float:
    """CKD-EPI 2009 in μmol/L, without the term for ethnicity; the bedside formula of Schwartz for children."""
    age = max(1, health.person.age_at(at))
    if age < _CHILD_YEARS:
        return 36.5 * (75 + 6 * age) / max(creatinine, 10)
    kappa, alpha, sex = (79.6, -0.411, 1.0) if health.person.male else (61.9, -0.329, 1.018)
    ratio = max(creatinine, 1.0) / kappa
    return 141.0 * math.pow(min(ratio, 1.0), alpha) * math.pow(max(ratio, 1.0), -1.209) * math.pow(0.993, age) * sex


_FORMULAS: Final[Mapping[str, Callable[[Callable[[str], float], Health, datetime], float]]] = {
    "LYMP": lambda of, h, at: max(5.0, 96.0 - of("NEUTP") - of("MONOP") - of("EOSP") - of("BASOP") + 4.0),
    "NEUT": lambda of, h, at: of("WBC") * of("NEUTP") / 100,
    "LYM": lambda of, h, at: of("WBC") * of("LYMP") / 100,
    "MONO": lambda of, h, at: of("WBC") * of("MONOP") / 100,
    "EOS": lambda of, h, at: of("WBC") * of("EOSP") / 100,
    "BASO": lambda of, h, at: of("WBC") * of("BASOP") / 100,
    "MCH": lambda of, h, at: of("MCV") * of("MCHC") / 1000,
    "RBC": lambda of, h, at: of("HGB") / max(of("MCH"), 1.0),
    "HCT": lambda of, h, at: of("RBC") * of("MCV") / 1000,
    "PCTB": lambda of, h, at: of("PLT") * of("MPV") / 10_000,
    "IBIL": lambda of, h, at: of("TBIL") - of("DBIL"),
    "GLB": lambda of, h, at: of("TP") - of("ALB"),
    "AG": lambda of, h, at: of("ALB") / max(of("GLB"), 1.0),
    "ASTALT": lambda of, h, at: of("AST") / max(of("ALT"), 1.0),
    "LDL": lambda of, h, at: max(0.8, of("TC") - of("HDL") - min(of("TG"), 4.0) / 2.2),
    "EGFR": lambda of, h, at: _egfr(h, at, of("CREA")),
    "ACR": lambda of, h, at: of("MALB") / max(of("UCREA"), 0.5) / 0.1131,
    "TSAT": lambda of, h, at: 100 * of("FE") / max(of("TIBC"), 1.0),
    "INR": lambda of, h, at: (of("PT") / 11.6) ** 1.05,
}
