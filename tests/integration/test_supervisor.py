"""What `yunzhen run` does with its processes, whatever they are: order, restarts, endings."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from server.app.processes import Child, free_port
from server.app.supervisor import describe_logins

ROOT = Path(__file__).parents[2]
_RUN = """
import asyncio, sys
from server.app.settings import load_settings
from server.app.supervisor import Supervisor
sys.exit(asyncio.run(Supervisor(load_settings(), command=[sys.executable, "tests/support/part.py"]).run()))
"""
_WORDS = ("serve", "keeper", "worker", "beat", "simulators")

Start = Callable[..., Awaitable[Child]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start a supervisor over stand-ins, without databases."""
    started: list[Child] = []
    port = free_port()
    defaults = {
        "PYTHONPATH": str(ROOT),
        "YZ_DATA_DIR": str(tmp_path / "var"),
        "YZ_PORT": str(port),
        "YZ_SIM_PORT": str(free_port(taken=[port])),
        "YZ_MONGO_URL": "mongodb://127.0.0.1:1/",
        "YZ_REDIS_URL": "redis://127.0.0.1:1/0",
    }

    async def _start(**settings: str) -> Child:
        log = tmp_path / f"output-{len(started)}"
        environment = {**os.environ, **defaults, **settings}
        started.append(Child.start("run", [sys.executable, "-c", _RUN], log=log, folder=ROOT, environment=environment))
        return started[-1]

    yield _start
    for child in started:
        await child.stop(12)


async def _until_said(child: Child, line: str) -> None:
    async with asyncio.timeout(20):
        while line not in child.log.read_text().splitlines():
            assert child.exit_code is None, child.log.read_text()
            await asyncio.sleep(0.02)


def _part(child: Child, word: str) -> psutil.Process:
    [found] = [p for p in psutil.Process(child.pid).children() if p.cmdline()[-1] == word]
    return found


async def test_all_parts_run_before_it_is_ready_and_stop_in_order(start: Start, tmp_path: Path) -> None:
    running = await start()
    await _until_said(running, "ready")
    assert sorted(p.cmdline()[-1] for p in psutil.Process(running.pid).children()) == sorted(_WORDS)
    os.kill(running.pid, signal.SIGINT)
    assert await running.wait() == 0
    stopped = (tmp_path / "var" / "stopped").read_text().split()
    assert (stopped[0], sorted(stopped[1:4]), stopped[4:]) == ("serve", ["beat", "keeper", "worker"], ["simulators"])
    assert running.log.read_text().splitlines()[-2:] == ["stopping", "stopped"]


async def test_several_servers_are_told_apart(start: Start, tmp_path: Path) -> None:
    # The stand-in does not share its port: the second one cannot live, and its own log says so.
    running = await start(YZ_PROCESSES="2")
    assert await running.wait() == 1
    assert {p.name for p in (tmp_path / "var" / "logs").glob("serve-*.log")} == {"serve-1.log", "serve-2.log"}


async def test_a_part_that_is_killed_is_started_again_and_said_so(start: Start) -> None:
    running = await start()
    await _until_said(running, "ready")
    for word in _WORDS:
        killed = _part(running, word).pid
        os.kill(killed, signal.SIGKILL)
        await _until_said(running, f"{word} (pid {killed}) died (signal SIGKILL): starting it again in 0.1 s")
        async with asyncio.timeout(10):
            while not [p for p in psutil.Process(running.pid).children() if p.pid != killed and p.cmdline()[-1:] == [word]]:
                await asyncio.sleep(0.02)
        await _until_said(running, f"{word} runs again (pid {_part(running, word).pid})")


async def test_a_part_that_cannot_start_ends_the_run_with_what_it_said(start: Start) -> None:
    running = await start(YZ_TEST_FAILS="keeper")
    assert await running.wait() == 1
    output = running.log.read_text()
    assert "yunzhen: keeper does not stay up (exit code 3)" in output
    assert output.splitlines()[-1] == "keeper has no luck today"


async def test_a_database_that_cannot_be_prepared_ends_the_run(start: Start, tmp_path: Path) -> None:
    running = await start(YZ_TEST_FAILS="demo")
    assert await running.wait() == 1
    log = tmp_path / "var" / "logs" / "demo.log"
    assert f"yunzhen: the database could not be prepared (exit code 3), see {log}:" in running.log.read_text()


async def test_a_part_that_does_not_listen_is_ended_and_all_is_over_in_ten_seconds(start: Start) -> None:
    running = await start(YZ_TEST_STUBBORN="serve")
    await _until_said(running, "ready")
    stubborn, began = _part(running, "serve").pid, time.monotonic()
    os.kill(running.pid, signal.SIGTERM)
    assert await running.wait() == 0
    assert time.monotonic() - began < 10
    assert not psutil.pid_exists(stubborn)


async def test_everything_dies_with_the_supervisor(start: Start) -> None:
    running = await start()
    await _until_said(running, "ready")
    parts = psutil.Process(running.pid).children()
    assert len(parts) == len(_WORDS)
    os.kill(running.pid, signal.SIGKILL)
    await running.wait()
    _, alive = psutil.wait_procs(parts, timeout=5)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


async def test_a_port_that_is_in_use_is_named_before_anything_starts(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = await start(YZ_PORT=str(port))
        assert await running.wait() == 1
    expected = f"yunzhen: 127.0.0.1:{port} is in use or cannot be listened on: set YZ_PORT to another port"
    assert running.log.read_text().splitlines() == [expected]
    assert not (tmp_path / "var" / "logs").exists()


async def test_a_second_run_in_the_same_folder_is_refused_by_the_first_ones_pid(start: Start, tmp_path: Path) -> None:
    running = await start()
    await _until_said(running, "ready")
    second = await start()
    assert await second.wait() == 1
    expected = f"yunzhen: {tmp_path / 'var'} is in use by process {running.pid}: stop it, or set YZ_DATA_DIR to another folder"
    assert second.log.read_text().splitlines() == [expected]
    assert running.exit_code is None


def test_logins_are_described_in_a_few_lines(tmp_path: Path) -> None:
    demo = tmp_path / "demo.json"
    assert list(describe_logins(demo)) == []
    content = {
        "simulators_url": "http://127.0.0.1:8090",
        "patients": [{"phone": "13800000001", "name": "梁明哲"}],
        "doctors": [{"phone": "13900000001", "name": "王建国", "department": "心血管内科"}],
        "staff": [{"username": "admin", "password": "p", "totp_secret": "T"}],
    }
    demo.write_text(json.dumps(content))
    assert list(describe_logins(demo)) == [
        "patients    梁明哲 13800000001 … (SMS codes: http://127.0.0.1:8090/sms/messages?phone=…)",
        "doctors     王建国 13900000001 (心血管内科) …",
        "staff       admin, password p, TOTP secret T",
        f"all of them {demo}",
    ]
