"""The only place that sees documents of orders, desks and notices."""

from typing import Final

from consult.domain.desk import DESK_SETTINGS, QUICK_REPLIES
from consult.domain.fairness import REPLY_FLAGS
from consult.domain.notes import STAFF_NOTES
from consult.domain.order import ORDERS
from consult.domain.quick import QUICK_PRICES
from consult.domain.reminders import REMINDER_POLICIES, REMINDERS
from consult.domain.tasks import TASKS
from consult.mongo.desk import DESK_INDEXES, MongoDesks, MongoPlaces
from consult.mongo.fairness import FAIRNESS_INDEXES, MongoFairness
from consult.mongo.notes import NOTE_INDEXES, MongoNotes
from consult.mongo.notices import NOTICE_INDEXES, NOTICES, MongoNotices
from consult.mongo.orders import ORDER_INDEXES, MongoOrders
from consult.mongo.quick import QUICK_INDEXES, MongoQuickPrices
from consult.mongo.reminders import REMINDER_INDEXES, MongoReminders
from consult.mongo.tasks import TASK_INDEXES, MongoTasks
from server.kernel.mongo import Indexes

INDEXES: Final[Indexes] = {
    ORDERS: ORDER_INDEXES,
    **DESK_INDEXES,
    NOTICES: NOTICE_INDEXES,
    TASKS: TASK_INDEXES,
    **REMINDER_INDEXES,
    **FAIRNESS_INDEXES,
    **NOTE_INDEXES,
    **QUICK_INDEXES,
}

OUTBOXES: Final = (
    ORDERS,
    DESK_SETTINGS,
    QUICK_REPLIES,
    TASKS,
    REMINDERS,
    REMINDER_POLICIES,
    REPLY_FLAGS,
    STAFF_NOTES,
    QUICK_PRICES,
)

__all__ = [
    "INDEXES",
    "OUTBOXES",
    "MongoDesks",
    "MongoFairness",
    "MongoNotes",
    "MongoNotices",
    "MongoOrders",
    "MongoPlaces",
    "MongoQuickPrices",
    "MongoReminders",
    "MongoTasks",
]
