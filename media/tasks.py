"""Background work of media."""

from datetime import timedelta

from media.service import MediaService
from server.kernel.jobs import Job


def jobs(service: MediaService) -> list[Job]:
    """Both only remove what has been useless for long; how often they run is no promise to anyone."""
    return [
        Job(
            name="media.remove_unattached",
            summary="Removes media that nobody attached within a day.",
            handler=service.remove_unattached,
            every=timedelta(minutes=10),
        ),
        Job(
            name="media.remove_unfinished",
            summary="Removes the bytes of uploads that a crash cut short.",
            handler=service.remove_unfinished,
            every=timedelta(minutes=10),
        ),
    ]
