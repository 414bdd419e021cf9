"""Checkpoints in MongoDB, and how changed streams are found: by the change streams of the collections, never by a clock.

A change stream gives each insert once, whoever wrote it; its token is kept with the checkpoints. It is read by plain commands
in large batches of two fields: a minute at full load is some hundred thousand events. Where there is no token, or its place is
gone from the oplog, all heads are read, one step of the index a stream.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import structlog
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError, OperationFailure

from admin_console.domain.checkpoints import Checkpoint, CheckpointUnreadable, Head
from admin_console.domain.verification import AUDIT, LOG
from admin_console.ports import Changed, FeedPlace
from server.kernel.actor import PLATFORM
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document
from server.kernel.streams import parse_position, position

log = structlog.get_logger(__name__)

CHECKPOINTS: Final = "checkpoints"
FEED_PLACES: Final = "checkpoint_places"

_KINDS: Final = (AUDIT, LOG)
_PLACE: Final = "feed"
_BATCH: Final = 5_000
"""Decoding one batch holds the event loop for some 50 ms."""

_WAIT_MS: Final = 100
_POSITION_BYTES: Final = 24

_RAW: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict, tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_MS
)
_EVENT: Final = {"operationType": 1, "clusterTime": 1, "key": "$documentKey._id", "hash": "$fullDocument.hash"}


class MongoCheckpoints:
    """Implements `ports.CheckpointStore`. `_id` is the number: two keepers cannot both make it."""

    def __init__(self, database: Database) -> None:
        self._checkpoints: Collection = database[CHECKPOINTS]
        self._places: Collection = database[FEED_PLACES]

    async def find_last(self) -> Checkpoint | None:
        document = await self._checkpoints.find_one({"hospital_id": PLATFORM}, sort=[("_id", DESCENDING)])
        return None if document is None else _checkpoint(document)

    async def insert(self, checkpoint: Checkpoint) -> bool:
        try:
            await self._checkpoints.insert_one(_document(checkpoint))
        except DuplicateKeyError:
            return False
        return True

    async def list_after(self, number: int) -> AsyncIterator[Checkpoint]:
        cursor = self._checkpoints.find({"hospital_id": PLATFORM, "_id": {"$gt": number}}, sort=[("_id", ASCENDING)])
        async for document in cursor:
            yield _checkpoint(document)

    async def find_place(self) -> FeedPlace | None:
        document = await self._places.find_one({"_id": _PLACE, "hospital_id": PLATFORM})
        return None if document is None else document["tokens"]

    async def save_place(self, place: FeedPlace) -> None:
        await self._places.update_one({"_id": _PLACE, "hospital_id": PLATFORM}, {"$set": {"tokens": dict(place)}}, upsert=True)


class MongoFeed:
    """Implements `ports.StreamFeed` over the log and the audit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def changed_since(self, place: FeedPlace | None) -> Changed:
        heads: list[Head] = []
        tokens: Document = {}
        tampered: list[str] = []
        for kind in _KINDS:
            follower = _Follower(self._database, kind)
            token = None if place is None else place.get(kind)
            if token is None or not await follower.read(token):
                await follower.read_all()
            heads += [Head(kind, stream, seq, link) for stream, (seq, link) in follower.heads.items()]
            tampered += follower.tampered
            tokens[kind] = follower.token
        return Changed(tuple(heads), tokens, tuple(tampered))


class _Follower:
    """One collection, followed once from a token to the present."""

    def __init__(self, database: Database, kind: str) -> None:
        self._database = database
        self._kind = kind
        self.token: Any = None
        self.heads: dict[bytes, tuple[int, bytes]] = {}
        self.tampered: list[str] = []

    async def read(self, token: Any) -> bool:
        """All events behind the token up to now. False where the token's place is lost."""
        try:
            async with self._database.client.start_session() as session:
                await self._follow(session, {"resumeAfter": token})
        except OperationFailure as error:  # whatever is wrong besides the token, reading all heads says it again
            log.warning("checkpoint.place_lost", collection=self._kind, code=error.code)
            return False
        return True

    async def read_all(self) -> None:
        """The heads of all streams; the token is taken before, so that what comes meanwhile comes again."""
        self.heads.clear()
        async with self._database.client.start_session() as session:
            await self._follow(session, {})
        await self._scan()

    async def _follow(self, session: AsyncClientSession, options: Document) -> None:
        pipeline: list[Document] = [{"$changeStream": options}, {"$project": _EVENT}]
        command: Document = {"aggregate": self._kind, "pipeline": pipeline, "cursor": {"batchSize": _BATCH}}
        reply = await self._database.command(command, session=session, comment=ALL_HOSPITALS)
        until, cursor, batch = reply["operationTime"], reply["cursor"], reply["cursor"]["firstBatch"]
        first = True
        while True:
            self._take(batch)
            self.token = cursor["postBatchResumeToken"]
            if cursor["id"] == 0 or (not batch and not first) or (batch and batch[-1]["clusterTime"] > until):
                break
            first = False
            more: Document = {"getMore": Int64(cursor["id"]), "collection": self._kind, "batchSize": _BATCH}
            reply = await self._database.command(more | {"maxTimeMS": _WAIT_MS}, session=session)
            cursor, batch = reply["cursor"], reply["cursor"]["nextBatch"]
        if cursor["id"]:
            await self._database.command({"killCursors": self._kind, "cursors": [Int64(cursor["id"])]}, session=session)

    def _take(self, events: list[Document]) -> None:
        for event in events:
            key: Any = event.get("key")
            link: Any = event.get("hash")
            is_item = isinstance(key, bytes) and len(key) == _POSITION_BYTES
            if event["operationType"] != "insert" or not is_item:
                where = key.hex() if isinstance(key, bytes) else "-"
                self.tampered.append(f"{self._kind}.{event['operationType']} {where}")
            elif isinstance(link, bytes):
                self._raise(key, link)

    def _raise(self, key: bytes, link: bytes) -> None:
        stream, seq = parse_position(key)
        known = self.heads.get(stream)
        if known is None or known[0] < seq:
            self.heads[stream] = (seq, link)

    async def _scan(self) -> None:
        collection: Collection = self._database[self._kind]
        below: bytes | None = None
        while True:
            condition: Document = {} if below is None else {"_id": {"$lt": position(below, 0)}}
            found = await collection.find_one(
                condition, projection={"hash": True}, sort=[("_id", DESCENDING)], comment=ALL_HOSPITALS
            )
            if found is None or not isinstance(found["_id"], bytes):
                return
            self._raise(found["_id"], found["hash"])
            below = found["_id"][:16]


class MongoArchive:
    """Implements `ports.Archive`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def documents(self, kind: str) -> AsyncIterator[Mapping[str, Any]]:
        collection = self._database.get_collection(kind, codec_options=_RAW)
        cursor = collection.find({}, sort=[("_id", ASCENDING)], comment=ALL_HOSPITALS)
        async for document in cursor:
            yield document

    async def checkpoints(self) -> AsyncIterator[Checkpoint | None]:
        cursor = self._database[CHECKPOINTS].find({}, sort=[("_id", ASCENDING)], comment=ALL_HOSPITALS)
        async for document in cursor:
            try:
                yield _checkpoint(document)
            except CheckpointUnreadable:
                yield None


def _document(checkpoint: Checkpoint) -> Document:
    """Heads are packed: kind in one byte, stream, number in 8 bytes, hash."""
    packed = b"".join(
        bytes([_KINDS.index(head.kind)]) + position(head.stream, head.seq) + head.hash for head in checkpoint.heads
    )
    return {
        "_id": checkpoint.number,
        "hospital_id": PLATFORM,
        "at_ms": checkpoint.at_ms,
        "previous": checkpoint.previous,
        "heads": packed,
        "signature": checkpoint.signature,
    }


_PACKED_BYTES: Final = 1 + _POSITION_BYTES + 32


def _checkpoint(document: Mapping[str, Any]) -> Checkpoint:
    try:
        packed: bytes = document["heads"]
        if len(packed) % _PACKED_BYTES:
            raise ValueError("not a whole number of heads")
        heads = tuple(_head(packed[i : i + _PACKED_BYTES]) for i in range(0, len(packed), _PACKED_BYTES))
        number, at_ms = document["_id"], document["at_ms"]
        previous, signature = document["previous"], document["signature"]
        if not isinstance(previous, bytes) or not isinstance(signature, bytes) or not isinstance(number, int):
            raise TypeError("not the form of a checkpoint")
        return Checkpoint(int(number), int(at_ms), previous, heads, signature)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointUnreadable(str(error)) from error


def _head(packed: bytes) -> Head:
    stream, seq = parse_position(packed[1 : 1 + _POSITION_BYTES])
    return Head(_KINDS[packed[0]], stream, seq, packed[1 + _POSITION_BYTES :])
