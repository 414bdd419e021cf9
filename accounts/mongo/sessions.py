"""Sessions as documents."""

from collections.abc import Collection as Ids
from collections.abc import Sequence
from datetime import datetime

from accounts.domain.sessions import Device, Holder, RevokeReason, Session
from accounts.mongo.collections import SESSIONS
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.crypto import Keyring
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document
from server.kernel.outbox import Event, Relay, event_of, to_outbox

_DEVICE_FIELD = f"{SESSIONS}.device_name"


class MongoSessions:
    """`accounts.ports.SessionRepository`. A session carries the hospital of its holder (a patient's: the platform)."""

    def __init__(self, database: Database, keyring: Keyring, relay: Relay) -> None:
        self._sessions: Collection = database[SESSIONS]
        self._keyring = keyring
        self._relay = relay

    async def insert(self, session: Session, event: Event) -> None:
        holder = session.holder
        keys = await self._keyring.hospital(holder.hospital_id)
        await self._sessions.insert_one(
            {
                "_id": session.id,
                "hospital_id": holder.hospital_id,
                "account_id": holder.account_id,
                "role": holder.role.value,
                "staff_roles": sorted(role.value for role in holder.staff_roles),
                "credentials": holder.credentials,
                "device_id": session.device.id,
                "device_name": keys.seal_text(session.device.name, field=_DEVICE_FIELD, owner=session.id),
                "created_at": session.created_at,
                "refreshed_at": session.refreshed_at,
                "expires_at": session.expires_at,
                "generation": session.generation,
                "revoked_at": None,
                "revoke_reason": None,
                "outbox": [to_outbox(event)],
            }
        )
        self._relay.soon(SESSIONS, session.id, holder.hospital_id)

    async def find(self, session_id: str) -> Session | None:
        document = await self._sessions.find_one({"_id": session_id}, comment=ALL_HOSPITALS)
        return None if document is None else await self._session(document)

    async def advance(self, session: Session, advanced: Session, event: Event, now: datetime) -> bool:
        hospital_id = session.holder.hospital_id
        result = await self._sessions.update_one(
            {
                "_id": session.id,
                "hospital_id": hospital_id,
                "generation": session.generation,
                "revoked_at": None,
                "expires_at": {"$gt": now},
            },
            {
                "$set": {
                    "generation": advanced.generation,
                    "refreshed_at": advanced.refreshed_at,
                    "expires_at": advanced.expires_at,
                },
                "$push": {"outbox": to_outbox(event)},
            },
        )
        if result.matched_count:
            self._relay.soon(SESSIONS, session.id, hospital_id)
        return bool(result.matched_count)

    async def revoke(self, session_id: str, hospital_id: str, reason: RevokeReason, *, actor: Actor, now: datetime) -> bool:
        event = event_of(
            actor,
            "accounts.session_revoked",
            subject=session_id,
            at=now,
            hospital_id=hospital_id,
            session_id=session_id,
            reason=reason.value,
        )
        result = await self._sessions.update_one(
            {"_id": session_id, "hospital_id": hospital_id, "revoked_at": None},
            {"$set": {"revoked_at": now, "revoke_reason": reason.value}, "$push": {"outbox": to_outbox(event)}},
        )
        if result.matched_count:
            self._relay.soon(SESSIONS, session_id, hospital_id)
        return bool(result.matched_count)

    async def revoke_stale(
        self, account_id: str, hospital_id: str, credentials: int, reason: RevokeReason, *, actor: Actor, now: datetime
    ) -> list[str]:
        cursor = self._sessions.find(
            {
                "hospital_id": hospital_id,
                "account_id": account_id,
                "revoked_at": None,
                "credentials": {"$lt": credentials},
                "expires_at": {"$gt": now},
            },
            projection={"_id": True},
        )
        stale = [document["_id"] async for document in cursor]
        return [i for i in stale if await self.revoke(i, hospital_id, reason, actor=actor, now=now)]

    async def list_alive(self, account_id: str, hospital_id: str, now: datetime, limit: int) -> Sequence[Session]:
        cursor = self._sessions.find(
            {"hospital_id": hospital_id, "account_id": account_id, "revoked_at": None, "expires_at": {"$gt": now}},
            sort=[("refreshed_at", -1), ("_id", -1)],
            limit=limit,
        )
        return [await self._session(document) async for document in cursor]

    async def filter_alive(self, session_ids: Ids[str], now: datetime) -> set[str]:
        cursor = self._sessions.find(
            {"_id": {"$in": list(session_ids)}, "revoked_at": None, "expires_at": {"$gt": now}},
            projection={"_id": True},
            batch_size=len(session_ids) + 1,
        ).comment(ALL_HOSPITALS)
        return {document["_id"] for document in await cursor.to_list()}

    async def renew_credentials(self, session_id: str, account_id: str, credentials: int) -> None:
        await self._sessions.update_one(
            {"_id": session_id, "account_id": account_id}, {"$max": {"credentials": credentials}}, comment=ALL_HOSPITALS
        )

    async def tidy(self, before: datetime) -> None:
        await self._sessions.delete_many({"expires_at": {"$lt": before}, "outbox": []}, comment=ALL_HOSPITALS)

    async def _session(self, document: Document) -> Session:
        keys = await self._keyring.hospital(document["hospital_id"])
        return Session(
            id=document["_id"],
            holder=Holder(
                account_id=document["account_id"],
                role=Role(document["role"]),
                hospital_id=document["hospital_id"],
                credentials=document["credentials"],
                staff_roles=frozenset(map(StaffRole, document["staff_roles"])),
            ),
            device=Device(
                document["device_id"],
                keys.open_text(document["device_name"], field=_DEVICE_FIELD, owner=document["_id"]),
            ),
            created_at=document["created_at"],
            refreshed_at=document["refreshed_at"],
            expires_at=document["expires_at"],
            generation=document["generation"],
            revoked_at=document["revoked_at"],
        )
