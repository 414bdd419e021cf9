"""Whether a bundle is what FHIR says, and holds together."""

from collections.abc import Iterator
from typing import Any

from fhir.resources.R4B.bundle import Bundle


def validated(bundle: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The resources by type, of a bundle that validates and in which every reference leads to one of the named type."""
    Bundle.model_validate(bundle)
    kinds = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in bundle["entry"]}
    assert len(kinds) == len(bundle["entry"])
    for reference in _references(bundle):
        if "reference" in reference:
            assert kinds[reference["reference"]] == reference["type"]
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in bundle["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


def _references(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
