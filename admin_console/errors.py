"""What supervision refuses."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from server.kernel.errors import DomainError, ErrorKind


class LeakPictureUnsupported(DomainError):
    code = "leak.picture_unsupported"
    kind = ErrorKind.INVALID
    title = "This kind of file is not read. Pictures: JPEG, PNG, WebP, HEIC."
    http_status = 415


class LeakPictureTooLarge(DomainError):
    code = "leak.picture_too_large"
    kind = ErrorKind.INVALID
    title = "The picture has too many bytes or pixels."
    http_status = 413


class LeakPictureDamaged(DomainError):
    code = "leak.picture_damaged"
    kind = ErrorKind.INVALID
    title = "The picture is damaged or incomplete."


class Hl7MessageNotFound(DomainError):
    code = "hl7.message_not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such message that waits for repair."


class RevealNotFound(DomainError):
    code = "custody.reveal_not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such request."


class RevealNeedsAnother(DomainError):
    code = "custody.second_person_needed"
    kind = ErrorKind.CONFLICT
    title = "Two people must agree: an auditor who asks and a medical administrator, and only they look."


class RevealClosed(DomainError):
    code = "custody.closed"
    kind = ErrorKind.CONFLICT
    title = "The request is answered, or its time is over; ask again."


class NothingRecalled(DomainError):
    code = "custody.nothing_recalled"
    kind = ErrorKind.CONFLICT
    title = "There is no recalled message with this number."


REFUSALS: Final[Mapping[str, type[DomainError]]] = MappingProxyType(
    {"unsupported": LeakPictureUnsupported, "too_large": LeakPictureTooLarge, "damaged": LeakPictureDamaged}
)
"""What the tracing process can say about a picture."""
