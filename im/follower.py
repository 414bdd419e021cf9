"""The follower: hands every entry of every conversation, in order, to all who build something from them.

One runs per deployment, in the keeper that leads. It reads the log's change stream, groups what came by conversation and hands
each consumer the entries behind its own `log_seq`; what is older is dropped, a gap is filled from the log. The place in the
stream is stored after the effects. So nothing is ever missed: entries may come twice, and a place that is lost, a consumer that
is new, a restore are answered by comparing the head of each conversation with `log_seq`.

A consumer that fails holds up nobody: that conversation is *owed* to it, and comes again with growing pauses, from its
`log_seq`. What is owed is stored with the place.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from im.codec import ConversationCodec
from im.domain import Entry
from im.mongo import LogChanges, LogStore, Place, PlaceLost, PlaceStore
from im.ports import EntryConsumer, Rebuilt
from server.kernel.crypto import KeyMissing, Keyring
from server.kernel.errors import Unavailable
from server.kernel.ids import id_bytes
from server.kernel.mongo import Database, Document

log = structlog.get_logger(__name__)

_WAIT_SECONDS: Final = 1.0
_LINGER_SECONDS: Final = 0.02
_LONGEST_LINGER_SECONDS: Final = 0.5
_LINGER_STEP: Final = 5
"""After a batch of one the follower lingers for the first, and once as long for every so many entries more, so that what comes
meanwhile is handed on together: in a busy hour a projection writes a conversation twice a second, not once a message. Nothing
on the way to an ack waits for it."""

_AT_ONCE: Final = 16
_PAGE: Final = 500
_SCAN: Final = 200
_MOST_OWED: Final = 1_000
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 30.0
_REMEMBER_EVERY_SECONDS: Final = 10.0


@dataclass(slots=True)
class _Debt:
    """When to try again, and how long to pause after the next failure."""

    due: float
    pause: float


@dataclass(frozen=True, slots=True)
class FollowerFigures:
    """Counts since the start, and what is owed now."""

    entries: int
    owed: int
    scans: int


class Follower:
    """`name` is where the place is kept: one for all consumers that run together."""

    def __init__(
        self, database: Database, keyring: Keyring, *, name: str = "log", linger_seconds: float = _LINGER_SECONDS
    ) -> None:
        self._database = database
        self._store = LogStore(database)
        self._places = PlaceStore(database, name)
        self._keyring = keyring
        self._linger = linger_seconds
        self._owed: dict[tuple[str, str], _Debt] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._entries = self._scans = 0
        self._remembered_at = 0.0

    @property
    def figures(self) -> FollowerFigures:
        return FollowerFigures(self._entries, len(self._owed), self._scans)

    async def run(self, consumers: Sequence[EntryConsumer]) -> None:
        """Follow until cancelled. Whatever fails is tried again, with growing pauses."""
        pause = _FIRST_PAUSE
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._follow(consumers)
            except PlaceLost:
                log.warning("follower.place_lost")
                await self._forget_quietly()
            except Exception as error:  # the follower outlives whatever happens to it
                log.warning("follower.interrupted", error=type(error).__name__, exc_info=not isinstance(error, Unavailable))
            _stop_if_cancelled()
            if asyncio.get_running_loop().time() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def catch_up(self, consumers: Sequence[EntryConsumer]) -> None:
        """Compare the head of each conversation with what each consumer has, and hand on what it lacks."""
        self._scans += 1
        below: bytes | None = None
        while heads := await self._store.list_heads(below=below, limit=_SCAN):
            by_id = {conversation.hex(): seq for conversation, seq, _ in heads}
            await asyncio.gather(*(self._compare(consumer, by_id) for consumer in consumers))
            below = heads[-1][0]
            _stop_if_cancelled()

    async def rebuild(self, consumer: Rebuilt) -> int:
        """Let a consumer forget each conversation and take all of it again; how many there were. It may follow the log at the
        same time, elsewhere: what comes meanwhile it takes there, and a conversation is forgotten before it is read."""
        rebuilt, below = 0, None
        while heads := await self._store.list_heads(below=below, limit=_SCAN):
            for conversation, _, _ in heads:
                await consumer.forget(conversation.hex())
                await self._hand_from_log(consumer, conversation.hex(), 0)
            rebuilt, below = rebuilt + len(heads), heads[-1][0]
        return rebuilt

    async def forget(self) -> None:
        """After a restore: whoever follows next compares everything."""
        await self._places.forget()

    async def _follow(self, consumers: Sequence[EntryConsumer]) -> None:
        place = await self._places.load()
        names = frozenset(consumer.name for consumer in consumers)
        self._owed = {pair: _Debt(0.0, _FIRST_PAUSE) for pair in place.owed if pair[0] in names}
        changes = LogChanges(self._database)
        try:
            await changes.open(place.token)
            new = [consumer for consumer in consumers if place.token is None or consumer.name not in place.consumers]
            if new:  # the stream stands open already, so that nothing falls between the comparison and it
                await self.catch_up(new)
            await self._remember(changes, names, always=True)
            while True:
                _stop_if_cancelled()
                documents = await changes.next(min(_WAIT_SECONDS, self._until_due()))
                if documents:
                    await self._deliver(consumers, documents)
                await self._pay(consumers)
                await self._remember(changes, names, always=bool(documents))
                if documents:
                    await asyncio.sleep(min(self._linger * (1 + len(documents) / _LINGER_STEP), _LONGEST_LINGER_SECONDS))
        finally:
            await changes.close()

    async def _remember(self, changes: LogChanges, names: frozenset[str], *, always: bool) -> None:
        """Store the place, after its effects; now and then also when nothing came, so that it does not grow too old.
        With too much owed to write down it stays where it was: the same entries come again."""
        now = asyncio.get_running_loop().time()
        if len(self._owed) <= _MOST_OWED and (always or now - self._remembered_at >= _REMEMBER_EVERY_SECONDS):
            await self._places.save(Place(changes.token, names, tuple(self._owed)))
            self._remembered_at = now

    async def _forget_quietly(self) -> None:
        try:
            await self._places.forget()
        except Unavailable:
            log.warning("follower.place_not_forgotten")

    # --- handing on ---

    async def _deliver(self, consumers: Sequence[EntryConsumer], documents: Iterable[Document]) -> None:
        by_conversation: dict[str, list[Document]] = {}
        for document in documents:
            by_conversation.setdefault(document["_id"][:16].hex(), []).append(document)
        opened: dict[str, list[Entry]] = {}
        await self._keyring.preload_conversations(list(by_conversation))
        for conversation_id, its_documents in by_conversation.items():
            try:
                opened[conversation_id] = await self._open(conversation_id, its_documents)
            except Exception as error:  # one conversation that does not open must not stop all others
                for consumer in consumers:
                    self._owe(consumer, conversation_id, error)
        self._entries += sum(map(len, opened.values()))
        if opened:
            await asyncio.gather(*(self._hand_all(consumer, opened) for consumer in consumers))

    async def _hand_all(self, consumer: EntryConsumer, opened: Mapping[str, list[Entry]]) -> None:
        wanted = [conversation_id for conversation_id in opened if (consumer.name, conversation_id) not in self._owed]
        try:
            seqs = await consumer.find_log_seqs(wanted) if wanted else {}
        except Exception as error:  # a consumer may fail in any way
            for conversation_id in wanted:
                self._owe(consumer, conversation_id, error)
            return
        runs: dict[str, Sequence[Entry]] = {}
        apart: list[str] = []
        for each in wanted:
            log_seq = seqs.get(each, 0)
            fresh = [entry for entry in opened[each] if entry.seq > log_seq]
            if [entry.seq for entry in fresh] != list(range(log_seq + 1, log_seq + 1 + len(fresh))):
                apart.append(each)
            elif fresh:
                runs[each] = fresh
        await self._hand(consumer, runs)
        await asyncio.gather(*(self._fill(consumer, each, seqs.get(each, 0)) for each in apart))

    async def _hand(self, consumer: EntryConsumer, runs: Mapping[str, Sequence[Entry]]) -> None:
        """Hand over all in one go. Where that fails each is owed, and so comes alone: only what fails stays owed."""
        try:
            if runs:
                await consumer.consume(runs)
        except Exception as error:  # a consumer may fail in any way
            for conversation_id in runs:
                self._owe(consumer, conversation_id, error)

    async def _hand_from_log(self, consumer: EntryConsumer, conversation_id: str, log_seq: int) -> None:
        conversation = id_bytes(conversation_id)
        while documents := await self._store.read_range(conversation, first=log_seq + 1, limit=_PAGE):
            entries = await self._open(conversation_id, documents)
            if entries:
                await consumer.consume({conversation_id: entries})
            log_seq += len(documents)

    async def _open(self, conversation_id: str, documents: Sequence[Document]) -> list[Entry]:
        """The entries of one conversation; none where its key is gone, since then it was erased."""
        hospital_id = documents[0]["hospital_id"]
        try:
            key = await self._keyring.conversation(hospital_id, conversation_id)
        except KeyMissing:
            return []
        codec = ConversationCodec(conversation_id, hospital_id, key)
        return [codec.open(document).entry for document in documents]

    async def _compare(self, consumer: EntryConsumer, heads: Mapping[str, int]) -> None:
        try:
            seqs = await consumer.find_log_seqs(list(heads))
        except Exception as error:  # a consumer may fail in any way
            for conversation_id in heads:
                self._owe(consumer, conversation_id, error)
            return
        behind = [(each, seqs.get(each, 0)) for each, head in heads.items() if seqs.get(each, 0) < head]
        await asyncio.gather(*(self._fill(consumer, conversation_id, log_seq) for conversation_id, log_seq in behind))

    async def _fill(self, consumer: EntryConsumer, conversation_id: str, log_seq: int) -> None:
        async with self._slots:
            try:
                await self._hand_from_log(consumer, conversation_id, log_seq)
            except Exception as error:  # a consumer may fail in any way
                self._owe(consumer, conversation_id, error)

    # --- what is owed ---

    def _owe(self, consumer: EntryConsumer, conversation_id: str, error: Exception) -> None:
        now, pair = asyncio.get_running_loop().time(), (consumer.name, conversation_id)
        pause = self._owed[pair].pause if pair in self._owed else _FIRST_PAUSE
        self._owed[pair] = _Debt(now + pause, min(pause * 2, _LONGEST_PAUSE))
        log.warning(
            "follower.consumer_failed",
            consumer=consumer.name,
            conversation_id=conversation_id,
            error=type(error).__name__,
            exc_info=error,
        )

    def _until_due(self) -> float:
        now = asyncio.get_running_loop().time()
        return max(0.01, min((debt.due - now for debt in self._owed.values()), default=_WAIT_SECONDS))

    async def _pay(self, consumers: Sequence[EntryConsumer]) -> None:
        """Try again what is due."""
        now = asyncio.get_running_loop().time()
        by_name = {consumer.name: consumer for consumer in consumers}
        due = [pair for pair, debt in self._owed.items() if debt.due <= now]
        await asyncio.gather(*(self._pay_one(by_name[name], conversation_id) for name, conversation_id in due))

    async def _pay_one(self, consumer: EntryConsumer, conversation_id: str) -> None:
        async with self._slots:
            try:
                seqs = await consumer.find_log_seqs([conversation_id])
                await self._hand_from_log(consumer, conversation_id, seqs.get(conversation_id, 0))
            except Exception as error:  # a consumer may fail in any way
                self._owe(consumer, conversation_id, error)
            else:
                del self._owed[consumer.name, conversation_id]


def _stop_if_cancelled() -> None:
    """A cancellation that meets a database answer in the same turn of the event loop is lost there (`asyncio.wait_for` before
    Python 3.12, in the driver): the task was asked to end, and nothing was raised. So a loop that must end looks for itself."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
