"""Background work of media."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from server.kernel.jobs import Job

if TYPE_CHECKING:
    from media.service import MediaService

_UNATTACHED: Final = "media.remove_unattached"
_UNSHOWN: Final = "media.remove_unshown"
_UNFINISHED: Final = "media.remove_unfinished"
EVERY: Final[Mapping[str, timedelta]] = dict.fromkeys((_UNATTACHED, _UNSHOWN, _UNFINISHED), timedelta(minutes=10))


def jobs(service: "MediaService") -> list[Job]:
    """All only remove what has been useless for long; how often they run is no promise to anyone."""
    return [
        Job(
            name=_UNATTACHED,
            summary="Removes media that nobody attached within a day.",
            handler=service.remove_unattached,
            every=EVERY[_UNATTACHED],
        ),
        Job(
            name=_UNSHOWN,
            summary="Removes media that were attached to a message or an order which then failed.",
            handler=service.remove_unshown,
            every=EVERY[_UNSHOWN],
        ),
        Job(
            name=_UNFINISHED,
            summary="Removes the bytes of uploads that a crash cut short.",
            handler=service.remove_unfinished,
            every=EVERY[_UNFINISHED],
        ),
    ]
