"""Accounts of patients and of staff as documents."""

from collections.abc import Collection as Ids
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from pymongo.errors import DuplicateKeyError

from accounts.domain.people import PatientAccount, StaffAccount
from accounts.domain.renewals import Renewal
from accounts.mongo.collections import PATIENT_ACCOUNTS, STAFF_ACCOUNTS
from server.kernel.actor import PLATFORM, StaffRole
from server.kernel.crypto import HospitalKeys, Keyring
from server.kernel.errors import Unavailable
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document
from server.kernel.outbox import Event, Relay, to_outbox

_PHONE: Final = f"{PATIENT_ACCOUNTS}.phone"
_NAME: Final = f"{PATIENT_ACCOUNTS}.name"
_STAFF_NAME: Final = f"{STAFF_ACCOUNTS}.name"
_TOTP: Final = f"{STAFF_ACCOUNTS}.totp_secret"


class MongoPatientAccounts:
    """`accounts.ports.PatientAccountRepository`: one account a phone, on the platform."""

    def __init__(self, database: Database, keyring: Keyring, relay: Relay) -> None:
        self._accounts: Collection = database[PATIENT_ACCOUNTS]
        self._keyring = keyring
        self._relay = relay

    async def find_by_phone(self, phone: str) -> PatientAccount | None:
        keys = await self._keys()
        document = await self._accounts.find_one({"hospital_id": PLATFORM, "phone_blind": keys.blind(phone, field=_PHONE)})
        return None if document is None else _account(document, keys)

    async def find(self, account_id: str) -> PatientAccount | None:
        document = await self._accounts.find_one({"_id": account_id, "hospital_id": PLATFORM})
        return None if document is None else _account(document, await self._keys())

    async def register(self, phone: str, *, account_id: str, name: str | None, now: datetime, event: Event) -> PatientAccount:
        if known := await self.find_by_phone(phone):
            return known
        keys = await self._keys()
        document = {
            "_id": account_id,
            "hospital_id": PLATFORM,
            "phone": keys.seal_text(phone, field=_PHONE, owner=account_id),
            "phone_blind": keys.blind(phone, field=_PHONE),
            "name": None if name is None else keys.seal_text(name, field=_NAME, owner=account_id),
            "password_hash": None,
            "credentials": 1,
            "created_at": now,
            "outbox": [to_outbox(event)],
        }
        try:
            await self._accounts.insert_one(document)
        except DuplicateKeyError:
            if known := await self.find_by_phone(phone):
                return known
            raise Unavailable from None
        self._relay.soon(PATIENT_ACCOUNTS, account_id, PLATFORM)
        return _account(document, keys)

    async def set_password(self, account: PatientAccount, password_hash: str, event: Event) -> bool:
        result = await self._accounts.update_one(
            {"_id": account.id, "hospital_id": PLATFORM, "credentials": account.credentials},
            {
                "$set": {"password_hash": password_hash, "credentials": account.credentials + 1},
                "$push": {"outbox": to_outbox(event)},
            },
        )
        if result.matched_count:
            self._relay.soon(PATIENT_ACCOUNTS, account.id, PLATFORM)
        return bool(result.matched_count)

    async def list_named(self, account_ids: Ids[str]) -> Mapping[str, PatientAccount]:
        keys = await self._keys()
        cursor = self._accounts.find({"_id": {"$in": list(account_ids)}, "hospital_id": PLATFORM})
        return {document["_id"]: _account(document, keys) async for document in cursor}

    async def _keys(self) -> HospitalKeys:
        return await self._keyring.hospital(PLATFORM)


def _account(document: Document, keys: HospitalKeys) -> PatientAccount:
    account_id, name = document["_id"], document["name"]
    return PatientAccount(
        id=account_id,
        phone=keys.open_text(document["phone"], field=_PHONE, owner=account_id),
        name=None if name is None else keys.open_text(name, field=_NAME, owner=account_id),
        password_hash=document["password_hash"],
        credentials=document["credentials"],
    )


class MongoStaff:
    """`accounts.ports.StaffRepository`."""

    def __init__(self, database: Database, keyring: Keyring, relay: Relay) -> None:
        self._staff: Collection = database[STAFF_ACCOUNTS]
        self._keyring = keyring
        self._relay = relay

    async def find_by_username(self, hospital_id: str, username: str) -> StaffAccount | None:
        return await self._open(await self._staff.find_one({"hospital_id": hospital_id, "username": username}))

    async def find(self, account_id: str) -> StaffAccount | None:
        return await self._open(await self._staff.find_one({"_id": account_id}, comment=ALL_HOSPITALS))

    async def insert(self, account: StaffAccount, event: Event) -> bool:
        keys = await self._keyring.hospital(account.hospital_id)
        document = {
            "_id": account.id,
            "hospital_id": account.hospital_id,
            "username": account.username,
            "name": keys.seal_text(account.name, field=_STAFF_NAME, owner=account.id),
            "roles": sorted(role.value for role in account.roles),
            "password_hash": account.password_hash,
            "totp_secret": keys.seal_text(account.totp_secret, field=_TOTP, owner=account.id),
            "totp_step": account.totp_step,
            "active": account.active,
            "credentials": account.credentials,
            "outbox": [to_outbox(event)],
        }
        try:
            await self._staff.insert_one(document)
        except DuplicateKeyError:
            return False
        self._relay.soon(STAFF_ACCOUNTS, account.id, account.hospital_id)
        return True

    async def use_totp_step(self, account: StaffAccount, step: int) -> bool:
        result = await self._staff.update_one(
            {"_id": account.id, "hospital_id": account.hospital_id, "active": True, "totp_step": {"$lt": step}},
            {"$set": {"totp_step": step}},
        )
        return bool(result.matched_count)

    async def disable(self, account: StaffAccount, event: Event) -> bool:
        result = await self._staff.update_one(
            {"_id": account.id, "hospital_id": account.hospital_id, "credentials": account.credentials, "active": True},
            {
                "$set": {"active": False, "credentials": account.credentials + 1},
                "$push": {"outbox": to_outbox(event)},
            },
        )
        if result.matched_count:
            self._relay.soon(STAFF_ACCOUNTS, account.id, account.hospital_id)
        return bool(result.matched_count)

    async def list_of(self, hospital_id: str, *, limit: int, after: str | None) -> Sequence[StaffAccount]:
        query: Document = {"hospital_id": hospital_id} | ({} if after is None else {"username": {"$gt": after}})
        cursor = self._staff.find(query, sort=[("username", 1)], limit=limit)
        opened = [await self._open(document) async for document in cursor]
        return [account for account in opened if account is not None]

    async def save(self, account: StaffAccount, event: Event) -> bool:
        keys = await self._keyring.hospital(account.hospital_id)
        before = {"hospital_id": account.hospital_id, "credentials": account.credentials - 1, "active": True}
        before |= _renewal_is(account.renewal)
        values = {
            "name": keys.seal_text(account.name, field=_STAFF_NAME, owner=account.id),
            "roles": sorted(role.value for role in account.roles),
            "password_hash": account.password_hash,
            "totp_secret": keys.seal_text(account.totp_secret, field=_TOTP, owner=account.id),
            "totp_step": account.totp_step,
            "credentials": account.credentials,
            "renewal": None,
        }
        result = await self._staff.update_one(
            {"_id": account.id, **before}, {"$set": values, "$push": {"outbox": to_outbox(event)}}
        )
        if result.matched_count:
            self._relay.soon(STAFF_ACCOUNTS, account.id, account.hospital_id)
        return bool(result.matched_count)

    async def save_renewal(self, before: StaffAccount, renewal: Renewal | None, event: Event) -> bool:
        stands = {"_id": before.id, "hospital_id": before.hospital_id, "active": True} | _renewal_is(before.renewal)
        result = await self._staff.update_one(
            stands,
            {"$set": {"renewal": None if renewal is None else asdict(renewal)}, "$push": {"outbox": to_outbox(event)}},
        )
        if result.matched_count:
            self._relay.soon(STAFF_ACCOUNTS, before.id, before.hospital_id)
        return bool(result.matched_count)

    async def list_named(self, account_ids: Ids[str]) -> Mapping[str, str]:
        cursor = self._staff.find({"_id": {"$in": list(account_ids)}}).comment(ALL_HOSPITALS)
        opened = [await self._open(document) async for document in cursor]
        return {account.id: account.name for account in opened if account is not None}

    async def _open(self, document: Document | None) -> StaffAccount | None:
        if document is None:
            return None
        keys, account_id = await self._keyring.hospital(document["hospital_id"]), document["_id"]
        return StaffAccount(
            id=account_id,
            hospital_id=document["hospital_id"],
            username=document["username"],
            name=keys.open_text(document["name"], field=_STAFF_NAME, owner=account_id),
            roles=frozenset(map(StaffRole, document["roles"])),
            password_hash=document["password_hash"],
            totp_secret=keys.open_text(document["totp_secret"], field=_TOTP, owner=account_id),
            totp_step=document["totp_step"],
            active=document["active"],
            credentials=document["credentials"],
            renewal=None if (renewal := document.get("renewal")) is None else Renewal(**renewal),
        )


def _renewal_is(renewal: Renewal | None) -> Document:
    """Filter: the request that stands is still this one, in this state."""
    if renewal is None:
        return {"renewal": None}
    return {"renewal.id": renewal.id, "renewal.agreed_by": renewal.agreed_by}
