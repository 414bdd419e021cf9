"""Pictures of a study, each with a scale."""

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from PIL import Image

from ehr_view.domain import sheets
from ehr_view.domain.pagination import BODY_HEIGHT, PICTURE_CAPTION
from ehr_view.drawing import dicom
from ehr_view.drawing.canvas import Canvas

MAX_PIXELS: Final = 40_000_000
_GAP: Final = 16
_LENGTHS_MM: Final = (1, 2, 5, 10, 20, 50, 100, 200)
_FORMATS: Final = ("JPEG", "PNG", "WEBP")


class Lack(StrEnum):
    """Why there is no picture, in the words that stand in its place, by lines."""

    ABSENT = "此图像未能取得"
    UNREADABLE = "此图像已损坏，无法显示"
    COMPRESSED = "图像的压缩格式此处不支持\n（如 12 位 JPEG）\n请在医院影像系统中查看"


class StrangePicture(Exception):
    """A file that says it is of another person."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A decoded picture; `mm_per_pixel` of its own pixels."""

    image: Image.Image
    mm_per_pixel: float | None


def load(
    data: bytes, mm_per_pixel: float | None, columns: int | None, *, frame: int = 1, patients: Collection[str] = ()
) -> Loaded | Lack:
    """The picture; or why not, for a file that is none, or too large. Of a DICOM file, frame `frame`.

    Raises StrangePicture for one whose PatientID is none of `patients`; one that does not say whose it is, is not shown.
    """
    if dicom.is_dicom(data):
        return _from_dicom(data, frame, patients, mm_per_pixel)
    try:
        opened = Image.open(io.BytesIO(data), formats=_FORMATS)
        if opened.width * opened.height > MAX_PIXELS:
            return Lack.UNREADABLE
        image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Lack.UNREADABLE
    if mm_per_pixel is not None and columns:
        mm_per_pixel *= columns / image.width
    return Loaded(image, mm_per_pixel)


def _from_dicom(data: bytes, frame: int, patients: Collection[str], mm_per_pixel: float | None) -> Loaded | Lack:
    found: Loaded | Lack
    try:
        decoded = dicom.decode(data, frame)
        patient, found = decoded.patient, Loaded(decoded.image, decoded.mm_per_pixel or mm_per_pixel)
    except dicom.DicomCompressed as compressed:
        patient, found = compressed.patient, Lack.COMPRESSED
    except dicom.DicomUnreadable:
        return Lack.UNREADABLE
    if not patient:
        return Lack.ABSENT
    if patient not in patients:
        raise StrangePicture
    return found


def grid(canvas: Canvas, block: sheets.Pictures, loaded: Sequence[Loaded | Lack], left: int, right: int, y: float) -> float:
    rows = -(-len(block.slots) // block.columns) if block.columns == 1 else 3
    columns = block.columns if right - left < BODY_HEIGHT else min(3, max(block.columns, len(block.slots)))
    if columns == 3:
        rows = 2
    width = (right - left - _GAP * (columns - 1)) / columns
    height = (BODY_HEIGHT - 24) / rows - PICTURE_CAPTION - _GAP
    bottom = y
    for number, slot in enumerate(block.slots):
        x = left + (number % columns) * (width + _GAP)
        top = y + (number // columns) * (height + PICTURE_CAPTION + _GAP)
        found = loaded[slot.index] if slot.index < len(loaded) else Lack.ABSENT
        bottom = max(bottom, _cell(canvas, slot, found, x, top, width, height))
    return bottom


def _cell(
    canvas: Canvas, slot: sheets.PictureSlot, found: Loaded | Lack, x: float, y: float, width: float, height: float
) -> float:
    palette = canvas.palette
    caption, size = canvas.fit(slot.caption, width - 8, (25, 22))
    if isinstance(found, Lack):
        height = min(height, width)
        canvas.box(x, y, x + width, y + height, palette.panel, radius=8)
        _lack(canvas, found, x + width / 2, y + height / 2, width - 24)
    else:
        share = min(width / found.image.width, height / found.image.height)
        shown = (max(1, canvas.px(found.image.width * share)), max(1, canvas.px(found.image.height * share)))
        height = found.image.height * share
        inset = (width - found.image.width * share) / 2
        canvas.paste(found.image.resize(shown, Image.Resampling.LANCZOS), x + inset, y)
        if found.mm_per_pixel is not None:
            _scale_bar(canvas, found.mm_per_pixel / share, x + inset, y + height, found.image.width * share)
    canvas.text(x + 4, y + height + PICTURE_CAPTION / 2 + 2, caption, size, fill=palette.muted, anchor="lm")
    return y + height + PICTURE_CAPTION + _GAP


def _lack(canvas: Canvas, lack: Lack, x: float, y: float, room: float) -> None:
    """The words of it, about a middle."""
    lines = lack.value.split("\n")
    for number, line in enumerate(lines):
        words, size = canvas.fit(line, room, (28, 25, 22))
        canvas.text(x, y + (number - (len(lines) - 1) / 2) * 42, words, size, fill=canvas.palette.odd, anchor="mm")


def _scale_bar(canvas: Canvas, mm_per_unit: float, x: float, bottom: float, width: float) -> None:
    """A bar of a round length, at most a quarter of the picture, over the picture's lower left corner."""
    length = max((mm for mm in _LENGTHS_MM if mm / mm_per_unit <= width / 4), default=None)
    if length is None:
        return
    wide, white = length / mm_per_unit, (236, 238, 240)
    left, top = x + 20, bottom - 26
    words = f"{length // 10} cm" if length >= 10 else f"{length} mm"
    canvas.box(left - 8, top - 40, left + max(wide, canvas.measure(words, 22)) + 10, bottom - 12, (10, 12, 14), radius=6)
    canvas.box(left, top, left + wide, top + 5, white)
    for end in (left, left + wide - 3):
        canvas.box(end, top - 8, end + 3, top + 5, white)
    canvas.text(left, top - 22, words, 22, fill=white, anchor="lm")
