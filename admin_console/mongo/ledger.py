"""The ledger's postings, summed for staff."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from pymongo.errors import DuplicateKeyError

from admin_console.domain.orders import MoneyTotals
from billing.domain import HELD, INCOME, REFUNDS_PAYABLE
from billing.mongo import POSTINGS
from server.kernel.mongo import Collection, Database, Document

LEDGER_SUMS: Final = "ledger_sums"

_CLEARING: Final = "clearing:"

SETTLES_WITHIN: Final = timedelta(hours=1)
"""A posting is stored within seconds of the instant that it bears: so long after a day nothing is added to it."""

Sums = Mapping[str, tuple[int, int]]
"""What came into each account and what went out, the latter negative; in fen."""


class MongoLedger:
    """Implements `ports.LedgerReader`. Paid is what came in at the gateways, refunded what became payable, paid out or not.

    Of each hospital one document holds the sums of all days that are over, and goes on by a day whenever somebody asks: so what
    is read each time is a day's postings, however many there ever were.
    """

    def __init__(self, database: Database) -> None:
        self._postings: Collection = database[POSTINGS]
        self._sums: Collection = database[LEDGER_SUMS]

    async def totals(self, hospital_id: str, now: datetime) -> MoneyTotals:
        over = (now - SETTLES_WITHIN).replace(hour=0, minute=0, second=0, microsecond=0)
        kept = await self._sums.find_one({"_id": hospital_id, "hospital_id": hospital_id})
        until: datetime | None = None if kept is None else kept["until"]
        sums: Sums = {} if kept is None else {each["account"]: (each["in"], each["out"]) for each in kept["sums"]}
        if until is None or until < over:
            sums = _added(sums, await self._sum(hospital_id, {"$lt": over} if until is None else {"$gte": until, "$lt": over}))
            await self._keep(hospital_id, until, over, sums)
            until = over
        sums = _added(sums, await self._sum(hospital_id, {"$gte": until}))
        return MoneyTotals(
            paid_fen=sum(into for account, (into, _) in sums.items() if account.startswith(_CLEARING)),
            held_fen=-sum(sums.get(HELD, (0, 0))),
            earned_fen=-sum(sums.get(INCOME, (0, 0))),
            refunded_fen=-sums.get(REFUNDS_PAYABLE, (0, 0))[1],
        )

    async def _sum(self, hospital_id: str, at: Document) -> Sums:
        pipeline: list[Document] = [
            {"$match": {"hospital_id": hospital_id, "at": at}},
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
        return {row["_id"]: (row["in"], row["out"]) async for row in await self._postings.aggregate(pipeline)}

    async def _keep(self, hospital_id: str, before: datetime | None, until: datetime, sums: Sums) -> None:
        """Whoever else goes on from the same place writes the same."""
        stored = {"until": until, "sums": [{"account": name, "in": into, "out": out} for name, (into, out) in sums.items()]}
        key = {"_id": hospital_id, "hospital_id": hospital_id}
        if before is not None:
            await self._sums.update_one(key | {"until": before}, {"$set": stored})
            return
        try:
            await self._sums.insert_one(key | stored)
        except DuplicateKeyError:
            return


def _added(first: Sums, second: Sums) -> Sums:
    added = dict(first)
    for account, (into, out) in second.items():
        old_in, old_out = added.get(account, (0, 0))
        added[account] = (old_in + into, old_out + out)
    return added
