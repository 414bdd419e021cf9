"""The daily comparison, as background work."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from server.kernel.jobs import Job

if TYPE_CHECKING:
    from billing.reconciliation.service import ReconciliationService

_COMPARE: Final = "billing.compare_bills"
EVERY: Final[Mapping[str, timedelta]] = {_COMPARE: timedelta(minutes=10)}


def jobs(reconciliations: "ReconciliationService") -> list[Job]:
    return [Job(_COMPARE, "Bills that are whole and not compared", reconciliations.compare_due, every=EVERY[_COMPARE])]
