"""Group commit: entries that wait at the same moment go to MongoDB in one unordered insert, with majority and journal.

There is no timer. When nothing is in flight an entry leaves in the very next turn of the event loop, alone if it is alone; what
comes while an insert is under way waits for it and leaves together. Each entry has one of three outcomes, and gets one whatever
happens: its number was free and it is stored, the number was taken, or nobody can say (then only inserting the same entry under
the same number again can tell).

The raw `insert` command is used on purpose: the driver must not retry by itself, since its retry would meet its own first try
and call that a lost number; and it costs a fifth less than `insert_many`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import pymongo
import structlog
from bson.raw_bson import RawBSONDocument
from pymongo.errors import PyMongoError

from server.kernel.mongo import Collection

log = structlog.get_logger(__name__)

MOST_ENTRIES: Final = 500
MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_WAITING: Final = 20_000
_WRITE_CONCERN: Final = {"w": "majority", "j": True, "wtimeout": 5_000}
_TIMEOUT_SECONDS: Final = 8.0
_DUPLICATE: Final = 11000


class Result(Enum):
    """What is known of an insert. UNKNOWN is no failure: the entry may be there, or come there later."""

    STORED = auto()
    TAKEN = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class OperationTime:
    """When the database did something: what is read after this instant sees it."""

    operation_time: Any
    cluster_time: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    result: Result
    at: OperationTime | None = None


UNKNOWN: Final = Outcome(Result.UNKNOWN)

Done = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class GroupCommitFigures:
    """Counts since the start: how well waiting entries share inserts."""

    inserts: int
    entries: int
    unknown: int
    waiting: int


class GroupCommit:
    """One per process and log collection.

    `in_flight` inserts at most are under way at once; `most_waiting` entries at most wait, one more is UNKNOWN at once. The
    callbacks of a batch are called one after the other in the event loop, and must not block.
    """

    def __init__(self, collection: Collection, *, in_flight: int = 1, most_waiting: int = _MOST_WAITING) -> None:
        self._database = collection.database
        self._name = collection.name
        self._in_flight = in_flight
        self._most_waiting = most_waiting
        self._waiting: deque[tuple[bytes, Done]] = deque()
        self._flushers: set[asyncio.Task[None]] = set()
        self._closed = self._ended = False
        self._inserts = self._entries = self._unknown = 0

    @property
    def figures(self) -> GroupCommitFigures:
        return GroupCommitFigures(self._inserts, self._entries, self._unknown, len(self._waiting))

    def submit(self, raw: bytes, done: Done) -> None:
        """Insert one document (BSON). `done` is called once, later or, if there is no room or no more time, at once."""
        if self._closed or len(self._waiting) >= self._most_waiting:
            _tell(done, UNKNOWN)
            return
        self._waiting.append((raw, done))
        if len(self._flushers) < self._in_flight:
            self._start_flusher()

    async def insert(self, raw: bytes) -> Outcome:
        """`submit`, awaited. Whoever is cancelled here leaves the insert under way."""
        waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.submit(raw, lambda outcome: None if waiter.done() else waiter.set_result(outcome))
        return await waiter

    async def close(self, seconds: float = 10.0) -> None:
        """Store what waits, for so long at most; what is left then has an unknown outcome. Nothing is taken any more."""
        self._closed = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self._flushers and (left := deadline - loop.time()) > 0:
            await asyncio.wait(set(self._flushers), timeout=left)
            await asyncio.sleep(0)
        self._ended = True  # the driver can lose a cancellation: see the follower
        late = set(self._flushers)
        for flusher in late:
            flusher.cancel()
        if late:
            await asyncio.wait(late)
        self._give_up_waiting()

    def _start_flusher(self) -> None:
        flusher = asyncio.get_running_loop().create_task(self._flush(), name="group-commit")
        self._flushers.add(flusher)
        flusher.add_done_callback(self._flusher_done)

    def _flusher_done(self, flusher: asyncio.Task[None]) -> None:
        """A flusher ends when nothing waits; what came between its last look and its end needs a new one. One that was
        cancelled takes what waits with it."""
        self._flushers.discard(flusher)
        if flusher.cancelled():
            self._give_up_waiting()
        elif self._waiting and len(self._flushers) < self._in_flight:
            self._start_flusher()

    def _give_up_waiting(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for _, done in waiting:
            _tell(done, UNKNOWN)

    async def _flush(self) -> None:
        while self._waiting and not self._ended:
            batch = self._take()
            outcomes: list[Outcome] | None = None
            try:
                outcomes = await self._insert([RawBSONDocument(raw) for raw, _ in batch])
            except PyMongoError as error:
                log.warning("log.insert_unknown", entries=len(batch), error=type(error).__name__)
            except Exception as error:  # whatever it was, the entries may be stored, and their waiters must hear of it
                log.exception("log.insert_unknown", entries=len(batch), error=type(error).__name__)
            finally:
                self._resolve(batch, outcomes)

    def _take(self) -> list[tuple[bytes, Done]]:
        """What waits, in order of arrival, as much as one insert may carry."""
        waiting = self._waiting
        batch = [waiting.popleft()]
        size = len(batch[0][0])
        while waiting and len(batch) < MOST_ENTRIES and size + len(waiting[0][0]) <= MOST_BYTES:
            size += len(waiting[0][0])
            batch.append(waiting.popleft())
        return batch

    async def _insert(self, documents: list[RawBSONDocument]) -> list[Outcome]:
        with pymongo.timeout(_TIMEOUT_SECONDS):
            reply = await self._database.command(
                {"insert": self._name, "documents": documents, "ordered": False, "writeConcern": _WRITE_CONCERN}
            )
        return outcomes_of(reply, len(documents))

    def _resolve(self, batch: list[tuple[bytes, Done]], outcomes: list[Outcome] | None) -> None:
        self._inserts += 1
        self._entries += len(batch)
        if outcomes is None:
            outcomes = [UNKNOWN] * len(batch)
        for (_, done), outcome in zip(batch, outcomes, strict=True):
            if outcome.result is Result.UNKNOWN:
                self._unknown += 1
            _tell(done, outcome)


def outcomes_of(reply: Mapping[str, Any], count: int) -> list[Outcome]:
    """The outcome of each of `count` documents by the reply to their unordered insert.

    Stored means no write error of its own *and* no write-concern error of the whole. A duplicate key is a lost number in any
    case. Every other error says nothing: the same document may be inserted again.
    """
    at = OperationTime(reply.get("operationTime"), reply.get("$clusterTime"))
    errors = {error["index"]: error["code"] for error in reply.get("writeErrors", ())}
    certain = "writeConcernError" not in reply and reply.get("n") == count - len(errors)
    fine = Outcome(Result.STORED, at) if certain else UNKNOWN
    if not errors:
        return [fine] * count
    taken = Outcome(Result.TAKEN, at)
    return [fine if (code := errors.get(i)) is None else taken if code == _DUPLICATE else UNKNOWN for i in range(count)]


def _tell(done: Done, outcome: Outcome) -> None:
    try:
        done(outcome)
    except Exception as error:  # one waiter's fault must not take the others' outcomes
        log.exception("log.waiter_failed", error=type(error).__name__)
