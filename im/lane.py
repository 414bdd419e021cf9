"""How entries get into the log: one at a time a conversation in this process, each decided on the entry before its own.

A lane is a conversation's queue. Its first attempt is decided on the cached state, sealed under the next number and handed to
the group commit; the others wait until its outcome is *known*, because an entry that was decided on top of one that then loses
its number stands on a state that never was. So the outcomes go on here, whether or not the caller still waits:

- stored: fold it, answer, tell the listeners, next.
- number taken: read the tail after the failed write, fold it, decide again.
- unknown: the entry may be there or land later, which no read can settle. The same entry is inserted under the same number
  again until the answer is yes or duplicate; after a duplicate that number is read and the ids are compared.

A refusal is given only when the tail was read from the primary after the attempt came in. Whoever waits too long is told
`unavailable`, never a refusal; the conversation stays undecided until its outcome is known.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from im.codec import LAST_SEQ, Opened
from im.domain import ALWAYS_FITS, Appended, Draft, Entry
from im.errors import ConversationFull
from im.group_commit import GroupCommit, Outcome, Result
from im.head import Head
from im.mongo import LogStore
from im.ports import EntryListener
from server.kernel.clock import Clock
from server.kernel.errors import DomainError, Unavailable
from server.kernel.ids import new_id_bytes

log = structlog.get_logger(__name__)

PATIENCE_SECONDS: Final = 10.0
"""How long a caller waits for a decision before it is told `unavailable`."""

_MOST_ATTEMPTS: Final = 1_000
_TICK_SECONDS: Final = 0.5
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0

HintSender = Callable[[str, bytes], None]
"""Takes a conversation and the stored form of an entry appended here, for `ConversationLog.fold_hint` in other processes."""


@dataclass(slots=True)
class Proposal:
    """Append this. `digest` stands for the command's content, where it has a client id.

    Not frozen: one is made for every message, and nobody keeps it.
    """

    draft: Draft
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class Known:
    """The command stands in the log already, under this number."""

    seq: int


Decide = Callable[[Head, int], Proposal | Known]
"""Decides at a head for an instant. Pure; raises to refuse."""


class Attempt:
    """One caller's wish to append."""

    __slots__ = ("arrived", "decide", "waiter")

    def __init__(self, decide: Decide, arrived: float, waiter: "asyncio.Future[Appended | Known]") -> None:
        self.decide = decide
        self.arrived = arrived
        self.waiter = waiter

    def resolve(self, result: Appended | Known) -> None:
        if not self.waiter.done():
            self.waiter.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.waiter.done():
            self.waiter.set_exception(error)


class _Sent:
    """An entry on its way into the log."""

    __slots__ = ("attempt", "digest", "entry", "head", "lanes", "raw")

    def __init__(self, lanes: "Lanes", head: Head, attempt: Attempt, entry: Entry, raw: bytes, digest: bytes | None) -> None:
        self.lanes = lanes
        self.head = head
        self.attempt = attempt
        self.entry = entry
        self.raw = raw
        self.digest = digest

    def settled(self, outcome: Outcome) -> None:
        if outcome.result is Result.STORED:
            self.lanes.stored(self)
        else:
            self.lanes.undecided(self, outcome)


class Lanes:
    """All lanes of a process.

    `forget` is called with a head that can no longer be trusted. `clock_ok` False: this process decides nothing.
    """

    def __init__(
        self,
        store: LogStore,
        group: GroupCommit,
        clock: Clock,
        *,
        clock_ok: Callable[[], bool],
        max_entries: int,
        listeners: Sequence[EntryListener],
        hints: Sequence[HintSender],
        forget: Callable[[Head], None],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._store = store
        self._group = group
        self._clock = clock
        self._clock_ok = clock_ok
        self._max_entries = max_entries
        self._listeners = listeners
        self._hints = hints
        self._forget = forget
        self._patience = patience_seconds
        self._pending: set[Attempt] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.TimerHandle | None = None
        self._closing = self._ended = False

    async def append(self, head: Head, decide: Decide) -> Appended | Known:
        """Wait for one's turn, decide, store. Raises what `decide` raises, or Unavailable."""
        if self._closing or len(head.attempts) >= _MOST_ATTEMPTS:
            raise Unavailable
        loop = asyncio.get_running_loop()
        attempt = Attempt(decide, loop.time(), loop.create_future())
        self._pending.add(attempt)
        if self._ticker is None:
            self._ticker = loop.call_later(_TICK_SECONDS, self._tick)
        try:
            head.attempts.append(attempt)
            if not head.busy:
                self._next(head)
            return await attempt.waiter
        finally:
            self._pending.discard(attempt)

    async def close(self, seconds: float) -> None:
        """Take nothing more; let what is under way end, for so long at most. What is left is told `unavailable`."""
        self._closing = True
        deadline = asyncio.get_running_loop().time() + seconds
        while self._pending and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait([attempt.waiter for attempt in self._pending], timeout=left)
            await asyncio.sleep(0)
        self._ended = True
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for attempt in list(self._pending):
            attempt.fail(Unavailable())
        if self._ticker is not None:
            self._ticker.cancel()

    async def read_tail(self, head: Head) -> None:
        """Fold in what others appended, as of this moment or later."""
        began = asyncio.get_running_loop().time()
        documents = await self._store.read_range(head.codec.conversation, first=head.seq + 1, hospital_id=head.hospital_id)
        self.fold_tail(head, documents, began)

    async def read_tails(self, heads: Sequence[Head]) -> None:
        """The same for several, in one query. One that cannot be folded is forgotten, and read anew by whoever asks for it."""
        began = asyncio.get_running_loop().time()
        ranges = {head.codec.conversation: (head.seq + 1, LAST_SEQ) for head in heads}
        found = await self._store.read_ranges(ranges, [head.hospital_id for head in heads])
        for head in heads:
            with suppress(Unavailable):
                self.fold_tail(head, found[head.codec.conversation], began)

    def fold_tail(self, head: Head, documents: Sequence[Mapping[str, Any]], began: float) -> None:
        """Fold documents that were read from the primary at `began` or later. Entries that are known are passed over."""
        try:
            for document in documents:
                head.fold_document(document)
        except Exception as error:
            self._distrust(head, error)
            raise Unavailable from error
        head.fresh_at = max(head.fresh_at, began)

    def tell(self, head: Head, entry: Entry, raw: bytes) -> None:
        """Tell the listeners of an entry that this process appended, while the state is the one after it."""
        for listener in self._listeners:
            try:
                listener.entry_appended(entry, head.state)
            except Exception as error:  # the entry is stored: a listener's fault concerns nobody else
                log.exception("log.listener_failed", error=type(error).__name__)
        for hint in self._hints:
            try:
                hint(entry.conversation_id, raw)
            except Exception as error:  # likewise
                log.exception("log.hint_failed", error=type(error).__name__)

    def _next(self, head: Head) -> None:
        while head.attempts and not head.busy:
            attempt = head.attempts.popleft()
            if not attempt.waiter.done():
                self._try(head, attempt)

    def _try(self, head: Head, attempt: Attempt) -> None:
        """Decide at the head as it is known. The lane is busy afterwards, unless the attempt is answered."""
        if head.broken or self._ended or not self._clock_ok():
            attempt.fail(Unavailable())
            return
        now_ms = max(self._clock.now_ms(), head.at_ms)
        decision: Proposal | Known | Exception
        try:
            decision = attempt.decide(head, now_ms)
            if isinstance(decision, Proposal) and head.seq >= self._max_entries and decision.draft.kind not in ALWAYS_FITS:
                decision = ConversationFull()
        except Exception as refusal:
            decision = refusal
        if isinstance(decision, Proposal):
            self._send(head, attempt, decision, now_ms)
        elif head.fresh_at < attempt.arrived:
            head.busy = True
            self._spawn(self._reconsider(head, attempt))
        elif isinstance(decision, Known):
            attempt.resolve(decision)
        else:
            attempt.fail(decision)

    def _send(self, head: Head, attempt: Attempt, proposal: Proposal, now_ms: int) -> None:
        try:
            entry, raw = head.codec.seal(head.seq + 1, new_id_bytes(), now_ms, proposal.draft, head.hash, proposal.digest)
        except Exception as error:  # a draft that cannot be written is a fault of whoever made it
            attempt.fail(error)
            return
        head.busy = True
        self._group.submit(raw, _Sent(self, head, attempt, entry, raw, proposal.digest).settled)

    def stored(self, sent: _Sent) -> None:
        """The entry is in the log for certain. A reader may have found and folded it already.

        The listeners are told before the caller goes on, so that what they made of the entry is there for the answer.
        """
        head, entry = sent.head, sent.entry
        try:
            if head.seq < entry.seq:
                head.fold(Opened(entry, sent.digest))
            appended = Appended(entry, head.state, head.summary)
        except Exception as error:
            self._distrust(head, error)
            sent.attempt.fail(Unavailable())
            return
        sent.attempt.resolve(appended)
        self.tell(head, entry, sent.raw)
        self._release(head)

    def undecided(self, sent: _Sent, outcome: Outcome) -> None:
        """The number is taken, or nobody knows yet. The lane stays busy."""
        if self._ended:
            sent.attempt.fail(Unavailable())
        else:
            self._spawn(self._resolve(sent, outcome))

    def _release(self, head: Head) -> None:
        head.busy = False
        self._next(head)

    async def _reconsider(self, head: Head, attempt: Attempt) -> None:
        """Refused on what was cached: read the tail, then decide again, and then it stands."""
        try:
            await self.read_tail(head)
        except DomainError as error:
            attempt.fail(error)
        finally:
            head.busy = False
        if not attempt.waiter.done():
            self._try(head, attempt)
        self._next(head)

    async def _resolve(self, sent: _Sent, outcome: Outcome) -> None:
        """Find out what became of an entry, however long it takes."""
        pause = _FIRST_PAUSE_SECONDS
        while outcome.result is not Result.STORED:
            if self._ended:  # the driver can lose a cancellation: see the follower
                sent.attempt.fail(Unavailable())
                return
            if outcome.result is Result.TAKEN:
                found = await self._compare(sent, outcome)
                if found is Result.TAKEN:
                    self._lost(sent)
                    return
                outcome = Outcome(found, outcome.at)
                if found is Result.STORED:
                    break
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            outcome = await self._group.insert(sent.raw)
        self.stored(sent)

    async def _compare(self, sent: _Sent, outcome: Outcome) -> Result:
        """Whose entry has the number? Nobody's, after a roll-back, or no answer: UNKNOWN, so insert it once more."""
        head, began = sent.head, asyncio.get_running_loop().time()
        try:
            documents = await self._store.read_range(
                head.codec.conversation, first=sent.entry.seq, hospital_id=head.hospital_id, after=outcome.at
            )
        except Unavailable:
            return Result.UNKNOWN
        if not documents:
            return Result.UNKNOWN
        own = documents[0]["_id"][16:] == sent.entry.seq.to_bytes(8, "big") and documents[0]["id"].hex() == sent.entry.id
        with suppress(Unavailable):  # a head that broke here says so to whoever asks next
            self.fold_tail(head, documents, began)
        return Result.STORED if own else Result.TAKEN

    def _lost(self, sent: _Sent) -> None:
        """Another entry has the number, and is folded in: decide again, unless nobody waits any more."""
        head = sent.head
        head.busy = False
        if not sent.attempt.waiter.done():
            self._try(head, sent.attempt)
        self._next(head)

    def _distrust(self, head: Head, error: Exception) -> None:
        """The log and what is folded from it disagree. Nothing is decided on this head; the next call reads it all again."""
        log.error("log.head_distrusted", conversation_id=head.conversation_id, error=type(error).__name__, exc_info=error)
        self._forget(head)
        head.broken = True
        while head.attempts:
            head.attempts.popleft().fail(Unavailable())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="conversation-lane")
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("log.lane_failed", error=type(error).__name__, exc_info=error)

    def _tick(self) -> None:
        """Tell whoever waited too long. One timer for all is cheaper than one each."""
        loop = asyncio.get_running_loop()
        limit = loop.time() - self._patience
        for attempt in list(self._pending):
            if attempt.arrived <= limit:
                attempt.fail(Unavailable())
        self._ticker = loop.call_later(_TICK_SECONDS, self._tick) if self._pending else None
