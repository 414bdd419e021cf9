"""What a medium is, who may attach it, and the limits that uploads are held to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

MAX_UPLOAD_BYTES: Final = 20 * 1024 * 1024
MAX_PIXELS: Final = 50_000_000
MIN_VOICE_MS: Final = 1_000
MAX_VOICE_MS: Final = 60_000
CODEC_SLACK_MS: Final = 100
"""What a codec's frames and padding may add to or take from a recording; it is not held against the speaker."""

UNATTACHED_FOR: Final = timedelta(hours=24)
"""How long a medium waits to be attached before it is removed."""

UNSHOWN_FOR: Final = timedelta(hours=24)
"""How long after it was attached a medium must be shown by its owner: a message or an order that named it may have failed."""

LAPSED_FOR: Final = timedelta(hours=1)
"""How long one that is shown nowhere is kept from all use before its bytes go. What was under way with it has ended by then."""

UNFINISHED_FOR: Final = timedelta(hours=1)
"""After this long an upload that did not finish never will: its content is an orphan."""

MAX_UNATTACHED: Final = 500
"""Media of one account that wait to be attached; more are refused for a while."""

MAX_UNATTACHED_BYTES: Final = 200 * 1024 * 1024
"""And what they may take together, as stored, before one more is taken."""

LINK_TTL: Final = timedelta(seconds=60)


class Purpose(StrEnum):
    """What an upload is for, as its sender says."""

    MESSAGE = "message"
    COMPLAINT = "complaint"


class MediaKind(StrEnum):
    IMAGE = "image"
    VOICE = "voice"


class Rendition(StrEnum):
    """The forms in which a medium is kept. The first of its kind is the one that a link gives when none is named."""

    ORIGINAL = "original"
    THUMBNAIL = "thumbnail"
    M4A = "m4a"
    OPUS = "opus"


MAIN_RENDITION: Final[Mapping[MediaKind, Rendition]] = {
    MediaKind.IMAGE: Rendition.ORIGINAL,
    MediaKind.VOICE: Rendition.M4A,
}


class Format(StrEnum):
    """What an upload is found to be, by its content."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    HEIC = "heic"
    MP4 = "mp4"
    MP3 = "mp3"
    ADTS = "adts"
    OGG = "ogg"
    WEBM = "webm"
    AMR = "amr"
    WAV = "wav"


IMAGE_FORMATS: Final = frozenset({Format.JPEG, Format.PNG, Format.WEBP, Format.HEIC})


class MediaState(StrEnum):
    UNATTACHED = "unattached"
    ATTACHED = "attached"
    LAPSED = "lapsed"
    """Attached, and shown nowhere: nobody may use it, and it comes back should a message that was under way show it."""

    REMOVING = "removing"


GONE: Final = frozenset({MediaState.LAPSED, MediaState.REMOVING})
"""To everyone as if it were not there."""


class OwnerKind(StrEnum):
    CONVERSATION = "conversation"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Owner:
    """What a medium belongs to, for ever, once it is attached."""

    kind: OwnerKind
    id: str


@dataclass(frozen=True, slots=True)
class Encoding:
    """One form of a medium, as a codec made it."""

    mime: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Encoded:
    """A decoded and newly encoded upload. Images have `width` and `height` in pixels, voice `duration_ms`."""

    kind: MediaKind
    renditions: Mapping[Rendition, Encoding]
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StoredRendition:
    """Where the bytes of one form are. `content_id` never names other bytes."""

    content_id: str
    mime: str
    bytes: int


@dataclass(frozen=True, slots=True)
class NewMedium:
    """An upload that is about to be stored. `hospital_id` is its uploader's: `platform` for a patient, until it is attached."""

    id: str
    hospital_id: str
    account_id: str
    purpose: Purpose
    encoded: Encoded
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Medium:
    """An uploaded picture or recording. `account_id` is its uploader; `sha256` (hexadecimal) is of the main rendition."""

    id: str
    hospital_id: str
    account_id: str
    purpose: Purpose
    kind: MediaKind
    width: int | None
    height: int | None
    duration_ms: int | None
    state: MediaState
    owner: Owner | None
    sha256: str
    renditions: Mapping[Rendition, StoredRendition]
    created_at: datetime
    version: int
    sealed_key: bytes
    """The key of its contents, sealed with the conversation's key where it is attached to one, else with its hospital's."""

    @property
    def main(self) -> StoredRendition:
        return self.renditions[MAIN_RENDITION[self.kind]]


def may_attach(medium: Medium, account_id: str, kind: str, owner: Owner) -> bool:
    """Only its uploader may attach a medium, only as what it is, and only where it does not belong elsewhere already."""
    if medium.account_id != account_id or medium.kind != kind or medium.state in GONE:
        return False
    return medium.owner is None or medium.owner == owner


def voice_duration_fits(duration_ms: int) -> bool:
    """Between one second and one minute, give or take what the codec's frames do to the ends."""
    return MIN_VOICE_MS - CODEC_SLACK_MS <= duration_ms <= MAX_VOICE_MS + CODEC_SLACK_MS


def pixels_fit(width: int, height: int) -> bool:
    """Whether a picture is small enough to be decoded."""
    return width > 0 and height > 0 and width * height <= MAX_PIXELS
