"""Dependencies are locked by version and hash, and by nothing that ties them to one place."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[a-z0-9,_-]+\])?==([^ ;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
_NAME = re.compile(r"^([A-Za-z0-9._-]+)", re.MULTILINE)


def _pins(name: str) -> dict[str, str]:
    return dict(_PIN.findall((ROOT / name).read_text()))


def _wanted(name: str) -> set[str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith(("#", "-r"))]
    return {match[1].lower().replace("_", "-") for line in lines if (match := _NAME.match(line))}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    text = (ROOT / name).read_text()
    requirements = [part for part in re.split(r"\n(?=[A-Za-z0-9])", text) if _NAME.match(part)]
    assert len(requirements) == len(_pins(name))
    assert [part.split("\n")[0] for part in requirements if not _HASH.search(part)] == []


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_whatever_is_wanted_is_locked(name: str) -> None:
    assert _wanted(f"{name}.in") - set(_pins(f"{name}.lock")) == set()


def test_the_tests_run_on_what_the_product_runs_on() -> None:
    product, tests = _pins("requirements.lock"), _pins("requirements-dev.lock")
    assert {name: tests.get(name) for name in product} == product


@pytest.mark.parametrize("name", ["requirements.in", "requirements-dev.in", "requirements.lock", "requirements-dev.lock"])
def test_no_address_of_an_index_is_written_down(name: str) -> None:
    text = (ROOT / name).read_text()
    assert re.findall(r"https?://\S+|file://\S+|--(?:extra-)?index-url|--find-links|--trusted-host", text) == []


def test_node_packages_are_locked_by_hash_without_addresses() -> None:
    locks = [*ROOT.glob("tests/*/package-lock.json"), *ROOT.glob("web/package-lock.json")]
    assert len(locks) == 2
    for lock in locks:
        packages = json.loads(lock.read_text())["packages"]
        # A workspace's own packages stand in the lock as folders and as links to them.
        named = {name: entry for name, entry in packages.items() if "node_modules/" in name and not entry.get("link")}
        assert len(named) > 0
        assert [name for name, entry in named.items() if "resolved" in entry] == []
        assert [name for name, entry in named.items() if not entry["integrity"].startswith("sha512-")] == []


def test_the_licence_is_the_one_that_the_metadata_names() -> None:
    assert "license = Apache-2.0" in (ROOT / "setup.cfg").read_text()
    assert (ROOT / "LICENSE").read_text().split("\n")[1:3] == [
        "                                 Apache License",
        "                           Version 2.0, January 2004",
    ]
