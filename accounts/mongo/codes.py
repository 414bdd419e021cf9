"""SMS codes and the SMS that carry them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from accounts.domain.codes import (
    OPEN_SMS_STATES,
    Granted,
    NewCode,
    Purpose,
    SmsAttempt,
    SmsPolicy,
    SmsState,
    Verdict,
    wait_for_code,
)
from accounts.mongo.collections import SMS_ATTEMPTS, SMS_PHONES
from server.kernel.actor import PLATFORM
from server.kernel.crypto import HospitalKeys, Keyring
from server.kernel.errors import Unavailable
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document
from server.kernel.outbox import Event, Relay, to_outbox

_ATTEMPTS: Final = 50
_PHONE_FIELD: Final = f"{SMS_PHONES}.phone"
_CODE_FIELD: Final = f"{SMS_PHONES}.code"


class MongoCodes:
    """`accounts.ports.CodeRepository`: one document a phone, `_id` is its blind index.

    `codes.<purpose>`: `{id, hash, tries_left, expires_at, used}`; `granted`: `[{at, purpose}]`, as far as the policy looks.
    """

    def __init__(self, database: Database, keyring: Keyring, relay: Relay) -> None:
        self._phones: Collection = database[SMS_PHONES]
        self._keyring = keyring
        self._relay = relay

    async def subject_of(self, phone: str) -> str:
        return (await self._keys()).blind(phone, field=_PHONE_FIELD).hex()

    async def hash_code(self, phone: str, purpose: Purpose, code: str) -> bytes:
        return (await self._keys()).blind(f"{phone}\0{purpose}\0{code}", field=_CODE_FIELD)

    async def grant(self, phone: str, code: NewCode, policy: SmsPolicy, event: Event) -> timedelta:
        """Decided over the phone's whole document and saved under its version: each round has a winner, and after as many
        winners as the policy allows everyone else is told to wait."""
        key = await self.subject_of(phone)
        for _ in range(_ATTEMPTS):
            document = await self._phones.find_one({"_id": key, "hospital_id": PLATFORM})
            granted = [Granted(g["at"], Purpose(g["purpose"])) for g in (document or {}).get("granted", [])]
            if wait := wait_for_code(granted, code.purpose, policy, code.at):
                return wait
            if await self._save(key, document, [*granted, Granted(code.at, code.purpose)], code, policy, event):
                self._relay.soon(SMS_PHONES, key, PLATFORM)
                return timedelta(0)
        raise Unavailable

    async def use(self, phone: str, purpose: Purpose, code_hash: bytes, now: datetime) -> Verdict:
        place = f"codes.{purpose.value}"
        before = await self._phones.find_one_and_update(
            {"_id": await self.subject_of(phone), "hospital_id": PLATFORM, f"{place}.id": {"$exists": True}},
            _try(f"${place}", place, code_hash, now),
            projection={place: True},
            return_document=ReturnDocument.BEFORE,
        )
        return _verdict(before["codes"][purpose.value] if before else None, code_hash, now)

    async def is_current(self, attempt: SmsAttempt, now: datetime) -> bool:
        place = f"codes.{attempt.purpose.value}"
        found = await self._phones.find_one(
            {
                "_id": await self.subject_of(attempt.phone),
                "hospital_id": PLATFORM,
                f"{place}.id": attempt.id,
                f"{place}.used": False,
                f"{place}.tries_left": {"$gt": 0},
                f"{place}.expires_at": {"$gt": now},
            },
            projection={"_id": True},
        )
        return found is not None

    async def tidy(self, before: datetime) -> None:
        await self._phones.delete_many({"hospital_id": PLATFORM, "expires_at": {"$lt": before}, "outbox": []})

    async def _save(
        self, key: str, old: Document | None, granted: list[Granted], code: NewCode, policy: SmsPolicy, event: Event
    ) -> bool:
        looked_at = max(policy.per_phone.per, policy.resend_after)
        changes = {
            f"codes.{code.purpose.value}": {
                "id": code.id,
                "hash": code.hash,
                "tries_left": policy.max_tries,
                "expires_at": code.expires_at,
                "used": False,
            },
            "granted": [
                {"at": g.at, "purpose": g.purpose.value} for g in granted if code.at - looked_at < g.at <= code.at + looked_at
            ],
            "expires_at": code.at + max(looked_at, policy.life),
        }
        try:
            result = await self._phones.update_one(
                {"_id": key, "hospital_id": PLATFORM, "version": old["version"] if old else 0},
                {"$set": changes, "$inc": {"version": 1}, "$push": {"outbox": to_outbox(event)}},
                upsert=old is None,
            )
        except DuplicateKeyError:
            return False
        return result.matched_count == 1 or result.upserted_id is not None

    async def _keys(self) -> HospitalKeys:
        return await self._keyring.hospital(PLATFORM)


def _try(code: str, place: str, code_hash: bytes, now: datetime) -> list[Document]:
    """Compare and consume, or count a wrong try, in the one update that reads the code. `_verdict` says what came of it."""
    live: Any = {"$and": [{"$not": [f"{code}.used"]}, {"$gt": [f"{code}.tries_left", 0]}, {"$gt": [f"{code}.expires_at", now]}]}
    equal: Any = {"$eq": [f"{code}.hash", {"$literal": code_hash}]}
    right, wrong = {"$and": [live, equal]}, {"$and": [live, {"$not": [equal]}]}
    return [
        {
            "$set": {
                f"{place}.used": {"$cond": [right, True, f"{code}.used"]},
                f"{place}.tries_left": {"$cond": [wrong, {"$subtract": [f"{code}.tries_left", 1]}, f"{code}.tries_left"]},
            }
        }
    ]


def _verdict(code: Document | None, code_hash: bytes, now: datetime) -> Verdict:
    """What `_try` made of the code as it was before."""
    if code is None or code["used"]:
        return Verdict.WRONG
    if code["tries_left"] <= 0:
        return Verdict.LOCKED
    return Verdict.RIGHT if now < code["expires_at"] and bytes(code["hash"]) == code_hash else Verdict.WRONG


class MongoSmsAttempts:
    """`accounts.ports.SmsAttemptRepository`. Phone and code are sealed; the code goes when the attempt is over."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._attempts: Collection = database[SMS_ATTEMPTS]
        self._keyring = keyring

    async def insert(self, attempt: SmsAttempt) -> None:
        keys = await self._keyring.hospital(PLATFORM)
        await self._attempts.insert_one(
            {
                "_id": attempt.id,
                "hospital_id": PLATFORM,
                "phone": keys.seal_text(attempt.phone, field=f"{SMS_ATTEMPTS}.phone", owner=attempt.id),
                "code": keys.seal_text(attempt.code, field=f"{SMS_ATTEMPTS}.code", owner=attempt.id),
                "purpose": attempt.purpose.value,
                "state": attempt.state.value,
                "open": True,
                "created_at": attempt.created_at,
                "expires_at": attempt.expires_at,
                "next_at": attempt.next_at,
                "tries": 0,
                "queries": 0,
            }
        )

    async def claim(self, attempt_id: str, state: SmsState, *, now: datetime, until: datetime) -> SmsAttempt | None:
        pending = state is SmsState.PENDING
        document = await self._attempts.find_one_and_update(
            {"_id": attempt_id, "hospital_id": PLATFORM, "state": state.value, "next_at": {"$lte": now}},
            {
                "$set": {"state": (SmsState.SENDING if pending else SmsState.IN_DOUBT).value, "next_at": until},
                "$inc": {"tries" if pending else "queries": 1},
            },
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else await self._attempt(document)

    async def finish(self, attempt: SmsAttempt, state: SmsState, *, next_at: datetime) -> None:
        """Only by whoever still has it: a claim that another took over since then says nothing any more."""
        is_open = state in OPEN_SMS_STATES
        changes: Document = {"$set": {"state": state.value, "open": is_open, "next_at": next_at}}
        if not is_open:
            changes["$unset"] = {"code": ""}
        await self._attempts.update_one(
            {
                "_id": attempt.id,
                "hospital_id": PLATFORM,
                "state": attempt.state.value,
                "tries": attempt.tries,
                "queries": attempt.queries,
            },
            changes,
        )

    async def list_due(self, now: datetime, limit: int) -> Sequence[tuple[str, SmsState]]:
        cursor = self._attempts.find(
            {"open": True, "next_at": {"$lte": now}}, projection={"state": True}, sort=[("next_at", 1)], limit=limit
        ).comment(ALL_HOSPITALS)
        return [(document["_id"], SmsState(document["state"])) async for document in cursor]

    async def tidy(self, before: datetime) -> None:
        await self._attempts.delete_many({"hospital_id": PLATFORM, "open": False, "created_at": {"$lt": before}})

    async def _attempt(self, document: Document) -> SmsAttempt:
        keys, attempt_id = await self._keyring.hospital(PLATFORM), document["_id"]
        return SmsAttempt(
            id=attempt_id,
            phone=keys.open_text(document["phone"], field=f"{SMS_ATTEMPTS}.phone", owner=attempt_id),
            purpose=Purpose(document["purpose"]),
            code=keys.open_text(document["code"], field=f"{SMS_ATTEMPTS}.code", owner=attempt_id),
            state=SmsState(document["state"]),
            created_at=document["created_at"],
            expires_at=document["expires_at"],
            next_at=document["next_at"],
            tries=document["tries"],
            queries=document["queries"],
        )
