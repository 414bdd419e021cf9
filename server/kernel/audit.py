"""Audit: who did what to what, when, from where, and whether it was allowed.

Each writing process has one stream, new at each start. Rows wait in one list; whoever flushes takes what waits, numbers and
links it, and inserts it in order, so that after a crash a stream is a prefix of itself and never has a hole. `record` returns
when the row is stored by a majority.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Final, Protocol

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import BulkWriteError, PyMongoError

from server.kernel.actor import Actor
from server.kernel.clock import to_ms
from server.kernel.errors import Unavailable
from server.kernel.ids import new_id, new_id_bytes
from server.kernel.mongo import Collection, Database, Document, Indexes
from server.kernel.streams import GENESIS, link, position

AUDIT: Final = "audit"
_BATCH: Final = 500
_GIVE_UP_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 0.2
_DUPLICATE: Final = 11000
_CLOSE_SECONDS: Final = 5.0

MOST_WAITING: Final = 20_000
"""Rows that wait while the database does not answer; one more is refused at once."""

_MOST_BYTES: Final = 4_000
"""Of all texts of a row: ids and names of actions are far below it."""


class Outcome(StrEnum):
    OK = "ok"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One thing that was done or refused. Holds ids only, never names, numbers or words of people.

    `audit_id` is fixed by the cause: the same event recorded twice is one row.
    """

    audit_id: str
    at: datetime
    hospital_id: str
    account_id: str
    role: str
    action: str
    subject: str
    order_id: str | None
    outcome: Outcome
    request_id: str
    address: str | None = None


class Audit(Protocol):
    """Where services record. Raises Unavailable when the row could not be stored: then the thing must not happen."""

    async def record(self, row: AuditRow) -> None: ...


def audit_row(
    actor: Actor,
    action: str,
    *,
    subject: str,
    at: datetime,
    order_id: str | None = None,
    outcome: Outcome = Outcome.OK,
    hospital_id: str | None = None,
    audit_id: str | None = None,
) -> AuditRow:
    """The row of what this actor does now."""
    return AuditRow(
        audit_id=audit_id or new_id(),
        at=at,
        hospital_id=hospital_id or actor.hospital_id,
        account_id=actor.account_id,
        role=actor.role.value,
        action=action,
        subject=subject,
        order_id=order_id,
        outcome=outcome,
        request_id=actor.request_id,
        address=actor.address,
    )


INDEXES: Final[Indexes] = {
    AUDIT: [
        IndexModel([("audit_id", ASCENDING)], unique=True),
        IndexModel([("hospital_id", ASCENDING), ("at", DESCENDING), ("audit_id", DESCENDING)]),
        IndexModel([("hospital_id", ASCENDING), ("order_id", ASCENDING), ("at", DESCENDING), ("audit_id", DESCENDING)]),
        IndexModel([("hospital_id", ASCENDING), ("account_id", ASCENDING), ("at", DESCENDING), ("audit_id", DESCENDING)]),
        IndexModel([("hospital_id", ASCENDING), ("subject", ASCENDING), ("at", DESCENDING), ("audit_id", DESCENDING)]),
        IndexModel([("hospital_id", ASCENDING), ("action", ASCENDING), ("at", DESCENDING), ("audit_id", DESCENDING)]),
    ]
}


def row_hash(previous: bytes, stream_id: bytes, seq: int, row: AuditRow) -> bytes:
    """The link of a row: every field of it is covered."""
    return link(
        previous,
        stream_id,
        seq,
        row.audit_id,
        to_ms(row.at),
        row.hospital_id,
        row.account_id,
        row.role,
        row.action,
        row.subject,
        row.order_id,
        row.outcome.value,
        row.request_id,
        row.address,
    )


def row_document(row: AuditRow, stream_id: bytes, seq: int, row_hash_: bytes) -> Document:
    return {
        "_id": position(stream_id, seq),
        "audit_id": row.audit_id,
        "at": row.at,
        "hospital_id": row.hospital_id,
        "account_id": row.account_id,
        "role": row.role,
        "action": row.action,
        "subject": row.subject,
        "order_id": row.order_id,
        "outcome": row.outcome.value,
        "request_id": row.request_id,
        "address": row.address,
        "hash": row_hash_,
    }


def row_from_document(document: Mapping[str, Any]) -> AuditRow:
    return AuditRow(
        audit_id=document["audit_id"],
        at=document["at"],
        hospital_id=document["hospital_id"],
        account_id=document["account_id"],
        role=document["role"],
        action=document["action"],
        subject=document["subject"],
        order_id=document["order_id"],
        outcome=Outcome(document["outcome"]),
        request_id=document["request_id"],
        address=document["address"],
    )


def _require_writable(row: AuditRow) -> None:
    """Raises ValueError where a text is no UTF-8 or all of them are too long."""
    texts = (row.audit_id, row.hospital_id, row.account_id, row.role, row.action, row.subject, row.request_id)
    try:
        size = sum(len(text.encode()) for text in (*texts, row.order_id or "", row.address or ""))
    except UnicodeEncodeError:
        raise ValueError("a text of an audit row is not UTF-8") from None
    if size > _MOST_BYTES:
        raise ValueError("the texts of an audit row are too long")


class AuditLog:
    """This process's audit stream."""

    def __init__(self, database: Database) -> None:
        self._rows: Collection = database[AUDIT]
        self._stream_id = new_id_bytes()
        self._seq = 0
        self._hash = GENESIS
        self._waiting: deque[tuple[AuditRow, asyncio.Future[None]]] = deque()
        self._flusher: asyncio.Task[None] | None = None
        self._ended = False

    async def record(self, row: AuditRow) -> None:
        """Raises ValueError for a row that can never be written: it must not stand in the way of all behind it."""
        _require_writable(row)
        if self._ended or len(self._waiting) >= MOST_WAITING:
            raise Unavailable()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, waiter))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="audit-flush")
        try:
            await asyncio.wait_for(asyncio.shield(waiter), _GIVE_UP_SECONDS)
        except TimeoutError as error:
            raise Unavailable() from error

    async def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Let what waits be stored, for so long at most; who still waits then is told `unavailable`."""
        flusher = self._flusher
        if flusher is not None:
            await asyncio.wait({flusher}, timeout=seconds)
        if flusher is not None and not flusher.done():
            self._ended = True  # the driver can lose a cancellation
            flusher.cancel()
            await asyncio.wait({flusher})
        while self._waiting:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(Unavailable())

    async def _flush(self) -> None:
        """Store what waits, in order, until nothing waits. A batch of unknown outcome is inserted again as it was: a
        duplicate `_id` then means that it had arrived, since nobody else writes this stream."""
        while self._waiting and not self._ended:
            batch = list(islice(self._waiting, _BATCH))
            documents = self._number([row for row, _ in batch])
            try:
                stored, dropped = await self._insert(documents)
            except PyMongoError:
                stored, dropped = 0, False
            if stored == 0 and not dropped:
                await asyncio.sleep(_RETRY_SECONDS)
            self._advance(documents[:stored])
            for _ in range(stored + dropped):
                _, waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_result(None)

    async def _insert(self, documents: list[Document]) -> tuple[int, bool]:
        try:
            await self._rows.insert_many(documents, ordered=True)
        except BulkWriteError as error:
            return await self._after_error(error, documents)
        return len(documents), False

    def _number(self, rows: list[AuditRow]) -> list[Document]:
        documents, previous = [], self._hash
        for seq, row in enumerate(rows, start=self._seq + 1):
            previous = row_hash(previous, self._stream_id, seq, row)
            documents.append(row_document(row, self._stream_id, seq, previous))
        return documents

    def _advance(self, documents: list[Document]) -> None:
        if documents:
            self._seq += len(documents)
            self._hash = documents[-1]["hash"]

    async def _after_error(self, error: BulkWriteError, documents: list[Document]) -> tuple[int, bool]:
        """How many rows of the batch are certainly stored, and whether the next one stands in another stream already."""
        details = error.details or {}
        errors = details.get("writeErrors", [])
        if not errors or errors[0]["code"] != _DUPLICATE or details.get("writeConcernErrors"):
            return 0, False
        index: int = errors[0]["index"]
        own = await self._rows.find_one({"_id": documents[index]["_id"], "hospital_id": documents[index]["hospital_id"]})
        if own is not None and own["audit_id"] == documents[index]["audit_id"]:
            return index + 1, False
        return index, True
