"""The running product and a browser; one of each for all tests here. Each test has a context of its own in it, as if a new
browser: what one person's app keeps, no other sees."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.functional.conftest import product
from tests.support.browser import BUILT, HOW_TO_GET_IT, PATIENCE_MS, Browsers, browsers, chromium
from tests.support.contract import World, world_of
from tests.support.product import Product

__all__ = ["product"]

TRACES = Path(__file__).parents[2] / "var" / "traces"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    expect.set_options(timeout=PATIENCE_MS)  # once for all: it is one setting of the whole process
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)  # the browser lives on one event loop
        item.add_marker(pytest.mark.timeout(300), append=True)  # after its own, if it has one
        if chromium() is None:
            item.add_marker(pytest.mark.skip(reason=HOW_TO_GET_IT))
        elif not (BUILT / "patient" / "index.html").is_file():
            item.add_marker(pytest.mark.skip(reason="the apps are not built: `make web`"))


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def chromes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browsers]:
    async with browsers(tmp_path_factory.mktemp("chrome")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def chrome(chromes: Browsers) -> Browser:
    """Another one than the last test's only where that died."""
    return await chromes.get()


@pytest_asyncio.fixture(loop_scope="session")
async def world(product: Product) -> AsyncIterator[World]:
    async with world_of(product) as people:
        yield people


@pytest.fixture
def trace(request: pytest.FixtureRequest) -> Path:
    """Where the trace of a failed test goes."""
    return TRACES / f"{request.node.name}.zip"
