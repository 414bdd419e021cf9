"""What billing refuses."""

from server.kernel.errors import DomainError, ErrorKind


class ChannelUnavailable(DomainError):
    code = "payment.channel_unavailable"
    kind = ErrorKind.CONFLICT
    title = "This hospital does not take payments by this channel."


class PaymentNotFound(DomainError):
    code = "payment.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such payment."


class PaymentClosed(DomainError):
    code = "payment.closed"
    kind = ErrorKind.CONFLICT
    title = "This payment can no longer be made; start another."


class PaymentSignatureInvalid(DomainError):
    code = "payment.signature_invalid"
    kind = ErrorKind.UNAUTHENTICATED
    title = "The gateway's signature does not verify."


class PaymentMismatch(DomainError):
    code = "payment.mismatch"
    kind = ErrorKind.INVALID
    title = "The gateway speaks of another merchant, amount or currency."


class RefundNotFound(DomainError):
    code = "refund.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such refund."


class RefundRefused(DomainError):
    code = "refund.refused"
    kind = ErrorKind.CONFLICT
    title = "That much is not there to be refunded."


class RefundTransitionRefused(DomainError):
    code = "refund.transition_refused"
    kind = ErrorKind.CONFLICT
    title = "The refund is not in a state that allows this."


class RefundStillAlive(DomainError):
    code = "refund.still_alive"
    kind = ErrorKind.CONFLICT
    title = "The gateway is still working on this refund or has paid it; a new number could pay twice."


class GatewayUnknown(DomainError):
    """Nobody knows whether the gateway did it: no answer, or none that verifies. Ask again with the same number."""

    code = "payment.gateway_unavailable"
    kind = ErrorKind.UNAVAILABLE
    title = "The payment gateway does not answer; try again."


class GatewayRefused(DomainError):
    """The gateway said no. `reason` is its own code."""

    code = "payment.gateway_refused"
    kind = ErrorKind.CONFLICT
    title = "The payment gateway refused."
