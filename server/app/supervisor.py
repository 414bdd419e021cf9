"""`yunzhen run`: everything on one machine. Starts each part as a process of its own, again when it dies, stops all in order.

It decides nothing else and imports little, so that it costs little and has nothing to fail with. When it is killed, the
kernel ends what it started.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from server.app.embedded import DataFolderInUse, Embedded, EmbeddedFailed, FolderLock, running
from server.app.notify import ReadySocket, notify_ready
from server.app.processes import Child, cut, describe_exit, free_port, is_free, rotate

if TYPE_CHECKING:
    from server.app.settings import Settings

_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0
_HEALTHY_SECONDS: Final = 10.0
"""Who lived so long is started again at once; who did not waits twice as long as the last time."""

_TRIES_BEFORE_UP: Final = 4
_UP_SECONDS: Final = 120.0
_TELL_SECONDS: Final = 10.0
_ASK_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.05
_LOG_BYTES: Final = 64 * 1024 * 1024
_LOG_EVERY_SECONDS: Final = 30.0

_STOPS: Final[Sequence[tuple[Sequence[str], float]]] = (
    (("serve",), 4.0),
    (("keeper", "worker", "beat"), 1.5),
    (("simulators", "demo"), 0.7),
)
"""Who stops together, and how many seconds they have. With the databases' three, all is gone within ten."""


class StartFailed(Exception):
    """The product does not come up. The text says why, for an operator."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process to keep running. `word` is its subcommand; `name` tells several of a kind apart."""

    word: str
    name: str


def supervise(settings: "Settings") -> int:
    """Run everything until SIGINT, SIGTERM or SIGHUP. 0 after a clean stop, 1 when it did not come up."""
    return asyncio.run(Supervisor(settings).run())


def say(text: str) -> None:
    """To whoever watches, at once. Nobody watching any more is no reason to stop."""
    with contextlib.suppress(BrokenPipeError):
        print(text, flush=True)


class Supervisor:
    def __init__(self, settings: "Settings", *, command: Sequence[str] = ()) -> None:
        """`command` is what a subcommand is appended to; our own when empty."""
        self._settings = settings
        self._command = tuple(command) or _own_command()
        self._port = settings.port or free_port()
        self._sim_port = settings.sim_port or free_port(taken=[self._port])
        self._hl7_port = settings.hl7_port or free_port(taken=[self._port, self._sim_port])
        self._children: dict[Part, Child] = {}
        self._working: list[asyncio.Task[None]] = []
        self._ready_pids: set[int] = set()
        self._environment: Mapping[str, str] = {}
        self._is_seeded = False
        self._is_up = False

    async def run(self) -> int:
        """Until told to stop; the exit code."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        work, stopping = asyncio.create_task(self._work()), asyncio.create_task(stop.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not work.done():
            say("stopping")
            work.cancel()
        try:
            await work
        except asyncio.CancelledError:
            say("stopped")
        except (StartFailed, EmbeddedFailed) as error:
            say(f"yunzhen: {error}")
            return 1
        return 0

    async def _work(self) -> None:
        if (lock := FolderLock.take(self._settings.data_dir)) is None:
            raise DataFolderInUse(self._settings.data_dir, FolderLock.owner(self._settings.data_dir))
        try:
            self._check_ports()
            await self._run_all()
        finally:
            lock.release()

    def _check_ports(self) -> None:
        """Before anything starts: with SO_REUSEPORT two deployments could share a port and neither would notice."""
        for port, host, name in (
            (self._port, self._settings.host, "YZ_PORT"),
            (self._sim_port, "127.0.0.1", "YZ_SIM_PORT"),
            (self._hl7_port, self._settings.hl7_host, "YZ_HL7_PORT"),
        ):
            if not is_free(port, host):
                raise StartFailed(f"{host}:{port} is in use or cannot be listened on: set {name} to another port")

    async def _run_all(self) -> None:
        """The parts start at once. They wait by themselves for the databases (`databases`) and for the migrations."""
        settings, loop, ready = self._settings, asyncio.get_running_loop(), ReadySocket()
        loop.add_reader(ready.fileno(), lambda: self._ready_pids.update(ready.ready_pids()))
        self._environment = {
            **os.environ,
            "YZ_DATA_DIR": str(settings.data_dir),
            "YZ_PORT": str(self._port),
            "YZ_SIM_PORT": str(self._sim_port),
            "YZ_HL7_PORT": str(self._hl7_port),
            "NOTIFY_SOCKET": ready.address,
            "PYTHONUNBUFFERED": "1",
        }
        embedded = Embedded(settings.data_dir, mongo=not settings.mongo_url, redis=not settings.redis_url, say=say)
        try:
            self._begin(self._seed(), "demo")
            for part in self._parts:
                self._begin(self._keep(part), part.name)
            async with running(embedded):
                try:
                    await self._come_up()
                finally:
                    await self._end()
        finally:
            await self._end()
            loop.remove_reader(ready.fileno())
            ready.close()

    @property
    def _parts(self) -> list[Part]:
        count = self._settings.processes
        serves = [Part("serve", "serve" if count == 1 else f"serve-{number}") for number in range(1, count + 1)]
        return [*serves, *(Part(word, word) for word in ("simulators", "keeper", "worker", "beat"))]

    async def _come_up(self) -> None:
        self._begin(self._keep_logs_small(), "logs")
        await self._unless_failed(self._until_up())
        self._is_up = True
        self._introduce()
        await self._unless_failed(asyncio.Event().wait())

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._working.append(asyncio.create_task(work, name=name))

    async def _unless_failed(self, wanted: Awaitable[Any]) -> None:
        """Until `wanted` is done. Raises what went wrong elsewhere before."""
        waiting = asyncio.ensure_future(wanted)
        try:
            while not waiting.done():
                for task in (done for done in self._working if done.done()):
                    task.result()
                unfinished = (task for task in self._working if not task.done())
                await asyncio.wait({waiting, *unfinished}, return_when=asyncio.FIRST_COMPLETED)
            waiting.result()
        finally:
            waiting.cancel()

    async def _end(self) -> None:
        """Nothing is started again from here on, and all that runs is stopped: the server first, so that nothing new begins;
        then what works in the background; then the outside world. Twice is once."""
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        for words, seconds in _STOPS:
            children = [child for part, child in self._children.items() if part.word in words]
            await asyncio.gather(*(child.stop(seconds) for child in children))

    async def _seed(self) -> None:
        """Migrations, and demo data into an empty database. Raises StartFailed."""
        child = self._start(Part("demo", "demo"))
        code = await child.wait()
        if code != 0:
            raise StartFailed(
                f"the database could not be prepared ({describe_exit(code)}), see {child.log}:\n{child.last_lines()}"
            )
        self._is_seeded = True

    def _start(self, part: Part) -> Child:
        log = self._settings.data_dir / "logs" / f"{part.name}.log"
        if part not in self._children:
            rotate(log)
        child = Child.start(part.name, [*self._command, part.word], log=log, folder=Path.cwd(), environment=self._environment)
        self._children[part] = child
        return child

    async def _keep(self, part: Part) -> None:
        """Keep one part running: again at once after a long life, ever later when it dies young.

        Raises StartFailed when it dies again and again before everything was up: waiting will not mend what is wrong.
        """
        loop, delay, tries = asyncio.get_running_loop(), _FIRST_DELAY, 0
        while True:
            started = loop.time()
            child = self._start(part)
            if tries:
                say(f"{part.name} runs again (pid {child.pid})")
            code = await child.wait()
            child.kill()  # what it left behind in its group
            self._ready_pids.discard(child.pid)
            tries += 1
            if not self._is_up and tries >= _TRIES_BEFORE_UP:
                raise StartFailed(
                    f"{part.name} does not stay up ({describe_exit(code)}), see {child.log}:\n{child.last_lines()}"
                )
            if loop.time() - started > _HEALTHY_SECONDS:
                delay = _FIRST_DELAY
            say(f"{part.name} (pid {child.pid}) died ({describe_exit(code)}): starting it again in {delay:.1f} s")
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    async def _keep_logs_small(self) -> None:
        while True:
            for log in (self._settings.data_dir / "logs").glob("*.log"):
                cut(log, _LOG_BYTES)
            await asyncio.sleep(_LOG_EVERY_SECONDS)

    async def _until_up(self) -> None:
        """Until every part said so and both addresses answer. Raises StartFailed when that takes too long."""
        loop, waiting = asyncio.get_running_loop(), ["demo"]
        tell_at = loop.time() + _TELL_SECONDS
        try:
            async with asyncio.timeout(_UP_SECONDS):
                while waiting := await self._missing():
                    if loop.time() >= tell_at:
                        say(f"waiting for {', '.join(waiting)}")
                        tell_at += _TELL_SECONDS
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise StartFailed(
                f"not up after {_UP_SECONDS:.0f} s: {', '.join(waiting)}; see {self._settings.data_dir / 'logs'}"
            ) from None

    async def _missing(self) -> list[str]:
        """What is not up yet."""
        if not self._is_seeded:
            return ["demo"]
        silent = [
            part.name for part, child in self._children.items() if part.word != "demo" and child.pid not in self._ready_pids
        ]
        if silent:
            return silent
        asked = {f"{self._base_url}/readyz": self._port, f"{self._simulators_url}/healthz": self._sim_port}
        return [url for url, port in asked.items() if not await _answers_ok(port, url.rpartition("/")[2])]

    @property
    def _base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def _simulators_url(self) -> str:
        return f"http://127.0.0.1:{self._sim_port}"

    def _introduce(self) -> None:
        say(f"server      {self._base_url}")
        say(f"simulators  {self._simulators_url}")
        say(f"HL7 v2      {self._settings.hl7_host}:{self._hl7_port} (MLLP)")
        say(f"data, logs  {self._settings.data_dir}")
        for line in describe_logins(self._settings.data_dir / "demo.json"):
            say(line)
        say("ready")
        notify_ready()


def describe_logins(demo: Path) -> Iterable[str]:
    """A few lines on who can sign in, from `demo.json`; none when there is no demo."""
    try:
        people: dict[str, Any] = json.loads(demo.read_text())
    except (OSError, ValueError):
        return
    patients = ", ".join(f"{p['name']} {p['phone']}" for p in people["patients"][:2])
    doctors = ", ".join(f"{d['name']} {d['phone']} ({d['department']})" for d in people["doctors"][:2])
    yield f"patients    {patients} … (SMS codes: {people['simulators_url']}/sms/messages?phone=…)"
    yield f"doctors     {doctors} …"
    for member in people["staff"][:1]:
        yield f"staff       {member['username']}, password {member['password']}, TOTP secret {member['totp_secret']}"
    yield f"all of them {demo}"


async def _answers_ok(port: int, path: str) -> bool:
    """Whether GET of the path answers 200."""
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _own_command() -> tuple[str, ...]:
    """What runs us: the `yunzhen` beside this Python, else the module behind it."""
    script = Path(sys.executable).with_name("yunzhen")
    return (sys.executable, str(script)) if script.exists() else (sys.executable, "-m", "server.app.cli")
