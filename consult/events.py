"""Which events the product takes, for the relay."""

from collections.abc import Awaitable, Callable, Mapping

from consult.service.after_sales import ASKED, DECIDED, AfterSalesService
from consult.service.consults import ConsultService
from consult.service.desk import DeskService
from consult.service.fairness import FairnessService
from consult.service.notes import NOTE_ADDED, NoteService
from consult.service.payments import OrderPaymentService
from consult.service.reminders import ReminderService
from server.kernel.outbox import Event


def consumers(
    payments: OrderPaymentService,
    consults: ConsultService,
    desk: DeskService,
    reminders: ReminderService,
    fairness: FairnessService,
    notes: NoteService,
    after_sales: AfterSalesService,
) -> Mapping[str, Callable[[Event], Awaitable[None]]]:
    """Each action with what is to be called for its events; give them to `Relay.on`."""
    return {
        "billing.payment_captured": payments.payment_captured,
        "billing.refund_succeeded": payments.refund_succeeded,
        "consult.order_settled": payments.order_settled,
        "consult.order_refunded": payments.order_refunded,
        "consult.order_rated": consults.order_rated,
        "consult.record_access_changed": consults.record_access_changed,
        "consult.reply_flagged": fairness.reply_flagged,
        "consult.reply_contested": fairness.reply_contested,
        "consult.reminder_due": reminders.reminder_due,
        ASKED: after_sales.asked,
        DECIDED: after_sales.decided,
        NOTE_ADDED: notes.note_added,
        "consult.desk_settings_changed": desk.desk_settings_changed,
    }
