"""Leases: at most one holder of a name at a time, judged by MongoDB's clock alone.

A lease says who leads; it does not make writes safe. Whatever a leader writes carries its own guard.
"""

from datetime import timedelta
from typing import Final

from pymongo.errors import DuplicateKeyError

from server.kernel.actor import PLATFORM
from server.kernel.mongo import Database

LEASES: Final = "leases"


class Leases:
    def __init__(self, database: Database) -> None:
        self._leases = database[LEASES]

    async def acquire(self, name: str, holder: str, ttl: timedelta) -> bool:
        """Take the lease or extend one's own; False while another holds it."""
        milliseconds = ttl // timedelta(milliseconds=1)
        try:
            await self._leases.update_one(
                {
                    "_id": name,
                    "hospital_id": PLATFORM,
                    "$or": [{"holder": holder}, {"$expr": {"$lte": ["$expires_at", "$$NOW"]}}],
                },
                [{"$set": {"holder": holder, "expires_at": {"$add": ["$$NOW", milliseconds]}}}],
                upsert=True,
            )
        except DuplicateKeyError:
            return False
        return True

    async def release(self, name: str, holder: str) -> None:
        """Give the lease back, if it is still one's own."""
        await self._leases.delete_one({"_id": name, "hospital_id": PLATFORM, "holder": holder})
