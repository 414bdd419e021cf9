"""A page under way: lengths are those of the narrow page, whatever size it is drawn at."""

from typing import Any

from PIL import Image, ImageDraw

from ehr_view.drawing.palette import Colour, Palette
from watermark.fonts import Anchor, load_face


class Canvas:
    """`width` and `height` in units of the narrow page; `scale` pixels a unit."""

    def __init__(self, width: int, height: int, scale: float, palette: Palette) -> None:
        self.width = width
        self.height = height
        self.scale = scale
        self.palette = palette
        self.image = Image.new("RGB", (round(width * scale), round(height * scale)), palette.ground)
        self._draw = ImageDraw.Draw(self.image)

    def px(self, length: float) -> int:
        return round(length * self.scale)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: int,
        *,
        fill: Colour | None = None,
        bold: bool = False,
        anchor: Anchor = "la",
    ) -> float:
        """One line; its width. Raises UndrawableText."""
        face = load_face(max(1, self.px(size)), bold)
        width = face.draw(self._draw, (x * self.scale, y * self.scale), words, fill=fill or self.palette.ink, anchor=anchor)
        return width / self.scale

    def measure(self, words: str, size: int, *, bold: bool = False) -> float:
        return load_face(max(1, self.px(size)), bold).measure(words) / self.scale

    def fit(self, words: str, width: float, sizes: tuple[int, ...], *, bold: bool = False) -> tuple[str, int]:
        """The largest of these sizes at which the words fit; at the smallest they end with `…` where they do not."""
        for size in sizes:
            if self.measure(words, size, bold=bold) <= width:
                return words, size
        cut = words
        while cut and self.measure(cut + "…", sizes[-1], bold=bold) > width:
            cut = cut[:-1]
        return cut + "…", sizes[-1]

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour, *, radius: float = 0) -> None:
        corners = (self.px(left), self.px(top), self.px(right) - 1, self.px(bottom) - 1)
        if corners[2] < corners[0] or corners[3] < corners[1]:
            return
        if radius:
            self._draw.rounded_rectangle(corners, self.px(radius), fill=fill)
        else:
            self._draw.rectangle(corners, fill=fill)

    def rule(self, left: float, right: float, y: float, fill: Colour | None = None, *, thick: float = 1.5) -> None:
        self.box(left, y, right, y + max(thick, 1 / self.scale), fill or self.palette.line)

    def arrow(self, x: float, y: float, size: float, fill: Colour, *, up: bool) -> None:
        """An arrow whose middle is at x, y."""
        half, s = size / 2, 1 if up else -1
        tip, base = y - s * half, y + s * half
        neck = y - s * half * 0.05
        points = [(x, tip), (x + half * 0.62, neck), (x - half * 0.62, neck)]
        self._draw.polygon([(self.px(a), self.px(b)) for a, b in points], fill=fill)
        top, bottom = sorted((neck, base))
        self.box(x - half * 0.17, top, x + half * 0.17, bottom, fill)

    def paste(self, picture: Image.Image, x: float, y: float) -> None:
        self.image.paste(picture, (self.px(x), self.px(y)))

    def smooth(self, left: float, top: float, width: float, height: float) -> "Smooth":
        return Smooth(self, left, top, width, height)


class Smooth:
    """A part of the page drawn twice as large and shrunk, for lines and circles without steps. Put it back with `done`."""

    _TIMES = 2

    def __init__(self, canvas: Canvas, left: float, top: float, width: float, height: float) -> None:
        self._canvas = canvas
        self._place = (canvas.px(left), canvas.px(top))
        size = (canvas.px(width), canvas.px(height))
        box = (*self._place, self._place[0] + size[0], self._place[1] + size[1])
        self._size = size
        self._image = canvas.image.crop(box).resize((size[0] * self._TIMES, size[1] * self._TIMES), Image.Resampling.NEAREST)
        self._draw = ImageDraw.Draw(self._image)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        scale = self._canvas.scale
        return (x * scale - self._place[0]) * self._TIMES, (y * scale - self._place[1]) * self._TIMES

    def line(self, points: list[tuple[float, float]], fill: Colour, thick: float) -> None:
        where: Any = [self._at(x, y) for x, y in points]
        self._draw.line(where, fill=fill, width=max(1, round(thick * self._canvas.scale * self._TIMES)), joint="curve")

    def dot(self, x: float, y: float, radius: float, fill: Colour, ring: Colour | None = None) -> None:
        cx, cy = self._at(x, y)
        r = radius * self._canvas.scale * self._TIMES
        self._draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=fill, outline=ring, width=round(r * 0.4) if ring else 0)

    def done(self) -> None:
        self._canvas.image.paste(self._image.reduce(self._TIMES), self._place)
