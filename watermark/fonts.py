"""The faces that pages and marks are set in, and text drawn with them.

Noto Sans CJK SC comes first; what it lacks (`⁹ ⁺ ⁻ ₂`) is taken glyph by glyph from Noto Sans and Noto Sans Symbols in the
same weight. A character that no face can draw raises `UndrawableText`: a page must never show a box where a value stood.
Complex scripts (Arabic, Tibetan, Mongolian …) need shaping that is not done here, so no face for them is listed and their
text is refused, too.

Every glyph is rasterised once a process and size and then only blended, which is several times faster than setting text anew.
Positions are whole pixels; lengths that functions return are pixels, too.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from PIL import Image, ImageDraw, ImageFont

Fill = int | str | tuple[int, ...]
Anchor = Literal["la", "ls", "lm", "ma", "ms", "mm", "ra", "rs", "rm"]

_REGULAR, _BOLD = 400, 700
_NOWHERE: Final = "\U0010fffe"
"""A noncharacter: what a face draws for it is what it draws for everything that it lacks."""

_INVISIBLE: Final = frozenset(
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff" + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
"""Characters that have no ink by their own definition: soft hyphen, joiners, directions, variation selectors."""

_NOT_FIRST: Final = frozenset("，。、；：？！）】》」』〉〕％‰℃°·…—～,.;:?!)]}%’”")
_NOT_LAST: Final = frozenset("（【《「『〈〔([{‘“￥$¥")


class UndrawableText(Exception):
    """No face has a glyph for a character. The message names its code point and nothing of the text round it."""

    def __init__(self, char: str) -> None:
        super().__init__(f"no face can draw U+{ord(char):04X}")
        self.char = char


@dataclass(frozen=True, slots=True)
class Glyph:
    """One rasterised character: coverage 0–255 (`None` for a space), its offset from pen and baseline, its advance."""

    mask: Image.Image | None
    left: int
    top: int
    advance: float


@dataclass(frozen=True, slots=True)
class _Source:
    package: str
    file: str
    index: int = 0


_SOURCES: Final = (
    _Source("manimgx_fonts_cjk", "NotoSansCJK-VF.otf.ttc", 2),  # 2: the glyphs of mainland China
    _Source("manimgx_fonts", "NotoSans[wght].ttf"),
    _Source("manimgx_fonts", "NotoSansSymbols[wght].ttf"),
)


def _open(source: _Source, size: int, *, bold: bool) -> ImageFont.FreeTypeFont:
    path = Path(str(resources.files(source.package).joinpath(source.file)))
    font = ImageFont.truetype(path, size, index=source.index, layout_engine=ImageFont.Layout.BASIC)
    font.set_variation_by_axes([_BOLD if bold else _REGULAR])
    return font


def pillow_font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The first source as Pillow's own font, for comparison; it has no fallback and draws what it lacks as a box."""
    return _open(_SOURCES[0], size, bold=bold)


def _rasterise(font: ImageFont.FreeTypeFont, char: str) -> Glyph:
    left, top, right, bottom = (round(edge) for edge in font.getbbox(char, anchor="ls"))
    advance = font.getlength(char)
    if right <= left or bottom <= top:
        return Glyph(None, 0, 0, advance)
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), char, fill=255, font=font, anchor="ls")
    return Glyph(mask if mask.getbbox() else None, left, top, advance)


class Face:
    """All sources at one size and weight. `ascent` and `descent` (both positive) bound ordinary text."""

    def __init__(self, size: int, *, bold: bool = False) -> None:
        if size < 1:
            raise ValueError("a face needs a size of at least one pixel")
        self.size = size
        self.bold = bold
        # Latin capitals and ideographs fill this; the face's own metrics leave room for scripts that are never set here.
        self.ascent = round(size * 0.88)
        self.descent = size - self.ascent
        self.line_height = round(size * 1.4)
        self._fonts: dict[_Source, tuple[ImageFont.FreeTypeFont, Glyph]] = {}
        self._glyphs: dict[str, Glyph | None] = {}

    def glyph(self, char: str) -> Glyph | None:
        """The character as the first source that has it draws it; `None` when it has no ink by definition."""
        try:
            return self._glyphs[char]
        except KeyError:
            found = self._glyphs[char] = self._find(char)
            return found

    def _find(self, char: str) -> Glyph | None:
        if char in _INVISIBLE:
            return None
        space = unicodedata.category(char) == "Zs"
        for source in _SOURCES:
            font, missing = self._font(source)
            glyph = _rasterise(font, char)
            if space and glyph.mask is None:
                return glyph
            if glyph.mask is not None and not _same(glyph, missing):
                return glyph
        raise UndrawableText(char)

    def _font(self, source: _Source) -> tuple[ImageFont.FreeTypeFont, Glyph]:
        if source not in self._fonts:
            font = _open(source, self.size, bold=self.bold)
            self._fonts[source] = font, _rasterise(font, _NOWHERE)
        return self._fonts[source]

    def measure(self, text: str) -> int:
        """The width of one line, the last advance included."""
        return round(sum(glyph.advance for char in _composed(text) if (glyph := self.glyph(char)) is not None))

    def draw(self, draw: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, *, fill: Fill, anchor: Anchor = "la") -> int:
        """Draw one line and return its width. Letters of `anchor`: left, middle or right; ascender, middle or baseline."""
        glyphs = [glyph for char in _composed(text) if (glyph := self.glyph(char)) is not None]
        width = sum(glyph.advance for glyph in glyphs)
        pen = xy[0] - width * {"l": 0.0, "m": 0.5, "r": 1.0}[anchor[0]]
        drop = {"a": float(self.ascent), "m": self.size * 0.37, "s": 0.0}[anchor[1]]
        baseline = round(xy[1] + drop)
        for glyph in glyphs:
            if glyph.mask is not None:
                draw.bitmap((round(pen) + glyph.left, baseline + glyph.top), glyph.mask, fill=fill)
            pen += glyph.advance
        return round(width)


def _same(glyph: Glyph, other: Glyph) -> bool:
    if glyph.mask is None or other.mask is None:
        return glyph.mask is other.mask
    return glyph.mask.size == other.mask.size and glyph.mask.tobytes() == other.mask.tobytes()


def _composed(text: str) -> str:
    """Accents joined to their letters, which is how faces carry them; nothing else changes (no `²` to `2`)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=64)
def load_face(size: int, bold: bool = False) -> Face:
    """The face of this size in pixels, with all glyphs that this process has drawn so far."""
    return Face(size, bold=bold)


def measure(text: str, size: int, *, bold: bool = False) -> int:
    """The width in pixels of one line of text."""
    return load_face(size, bold=bold).measure(text)


def draw_text(
    draw: ImageDraw.ImageDraw,
    xy: tuple[float, float],
    text: str,
    *,
    size: int,
    fill: Fill,
    bold: bool = False,
    anchor: Anchor = "la",
) -> int:
    """Draw one line of text at `xy` and return its width. Raises `UndrawableText` before anything is drawn."""
    return load_face(size, bold=bold).draw(draw, xy, text, fill=fill, anchor=anchor)


def find_undrawable(text: str) -> frozenset[str]:
    """The characters of the text that would fail a render, so that a page can say so in words. Line ends are fine."""
    face = load_face(16)
    missing = set()
    for char in frozenset(_composed(text)) - frozenset("\r\n"):
        try:
            face.glyph(char)
        except UndrawableText:
            missing.add(char)
    return frozenset(missing)


def wrap(text: str, size: int, width: int, *, bold: bool = False) -> list[str]:
    """Lines no wider than `width` pixels; no character is lost but spaces at a break.

    Ideographs break anywhere, Latin words and numbers with their units stay whole unless wider than a line. Closing
    punctuation never begins a line and opening punctuation never ends one, as Chinese typesetting asks.
    """
    face = load_face(size, bold=bold)
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line, used = "", 0.0
        for piece in _pieces(_composed(paragraph)):
            for part in _fitting(face, piece, width):
                needed = face.measure(part)
                if line and used + needed > width and not part.isspace():
                    lines.append(line.rstrip())
                    line, used = "", 0.0
                if line or not part.isspace():
                    line += part
                    used += needed
        lines.append(line.rstrip())
    return lines


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"


def _pieces(text: str) -> list[str]:
    """What must not be parted: words, and ideographs with the punctuation that clings to them."""
    pieces: list[str] = []
    for char in text:
        if pieces and _clings(pieces[-1][-1], char):
            pieces[-1] += char
        else:
            pieces.append(char)
    return pieces


def _clings(before: str, char: str) -> bool:
    if before.isspace() or char.isspace():
        return False
    if char in _NOT_FIRST or before in _NOT_LAST:
        return True
    return not (_is_wide(before) or _is_wide(char) or char in _NOT_LAST)


def _fitting(face: Face, piece: str, width: int) -> list[str]:
    """The piece, or its characters where even a line of its own would be too short for it."""
    return [piece] if face.measure(piece) <= width else list(piece)
