"""Colours. Grounds are those that the forensic mark survives best on; all else is chosen to suit them."""

from dataclasses import dataclass
from typing import Final

from watermark.forensic import PAPER, PAPER_DARK

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Palette:
    ground: Colour
    band: Colour
    ink: Colour
    muted: Colour
    line: Colour
    accent: Colour
    on_accent: Colour
    high: Colour
    low: Colour
    odd: Colour
    high_tint: Colour
    low_tint: Colour
    odd_tint: Colour
    stripe: Colour
    panel: Colour
    normal_band: Colour
    is_dark: bool


LIGHT: Final = Palette(
    ground=PAPER,
    band=(213, 222, 223),
    ink=(23, 28, 36),
    muted=(76, 85, 98),
    line=(192, 198, 200),
    accent=(6, 96, 104),
    on_accent=(240, 244, 244),
    high=(176, 22, 28),
    low=(16, 74, 170),
    odd=(136, 74, 0),
    high_tint=(236, 209, 206),
    low_tint=(204, 218, 236),
    odd_tint=(236, 222, 196),
    stripe=(219, 221, 219),
    panel=(217, 223, 223),
    normal_band=(194, 216, 207),
    is_dark=False,
)

DARK: Final = Palette(
    ground=PAPER_DARK,
    band=(47, 55, 61),
    ink=(224, 228, 233),
    muted=(160, 168, 178),
    line=(72, 79, 87),
    accent=(92, 190, 196),
    on_accent=(16, 24, 28),
    high=(255, 122, 114),
    low=(122, 176, 255),
    odd=(236, 180, 92),
    high_tint=(82, 50, 52),
    low_tint=(46, 61, 86),
    odd_tint=(78, 64, 40),
    stripe=(44, 48, 53),
    panel=(47, 54, 61),
    normal_band=(48, 75, 70),
    is_dark=True,
)


def colour_of(palette: Palette, flag: str) -> Colour:
    """The ink of a result's flag."""
    if flag in ("H", "HH"):
        return palette.high
    if flag in ("L", "LL"):
        return palette.low
    return palette.odd if flag else palette.ink


def tint_of(palette: Palette, flag: str) -> Colour | None:
    """The ground of a result's row."""
    if flag in ("H", "HH"):
        return palette.high_tint
    if flag in ("L", "LL"):
        return palette.low_tint
    return palette.odd_tint if flag else None
