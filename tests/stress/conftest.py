"""One running product for all stress tests that need it whole, with deadlines that come while we watch."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.support.product import Product, start_product


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Eight seconds from payment to deadline, and more replies than anybody sends."""
    loop = asyncio.new_event_loop()
    running = loop.run_until_complete(
        start_product(
            tmp_path_factory.mktemp("stress") / "var",
            YZ_CONSULT_VALIDITY="8s",
            YZ_CONSULT_REPLIES="100000",
            YZ_PATIENT_BURST="100000",
            YZ_RECALL_WINDOW="1s",
            YZ_SWEEP_INTERVAL="500ms",
            YZ_SIM_CALLBACK_RETRY_SCALE="0.05",
        )
    )
    try:
        yield running
    finally:
        loop.run_until_complete(running.stop())
        loop.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
