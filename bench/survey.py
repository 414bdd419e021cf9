"""The long run of `bench.watermark`: `python -m bench.survey FILE`, a line of JSON for each page and attack.

It can be stopped at any time and goes on where it stopped: what stands in FILE is not done again. It goes in rounds, so that
whatever was reached is spread over all pages: in each, 25 marked pages photographed twice and 100 unmarked ones under the
promised attacks in turn, and 5 marked pages under every attack, mixed views included. `--tables` prints what is there so far.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image

from bench.watermark import ATTACKS, KEY, PROMISED, Picture, made_page, view_id, view_mark
from watermark.forensic import match, read
from watermark.page import mark_page
from watermark.visible import draw_visible

PHOTOS: Final = ("photo", "photo, 40 % crop")
_ROUNDS: Final = 100
_PHOTOGRAPHED: Final = 25
_ATTACKED: Final = 5
_UNMARKED: Final = 100
_ISSUED: Final = 2000
UNMARKED: Final = "unmarked"
MIXED: Final = "two views averaged, JPEG 50"
_Job = tuple[str, int]


def jobs() -> Iterator[_Job]:
    """Everything, in order: an attack's name and a page's number."""
    for number in range(_ROUNDS):
        for page in range(number * _PHOTOGRAPHED, (number + 1) * _PHOTOGRAPHED):
            yield from ((name, page) for name in PHOTOS)
        yield from ((UNMARKED, number * _UNMARKED + n) for n in range(_UNMARKED))
        for page in range(number * _ATTACKED, (number + 1) * _ATTACKED):
            yield from ((name, page) for name in (*ATTACKS, MIXED) if name not in PHOTOS)


def done_in(path: Path) -> dict[_Job, dict[str, Any]]:
    """What a file holds. A last line that was torn off is done again."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[row["attack"], row["page"]] = row
    return found


class Survey:
    """Pages are drawn once, however many attacks they meet."""

    def __init__(self) -> None:
        self._marked: tuple[int, Picture] = (-1, Image.new("RGB", (1, 1)))
        self._ids = [view_id(number) for number in range(_ISSUED)]

    def run(self, attack: str, number: int) -> dict[str, Any]:
        if attack == UNMARKED:
            page, dark = made_page(100_000 + number)
            name = PROMISED[number % len(PROMISED)]
            visible = draw_visible(page, view_mark(number), dark=dark)
            return self._read(ATTACKS[name](visible, np.random.default_rng([4, number])), number, attack)
        if attack == MIXED:
            return self._mixed(number)
        place = list(ATTACKS).index(attack)
        return self._read(ATTACKS[attack](self._page(number), np.random.default_rng([3, place, number])), number, attack)

    def _page(self, number: int) -> Picture:
        if self._marked[0] != number:
            page, dark = made_page(number)
            self._marked = number, mark_page(page, view_mark(number), view_id(number), key=KEY, dark=dark)
        return self._marked[1]

    def _read(self, picture: Picture, number: int, attack: str) -> dict[str, Any]:
        begun = time.process_time()
        reading = read(picture, key=KEY)
        seconds = round(time.process_time() - begun, 3)
        traced = reading is not None and attack != UNMARKED and reading.view_id == view_id(number)
        confidence = None if reading is None else round(reading.confidence, 3)
        wrong = reading is not None and not traced
        return {"attack": attack, "page": number, "traced": traced, "wrong": wrong, "confidence": confidence, "s": seconds}

    def _mixed(self, number: int) -> dict[str, Any]:
        """Asked against many issued ids, as a trace asks: traced is who named both and nobody else."""
        page, dark = made_page(number)
        guilty = {(number * 7) % _ISSUED, (number * 7 + 13) % _ISSUED}
        copies = [mark_page(page, view_mark(n), self._ids[n], key=KEY, dark=dark) for n in sorted(guilty)]
        mixed = np.mean([np.asarray(copy, dtype=np.float32) for copy in copies], axis=0)
        out = BytesIO()
        Image.fromarray(np.rint(mixed).astype(np.uint8)).save(out, "JPEG", quality=50)
        begun = time.process_time()
        found = {reading.view_id for reading in match(Image.open(out), self._ids, key=KEY)}
        seconds = round(time.process_time() - begun, 3)
        meant = {self._ids[n] for n in guilty}
        return {
            "attack": MIXED, "page": number, "traced": found == meant, "wrong": bool(found - meant),
            "confidence": None, "s": seconds,
        }  # fmt: skip


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """The 95 % interval of a share, in percent."""
    z = 1.96
    share, spread = hits / tries, z * z / tries
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / tries + spread / tries / 4) / (1 + spread)
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


def tables(rows: Iterable[Mapping[str, Any]]) -> str:
    """In Markdown."""
    by_attack: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_attack.setdefault(row["attack"], []).append(row)
    lines = ["| attack | traced | 95 % interval | wrong name | CPU s to read, p50 / max |", "|---|---|---|---|---|"]
    for name in (*ATTACKS, MIXED):
        if not (found := by_attack.get(name)):
            continue
        traced, wrong = sum(row["traced"] for row in found), sum(row["wrong"] for row in found)
        low, high = wilson(traced, len(found))
        times = [row["s"] for row in found]
        lines.append(
            f"| {name} | {traced}/{len(found)} = {100 * traced / len(found):.1f} % | {low:.1f}–{high:.1f} % | {wrong} "
            f"| {statistics.median(times):.2f} / {max(times):.2f} |"
        )
    if found := by_attack.get(UNMARKED):
        wrong = sum(row["wrong"] for row in found)
        most = wilson(wrong, len(found))[1]
        times = [row["s"] for row in found]
        lines += ["", f"Unmarked pages: {wrong} of {len(found)} named (95 %: below {most:.2f} %); "
                  f"{statistics.median(times):.2f} / {max(times):.2f} CPU s to read."]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tables", action="store_true", help="only print what the file holds")
    wanted = parser.parse_args()
    done = done_in(wanted.file)
    if wanted.tables:
        print(tables(done.values()))
        return
    cv2.setNumThreads(1)
    survey = Survey()
    with wanted.file.open("a", encoding="utf-8") as file:
        for attack, number in jobs():
            if (attack, number) not in done:
                file.write(json.dumps(survey.run(attack, number), ensure_ascii=False) + "\n")
                file.flush()


if __name__ == "__main__":
    main()
