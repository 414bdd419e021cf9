"""The running product and a browser; one of each for all tests here."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.functional.conftest import product
from tests.support.browser import BUILT, HOW_TO_GET_IT, PATIENCE_MS, browser, chromium

__all__ = ["product"]

TRACES = Path(__file__).parents[2] / "var" / "traces"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    expect.set_options(timeout=PATIENCE_MS)  # once for all: it is one setting of the whole process
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.timeout(300), append=True)  # after its own, if it has one
        if chromium() is None:
            item.add_marker(pytest.mark.skip(reason=HOW_TO_GET_IT))
        elif not (BUILT / "patient" / "index.html").is_file():
            item.add_marker(pytest.mark.skip(reason="the apps are not built: `make web`"))


@pytest.fixture
async def chrome(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browser(tmp_path) as made:
        yield made


@pytest.fixture
def trace(request: pytest.FixtureRequest) -> Path:
    """Where the trace of a failed test goes."""
    return TRACES / f"{request.node.name}.zip"
