"""The ledger's postings, summed for staff."""

from typing import Final

from admin_console.domain.orders import MoneyTotals
from billing.domain import HELD, INCOME, REFUNDS_PAYABLE
from billing.mongo import POSTINGS
from server.kernel.mongo import Collection, Database, Document

_CLEARING: Final = "clearing:"


class MongoLedger:
    """Implements `ports.LedgerReader`. Paid is what came in at the gateways, refunded what became payable, paid out or not."""

    def __init__(self, database: Database) -> None:
        self._postings: Collection = database[POSTINGS]

    async def totals(self, hospital_id: str) -> MoneyTotals:
        pipeline: list[Document] = [
            {"$match": {"hospital_id": hospital_id}},
            {"$project": {"lines": {"$objectToArray": "$lines"}}},
            {"$unwind": "$lines"},
            {
                "$group": {
                    "_id": "$lines.k",
                    "in": {"$sum": {"$max": ["$lines.v", 0]}},
                    "out": {"$sum": {"$min": ["$lines.v", 0]}},
                }
            },
        ]
        sums = {row["_id"]: (row["in"], row["out"]) async for row in await self._postings.aggregate(pipeline)}
        return MoneyTotals(
            paid_fen=sum(into for account, (into, _) in sums.items() if account.startswith(_CLEARING)),
            held_fen=-sum(sums.get(HELD, (0, 0))),
            earned_fen=-sum(sums.get(INCOME, (0, 0))),
            refunded_fen=-sums.get(REFUNDS_PAYABLE, (0, 0))[1],
        )
