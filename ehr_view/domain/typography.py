"""How medical text is set: units and ions as they are printed, how wide text is, where a line may break.

Widths are thousandths of the type size and never smaller than what the faces that we draw with need (a test compares), so
that pages can be counted without drawing them.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

_SUPERSCRIPT: Final = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
_POWER: Final = re.compile(r"(?<![0-9.])10(?:\*\*?|\^|\\S\\|E|e)\+?(-?[0-9]{1,2})(?![0-9])\\?(?=/|$|\s)")
_ANNOTATION: Final = re.compile(r"\{([^{}]*)\}")
_MICRO: Final = re.compile(r"(?<![A-Za-z])u(?=(?:mol|g|m|L|l|IU|U|kat|s|V|Eq)(?![A-Za-z])|IU)")
_ION: Final = re.compile(r"(?<![A-Za-z])(K|Na|Li|H|Ca2|Mg2|Fe2|Fe3|Cl|HCO3|NH4|PO43|P)([+-])(?![A-Za-z0-9])")
_SUB_IN_ION: Final = {"HCO3": "HCO₃", "NH4": "NH₄", "PO43": "PO₄³", "Ca2": "Ca²", "Mg2": "Mg²", "Fe2": "Fe²", "Fe3": "Fe³"}
_UNITS: Final = {
    "1": "",
    "{ratio}": "",
    "{INR}": "",
    "Cel": "℃",
    "[degF]": "℉",
    "[pH]": "",
    "[iU]/L": "IU/L",
    "[iU]/mL": "IU/mL",
    "m[iU]/L": "mIU/L",
    "m[IU]/L": "mIU/L",
    "u[iU]/mL": "μIU/mL",
    "u[IU]/mL": "μIU/mL",
    "k[iU]/L": "kIU/L",
    "mm[Hg]": "mmHg",
    "mL/min/{1.73_m2}": "mL/min/1.73m²",
    "ml/min/1.73m2": "mL/min/1.73m²",
    "[HPF]": "/HP",
    "/[HPF]": "/HP",
    "/[LPF]": "/LP",
    "deg": "°",
}
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufeff]"
)
_NO_START: Final = frozenset("，。、；：！？）】》」』”’％%℃,.;:!?)]}>·…—～")
_NO_END: Final = frozenset("（【《「『“‘([{<")
_MOST_CARRIED: Final = 24
_MOST_WHOLE: Final = 16
_ASCII: Final = {
    char: width
    for width, chars in (
        (240, " "),
        (320, "ijl|"),
        (340, "I',.:;"),
        (400, "()[]{}/\\-f"),
        (450, "rt"),
        (530, "s?*z"),
        (560, "cx"),
        (610, '0123456789#$+<=>^~_!"JLYaegkvy`'),
        (660, "AEFSTVXZbdhnopqu`"),
        (700, "BCKPR"),
        (780, "DGHNOQU&"),
        (880, "Mw"),
        (980, "Wm%"),
        (1030, "@"),
    )
    for char in chars
}
_OTHERS: Final = {**dict.fromkeys("–⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉°", 560), **dict.fromkeys("αβγδεκμσ", 690)}


CELL, HEAD, ABOVE, LEFT = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"
"""Marks of tables in running text, see `grids`."""

_UNMARKED: Final = {ord(CELL): "　", ord(HEAD): "", ord(ABOVE): "", ord(LEFT): ""}


def clean(text: str) -> str:
    """Text that can be set: one kind of line end, no controls, no direction marks, the one micro sign."""
    if text.isprintable():  # no controls, no line ends, no marks: most of what is set
        text = text.replace("µ", "μ")
        return text if text.isascii() else unicodedata.normalize("NFC", text)
    text = (
        text.translate(_UNMARKED)
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .replace("\t", "　")
        .replace("\u00a0", " ")
        .replace("µ", "μ")
    )
    return _CONTROL.sub("", unicodedata.normalize("NFC", text))


@lru_cache(maxsize=4096)
def unit_text(unit: str) -> str:
    """A unit as it is printed: `10*9/L` → `10⁹/L`, `umol/L` → `μmol/L`, `Cel` → `℃`. Unknown ones are shown as they are."""
    unit = clean(unit).strip()
    if (known := _UNITS.get(unit)) is not None:
        return known
    unit = _ANNOTATION.sub(lambda found: found[1].replace("_", ""), unit)
    unit = _POWER.sub(lambda found: "10" + found[1].translate(_SUPERSCRIPT), unit)
    return _MICRO.sub("μ", unit).replace("m2", "m²")


@lru_cache(maxsize=8192)
def medical(text: str) -> str:
    """Powers of ten and ions in running text: `10^9/L` → `10⁹/L`, `K+` → `K⁺`, `HCO3-` → `HCO₃⁻`. Single line."""
    text = _POWER.sub(lambda found: "10" + found[1].translate(_SUPERSCRIPT), clean(text))
    return _ION.sub(lambda found: _SUB_IN_ION.get(found[1], found[1]) + found[2].translate(_SUPERSCRIPT), text)


class _Widths(dict[str, int]):
    """Widths of characters, each found once."""

    def __missing__(self, char: str) -> int:
        width = self[char] = _char_width(char)
        return width


def _char_width(char: str) -> int:
    if (known := _ASCII.get(char) or _OTHERS.get(char)) is not None:
        return known
    if unicodedata.combining(char):
        return 0
    return 780 if char < "\u0180" and unicodedata.east_asian_width(char) != "A" else 1000


_WIDTHS: Final = _Widths()


def text_width(text: str) -> int:
    """At most how wide a line is, in thousandths of the type size."""
    return sum(map(_WIDTHS.__getitem__, text))


def wrap(text: str, width: int) -> list[str]:
    """Lines no wider than `width` (thousandths of the type size). Words and figures stay whole where they fit a line;
    closing punctuation never begins a line. Line ends of the text are kept."""
    return [line.rstrip(" \n") for line in wrap_whole(text, width)]


def wrap_whole(text: str, width: int) -> list[str]:
    """Like `wrap`, with nothing taken away: joined together the lines are the text. Blanks hang at the end of a line."""
    lines: list[str] = []
    paragraphs = text.split("\n")
    for paragraph in paragraphs:
        if text_width(paragraph) <= width:
            lines.append(paragraph + "\n")
        else:
            lines.extend(_wrap_paragraph(paragraph, width))
            lines[-1] += "\n"
    lines[-1] = lines[-1][:-1]
    return lines


def _wrap_paragraph(text: str, width: int) -> list[str]:
    lines, line, used = [], "", 0
    for piece in _tokens(text, width):
        wide = 0 if piece == " " and used + _ASCII[" "] > width else text_width(piece)
        if line and used + wide > width:
            carried = _carried(line, piece)
            lines.append(line[: len(line) - len(carried)])
            line = carried
            used = text_width(carried)
        line += piece
        used += wide
    lines.append(line)
    return lines


def _carried(line: str, piece: str) -> str:
    """What goes over to the next line with the piece, so that neither line breaks where it must not."""
    for count in range(min(len(line) - 1, _MOST_CARRIED) + 1):
        place = len(line) - count
        before, after = line[place - 1], (line[place:] + piece)[0]
        is_inside = count > 0 and _is_word(before) and _is_word(after)
        is_unit = (
            count > 0 and before == " " and line[place - 2 : place - 1].isdigit() and _is_word(after) and not after.isdigit()
        )
        is_gap = count > 0 and after == " "
        if after not in _NO_START and before not in _NO_END and not (is_inside or is_unit or is_gap):
            return line[place:]
    return ""


def is_whole(text: str) -> bool:
    """Whether this is one short figure, range or unit, which must never be cut into two lines: `12.` and `5` are two values."""
    return len(text) <= _MOST_WHOLE and not any(unicodedata.east_asian_width(char) in "WF" for char in text)


@lru_cache(maxsize=65536)
def _is_word(char: str) -> bool:
    return char != " " and unicodedata.east_asian_width(char) not in "WF"


def _tokens(text: str, width: int) -> list[str]:
    """Single wide characters and whole Latin words, a figure with its unit (`42 mm`); a word wider than a line is cut."""
    tokens: list[str] = []
    word, used = "", 0
    for place, char in enumerate(text):
        if char == " " and word[-1:].isdigit():
            following = text[place + 1 : place + 2]
            holds = following not in ("", " ") and not following.isdigit() and _is_word(following)
        else:
            holds = _is_word(char)
        wide = _WIDTHS[char]
        if not holds:
            if word:
                tokens.append(word)
                word, used = "", 0
            tokens.append(char)
        elif used + wide > width:
            tokens.append(word)
            word, used = char, wide
        else:
            word += char
            used += wide
    if word:
        tokens.append(word)
    return tokens
