"""Subscriptions, rows and the processes that hold sockets, in MongoDB. Addresses are sealed: whoever has one can push."""

from collections.abc import Collection as Several
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from pymongo import ASCENDING, IndexModel

from im.push.domain import Channel, Occasion, Reached, Row, RowState, Subscription
from server.kernel.actor import PLATFORM, Role
from server.kernel.crypto import HospitalKeys, Keyring
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document, Indexes, insert_new

SUBSCRIPTIONS: Final = "push_subscriptions"
PUSHES: Final = "pushes"
PROCESSES: Final = "socket_processes"
_ADDRESS: Final = "push_subscriptions.address"
_MOST_DEVICES: Final = 20
_FORGOTTEN_AFTER: Final = timedelta(hours=1)

INDEXES: Final[Indexes] = {
    SUBSCRIPTIONS: [
        IndexModel([("account_id", ASCENDING)]),
        IndexModel([("session_id", ASCENDING)]),
        IndexModel([("address_blind", ASCENDING)]),
    ],
    PUSHES: [
        IndexModel([("due_at", ASCENDING)], name="due", partialFilterExpression={"waiting": True}),
        IndexModel(
            [("subscription_id", ASCENDING), ("due_at", ASCENDING)], name="due_of", partialFilterExpression={"waiting": True}
        ),
        IndexModel([("at", ASCENDING)]),
    ],
    PROCESSES: [IndexModel([("alive_until", ASCENDING)], expireAfterSeconds=int(_FORGOTTEN_AFTER.total_seconds()))],
}


class MongoSubscriptions:
    """Implements `ports.SubscriptionRepository`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._subscriptions: Collection = database[SUBSCRIPTIONS]
        self._processes: Collection = database[PROCESSES]
        self._keyring = keyring

    async def save(self, subscription: Subscription) -> None:
        keys = await self._keyring.hospital(subscription.hospital_id)
        platform = await self._keyring.hospital(PLATFORM)
        blind = platform.blind(subscription.address, field=_ADDRESS)
        if subscription.channel is Channel.WEB or subscription.address != subscription.device_id:
            others = {"address_blind": blind, "_id": {"$ne": subscription.id}}
            await self._subscriptions.delete_many(others, comment=ALL_HOSPITALS)
        values = {
            "account_id": subscription.account_id,
            "role": subscription.role.value,
            "device_id": subscription.device_id,
            "session_id": subscription.session_id,
            "channel": subscription.channel.value,
            "address": _seal(subscription, keys),
            "address_blind": blind,
        }
        same = {"$eq": ["$session_id", subscription.session_id]}  # of another session nobody knows its sockets yet
        kept = {
            "connected_by": {"$cond": [same, "$connected_by", []]},
            "away_since": {"$cond": [same, "$away_since", subscription.away_since]},
            "pushed_at": {"$cond": [same, "$pushed_at", None]},
            "claimed_until": {"$ifNull": ["$claimed_until", None]},
        }
        literal = {name: {"$literal": value} for name, value in values.items()}
        await self._subscriptions.update_one(
            {"_id": subscription.id, "hospital_id": subscription.hospital_id}, [{"$set": kept | literal}], upsert=True
        )

    async def find(self, subscription_id: str) -> Subscription | None:
        return await self._open(await self._subscriptions.find_one({"_id": subscription_id}, comment=ALL_HOSPITALS))

    async def remove(self, subscription_id: str, *, address: str | None = None) -> None:
        query: Document = {"_id": subscription_id}
        if address is not None:
            platform = await self._keyring.hospital(PLATFORM)
            query["address_blind"] = platform.blind(address, field=_ADDRESS)
        await self._subscriptions.delete_one(query, comment=ALL_HOSPITALS)

    async def remove_session(self, session_id: str) -> None:
        await self._subscriptions.delete_many({"session_id": session_id}, comment=ALL_HOSPITALS)

    async def list_reached(self, account_ids: Several[str]) -> Mapping[str, Sequence[Reached]]:
        fields = {"account_id": True, "connected_by": True}
        query = {"account_id": {"$in": list(account_ids)}}
        cursor = self._subscriptions.find(query, projection=fields, comment=ALL_HOSPITALS)
        found: dict[str, list[Reached]] = {account_id: [] for account_id in account_ids}
        async for document in cursor:
            of_account = found[document["account_id"]]
            if len(of_account) < _MOST_DEVICES:
                of_account.append(Reached(document["_id"], frozenset(document["connected_by"])))
        return found

    async def connected(self, process_id: str, session_ids: Several[str]) -> None:
        await self._subscriptions.update_many(
            {"session_id": {"$in": list(session_ids)}, "connected_by": {"$ne": process_id}},
            {"$addToSet": {"connected_by": process_id}, "$set": {"away_since": None, "pushed_at": None}},
            comment=ALL_HOSPITALS,
        )

    async def disconnected(self, process_id: str, session_ids: Several[str], at: datetime) -> Sequence[str]:
        query = {"session_id": {"$in": list(session_ids)}, "connected_by": process_id}
        cursor = self._subscriptions.find(query, projection={"_id": True}, comment=ALL_HOSPITALS)
        found = [document["_id"] for document in await cursor.to_list()]
        if found:
            await self._subscriptions.update_many(
                query, {"$pull": {"connected_by": process_id}, "$set": {"away_since": at}}, comment=ALL_HOSPITALS
            )
        return found

    async def beat(self, process_id: str, alive_until: datetime) -> None:
        await self._processes.update_one(
            {"_id": process_id, "hospital_id": PLATFORM}, {"$set": {"alive_until": alive_until}}, upsert=True
        )

    async def alive_processes(self, now: datetime) -> frozenset[str]:
        cursor = self._processes.find({"hospital_id": PLATFORM, "alive_until": {"$gt": now}}, projection={"_id": True})
        return frozenset([document["_id"] async for document in cursor])

    async def claim(self, subscription_id: str, *, now: datetime, until: datetime) -> Subscription | None:
        document = await self._subscriptions.find_one_and_update(
            {"_id": subscription_id, "$or": [{"claimed_until": None}, {"claimed_until": {"$lte": now}}]},
            {"$set": {"claimed_until": until}},
            comment=ALL_HOSPITALS,
        )
        return await self._open(document)

    async def release(self, subscription_id: str, *, pushed_at: datetime | None, resting_until: datetime | None = None) -> None:
        values: Document = {"claimed_until": resting_until}
        if pushed_at is not None:
            values["pushed_at"] = pushed_at
        await self._subscriptions.update_one({"_id": subscription_id}, {"$set": values}, comment=ALL_HOSPITALS)

    async def _open(self, document: Mapping[str, Any] | None) -> Subscription | None:
        if document is None:
            return None
        keys = await self._keyring.hospital(document["hospital_id"])
        address = orjson.loads(keys.open_bytes(document["address"], field=_ADDRESS, owner=document["_id"]))
        return Subscription(
            id=document["_id"],
            account_id=document["account_id"],
            role=Role(document["role"]),
            hospital_id=document["hospital_id"],
            device_id=document["device_id"],
            session_id=document["session_id"],
            channel=Channel(document["channel"]),
            address=address[0],
            p256dh=address[1],
            auth=address[2],
            connected_by=tuple(document["connected_by"]),
            away_since=document["away_since"],
            pushed_at=document["pushed_at"],
        )


class MongoPushes:
    """Implements `ports.RowRepository`."""

    def __init__(self, database: Database) -> None:
        self._rows: Collection = database[PUSHES]

    async def insert(self, rows: Sequence[Row]) -> None:
        await insert_new(self._rows, [_document(row) for row in rows])

    async def list_due(self, subscription_id: str, now: datetime, limit: int) -> Sequence[Row]:
        query = {"subscription_id": subscription_id, "waiting": True, "due_at": {"$lte": now}}
        cursor = self._rows.find(query, sort=[("due_at", ASCENDING)], limit=limit, comment=ALL_HOSPITALS)
        return [_row_from(document) for document in await cursor.to_list()]

    async def list_due_subscriptions(self, now: datetime, limit: int) -> Sequence[str]:
        cursor = self._rows.find(
            {"waiting": True, "due_at": {"$lte": now}},
            projection={"subscription_id": True},
            sort=[("due_at", ASCENDING)],
            limit=limit,
            comment=ALL_HOSPITALS,
        )
        return list(dict.fromkeys([document["subscription_id"] for document in await cursor.to_list()]))

    async def finish(self, rows: Sequence[Row], state: RowState) -> None:
        if rows:
            await self._rows.update_many(
                {"_id": {"$in": [row.id for row in rows]}},
                {"$set": {"waiting": False, "state": state.value}},
                comment=ALL_HOSPITALS,
            )

    async def postpone(self, row: Row, due_at: datetime, *, looked_at: datetime | None = None, tried: bool = False) -> None:
        values: Document = {"due_at": due_at}
        if looked_at is not None:
            values["looked_at"] = looked_at
        await self._rows.update_one(
            {"_id": row.id, "hospital_id": row.occasion.hospital_id, "waiting": True},
            {"$set": values, "$inc": {"tries": 1 if tried else 0}},
        )

    async def hasten(self, subscription_ids: Sequence[str], now: datetime) -> None:
        await self._rows.update_many(
            {"subscription_id": {"$in": list(subscription_ids)}, "waiting": True, "looked_at": {"$ne": None}},
            {"$set": {"due_at": now}},
            comment=ALL_HOSPITALS,
        )

    async def tidy(self, before: datetime) -> None:
        await self._rows.delete_many({"waiting": False, "at": {"$lt": before}}, comment=ALL_HOSPITALS)


def _seal(subscription: Subscription, keys: HospitalKeys) -> bytes:
    address = orjson.dumps([subscription.address, subscription.p256dh, subscription.auth])
    return keys.seal_bytes(address, field=_ADDRESS, owner=subscription.id)


def _document(row: Row) -> Document:
    about = row.occasion
    return {
        "_id": row.id,
        "hospital_id": about.hospital_id,
        "account_id": about.account_id,
        "subscription_id": row.subscription_id,
        "cause": about.cause,
        "kind": about.kind,
        "text": about.text,
        "at": about.at,
        "order_id": about.order_id,
        "conversation_id": about.conversation_id,
        "seq": about.seq,
        "due_at": row.due_at,
        "looked_at": row.looked_at,
        "tries": row.tries,
        "waiting": True,
        "state": RowState.WAITING.value,
    }


def _row_from(document: Mapping[str, Any]) -> Row:
    occasion = Occasion(
        cause=document["cause"],
        hospital_id=document["hospital_id"],
        account_id=document["account_id"],
        kind=document["kind"],
        text=document["text"],
        at=document["at"],
        order_id=document["order_id"],
        conversation_id=document["conversation_id"],
        seq=document["seq"],
    )
    return Row(
        document["_id"], document["subscription_id"], occasion, document["due_at"], document["looked_at"], document["tries"]
    )
