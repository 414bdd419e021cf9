"""MedicationRequests, grouped as they were prescribed."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ehr_view.domain.records import Form, PrescribedDrug, Prescription, Record, record_id
from ehr_view.fhir import Resource
from ehr_view.fhir_mapping.values import Mapped, decimal_text, dicts, instant_of, is_dead, text_of


def prescriptions(hospital_id: str, resources: Sequence[Resource]) -> Mapped:
    """Orders of drugs, grouped as they were prescribed."""
    groups: dict[str, list[Resource]] = defaultdict(list)
    mapped = Mapped()
    for resource in resources:
        if is_dead(resource):
            continue
        try:
            groups[_group_of(resource)].append(resource)
        except (KeyError, TypeError, ValueError):
            mapped.unreadable += 1
    for key, group in groups.items():
        mapped.add({"key": key, "group": group}, lambda found: _prescription(hospital_id, found["key"], found["group"]))
    return mapped


def _group_of(resource: Resource) -> str:
    group, encounter = resource.get("groupIdentifier"), resource.get("encounter")
    if isinstance(group, dict) and group.get("value"):
        return f"group/{group['value']}"
    if isinstance(encounter, dict) and encounter.get("reference"):
        return f"encounter/{encounter['reference']}"
    return f"single/{resource['id']}"


def _prescription(hospital_id: str, key: str, group: Sequence[Resource]) -> Record:
    first = group[0]
    reasons = dict.fromkeys(text_of(reason) for resource in group for reason in dicts(resource.get("reasonCode")))
    dispense = first.get("dispenseRequest") if isinstance(first.get("dispenseRequest"), dict) else {}
    return Record(
        id=record_id(hospital_id, "MedicationRequest", key),
        form=Form.PRESCRIPTION,
        title="处方笺",
        occurred_at=min(instant_of(resource, "authoredOn") for resource in group),
        content=Prescription(tuple(map(_drug, group)), "；".join(reason for reason in reasons if reason)),
        department=text_of((dispense or {}).get("performer")),
        author=text_of(first.get("requester")),
    )


def _drug(resource: Resource) -> PrescribedDrug:
    name = text_of(resource.get("medicationCodeableConcept")) or text_of(resource.get("medicationReference"))
    doses, usages = [], []
    for dosage in dicts(resource.get("dosageInstruction")):
        doses += [_quantity(rate.get("doseQuantity")) for rate in dicts(dosage.get("doseAndRate"))]
        usages.append(text_of(dosage.get("text")))
        usages.append(str(dosage.get("patientInstruction") or ""))
    dispense = resource.get("dispenseRequest") if isinstance(resource.get("dispenseRequest"), dict) else {}
    quantity = _quantity((dispense or {}).get("quantity"), "")
    return PrescribedDrug(
        name=name or "（未注明药品）",
        dose="每次 " + "、".join(filter(None, doses)) if any(doses) else "",
        usage="，".join(filter(None, usages)),
        quantity=f"×{quantity}" if quantity else "",
        note="；".join(str(note.get("text", "")) for note in dicts(resource.get("note"))),
    )


def _quantity(value: Any, between: str = " ") -> str:
    if not isinstance(value, dict):
        return ""
    return between.join(filter(None, (decimal_text(value.get("value")), str(value.get("unit") or value.get("code") or ""))))
