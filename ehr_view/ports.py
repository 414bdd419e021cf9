"""What the service needs from the outside."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from ehr_view.domain.access import ChatView, Grant, Lease, PatientView, RecordView, Refused, Viewer
from ehr_view.domain.records import Chart, Frame, ImagingStudy, PatientRef
from ehr_view.domain.sheets import Sheet
from server.kernel.actor import Actor
from server.kernel.outbox import Event

RECORD_VIEWS: Final = "record_views"
"""The collection of looks, as the relay needs to know it."""


class RecordAccess(Protocol):
    """Knows orders. Every answer is decided on a freshly read log, never on a cache."""

    async def check(self, actor: Actor, order_id: str) -> Grant | Refused:
        """A grant only for the order's current doctor, while it is open, with the patient's consent to record access on it.

        `order_id` is whatever stood in the address.
        """
        ...

    async def check_patient(self, actor: Actor, order_id: str) -> PatientView | Refused:
        """Whether the actor is the account of the order's patient. Open or not does not matter."""
        ...

    async def check_chat(self, actor: Actor, order_id: str) -> ChatView | Refused:
        """Whether the actor is the order's current doctor. Open or not does not matter."""
        ...


class Leases(Protocol):
    """Who has opened an order's records where, as stored, by a majority."""

    async def open(self, lease: Lease) -> None:
        """Store it; the same session's again takes the place of the first."""
        ...

    async def is_open(self, lease: Lease) -> bool:
        """Whether one of this order, doctor, session and device is there."""
        ...

    async def end(self, hospital_id: str, order_id: str, until: datetime) -> None:
        """End the order's that were opened up to that instant."""
        ...


class Sessions(Protocol):
    async def list_dead_sessions(self, session_ids: Collection[str]) -> set[str]:
        """Which of these are over, as of now."""
        ...


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a study, as its file: JPEG, PNG, WebP, or DICOM, of which `frame`, from 1, is meant and whose PatientID
    must be one of `patients`. `mm_per_pixel` at `columns` pixels of width; None: the study does not say."""

    data: bytes
    mm_per_pixel: float | None = None
    columns: int | None = None
    frame: int = 1
    patients: frozenset[str] = frozenset()


class Hospital(Protocol):
    """One hospital's records. Nothing here takes longer than 3 s."""

    async def fetch_chart(self, hospital_id: str, patient: PatientRef) -> Chart:
        """All that the hospital shows of this person; what could not be had is in `missing`.

        Raises RecordSourceUnavailable when nothing could be had, RecordIdentityMismatch when the person found is another.
        """
        ...

    async def fetch_pictures(
        self, hospital_id: str, patient: PatientRef, study: ImagingStudy, frames: Sequence[Frame]
    ) -> Sequence[Picture | None]:
        """The pictures, in order; None for one that could not be had. Raises RecordIdentityMismatch for a study of another."""
        ...

    async def stamp(self, hospital_id: str, patient: PatientRef) -> str:
        """Another text after each change that we were told of; always the same where we would not be told."""
        ...


class Theme(StrEnum):
    LIGHT = "light"
    DARK = "dark"


class ImageFormat(StrEnum):
    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"


@dataclass(frozen=True, slots=True)
class Mark:
    """What both marks say: who looks, when, at which order; and the hidden view id (a tile has none: 0)."""

    viewer: Viewer
    at: datetime
    order_number: str
    view_id: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """One page to draw. `subject` are the words for the person. `width` is the layout: narrow (1080) or wide (1600)."""

    sheet: Sheet
    subject: str
    mark: Mark
    width: int = 1080
    theme: Theme = Theme.LIGHT
    format: ImageFormat = ImageFormat.JPEG
    pictures: Sequence[Picture | None] = field(default=())


@dataclass(frozen=True, slots=True)
class Page:
    """A page, marked both ways. There is no other kind."""

    data: bytes
    format: ImageFormat
    width: int
    height: int


class Painter(Protocol):
    """Draws and marks in processes of its own: what comes out of them is marked."""

    async def draw(self, drawing: Drawing) -> Page:
        """Raises RecordNotDrawable for what cannot be drawn faithfully, RecordIdentityMismatch for a picture of another
        person, Unavailable when there is no process to draw."""
        ...

    async def draw_tile(self, mark: Mark) -> Page:
        """The visible mark alone, as a seamless transparent PNG. Raises as `draw` does."""
        ...

    async def warm(self) -> None:
        """Soon a page will be wanted: have a process ready."""
        ...

    async def close(self) -> None: ...


class Views(Protocol):
    """Looks as stored, by a majority."""

    async def add(self, view: RecordView, event: Event) -> bool:
        """Store it with its event; False when this view id is taken."""
        ...

    async def find(self, view_id: int) -> RecordView | None:
        """The look, of any hospital: who traces a leak does not know where it came from."""
        ...

    async def list_of_order(
        self, hospital_id: str, order_id: str, *, before: tuple[datetime, int] | None, limit: int
    ) -> Sequence[RecordView]:
        """Newest first."""
        ...

    async def list_between(self, since: datetime, until: datetime, *, limit: int) -> Sequence[RecordView]:
        """Looks of all hospitals in that time, newest first: what a trace compares a picture with."""
        ...


class Relay(Protocol):
    def soon(self, collection: str, key: Any, hospital_id: str) -> None: ...


class Live(Protocol):
    """Tells the sockets of accounts. Never waits, never raises."""

    def send(self, account_ids: Iterable[str], event: str, payload: Mapping[str, Any]) -> None: ...
