"""What `make bench` runs."""

import subprocess
import sys
from pathlib import Path

from bench.__main__ import benches, chosen

ROOT = Path(__file__).parents[2]


def _bench(*arguments: str) -> str:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_messages_are_measured_where_nothing_else_is_named() -> None:
    assert chosen([]) == ("messages", [])
    assert chosen(["--pairs", "50"]) == ("messages", ["--pairs", "50"])
    assert chosen(["watermark", "--pages", "3"]) == ("watermark", ["--pages", "3"])
    assert "--pairs" in _bench("--help")


def test_all_benches_are_listed_with_what_they_measure() -> None:
    listed = _bench("--list").splitlines()
    assert [line.split()[0] for line in listed] == sorted(benches())
    assert {"crowd", "messages", "pages", "watermark"} <= set(benches())
    assert all(benches().values())
