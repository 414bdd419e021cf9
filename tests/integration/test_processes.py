"""Child processes: where their output goes, how they end, and who may be ended as a left-over."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from server.app.notify import ReadySocket, notify_ready
from server.app.processes import (
    Child,
    cut,
    describe_exit,
    find_process,
    free_port,
    is_alive,
    is_free,
    rotate,
    tail,
)


def _start(folder: Path, code: str) -> Child:
    return Child.start("child", [sys.executable, "-c", code], log=folder / "logs" / "child.log", folder=folder)


async def _until_printed(child: Child, text: str) -> None:
    async with asyncio.timeout(10):
        while text not in tail(child.log):
            await asyncio.sleep(0.01)


async def test_output_is_appended_and_the_exit_code_is_told(tmp_path: Path) -> None:
    for number in (1, 2):
        child = _start(tmp_path, f"print('line {number}'); raise SystemExit({number})")
        assert await child.wait() == number
        assert child.exit_code == number
    assert child.last_lines() == "line 1\nline 2"
    assert child.last_lines(1) == "line 2"


async def test_who_listens_ends_by_itself_and_who_does_not_is_killed(tmp_path: Path) -> None:
    polite = _start(tmp_path, "import signal, time; print('up', flush=True); signal.pause()")
    await _until_printed(polite, "up")
    assert await polite.stop(5) == -signal.SIGTERM
    assert await polite.stop(5) == -signal.SIGTERM
    deaf = _start(
        tmp_path, "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    await _until_printed(deaf, "deaf")
    assert await deaf.stop(0.2) == -signal.SIGKILL


async def test_what_a_child_left_behind_in_its_group_ends_with_it(tmp_path: Path) -> None:
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); print(p.pid)"
    child = _start(tmp_path, code)
    await child.wait()
    left = int(child.last_lines(1))
    assert is_alive(left)
    child.kill()
    _, alive = psutil.wait_procs([psutil.Process(left)] if psutil.pid_exists(left) else [], timeout=5)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


async def test_a_child_is_found_by_its_program_and_folder_only(tmp_path: Path) -> None:
    child = _start(tmp_path, "import time; print('up', flush=True); time.sleep(600)")
    await _until_printed(child, "up")
    name = Path(sys.executable).name
    assert find_process(child.pid, name, tmp_path)
    assert not find_process(child.pid, "mongod", tmp_path)
    assert not find_process(child.pid, name, tmp_path.parent)
    await child.stop(5)
    assert not find_process(child.pid, name, tmp_path)
    assert not is_alive(child.pid)


async def test_readiness_is_heard_from_the_process_that_says_so(tmp_path: Path) -> None:
    ready = ReadySocket()
    try:
        code = "from server.app.notify import notify_ready; notify_ready()"
        environment = {**os.environ, "NOTIFY_SOCKET": ready.address, "PYTHONPATH": str(Path(__file__).parents[2])}
        child = Child.start(
            "child", [sys.executable, "-c", code], log=tmp_path / "log", folder=tmp_path, environment=environment
        )
        assert await child.wait() == 0
        assert ready.ready_pids() == [child.pid]
        assert ready.ready_pids() == []
    finally:
        ready.close()


def test_nobody_to_tell_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_ready()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify_ready()


def test_a_free_port_is_the_preferred_one_unless_it_is_taken() -> None:
    preferred = free_port()
    assert free_port(preferred) == preferred
    assert free_port(preferred, taken=[preferred]) != preferred
    with socket.create_server(("127.0.0.1", preferred)):
        assert not is_free(preferred)
        assert free_port(preferred) != preferred


def test_ports_are_chosen_below_those_of_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(20_000 <= free_port() < first for _ in range(20))


def test_logs_are_kept_for_three_starts_and_below_a_limit(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    rotate(log)
    for number in range(5):
        log.write_text(f"start {number}")
        rotate(log)
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"x.log.1": "start 4", "x.log.2": "start 3", "x.log.3": "start 2"}
    log.write_text("12345")
    cut(log, 5)
    assert log.read_text() == "12345"
    cut(log, 4)
    assert (log.read_text(), (tmp_path / "x.log.1").read_text()) == ("", "12345")
    cut(tmp_path / "missing.log", 1)


def test_exits_are_told_in_words() -> None:
    assert [describe_exit(code) for code in (0, 3, -9, -15)] == [
        "exit code 0",
        "exit code 3",
        "signal SIGKILL",
        "signal SIGTERM",
    ]
