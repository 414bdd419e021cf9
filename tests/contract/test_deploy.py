"""What we hand to operators names only what there is."""

import re
import shutil
import subprocess
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
    commands = get_command(main).commands  # type: ignore[attr-defined]
    started = re.findall(r"\.venv/bin/yunzhen (?:\$\$what|([a-z]+))", line)
    words = re.findall(r'"([a-z]+) [a-z]+"', line) if started == [""] else started
    assert words
    assert set(words) - set(commands) == set()


def test_every_timer_has_its_service() -> None:
    timers = {path.stem for path in (DEPLOY / "systemd").glob("*.timer")}
    assert timers == {"yunzhen-backup", "yunzhen-verify"}
    assert timers - {path.stem for path in UNITS} == set()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: it comes with systemd")
def test_systemd_understands_every_unit(tmp_path: Path) -> None:
    """With a program that there is in place of ours, since it looks."""
    for path in (DEPLOY / "systemd").iterdir():
        (tmp_path / path.name).write_text(
            path.read_text().replace("/opt/yunzhen/.venv/bin/yunzhen", shutil.which("true") or "")
        )
    units = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_example_of_settings_is_one_that_a_process_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a shell reads it as systemd does."""
    example = DEPLOY / "yunzhen.env"
    script = f"set -a; . {example}; env -0"
    read = subprocess.run(["env", "-i", "/bin/sh", "-ec", script], capture_output=True, text=True, check=True).stdout
    values = dict(pair.split("=", 1) for pair in read.split("\0") if pair.startswith("YZ_"))
    lines = [line for line in example.read_text().splitlines() if line.startswith("YZ_")]
    assert values == {name: value.strip('"') for name, value in (line.split("=", 1) for line in lines)}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert Settings().public_url == "https://consult.example.org"


def test_every_command_and_metric_that_is_named_exists() -> None:
    text = (DEPLOY / "README.md").read_text().replace("yz ", "yunzhen ")
    commands = get_command(main).commands  # type: ignore[attr-defined]
    assert {match.split()[0] for match in _COMMAND.findall(text)} - set(commands) == set()
    kept = [value for value in vars(metrics).values() if isinstance(value, Counter | Gauge | Histogram)]
    families = [family for value in kept for family in value.collect()]
    known = {family.name for family in families} | {f"{family.name}_total" for family in families}
    assert set(re.findall(r"`(yz_[a-z_]+)", text)) - known == set()
