"""Flags of replies and the digests of a doctor's last ones, in MongoDB. Digests are keyed: no word can be guessed from one."""

from collections.abc import Collection as Several
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from consult.domain.fairness import REMEMBERED, REPLY_FLAGS, Flaw, ReplyFlag, Said
from server.kernel.crypto import HospitalKeys, Keyring
from server.kernel.mongo import Collection, Database, Document, upsert_guarded
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

REPLY_DIGESTS: Final = "reply_digests"
_WORDS: Final = "reply_digests.words"
_REASON: Final = "reply_flags.reason"
_MOST: Final = 100

FAIRNESS_INDEXES: Final = {
    REPLY_FLAGS: [OUTBOX_INDEX, IndexModel([("hospital_id", ASCENDING), ("order_id", ASCENDING), ("seq", ASCENDING)])],
    REPLY_DIGESTS: [],
}


class MongoFairness:
    """Implements `ports.FairnessRepository`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._flags: Collection = database[REPLY_FLAGS]
        self._digests: Collection = database[REPLY_DIGESTS]
        self._keyring = keyring

    async def digest(self, hospital_id: str, words: str) -> bytes:
        return (await self._keyring.hospital(hospital_id)).blind(words, field=_WORDS)

    async def list_said(self, hospital_ids: Several[str], doctor_ids: Several[str]) -> dict[str, list[Said]]:
        cursor = self._digests.find({"_id": {"$in": list(doctor_ids)}, "hospital_id": {"$in": list(hospital_ids)}})
        return {
            document["_id"]: [Said(item["order_id"], bytes(item["digest"])) for item in document["items"]]
            for document in await cursor.to_list()
        }

    async def remember(self, said: Mapping[tuple[str, str], Sequence[Said]]) -> None:
        updates = []
        for (hospital_id, doctor_id), fresh in said.items():
            items = [{"order_id": each.order_id, "digest": each.digest} for each in fresh]
            updates.append(
                UpdateOne(
                    {"_id": doctor_id, "hospital_id": hospital_id, "items": {"$nin": items}},
                    {"$push": {"items": {"$each": items, "$slice": -REMEMBERED}}},
                    upsert=True,
                )
            )
        await upsert_guarded(self._digests, updates)

    async def insert(self, flag: ReplyFlag, event: Event) -> None:
        keys = await self._keyring.hospital(flag.hospital_id)
        try:
            await self._flags.insert_one(_document(flag, keys) | {"outbox": [to_outbox(event)]})
        except DuplicateKeyError:
            return  # the same reply, followed again

    async def find(self, hospital_id: str, flag_id: str) -> ReplyFlag | None:
        found = await self._flags.find_one({"_id": flag_id, "hospital_id": hospital_id})
        return None if found is None else _flag_from(found, await self._keyring.hospital(hospital_id))

    async def list_of(self, hospital_id: str, order_id: str) -> Sequence[ReplyFlag]:
        keys = await self._keyring.hospital(hospital_id)
        cursor = self._flags.find({"hospital_id": hospital_id, "order_id": order_id}, sort=[("seq", ASCENDING)], limit=_MOST)
        return [_flag_from(document, keys) for document in await cursor.to_list()]

    async def contest(self, flag: ReplyFlag, reason: str, at: datetime, event: Event) -> bool:
        keys = await self._keyring.hospital(flag.hospital_id)
        values = {"contested_at": at, "reason": keys.seal_text(reason, field=_REASON, owner=flag.id)}
        done = await self._flags.update_one(
            {"_id": flag.id, "hospital_id": flag.hospital_id, "contested_at": None},
            {"$set": values, "$push": {"outbox": to_outbox(event)}},
        )
        return done.matched_count == 1


def _document(flag: ReplyFlag, keys: HospitalKeys) -> Document:
    document: Document = asdict(flag)
    document["_id"] = document.pop("id")
    document["flaw"] = flag.flaw.value
    document["reason"] = keys.seal_text(flag.reason, field=_REASON, owner=flag.id)
    return document


def _flag_from(document: Mapping[str, Any], keys: HospitalKeys) -> ReplyFlag:
    values = {name: value for name, value in document.items() if name not in ("_id", "outbox")}
    values |= {"id": document["_id"], "flaw": Flaw(document["flaw"])}
    values["reason"] = keys.open_text(document["reason"], field=_REASON, owner=document["_id"])
    return ReplyFlag(**values)
