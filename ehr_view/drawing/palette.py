"""Colours. Grounds stay clear of pure white and black, so that the forensic mark can shade them both ways."""

from dataclasses import dataclass
from typing import Final

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
    ground=(245, 246, 244),
    band=(233, 239, 240),
    ink=(23, 28, 36),
    muted=(92, 101, 114),
    line=(214, 218, 220),
    accent=(10, 106, 114),
    on_accent=(246, 248, 248),
    high=(186, 28, 34),
    low=(22, 84, 184),
    odd=(150, 84, 0),
    high_tint=(247, 228, 226),
    low_tint=(225, 235, 247),
    odd_tint=(247, 237, 219),
    stripe=(238, 240, 239),
    panel=(236, 240, 240),
    normal_band=(216, 232, 226),
    is_dark=False,
)

DARK: Final = Palette(
    ground=(24, 28, 33),
    band=(32, 40, 46),
    ink=(224, 228, 233),
    muted=(148, 157, 168),
    line=(54, 61, 69),
    accent=(92, 190, 196),
    on_accent=(16, 24, 28),
    high=(255, 122, 114),
    low=(122, 176, 255),
    odd=(236, 180, 92),
    high_tint=(64, 36, 38),
    low_tint=(32, 46, 68),
    odd_tint=(60, 48, 28),
    stripe=(29, 34, 40),
    panel=(33, 40, 47),
    normal_band=(34, 58, 54),
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
