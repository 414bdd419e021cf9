"""`Idempotency-Key`: one effect and one answer for a key, also when the process dies in between.

The first request claims the key with a seed id, from which whatever it creates takes its id. A claim whose holder died is
taken over after its lock runs out, with the same seed: the use case then finds what the first attempt left. Answers are kept
sealed for 24 h. A refusal releases the key, since nothing was done; after a fault the key keeps its seed.
"""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from server.kernel.actor import PLATFORM, Actor
from server.kernel.clock import Clock
from server.kernel.crypto import Keyring
from server.kernel.errors import IdempotencyInProgress, IdempotencyMismatch
from server.kernel.ids import new_id
from server.kernel.mongo import Database, Indexes

IDEMPOTENCY: Final = "idempotency"
INDEXES: Final[Indexes] = {IDEMPOTENCY: [IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0)]}
OUTBOXES: Final[tuple[str, ...]] = ()

_KEPT: Final = timedelta(hours=24)
_LOCK: Final = timedelta(seconds=30)
_FIELD: Final = "idempotency.answer"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """`answer` is there when the request was answered before; else do the work with `seed_id`."""

    id: str
    seed_id: str
    answer: StoredAnswer | None


class IdempotencyStore:
    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        self._claims = database[IDEMPOTENCY]
        self._keyring = keyring
        self._clock = clock

    async def claim(self, actor: Actor, route: str, key: str, content: bytes) -> Claim:
        """Raises IdempotencyMismatch for another content, IdempotencyInProgress while the first is worked on."""
        claim_id = sha256(f"{actor.account_id}\0{route}\0{key}".encode()).hexdigest()
        digest = sha256(content).digest()
        now = self._clock.now()
        fresh = {
            "_id": claim_id,
            "hospital_id": PLATFORM,
            "digest": digest,
            "seed_id": new_id(),
            "locked_until": now + _LOCK,
            "status": None,
            "expires_at": now + _KEPT,
        }
        try:
            await self._claims.insert_one(fresh)
        except DuplicateKeyError:
            return await self._existing(claim_id, digest)
        return Claim(claim_id, str(fresh["seed_id"]), None)

    async def _existing(self, claim_id: str, digest: bytes) -> Claim:
        now = self._clock.now()
        # Take over a claim whose holder died; the filter is the guard, so only one does.
        taken = await self._claims.find_one_and_update(
            {"_id": claim_id, "hospital_id": PLATFORM, "digest": digest, "status": None, "locked_until": {"$lte": now}},
            {"$set": {"locked_until": now + _LOCK}},
            return_document=ReturnDocument.AFTER,
        )
        if taken is not None:
            return Claim(claim_id, taken["seed_id"], None)
        stored: dict[str, Any] | None = await self._claims.find_one({"_id": claim_id, "hospital_id": PLATFORM})
        if stored is None or (stored["status"] is None and bytes(stored["digest"]) == digest):
            raise IdempotencyInProgress()
        if bytes(stored["digest"]) != digest:
            raise IdempotencyMismatch()
        keys = await self._keyring.hospital(PLATFORM)
        body = keys.open_bytes(bytes(stored["answer"]), field=_FIELD, owner=claim_id)
        return Claim(claim_id, stored["seed_id"], StoredAnswer(stored["status"], body))

    async def complete(self, claim: Claim, answer: StoredAnswer) -> None:
        """Keep the answer for whoever asks again."""
        keys = await self._keyring.hospital(PLATFORM)
        sealed = keys.seal_bytes(answer.body, field=_FIELD, owner=claim.id)
        await self._claims.update_one(
            {"_id": claim.id, "hospital_id": PLATFORM, "status": None},
            {"$set": {"status": answer.status, "answer": sealed}},
        )

    async def release(self, claim: Claim) -> None:
        """Nothing was done: the key is free again."""
        await self._claims.delete_one({"_id": claim.id, "hospital_id": PLATFORM, "status": None})

    async def unlock(self, claim: Claim) -> None:
        """Nobody knows what was done: the next attempt goes on from the same seed, at once."""
        await self._claims.update_one(
            {"_id": claim.id, "hospital_id": PLATFORM, "status": None}, {"$set": {"locked_until": self._clock.now()}}
        )
