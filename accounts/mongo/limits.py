"""Sliding windows in MongoDB, so that all processes and restarts share them."""

from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from accounts.mongo.collections import LIMITS
from server.kernel.actor import PLATFORM
from server.kernel.clock import from_ms, to_ms
from server.kernel.crypto import Keyring
from server.kernel.errors import Unavailable
from server.kernel.mongo import Collection, Database, Document
from server.kernel.settings import Rate

_ATTEMPTS: Final = 20
_EXACT: Final = 100
_MILLISECOND: Final = timedelta(milliseconds=1)


class MongoLimits:
    """`accounts.ports.LimitRepository`. A window is `slots`: `[{at, n}]`, so many places taken at that instant.

    Windows of few places are exact to the millisecond. Those of many count by hundredths of the window, each of which leaves it
    as a whole when its last instant does: the document stays small, and never more than the rate gets through.

    Places that lie further ahead than a whole window were taken before the clock was set back: they count no more.
    """

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._windows: Collection = database[LIMITS]
        self._keyring = keyring

    async def take(self, kind: str, subject: str, rate: Rate, *, now: datetime) -> timedelta | None:
        before = await self._update(await self._key(kind, subject), _take(rate, now))
        recent: list[tuple[datetime, int]] = sorted(
            (slot["at"], slot["n"]) for slot in before if now - rate.per < slot["at"] <= now + rate.per
        )
        to_leave = sum(n for _, n in recent) - rate.count + 1
        if to_leave <= 0:
            return None
        for at, n in recent:
            to_leave -= n
            if to_leave <= 0:
                return max(at + rate.per - now, _MILLISECOND)
        raise AssertionError("a full window has slots")

    async def give_back(self, kind: str, subject: str, rate: Rate, *, taken_at: datetime) -> None:
        await self._windows.update_one(
            {
                "_id": await self._key(kind, subject),
                "hospital_id": PLATFORM,
                "slots": {"$elemMatch": {"at": _slot(rate, taken_at), "n": {"$gt": 0}}},
            },
            {"$inc": {"slots.$.n": -1}},
        )

    async def clear(self, kind: str, subject: str) -> None:
        key = await self._key(kind, subject)
        await self._windows.delete_one({"_id": key, "hospital_id": PLATFORM})

    async def tidy(self, before: datetime) -> None:
        await self._windows.delete_many({"hospital_id": PLATFORM, "expires_at": {"$lt": before}})

    async def _update(self, key: str, pipeline: list[Document]) -> list[Document]:
        """The slots before. Two first users of a window can collide when they make it; the second one then finds it."""
        for _ in range(_ATTEMPTS):
            try:
                document = await self._windows.find_one_and_update(
                    {"_id": key, "hospital_id": PLATFORM}, pipeline, upsert=True, return_document=ReturnDocument.BEFORE
                )
            except DuplicateKeyError:
                continue
            return [] if document is None else list(document["slots"])
        raise Unavailable

    async def _key(self, kind: str, subject: str) -> str:
        keys = await self._keyring.hospital(PLATFORM)
        return f"{kind}:{keys.blind(subject, field=f'{LIMITS}.{kind}').hex()}"


def _slot(rate: Rate, at: datetime) -> datetime:
    """The instant under which a place taken at `at` is counted: that instant, or the end of its hundredth of the window."""
    if rate.count <= _EXACT:
        return at
    width = max(rate.per // timedelta(milliseconds=_EXACT), 1)
    return from_ms((to_ms(at) // width + 1) * width)


def _take(rate: Rate, now: datetime) -> list[Document]:
    """Drop what has left the window (half-open: at its last instant a place is free), then take one if there is room."""
    at = _slot(rate, now)
    within: Any = {"$and": [{"$gt": ["$$this.at", now - rate.per]}, {"$lte": ["$$this.at", now + rate.per]}]}
    recent: Any = {"$filter": {"input": {"$ifNull": ["$slots", []]}, "cond": within}}
    others: Any = {"$filter": {"input": "$slots", "cond": {"$ne": ["$$this.at", at]}}}
    here: Any = {"$sum": {"$map": {"input": "$slots", "in": {"$cond": [{"$eq": ["$$this.at", at]}, "$$this.n", 0]}}}}
    taken: Any = {"$concatArrays": [others, [{"at": at, "n": {"$add": [here, 1]}}]]}
    return [
        {"$set": {"slots": recent, "expires_at": at + rate.per}},
        {"$set": {"slots": {"$cond": [{"$lt": [{"$sum": "$slots.n"}, rate.count]}, taken, "$slots"]}}},
    ]
