"""The tracing process, `python -m watermark.tracing MEMORY SECONDS`: a picture on standard input, an answer on standard output.

The picture may be anything, so it is opened here, where there is no database, no network and no file to write, and where it can
take no more than so much memory and time. Input: 4 bytes of length, a head in JSON (`Question`), the picture. Output: `Answer`.
"""

import signal
import sys
from io import BytesIO
from typing import Final

import cv2
import msgspec
from PIL import Image, ImageOps, UnidentifiedImageError
from pillow_heif import register_heif_opener

from server.kernel.confined import confine, open_pipes, read_head
from watermark.forensic import trace

MAX_PIXELS: Final = 50_000_000
FORMATS: Final = ("JPEG", "PNG", "WEBP", "HEIF")
_ENOUGH: Final = 2600
"""Pixels along the longer side that the reader looks at; a JPEG larger by whole factors need not be opened in full."""


class Question(msgspec.Struct, frozen=True):
    """`issued`: view ids that it may be, in hexadecimal."""

    key: str
    issued: tuple[str, ...] = ()


class Found(msgspec.Struct, frozen=True):
    view_id: int
    confidence: float
    checked: bool


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`refused`: why it was not looked at (`unsupported`, `too_large`, `damaged`)."""

    found: tuple[Found, ...] = ()
    width: int = 0
    height: int = 0
    refused: str = ""


def main(memory_bytes: int, limit_seconds: int) -> None:
    """Answer one question."""
    question_in, answer_out = open_pipes()
    cv2.setNumThreads(1)
    register_heif_opener()
    confine(memory_bytes)
    signal.alarm(limit_seconds)
    question = msgspec.json.decode(read_head(question_in) or b"", type=Question)
    answer_out.write(msgspec.json.encode(answer(question, question_in.read())))
    answer_out.flush()


def answer(question: Question, data: bytes) -> Answer:
    """What the picture carries, or why it was not looked at."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            size = image.size
            if size[0] * size[1] > MAX_PIXELS:
                return Answer(refused="too_large")
            image.draft("L", (_ENOUGH, _ENOUGH))
            picture = ImageOps.exif_transpose(image).convert("L")
    except UnidentifiedImageError:
        return Answer(refused="unsupported")
    except Image.DecompressionBombError:
        return Answer(refused="too_large")
    except Exception:  # whatever a decoder makes of hostile bytes, they are no picture
        return Answer(refused="damaged")
    issued = [int(view_id, 16) for view_id in question.issued]
    readings = trace(picture, issued, key=bytes.fromhex(question.key))
    return Answer(tuple(Found(r.view_id, r.confidence, r.checked) for r in readings), *size)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
