"""Whether a file is all there, by its own structure.

Decoders are forgiving: many play what is left of a recording that was cut, and fill a cut picture with grey. A doctor must not
take half a picture for a whole one, so each format's own lengths are followed to the end of the file. A stream without
lengths that was cut exactly between two frames is a shorter recording, and taken as such.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from media.domain import Format
from media.formats import id3_bytes, is_mp3_sync

_PNG_SIGNATURE_BYTES: Final = 8
_JPEG_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_JPEG_SOS, _JPEG_EOI = 0xDA, 0xD9
_WAV_STREAMED: Final = frozenset({0, 0xFFFFFFFF})
_AMR_NB_BYTES: Final = (13, 14, 16, 18, 20, 21, 27, 32, 6, 6, 6, 6, 1, 1, 1, 1)
_AMR_WB_BYTES: Final = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 6, 1, 1, 1, 1, 1)
_EBML_SEGMENT, _EBML_CLUSTER, _EBML_GROUP = 0x18538067, 0x1F43B675, 0xA0
_EBML_CONTAINERS: Final = frozenset({_EBML_SEGMENT, _EBML_CLUSTER, _EBML_GROUP})
_ID3V1_BYTES: Final = 128
_MP3_KBITS: Final = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_HZ: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def is_whole(data: bytes, found: Format) -> bool:
    """Whether nothing is missing at the end of a file of this format, as far as the file itself tells."""
    return _CHECKS[found](data)


def _jpeg(data: bytes) -> bool:
    """Segments and scans up to the end-of-image mark. What phones append after it is not looked at."""
    at = 2
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            return False
        mark = data[at + 1]
        if mark == 0xFF:
            at += 1
        elif mark == _JPEG_EOI:
            return True
        elif mark in _JPEG_ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if mark == _JPEG_SOS:
                at = _after_scan(data, at)
    return False


def _after_scan(data: bytes, at: int) -> int:
    """Where the next mark stands after entropy-coded data: in it, 0xFF is followed by 0x00 or a restart mark."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        if data[at + 1] != 0x00 and data[at + 1] not in _JPEG_ALONE:
            return at
        at += 2
    return len(data)


def _png(data: bytes) -> bool:
    at = _PNG_SIGNATURE_BYTES
    view = memoryview(data)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return False
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at = end
    return False


def _webp(data: bytes) -> bool:
    return int.from_bytes(data[4:8], "little") + 8 <= len(data)


def _boxes(data: bytes) -> bool:
    """ISO base media: the boxes of the outermost level end where the file ends."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:
            return True
        if size < 8 or at + size > len(data):
            return False
        at += size
    return at == len(data)


def _wav(data: bytes) -> bool:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return size in _WAV_STREAMED or at + 8 + size <= len(data)
        at += 8 + size + (size & 1)
    return False


def _ogg(data: bytes) -> bool:
    """Pages follow one another to the end, and the last one says that it is the last, or is complete at least."""
    at = 0
    while at < len(data):
        if data[at : at + 4] != b"OggS" or at + 27 > len(data):
            return False
        table = at + 27
        segments = data[table : table + data[at + 26]]
        if len(segments) < data[at + 26]:
            return False
        at = table + len(segments) + sum(segments)
    return at == len(data)


def _amr(data: bytes) -> bool:
    wide = data.startswith(b"#!AMR-WB\n")
    sizes, at = (_AMR_WB_BYTES, 9) if wide else (_AMR_NB_BYTES, 6)
    while at < len(data):
        at += sizes[data[at] >> 3 & 0x0F]
    return at == len(data)


def _adts(data: bytes) -> bool:
    at = id3_bytes(data)
    while at + 7 <= len(data) and data[at] == 0xFF and data[at + 1] & 0xF6 == 0xF0:
        size = (data[at + 3] & 0x03) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        if size < 7:
            return False
        at += size
    return at == len(data) or data[at : at + 3] == b"TAG"


def _mp3(data: bytes) -> bool:
    """The last frame is complete; bytes between frames, as editors leave them, are passed over."""
    at, end = id3_bytes(data), len(data)
    if data[-_ID3V1_BYTES:-125] == b"TAG":
        end -= _ID3V1_BYTES
    last_end = at
    while at + 4 <= end:
        if is_mp3_sync(data, at):
            last_end = at = at + _mp3_frame_bytes(data, at)
        else:
            at = data.find(b"\xff", at + 1, end)
            if at < 0:
                break
    return 0 < last_end <= end


def _mp3_frame_bytes(data: bytes, at: int) -> int:
    version, flags = data[at + 1] >> 3 & 0x03, data[at + 2]
    kbits = _MP3_KBITS[3 if version == 3 else 2][flags >> 4]
    rate = _MP3_HZ[version][flags >> 2 & 0x03]
    return (144_000 if version == 3 else 72_000) * kbits // rate + (flags >> 1 & 1)


def _webm(data: bytes) -> bool:
    """No element reaches beyond the end of the file. Live recordings leave the sizes of segment and cluster open."""
    at = 0
    for at in _ebml_ends(data):
        if at > len(data):
            return False
    return at == len(data)


def _ebml_ends(data: bytes) -> Iterator[int]:
    """Where each element ends that is not a container; the size of a container is yielded too where it is known."""
    at = 0
    while at < len(data):
        name, size, body = _ebml_head(data, at)
        if body > len(data):
            yield body
            return
        if name not in _EBML_CONTAINERS:
            if size is None:
                yield len(data) + 1
                return
            at = body + size
            yield at
        else:
            if size is not None and body + size > len(data):
                yield body + size
                return
            at = body
            yield at


def _ebml_head(data: bytes, at: int) -> tuple[int, int | None, int]:
    """Name, size (None: open) and where the content begins; beyond the end when the head itself is cut."""
    name_bytes = 9 - data[at].bit_length()
    size_at = at + name_bytes
    if name_bytes > 4 or size_at >= len(data):
        return 0, None, len(data) + 1
    size_bytes = 9 - data[size_at].bit_length()
    body = size_at + size_bytes
    if size_bytes > 8 or body > len(data):
        return 0, None, len(data) + 1
    mask = (1 << 7 * size_bytes) - 1
    size = int.from_bytes(data[size_at:body], "big") & mask
    return int.from_bytes(data[at:size_at], "big"), None if size == mask else size, body


_CHECKS: Final[Mapping[Format, Callable[[bytes], bool]]] = {
    Format.JPEG: _jpeg,
    Format.PNG: _png,
    Format.WEBP: _webp,
    Format.HEIC: _boxes,
    Format.MP4: _boxes,
    Format.MP3: _mp3,
    Format.ADTS: _adts,
    Format.OGG: _ogg,
    Format.WEBM: _webm,
    Format.AMR: _amr,
    Format.WAV: _wav,
}
