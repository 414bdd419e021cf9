"""Background work of supervision."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from server.kernel.jobs import Job

if TYPE_CHECKING:
    from admin_console.service.proofs import Proofs

_VERIFY: Final = "admin.verify_history"
"""Asked for by `service.proofs` under this name too."""

_VERIFY_WAITING: Final = "admin.verify_waiting"
EVERY: Final[Mapping[str, timedelta]] = {_VERIFY_WAITING: timedelta(seconds=30)}


def jobs(proofs: "Proofs") -> list[Job]:
    return [
        Job(_VERIFY, "One verification of all history", proofs.verify),
        Job(_VERIFY_WAITING, "Verifications whose hint was lost", proofs.verify_waiting, every=EVERY[_VERIFY_WAITING]),
    ]
