"""Background work of money: refunds to the gateway, and payments whose callback was lost."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from server.kernel.jobs import Job

if TYPE_CHECKING:
    from billing.service.payments import PaymentService
    from billing.service.refunds import RefundService

_SUBMIT: Final = "billing.submit_refund"
"""Asked for by `service.refunds` under this name too."""

_SUBMIT_DUE: Final = "billing.submit_due_refunds"
_QUERY_OPEN: Final = "billing.query_open_payments"
EVERY: Final[Mapping[str, timedelta]] = dict.fromkeys((_SUBMIT_DUE, _QUERY_OPEN), timedelta(seconds=2))


def jobs(payments: "PaymentService", refunds: "RefundService") -> list[Job]:
    return [
        Job(_SUBMIT, "One try of one refund", refunds.submit_refund),
        Job(_SUBMIT_DUE, "Refunds whose next try is due", refunds.submit_due_refunds, every=EVERY[_SUBMIT_DUE]),
        Job(_QUERY_OPEN, "Payments whose callback may be lost", payments.query_open_payments, every=EVERY[_QUERY_OPEN]),
    ]
