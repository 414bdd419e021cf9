"""Child processes that cannot outlive us: started in sessions of their own, ended by the kernel when we die, awaited by pidfd.

A terminal's Ctrl-C reaches only the process that decides the order of stopping; the others hear it from there.
"""

import asyncio
import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

_PR_SET_PDEATHSIG: Final = 1
_POLL_SECONDS: Final = 0.05
_GENERATIONS: Final = 3
_LAST_LINES: Final = 20
_FIRST_PORT: Final = 20_000

# Loaded before any fork: nothing may be imported between fork and exec.
_LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int, last_signal: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel for `last_signal` when the thread that forked us ends. Call it first thing in a forked child.

    `parent` is the parent's pid: a parent that died before the question was asked is noticed too.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(last_signal), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), last_signal)


class Child:
    """One running child, and the file that its output goes to. Start it from the main thread: see `die_with_parent`."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._is_buried = False

    @classmethod
    def start(
        cls, name: str, command: Sequence[str], *, log: Path, folder: Path, environment: Mapping[str, str] | None = None
    ) -> "Child":
        """Start `command` in `folder`, its output appended to `log`. Raises OSError when it cannot be run."""
        with _append(log) as output:
            process = subprocess.Popen(  # noqa: S603 (the callers' commands are our own)
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=None if environment is None else dict(environment),
                start_new_session=True,
                preexec_fn=_dying_with(os.getpid()),
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    async def wait(self) -> int:
        """Until it has ended; its exit code."""
        if self.exit_code is None:
            await _until_dead(self._process)
        return self._process.wait()

    async def stop(self, grace_seconds: float) -> int:
        """Ask it to end, and end it with all its descendants' group when it has not in time. Safe to call twice."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await self.wait()
        self.kill()
        return await self.wait()

    def kill(self) -> None:
        """End its whole group at once, what it left behind included. Once only: later the number may be another's."""
        if self._is_buried:
            return
        self._is_buried = self.exit_code is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def last_lines(self, count: int = _LAST_LINES) -> str:
        """The end of its log."""
        return tail(self.log, count)


def _dying_with(parent: int) -> Callable[[], None]:
    return lambda: die_with_parent(parent)


def _append(log: Path) -> IO[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("ab")


async def _until_dead(process: "subprocess.Popen[bytes]") -> None:
    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        while process.poll() is None:  # noqa: ASYNC110 (a kernel without pidfd has nothing to wait on)
            await asyncio.sleep(_POLL_SECONDS)
        return
    loop = asyncio.get_running_loop()
    dead = asyncio.Event()
    loop.add_reader(handle, dead.set)
    try:
        await dead.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def describe_exit(code: int) -> str:
    """`exit code 1`, `signal SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def tail(log: Path, count: int = _LAST_LINES) -> str:
    """The last lines of a file; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 200 * count))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
    except OSError:
        return ""


def rotate(log: Path) -> None:
    """Begin a new log: `x.log` becomes `x.log.1`, and so on; the oldest goes."""
    if not log.exists():
        return
    for number in range(_GENERATIONS - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            log.with_name(f"{log.name}.{number}").replace(log.with_name(f"{log.name}.{number + 1}"))
    log.replace(log.with_name(f"{log.name}.1"))


def cut(log: Path, limit_bytes: int) -> None:
    """Keep a log that a process still writes to (in append mode) below the limit: copy it aside, then empty it."""
    try:
        if log.stat().st_size > limit_bytes:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
    except OSError:
        return  # a log is never worth a failure


def free_port(preferred: int | None = None, *, taken: Collection[int] = ()) -> int:
    """A port on loopback that nobody listens on: the preferred one if it is free.

    Below the range from which the system serves outgoing connections, so that it stays free while its owner restarts.
    """
    if preferred and preferred not in taken and is_free(preferred):
        return preferred
    for _ in range(200):
        candidate = random.randrange(_FIRST_PORT, _first_ephemeral_port())
        if candidate not in taken and is_free(candidate):
            return candidate
    raise OSError("no free port on loopback")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _first_ephemeral_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return first if first > _FIRST_PORT + 1_000 else 60_000


async def answers(port: int) -> bool:
    """Whether something accepts connections on that port of loopback."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def find_process(pid: int, executable: str, folder: Path) -> bool:
    """Whether `pid` is that program working in that folder: a recorded pid may be anybody's by now."""
    process = Path("/proc") / str(pid)
    try:
        name = (process / "cmdline").read_bytes().split(b"\0", 1)[0]
        return Path(os.fsdecode(name)).name == executable and (process / "cwd").resolve() == folder.resolve()
    except OSError:
        return False


def is_alive(pid: int) -> bool:
    """Whether a process with that number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
