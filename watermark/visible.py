"""The mark that everyone sees: who looks, when, and at which order, in faint slanted text all over the page.

Strokes darken and their shadow lightens (the other way round on dark pages), each by a few grey levels. So they show on any
ground, an X-ray on a light page included, and never hide a value: black text cannot become darker, and what the mark adds to
it is a tenth of its contrast. Any part of a page that is half as wide and half as high holds a whole mark.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from io import BytesIO
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from watermark import fonts
from watermark.shade import Tile, shaded

_CHINA: Final = timezone(timedelta(hours=8))
_SLANT: Final = 20.0
"""Degrees, rising to the right."""
_SIZE: Final = 24
_BLOCK: Final = 9.5
"""How wide a mark's lines may be, in text sizes: a tile and a mark together stay narrower than half of a phone's page."""
_SMALLEST: Final = 0.8
"""Of the text's size."""

_STROKE: Final = 24
_SHADOW: Final = 18
_TILE_ALPHA: Final = 0.11


@dataclass(frozen=True, slots=True)
class VisibleMark:
    """What a mark says. `phone_tail` is the last four digits of the viewer's phone, `at` is aware and shown in China's time."""

    viewer: str
    staff_number: str
    phone_tail: str
    at: datetime
    order_number: str

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("a mark's instant knows its offset")
        if not (len(self.phone_tail) == 4 and self.phone_tail.isascii() and self.phone_tail.isdigit()):
            raise ValueError("a phone's tail is four digits")

    def lines(self) -> tuple[str, ...]:
        """The mark's text, without regard to width."""
        return (
            f"{self.viewer} {self.staff_number}",
            self.order_number,
            f"{self.at.astimezone(_CHINA):%Y-%m-%d %H:%M:%S}",
            f"尾号 {self.phone_tail}",
        )


def draw_visible(image: Image.Image, mark: VisibleMark, *, dark: bool) -> Image.Image:
    """The page with the mark all over it. Raises `fonts.UndrawableText` when the mark cannot be written."""
    return shaded(image, visible_tile(mark, dark=dark))


def visible_tile(mark: VisibleMark, *, dark: bool) -> Tile:
    """The mark as a tile for `shade.shaded`."""
    strokes = _strokes(mark, _SIZE)
    shadow = np.roll(strokes, (2, 2), axis=(0, 1))
    main, other = strokes * _STROKE, shadow * (1.0 - strokes) * _SHADOW
    return np.asarray(np.rint(main - other if dark else other - main), dtype=np.int8)


def transparent_tile(mark: VisibleMark, size: int = _SIZE) -> bytes:
    """The mark as a seamless transparent PNG for a page that is not ours to draw, in text of `size` pixels.

    Dark strokes with light shadows: the same tile serves light and dark themes.
    """
    strokes = _strokes(mark, size)
    shadow = np.roll(strokes, (2, 2), axis=(0, 1)) * (1.0 - strokes)
    grey = np.where(strokes >= shadow, 0, 255).astype(np.uint8)
    alpha = np.rint(np.maximum(strokes, shadow) * 255 * _TILE_ALPHA).astype(np.uint8)
    out = BytesIO()
    Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha))).save(out, "PNG", compress_level=6)
    return out.getvalue()


@lru_cache(maxsize=32)
def _strokes(mark: VisibleMark, size: int) -> NDArray[np.float32]:
    """Coverage (0–1) of a tile that holds the slanted mark twice, the second half a tile further in the next row."""
    block = _slanted(_block(mark, size))
    height, width = block.shape
    across, down = width + size // 2, height + size // 3
    tile = np.zeros((2 * down, across), dtype=np.float32)
    tile[:height, :width] = block
    return np.maximum(tile, np.roll(tile, (down, across // 2), axis=(0, 1)))


def _block(mark: VisibleMark, size: int) -> NDArray[np.float32]:
    lines = [part for line in mark.lines() for part in _fitting(line, size)]
    step = round(size * 1.22)
    image = Image.new("L", (max(face.measure(line) for line, face in lines) + 2, step * len(lines) + 2))
    draw = ImageDraw.Draw(image)
    for row, (line, face) in enumerate(lines):
        face.draw(draw, (1, 1 + row * step), line, fill=255)
    return np.asarray(image, dtype=np.float32) / 255.0


def _fitting(line: str, size: int) -> list[tuple[str, fonts.Face]]:
    """The line, in several where it is too wide; one word that is a little too wide (an order's number) is set smaller."""
    room = round(size * _BLOCK)
    face = fonts.load_face(size)
    width = face.measure(line)
    if width > room and " " not in line and width * _SMALLEST <= room:
        for smaller in range(size - 1, 0, -1):
            face = fonts.load_face(smaller)
            if face.measure(line) <= room:
                return [(line, face)]
    return [(part, fonts.load_face(size)) for part in fonts.wrap(line, size, room)]


def _slanted(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """The block turned, in the smallest box that holds it."""
    height, width = block.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), _SLANT, 1.0)
    sine, cosine = (f(math.radians(_SLANT)) for f in (math.sin, math.cos))
    wide, high = math.ceil(width * cosine + height * sine), math.ceil(width * sine + height * cosine)
    turn[:, 2] += (wide - width) / 2, (high - height) / 2
    return np.clip(np.asarray(cv2.warpAffine(block, turn, (wide, high), flags=cv2.INTER_CUBIC), dtype=np.float32), 0.0, 1.0)
