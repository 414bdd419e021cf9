"""The only place of supervision that sees documents: its own checkpoints, and others' orders and audit rows, read."""

from typing import Final

from pymongo import DESCENDING, IndexModel

from admin_console.mongo.audit import MongoAuditRows
from admin_console.mongo.board import MongoBoard
from admin_console.mongo.checkpoints import CHECKPOINTS, FEED_PLACES, MongoArchive, MongoCheckpoints, MongoFeed
from admin_console.mongo.custody import REVEAL_INDEXES, REVEALS, MongoReveals
from admin_console.mongo.ledger import LEDGER_SUMS, MongoLedger
from admin_console.mongo.orders import STAFF_ORDER_INDEXES, MongoStaffOrders
from admin_console.mongo.proofs import PROOF_INDEXES, PROOFS, MongoProofs
from admin_console.mongo.views import VIEW_INDEXES, MongoIssuedViews
from consult.mongo.codec import ORDERS
from ehr_view.ports import RECORD_VIEWS
from server.kernel.mongo import Indexes

INDEXES: Final[Indexes] = {
    CHECKPOINTS: [IndexModel([("hospital_id", DESCENDING), ("_id", DESCENDING)])],
    FEED_PLACES: [],
    LEDGER_SUMS: [],
    PROOFS: PROOF_INDEXES,
    REVEALS: REVEAL_INDEXES,
    ORDERS: STAFF_ORDER_INDEXES,
    RECORD_VIEWS: VIEW_INDEXES,
}

OUTBOXES: Final[tuple[str, ...]] = ()

__all__ = [
    "INDEXES",
    "OUTBOXES",
    "MongoArchive",
    "MongoAuditRows",
    "MongoBoard",
    "MongoCheckpoints",
    "MongoFeed",
    "MongoIssuedViews",
    "MongoLedger",
    "MongoProofs",
    "MongoReveals",
    "MongoStaffOrders",
]
