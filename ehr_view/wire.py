"""What crosses the network about records."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from pydantic import Field

from ehr_view.domain.records import MissingReason, Part
from ehr_view.ports import Theme
from server.kernel.wire import Id, Instant, Page, QueryModel, WireModel


class RecordKind(StrEnum):
    NOTE = "note"
    LAB = "lab"
    EXAM = "exam"
    IMAGING = "imaging"


class RecordOut(WireModel):
    """One record. `form` is `kind`, except that a prescription, which is a note, says so. `critical`: it cannot wait.
    `source`: which of the hospital's systems it came from, for people; empty where the hospital has one for all."""

    record_id: Id
    kind: RecordKind
    form: str
    title: str
    department: str
    occurred_at: Instant
    pages: int
    abnormal: bool
    critical: bool
    source: str


class MissingOut(WireModel):
    """A part of the records that could not be shown. `count` 0: how many is not known."""

    part: Part
    reason: MissingReason
    count: int


class ReminderOut(WireModel):
    """What is shown beside whatever must not leak."""

    zh: str
    en: str


REMINDER: Final = ReminderOut(
    zh="患者隐私，请勿截屏、拍照或转发。每次查看均有记录，画面带有您的水印，泄露可追溯到您本人。",
    en="Private: do not capture, photograph or forward. Every look is recorded, and what you see carries your mark.",
)


class ChatMarkOut(WireModel):
    """A seamless transparent tile (base64 of a PNG, `width` by `height` CSS pixels), to lay over the chat and repeat."""

    tile: str
    width: int
    height: int
    reminder: ReminderOut


class RecordListOut(Page[RecordOut]):
    """All records, newest first. `known` false: the hospital has no such person."""

    missing: Sequence[MissingOut]
    known: bool
    reminder: ReminderOut


class ViewingDoctorOut(WireModel):
    id: str
    name: str


class RecordViewOut(WireModel):
    """One look at one page."""

    view_id: str
    order_id: str
    record_id: Id
    title: str
    page: int
    viewed_at: Instant
    doctor: ViewingDoctorOut


class ImageKind(StrEnum):
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"


class LookQuery(QueryModel):
    """How a page is wanted. `width` in pixels of the screen: the nearest layout is drawn, 1080 or 1600 pixels wide."""

    width: int = Field(default=1080, ge=240, le=8192)
    theme: Theme = Theme.LIGHT
    format: ImageKind = ImageKind.JPEG
