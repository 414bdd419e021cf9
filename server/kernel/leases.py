"""Leases: at most one holder of a name at a time, judged by MongoDB's clock alone.

A lease says who leads; it does not make writes safe. Whatever a leader writes carries its own guard.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from server.kernel.actor import PLATFORM
from server.kernel.mongo import Database

LEASES: Final = "leases"
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Leases:
    def __init__(self, database: Database) -> None:
        self._leases = database[LEASES]

    async def acquire(self, name: str, holder: str, ttl: timedelta) -> bool:
        """Take the lease or extend one's own; False while another holds it."""
        try:
            return await self._take(name, holder, ttl)
        except DuplicateKeyError:  # two who were the very first: the other one's is there now
            return await self._take(name, holder, ttl)

    async def _take(self, name: str, holder: str, ttl: timedelta) -> bool:
        free = {
            "$or": [
                {"$eq": ["$holder", holder]},
                {"$lte": [{"$ifNull": ["$expires_at", _LONG_AGO]}, "$$NOW"]},
            ]
        }
        extended = {"$add": ["$$NOW", ttl // timedelta(milliseconds=1)]}
        lease = await self._leases.find_one_and_update(
            {"_id": name, "hospital_id": PLATFORM},
            [
                {"$set": {"free": free}},
                {
                    "$set": {
                        "holder": {"$cond": ["$free", holder, "$holder"]},
                        "expires_at": {"$cond": ["$free", extended, "$expires_at"]},
                    }
                },
                {"$unset": "free"},
            ],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return lease is not None and lease["holder"] == holder

    async def release(self, name: str, holder: str) -> None:
        """Give the lease back, if it is still one's own."""
        await self._leases.delete_one({"_id": name, "hospital_id": PLATFORM, "holder": holder})
