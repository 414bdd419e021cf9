"""What is refused, and what is not there."""

from server.kernel.errors import DomainError, ErrorKind


class RecordAccessDenied(DomainError):
    """For who may see the order but not its records. Who may not see the order is told `order.not_found`."""

    code = "record.access_denied"
    kind = ErrorKind.FORBIDDEN
    title = "The records are for this order's doctor, while it is open and the patient agrees."


class RecordNotFound(DomainError):
    code = "record.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such record, or no such page of it."


class RecordSourceUnavailable(DomainError):
    code = "record.source_unavailable"
    kind = ErrorKind.UNAVAILABLE
    title = "The hospital's records do not answer; try again."


class RecordIdentityMismatch(DomainError):
    """The hospital answered with somebody else's data. Nothing of it is shown; it is reported."""

    code = "record.identity_mismatch"
    kind = ErrorKind.CONFLICT
    title = "The hospital answered with another person's records. None are shown, and it was reported."


class RecordNotDrawable(DomainError):
    """A page is drawn whole or not at all: a value with a glyph missing could be read wrongly."""

    code = "record.not_drawable"
    kind = ErrorKind.UNAVAILABLE
    title = "This page cannot be drawn faithfully, so it is not shown; it was reported."


class CriticalNotFound(DomainError):
    code = "critical.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such critical value for this account."


class CriticalTransitionRefused(DomainError):
    """`status` is where it stands."""

    code = "critical.transition_refused"
    kind = ErrorKind.CONFLICT
    title = "This cannot be done with a critical value that stands so."
