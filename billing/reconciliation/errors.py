"""What comparing bills refuses."""

from server.kernel.errors import DomainError, ErrorKind


class BillNotReady(DomainError):
    code = "reconciliation.bill_not_ready"
    kind = ErrorKind.CONFLICT
    title = "The gateway has not made the bill of this day yet; it is there from ten o'clock of the next day."
