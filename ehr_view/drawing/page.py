"""A whole page: head, blocks, foot. It leaves the process through `marked` only."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from PIL import Image

from ehr_view.domain import sheets
from ehr_view.domain.pagination import FOOT_HEIGHT, HEAD_HEIGHT, MARGIN, PAGE_HEIGHT, PAGE_WIDTH
from ehr_view.domain.sheets import Sheet
from ehr_view.drawing import charts, grids, pictures, tables, texts
from ehr_view.drawing.canvas import Canvas
from ehr_view.drawing.palette import DARK, LIGHT
from ehr_view.drawing.pictures import Lack, Loaded
from watermark.page import mark_page
from watermark.visible import VisibleMark

_WIDE_SCALE: Final = 0.74
_WIDE_LEAST: Final = 1180
_FORMS: Final = {"note": "病历", "prescription": "处方", "lab": "检验", "exam": "检查", "imaging": "影像"}
_SAVE: Final[Mapping[str, Mapping[str, Any]]] = {
    "image/jpeg": {"format": "JPEG", "quality": 88, "subsampling": 0},
    "image/png": {"format": "PNG", "compress_level": 1},
    "image/webp": {"format": "WEBP", "quality": 86, "method": 2},
}
_REMINDER: Final = "云诊 · 仅供本次问诊查阅，请勿拍摄、转发"


def draw_sheet(
    sheet: Sheet, subject: str, order_number: str, *, width: int, dark: bool, loaded: Sequence[Loaded | Lack]
) -> Image.Image:
    """The page without marks. Narrow pages are 1080×1920; wide ones as high as what stands on them.

    Raises UndrawableText.
    """
    palette = DARK if dark else LIGHT
    is_wide = width > PAGE_WIDTH
    scale = _WIDE_SCALE if is_wide else 1.0
    canvas = Canvas(round(width / scale), PAGE_HEIGHT, scale, palette)
    _head(canvas, sheet, subject)
    left, right = MARGIN, canvas.width - MARGIN
    y: float = HEAD_HEIGHT
    for block in sheet.blocks:
        y = _block(canvas, block, left, right, y, loaded)
    bottom = PAGE_HEIGHT if not is_wide else min(PAGE_HEIGHT, max(_WIDE_LEAST, round(y) + FOOT_HEIGHT + 20))
    _foot(canvas, sheet, order_number, bottom)
    if bottom == PAGE_HEIGHT:
        return canvas.image
    return canvas.image.crop((0, 0, canvas.image.width, canvas.px(bottom)))


def marked(image: Image.Image, mark: VisibleMark, view_id: int, *, key: bytes, dark: bool, mime: str) -> tuple[bytes, int, int]:
    """The page with both marks, encoded; its size. The only way out of the process."""
    page = mark_page(image, mark, view_id, key=key, dark=dark)
    out = io.BytesIO()
    page.save(out, **_SAVE[mime])
    return out.getvalue(), page.width, page.height


def _head(canvas: Canvas, sheet: Sheet, subject: str) -> None:
    palette, left, right = canvas.palette, MARGIN, canvas.width - MARGIN
    canvas.box(0, 0, canvas.width, HEAD_HEIGHT - 22, palette.band)
    canvas.box(0, 0, canvas.width, 8, palette.high if sheet.critical else palette.accent)
    label = "危急值" if sheet.critical else _FORMS.get(sheet.form, "记录")
    wide = canvas.measure(label, 28, bold=True) + 36
    canvas.box(left, 44, left + wide, 92, palette.high if sheet.critical else palette.accent, radius=10)
    canvas.text(left + wide / 2, 68, label, 28, fill=palette.on_accent, bold=True, anchor="mm")
    number = f"{sheet.number} / {sheet.count}"
    counted = canvas.text(right, 68, number, 28, fill=palette.muted, anchor="rm")
    room = right - left - wide - counted - 48
    title, size = canvas.fit(sheet.title, room, (44, 38, 33, 29), bold=True)
    canvas.text(left + wide + 22, 68, title, size, bold=True, anchor="lm")
    words, size = canvas.fit(subject, right - left, (33, 29), bold=True)
    canvas.text(left, 131, words, size, bold=True, anchor="lm")
    facts = "     ".join(f"{label} {words}" for label, words in sheet.facts)
    words, size = canvas.fit(facts, right - left, (27, 25, 23))
    canvas.text(left, 178, words, size, fill=palette.muted, anchor="lm")


def _foot(canvas: Canvas, sheet: Sheet, order_number: str, bottom: int) -> None:
    palette, left, right = canvas.palette, MARGIN, canvas.width - MARGIN
    top = bottom - FOOT_HEIGHT + 14
    canvas.box(0, top - 4, canvas.width, bottom, palette.ground)
    canvas.rule(left, right, top)
    canvas.text(left, top + 36, _REMINDER, 24, fill=palette.muted, anchor="lm")
    canvas.text(right, top + 36, f"订单 {order_number}", 24, fill=palette.muted, anchor="rm")


def _block(canvas: Canvas, block: sheets.AnyBlock, left: int, right: int, y: float, loaded: Sequence[Loaded | Lack]) -> float:
    """Draw one block at y; where the next one goes."""
    match block:
        case sheets.Heading():
            return texts.heading(canvas, block, left, right, y)
        case sheets.Text():
            return texts.text(canvas, block, left, right, y)
        case sheets.Remark():
            return texts.remark(canvas, block, left, right, y)
        case sheets.Drug():
            return texts.drug(canvas, block, left, right, y)
        case sheets.Table():
            return tables.table(canvas, block, left, right, y)
        case sheets.Grid():
            return grids.grid(canvas, block, left, right, y)
        case sheets.Chart():
            return charts.chart(canvas, block, left, right, y)
        case sheets.Pictures():
            return pictures.grid(canvas, block, loaded, left, right, y)
