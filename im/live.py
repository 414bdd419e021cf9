"""Live events: rooms that are one account each, in this process and, through a bus, in the others.

A live event is a hint. Losing one costs latency only: a client that sees a hole in a conversation's numbers, or comes back,
syncs. So nothing here waits, retries or fails: `send` and `close_sessions` return at once whatever the bus does.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, Protocol

import msgspec

EventFrame = Callable[[str, bytes], bytes]
"""Makes of an event's name and its body in JSON what sockets write: once, for all of them."""

LIVE: Final = "live"
REVOKED: Final = "revoked"
ENTRY: Final = "entry"

_MOST_REMEMBERED: Final = 20_000


class LocalSocket(Protocol):
    """A connected client of this process. `sid` is its own; an account and a session may have several."""

    @property
    def sid(self) -> str: ...

    @property
    def account_id(self) -> str: ...

    @property
    def session_id(self) -> str: ...

    def write(self, frame: bytes) -> None:
        """Send what `EventFrame` made. Never waits and never raises."""
        ...

    def revoke(self, reason: str) -> None:
        """Say `session.revoked`, then close. Never waits and never raises."""
        ...


class Hint(msgspec.Struct, frozen=True, array_like=True):
    """What one process tells the others: an event for accounts (`targets`), sessions that ended (`targets`, `event` is the
    reason), or an entry that was appended to a conversation (`targets`), as it is stored."""

    what: Literal["live", "revoked", "entry"]
    targets: tuple[str, ...]
    event: str
    body: bytes


class Bus(Protocol):
    """Carries hints to the other processes. Never waits, never raises; what it cannot carry is lost."""

    def publish(self, hint: Hint) -> None: ...

    def listen(self, heard: Callable[[Hint], None]) -> None:
        """Call this for each hint of another process."""
        ...

    @property
    def healthy(self) -> bool: ...

    @property
    def is_alone(self) -> bool:
        """Whether it is certain that no other process listens."""
        ...

    @property
    def deaf_since(self) -> float | None:
        """From when on, by the event loop's clock, hints of others may be missing; None: all came."""
        ...

    def all_heard(self) -> None:
        """What was missing was learned in another way."""
        ...


class NoBus:
    """One process alone."""

    healthy = True
    is_alone = True
    deaf_since = None

    def publish(self, hint: Hint) -> None:
        """There is nobody else."""

    def listen(self, heard: Callable[[Hint], None]) -> None:
        """Nothing will be heard."""

    def all_heard(self) -> None:
        """Nothing is ever missing."""


class LiveHub:
    """Who is connected here, and how to reach whoever is connected anywhere. A process without sockets only publishes."""

    def __init__(self, frame: EventFrame, bus: Bus | None = None) -> None:
        self._frame = frame
        self._bus: Bus = bus or NoBus()
        self._by_account: dict[str, dict[str, LocalSocket]] = {}
        self._by_session: dict[str, dict[str, LocalSocket]] = {}
        self._fold_hint: Callable[[str, bytes], object] | None = None
        self._presence: Callable[[str, bool], object] | None = None
        self._told_once: frozenset[str] = frozenset()
        self._sent: set[tuple[str, bytes]] = set()
        self._bus.listen(self._heard)

    @property
    def healthy(self) -> bool:
        """Whether other processes hear us and we hear them. False is a degraded process, not a broken one."""
        return self._bus.healthy

    @property
    def deaf_since(self) -> float | None:
        """From when on hints of other processes may be missing: see `Bus`."""
        return self._bus.deaf_since

    def all_heard(self) -> None:
        """What was missing was learned in another way."""
        self._bus.all_heard()

    # --- who is here ---

    def add(self, socket: LocalSocket) -> None:
        self._by_account.setdefault(socket.account_id, {})[socket.sid] = socket
        self._by_session.setdefault(socket.session_id, {})[socket.sid] = socket
        if self._presence is not None and len(self._by_session[socket.session_id]) == 1:
            self._presence(socket.session_id, True)

    def remove(self, socket: LocalSocket) -> None:
        """Forget a socket. Twice is once."""
        for rooms, key in ((self._by_account, socket.account_id), (self._by_session, socket.session_id)):
            room = rooms.get(key)
            if room is not None and room.pop(socket.sid, None) is not None and not room:
                del rooms[key]
                if rooms is self._by_session and self._presence is not None:
                    self._presence(key, False)

    def report_presence_to(self, presence: Callable[[str, bool], object]) -> None:
        """Who hears of sessions whose first socket came here, and whose last one went. Must not wait or raise."""
        self._presence = presence

    def count_of_session(self, session_id: str) -> int:
        return len(self._by_session.get(session_id, ()))

    def list_sessions(self) -> list[str]:
        """The sessions of all local sockets."""
        return list(self._by_session)

    @property
    def has_sockets(self) -> bool:
        return bool(self._by_account)

    def is_here(self, account_id: str) -> bool:
        """Whether the account has a socket in this process."""
        return account_id in self._by_account

    # --- reaching them ---

    def send(
        self,
        account_ids: Iterable[str],
        event: str,
        payload: bytes | Mapping[str, Any] | msgspec.Struct,
        except_sid: str | None = None,
    ) -> None:
        """Tell every socket of these accounts, in every process, except one. `payload` is an object, or its JSON."""
        accounts = tuple(account_ids)
        body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        self._deliver(accounts, event, body, except_sid)
        if event in self._told_once and len(self._sent) < _MOST_REMEMBERED:
            self._sent.add((event, body))
        if not self._bus.is_alone:
            self._bus.publish(Hint(LIVE, accounts, event, body))

    def send_here(self, account_ids: Iterable[str], event: str, body: bytes) -> None:
        """Tell the sockets of this process only, where every process finds out by itself."""
        if (event, body) not in self._sent:
            self._deliver(account_ids, event, body, None)

    def remember_sent(self, events: frozenset[str]) -> None:
        """From now on `send_here` tells none of these that `send` told already: a stand-in that reads what others stored meets
        what this process stored and told too."""
        self._told_once, self._sent = events, set()

    def close_sessions(self, session_ids: Iterable[str], reason: str) -> None:
        """End every socket of these sessions, in every process: `session.revoked`, then the socket closes."""
        sessions = tuple(session_ids)
        self._revoke(sessions, reason)
        self._bus.publish(Hint(REVOKED, sessions, reason, b""))

    def close_local_sessions(self, session_ids: Iterable[str], reason: str) -> None:
        """The same for the sockets of this process only, where every process finds out by itself."""
        self._revoke(tuple(session_ids), reason)

    # --- freshening the others' caches ---

    def entry_stored(self, conversation_id: str, raw: bytes) -> None:
        """The log's `HintSender`: other processes may fold this entry if it is the next one that they need."""
        if not self._bus.is_alone:
            self._bus.publish(Hint(ENTRY, (conversation_id,), "", raw))

    def fold_hints_with(self, fold_hint: Callable[[str, bytes], object]) -> None:
        """Where entries of other processes go: the log's `fold_hint`."""
        self._fold_hint = fold_hint

    def _deliver(self, accounts: Iterable[str], event: str, body: bytes, except_sid: str | None) -> None:
        frame: bytes | None = None
        for account_id in accounts:
            room = self._by_account.get(account_id)
            if room is None:
                continue
            for sid, socket in list(room.items()) if len(room) > 1 else room.items():
                if sid != except_sid:
                    if frame is None:
                        frame = self._frame(event, body)
                    socket.write(frame)

    def _revoke(self, sessions: Iterable[str], reason: str) -> None:
        for session_id in sessions:
            for socket in list(self._by_session.get(session_id, {}).values()):
                self.remove(socket)
                socket.revoke(reason)

    def _heard(self, hint: Hint) -> None:
        if hint.what == LIVE:
            self._deliver(hint.targets, hint.event, hint.body, None)
        elif hint.what == REVOKED:
            self._revoke(hint.targets, hint.event)
        elif self._fold_hint is not None:
            self._fold_hint(hint.targets[0], hint.body)
