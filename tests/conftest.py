"""What every test may ask for: the running product, and stores of its own."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import redis
import uvloop
from hypothesis import settings

from liveserver.embedded.valkey import Valkey
from tests.builders import School
from tests.product import UNHURRIED, Product

# How long an example takes is the machine's affair: speed is measured by bench/.
settings.register_profile("liveserver", deadline=None)
settings.load_profile("liveserver")


def pytest_asyncio_loop_factories() -> dict[str, object]:
    """Run asynchronous tests on the loop the product runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def _leaving() -> Iterator[None]:
    """Let products stop while the next test runs: their stores take seconds to say goodbye."""
    left = Product.leaving = []
    yield
    for one in left:
        one.stop()


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The whole product with two web processes."""
    with Product(tmp_path_factory.mktemp("product") / "state", processes=2, settings=UNHURRIED) as running:
        yield running


@pytest.fixture(scope="session")
async def school(product: Product) -> AsyncIterator[School]:
    """People and classes in the running product."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60)
    ) as client:
        school = await School.open(product, client)
        yield school
        await school.close()


@pytest.fixture(scope="session")
def valkey() -> Iterator[redis.Redis]:
    """A seat store of its own, for tests that set its clock."""
    with tempfile.TemporaryDirectory(prefix="liveserver-test-") as folder:
        server = Valkey(Path(folder) / "data", Path(folder), Path(folder) / "valkey.log")
        loop = asyncio.new_event_loop()
        child = loop.run_until_complete(server.start())
        client = redis.Redis(unix_socket_path=server.url.removeprefix("unix://"), decode_responses=True)
        # Synced writes are what the product needs and what a model test only waits for.
        client.config_set("appendfsync", "no")
        yield client
        client.close()
        loop.run_until_complete(child.stop())
        loop.close()
