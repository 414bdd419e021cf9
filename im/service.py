"""The conversation log: what everyone else asks for, by name."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from im.codec import command_digest, decode_document, draft_digest
from im.domain import Appended, Draft, Entry, EntryKind, EntryPage, RecallMessage, SendMessage, Snapshot
from im.errors import ConversationNotFound, MessageAlreadyRecalled, MessageRecallRefused
from im.group_commit import GroupCommit, GroupCommitFigures
from im.head import Head
from im.heads import Heads
from im.lane import HintSender, Known, Lanes, Proposal
from im.mongo import LogStore
from im.ports import CardGate, EntryListener, MediaGate, Opener, Rules
from server.kernel.actor import Actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.crypto import Keyring
from server.kernel.errors import IdempotencyMismatch, Unavailable
from server.kernel.mongo import Database, Document

MAX_ENTRIES: Final = 10_000
CACHE_BYTES: Final = 256 * 1024 * 1024
MOST_AT_ONCE: Final = 1_000
"""Entries that one call reads at most."""

_READS_AT_ONCE: Final = 40
_CLOSE_SECONDS: Final = 5.0


def _always() -> bool:
    return True


class ConversationLog:
    """The log of all conversations, as one process writes and reads it.

    `rules` say what entries mean; `opener` how a conversation begins. `listeners` and `hints` hear of each entry that this
    process appended, right after it is stored. `clock_ok` False: nothing is decided here, since deadlines would be decided
    wrongly. `audit` records refused access; `media` and `cards` are
    asked before a message that holds some is sent.
    """

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        rules: Rules,
        opener: Opener,
        clock: Clock,
        *,
        max_entries: int = MAX_ENTRIES,
        cache_bytes: int = CACHE_BYTES,
        listeners: Sequence[EntryListener] = (),
        hints: Sequence[HintSender] = (),
        clock_ok: Callable[[], bool] = _always,
        audit: Audit | None = None,
        media: MediaGate | None = None,
        cards: CardGate | None = None,
        in_flight: int = 1,
        patience_seconds: float = 10.0,
    ) -> None:
        self._store = LogStore(database)
        self._group = GroupCommit(self._store.collection, in_flight=in_flight)
        self._rules = rules
        self._clock = clock
        self._audit = audit
        self._media = media
        self._cards = cards
        self._listeners = list(listeners)
        self._heads = Heads(self._store, self._group, keyring, rules, opener, cache_bytes=cache_bytes)
        self._lanes = Lanes(
            self._store,
            self._group,
            clock,
            clock_ok=clock_ok,
            max_entries=max_entries,
            listeners=self._listeners,
            hints=hints,
            forget=self._heads.forget,
            patience_seconds=patience_seconds,
        )
        self._heads.lanes = self._lanes
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)

    @property
    def figures(self) -> GroupCommitFigures:
        return self._group.figures

    @property
    def cached_bytes(self) -> int:
        return self._heads.cached_bytes

    def add_listener(self, listener: EntryListener) -> None:
        """For those that are made after the log, because they need it."""
        self._listeners.append(listener)

    async def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Take nothing more, let what is under way be stored, and end. What stays unknown is told `unavailable`."""
        await self._lanes.close(seconds)
        await self._heads.close()
        await self._group.close(seconds)

    # --- writing ---

    async def append(self, conversation_id: str, decide: Callable[[Any, int], Draft]) -> Appended:
        """Append what `decide(state, now_ms)` wants. It is asked again whenever another entry came first, and may raise
        whatever it likes to refuse: that is raised here once it was asked on a freshly read tail.

        A draft with a client id is appended once: the same again gives the first entry, another one IdempotencyMismatch.
        """

        def at_head(head: Head, now_ms: int) -> Proposal | Known:
            draft = decide(head.state, now_ms)
            if draft.client_id is None or draft.sender is None:
                return Proposal(draft, None)
            digest = draft_digest(draft)
            return _known(head, draft.sender, draft.client_id, digest) or Proposal(draft, digest)

        return await self._append(conversation_id, at_head)

    async def send(self, actor: Actor, conversation_id: str, command: SendMessage) -> Appended:
        """A member says something, once a client id. Media are claimed for the conversation before they are shown in it."""
        digest = command_digest(EntryKind.MESSAGE, command.parts, command.corrects)

        def at_head(head: Head, now_ms: int) -> Proposal | Known:
            _require_member(head, command.account_id)
            known = _known(head, command.account_id, command.client_id, digest)
            return known or Proposal(self._rules.decide_message(head.state, command, now_ms), digest)

        _require_own(actor, command.account_id)
        if any(part["kind"] != "text" for part in command.parts):
            await self._ask_gates(actor, conversation_id, command, at_head)
        return await self._append_as(actor, conversation_id, at_head)

    async def recall(self, actor: Actor, conversation_id: str, command: RecallMessage) -> Appended:
        """A member takes a message back: an entry of its own, once a client id."""
        digest = command_digest(EntryKind.RECALL, command.seq)

        def at_head(head: Head, now_ms: int) -> Proposal | Known:
            _require_member(head, command.account_id)
            known = _known(head, command.account_id, command.client_id, digest)
            if known is not None:
                return known
            sender = head.sender_of(command.seq)
            if sender is None:
                raise MessageRecallRefused
            if sender == command.account_id and command.seq in head.recalled:
                raise MessageAlreadyRecalled
            return Proposal(self._rules.decide_recall(head.state, command, now_ms), digest)

        _require_own(actor, command.account_id)
        return await self._append_as(actor, conversation_id, at_head)

    # --- reading ---

    async def preload(self, conversation_ids: Sequence[str]) -> None:
        """Read these in two round trips, for who is about to ask for each. It promises nothing: what could not be read so, is
        read when it is asked for."""
        await self._heads.preload(conversation_ids)

    async def access(self, actor: Actor, conversation_id: str) -> Snapshot:
        """The conversation on a freshly read tail, for a member. Anyone else gets ConversationNotFound, and is recorded."""
        head = await self._fresh(conversation_id)
        if actor.account_id not in head.summary.members:
            await self._deny(actor, head)
            raise ConversationNotFound
        return head.snapshot()

    async def read(self, conversation_id: str) -> Snapshot:
        """The conversation as this process knows it: for hints and guesses, never to show data or to refuse."""
        return (await self._heads.get(conversation_id)).snapshot()

    async def read_fresh(self, conversation_id: str) -> Snapshot:
        """The conversation with all that was acknowledged before this call."""
        return (await self._fresh(conversation_id)).snapshot()

    async def read_entries(
        self, conversation_id: str, *, after_seq: int | None = None, before_seq: int | None = None, limit: int = 100
    ) -> EntryPage:
        """Entries above `after_seq`, or the last ones below `before_seq` (neither: the last of all), ascending.

        On a freshly read tail. Recalled ones are there with their content: who may see it is decided on the way out.
        """
        head = await self._fresh(conversation_id)
        count = max(1, min(limit, MOST_AT_ONCE))
        if after_seq is not None:
            first = min(max(after_seq, 0), head.seq) + 1
            last = min(first + count - 1, head.seq)
        else:
            last = head.seq if before_seq is None else min(max(before_seq, 1) - 1, head.seq)
            first = max(1, last - count + 1)
        more = last < head.seq if after_seq is not None else first > 1
        entries = await self._entries(head, first, last)
        return EntryPage(entries, head.recalled_between(first, last), more, head.snapshot())

    async def read_pages(self, after: Mapping[str, int], *, each: int, in_all: int) -> dict[str, EntryPage]:
        """Entries above these numbers, `each` of one conversation and `in_all` of all together at most, in the order of the
        names; ascending, on freshly read tails. A few queries, however many conversations; one that is not there is missing."""
        heads = await self.find_heads(list(after))
        spans: dict[str, tuple[int, int]] = {}
        for name, head in heads.items():
            first = min(max(after[name], 0), head.seq) + 1
            spans[name] = first, min(first + min(each, in_all) - 1, head.seq)
            in_all -= spans[name][1] - first + 1
        return await self._read_spans(heads, spans)

    async def read_lasts(self, conversation_ids: Sequence[str]) -> dict[str, EntryPage]:
        """The last entry of each, likewise."""
        heads = await self.find_heads(conversation_ids)
        return await self._read_spans(heads, {name: (head.seq, head.seq) for name, head in heads.items()})

    async def read_numbers(self, conversation_id: str, seqs: Collection[int]) -> EntryPage:
        """Just these entries, as far as they are there, ascending; on a freshly read tail."""
        head = await self._fresh(conversation_id)
        wanted = sorted({seq for seq in seqs if 0 < seq <= head.seq})[:MOST_AT_ONCE]
        async with self._reads:
            documents = await self._store.read_numbers(head.codec.conversation, wanted, head.hospital_id) if wanted else []
        entries = tuple(head.codec.open(document).entry for document in documents)
        return EntryPage(entries, frozenset(seq for seq in wanted if seq in head.recalled), False, head.snapshot())

    async def find_media(self, conversation_id: str, media_id: str) -> tuple[int, ...]:
        """The messages that show this medium and are not recalled, on a freshly read tail."""
        head = await self._fresh(conversation_id)
        return tuple(seq for seq in head.media.get(media_id, ()) if seq not in head.recalled)

    async def names_media(self, conversation_id: str, media_id: str) -> bool:
        """Whether a message names it, recalled or not, on a freshly read tail."""
        return media_id in (await self._fresh(conversation_id)).media

    def fold_hint(self, conversation_id: str, raw: bytes) -> bool:
        """Take in an entry that another process appended, if it is the very next one of a conversation that is cached and
        has nothing in flight. Anything else is passed over: a hint proves nothing but itself. Never raises."""
        head = self._heads.find(conversation_id)
        if head is None or head.busy or head.broken:
            return False
        try:
            document = decode_document(raw)
            place = document["_id"]
            if place[:16] != head.codec.conversation or int.from_bytes(place[16:], "big") != head.seq + 1:
                return False
            if not head.codec.follows(document, head.hash):
                return False
            opened = head.codec.open(document)
        except Exception:  # whatever came over the wire is no reason to fail
            return False
        head.fold(opened)
        self._heads.keep(head)
        return True

    async def find_heads(self, conversation_ids: Sequence[str], *, age_seconds: float = 0.0) -> dict[str, Head]:
        """Heads of these, as of so long ago at most, for this package's own services; those that are not there are missing.

        What is short or known is read together, in three queries however many there are."""
        began = asyncio.get_running_loop().time() - age_seconds
        if len(conversation_ids) > 1:
            await self._freshen(conversation_ids, began)
        found = await asyncio.gather(*(self._fresh(each, began) for each in conversation_ids), return_exceptions=True)
        heads: dict[str, Head] = {}
        for conversation_id, head in zip(conversation_ids, found, strict=True):
            if isinstance(head, Head):
                heads[conversation_id] = head
            elif not isinstance(head, ConversationNotFound):
                raise head
        return heads

    async def cached_head(self, conversation_id: str) -> Head:
        """The head as it is known, for this package's own services."""
        return await self._heads.get(conversation_id)

    # --- inside ---

    async def _append_as(self, actor: Actor, conversation_id: str, decide: Callable[[Head, int], Proposal | Known]) -> Appended:
        try:
            return await self._append(conversation_id, decide)
        except ConversationNotFound:
            head = self._heads.find(conversation_id)
            if head is not None:
                await self._deny(actor, head)
            raise

    async def _append(self, conversation_id: str, decide: Callable[[Head, int], Proposal | Known]) -> Appended:
        head = self._heads.find(conversation_id) or await self._heads.get(conversation_id)
        appended = await self._lanes.append(head, decide)
        self._heads.keep(head)
        if isinstance(appended, Appended):
            return appended
        entries = await self._entries(head, appended.seq, appended.seq)
        if not entries:
            raise Unavailable
        return Appended(entries[0], head.state, head.summary, repeated=True)

    async def _freshen(self, conversation_ids: Sequence[str], began: float) -> None:
        """Read all that can be read together. It promises nothing: each is looked at once more when it is asked for."""
        async with self._reads:
            await self._heads.preload(conversation_ids)
            cached = [self._heads.find(each) for each in dict.fromkeys(conversation_ids)]
            stale = [head for head in cached if head is not None and head.fresh_at < began and not head.broken]
            if stale:
                await self._lanes.read_tails(stale)
        for head in stale:
            self._heads.keep(head)

    async def _fresh(self, conversation_id: str, began: float | None = None) -> Head:
        """The head with all that was acknowledged before `began`, or before now."""
        if began is None:
            began = asyncio.get_running_loop().time()
        head = await self._heads.get(conversation_id)
        if head.fresh_at < began:
            async with self._reads:
                if head.fresh_at < began:
                    await self._lanes.read_tail(head)
            self._heads.keep(head)
        return head

    async def _entries(self, head: Head, first: int, last: int) -> tuple[Entry, ...]:
        if first > last:
            return ()
        async with self._reads:
            documents = await self._store.read_range(
                head.codec.conversation, first=first, last=last, hospital_id=head.hospital_id
            )
        return tuple(head.codec.open(document).entry for document in documents)

    async def _read_spans(self, heads: Mapping[str, Head], spans: Mapping[str, tuple[int, int]]) -> dict[str, EntryPage]:
        """Entries first to last of each, in one query."""
        filled = {heads[name].codec.conversation: span for name, span in spans.items() if span[0] <= span[1]}
        found: dict[bytes, list[Document]] = {}
        if filled:
            async with self._reads:
                found = await self._store.read_ranges(filled, [head.hospital_id for head in heads.values()])
        return {name: _page_of(head, spans[name], found.get(head.codec.conversation, ())) for name, head in heads.items()}

    async def _ask_gates(
        self, actor: Actor, conversation_id: str, command: SendMessage, decide: Callable[[Head, int], Proposal | Known]
    ) -> None:
        """Ask for the media and the cards of a message that is not in the log yet. Only a member may even ask, and only for a
        message that would be taken now: a medium that is claimed belongs to the conversation for ever, and is nobody's
        unattached upload any more."""
        kinds = {part["media_id"]: part["kind"] for part in command.parts if "media_id" in part}
        cards = [part for part in command.parts if part["kind"] == "card"]
        head = await self._fresh(conversation_id)
        if actor.account_id not in head.summary.members:
            await self._deny(actor, head)
            raise ConversationNotFound
        decided = decide(head, max(self._clock.now_ms(), head.at_ms))
        if not isinstance(decided, Proposal):
            return
        if cards and self._cards is not None:
            await self._cards.check_cards(actor, head.summary.order_id, cards)
        if kinds and self._media is not None:
            await self._media.claim_for_conversation(actor, head.hospital_id, conversation_id, kinds)

    async def _deny(self, actor: Actor, head: Head) -> None:
        if self._audit is not None:
            await self._audit.record(
                audit_row(
                    actor,
                    "im.conversation_refused",
                    subject=head.conversation_id,
                    at=self._clock.now(),
                    order_id=head.summary.order_id,
                    outcome=Outcome.DENIED,
                    hospital_id=head.hospital_id,
                )
            )


def _page_of(head: Head, span: tuple[int, int], documents: Sequence[Document]) -> EntryPage:
    first, last = span
    entries = tuple(head.codec.open(document).entry for document in documents)
    return EntryPage(entries, head.recalled_between(first, last), last < head.seq, head.snapshot())


def _require_own(actor: Actor, account_id: str) -> None:
    if actor.account_id != account_id:
        raise ValueError("a command is its actor's own")


def _require_member(head: Head, account_id: str) -> None:
    if account_id not in head.summary.members:
        raise ConversationNotFound


def _known(head: Head, sender: str, client_id: str, digest: bytes) -> Known | None:
    found = head.client_ids.get((sender, client_id))
    if found is None:
        return None
    if found[1] != digest:
        raise IdempotencyMismatch
    return Known(found[0])
