"""Sliding windows in MongoDB, so that all processes and restarts share them."""

from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from accounts.mongo.collections import LIMITS
from server.kernel.actor import PLATFORM
from server.kernel.crypto import Keyring
from server.kernel.mongo import Collection, Database, Document
from server.kernel.settings import Rate

_ATTEMPTS: Final = 20


class MongoLimits:
    """`accounts.ports.LimitRepository`. A window holds at most `rate.count` slots, so it stays small."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._windows: Collection = database[LIMITS]
        self._keyring = keyring

    async def take(self, kind: str, subject: str, rate: Rate, *, slot_id: str, now: datetime) -> timedelta | None:
        key = await self._key(kind, subject)
        document = await self._update(key, _take(rate, slot_id, now))
        slots = sorted(document["slots"], key=lambda slot: slot["at"])
        if any(slot["id"] == slot_id for slot in slots):
            return None
        oldest: datetime = slots[-rate.count]["at"]
        return max(oldest + rate.per - now, timedelta(milliseconds=1))

    async def give_back(self, kind: str, subject: str, *, slot_id: str) -> None:
        key = await self._key(kind, subject)
        await self._windows.update_one({"_id": key, "hospital_id": PLATFORM}, {"$pull": {"slots": {"id": slot_id}}})

    async def clear(self, kind: str, subject: str) -> None:
        key = await self._key(kind, subject)
        await self._windows.delete_one({"_id": key, "hospital_id": PLATFORM})

    async def tidy(self, before: datetime) -> None:
        await self._windows.delete_many({"hospital_id": PLATFORM, "expires_at": {"$lt": before}})

    async def _update(self, key: str, pipeline: list[Document]) -> Document:
        """Two first users of a window can collide when they make it; the second one then finds it."""
        for _ in range(_ATTEMPTS):
            try:
                document = await self._windows.find_one_and_update(
                    {"_id": key, "hospital_id": PLATFORM}, pipeline, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:
                continue
            if document is not None:
                return document
        raise RuntimeError("a window can be neither made nor found")

    async def _key(self, kind: str, subject: str) -> str:
        keys = await self._keyring.hospital(PLATFORM)
        return f"{kind}:{keys.blind(subject, field=f'{LIMITS}.{kind}').hex()}"


def _take(rate: Rate, slot_id: str, now: datetime) -> list[Document]:
    """Drop what has left the window (half-open: at its last instant a slot is free), then add ours if there is room."""
    recent: Any = {"$filter": {"input": {"$ifNull": ["$slots", []]}, "cond": {"$gt": ["$$this.at", now - rate.per]}}}
    mine: Any = [{"id": {"$literal": slot_id}, "at": now}]
    room: Any = {"$lt": [{"$size": "$slots"}, rate.count]}
    return [
        {"$set": {"slots": recent, "expires_at": now + rate.per}},
        {"$set": {"slots": {"$cond": [room, {"$concatArrays": ["$slots", mine]}, "$slots"]}}},
    ]
