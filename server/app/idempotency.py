"""`Idempotency-Key`: one effect and one answer for a key, also when the process dies in between.

The first request claims the key with a seed id, from which whatever it creates takes its id. A claim whose holder died is
taken over after its lock runs out, with the same seed: the use case then finds what the first attempt left. Who works longer
extends its lock, so that it can be short. Answers are kept sealed for 24 h. A refusal releases the key, since nothing was done;
after a fault the key keeps its seed.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

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
_LOCK: Final = timedelta(seconds=5)
"""So long a client waits for a server that died."""

_EXTEND_SECONDS: Final = 1.5
_FIELD: Final = "idempotency.answer"
_DIGEST: Final = "idempotency.digest"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """`answer` is there when the request was answered before; else do the work with `seed_id`. `holder` tells one attempt from
    another that took it over."""

    id: str
    holder: str
    seed_id: str
    answer: StoredAnswer | None


class IdempotencyStore:
    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        self._claims = database[IDEMPOTENCY]
        self._keyring = keyring
        self._clock = clock
        self._extending: set[asyncio.Task[None]] = set()

    async def claim(self, actor: Actor, route: str, key: str, content: bytes) -> Claim:
        """Raises IdempotencyMismatch for another content, IdempotencyInProgress while the first is worked on."""
        claim_id = sha256(f"{actor.account_id}\0{route}\0{key}".encode()).hexdigest()
        keys = await self._keyring.hospital(PLATFORM)
        digest = keys.blind(sha256(content).hexdigest(), field=_DIGEST)  # keyed: a body may be guessed from its plain hash
        now = self._clock.now()
        holder, seed_id = new_id(), new_id()
        fresh = {
            "_id": claim_id,
            "hospital_id": PLATFORM,
            "holder": holder,
            "digest": digest,
            "seed_id": seed_id,
            "locked_until": now + _LOCK,
            "status": None,
            "expires_at": now + _KEPT,
        }
        try:
            await self._claims.insert_one(fresh)
        except DuplicateKeyError:
            return await self._existing(claim_id, digest)
        return Claim(claim_id, holder, seed_id, None)

    async def _existing(self, claim_id: str, digest: bytes) -> Claim:
        now, holder = self._clock.now(), new_id()
        # Take over a claim whose holder died; the filter is the guard, so only one does.
        taken = await self._claims.find_one_and_update(
            {"_id": claim_id, "hospital_id": PLATFORM, "digest": digest, "status": None, "$or": _over(now)},
            {"$set": {"locked_until": now + _LOCK, "holder": holder}},
            return_document=ReturnDocument.AFTER,
        )
        if taken is not None:
            return Claim(claim_id, holder, taken["seed_id"], None)
        stored: dict[str, Any] | None = await self._claims.find_one({"_id": claim_id, "hospital_id": PLATFORM})
        if stored is None or (stored["status"] is None and bytes(stored["digest"]) == digest):
            raise IdempotencyInProgress()
        if bytes(stored["digest"]) != digest:
            raise IdempotencyMismatch()
        keys = await self._keyring.hospital(PLATFORM)
        body = keys.open_bytes(bytes(stored["answer"]), field=_FIELD, owner=claim_id)
        return Claim(claim_id, holder, stored["seed_id"], StoredAnswer(stored["status"], body))

    @contextmanager
    def held(self, claim: Claim) -> Iterator[None]:
        """Keep the claim's lock for as long as the work takes."""
        done = asyncio.Event()
        extending = asyncio.create_task(self._extend(claim, done), name="idempotency-extend")
        self._extending.add(extending)
        extending.add_done_callback(self._extending.discard)
        try:
            yield
        finally:
            done.set()

    async def _extend(self, claim: Claim, done: asyncio.Event) -> None:
        while True:
            try:
                await asyncio.wait_for(done.wait(), _EXTEND_SECONDS)
            except TimeoutError:
                await self._lock_until(claim, self._clock.now() + _LOCK)
            else:
                return

    async def _lock_until(self, claim: Claim, until: datetime) -> None:
        """A database that does not answer is no reason to stop working: then another may take over, from the same seed."""
        with suppress(PyMongoError):
            await self._claims.update_one(_still_held(claim), {"$set": {"locked_until": until}})

    async def complete(self, claim: Claim, answer: StoredAnswer) -> None:
        """Keep the answer for whoever asks again. Attempts that share a seed did the same thing, so any of them may answer; a
        key that was released and taken for something else meanwhile has another seed, and is left alone."""
        keys = await self._keyring.hospital(PLATFORM)
        sealed = keys.seal_bytes(answer.body, field=_FIELD, owner=claim.id)
        await self._claims.update_one(
            {"_id": claim.id, "hospital_id": PLATFORM, "seed_id": claim.seed_id, "status": None},
            {"$set": {"status": answer.status, "answer": sealed}},
        )

    async def release(self, claim: Claim) -> None:
        """Nothing was done: the key is free again."""
        await self._claims.delete_one(_still_held(claim))

    async def unlock(self, claim: Claim) -> None:
        """Nobody knows what was done: the next attempt goes on from the same seed, at once."""
        await self._lock_until(claim, self._clock.now())


def _over(now: datetime) -> list[dict[str, Any]]:
    """A lock that has run out, or reaches so far ahead that it is from before the clock was set back."""
    return [{"locked_until": {"$lte": now}}, {"locked_until": {"$gt": now + 2 * _LOCK}}]


def _still_held(claim: Claim) -> dict[str, Any]:
    """Not taken over by another attempt, and not answered."""
    return {"_id": claim.id, "hospital_id": PLATFORM, "holder": claim.holder, "status": None}
