"""A backup in one file: every collection at one instant, while the product runs; and back into an empty database.

The file is a row of records, each a letter and a BSON document: `H` what it is, `C` a collection begins, `D` one of its
documents as MongoDB keeps it, `E` how many there were and the SHA-256 of all before. What is sealed in the database is sealed
in the file, and the master key is not in it.
"""

import asyncio
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import BinaryIO, Final, cast

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, OperationFailure
from pymongo.read_concern import ReadConcern

from server.kernel.mongo import ALL_HOSPITALS, Database

FORMAT: Final = "yunzhen-backup-1"

_CODEC: Final = CodecOptions(document_class=RawBSONDocument)
_HEAD, _COLLECTION, _DOCUMENT, _END = b"H", b"C", b"D", b"E"
_LENGTH_BYTES: Final = 4
_LONGEST: Final = 17 * 1024 * 1024
"""MongoDB's longest document is 16 MB."""

_BATCH: Final = 500
_BATCH_BYTES: Final = 8 * 1024 * 1024
_SNAPSHOT_GONE: Final = frozenset({239, 246})
"""`SnapshotTooOld`, `SnapshotUnavailable`."""

_WINDOW: Final = "minSnapshotHistoryWindowInSeconds"
_SAMPLE_BYTES: Final = 32 * 1024 * 1024
_MARGIN: Final = 2.0
"""Other work slows a copy down; a window of twice the time that it should take is asked for."""


class BackupFailed(Exception):
    """There is no backup, or nothing was restored. The text says why, for an operator."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds."""

    made_at: str
    collections: int
    documents: int
    bytes: int
    sha256: str
    """Of the whole file, as `sha256sum` says it."""


async def write_backup(database: Database, path: Path, now: datetime) -> Contents:
    """Write a backup of this instant. It appears under its name when it is whole and on the disk. Raises BackupFailed, OSError.

    All of it is read from one snapshot, which MongoDB keeps for five minutes unless it is told otherwise
    (`minSnapshotHistoryWindowInSeconds`). Whether that will do is looked at before it begins.
    """
    unfinished = _place(path)
    size = await _require_window(database)
    loop = asyncio.get_running_loop()
    began, writer = loop.time(), _Writer()
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            writer.file = file
            made = await _write(database, writer, now)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        unfinished.replace(path)
    except OperationFailure as error:
        if error.code in _SNAPSHOT_GONE:
            took = loop.time() - began
            needed = took * max(1.0, size / max(writer.bytes, 1))
            gone = f"MongoDB let the snapshot go after {took:.0f} s, with {writer.bytes} of some {size} bytes copied"
            raise BackupFailed(f"{gone}; {_remedy(needed)}") from None
        raise
    finally:
        unfinished.unlink(missing_ok=True)
    return made


def check_backup(path: Path) -> Contents:
    """Read all of it and hold it against its own sum. Raises BackupFailed when it is no backup, or not a whole one."""
    return _Reader(path).check()


async def load_backup(database: Database, path: Path) -> Contents:
    """Put a backup into an empty database, after all of the file was checked. Raises BackupFailed; an empty database is then
    still empty, unless MongoDB failed on the way."""
    contents = await asyncio.to_thread(check_backup, path)
    for name in await _names(database):
        if await database[name].find_one({}, {"_id": 1}, comment=ALL_HOSPITALS) is not None:
            raise BackupFailed(f"the database is not empty: {name} holds something")
    raw = _raw(database)
    for name, documents in _Reader(path).batches():
        await _insert(raw[name], documents)
    return contents


async def _require_window(database: Database) -> int:
    """How many bytes there are to copy. Raises BackupFailed where MongoDB will not keep a snapshot for as long as it takes, by
    a sample of the largest collection."""
    names = await _names(database)
    sizes = {name: int((await database.command("collStats", name))["size"]) for name in names}
    size = sum(sizes.values())
    try:
        found = await database.client.admin.command({"getParameter": 1, _WINDOW: 1})
    except OperationFailure:  # who may not ask will see
        return size
    loop = asyncio.get_running_loop()
    began, read = loop.time(), 0
    if sizes:
        largest = _raw(database)[max(sizes, key=lambda name: sizes[name])]
        async for document in largest.find({}, batch_size=_BATCH, comment=ALL_HOSPITALS):
            read += len(document.raw)
            if read > _SAMPLE_BYTES:
                break
    needed = (loop.time() - began) * max(1.0, size / max(read, 1))
    if needed * _MARGIN > found[_WINDOW]:
        raise BackupFailed(
            f"some {size} bytes are more than MongoDB keeps a snapshot for ({found[_WINDOW]} s); {_remedy(needed)}"
        )
    return size


def _remedy(needed: float) -> str:
    """For a copy that takes so many seconds."""
    window = ceil(needed * _MARGIN / 60) * 60
    return (
        f"it would take about {needed:.0f} s. On every member: db.adminCommand({{setParameter: 1, {_WINDOW}: {window}}}), "
        "at once; for good in mongod.conf (setParameter). Or copy a secondary with mongodump --oplog"
    )


async def _write(database: Database, writer: "_Writer", now: datetime) -> Contents:
    names = await _names(database)
    writer.put(_HEAD, bson.encode({"format": FORMAT, "made_at": now.isoformat(), "collections": names}))
    raw = _raw(database)
    async with database.client.start_session(snapshot=True) as session:
        for name in names:
            writer.put(_COLLECTION, bson.encode({"name": name}))
            async for document in raw[name].find({}, session=session, batch_size=_BATCH, comment=ALL_HOSPITALS):
                writer.put(_DOCUMENT, bytes(document.raw))
                if writer.waiting > _BATCH_BYTES:
                    await asyncio.to_thread(writer.flush)
    documents = writer.documents
    writer.put(_END, bson.encode({"documents": documents, "sha256": writer.sum()}))
    await asyncio.to_thread(writer.flush)
    return Contents(now.isoformat(), len(names), documents, writer.bytes, writer.sum().hex())


def _raw(database: Database) -> AsyncDatabase[RawBSONDocument]:
    """The same database, whose documents stay as they are. Without a read concern: the snapshot's is the one that counts."""
    concern = WriteConcern(w="majority", j=True)
    found = database.client.get_database(database.name, codec_options=_CODEC, write_concern=concern, read_concern=ReadConcern())
    return cast("AsyncDatabase[RawBSONDocument]", found)


async def _names(database: Database) -> list[str]:
    return sorted(name for name in await database.list_collection_names() if not name.startswith("system."))


async def _insert(collection: AsyncCollection[RawBSONDocument], documents: Sequence[RawBSONDocument]) -> None:
    try:
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        raise BackupFailed(f"{collection.name}: {len(error.details['writeErrors'])} documents were refused") from None


def _place(path: Path) -> Path:
    """Where it is written until it is whole."""
    if path.exists():
        raise BackupFailed(f"{path} exists")
    return path.with_name(f"{path.name}.unfinished")


class _Writer:
    """Gathers records, and what their sum is."""

    def __init__(self) -> None:
        self.file: BinaryIO | None = None
        self._sum = hashlib.sha256()
        self._waiting: list[bytes] = []
        self.waiting = self.bytes = self.documents = 0

    def put(self, kind: bytes, document: bytes) -> None:
        self._waiting += (kind, document)
        self._sum.update(kind)
        self._sum.update(document)
        size = len(document) + 1
        self.waiting += size
        self.bytes += size
        self.documents += kind == _DOCUMENT

    def sum(self) -> bytes:
        return self._sum.digest()

    def flush(self) -> None:
        assert self.file is not None, "it was opened"
        self.file.write(b"".join(self._waiting))
        self._waiting.clear()
        self.waiting = 0


class _Reader:
    """Reads a file from its beginning, each time that it is asked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> Contents:
        made_at, collections, documents, size = "", 0, 0, 0
        total, previous, ended = hashlib.sha256(), b"", False
        for kind, document in self._records():
            if ended or (kind == _HEAD) != (not previous):
                raise self._damaged()
            if kind == _HEAD:
                head = self._decoded(document)
                made_at = str(head.get("made_at"))
                if head.get("format") != FORMAT:
                    raise BackupFailed(f"{self._path} is no backup of this kind")
            elif kind == _END:
                ended = True
                if self._decoded(document) != {"documents": documents, "sha256": total.digest()}:
                    raise self._damaged()
            elif kind == _DOCUMENT and not collections:
                raise self._damaged()
            collections += kind == _COLLECTION
            documents += kind == _DOCUMENT
            size += len(document) + 1
            total.update(kind)
            total.update(document)
            previous = kind
        if not ended:
            raise self._damaged()
        return Contents(made_at, collections, documents, size, total.hexdigest())

    def batches(self) -> Iterator[tuple[str, list[RawBSONDocument]]]:
        """Documents of one collection, so many at once. The file was checked."""
        name, waiting, size = "", list[RawBSONDocument](), 0
        for kind, document in self._records():
            if waiting and (kind != _DOCUMENT or len(waiting) >= _BATCH or size + len(document) > _BATCH_BYTES):
                yield name, waiting
                waiting, size = [], 0
            if kind == _COLLECTION:
                name = bson.decode(document)["name"]
            elif kind == _DOCUMENT:
                waiting.append(RawBSONDocument(document))
                size += len(document)

    def _records(self) -> Iterator[tuple[bytes, bytes]]:
        with self._path.open("rb") as file:
            while kind := file.read(1):
                length = file.read(_LENGTH_BYTES)
                size = int.from_bytes(length, "little")
                if kind not in (_HEAD, _COLLECTION, _DOCUMENT, _END) or not _LENGTH_BYTES < size <= _LONGEST:
                    raise self._damaged()
                rest = file.read(size - _LENGTH_BYTES)
                if len(rest) != size - _LENGTH_BYTES:
                    raise self._damaged()
                yield kind, length + rest

    def _decoded(self, document: bytes) -> dict[str, object]:
        try:
            return dict(bson.decode(document))
        except bson.errors.InvalidBSON:
            raise self._damaged() from None

    def _damaged(self) -> BackupFailed:
        return BackupFailed(f"{self._path} is damaged, or not a whole backup")
