"""What quick consults cost, by department."""

from typing import Final

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from consult.domain.quick import QUICK_PRICES, QuickPrice
from server.kernel.mongo import Collection, Database, Document
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

_MOST_DEPARTMENTS: Final = 500

QUICK_INDEXES: Final = {QUICK_PRICES: [OUTBOX_INDEX, IndexModel([("hospital_id", ASCENDING), ("_id", ASCENDING)])]}


class MongoQuickPrices:
    """Implements `ports.QuickPriceRepository`: one document a department."""

    def __init__(self, database: Database) -> None:
        self._prices: Collection = database[QUICK_PRICES]

    async def find(self, hospital_id: str, department_id: str) -> QuickPrice:
        found = await self._prices.find_one({"_id": department_id, "hospital_id": hospital_id})
        return QuickPrice(hospital_id, department_id, None) if found is None else _price_from(found)

    async def list_of(self, hospital_id: str) -> list[QuickPrice]:
        query: Document = {"hospital_id": hospital_id, "fee_fen": {"$ne": None}}
        return [_price_from(found) for found in await self._prices.find(query, limit=_MOST_DEPARTMENTS).to_list()]

    async def save(self, price: QuickPrice, event: Event) -> bool:
        key: Document = {"_id": price.department_id, "hospital_id": price.hospital_id}
        values: Document = {"fee_fen": price.fee_fen, "version": price.version}
        if price.version == 1:
            try:
                await self._prices.insert_one(key | values | {"outbox": [to_outbox(event)]})
            except DuplicateKeyError:
                return False
            return True
        done = await self._prices.update_one(
            key | {"version": price.version - 1}, {"$set": values, "$push": {"outbox": to_outbox(event)}}
        )
        return done.matched_count == 1


def _price_from(document: Document) -> QuickPrice:
    return QuickPrice(document["hospital_id"], document["_id"], document["fee_fen"], document["version"])
