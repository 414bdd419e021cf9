"""What the product refuses, by code."""

from server.kernel.errors import DomainError, ErrorKind


class OrderNotFound(DomainError):
    code = "order.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such order."


class OrderTransitionRefused(DomainError):
    code = "order.transition_refused"
    kind = ErrorKind.CONFLICT
    title = "The order is not in a state in which this can be done."


class OrderConsentRequired(DomainError):
    code = "order.consent_required"
    kind = ErrorKind.INVALID
    title = "The consent that is in force now must be agreed to."


class OrderDoctorUnavailable(DomainError):
    code = "order.doctor_unavailable"
    kind = ErrorKind.CONFLICT
    title = "This doctor takes no orders now, or nobody of this department does."


class OrderDailyMaximum(DomainError):
    code = "order.daily_maximum"
    kind = ErrorKind.CONFLICT
    title = "This doctor's orders for today are taken; nothing was charged."


class OrderUnpaidMaximum(DomainError):
    code = "order.unpaid_maximum"
    kind = ErrorKind.CONFLICT
    title = "You took many of this doctor's places today without paying for them; pay for one of those orders first."


class OrderPaymentsExhausted(DomainError):
    code = "order.payments_exhausted"
    kind = ErrorKind.CONFLICT
    title = "This order was tried to be paid too often; pay with one of the payments that were begun, or cancel it."


class OrderTaken(DomainError):
    code = "order.taken"
    kind = ErrorKind.CONFLICT
    title = "Another doctor of the department has this order, or you gave it back."


class OrderRevisitUnavailable(DomainError):
    code = "order.revisit_unavailable"
    kind = ErrorKind.CONFLICT
    title = "A revisit needs an offline visit in the hospital's records, and none could be confirmed."


class AfterSalesNotFound(DomainError):
    code = "after_sales.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such after-sales case."


class AfterSalesTransitionRefused(DomainError):
    code = "after_sales.transition_refused"
    kind = ErrorKind.CONFLICT
    title = "This after-sales case is decided."


class QuickReplyNotFound(DomainError):
    code = "desk.quick_reply_not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such quick reply."


class QuickRepliesChanged(DomainError):
    code = "desk.quick_replies_changed"
    kind = ErrorKind.CONFLICT
    title = "Sentences were added or deleted meanwhile; look again and then put them in order."


class QuickRepliesFull(DomainError):
    code = "desk.quick_replies_full"
    kind = ErrorKind.CONFLICT
    title = "There is no room for another quick reply; delete one first."


class TaskNotFound(DomainError):
    code = "task.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such task."


class TaskTransitionRefused(DomainError):
    code = "task.transition_refused"
    kind = ErrorKind.CONFLICT
    title = "The task is not in a state in which you can do this; somebody else may have it."


class NotesFull(DomainError):
    code = "note.full"
    kind = ErrorKind.CONFLICT
    title = "This order has as many internal notes as it may have."


class ReplyFlagNotFound(DomainError):
    code = "reply_flag.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is no such flagged reply."
