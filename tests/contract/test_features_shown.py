"""The page that says what shows each feature names tests that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "features-shown.md").read_text()
NAMED = re.findall(r"`([^`]+)::([^`]+)`", PAGE)
ROWS = [line.split("|")[1:-1] for line in PAGE.splitlines() if re.match(r"\| [CFQN]\d+ ", line)]


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_test_that_is_named_is_there(file: str) -> None:
    folder = ROOT if file.endswith(".ts") else ROOT / "tests"
    source = (folder / file).read_text()
    for name in (name for there, name in NAMED if there == file):
        assert (f'test("{name}"' if file.endswith(".ts") else f"def {name}(") in source, name


def test_every_feature_has_one_row_and_each_row_says_what_shows_it_or_that_it_is_not_built() -> None:
    ids = [row[0].strip() for row in ROWS]
    assert len(set(ids)) == len(ids) >= 67
    assert all("::" in row[2] or "*not built*" in row[2] for row in ROWS)
