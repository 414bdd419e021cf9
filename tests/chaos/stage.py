"""The product as on several hosts, and the databases below it: each process of its own, started again when it dies.

Two `serve` processes share a port, two keepers a lease; MongoDB is a set of three members, each with a disk of its own where
we may mount one. Everything is on loopback and in one folder.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from server.app.embedded import mongod_binary
from server.app.processes import Child, answers, free_port
from server.kernel.leases import LEASES
from server.kernel.mongo import DATABASE
from tests.chaos.skewed import set_clock
from tests.support.product import GENEROUS, ROOT, YUNZHEN
from tests.support.redis_server import redis_binary

SERVES: Final = ("serve-a", "serve-b")
KEEPERS: Final = ("keeper-a", "keeper-b")
MEMBERS: Final = ("mongod-1", "mongod-2", "mongod-3")
_SET: Final = "chaos"
_MEMBER_DISK: Final = "256m"
_CHECKPOINT_DISK: Final = "8m"
_AGAIN_SECONDS: Final = 0.3
_UP_SECONDS: Final = 900.0
_ASK_MS: Final = 3_000
"""Who does not answer so soon is taken for dead. A busy machine needs it."""


POLICY: Final[Mapping[str, str]] = {
    "YZ_CONSULT_VALIDITY": "12s",
    "YZ_CONSULT_REPLIES": "25",
    "YZ_RECALL_WINDOW": "2s",
    "YZ_SWEEP_INTERVAL": "500ms",
    "YZ_PATIENT_BURST": "100000",
    "YZ_SIM_CALLBACK_RETRY_SCALE": "0.05",
}
"""Consults that end while we watch, some by their last reply, some by their deadline."""


@dataclass
class Part:
    """A process that is kept running."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = None
    clock: Path | None = None
    disk: Path | None = None
    port: int = 0
    child: Child | None = None
    starts: int = 0

    def start(self) -> None:
        self.starts += 1
        self.child = Child.start(self.name, self.command, log=self.log, folder=ROOT, environment=self.environment)

    async def keep(self) -> None:
        while True:
            self.start()
            assert self.child is not None
            await self.child.wait()
            self.child.kill()  # what it left behind in its group
            await asyncio.sleep(_AGAIN_SECONDS)

    def send(self, number: signal.Signals) -> bool:
        """False when it is dead already."""
        if self.child is None or self.child.exit_code is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child.pid, number)
        return True


@dataclass
class Stage:
    """All of it. `url` is where people find the product."""

    folder: Path
    environment: dict[str, str]
    url: str
    simulators_url: str
    parts: dict[str, Part]
    checkpoints: Path
    mounted: list[Path] = field(default_factory=list)
    _keeping: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def demo(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((Path(self.environment["YZ_DATA_DIR"]) / "demo.json").read_text())
        return {**content, "base_url": self.url, "simulators_url": self.simulators_url}

    def members(self) -> list[Part]:
        return [self.parts[name] for name in MEMBERS]

    def begin(self, *names: str) -> None:
        self._keeping += [asyncio.create_task(self.parts[name].keep(), name=name) for name in names]

    async def end(self) -> None:
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        for part in self.parts.values():
            part.send(signal.SIGCONT)
        product = [part for part in self.parts.values() if part.name not in (*MEMBERS, "redis")]
        await asyncio.gather(*(part.child.stop(10) for part in product if part.child))
        await asyncio.gather(*(part.child.stop(5) for part in self.parts.values() if part.child))
        for disk in self.mounted:
            subprocess.run(["umount", "--lazy", str(disk)], check=False)

    # --- who is who ---

    async def primary(self) -> Part | None:
        """The member that takes writes, as the members say. A frozen one says nothing."""
        for part, said in zip(self.members(), await asyncio.gather(*(_hello(m.port) for m in self.members())), strict=True):
            if said.get("isWritablePrimary"):
                return part
        return None

    async def leading_keeper(self) -> Part | None:
        """Who holds the lease: its holder's name stands in its log."""
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            self.environment["YZ_MONGO_URL"], serverSelectionTimeoutMS=_ASK_MS
        )
        try:
            lease = await client[DATABASE][LEASES].find_one({"_id": "keeper"})
        except PyMongoError:
            return None
        finally:
            await client.close()
        if lease is None:
            return None
        keepers = (self.parts[name] for name in KEEPERS)
        return next((keeper for keeper in keepers if str(lease["holder"]) in keeper.log.read_text()), None)

    # --- how it is ---

    async def until_in_order(self, seconds: float = _UP_SECONDS) -> None:
        """Every process runs, one member is primary and two follow, and both servers say that all is well."""
        missing: list[str] = ["everything"]
        try:
            async with asyncio.timeout(seconds):
                while missing := await self._missing():
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"after {seconds:.0f} s not in order: {', '.join(missing)}") from None

    async def _missing(self) -> list[str]:
        missing = [name for name, part in self.parts.items() if part.child is None or part.child.exit_code is not None]
        roles = [
            "primary" if said.get("isWritablePrimary") else "secondary" if said.get("secondary") else "nothing"
            for said in await asyncio.gather(*(_hello(member.port) for member in self.members()))
        ]
        if sorted(roles) != ["primary", "secondary", "secondary"]:
            missing.append(f"MongoDB ({', '.join(roles)})")
        ready = await asyncio.gather(*(_readiness(self.parts[name].port) for name in SERVES))
        return missing + [f"{name} says {said}" for name, said in zip(SERVES, ready, strict=True) if said != "ready"]

    async def yunzhen(self, *command: str) -> tuple[int, str]:
        """Run a subcommand of the product beside it; its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *YUNZHEN, *command, cwd=ROOT, env=self.environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """Everything up and in order in that folder, until the end of the block."""
    stage = _made(folder)
    try:
        stage.begin(*MEMBERS, "redis")
        await _initiate([member.port for member in stage.members()])
        code, output = await stage.yunzhen("demo")
        assert code == 0, output
        stage.begin(*(name for name in stage.parts if name not in (*MEMBERS, "redis")))
        await stage.until_in_order()
        yield stage
    finally:
        await stage.end()


def _made(folder: Path) -> Stage:
    ports: list[int] = []
    for _ in range(8):
        ports.append(free_port(taken=ports))
    *member_ports, redis_port, port, sim_port, ops_a, ops_b = ports
    data, logs = folder / "data", folder / "logs"
    stage = Stage(
        folder=folder,
        environment=_environment(data, member_ports, redis_port, port, sim_port),
        url=f"http://127.0.0.1:{port}",
        simulators_url=f"http://127.0.0.1:{sim_port}",
        parts={},
        checkpoints=data / "checkpoints",
    )
    _mount(stage, stage.checkpoints, _CHECKPOINT_DISK)
    for name, member_port in zip(MEMBERS, member_ports, strict=True):
        disk = folder / name
        _mount(stage, disk, _MEMBER_DISK)
        stage.parts[name] = Part(name, _mongod(disk, member_port), logs / f"{name}.log", port=member_port, disk=disk)
    redis = [redis_binary(), "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    stage.parts["redis"] = Part("redis", redis, logs / "redis.log", port=redis_port)
    for name, ops_port in zip(SERVES, (ops_a, ops_b), strict=True):
        own = {"YZ_NODE": name[-1], "YZ_OPS_PORT": str(ops_port)}
        stage.parts[name] = _part_of_product(stage, name, "serve", own, ops_port)
    for name in KEEPERS:
        stage.parts[name] = _part_of_product(stage, name, "keeper", {})
    for name in ("worker", "beat", "simulators"):
        stage.parts[name] = _part_of_product(stage, name, name, {})
    return stage


def _environment(data: Path, members: Sequence[int], redis: int, port: int, sim_port: int) -> dict[str, str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("YZ_")}
    hosts = ",".join(f"127.0.0.1:{member}" for member in members)
    return {
        **outside,
        **GENEROUS,
        **POLICY,
        "PYTHONUNBUFFERED": "1",
        "YZ_DATA_DIR": str(data),
        "YZ_MONGO_URL": f"mongodb://{hosts}/?replicaSet={_SET}",
        "YZ_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
        "YZ_PORT": str(port),
        "YZ_SIM_PORT": str(sim_port),
        "YZ_BASE_URL": f"http://127.0.0.1:{port}",
        "YZ_PROCESSES": "2",
    }


def _part_of_product(stage: Stage, name: str, word: str, own: Mapping[str, str], port: int = 0) -> Part:
    clock = stage.folder / f"{name}.clock"
    set_clock(clock, 0)
    command = [sys.executable, "-m", "tests.chaos.skewed", str(clock), word]
    environment = {**stage.environment, **own}
    return Part(name, command, stage.folder / "logs" / f"{name}.log", environment, clock=clock, port=port)


def _mongod(disk: Path, port: int) -> list[str]:
    """Its journal comes in small files: what it has room for beforehand would hide for long that its disk is full."""
    arguments = {
        "--dbpath": str(disk), "--port": str(port), "--bind_ip": "127.0.0.1", "--replSet": _SET, "--oplogSize": "64",
        "--wiredTigerCacheSizeGB": "0.25", "--wiredTigerEngineConfigString": "log=(file_max=100KB,prealloc=false)",
    }  # fmt: skip
    parameters = ("diagnosticDataCollectionEnabled=false", "transactionLifetimeLimitSeconds=5")
    words = [word for pair in arguments.items() for word in pair]
    return [str(mongod_binary()), *words, *(w for p in parameters for w in ("--setParameter", p)), "--quiet", "--nounixsocket"]


def _mount(stage: Stage, folder: Path, size: str) -> None:
    """A disk of its own, where we may: else a plain folder, which cannot be filled without harm to others."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.getuid() != 0 or shutil.which("mount") is None:
        return
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "yunzhen-chaos", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode == 0:
        stage.mounted.append(folder)


async def _initiate(ports: Sequence[int]) -> None:
    """One set of the three, quick to notice that one is gone."""
    async with asyncio.timeout(60):
        while not all(await asyncio.gather(*(answers(port) for port in ports))):
            await asyncio.sleep(0.05)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(f"mongodb://127.0.0.1:{ports[0]}/?directConnection=true")
    members = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(ports)]
    settings = {"electionTimeoutMillis": 3_000, "heartbeatIntervalMillis": 500}
    await client.admin.command("replSetInitiate", {"_id": _SET, "members": members, "settings": settings})
    async with asyncio.timeout(60):
        while not (await client.admin.command("hello")).get("primary"):
            await asyncio.sleep(0.05)
    await client.close()


async def _hello(port: int) -> dict[str, Any]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        f"mongodb://127.0.0.1:{port}/?directConnection=true", serverSelectionTimeoutMS=_ASK_MS, socketTimeoutMS=_ASK_MS
    )
    try:
        return await client.admin.command("hello")
    except PyMongoError:
        return {}
    finally:
        await client.close()


async def _readiness(port: int) -> str:
    """What a server says of itself; who says nothing is `silent`."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http,
            http.get(f"http://127.0.0.1:{port}/readyz") as answer,
        ):
            return str((await answer.json())["status"])
    except (aiohttp.ClientError, TimeoutError, OSError):
        return "silent"
