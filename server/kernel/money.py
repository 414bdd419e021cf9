"""Money is an integer number of fen. Floats never touch it."""

from typing import NewType

Fen = NewType("Fen", int)


def yuan_text(fen: int) -> str:
    """`12345` → `123.45`; for bills and people, never for arithmetic."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def parse_yuan(text: str) -> Fen:
    """`123.4` → 12340. Raises ValueError for anything that is not a decimal with at most two places."""
    sign = -1 if text.startswith("-") else 1
    whole, _, part = text.removeprefix("-").partition(".")
    if not (whole.isascii() and whole.isdigit()) or len(part) > 2 or (part and not (part.isascii() and part.isdigit())):
        raise ValueError("not an amount in yuan")
    return Fen(sign * (int(whole) * 100 + int((part + "00")[:2])))
