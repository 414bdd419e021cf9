"""A small product on the conversation log: two members, a quota for the doctor, a deadline, recall in a window."""

from array import array
from dataclasses import dataclass, field
from typing import Any, Final

from im.domain import Draft, Entry, EntryKind, Opening, RecallMessage, SendMessage, Summary
from im.errors import (
    ConversationClosed,
    ConversationNotFound,
    ConversationQuotaExhausted,
    MessageNotSender,
    MessageRecallExpired,
)
from im.service import ConversationLog
from server.kernel.actor import Actor, Role
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.clock import ManualClock

DOCTOR: Final = "d" * 32
PATIENT: Final = "a" * 32
STRANGER: Final = "f" * 32
HOSPITAL: Final = "default"
MASTER: Final = MasterKey(bytes(range(32)))
VALIDITY_MS: Final = 48 * 3_600_000
RECALL_MS: Final = 120_000


@dataclass(slots=True)
class State:
    """`counted` are the doctor's messages that are not recalled; there are never more than `quota`."""

    order_id: str
    quota: int
    closes_at_ms: int
    open: bool = True
    counted: list[int] = field(default_factory=list)
    seq: int = 0
    times: "array[int]" = field(default_factory=lambda: array("q"))
    trail: list[tuple[int, str, str | None]] = field(default_factory=list)


class QuotaRules:
    def fold(self, state: State | None, entry: Entry) -> State:
        draft = entry.draft
        if state is None:
            state = State(draft.data["order_id"], draft.data["quota"], draft.data["closes_at_ms"])
        assert entry.seq == state.seq + 1
        if draft.kind is EntryKind.MESSAGE and draft.role == "doctor":
            state.counted.append(entry.seq)
            assert len(state.counted) <= state.quota, "the log stored more replies than the quota allows"
        if draft.kind is EntryKind.GIFT:
            state.quota += draft.data["count"]
        if draft.kind is EntryKind.RECALL and draft.recalls in state.counted:
            state.counted.remove(draft.recalls)
            state.open = True
        if draft.closes is not None:
            state.open = False
        state.seq = entry.seq
        state.times.append(entry.at_ms)
        state.trail.append((entry.seq, draft.kind.value, draft.client_id))
        return state

    def decide_message(self, state: State, command: SendMessage, now_ms: int) -> Draft:
        role = _role(command.account_id)
        closes = None
        if role == "doctor":
            if len(state.counted) >= state.quota:
                raise ConversationQuotaExhausted
            closes = "quota" if len(state.counted) + 1 == state.quota else None
        if not state.open or now_ms >= state.closes_at_ms:
            raise ConversationClosed
        return Draft(
            EntryKind.MESSAGE, command.account_id, role, command.client_id, command.parts, None, command.corrects, closes
        )

    def decide_recall(self, state: State, command: RecallMessage, now_ms: int) -> Draft:
        if state.trail[command.seq - 1][1] != "message":
            raise MessageNotSender
        if now_ms >= state.times[command.seq - 1] + RECALL_MS:
            raise MessageRecallExpired
        return Draft(EntryKind.RECALL, command.account_id, _role(command.account_id), command.client_id, recalls=command.seq)

    def summary(self, state: State) -> Summary:
        return Summary(state.order_id, HOSPITAL, {PATIENT: "patient", DOCTOR: "doctor"}, state.open, state.closes_at_ms)


def _role(account_id: str) -> str:
    if account_id == DOCTOR:
        return "doctor"
    if account_id == PATIENT:
        return "patient"
    raise ConversationNotFound


class Openings:
    """Knows the conversations that a test says exist."""

    def __init__(self, *conversation_ids: str, quota: int = 3, at_ms: int = 0, closes_at_ms: int = 2**53) -> None:
        self.known = set(conversation_ids)
        self.asked: list[str] = []
        self._at_ms = at_ms
        self._data = {"quota": quota, "closes_at_ms": closes_at_ms}

    async def find_opening(self, conversation_id: str) -> Opening | None:
        self.asked.append(conversation_id)
        if conversation_id not in self.known:
            return None
        data = {"order_id": conversation_id[::-1], **self._data}
        return Opening(HOSPITAL, self._at_ms, Draft(EntryKind.OPENED, None, "system", data=data))


class Heard:
    """A listener that keeps what it was told, and how many entries the state had then."""

    def __init__(self) -> None:
        self.entries: list[tuple[Entry, int]] = []

    def entry_appended(self, entry: Entry, state: Any) -> None:
        self.entries.append((entry, state.seq))


def actor(account_id: str) -> Actor:
    role = {DOCTOR: Role.DOCTOR, PATIENT: Role.PATIENT}.get(account_id, Role.PATIENT)
    return Actor(account_id, role, HOSPITAL, new_id())


def text(words: str) -> tuple[dict[str, str], ...]:
    return ({"kind": "text", "text": words},)


def say(account_id: str, words: str, client_id: str | None = None) -> SendMessage:
    return SendMessage(account_id, client_id or new_id(), text(words))


def make_log(database: Database, openings: Openings, clock: ManualClock, **options: Any) -> ConversationLog:
    """A log as one more process would have it: with a keyring and a cache of its own."""
    return ConversationLog(database, Keyring(MASTER, database), QuotaRules(), openings, clock, **options)
