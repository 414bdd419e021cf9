"""What an upload is, by its first bytes alone: names and headers are the sender's to choose.

What no rule here knows is not taken, so SVG, HTML, PDF, scripts, archives, GIF and the rest need no rule of their own.
"""

import re
from typing import Final

from media.domain import Format

_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_IMAGE_CONTAINERS: Final = frozenset({b"mif1", b"msf1", b"avif", b"avis"})
_ADTS: Final = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
_HIDDEN: Final = re.compile(rb"<script|<!doctype|<iframe|<\?php\s", re.IGNORECASE)
_HIDDEN_AT_AN_END: Final = re.compile(rb"%PDF-|<html|<svg|GIF8[79]a", re.IGNORECASE)
_END_BYTES: Final = 1024
_ZIP_DIRECTORY, _ZIP_END = b"PK\x01\x02", b"PK\x05\x06"
_ZIP_TAIL_BYTES: Final = 66_000
_ID3_HEADER_BYTES: Final = 10


def sniff(data: bytes) -> Format | None:
    """The format of which this is the beginning, or None for what is not taken."""
    if data[:3] == b"\xff\xd8\xff":
        return Format.JPEG
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return Format.PNG
    if data[:4] == b"RIFF":
        return {b"WEBP": Format.WEBP, b"WAVE": Format.WAV}.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _sniff_boxes(data)
    if data[:4] == b"OggS":
        return Format.OGG
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return Format.WEBM
    if data[:6] == b"#!AMR\n" or data[:9] == b"#!AMR-WB\n":
        return Format.AMR
    return _sniff_frames(data)


def _sniff_boxes(data: bytes) -> Format | None:
    """ISO base media: HEIC when a brand says HEVC pictures; other pictures (AVIF) are not taken; the rest may hold sound."""
    size = min(max(int.from_bytes(data[:4], "big"), 16), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    if brands & _HEIF_BRANDS:
        return Format.HEIC
    return None if brands & _IMAGE_CONTAINERS else Format.MP4


def _sniff_frames(data: bytes) -> Format | None:
    """MP3 and AAC have no header of the file: their frames follow one another, perhaps after an ID3 tag."""
    at = id3_bytes(data)
    if _ADTS.match(data, at):
        return Format.ADTS
    if at or is_mp3_sync(data, at):
        return Format.MP3
    return None


def id3_bytes(data: bytes) -> int:
    """The length of the ID3v2 tag that stands at the beginning, 0 without one."""
    if data[:3] != b"ID3" or len(data) < _ID3_HEADER_BYTES:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | (byte & 0x7F)
    return _ID3_HEADER_BYTES + size + (_ID3_HEADER_BYTES if data[5] & 0x10 else 0)


def is_mp3_sync(data: bytes, at: int) -> bool:
    """Whether the header of an MPEG layer III frame stands there."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2 or data[at + 1] & 0x18 == 0x08:
        return False
    return 0x00 < data[at + 2] >> 4 < 0x0F and data[at + 2] & 0x0C != 0x0C


def hides_another(data: bytes) -> bool:
    """Whether the file is also something else: a page, a script, a PDF, an archive.

    What we keep is encoded anew, so nothing of it would survive; but nobody who means well sends such a file. Text that a
    browser would run is looked for everywhere, short marks only at the ends, where they work and chance does not put them. A
    film that a phone appends to its photo is not such a thing.
    """
    if _HIDDEN.search(data) or _HIDDEN_AT_AN_END.search(data, 0, _END_BYTES):
        return True
    if _HIDDEN_AT_AN_END.search(data, max(0, len(data) - _END_BYTES)):
        return True
    tail = data[-_ZIP_TAIL_BYTES:]
    return _ZIP_END in tail and _ZIP_DIRECTORY in data


def canvas_of_webp(data: bytes) -> tuple[int, int] | None:
    """Width and height that a WebP file declares; None when its first chunk is none of the three that may stand there."""
    first = data[12:16]
    if len(data) < 30:
        return None
    if first == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if first == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if first == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None
