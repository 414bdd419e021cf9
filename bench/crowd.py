"""Ten thousand people on one process for a minute, a few of whom talk: what each costs, and what the talkers notice.

`python -m bench.crowd [--connections 10000] [--seconds 60] [--pairs 20] [--rate 50] [--out FILE]`. The server is the real one,
alone on core 0; people, databases and the rest share core 1. Everybody is a signed-in patient with a token that is checked, and
a socket that answers pings; they come from several processes and addresses of loopback (127.0.0.2, .3, …). Connections a second
are counted while all of them come at once. Seconds by the clock are worth what the machine was idle: the processor time of the
server for a connection, for a message and for a second of doing nothing stands beside them.
"""

import argparse
import asyncio
import json
import platform
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import uvloop

from bench.client import RawClient
from bench.load import connect_pairs, hang_up, latency_at
from bench.product import Running, cpu_seconds, make_pairs, pin_ourselves, running_product
from server.app.processes import free_port
from server.app.serve import allow_many_files

_PER_SESSION = 8
_AT_ONCE = 64
_SIGN_INS_AT_ONCE = 8
_SETTLE_SECONDS = 3.0
_SETTINGS = {"YZ_SMS_RESEND_AFTER": "0s"}


# --- a process full of people ---


async def be_many(port: int, address: str) -> None:
    """Read tokens, connect them all, say how long it took, hold them until the input ends, say how many are still there."""
    pin_ourselves()
    reader = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tokens = json.loads(await reader.readline())
    gate, clients = asyncio.Semaphore(_AT_ONCE), list[RawClient]()

    async def come(token: str) -> None:
        async with gate:
            clients.append(await RawClient.open("127.0.0.1", port, token, timeout=120, local_address=address))

    started = time.perf_counter()
    await asyncio.gather(*(come(token) for token in tokens))
    print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)
    await reader.read()
    print(json.dumps({"there": sum(not client.transport.is_closing() for client in clients)}), flush=True)
    for client in clients:
        client.close()


class _Loader:
    """Such a process, from outside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, port: int, address: str) -> "_Loader":
        command = [sys.executable, "-m", "bench.crowd", "--many", f"{port} {address}"]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))

    async def connect(self, tokens: Sequence[str]) -> float:
        """Seconds until all are connected."""
        assert self._process.stdin is not None, "it was started with one"
        self._process.stdin.write(json.dumps(tokens).encode() + b"\n")
        return float((await self._told())["seconds"])

    async def end(self) -> int:
        """How many connections had lasted."""
        assert self._process.stdin is not None, "it was started with one"
        self._process.stdin.close()
        there = int((await self._told())["there"])
        await self._process.wait()
        return there

    async def _told(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None, "it was started with one"
        told: Mapping[str, Any] = json.loads(await self._process.stdout.readline())
        return told

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()


# --- what is measured ---


async def _sign_in(http: aiohttp.ClientSession, running: Running, number: int) -> str:
    """A new patient's access token: the first log-in registers."""
    base, phone = f"{running.demo['base_url']}/api/v1/auth", f"17{number:09d}"
    async with http.post(f"{base}/sms-codes", json={"phone": phone, "purpose": "login"}) as answer:
        answer.raise_for_status()
    while True:
        async with http.get(f"{running.demo['simulators_url']}/sms/messages", params={"phone": phone}) as answer:
            if messages := await answer.json():
                break
        await asyncio.sleep(0.02)
    body = {"phone": phone, "code": messages[0]["params"]["code"], "device_id": uuid.uuid4().hex, "device_name": "bench"}
    async with http.post(f"{base}/patient/sessions", json=body) as answer:
        answer.raise_for_status()
        return str((await answer.json())["access_token"])


async def _tokens(running: Running, connections: int) -> list[str]:
    """One for each connection; so many connections share a session."""
    gate = asyncio.Semaphore(_SIGN_INS_AT_ONCE)
    async with aiohttp.ClientSession() as http:

        async def one(number: int) -> str:
            async with gate:
                return await _sign_in(http, running, number)

        sessions = await asyncio.gather(*(one(number) for number in range(-(-connections // _PER_SESSION))))
    return [token for token in sessions for _ in range(_PER_SESSION)][:connections]


async def measure(running: Running, wanted: argparse.Namespace) -> dict[str, Any]:
    server = running.processes["serve"]
    pairs = await make_pairs(running, wanted.pairs)
    tokens = await _tokens(running, wanted.connections)
    talks = await connect_pairs(running.host, running.port, pairs, "crowd")
    alone = await latency_at(talks, wanted.rate, min(10.0, wanted.seconds))
    loaders = [await _Loader.start(running.port, f"127.0.0.{number + 2}") for number in range(wanted.loaders)]
    try:
        memory, cpu = server.memory_info().rss, cpu_seconds(server)
        shares = [tokens[number :: wanted.loaders] for number in range(wanted.loaders)]
        seconds = max(await asyncio.gather(*(each.connect(share) for each, share in zip(loaders, shares, strict=True))))
        connecting = cpu_seconds(server) - cpu
        await asyncio.sleep(_SETTLE_SECONDS)
        grown = server.memory_info().rss - memory
        idle_cpu, idle_began = cpu_seconds(server), time.perf_counter()
        await asyncio.sleep(wanted.seconds / 3)
        idle = (cpu_seconds(server) - idle_cpu) / (time.perf_counter() - idle_began)
        talking, before = cpu_seconds(server), sum(talk.count for talk, _, _ in talks)
        began = time.perf_counter()
        within = await latency_at(talks, wanted.rate, wanted.seconds * 2 / 3)
        talked = cpu_seconds(server) - talking - idle * (time.perf_counter() - began)
        messages = sum(talk.count for talk, _, _ in talks) - before
        lasted = sum([await each.end() for each in loaders])
    finally:
        for each in loaders:
            each.kill()
    await hang_up(talks)
    return {
        "connections": wanted.connections,
        "sessions": len(set(tokens)),
        "lasted": lasted,
        "held_seconds": round(_SETTLE_SECONDS + wanted.seconds, 1),
        "server_mb_per_1000_connections": round(grown / 1e6 / wanted.connections * 1_000, 1),
        "connects_per_second": round(wanted.connections / seconds),
        "server_cpu_ms_per_connect": round(connecting / wanted.connections * 1_000, 3),
        "connects_per_second_of_server_cpu": round(wanted.connections / connecting),
        "server_core_busy_while_idle": round(idle, 3),
        "talkers": {
            "pairs": wanted.pairs,
            "messages_per_second": wanted.rate,
            "messages": messages,
            "server_cpu_ms_per_message": round(talked / messages * 1_000, 3),
            "alone": {"p50_ms": round(alone[0], 2), "p99_ms": round(alone[1], 2)},
            "in_the_crowd": {"p50_ms": round(within[0], 2), "p99_ms": round(within[1], 2)},
        },
    }


async def main(wanted: argparse.Namespace) -> None:
    if wanted.many:
        port, address = wanted.many.split()
        await be_many(int(port), address)
        return
    load = psutil.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=wanted.folder) as folder:
        async with running_product(Path(folder), free_port(), free_port(), wanted.pairs, **_SETTINGS) as running:
            report = {
                "machine": {
                    "cores": psutil.cpu_count(), "python": platform.python_version(), "load_before": round(load, 1),
                },
                **await measure(running, wanted),
            }  # fmt: skip
    text = json.dumps(report, indent=2)
    print(text)
    if wanted.out is not None:
        wanted.out.write_text(text + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000, help="how many people, besides those who talk")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they stay")
    parser.add_argument("--pairs", type=int, default=20, help="pairs that talk")
    parser.add_argument("--rate", type=float, default=50.0, help="messages a second of all pairs together")
    parser.add_argument("--loaders", type=int, default=2, help="processes that the people come from")
    parser.add_argument("--folder", type=Path, help="where the databases lie while they are measured")
    parser.add_argument("--out", type=Path, help="where the report is written as JSON")
    parser.add_argument("--many", default="", help=argparse.SUPPRESS)
    allow_many_files()
    uvloop.run(main(parser.parse_args()))
