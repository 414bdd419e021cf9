"""Search terms in MongoDB: one document a message, and one a conversation that says how far its log was read.

`_id` is the message's own place in the log, number 0 the conversation's; so a conversation is one range here too. What entries
change is two writes: the new messages, then what was taken back and the note that all this was read.

The terms have no index: it would take as many keys a message as it has pairs, a hundred times what all else costs, and a search
looks into so few conversations at once that reading their messages' terms is as quick.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from im.codec import LAST_SEQ
from im.search.domain import SEARCH_TERMS, Candidate, Scoped, Sought, TermEntry, TermRun, terms_of, too_many
from server.kernel.crypto import Keyring
from server.kernel.ids import id_bytes
from server.kernel.mongo import ALL_HOSPITALS, Database, Document, Indexes, insert_new
from server.kernel.mongo import Collection as MongoCollection
from server.kernel.streams import parse_position, position

_WHERE: Final = [("hospital_id", ASCENDING), ("conversation", ASCENDING)]

INDEXES: Final[Indexes] = {
    SEARCH_TERMS: [
        IndexModel([*_WHERE, ("_id", DESCENDING)]),
        IndexModel(
            [*_WHERE, ("corrects", ASCENDING)], name="corrections", partialFilterExpression={"corrects": {"$type": "number"}}
        ),
    ]
}


class MongoTerms:
    """Implements `ports.TermRepository`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._terms: MongoCollection = database[SEARCH_TERMS]
        self._keyring = keyring

    async def find_log_seqs(self, conversation_ids: Collection[str]) -> dict[str, int]:
        heads = [position(id_bytes(each), 0) for each in conversation_ids]
        cursor = self._terms.find({"_id": {"$in": heads}}, comment=ALL_HOSPITALS)
        return {document["_id"][:16].hex(): document["log_seq"] for document in await cursor.to_list()}

    async def write(self, runs: Sequence[TermRun]) -> None:
        messages, notes = [], []
        for run in runs:
            conversation = id_bytes(run.conversation_id)
            messages += [_document(conversation, run.hospital_id, entry) for entry in run.entries]
            notes += [UpdateOne(_key(conversation, run.hospital_id, seq), {"$set": {"recalled": True}}) for seq in run.recalls]
            read = {"$max": {"log_seq": run.log_seq}}
            notes.append(UpdateOne(_key(conversation, run.hospital_id, 0), read, upsert=True))
        await insert_new(self._terms, messages)
        await self._terms.bulk_write(notes)  # in order: how far it is followed stands behind what that means

    async def forget(self, conversation_id: str, hospital_id: str) -> None:
        conversation = id_bytes(conversation_id)
        whole = {"$gte": position(conversation, 0), "$lte": position(conversation, LAST_SEQ)}
        await self._terms.delete_many({"_id": whole, "hospital_id": hospital_id})

    async def find(
        self, sought: Sought, scope: Sequence[Scoped], *, below: tuple[str, int] | None, limit: int
    ) -> list[Candidate]:
        by_hospital: dict[str, list[bytes]] = {}
        for each in scope:
            by_hospital.setdefault(each.hospital_id, []).append(id_bytes(each.conversation_id))
        proposed = await self._proposed(sought, by_hospital)
        query: Document = {"hospital_id": {"$in": list(by_hospital)}, "recalled": False, "$or": proposed}
        if below is not None:
            query["_id"] = {"$lt": position(id_bytes(below[0]), below[1])}
        cursor = self._terms.find(query, projection={"hospital_id": True}, sort=[("_id", DESCENDING)], limit=limit)
        found = await cursor.to_list()
        corrections = await self._corrections(found) if found else {}
        return [_candidate(document, corrections) for document in found]

    async def _proposed(self, sought: Sought, by_hospital: Mapping[str, list[bytes]]) -> list[Document]:
        branches: list[Document] = []
        for hospital_id, conversations in by_hospital.items():
            keys = await self._keyring.hospital(hospital_id)
            held = [{"terms": {"$all": list(terms_of(sought.pairs, keys))}}, {"terms": too_many(keys)}]
            branches.append({"hospital_id": hospital_id, "conversation": {"$in": conversations}, "$or": held})
        return branches

    async def _corrections(self, found: Sequence[Mapping[str, Any]]) -> dict[tuple[bytes, int], int]:
        """(conversation, message) → the number of the last correction of it that stands."""
        places = [(document["hospital_id"], *parse_position(document["_id"])) for document in found]
        query = {
            "hospital_id": {"$in": sorted({hospital_id for hospital_id, _, _ in places})},
            "conversation": {"$in": sorted({conversation for _, conversation, _ in places})},
            "corrects": {"$in": sorted({seq for _, _, seq in places}), "$type": "number"},
            "recalled": False,
        }
        cursor = self._terms.find(query, projection={"corrects": True}, sort=[("_id", ASCENDING)])
        return {(document["_id"][:16], document["corrects"]): parse_position(document["_id"])[1] async for document in cursor}


def _key(conversation: bytes, hospital_id: str, seq: int) -> Document:
    return {"_id": position(conversation, seq), "hospital_id": hospital_id}


def _document(conversation: bytes, hospital_id: str, entry: TermEntry) -> Document:
    return _key(conversation, hospital_id, entry.seq) | {
        "conversation": conversation,
        "terms": list(entry.terms),
        "corrects": entry.corrects,
        "recalled": False,
    }


def _candidate(document: Mapping[str, Any], corrections: Mapping[tuple[bytes, int], int]) -> Candidate:
    conversation, seq = parse_position(document["_id"])
    return Candidate(conversation.hex(), document["hospital_id"], seq, corrections.get((conversation, seq)))
