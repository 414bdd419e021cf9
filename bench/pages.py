"""How fast pages of records are drawn, marked and encoded: `python -m bench.pages`, JSON out.

Figures are milliseconds of one core (the process's own CPU time), so that what else runs on the machine does not count.
`plain` is the same table drawn with Pillow alone and saved as JPEG, unmarked, in the same run.
"""

import argparse
import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import resources

from PIL import Image, ImageDraw, ImageFont

from ehr_view.domain.pagination import paginate
from ehr_view.domain.records import Flag, Form, LabItem, LabReport, Note, Range, Record, Section
from ehr_view.domain.sheets import Sheet
from ehr_view.domain.trends import trends_of
from ehr_view.drawing.page import draw_sheet
from ehr_view.worker import Job, MarkHead, render

AT = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
KEY = b"b" * 32
NAMES = (
    "丙氨酸氨基转移酶 天门冬氨酸氨基转移酶 总胆红素 直接胆红素 总蛋白 白蛋白 球蛋白 碱性磷酸酶 尿素 肌酐 "
    "尿酸 胱抑素C 空腹血糖 钾 钠 氯 钙 磷 镁 铁蛋白"
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pages", type=int, default=100)
    pages = max(10, arguments.parse_args().pages)
    sheets = {"table_40_rows": table(40), "note": note(), "trends": trends()}
    found: dict[str, object] = {"unit": "ms of one core", "pages": pages}
    for name, sheet in sheets.items():
        for mime in ("image/jpeg", "image/webp", "image/png") if name == "table_40_rows" else ("image/jpeg",):
            found[f"{name} {mime}"] = measured(pages, lambda n, s=sheet, m=mime: render(job(s, n, m), [], KEY))  # type: ignore[misc]
    found["table_40_rows drawn only"] = measured(
        pages, lambda n: draw_sheet(sheets["table_40_rows"], "唐玉兰", "YZ1", width=1080, dark=False, loaded=())
    )
    font = _plain_font()
    found["table_40_rows plain Pillow, JPEG"] = measured(pages, lambda n: plain(font))
    print(json.dumps(found, ensure_ascii=False, indent=2))


def measured(count: int, work: Callable[[int], object]) -> dict[str, float]:
    """p50 and p99 after a few to warm up."""
    for number in range(3):
        work(number)
    times = []
    for number in range(count):
        began = time.process_time()
        work(number)
        times.append((time.process_time() - began) * 1000)
    times.sort()
    return {"p50": round(times[len(times) // 2], 1), "p99": round(times[min(len(times) - 1, len(times) * 99 // 100)], 1)}


def job(sheet: Sheet, number: int, mime: str) -> Job:
    """Another instant and view each time: no mark is there already."""
    mark = MarkHead("王慧敏", "D10023", "5678", AT + timedelta(seconds=number), "YZ202611220001", number + 1)
    return Job(sheet, "唐玉兰  女  60岁", mark, 1080, False, mime)


def table(rows: int, at: datetime = AT) -> Sheet:
    return paginate(lab(rows, at))[0]


def lab(rows: int, at: datetime, shift: float = 0.0) -> Record:
    names = NAMES.split()
    items = []
    for n in range(rows):
        number = round(n * 1.37 + 3 + shift, 2)
        flag = Flag.HIGH if n % 5 == 0 else Flag.NORMAL
        code = f"{n}"
        items.append(LabItem(code, names[n % len(names)], f"{number:.2f}", "umol/L", Range(3.5, 50), flag, number, "4.10", 4.1))
    return Record(f"lab-{at:%Y%m%d}", Form.LAB, "生化全套", at, LabReport(tuple(items), "血清"))


def note() -> Sheet:
    text = "患者病情平稳，继续目前治疗方案，血压 128/78 mmHg，空腹血糖 6.4 mmol/L，定期复查血常规及肝肾功能。" * 12
    return paginate(Record("note", Form.NOTE, "病程记录", AT, Note((Section("病程", text),))))[0]


def trends() -> Sheet:
    records = [lab(6, AT + timedelta(days=80 * n), shift=n % 4) for n in range(10)]
    return paginate(records[-1], trends_of(records[-1], records))[-1]


def plain(font: ImageFont.FreeTypeFont) -> bytes:
    """The table's text as Pillow draws it, with a face of its own; no ground, no arrows, no mark."""
    image = Image.new("RGB", (1080, 1920), (245, 246, 244))
    draw = ImageDraw.Draw(image)
    for row, words in enumerate(_plain_rows()):
        for x, text in zip((66, 380, 568, 734, 906), words, strict=True):
            draw.text((x, 290 + row * 38), text, font=font, fill=(23, 28, 36))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=88, subsampling=0)
    return out.getvalue()


def _plain_font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(resources.files("manimgx_fonts_cjk").joinpath("NotoSansCJK-VF.otf.ttc")), 25, index=2)


def _plain_rows() -> list[tuple[str, ...]]:
    report = lab(40, AT).content
    items = report.items if isinstance(report, LabReport) else ()
    return [(i.name, i.value, "μmol/L", "3.5–50", i.previous) for i in items]


if __name__ == "__main__":
    main()
