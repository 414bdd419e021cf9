"""More `serve` processes on the databases of a running product, each of which a test can tell from the others."""

import asyncio
from dataclasses import dataclass

import aiohttp

from server.app.processes import Child, free_port
from tests.support.product import ROOT, YUNZHEN, Product


@dataclass(frozen=True, slots=True)
class Host:
    """One `serve` process."""

    child: Child
    port: int
    ops_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.ops_port}"

    async def metric(self, name: str) -> float:
        async with aiohttp.ClientSession() as http, http.get(f"{self.ops_url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


async def start_host(product: Product, node: str, *, port: int = 0, **settings: str) -> Host:
    """Start one under this name, behind one proxy, and wait until it is ready."""
    port = port or free_port()
    ops_port = free_port(taken=[port])
    own = {"YZ_PORT": str(port), "YZ_OPS_PORT": str(ops_port), "YZ_NODE": node, "YZ_PROXIES": "1"}
    environment = {**product.environment, "YZ_BASE_URL": product.base_url, **own, **settings}
    log = product.data_dir.with_name(f"host-{node}.log")
    child = Child.start("serve", [*YUNZHEN, "serve"], log=log, folder=ROOT, environment=environment)
    host = Host(child, port, ops_port)
    async with asyncio.timeout(90), aiohttp.ClientSession() as http:
        while True:
            assert child.exit_code is None, child.last_lines()
            try:
                async with http.get(f"{host.ops_url}/readyz") as answer:
                    if answer.status == 200:
                        return host
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
