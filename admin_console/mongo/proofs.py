"""Verifications as documents."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from pymongo import DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from admin_console.domain.proofs import Proof, ProofState
from server.kernel.errors import Unavailable
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document

PROOFS: Final = "verifications"

PROOF_INDEXES: Final = [
    IndexModel([("hospital_id", DESCENDING), ("requested_at", DESCENDING), ("_id", DESCENDING)]),
    IndexModel([("hospital_id", DESCENDING)], name="one_open", unique=True, partialFilterExpression={"open": True}),
    IndexModel([("requested_at", DESCENDING)], name="open", partialFilterExpression={"open": True}),
]

_TRIES: Final = 10


class MongoProofs:
    """Implements `ports.ProofBook`. `open` says that it is not done."""

    def __init__(self, database: Database) -> None:
        self._proofs: Collection = database[PROOFS]

    async def insert(self, proof: Proof) -> Proof:
        for _ in range(_TRIES):
            try:
                await self._proofs.insert_one(_document(proof))
            except DuplicateKeyError:
                known = await self._proofs.find_one({"hospital_id": proof.hospital_id, "open": True})
                if known is not None:
                    return _proof(known)
            else:
                return proof
        raise Unavailable  # each was done between being in the way and being looked for

    async def claim(self, proof_id: str, now: datetime, stale: datetime) -> Proof | None:
        found = await self._proofs.find_one_and_update(
            {"_id": proof_id, **_claimable(stale)},
            {"$set": {"state": ProofState.RUNNING.value, "started_at": now}},
            return_document=ReturnDocument.AFTER,
            comment=ALL_HOSPITALS,
        )
        return None if found is None else _proof(found)

    async def save(self, proof: Proof) -> None:
        document = _document(proof)
        key = {"_id": document.pop("_id"), "hospital_id": proof.hospital_id, "started_at": proof.started_at}
        await self._proofs.update_one(key, {"$set": document})

    async def list_newest(self, hospital_id: str, *, limit: int) -> Sequence[Proof]:
        newest = [("requested_at", DESCENDING), ("_id", DESCENDING)]
        cursor = self._proofs.find({"hospital_id": hospital_id}, sort=newest, limit=limit)
        return [_proof(document) async for document in cursor]

    async def list_waiting(self, stale: datetime) -> Sequence[str]:
        cursor = self._proofs.find(
            _claimable(stale), {"_id": True}, sort=[("requested_at", DESCENDING)], limit=100, comment=ALL_HOSPITALS
        )
        return [document["_id"] async for document in cursor]


def _claimable(stale: datetime) -> Document:
    running = {"state": ProofState.RUNNING.value, "started_at": {"$lt": stale}}
    return {"open": True, "$or": [{"state": ProofState.WAITING.value}, running]}


def _document(proof: Proof) -> Document:
    document: Document = asdict(proof) | {"state": proof.state.value, "findings": list(proof.findings)}
    document["_id"] = document.pop("id")
    document["open"] = proof.state is not ProofState.DONE
    return document


def _proof(document: Mapping[str, Any]) -> Proof:
    values = {name: value for name, value in document.items() if name not in ("_id", "open")}
    values |= {"id": document["_id"], "state": ProofState(document["state"]), "findings": tuple(document["findings"])}
    return Proof(**values)
