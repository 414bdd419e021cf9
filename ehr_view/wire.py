"""What crosses the network about records."""

from collections.abc import Sequence
from enum import StrEnum

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
    """One record. `form` is `kind`, except that a prescription, which is a note, says so. `critical`: it cannot wait."""

    record_id: Id
    kind: RecordKind
    form: str
    title: str
    department: str
    occurred_at: Instant
    pages: int
    abnormal: bool
    critical: bool


class MissingOut(WireModel):
    """A part of the records that could not be shown. `count` 0: how many is not known."""

    part: Part
    reason: MissingReason
    count: int


class RecordListOut(Page[RecordOut]):
    """All records, newest first. `known` false: the hospital has no such person."""

    missing: Sequence[MissingOut]
    known: bool


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
