"""The whole product as an operator runs it: `yunzhen run` in a data folder of its own, on free ports."""

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from server.app.processes import Child, free_port

ROOT = Path(__file__).parents[2]
YUNZHEN = (sys.executable, str(Path(sys.executable).with_name("yunzhen")))
_READY_SECONDS = 90.0

GENEROUS = {
    "YZ_SMS_RESEND_AFTER": "0s",
    "YZ_SMS_PER_PHONE": "1000/10m",
    "YZ_SMS_PER_ADDRESS": "10000/10m",
    "YZ_HTTP_RATE": "2000/s",
    "YZ_MESSAGE_RATE": "2000/s",
}
"""Limits that no test meets by accident; who tests a limit sets it."""


@dataclass(slots=True)
class Product:
    """A running product. `environment` is what its commands need to find it."""

    base_url: str
    simulators_url: str
    data_dir: Path
    environment: dict[str, str]
    child: Child
    ready_after_seconds: float

    @property
    def demo(self) -> dict[str, Any]:
        """Who can sign in."""
        content: dict[str, Any] = json.loads((self.data_dir / "demo.json").read_text())
        return content

    @property
    def mongo_url(self) -> str:
        """Where its embedded MongoDB answers."""
        port = json.loads((self.data_dir / "embedded.json").read_text())["mongo"]["port"]
        return f"mongodb://127.0.0.1:{port}/?directConnection=true"

    @property
    def output(self) -> str:
        """What the supervisor has printed so far."""
        return self.child.log.read_text()

    def processes(self, word: str) -> list[psutil.Process]:
        """Its processes of one kind, by the word on their command line."""
        found = []
        for process in psutil.Process(self.child.pid).children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.NoSuchProcess:
                continue
            if any(Path(each).name == word for each in words):
                found.append(process)
        return found

    async def yunzhen(self, *command: str) -> tuple[int, str]:
        """Run a subcommand beside it, on the same data folder; its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *YUNZHEN,
            *command,
            cwd=ROOT,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    async def stop(self, with_signal: signal.Signals = signal.SIGINT) -> tuple[int, float]:
        """Stop it as Ctrl-C does; its exit code, and how many seconds it took."""
        started = time.monotonic()
        if self.child.exit_code is None:
            os.kill(self.child.pid, with_signal)
        code = await asyncio.wait_for(self.child.wait(), 30)
        return code, time.monotonic() - started


def settings_of(data_dir: Path, **settings: str) -> dict[str, str]:
    """The environment of a product in that folder, on free ports, untouched by whatever is set outside."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("YZ_")}
    port = free_port()
    return {
        **outside,
        **GENEROUS,
        "YZ_DATA_DIR": str(data_dir),
        "YZ_PORT": str(port),
        "YZ_SIM_PORT": str(free_port(taken=[port])),
        **settings,
    }


async def start_product(data_dir: Path, **settings: str) -> Product:
    """Start it and wait for the line `ready`. Fails with what it printed when that does not come."""
    environment = settings_of(data_dir, **settings)
    started = time.monotonic()
    log = data_dir.with_name(f"{data_dir.name}.output")
    log.unlink(missing_ok=True)
    child = Child.start("run", [*YUNZHEN, "run"], log=log, folder=ROOT, environment=environment)
    while "ready" not in log.read_text().splitlines():
        if child.exit_code is not None or time.monotonic() > started + _READY_SECONDS:
            await child.stop(10)
            raise AssertionError(f"not ready, it said:\n{log.read_text()}")
        await asyncio.sleep(0.05)
    return Product(
        base_url=f"http://127.0.0.1:{environment['YZ_PORT']}",
        simulators_url=f"http://127.0.0.1:{environment['YZ_SIM_PORT']}",
        data_dir=data_dir,
        environment=environment,
        child=child,
        ready_after_seconds=time.monotonic() - started,
    )
