"""Desks in MongoDB: settings, places of a day, quick replies, and figures counted from orders."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from consult.domain.desk import (
    DESK_SETTINGS,
    MOST_QUICK_REPLIES,
    MOST_UNPAID_PLACES,
    QUICK_REPLIES,
    DeskSettings,
    Figures,
    Hours,
    PlaceAnswer,
    PlaceClaim,
    QuickReply,
)
from consult.domain.status import Outcome, Phase
from consult.mongo.codec import ORDERS
from server.kernel.mongo import ALL_HOSPITALS, Database, Document
from server.kernel.mongo import Collection as MongoCollection
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

DOCTOR_DAYS: Final = "doctor_days"
_TAKES: Final = 3

DESK_INDEXES: Final = {
    DESK_SETTINGS: [OUTBOX_INDEX, IndexModel([("hospital_id", ASCENDING), ("_id", ASCENDING)])],
    DOCTOR_DAYS: [
        IndexModel([("hospital_id", ASCENDING), ("doctor_id", ASCENDING), ("day", ASCENDING)], unique=True),
        IndexModel([("claims.at", ASCENDING)], name="claimed", sparse=True),
    ],
    QUICK_REPLIES: [OUTBOX_INDEX],
}

_MINUTE_MS: Final = 60_000


class MongoPlaces:
    """Implements `ports.PlaceRepository`: one document per hospital, doctor and local day, with the limit and the order ids.

    `claims` are those of the ids whose entry is still to be appended, each with its instant: what a process that died in
    between left is found by them.

    `settings_version` says which decision of the doctor the limit is: a later one is never overwritten by an earlier.
    `unpaid` is who took which place of a limited day without paying; what was paid since goes when somebody is refused for it.
    """

    def __init__(self, database: Database) -> None:
        self._days: MongoCollection = database[DOCTOR_DAYS]
        self._settings: MongoCollection = database[DESK_SETTINGS]
        self._orders: MongoCollection = database[ORDERS]

    async def take(
        self, hospital_id: str, doctor_id: str, day: str, order_id: str, *, claimed_at: datetime | None = None
    ) -> bool:
        also: Document = {} if claimed_at is None else {"claims": {"order_id": order_id, "at": claimed_at}}
        return await self._ask((hospital_id, doctor_id, day), order_id, also, None) is PlaceAnswer.TAKEN

    async def take_unpaid(self, hospital_id: str, doctor_id: str, day: str, order_id: str, payer: str) -> PlaceAnswer:
        return await self._ask((hospital_id, doctor_id, day), order_id, {}, payer)

    async def _ask(self, day: tuple[str, str, str], order_id: str, also: Document, payer: str | None) -> PlaceAnswer:
        """Again: between a take and the look at what refused it, the day may have begun, or been paid for."""
        key = _day_key(*day)
        for _ in range(_TAKES):
            if await self._push(key, order_id, also, payer):
                return PlaceAnswer.TAKEN
            stored = await self._days.find_one(key)
            if stored is None:
                await self._begin(*day)
            elif order_id in stored["order_ids"]:
                return PlaceAnswer.TAKEN
            elif stored["limit"] is not None and len(stored["order_ids"]) >= stored["limit"]:
                return PlaceAnswer.FULL
            elif not await self._forget_paid(
                key, [each["order_id"] for each in stored.get("unpaid", []) if each["payer"] == payer]
            ):
                return PlaceAnswer.UNPAID
        return PlaceAnswer.FULL

    async def _push(self, key: Document, order_id: str, also: Document, payer: str | None) -> bool:
        absent: Document = {"order_ids": {"$ne": order_id}}
        place: Document = {"order_ids": order_id, **also}
        if (await self._days.update_one(key | absent | {"limit": None}, {"$push": place})).matched_count == 1:
            return True
        room: list[Document] = [{"$lt": [{"$size": "$order_ids"}, "$limit"]}]
        if payer is not None:
            place["unpaid"] = {"order_id": order_id, "payer": payer}
            unpaid = {"$filter": {"input": {"$ifNull": ["$unpaid", []]}, "cond": {"$eq": ["$$this.payer", payer]}}}
            room.append({"$lt": [{"$size": unpaid}, MOST_UNPAID_PLACES]})
        limited = key | absent | {"limit": {"$ne": None}, "$expr": {"$and": room}}
        return (await self._days.update_one(limited, {"$push": place})).matched_count == 1

    async def _forget_paid(self, key: Document, order_ids: Sequence[str]) -> bool:
        """Whether there was one to forget, or nothing that could have refused it."""
        query = {"_id": {"$in": list(order_ids)}, "hospital_id": key["hospital_id"], "phase": Phase.CAPTURED.value}
        paid = [document["_id"] async for document in self._orders.find(query, projection={"_id": True})]
        if paid:
            await self._days.update_one(key, {"$pull": {"unpaid": {"order_id": {"$in": paid}}}})
        return bool(paid) or len(order_ids) < MOST_UNPAID_PLACES

    async def hold(self, hospital_id: str, doctor_id: str, day: str, order_id: str) -> None:
        held: Document = {"$addToSet": {"order_ids": order_id}, "$pull": {"claims": {"order_id": order_id}}}
        await self._days.update_one(_day_key(hospital_id, doctor_id, day), held)

    async def free(
        self, hospital_id: str, doctor_id: str, day: str, order_id: str, *, claimed_before: datetime | None = None
    ) -> None:
        key = _day_key(hospital_id, doctor_id, day)
        if claimed_before is not None:
            key["claims"] = {"$elemMatch": {"order_id": order_id, "at": {"$lte": claimed_before}}}
        await self._days.update_one(key, {"$pull": {"order_ids": order_id, "claims": {"order_id": order_id}}})

    async def claimed(self, before: datetime) -> AsyncIterator[PlaceClaim]:
        cursor = self._days.find({"claims.at": {"$lte": before}}, sort=[("claims.at", ASCENDING)], comment=ALL_HOSPITALS)
        async with cursor:
            async for document in cursor:
                for claim in document["claims"]:
                    if claim["at"] <= before:
                        yield PlaceClaim(document["hospital_id"], document["doctor_id"], document["day"], claim["order_id"])

    async def apply_limit(self, settings: DeskSettings, days: Sequence[str]) -> None:
        """Days that are not there are made, so that an attempt at this moment cannot make one with the limit of before."""
        limit: Document = {"$set": {"limit": settings.daily_maximum, "settings_version": settings.version}}
        older = {"settings_version": {"$lt": settings.version}}
        for day in days:
            key = _day_key(settings.hospital_id, settings.doctor_id, day)
            try:
                await self._days.update_one(
                    key | older, limit | {"$setOnInsert": _new_day(settings.doctor_id, day)}, upsert=True
                )
            except DuplicateKeyError:
                continue  # a later decision stands there
        later = {"hospital_id": settings.hospital_id, "doctor_id": settings.doctor_id, "day": {"$gt": max(days)}}
        await self._days.update_many(later | older, limit)

    async def _begin(self, hospital_id: str, doctor_id: str, day: str) -> None:
        settings = await self._settings.find_one({"_id": doctor_id, "hospital_id": hospital_id}) or {}
        limit = {"limit": settings.get("daily_maximum"), "settings_version": settings.get("version", 0)}
        try:
            await self._days.update_one(
                _day_key(hospital_id, doctor_id, day), {"$setOnInsert": _new_day(doctor_id, day) | limit}, upsert=True
            )
        except DuplicateKeyError:
            return  # another attempt made it


class MongoDesks:
    """Implements `ports.DeskRepository`."""

    def __init__(self, database: Database) -> None:
        self._settings: MongoCollection = database[DESK_SETTINGS]
        self._replies: MongoCollection = database[QUICK_REPLIES]
        self._orders: MongoCollection = database[ORDERS]

    async def find_settings(self, hospital_id: str, doctor_id: str) -> DeskSettings:
        found = await self.find_settings_of(hospital_id, [doctor_id])
        return found[doctor_id]

    async def find_settings_of(self, hospital_id: str, doctor_ids: Collection[str]) -> dict[str, DeskSettings]:
        cursor = self._settings.find({"_id": {"$in": list(doctor_ids)}, "hospital_id": hospital_id})
        stored = {document["_id"]: _settings_from(document) for document in await cursor.to_list()}
        return {doctor_id: stored.get(doctor_id) or DeskSettings(doctor_id, hospital_id) for doctor_id in doctor_ids}

    async def save_settings(self, settings: DeskSettings, event: Event) -> bool:
        values = {
            "accepting": settings.accepting,
            "daily_maximum": settings.daily_maximum,
            "schedule": [[h.weekday, h.from_minute, h.to_minute] for h in settings.schedule],
            "version": settings.version,
        }
        key = {"_id": settings.doctor_id, "hospital_id": settings.hospital_id}
        if settings.version == 1:
            try:
                await self._settings.insert_one(key | values | {"outbox": [to_outbox(event)]})
            except DuplicateKeyError:
                return False
            return True
        done = await self._settings.update_one(
            key | {"version": settings.version - 1}, {"$set": values, "$push": {"outbox": to_outbox(event)}}
        )
        return done.matched_count == 1

    async def list_quick_replies(self, hospital_id: str, doctor_id: str) -> list[QuickReply]:
        document = await self._replies.find_one({"_id": doctor_id, "hospital_id": hospital_id}) or {}
        return [QuickReply(item["id"], item["text"]) for item in document.get("items", [])]

    async def add_quick_reply(self, hospital_id: str, doctor_id: str, reply: QuickReply, event: Event) -> bool:
        key = {"_id": doctor_id, "hospital_id": hospital_id}
        with suppress(DuplicateKeyError):  # another request made it at this moment
            await self._replies.update_one(key, {"$setOnInsert": {"items": [], "outbox": []}}, upsert=True)
        done = await self._replies.update_one(
            key | {"items.id": {"$ne": reply.id}, f"items.{MOST_QUICK_REPLIES - 1}": {"$exists": False}},
            {"$push": {"items": {"id": reply.id, "text": reply.text}, "outbox": to_outbox(event)}},
        )
        return done.matched_count == 1

    async def change_quick_reply(self, hospital_id: str, doctor_id: str, reply: QuickReply, event: Event) -> bool:
        done = await self._replies.update_one(
            {"_id": doctor_id, "hospital_id": hospital_id, "items.id": reply.id},
            {"$set": {"items.$.text": reply.text}, "$push": {"outbox": to_outbox(event)}},
        )
        return done.matched_count == 1

    async def order_quick_replies(self, hospital_id: str, doctor_id: str, reply_ids: Sequence[str], event: Event) -> bool:
        ids = {"$literal": list(reply_ids)}
        found = {"$first": {"$filter": {"input": "$items", "as": "each", "cond": {"$eq": ["$$each.id", "$$id"]}}}}
        done = await self._replies.update_one(
            {
                "_id": doctor_id,
                "hospital_id": hospital_id,
                "items": {"$size": len(reply_ids)},
                "$expr": {"$setEquals": ["$items.id", ids]},
            },
            [
                {"$set": {"items": {"$map": {"input": ids, "as": "id", "in": found}}}},
                {"$set": {"outbox": {"$concatArrays": ["$outbox", [{"$literal": to_outbox(event)}]]}}},
            ],
        )
        return done.matched_count == 1

    async def delete_quick_reply(self, hospital_id: str, doctor_id: str, reply_id: str, event: Event) -> bool:
        done = await self._replies.update_one(
            {"_id": doctor_id, "hospital_id": hospital_id, "items.id": reply_id},
            {"$pull": {"items": {"id": reply_id}}, "$push": {"outbox": to_outbox(event)}},
        )
        return done.matched_count == 1

    async def figures_of(self, hospital_id: str, doctor_ids: Collection[str]) -> dict[str, Figures]:
        cursor = await self._orders.aggregate(
            [
                {
                    "$match": {
                        "hospital_id": hospital_id,
                        "doctor_id": {"$in": list(doctor_ids)},
                        "phase": Phase.CAPTURED.value,
                    }
                },
                {"$group": {"_id": "$doctor_id", **_COUNTS}},
                {"$addFields": {"waits": {"$sortArray": {"input": "$waits", "sortBy": 1}}}},
                {"$addFields": {"low": _element(-1), "high": _element(0), "waits": None}},
            ]
        )
        counted = {document["_id"]: _figures_from(document) for document in await cursor.to_list()}
        return {doctor_id: counted.get(doctor_id, Figures()) for doctor_id in doctor_ids}


def _sum_if(condition: Any, value: Any = 1) -> Document:
    return {"$sum": {"$cond": [condition, value, 0]}}


_ANSWERED: Final = {"$gt": [{"$ifNull": ["$log.counted_replies", 0]}, 0]}
_OVER: Final = {"$eq": [{"$ifNull": ["$log.open", True]}, False]}

_COUNTS: Final[Document] = {
    "orders": {"$sum": 1},
    "over": _sum_if(_OVER),
    "completed": _sum_if({"$and": [_OVER, _ANSWERED]}),
    "answered": _sum_if(_ANSWERED),
    "decided": _sum_if({"$or": [_OVER, _ANSWERED]}),
    "income_fen": _sum_if({"$eq": ["$log.settled", Outcome.EARNED.value]}, {"$subtract": ["$fee_fen", "$refunded_fen"]}),
    "stars": {"$avg": "$rating.stars"},
    "ratings": _sum_if({"$gt": ["$rating", None]}),
    "waits": {
        "$push": {
            "$cond": [_ANSWERED, {"$subtract": ["$log.first_reply_at_ms", {"$toLong": "$paid_at"}]}, "$$REMOVE"],
        }
    },
}


def _element(offset: int) -> Document:
    """One of the two elements in the middle of the sorted waits; the same one where their number is odd."""
    size: Document = {"$size": "$waits"}
    if offset:
        size = {"$subtract": [size, 1]}
    return {"$arrayElemAt": ["$waits", {"$toInt": {"$floor": {"$divide": [size, 2]}}}]}


def _figures_from(document: Document) -> Figures:
    decided, low, high = document["decided"], document.get("low"), document.get("high")
    stars = document["stars"]
    return Figures(
        orders=document["orders"],
        open_orders=document["orders"] - document["over"],
        completed=document["completed"],
        replied_rate=round(document["answered"] / decided, 4) if decided else None,
        median_reply_minutes=None if low is None or high is None else round((low + high) / 2 / _MINUTE_MS),
        income_fen=document["income_fen"],
        stars=None if stars is None else round(stars, 2),
        ratings=document["ratings"],
    )


def _settings_from(document: Document) -> DeskSettings:
    return DeskSettings(
        doctor_id=document["_id"],
        hospital_id=document["hospital_id"],
        accepting=document["accepting"],
        daily_maximum=document["daily_maximum"],
        schedule=tuple(Hours(*hours) for hours in document["schedule"]),
        version=document["version"],
    )


def _day_key(hospital_id: str, doctor_id: str, day: str) -> Document:
    return {"_id": f"{hospital_id}:{doctor_id}:{day}", "hospital_id": hospital_id}


def _new_day(doctor_id: str, day: str) -> Document:
    return {"doctor_id": doctor_id, "day": day, "order_ids": []}
