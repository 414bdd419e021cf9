"""Where conversations are kept: the log, receipts, and the follower's place."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from bson.int64 import Int64
from bson.timestamp import Timestamp
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from im.codec import LAST_SEQ, RAW_OPTIONS
from im.domain import Receipt
from im.group_commit import OperationTime
from server.kernel.actor import PLATFORM
from server.kernel.errors import Unavailable
from server.kernel.ids import id_bytes
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document, Indexes, unhurried
from server.kernel.streams import position

LOG: Final = "log"
"""The entries of all conversations. Its `_id` says all that is looked for: it has no other index."""

RECEIPTS: Final = "receipts"
FOLLOWERS: Final = "followers"

INDEXES: Final[Indexes] = {
    RECEIPTS: [IndexModel([("hospital_id", ASCENDING), ("account_id", ASCENDING)])],
}
OUTBOXES: Final[tuple[str, ...]] = ()

_BATCH: Final = 500
_CLOSE_SECONDS: Final = 1.0
_TRANSIENT: Final = frozenset(
    {6, 7, 43, 50, 63, 89, 91, 133, 134, 150, 189, 202, 234, 262, 9001, 10107, 11600, 11602, 13388, 13435, 13436}
)
"""The codes after which a change stream may be opened again at the same place (the drivers' own list, and time-outs)."""


class LogStore:
    """The log collection, read. All reads are majority reads from the primary."""

    def __init__(self, database: Database) -> None:
        self.collection: Collection = database.get_collection(LOG, codec_options=RAW_OPTIONS)
        self._client = database.client

    async def read_range(
        self,
        conversation: bytes,
        *,
        first: int,
        last: int = LAST_SEQ,
        hospital_id: str | None = None,
        limit: int = 0,
        descending: bool = False,
        after: OperationTime | None = None,
    ) -> list[Document]:
        """Documents `first` to `last`, both included, in the order asked for. `hospital_id` None: not known yet.

        `after`: see everything up to that instant, and nothing that may be rolled back.
        """
        condition: dict[str, Any] = {"_id": {"$gte": position(conversation, first), "$lte": position(conversation, last)}}
        if hospital_id is not None:
            condition["hospital_id"] = hospital_id
        async with self._session_after(after) as session:
            cursor = self.collection.find(
                condition,
                sort=[("_id", DESCENDING if descending else ASCENDING)],
                limit=limit,
                batch_size=_BATCH,
                session=session,
                comment=None if hospital_id is not None else ALL_HOSPITALS,
            )
            try:
                return await cursor.to_list()
            except PyMongoError as error:
                raise Unavailable from error

    async def read_whole(self, conversations: Sequence[bytes], *, limit: int) -> dict[bytes, list[Document]]:
        """All entries of these, of `limit` entries together at most; one that does not fit whole is missing."""
        ranges = [{"_id": {"$gte": position(each, 1), "$lte": position(each, LAST_SEQ)}} for each in conversations]
        cursor = self.collection.find({"$or": ranges}, sort=[("_id", ASCENDING)], limit=limit, comment=ALL_HOSPITALS)
        try:
            documents = await cursor.to_list()
        except PyMongoError as error:
            raise Unavailable from error
        found: dict[bytes, list[Document]] = {}
        for document in documents:
            found.setdefault(document["_id"][:16], []).append(document)
        if len(documents) == limit:
            found.popitem()
        return found

    async def read_one(
        self, conversation: bytes, seq: int, hospital_id: str, *, after: OperationTime | None = None
    ) -> Document | None:
        found = await self.read_range(conversation, first=seq, last=seq, hospital_id=hospital_id, after=after)
        return found[0] if found else None

    async def read_numbers(self, conversation: bytes, seqs: Iterable[int], hospital_id: str) -> list[Document]:
        """Those of the entries that there are, ascending."""
        places = [position(conversation, seq) for seq in seqs]
        cursor = self.collection.find({"_id": {"$in": places}, "hospital_id": hospital_id}, sort=[("_id", ASCENDING)])
        try:
            return await cursor.to_list()
        except PyMongoError as error:
            raise Unavailable from error

    async def read_ranges(
        self, ranges: Mapping[bytes, tuple[int, int]], hospital_ids: Iterable[str]
    ) -> dict[bytes, list[Document]]:
        """Documents first to last of each of these conversations, ascending, in one query."""
        parts = [
            {"_id": {"$gte": position(each, first), "$lte": position(each, last)}} for each, (first, last) in ranges.items()
        ]
        condition = {"hospital_id": {"$in": sorted(set(hospital_ids))}, "$or": parts}
        cursor = self.collection.find(condition, sort=[("_id", ASCENDING)], batch_size=_BATCH)
        found: dict[bytes, list[Document]] = {each: [] for each in ranges}
        try:
            async for document in cursor:
                found[document["_id"][:16]].append(document)
        except PyMongoError as error:
            raise Unavailable from error
        return found

    async def find_hospital(self, conversation_id: str) -> str | None:
        """Whose conversation it is; None while it has no entry."""
        try:
            found = await self.collection.find_one(
                {"_id": position(id_bytes(conversation_id), 1)}, projection={"hospital_id": True}, comment=ALL_HOSPITALS
            )
        except PyMongoError as error:
            raise Unavailable from error
        return None if found is None else found["hospital_id"]

    async def stream(self) -> AsyncIterator[Document]:
        """Every document there is, conversation by conversation, each ascending; never more than a batch in memory."""
        cursor = self.collection.find({}, sort=[("_id", ASCENDING)], batch_size=_BATCH, comment=ALL_HOSPITALS)
        try:
            async with cursor:
                async for document in cursor:
                    yield document
        except PyMongoError as error:
            raise Unavailable from error

    async def list_heads(self, *, below: bytes | None, limit: int) -> list[tuple[bytes, int, str]]:
        """Conversation, last number and hospital of the `limit` conversations next below `below` (None: from the top).

        Skips from head to head: one step of the index a conversation, however long it is.
        """
        heads: list[tuple[bytes, int, str]] = []
        while len(heads) < limit:
            condition: dict[str, Any] = {} if below is None else {"_id": {"$lt": position(below, 0)}}
            try:
                found = await self.collection.find_one(
                    condition, projection={"hospital_id": True}, sort=[("_id", DESCENDING)], comment=ALL_HOSPITALS
                )
            except PyMongoError as error:
                raise Unavailable from error
            if found is None:
                break
            below = found["_id"][:16]
            heads.append((below, int.from_bytes(found["_id"][16:], "big"), found["hospital_id"]))
        return heads

    @asynccontextmanager
    async def _session_after(self, after: OperationTime | None) -> AsyncIterator[AsyncClientSession | None]:
        if after is None or after.operation_time is None:
            yield None
            return
        async with self._client.start_session(causal_consistency=True) as session:
            session.advance_cluster_time(after.cluster_time)
            session.advance_operation_time(after.operation_time)
            yield session


class ReceiptStore:
    """One document per conversation and account; numbers in it only rise."""

    def __init__(self, database: Database) -> None:
        self._receipts: Collection = database[RECEIPTS]

    async def raise_marks(self, marks: Sequence[tuple[str, Receipt]]) -> dict[tuple[str, str], Receipt]:
        """Raise all to at least these, each with its hospital, and give what stands there then. Twice changes nothing."""
        updates = [
            UpdateOne(
                {"_id": _receipt_id(mark.conversation_id, mark.account_id), "hospital_id": hospital_id},
                {
                    "$max": {"delivered_seq": mark.delivered_seq, "read_seq": mark.read_seq},
                    "$setOnInsert": {"conversation_id": mark.conversation_id, "account_id": mark.account_id},
                },
                upsert=True,
            )
            for hospital_id, mark in marks
        ]
        try:
            await self._receipts.bulk_write(updates, ordered=False)
        except PyMongoError as error:
            raise Unavailable from error
        keys = [(mark.conversation_id, mark.account_id) for _, mark in marks]
        found = await self.find(keys, sorted({hospital_id for hospital_id, _ in marks}))
        return {(receipt.conversation_id, receipt.account_id): receipt for receipt in found}

    async def find(self, keys: Sequence[tuple[str, str]], hospital_ids: Sequence[str]) -> list[Receipt]:
        """The receipts of these conversations and accounts, as far as there are any."""
        condition = {
            "_id": {"$in": [_receipt_id(conversation_id, account_id) for conversation_id, account_id in keys]},
            "hospital_id": {"$in": list(hospital_ids)},
        }
        try:
            return [receipt_from(document) async for document in self._receipts.find(condition)]
        except PyMongoError as error:
            raise Unavailable from error


def _receipt_id(conversation_id: str, account_id: str) -> bytes:
    return id_bytes(conversation_id) + account_id.encode()


def receipt_from(document: Mapping[str, Any]) -> Receipt:
    """The receipt that this document holds."""
    return Receipt(document["conversation_id"], document["account_id"], document["delivered_seq"], document["read_seq"])


class LogChanges:
    """The log's change stream, batch by batch, with plain commands: a batch is handed on as it came, in one round trip.

    Every call may raise Unavailable (open it again at the last token) or PlaceLost (that token leads nowhere any more).
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._session: AsyncClientSession | None = None
        self._cursor_id = 0
        self._first: list[Document] = []
        self._behind: Document | None = None
        """Where the stream is once `_first` has been given out."""
        self.token: Document | None = None
        """Where the stream is: everything before it has been given out."""

    async def open(self, token: Document | None, *, seconds_ago: float | None = None) -> None:
        """Begin behind `token`, or so many seconds ago by MongoDB's own clock, or at this moment."""
        self._session = self._database.client.start_session()
        self.token = self._behind = token
        start: Document = {"resumeAfter": token} if token is not None else {}
        if token is None and seconds_ago is not None:
            now: Timestamp = (await self._command({"ping": 1}))["operationTime"]
            start = {"startAtOperationTime": Timestamp(max(1, now.time - ceil(seconds_ago)), 0)}
        reply = await self._command(
            {
                "aggregate": LOG,
                "pipeline": [
                    {"$changeStream": start},
                    {"$match": {"operationType": "insert"}},
                    {"$project": {"fullDocument": True}},
                ],
                "cursor": {},
                "readConcern": {"level": "majority"},
                "comment": ALL_HOSPITALS,
            }
        )
        self._take(reply["cursor"], "firstBatch")

    async def next(self, wait_seconds: float) -> list[Document]:
        """The next entries' documents in the order in which they were stored; none if none came in that time."""
        if not self._first:
            command = {"getMore": Int64(self._cursor_id), "collection": LOG, "maxTimeMS": int(wait_seconds * 1_000)}
            self._take((await self._command(command))["cursor"], "nextBatch")
        documents, self._first = self._first, []
        self.token = self._behind
        return documents

    async def close(self) -> None:
        """End the stream on the server too, if it answers soon."""
        session, self._session = self._session, None
        if session is None:
            return
        with suppress(PyMongoError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                if self._cursor_id:
                    await self._database.command({"killCursors": LOG, "cursors": [Int64(self._cursor_id)]}, session=session)
                await session.end_session()

    async def _command(self, command: Document) -> Document:
        try:
            return await self._database.command(command, codec_options=RAW_OPTIONS, session=self._session)
        except OperationFailure as error:
            raise (Unavailable if error.code in _TRANSIENT else PlaceLost) from error
        except PyMongoError as error:
            raise Unavailable from error

    def _take(self, cursor: Mapping[str, Any], batch: str) -> None:
        self._cursor_id = cursor["id"]
        self._first = [change["fullDocument"] for change in cursor[batch]]
        self._behind = cursor.get("postBatchResumeToken", self._behind)
        if not self._first:
            self.token = self._behind
        if not self._cursor_id:  # the collection was dropped or renamed
            raise PlaceLost


class PlaceLost(Exception):
    """The change stream cannot go on where it was: too long ago, restored from a copy, or another collection."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a follower got: its token, who had been told everything up to there, and what is still owed to whom."""

    token: Document | None = None
    consumers: frozenset[str] = frozenset()
    owed: tuple[tuple[str, str], ...] = ()


class PlaceStore:
    """Keeps the place of a follower, by its name."""

    def __init__(self, database: Database, name: str) -> None:
        self._places: Collection = database[FOLLOWERS]
        self._saved = unhurried(self._places)
        self._key = {"_id": name, "hospital_id": PLATFORM}

    async def load(self) -> Place:
        try:
            found = await self._places.find_one(self._key)
        except PyMongoError as error:
            raise Unavailable from error
        if found is None:
            return Place()
        owed = tuple((consumer, conversation) for consumer, conversation in found["owed"])
        return Place(found["token"], frozenset(found["consumers"]), owed)

    async def save(self, place: Place) -> None:
        """One that is lost in a crash means that entries come again."""
        values = {"token": place.token, "consumers": sorted(place.consumers), "owed": [list(pair) for pair in place.owed]}
        try:
            try:
                await self._saved.update_one(self._key, {"$set": values}, upsert=True)
            except DuplicateKeyError:  # between two leaders both may save for the first time
                await self._saved.update_one(self._key, {"$set": values})
        except PyMongoError as error:
            raise Unavailable from error

    async def forget(self) -> None:
        """After a restore: the next follower compares everything."""
        try:
            await self._places.delete_one(self._key)
        except PyMongoError as error:
            raise Unavailable from error
