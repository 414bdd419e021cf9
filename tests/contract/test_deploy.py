"""What we hand to operators names only what there is."""

import re
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram
from typer.main import get_command

from server.app import metrics
from server.app.cli import main
from server.app.settings import Settings
from tests.support.product import ROOT

DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
_ENVIRONMENT = re.compile(r"\bYZ_[A-Z0-9_]*[A-Z0-9]\b")
_COMMAND = re.compile(r"yunzhen ((?:[a-z]+ ?)+)")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(_ENVIRONMENT.findall(path.read_text()))
    assert named - {f"YZ_{name.upper()}" for name in Settings.model_fields} == set()


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_every_unit_starts_a_command_that_there_is(path: Path) -> None:
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("ExecStart=")]
    assert line.split()[-1] in get_command(main).commands  # type: ignore[attr-defined]


def test_every_command_and_metric_that_is_named_exists() -> None:
    text = (DEPLOY / "README.md").read_text()
    commands = get_command(main).commands  # type: ignore[attr-defined]
    assert {match.split()[0] for match in _COMMAND.findall(text)} - set(commands) == set()
    kept = [value for value in vars(metrics).values() if isinstance(value, Counter | Gauge | Histogram)]
    families = [family for value in kept for family in value.collect()]
    known = {family.name for family in families} | {f"{family.name}_total" for family in families}
    assert set(re.findall(r"`(yz_[a-z_]+)", text)) - known == set()
