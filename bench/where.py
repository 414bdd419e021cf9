"""Where the time of one process goes while pairs talk without end: samples of its stacks, by what the code was about.

`python -m bench where [--process serve|keeper] [--pairs 50] [--rate 0] [--processes 1]`. `--rate` above 0: so many messages a
second instead of as many as go. The sampler is py-spy, from outside, so nothing of the product knows of it; it must be allowed
to look into another process (root, or the same user where the system lets it). Shares are of the samples in which the process
had work, and microseconds those shares of its processor time a message, as the operating system counts it.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import uvloop

from bench.load import connect_pairs, latency_at, talk_for
from bench.messages import WARM_SECONDS
from bench.product import cpu_seconds, free_port, make_pairs, running_product

_SAMPLES_PER_SECOND = 250

STAGES = {
    "serve": (
        ("told by other processes", "RedisBus._listen"),
        ("told to other processes", "RedisBus"),
        ("orders told to both sides", "OrderAnnouncer"),
        ("names of senders", "NameBook"),
        ("who is connected, sessions", "DeviceWatch", "_watch_sessions"),
        ("message.new: encode, frame, write", "Lanes.tell"),
        ("decide, seal, chain", "Lanes._try"),
        ("fold, next in the lane", "Lanes.stored", "GroupCommit._resolve"),
        ("insert: the driver, BSON", "GroupCommit"),
        ("the command: validate, digest, queue", "CommandRunner.run"),
        ("acknowledge: frame, write", "SocketServer._run_lane"),
        ("packet: split, bucket, start a task", "SocketServer._on_event"),
        ("frame: read, unmask", "LeanSocket._read", "data_received"),
        ("database driver, otherwise", "pymongo"),
        ("redis", "redis"),
    ),
    "keeper": (
        ("push rows", "PushService"),
        ("notices", "NoticeService"),
        ("fair replies", "FairnessService"),
        ("orders: fold, write", "OrderProjection"),
        ("search terms", "SearchTerms"),
        ("open entries", "Follower._open"),
        ("change stream, place", "Follower"),
        ("sweeps", "Deadline", "sweep"),
        ("database driver, otherwise", "pymongo"),
        ("redis", "redis"),
    ),
}
"""By process: a stage, and words of the stack that mean it. The first that fits counts."""

_IDLE_THREADS = ("concurrent/futures/thread.py", "_sync_wait", "selectors.py")


def shares(lines: Iterable[str], stages: Sequence[tuple[str, ...]]) -> dict[str, float]:
    """The share of each stage, largest first, from stacks as py-spy writes them: frames by `;`, then a blank and a count."""
    counts: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if any(word in stack.rpartition(";")[2] for word in _IDLE_THREADS):
            continue
        name = next((stage for stage, *words in stages if any(word in stack for word in words)), "event loop, the rest")
        counts[name] += int(count)
    total = counts.total()
    return {name: count / total for name, count in counts.most_common()} if total else {}


async def measure(wanted: argparse.Namespace, folder: Path) -> dict[str, Any]:
    stacks = folder / "stacks"
    product = running_product(folder, free_port(), free_port(), wanted.pairs, processes=wanted.processes)
    async with product as running:
        pairs = await make_pairs(running, wanted.pairs)
        talks = await connect_pairs(running.host, running.port, pairs, "where")
        await asyncio.sleep(WARM_SECONDS)
        process = running.processes[wanted.process]
        sampler = await asyncio.create_subprocess_exec(
            str(shutil.which("py-spy", path=str(Path(sys.executable).parent))), "record", "--format", "raw", "--nonblocking",
            "--rate", str(_SAMPLES_PER_SECOND), "--duration", str(wanted.seconds), "--output", str(stacks),
            "--pid", str(process.pid), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        before, begun = cpu_seconds(process), sum(talk.count for talk, _, _ in talks)
        if wanted.rate:
            await latency_at(talks, wanted.rate, wanted.seconds)
        else:
            await talk_for(talks, wanted.seconds)
        used, messages = cpu_seconds(process) - before, sum(talk.count for talk, _, _ in talks) - begun
        await sampler.wait()
    found = shares(stacks.read_text().splitlines(), STAGES[wanted.process])
    each = used / messages * 1e6
    return {
        "process": wanted.process,
        "pairs": wanted.pairs,
        "messages_per_second": round(messages / wanted.seconds),
        "cpu_us_per_message": round(each, 1),
        "stages_us_and_share": {name: [round(share * each, 1), round(share, 3)] for name, share in found.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--process", choices=list(STAGES), default="serve")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--processes", type=int, default=1, help="of the server; the first is looked at")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rate", type=float, default=0.0)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        print(json.dumps(uvloop.run(measure(wanted, Path(folder))), indent=2))


if __name__ == "__main__":
    main()
