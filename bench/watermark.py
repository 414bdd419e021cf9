"""What the marks cost, and what the hidden one survives: `python -m bench.watermark`, JSON and a table in Markdown.

Pages are made up here (tables, notes, an image; light and dark; phone and desktop), marked both ways, attacked, and read back
without the original. Everything follows from the page's number, so that two runs see the same pixels. Unmarked pages, which
carry the visible mark only, go through the same attacks: whatever is read from them is a wrong name, and so is a wrong id from
a marked page.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.pages import table
from ehr_view.drawing.page import draw_sheet
from watermark import fonts
from watermark.code import CODED_BITS, decode
from watermark.forensic import PAPER, PAPER_DARK, embed, match, read
from watermark.page import mark_page
from watermark.visible import VisibleMark, draw_visible

Picture = Image.Image
Random = np.random.Generator
Attack = Callable[[Picture, Random], Picture]

KEY: Final = bytes(range(32))
_TESTS: Final = (
    "白细胞计数",
    "血红蛋白",
    "血小板计数",
    "丙氨酸氨基转移酶",
    "肌酐",
    "尿酸",
    "钾 K⁺",
    "钠 Na⁺",
    "总胆红素",
    "葡萄糖",
    "甘油三酯",
)
_UNITS: Final = ("10⁹/L", "g/L", "U/L", "μmol/L", "mmol/L")
_NOTE: Final = (
    "患者因“反复上腹痛3月余，加重2天”就诊。查体：T 36.8℃，P 78次/分，R 18次/分，BP 126/78 mmHg。腹平软，剑突下轻压痛，"
    "无反跳痛及肌紧张，肝脾肋下未触及，肠鸣音4次/分。辅助检查：WBC 6.32×10⁹/L，CRP 8.2 mg/L。"
)


def made_page(number: int, *, rows: int = 40) -> tuple[Picture, bool]:
    """A page by its number, unmarked, and whether it is dark."""
    random = np.random.default_rng([1, number])
    dark = number % 3 == 2
    width, height = ((1080, 1920), (1080, 1920), (1440, 1600))[number % 5 % 3]
    ground, ink = (PAPER_DARK, (226, 228, 232)) if dark else (PAPER, (28, 30, 34))
    page = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(page)
    fonts.draw_text(draw, (48, 36), ("检验报告单", "门诊病历", "影像检查报告")[number % 4 % 3], size=44, fill=ink, bold=True)
    if number % 4 == 1:
        text = "".join(_NOTE[int(random.integers(len(_NOTE))) :] for _ in range(14))
        for row, line in enumerate(fonts.wrap(text, 30, width - 96)[: (height - 160) // 44]):
            fonts.draw_text(draw, (48, 120 + row * 44), line, size=30, fill=ink)
    elif number % 4 == 2:
        _table(draw, random, width, dark=dark, rows=min(rows, 14), top=height - 14 * 44 - 40)
        page.paste(_scan(random, width - 96, height - 14 * 44 - 220), (48, 120))
    else:
        _table(draw, random, width, dark=dark, rows=min(rows, (height - 140) // 44), top=130)
    return page, dark


def product_page(number: int) -> tuple[Picture, bool]:
    """A table as the product draws it, 10 to 45 rows at the spacing that so many get, narrow and wide, light and dark.

    Rows of other heights are stripes of another period, which the mark's reader must take for what they are.
    """
    dark = number % 2 == 1
    sheet, width = table(10 + number * 7 % 36), (1080, 1080, 1440)[number % 3]
    return draw_sheet(sheet, "唐玉兰  女  60岁", f"YZ{number:012d}", width=width, dark=dark, loaded=()), dark


def _table(draw: ImageDraw.ImageDraw, random: Random, width: int, *, dark: bool, rows: int, top: int) -> None:
    ground, ink = (PAPER_DARK, (226, 228, 232)) if dark else (PAPER, (28, 30, 34))
    for row in range(rows):
        y, value = top + row * 44, float(random.random() * 100)
        if row % 2:
            draw.rectangle((30, y, width - 30, y + 43), fill=tuple(c + (6 if dark else -7) for c in ground))
        high = value > 70
        loud = ((255, 128, 120) if dark else (190, 30, 30)) if high else ink
        fonts.draw_text(draw, (48, y + 8), _TESTS[int(random.integers(len(_TESTS)))], size=28, fill=ink)
        fonts.draw_text(draw, (400, y + 8), f"{value:.2f}{' ↑' if high else ''}", size=28, fill=loud, bold=high)
        fonts.draw_text(draw, (580, y + 8), _UNITS[int(random.integers(len(_UNITS)))], size=26, fill=ink)
        fonts.draw_text(draw, (760, y + 8), f"{value * 0.5:.1f}–{value * 1.3:.1f}", size=26, fill=ink)


def _scan(random: Random, width: int, height: int) -> Picture:
    """Something that looks like an X-ray to statistics: soft shapes, mid greys, grain."""
    shapes = cv2.GaussianBlur(random.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 40) * 1500
    grain = cv2.GaussianBlur(random.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 1.0) * 12
    return Image.fromarray(np.clip(70 + shapes + grain, 0, 255).astype(np.uint8)).convert("RGB")


def view_mark(number: int) -> VisibleMark:
    """The visible mark of the view that a page's number stands for."""
    at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=37 * number)
    return VisibleMark("欧阳晓䶮", f"D{20260000 + number}", f"{number % 10000:04d}", at, f"YZ20260301{number:06d}")


def view_id(number: int) -> int:
    """A view's id, 48 bits."""
    return int(np.random.default_rng([2, number]).integers(1 << 48))


def _jpeg(quality: int) -> Attack:
    def attack(page: Picture, _: Random) -> Picture:
        out = BytesIO()
        page.save(out, "JPEG", quality=quality)
        return Image.open(out).convert("RGB")

    return attack


def _scaled(ratio: float) -> Attack:
    return lambda page, _: page.resize((round(page.width * ratio), round(page.height * ratio)), Image.Resampling.BICUBIC)


def _cropped(share: float) -> Attack:
    def attack(page: Picture, random: Random) -> Picture:
        side = float(np.sqrt(share))
        width, height = round(page.width * side), round(page.height * side)
        left, top = int(random.integers(page.width - width + 1)), int(random.integers(page.height - height + 1))
        return page.crop((left, top, left + width, top + height))

    return attack


def _noisy(deviation: float) -> Attack:
    def attack(page: Picture, random: Random) -> Picture:
        grain = random.standard_normal((page.height, page.width, 3), dtype=np.float32)
        values = np.asarray(page) + np.float32(deviation) * grain
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))

    return attack


def photo(page: Picture, random: Random) -> Picture:
    """A phone's photo of a screen: ≤15° off in two axes, ≤5° turned, 0.6–1.4×, uneven light, gamma, blur, grain, JPEG 50."""
    ratio = float(random.uniform(0.6, 1.4))
    tilt, pan, roll = np.radians([random.uniform(-15, 15), random.uniform(-15, 15), random.uniform(-5, 5)])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    about_y = np.array([[np.cos(pan), 0, np.sin(pan)], [0, 1, 0], [-np.sin(pan), 0, np.cos(pan)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    distance = 1.6 * page.height
    place = about_z @ about_y @ about_x @ np.array([[1, 0, -page.width / 2], [0, 1, -page.height / 2], [0, 0, 0]], dtype=float)
    place[2] += 0, 0, distance
    camera = np.diag([distance * ratio, distance * ratio, 1.0]) @ place
    corners = np.array([[[0, 0], [page.width, 0], [page.width, page.height], [0, page.height]]], dtype=float)
    seen = cv2.perspectiveTransform(corners, camera)[0]
    low, high = seen.min(axis=0), seen.max(axis=0)
    width, height = (int(n) for n in high - low)
    camera = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]]) @ camera
    flags = cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC
    seen = cv2.warpPerspective(np.asarray(page), camera, (width, height), flags=flags, borderValue=(60, 58, 55))
    seen = cv2.GaussianBlur(seen, (0, 0), float(random.uniform(0.4, 1.0))).astype(np.float32) / 255
    across, down = random.uniform(-0.15, 0.15, 2)
    light = 1 + across * (np.arange(width)[None, :] / width - 0.5) + down * (np.arange(height)[:, None] / height - 0.5)
    gamma, gain = np.float32(random.uniform(0.8, 1.25)), random.uniform(0.8, 1.1)
    seen = cv2.pow(seen, float(gamma)) * (gain * light[:, :, None]).astype(np.float32)
    seen = seen + np.float32(0.015) * random.standard_normal(seen.shape, dtype=np.float32)
    return _jpeg(50)(Image.fromarray((np.clip(seen, 0, 1) * 255).astype(np.uint8)), random)


def _then(*steps: Attack) -> Attack:
    def attack(page: Picture, random: Random) -> Picture:
        for step in steps:
            page = step(page, random)
        return page

    return attack


def _whitened(page: Picture, _: Random) -> Picture:
    """A scanner app's "document" filter: the ground is divided away and everything near it becomes white."""
    grey = np.asarray(page.convert("L"))
    ground = cv2.medianBlur(grey, 61).astype(np.float32)
    ratio = grey / np.maximum(ground, 1.0)
    return Image.fromarray(np.clip((ratio - 0.55) / 0.35 * 255, 0, 255).astype(np.uint8)).convert("RGB")


def _whitened_softly(page: Picture, _: Random) -> Picture:
    """Levels pulled until paper is nearly white, as a photo editor's "brighten" does."""
    values = np.asarray(page).astype(np.float32)
    return Image.fromarray(np.clip(values * (250.0 / 228.0), 0, 255).astype(np.uint8))


def _redrawn(page: Picture, _: Random) -> Picture:
    """Text cut out along its edges and set on fresh paper: what is left of a page that was typed again."""
    grey = np.asarray(page.convert("L"))
    ground = int(np.median(grey))
    strokes = np.abs(grey.astype(int) - ground) > 60
    return Image.fromarray(np.where(strokes, 255 - 255 * (ground > 127), 255 * (ground > 127)).astype(np.uint8)).convert("RGB")


def _blurred(deviation: float) -> Attack:
    return lambda page, _: Image.fromarray(cv2.GaussianBlur(np.asarray(page), (0, 0), deviation))


def _inverted(page: Picture, _: Random) -> Picture:
    """What a browser or a viewer makes of a page in its forced dark mode."""
    return Image.fromarray(255 - np.asarray(page))


def _levels(gamma: float, gain: float) -> Attack:
    """Brightness and gamma as a picture editor's sliders move them; grey."""

    def attack(page: Picture, _: Random) -> Picture:
        values = np.asarray(page.convert("L")).astype(np.float32) / 255
        return Image.fromarray(np.clip(values**gamma * gain * 255, 0, 255).astype(np.uint8))

    return attack


ATTACKS: Final[Mapping[str, Attack]] = {
    "screenshot": lambda page, _: page,
    "JPEG 50": _jpeg(50),
    "JPEG 30": _jpeg(30),
    "scaled 0.5×": _scaled(0.5),
    "scaled 0.5×, JPEG 30": _then(_scaled(0.5), _jpeg(30)),
    "scaled 1.4×, JPEG 50": _then(_scaled(1.4), _jpeg(50)),
    "40 % crop": _cropped(0.4),
    "20 % crop, JPEG 50": _then(_cropped(0.2), _jpeg(50)),
    "noise σ 8": _noisy(8.0),
    "photo": photo,
    "photo, 40 % crop": _then(photo, _cropped(0.4)),
    "quarter turn, JPEG 50": _then(lambda page, _: page.rotate(90, expand=True), _jpeg(50)),
    "dark mode forced, JPEG 50": _then(_inverted, _jpeg(50)),
    "grey, gamma 1.6": _levels(1.6, 1.0),
    "grey, gamma 0.7, darkened": _levels(0.7, 0.75),
    "0.75×, JPEG 60, then 1.2×, JPEG 40": _then(_scaled(0.75), _jpeg(60), _scaled(1.2), _jpeg(40)),
    "brightened to white": _whitened_softly,
    "blur σ 3": _blurred(3.0),
    "whitening scanner": _whitened,
    "redrawn": _redrawn,
    "cropped, 0.75×, JPEG 55": _then(_cropped(0.7), _scaled(0.75), _jpeg(55)),
}
HOSTILE: Final = ("brightened to white", "blur σ 3", "whitening scanner", "redrawn")
"""Beyond what the mark promises; reported, not expected to survive."""
PROMISED: Final = tuple(name for name in ATTACKS if name not in HOSTILE)


def survival(
    pages: int, names: tuple[str, ...], say: Callable[[str], None], made: Callable[[int], tuple[Picture, bool]] = made_page
) -> dict[str, dict[str, Any]]:
    """For each attack: how many marked pages were traced, how many named wrongly, the time of a reading."""
    table: dict[str, dict[str, Any]] = {}
    for place, name in enumerate(names):
        traced, wrong, seconds, confidence = 0, 0, [], []
        for number in range(pages):
            page, dark = made(number)
            marked = mark_page(page, view_mark(number), view_id(number), key=KEY, dark=dark)
            attacked = ATTACKS[name](marked, np.random.default_rng([3, place, number]))
            begun = time.process_time()
            reading = read(attacked, key=KEY)
            seconds.append(time.process_time() - begun)
            if reading is not None:
                traced += reading.view_id == view_id(number)
                wrong += reading.view_id != view_id(number)
                confidence.append(reading.confidence)
        table[name] = {
            "pages": pages,
            "traced": traced,
            "wrong": wrong,
            "lowest_confidence": round(min(confidence), 3) if confidence else None,
            "read_cpu_s_p50": round(statistics.median(seconds), 2),
            "read_cpu_s_max": round(max(seconds), 2),
        }
        say(f"{name}: {traced}/{pages} traced, {wrong} wrong, {table[name]['read_cpu_s_p50']} s")
    return table


def false_positives(pages: int, names: tuple[str, ...], say: Callable[[str], None]) -> dict[str, int]:
    """Readings from pages without a hidden mark, each under one of the attacks in turn."""
    named = 0
    for number in range(pages):
        page, dark = made_page(100_000 + number)
        visible = draw_visible(page, view_mark(number), dark=dark)
        attacked = ATTACKS[names[number % len(names)]](visible, np.random.default_rng([4, number]))
        named += read(attacked, key=KEY) is not None
        if number % 100 == 99:
            say(f"unmarked: {named}/{number + 1} named")
    return {"pages": pages, "named": named}


def false_words(tries: int) -> dict[str, int]:
    """The last line of defence alone: noise given straight to the decoder, past every test before it."""
    random = np.random.default_rng(5)
    named = sum(decode(KEY, random.normal(size=CODED_BITS)) is not None for _ in range(tries))
    return {"tries": tries, "named": named}


def collusion(pages: int, issued: int, say: Callable[[str], None]) -> dict[str, dict[str, int]]:
    """Several views of one page averaged, then saved as JPEG 50; asked against the ids of `issued` views."""
    ids = [view_id(number) for number in range(issued)]
    out: dict[str, dict[str, int]] = {}
    for views in (2, 3, 4):
        decoded, some, whole, wrong = 0, 0, 0, 0
        for number in range(pages):
            page, dark = made_page(number)
            colluding = [(number * 7 + k * 13) % issued for k in range(views)]
            copies = [mark_page(page, view_mark(n), ids[n], key=KEY, dark=dark) for n in colluding]
            mixed = np.mean([np.asarray(copy, dtype=np.float32) for copy in copies], axis=0)
            leaked = _jpeg(50)(Image.fromarray(np.rint(mixed).astype(np.uint8)), np.random.default_rng(number))
            reading = read(leaked, key=KEY)
            decoded += reading is not None
            found = {reading.view_id for reading in match(leaked, ids, key=KEY)}
            guilty = {ids[n] for n in colluding}
            accused = found | ({reading.view_id} if reading else set())
            some, whole, wrong = some + bool(accused & guilty), whole + (found == guilty), wrong + bool(accused - guilty)
        out[str(views)] = {"pages": pages, "decoded": decoded, "some_named": some, "all_named": whole, "wrong": wrong}
        say(f"collusion of {views}: {out[str(views)]}")
    return out


def timings(pages: int) -> dict[str, float]:
    """Milliseconds of CPU, medians over pages of 1080 × 1920 with 40 rows, each step beside Pillow's plain draw."""
    steps: dict[str, list[float]] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        begun = time.process_time()
        result = step()
        steps.setdefault(name, []).append((time.process_time() - begun) * 1000)
        return result

    for number in (3 * 20 * n for n in range(pages)):
        timed("draw_plain_pillow", lambda n=number: _plain_page(n))
        page, dark = timed("draw_with_glyph_cache", lambda n=number: made_page(n))
        timed("visible", lambda n=number, p=page, d=dark: draw_visible(p, view_mark(n), dark=d))
        timed("forensic", lambda n=number, p=page: embed(p, view_id(n), key=KEY))
        marked = timed("both_marks", lambda n=number, p=page, d=dark: mark_page(p, view_mark(n), view_id(n), key=KEY, dark=d))
        timed("jpeg_q80", lambda m=marked: m.save(BytesIO(), "JPEG", quality=80))
        timed("read", lambda m=marked: read(m, key=KEY))
    middle = {name: round(statistics.median(values), 1) for name, values in steps.items()}
    middle["page_total"] = round(middle["draw_with_glyph_cache"] + middle["both_marks"] + middle["jpeg_q80"], 1)
    return middle


def _plain_page(number: int) -> Picture:
    """The same kind of page as Pillow alone draws it, for comparison: no cache, no fallback."""
    random = np.random.default_rng([1, number])
    page = Image.new("RGB", (1080, 1920), PAPER)
    draw = ImageDraw.Draw(page)
    font = _pillow_font()
    for row in range(40):
        y, value = 130 + row * 44, float(random.random() * 100)
        if row % 2:
            draw.rectangle((30, y, 1050, y + 43), fill=(221, 222, 219))
        draw.text((48, y + 8), _TESTS[int(random.integers(len(_TESTS)))], font=font, fill=0)
        draw.text((400, y + 8), f"{value:.2f}", font=font, fill=0)
        draw.text((580, y + 8), _UNITS[int(random.integers(len(_UNITS)))], font=font, fill=0)
        draw.text((760, y + 8), f"{value * 0.5:.1f}–{value * 1.3:.1f}", font=font, fill=0)
    return page


def _pillow_font() -> ImageFont.FreeTypeFont:
    if not _FONT:
        _FONT.append(fonts.pillow_font(28))
    return _FONT[0]


_FONT: Final[list[ImageFont.FreeTypeFont]] = []


def markdown(result: Mapping[str, Any]) -> str:
    """The result as tables."""
    lines = ["| attack | traced | wrong name | lowest confidence | read, CPU s p50 / max |", "|---|---|---|---|---|"]
    for name, row in result["survival"].items():
        share = 100 * row["traced"] / row["pages"]
        speed = f"{row['read_cpu_s_p50']} / {row['read_cpu_s_max']}"
        lines.append(
            f"| {name} | {row['traced']}/{row['pages']} = {share:.1f} % | {row['wrong']} | "
            f"{row['lowest_confidence']} | {speed} |"
        )
    lines += [
        "",
        f"Unmarked: {result['unmarked']['named']} named of {result['unmarked']['pages']}. "
        f"Noise given to the decoder: {result['noise']['named']} read of {result['noise']['tries']}.",
        "",
    ]
    lines += ["| views mixed | decoded | at least one named | all named | wrong name |", "|---|---|---|---|---|"]
    for views, row in result["collusion"].items():
        lines.append(
            f"| {views} | {row['decoded']}/{row['pages']} | {row['some_named']} | {row['all_named']} | {row['wrong']} |"
        )
    lines += ["", "| step | CPU ms, median |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in result["cpu_ms"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=100, help="marked pages an attack")
    parser.add_argument("--full", action="store_true", help="500 pages an attack and 10 000 unmarked pages; see bench.survey")
    parser.add_argument("--unmarked", type=int, default=300, help="pages without the hidden mark")
    parser.add_argument("--noise", type=int, default=2000, help="words of noise for the decoder")
    parser.add_argument("--mixed", type=int, default=20, help="pages whose views are mixed")
    parser.add_argument("--product", action="store_true", help="tables as the product draws them")
    parser.add_argument("--attack", action="append", choices=list(ATTACKS), help="only these attacks")
    parser.add_argument("--json", type=Path, help="write the result there")
    parser.add_argument("--markdown", type=Path, help="write the tables there")
    wanted = parser.parse_args()
    cv2.setNumThreads(1)
    pages, unmarked = (500, 10_000) if wanted.full else (wanted.pages, wanted.unmarked)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    made = product_page if wanted.product else made_page
    result = {
        "cpu_ms": timings(12),
        "survival": survival(pages, tuple(wanted.attack or ATTACKS), say, made) if pages else {},
        "collusion": collusion(wanted.mixed, 2000, say) if wanted.mixed else {},
        "noise": false_words(wanted.noise),
        "unmarked": false_positives(unmarked, tuple(wanted.attack or PROMISED), say),
    }
    text = json.dumps(result, ensure_ascii=False, indent=1)
    if wanted.json:
        wanted.json.write_text(text + "\n", encoding="utf-8")
    if wanted.markdown:
        wanted.markdown.write_text(markdown(result), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
