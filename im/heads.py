"""The heads of this process: found in the cache, or read from the log, or begun.

The cache is bounded by bytes, the longest unused goes first; a head with an entry under way stays. One conversation is read
once however many wait for it, and few are read at once. A conversation without an entry is opened here, if its opener knows it:
the same opening every time, at number 1, so that two who open it at once open it once.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog
from pymongo.errors import PyMongoError

from im.codec import ConversationCodec, Opened, draft_digest
from im.domain import Opening
from im.errors import ConversationNotFound
from im.group_commit import GroupCommit, OperationTime, Result
from im.head import Head
from im.lane import Lanes
from im.mongo import LogStore
from im.ports import Opener, Rules
from server.kernel.crypto import KeyMissing, Keyring
from server.kernel.errors import DomainError, Unavailable
from server.kernel.ids import id_bytes, is_id, new_id_bytes
from server.kernel.mongo import Document

log = structlog.get_logger(__name__)

LOADS_AT_ONCE: Final = 8
_PAGE: Final = 250
"""Entries folded between two looks at the event loop: some 5 ms of it."""

_PRELOADED: Final = 2_000
"""Entries that are read ahead in one go: what is behind them is read when it is asked for."""

_OPENING_TRIES: Final = 6
_PAUSE_SECONDS: Final = 0.1


class Heads:
    def __init__(
        self, store: LogStore, group: GroupCommit, keyring: Keyring, rules: Rules, opener: Opener, *, cache_bytes: int
    ) -> None:
        self._store = store
        self._group = group
        self._keyring = keyring
        self._rules = rules
        self._opener = opener
        self._cache_bytes = cache_bytes
        self._bytes = 0
        self._heads: OrderedDict[str, tuple[Head, int]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Head]] = {}
        self._slots = asyncio.Semaphore(LOADS_AT_ONCE)
        self.lanes: Lanes
        """Set by whoever puts the parts together: lanes forget heads, and heads are told of through lanes."""

    @property
    def cached_bytes(self) -> int:
        return self._bytes

    def find(self, conversation_id: str) -> Head | None:
        """The head, if it is cached."""
        found = self._heads.get(conversation_id)
        if found is None:
            return None
        self._heads.move_to_end(conversation_id)
        return found[0]

    async def get(self, conversation_id: str) -> Head:
        """The head, read if need be. Raises ConversationNotFound for what is not there, or whose key is gone."""
        if (head := self.find(conversation_id)) is not None:
            return head
        loading = self._loading.get(conversation_id)
        if loading is None:
            if not is_id(conversation_id):
                raise ConversationNotFound
            loading = asyncio.get_running_loop().create_task(self._load(conversation_id), name="conversation-load")
            self._loading[conversation_id] = loading
            loading.add_done_callback(lambda task: self._loaded(conversation_id, task))
        return await asyncio.shield(loading)

    async def preload(self, conversation_ids: Sequence[str]) -> None:
        """Read many short conversations at once. Whatever hinders it, `get` reads or refuses the one that is asked for."""
        wanted = [each for each in dict.fromkeys(conversation_ids) if is_id(each) and not self._known(each)]
        if not wanted:
            return
        began = asyncio.get_running_loop().time()
        try:
            read = await self._store.read_whole([id_bytes(each) for each in wanted], limit=_PRELOADED)
            await self._keyring.preload_conversations([conversation.hex() for conversation in read])
        except (Unavailable, PyMongoError) as error:
            log.info("log.preload_failed", conversations=len(wanted), error=type(error).__name__)
            return
        for conversation, documents in read.items():
            with suppress(DomainError):  # told to whoever asks for it
                head = await self._head_of(conversation.hex(), documents[0])
                if not self._known(head.conversation_id):  # someone may have asked for it meanwhile
                    self.lanes.fold_tail(head, documents, began)
                    self._add(head)
            await asyncio.sleep(0)

    def keep(self, head: Head) -> None:
        """Weigh a head again after it grew, and let others go if there is no room."""
        known = self._heads.get(head.conversation_id)
        if known is None or known[0] is not head or known[1] == head.size:
            return
        self._bytes += head.size - known[1]
        self._heads[head.conversation_id] = (head, head.size)
        self._evict()

    def forget(self, head: Head) -> None:
        known = self._heads.get(head.conversation_id)
        if known is not None and known[0] is head:
            del self._heads[head.conversation_id]
            self._bytes -= known[1]

    async def close(self) -> None:
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _loaded(self, conversation_id: str, task: asyncio.Task[Head]) -> None:
        self._loading.pop(conversation_id, None)
        if not task.cancelled():
            task.exception()  # whoever waits is told; if nobody does any more, it concerns nobody

    def _evict(self) -> None:
        if self._bytes <= self._cache_bytes:
            return
        for conversation_id, (head, size) in list(self._heads.items()):
            if self._bytes <= self._cache_bytes or len(self._heads) == 1:
                break
            if not head.busy and not head.attempts:
                del self._heads[conversation_id]
                self._bytes -= size

    async def _load(self, conversation_id: str) -> Head:
        async with self._slots:
            head = await self._read(conversation_id) or await self._open(conversation_id)
        self._add(head)
        return head

    def _known(self, conversation_id: str) -> bool:
        return conversation_id in self._heads or conversation_id in self._loading

    def _add(self, head: Head) -> None:
        self._heads[head.conversation_id] = (head, head.size)
        self._bytes += head.size
        self._evict()

    async def _read(self, conversation_id: str, after: OperationTime | None = None) -> Head | None:
        """The conversation folded from its first entry to its last; None when it has none."""
        conversation, loop = id_bytes(conversation_id), asyncio.get_running_loop()
        head: Head | None = None
        while True:
            began = loop.time()
            documents = await self._store.read_range(
                conversation,
                first=head.seq + 1 if head else 1,
                hospital_id=head.hospital_id if head else None,
                limit=_PAGE,
                after=after,
            )
            if head is None:
                if not documents:
                    return None
                head = await self._head_of(conversation_id, documents[0])
            self.lanes.fold_tail(head, documents, began)
            if len(documents) < _PAGE:
                return head

    async def _head_of(self, conversation_id: str, first: Document) -> Head:
        """An empty head for a conversation that exists. Without its key it does not exist any more."""
        hospital_id = first["hospital_id"]
        try:
            key = await self._keyring.conversation(hospital_id, conversation_id)
        except KeyMissing as error:
            raise ConversationNotFound from error
        except PyMongoError as error:
            raise Unavailable from error
        return Head(ConversationCodec(conversation_id, hospital_id, key), self._rules)

    async def _open(self, conversation_id: str) -> Head:
        """Write the first entry. Whoever is first writes it; the other finds it."""
        opening = await self._opener.find_opening(conversation_id)
        if opening is None:
            raise ConversationNotFound
        try:
            key = await self._keyring.create_conversation(opening.hospital_id, conversation_id)
        except (KeyMissing, PyMongoError) as error:  # missing: another process makes it at this moment
            raise Unavailable from error
        codec = ConversationCodec(conversation_id, opening.hospital_id, key)
        return await self._begin(Head(codec, self._rules), opening)

    async def _begin(self, head: Head, opening: Opening) -> Head:
        draft = opening.draft
        digest = None if draft.client_id is None else draft_digest(draft)
        entry, raw = head.codec.seal(1, new_id_bytes(), opening.at_ms, draft, head.hash, digest)
        for attempt in range(_OPENING_TRIES):
            outcome = await self._group.insert(raw)
            if outcome.result is Result.STORED:
                head.fold(Opened(entry, digest))
                self.lanes.tell(head, entry, raw)
                return head
            if outcome.result is Result.TAKEN and (found := await self._read(head.conversation_id, outcome.at)) is not None:
                return found
            await asyncio.sleep(_PAUSE_SECONDS * 2**attempt)
        raise Unavailable
