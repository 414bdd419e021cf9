"""How many messages a server core carries, how fast, and what a connection costs; next to a relay that stores nothing.

`python -m bench.messages [--pairs 50,200] [--seconds 10] [--processes 2] [--out FILE]`. Needs two cores and nothing
else running: the server is alone on core 0; the databases, the other processes and the load share core 1. The server is the
real one: signed-in people, paid orders, validation, encryption, rules, the chained log, the keeper following it. A message
counts when its sender has the acknowledgement (stored by a majority) and the other side has the message.

No acknowledgement comes before the journal is on the disk, so the disk's own flush stands in the report: no p99 of ours can be
below it. `--folder /dev/shm` takes the disk out.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop

from bench.load import Pair, Talk, connect_many, connect_pairs, hang_up, latency_at, stop, talk_for
from bench.product import cpu_seconds, free_port, make_pairs, pin, running_product

WARM_SECONDS = 3.0
_IDLE = 1_000
_PER_SESSION = 8
_RATE = 200.0
_IDLE_CPU_SECONDS = 0.15
_MOST_BEHIND_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured: where it listens, whose processor time counts, and under which name."""

    host: str
    port: int
    servers: Sequence[psutil.Process]
    others: Mapping[str, psutil.Process]

    def cpu_seconds(self) -> dict[str, float]:
        """So far, all servers together."""
        return {"server": sum(map(cpu_seconds, self.servers))} | {name: cpu_seconds(each) for name, each in self.others.items()}

    def memory(self) -> int:
        return sum(int(server.memory_info().rss) for server in self.servers)


async def measure(target: Target, pairs: Sequence[Pair], counts: Sequence[int], seconds: float) -> dict[str, Any]:
    """All figures of one target."""
    report: dict[str, Any] = {}
    for count in counts:
        report[f"throughput_{count}_pairs"] = await _throughput(target, pairs[:count], seconds)
    report["caught_up_after_seconds"] = await _catch_up(target)
    talks = await connect_pairs(target.host, target.port, pairs[: counts[0]], "late")
    p50, p99 = await latency_at(talks, _RATE, seconds)
    await hang_up(talks)
    report["latency_at_200_per_second"] = {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}
    report["connections"] = await _connections(target, pairs)
    return report


async def _throughput(target: Target, pairs: Sequence[Pair], seconds: float) -> dict[str, Any]:
    talks: list[tuple[Talk, Any, Any]] = await connect_pairs(target.host, target.port, pairs, f"run{len(pairs):04d}")
    await talk_for(talks, WARM_SECONDS)
    before = target.cpu_seconds()
    result = await talk_for(talks, seconds)
    spent = {name: used - before[name] for name, used in target.cpu_seconds().items()}
    await stop(talks)
    await hang_up(talks)
    return {
        "messages_per_second": round(result.per_second),
        "cpu_ms_per_message": {name: round(used / result.messages * 1_000, 4) for name, used in spent.items()},
        "server_core_busy": round(spent["server"] / result.seconds, 2),
    }


async def _catch_up(target: Target) -> float:
    """Wait until what follows the log (orders, search, pushes) has caught up, since it shares its core with the load."""
    began = time.monotonic()
    while time.monotonic() - began < _MOST_BEHIND_SECONDS:
        before = sum(cpu_seconds(process) for process in target.others.values())
        await asyncio.sleep(1.0)
        if sum(cpu_seconds(process) for process in target.others.values()) - before < _IDLE_CPU_SECONDS:
            break
    return round(time.monotonic() - began, 1)


async def _connections(target: Target, pairs: Sequence[Pair]) -> dict[str, Any]:
    tokens = [token for pair in pairs for token in (pair.patient_token, pair.doctor_token)]
    wanted = (tokens * _PER_SESSION)[:_IDLE]
    before = target.memory()
    per_second, clients = await connect_many(target.host, target.port, wanted)
    await asyncio.sleep(2.0)
    held = target.memory() - before
    for client in clients:
        client.close()
    return {"per_second": round(per_second), "mb_per_1000_idle": round(held / len(clients) * 1_000 / 1e6, 1)}


def flush_of(folder: Path | None, times: int = 300) -> dict[str, float]:
    """How long the disk takes to flush 4 KiB, in ms."""
    samples = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(times):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            samples.append((time.perf_counter() - began) * 1_000)
            time.sleep(0.005)
    cuts = statistics.quantiles(samples, n=100)
    return {"p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2)}


async def measure_product(counts: Sequence[int], seconds: float, where: Path | None, processes: int = 1) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=where) as folder:
        product = running_product(Path(folder), free_port(), free_port(), max(counts), processes=processes)
        async with product as running:
            pairs = await make_pairs(running, max(counts))
            servers = [each for name, each in running.processes.items() if name.startswith("serve")]
            others = {name: each for name, each in running.processes.items() if not name.startswith("serve")}
            return await measure(Target(running.host, running.port, servers, others), pairs, counts, seconds)


def scaling(one: Mapping[str, Any], several: Mapping[str, Any], processes: int) -> dict[str, float]:
    """How many times the messages of one process so many carry, each with a core of its own and the rest of the machine counted
    out: by the processor time that a message costs them."""
    return {
        name: round(processes * found["cpu_ms_per_message"]["server"] / several[name]["cpu_ms_per_message"]["server"], 2)
        for name, found in one.items()
        if name.startswith("throughput")
    }


async def measure_relay(counts: Sequence[int], seconds: float) -> dict[str, Any]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.relay", str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        server = psutil.Process(process.pid)
        pin(server, 0)
        pairs = [Pair(f"c{n}", f"c{n}/patient", f"c{n}/doctor") for n in range(max(counts))]
        return await measure(Target("127.0.0.1", port, [server], {}), pairs, counts, seconds)
    finally:
        process.terminate()
        await process.wait()


async def main(arguments: argparse.Namespace) -> None:
    counts = [int(part) for part in arguments.pairs.split(",")]
    report: dict[str, Any] = {
        "machine": {"cores": psutil.cpu_count(), "processor": platform.machine(), "python": platform.python_version()},
        "disk_flush": flush_of(arguments.folder),
        "yunzhen": await measure_product(counts, arguments.seconds, arguments.folder),
        "relay_without_storage": await measure_relay(counts, arguments.seconds),
    }
    if (processes := arguments.processes) > 1:
        several = await measure_product(counts, arguments.seconds, arguments.folder, processes)
        report[f"yunzhen_{processes}_processes"] = several | {
            "times_one_process": scaling(report["yunzhen"], several, processes)
        }
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default="50,200", help="numbers of pairs that talk at once")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement")
    parser.add_argument("--processes", type=int, default=1, help="measure so many server processes together as well")
    parser.add_argument("--folder", type=Path, help="where the databases lie while they are measured")
    parser.add_argument("--out", type=Path, help="where the report is written as JSON")
    uvloop.run(main(parser.parse_args()))
