"""One running product for all functional tests, which ends with the last of them: idle it still costs a tenth of a processor.
Who needs other settings starts another with `start_product`."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.contract import World, world_of
from tests.support.plans import list_scans, watch_scans
from tests.support.product import Product, start_product

__all__ = ["Product", "product", "world"]


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The whole product, up: server, keeper, worker, beat, simulators and databases. Whatever the tests make it ask MongoDB has
    an index."""
    loop = asyncio.new_event_loop()
    running = loop.run_until_complete(start_product(tmp_path_factory.mktemp("product") / "var"))
    try:
        watch_scans(running.mongo_url)
        yield running
        scans = list_scans(running.mongo_url)
        assert not scans, "\n".join(scans)
    finally:
        loop.run_until_complete(running.stop())
        loop.close()


@pytest.fixture
async def world(product: Product) -> AsyncIterator[World]:
    """The running product, and people of every role to meet in it."""
    async with world_of(product) as people:
        yield people
