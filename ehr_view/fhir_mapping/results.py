"""Observations: what was measured."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ehr_view.domain.records import Flag, LabItem, Range, flag_of
from ehr_view.fhir import Resource
from ehr_view.fhir_mapping.values import codes_of, decimal_text, dicts, is_dead, reference_id, text_of

_FLAGS: Final[Mapping[str, Flag]] = {
    "H": Flag.HIGH,
    "HU": Flag.HIGH,
    "HX": Flag.HIGH,
    ">": Flag.HIGH,
    "L": Flag.LOW,
    "LU": Flag.LOW,
    "LX": Flag.LOW,
    "<": Flag.LOW,
    "HH": Flag.CRITICAL_HIGH,
    "LL": Flag.CRITICAL_LOW,
    "A": Flag.ABNORMAL,
    "AA": Flag.CRITICAL,
    "POS": Flag.ABNORMAL,
    "N": Flag.NORMAL,
    "NEG": Flag.NORMAL,
}
TAKEN_BACK: Final = "（医院已撤回）"


def with_members(names: Iterable[str], observations: Mapping[str, Resource]) -> list[str]:
    """Those that are there, each followed by its members (a panel may stand for its results), once each. A panel that says
    nothing itself is left out."""
    found: dict[str, None] = {}
    waiting = list(names)[::-1]
    while waiting:
        name = waiting.pop()
        observation = observations.get(name)
        if observation is None or name in found:
            continue
        found[name] = None
        waiting += [reference_id(ref) for ref in dicts(observation.get("hasMember"))][::-1]
    return [name for name in found if not is_mere_panel(observations[name])]


def is_mere_panel(observation: Resource) -> bool:
    """Whether it only holds others together."""
    says = observation.get("component") or any(key.startswith("value") for key in observation)
    return bool(dicts(observation.get("hasMember"))) and not says and not is_dead(observation)


def items_of(observation: Resource) -> list[LabItem]:
    """An observation's result, and those of its components. Of one that was taken back, a line that says so."""
    name, code = text_of(observation.get("code")), _code(observation.get("code"))
    if is_dead(observation):
        return [LabItem(code=code, name=name, value=TAKEN_BACK, unit="", range=Range(), flag=Flag.NORMAL)]
    items = []
    if any(key.startswith("value") for key in observation) or not observation.get("component"):
        items.append(_item(name, code, observation))
    parts = dicts(observation.get("component"))
    return [*items, *(_item(text_of(part.get("code")) or name, _code(part.get("code")), part) for part in parts)]


def _code(concept: Any) -> str:
    """What joins a test over time: the LOINC code where there is one, else the hospital's own, else its name."""
    codings = dicts(concept.get("coding")) if isinstance(concept, dict) else []
    for coding in sorted(codings, key=lambda c: c.get("system") != "http://loinc.org"):
        if coding.get("code"):
            return f"{coding.get('system', '')}|{coding['code']}"
    return text_of(concept)


def _item(name: str, code: str, source: Resource) -> LabItem:
    value, unit, number = _value(source)
    reference = _range(source.get("referenceRange"))
    codes = codes_of(source.get("interpretation"))
    known = [_FLAGS[c] for c in codes if c in _FLAGS]
    flag = max(known, key=lambda f: (f.is_critical, f is not Flag.NORMAL)) if known else flag_of(number, reference)
    return LabItem(code=code, name=name, value=value, unit=unit, range=reference, flag=flag, number=number)


def _value(source: Resource) -> tuple[str, str, float | None]:
    """Words, unit, figure."""
    quantity = source.get("valueQuantity")
    if isinstance(quantity, dict):
        text = decimal_text(quantity.get("value"))
        unit = str(quantity.get("unit") or quantity.get("code") or "")
        comparator = {"<=": "≤", ">=": "≥"}.get(str(quantity.get("comparator", "")), str(quantity.get("comparator", "")))
        return comparator + text, unit, float(text) if text and not comparator else None
    for key in ("valueString", "valueDateTime", "valueTime"):
        if isinstance(source.get(key), str):
            return str(source[key]), "", None
    for key in ("valueInteger",):
        if isinstance(source.get(key), int):
            return str(source[key]), "", float(source[key])
    if isinstance(source.get("valueBoolean"), bool):
        return ("是" if source["valueBoolean"] else "否"), "", None
    if "valueCodeableConcept" in source:
        return text_of(source["valueCodeableConcept"]), "", None
    for key, between in (("valueRange", "–"), ("valueRatio", ":")):
        if isinstance(source.get(key), dict):
            ends = [source[key].get(end) for end in ("low", "high", "numerator", "denominator")]
            unit = next((str(end.get("unit") or "") for end in ends if isinstance(end, dict)), "")
            return between.join(decimal_text(end.get("value")) for end in ends if isinstance(end, dict)), unit, None
    return text_of(source.get("dataAbsentReason")) or "（无结果）", "", None


def _range(value: Any) -> Range:
    for reference in dicts(value):
        bounds = [reference.get(end) for end in ("low", "high")]
        low, high = (decimal_text(bound.get("value")) if isinstance(bound, dict) else "" for bound in bounds)
        words = str(reference.get("text") or "")
        if not words and (low or high):
            words = f"{low}–{high}" if low and high else f"≥{low}" if low else f"≤{high}"
        if words:
            return Range(float(low) if low else None, float(high) if high else None, words)
    return Range()
