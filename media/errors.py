"""What can be wrong with an upload, and with a wish to see one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from server.kernel.errors import DomainError, ErrorKind


class MediaNotFound(DomainError):
    """Missing, removed, recalled, and not yours are one answer."""

    code = "media.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such picture or recording."


class MediaUnsupported(DomainError):
    code = "media.unsupported"
    kind = ErrorKind.INVALID
    title = "This kind of file is not taken. Pictures: JPEG, PNG, WebP, HEIC. Voice: M4A, MP3, Ogg, WebM, AMR, WAV."
    http_status = 415


class MediaTooLarge(DomainError):
    code = "media.too_large"
    kind = ErrorKind.INVALID
    title = "The file has too many bytes or pixels."
    http_status = 413


class MediaDamaged(DomainError):
    code = "media.damaged"
    kind = ErrorKind.INVALID
    title = "The file is damaged or incomplete."


class MediaDurationRefused(DomainError):
    code = "media.duration_refused"
    kind = ErrorKind.INVALID
    title = "A recording lasts from 1 to 60 seconds."


class MediaUnattachedFull(DomainError):
    """Send or order with what is there, or wait until it is removed after a day."""

    code = "media.unattached_full"
    kind = ErrorKind.RATE_LIMITED
    title = "Too many uploads of this account wait to be sent; send them first, or wait."


class MediaLinkRefused(DomainError):
    """The link is over, or was made for another account. Said before anything is looked up, so that it tells nothing."""

    code = "media.link_refused"
    kind = ErrorKind.FORBIDDEN
    title = "This link does not work (any more); ask for a new one."


class MediaRangeRefused(DomainError):
    code = "media.range_refused"
    kind = ErrorKind.INVALID
    title = "The content has no bytes in this range."
    http_status = 416


UPLOAD_REFUSALS: Final[Mapping[str, type[DomainError]]] = MappingProxyType(
    {error.code: error for error in (MediaUnsupported, MediaTooLarge, MediaDamaged, MediaDurationRefused)}
)
"""What a codec can say about an upload, by code."""
