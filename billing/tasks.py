"""Background work of money: refunds to the gateway, and payments whose callback was lost."""

from datetime import timedelta
from typing import Final

from billing.service.payments import PaymentService
from billing.service.refunds import SUBMIT, RefundService
from server.kernel.jobs import Job

_OFTEN: Final = timedelta(seconds=2)


def jobs(payments: PaymentService, refunds: RefundService) -> list[Job]:
    return [
        Job(SUBMIT, "One try of one refund", refunds.submit_refund),
        Job("billing.submit_due_refunds", "Refunds whose next try is due", refunds.submit_due_refunds, every=_OFTEN),
        Job("billing.query_open_payments", "Payments whose callback may be lost", payments.query_open_payments, every=_OFTEN),
    ]
