"""The drawing process, `python -m ehr_view.worker`: takes one page after another on standard input, answers on standard output.

It has no database and no network; the key of the forensic mark comes with the first frame. A job that lasts too long ends it.
It goes when its input ends. No page leaves it unmarked: `marked` is the only thing that is ever written out.

Frames, both ways: 4 bytes of length, a JSON head, then as many bytes as the head says. First frame: `{"key": hex}`, no answer.
"""

import signal
import struct
import sys
from datetime import datetime
from typing import Final

import cv2
import msgspec
from PIL import Image

from ehr_view.domain.sheets import Sheet
from ehr_view.drawing.page import draw_sheet, marked
from ehr_view.drawing.pictures import MAX_PIXELS, Lack, Loaded, StrangePicture, load
from server.kernel.confined import confine, open_pipes, read_head, write_answer
from watermark.fonts import UndrawableText, load_face
from watermark.visible import VisibleMark, transparent_tile

_NICENESS: Final = 3
_PNG_SIZE: Final = struct.Struct(">II")
_PNG_SIZE_AT: Final = 16
_TILE_SIZE: Final = 16
"""Of the text in a tile, in CSS pixels: what a chat is set in."""
_COMMON: Final = "0123456789.–≤≥%/()（）：，。、项目结果单位参考区间上次检验病历处方影像日期科室医师标本部位岁男女 gmolLUfp⁹¹²μ"


class PictureHead(msgspec.Struct, frozen=True):
    """A picture that follows the head. `size` 0: it could not be had."""

    size: int
    mm_per_pixel: float | None = None
    columns: int | None = None
    frame: int = 1
    patients: tuple[str, ...] = ()


class MarkHead(msgspec.Struct, frozen=True):
    viewer: str
    staff_number: str
    phone_tail: str
    at: datetime
    order_number: str
    view_id: int


class Job(msgspec.Struct, frozen=True, tag="page"):
    sheet: Sheet
    subject: str
    mark: MarkHead
    width: int
    dark: bool
    mime: str
    pictures: tuple[PictureHead, ...] = ()


class TileJob(msgspec.Struct, frozen=True, tag="tile"):
    """The visible mark alone."""

    mark: MarkHead


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`refused`: why there is no page (`glyph`, `mark`, `strange`: a picture of another person, `broken`)."""

    size: int = 0
    width: int = 0
    height: int = 0
    refused: str = ""
    detail: str = ""


def main(memory_bytes: int, limit_seconds: int) -> None:
    """Work until the input ends. `limit_seconds` is for one job, by the wall clock."""
    jobs, answers = open_pipes()
    first = read_head(jobs)
    if first is None:
        return
    key = bytes.fromhex(msgspec.json.decode(first)["key"])
    cv2.setNumThreads(1)  # a process for each core draws; threads of one would only wait for those of another
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    _warm()
    confine(memory_bytes, niceness=_NICENESS)
    while (head := read_head(jobs)) is not None:
        job = msgspec.json.decode(head, type=Job | TileJob)
        pictures = [jobs.read(picture.size) for picture in job.pictures] if isinstance(job, Job) else []
        signal.alarm(limit_seconds)
        answer, data = _answer(job, pictures, key)
        signal.alarm(0)
        write_answer(answers, msgspec.json.encode(answer), data)


def _warm() -> None:
    """Rasterise what stands on nearly every page before the first job."""
    for size, bold in ((25, False), (30, False), (30, True), (24, False), (34, False), (44, True)):
        face = load_face(size, bold)
        for char in _COMMON:
            face.glyph(char)


def _answer(job: Job | TileJob, pictures: list[bytes], key: bytes) -> tuple[Answer, bytes]:
    try:
        data, width, height = render(job, pictures, key) if isinstance(job, Job) else _tile(job)
    except UndrawableText as refusal:
        return Answer(refused="glyph", detail=str(refusal)), b""
    except StrangePicture:
        return Answer(refused="strange"), b""
    except MemoryError:
        return Answer(refused="broken", detail="memory"), b""
    except Exception as error:  # whatever it is, there is no page, and the next job must not suffer
        return Answer(refused="broken", detail=type(error).__name__), b""
    return Answer(size=len(data), width=width, height=height), data


def render(job: Job, pictures: list[bytes], key: bytes) -> tuple[bytes, int, int]:
    """The page, marked and encoded; its size. Raises UndrawableText."""
    mark = _visible(job.mark)
    loaded: list[Loaded | Lack] = [
        load(data, head.mm_per_pixel, head.columns, frame=head.frame, patients=head.patients) if data else Lack.ABSENT
        for data, head in zip(pictures, job.pictures, strict=True)
    ]
    image = draw_sheet(job.sheet, job.subject, job.mark.order_number, width=job.width, dark=job.dark, loaded=loaded)
    return marked(image, mark, job.mark.view_id, key=key, dark=job.dark, mime=job.mime)


def _tile(job: TileJob) -> tuple[bytes, int, int]:
    data = transparent_tile(_visible(job.mark), _TILE_SIZE)
    return data, *_PNG_SIZE.unpack_from(data, _PNG_SIZE_AT)


def _visible(mark: MarkHead) -> VisibleMark:
    return VisibleMark(
        viewer=mark.viewer,
        staff_number=mark.staff_number,
        phone_tail=mark.phone_tail,
        at=mark.at,
        order_number=mark.order_number,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
