"""The whole log from its first conversation to its last, for whoever proves or rebuilds something from it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from im.codec import ConversationCodec
from im.domain import Entry
from im.mongo import LogStore
from server.kernel.crypto import KeyMissing, Keyring
from server.kernel.mongo import Database, Document
from server.kernel.streams import parse_position


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry that does not open. `erased`: its key is gone, as it should be; else it was changed."""

    conversation_id: str
    seq: int
    erased: bool


class LogReader:
    """Reads beside the log's own cache: one entry at a time, however many there are."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._store = LogStore(database)
        self._keyring = keyring

    async def entries(self) -> AsyncIterator[Entry | Unreadable]:
        """Conversation by conversation, each ascending. What is appended meanwhile may be there or not."""
        current, codec = "", None
        async for document in self._store.stream():
            stream, seq = parse_position(document["_id"])
            if stream.hex() != current:
                current = stream.hex()
                codec = await self._codec(current, document)
            yield Unreadable(current, seq, erased=True) if codec is None else _open(codec, document, seq)

    async def has_log(self, conversation_id: str, hospital_id: str) -> bool:
        """Whether the conversation has begun."""
        return await self._store.read_one(bytes.fromhex(conversation_id), 1, hospital_id) is not None

    async def _codec(self, conversation_id: str, document: Document) -> ConversationCodec | None:
        hospital_id = document["hospital_id"]
        try:
            return ConversationCodec(
                conversation_id, hospital_id, await self._keyring.conversation(hospital_id, conversation_id)
            )
        except KeyMissing:
            return None


def _open(codec: ConversationCodec, document: Document, seq: int) -> Entry | Unreadable:
    try:
        return codec.open(document).entry
    except Exception:  # whatever was done to it, it is no entry any more
        return Unreadable(codec.conversation_id, seq, erased=False)
