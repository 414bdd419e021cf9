"""`python -m tests.chaos [--seed N] [--minutes M]`: besiege the product, and say what held. Exits 0 only if all did."""

import argparse
import asyncio
import json
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.siege import besiege

MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 1024**3


def place() -> Path:
    """In memory where there is room: what is killed is processes, and none of them pulls the plug."""
    where = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > _ROOM_BYTES else None
    return Path(tempfile.mkdtemp(prefix="yunzhen-chaos-", dir=where))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="the same seed is the same plan; one is drawn, and named, if not given")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long it goes on; at least one round")
    parser.add_argument("--folder", type=Path, help="where the databases and logs lie, kept afterwards")
    parser.add_argument("--out", type=Path, help="where the report is written as JSON")
    wanted = parser.parse_args()
    seed = secrets.randbelow(10**6) if wanted.seed is None else wanted.seed
    folder = wanted.folder or place()
    print(f"seed {seed}, {wanted.minutes:g} minutes, in {folder}", flush=True)
    report = asyncio.run(besiege(seed, wanted.minutes, folder, lambda line: print(line, flush=True)))
    print(report.text(), flush=True)
    if wanted.out is not None:
        wanted.out.write_text(json.dumps(report.json(), ensure_ascii=False, indent=2) + "\n")
    if report.holds and wanted.folder is None:
        shutil.rmtree(folder)
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
