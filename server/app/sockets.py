"""Socket.IO: who may connect, what becomes of a frame, and when a socket ends.

python-socketio keeps the handshake, the namespace and polling; `server.app.engine` carries the frames. A connection belongs to
one session: it outlives its token, never its session, which is looked up every second together with all others.
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
import orjson
import socketio
import structlog
from aiohttp import web

from im.commands import MALFORMED, UNKNOWN_COMMAND, CommandRunner, SocketCommand, refuse
from im.live import LiveHub
from im.wire import SessionRevoked, as_json
from server.app.engine import GOING_AWAY, PAUSE_READING_BYTES, LeanServer, LeanSocket, QuietLogger
from server.app.frames import event_frame, frame
from server.kernel.actor import Actor
from server.kernel.clock import Clock
from server.kernel.errors import DomainError, RequestRateLimited, Unavailable
from server.kernel.ids import new_id
from server.kernel.settings import Rate

log = structlog.get_logger(__name__)

NAMESPACE: Final = "/"
SESSION_REVOKED: Final = "session.revoked"
MAX_FRAME_BYTES: Final = 256 * 1024
SOCKETS_PER_SESSION: Final = 10
DRAIN_SECONDS: Final = 10.0

_OTHER_COMMANDS: Final = 5
"""Receipts, typing and syncs may come this many times as often as messages."""

_PENDING: Final = 64
_PENDING_BYTES: Final = 512 * 1024
"""Commands of one socket that may be on their way, and their size; the next frame is read when one is done."""

_WATCH_SECONDS: Final = 0.8
"""With the query itself a socket ends within a second of its session."""
_JOIN_SECONDS: Final = 10.0
_MAX_TOKEN: Final = 4_096
_MAX_ACK_DIGITS: Final = 15
_POLICY_VIOLATION: Final = 1008
_BINARY_EVENT: Final = re.compile(rb"^5(\d)-(\d{1,15})?\[")


class Sessions(Protocol):
    """Who has this token, and which sessions have ended."""

    async def authenticate(self, token: str, *, request_id: str, address: str | None) -> Actor: ...

    async def list_dead_sessions(self, session_ids: Collection[str]) -> Collection[str]: ...


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """`polling` only where there is one process, or a proxy that always sends a client to the same one.

    A line that died and does not say so is found within interval + timeout, 28 s; by the client too, who waits as long for a
    ping. The timeout is what a full answer takes on the slowest line (`im.history.SYNC_BYTES` at 64 kbit/s: 12 s) and a bit.
    """

    message_rate: Rate
    allowed_origins: tuple[str, ...] = ()
    polling: bool = False
    ping_interval_seconds: float = 12.0
    ping_timeout_seconds: float = 16.0
    node: str = ""
    """Stands before each connection's id (`a.…`), so that a proxy can send a polling client where its connection is."""


class OrjsonForSocketio:
    """What python-socketio and python-engineio take for `json`."""

    JSONDecodeError = orjson.JSONDecodeError

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        return orjson.loads(text)


_DISCONNECT: Final = frame(b"41")


class Bucket:
    """Allows `rate.count` at once and as many in each `rate.per` after that. A clock that is set back neither fills it nor
    stops it."""

    __slots__ = ("_capacity", "_per_ms", "_seen", "_tokens")

    def __init__(self, rate: Rate, now_ms: int, *, times: int = 1) -> None:
        self._capacity = self._tokens = float(rate.count * times)
        self._per_ms = self._capacity / (rate.per / timedelta(milliseconds=1))
        self._seen = now_ms

    def take(self, now_ms: int) -> float:
        """Take one; 0.0 when allowed, else the seconds until the next is."""
        if now_ms > self._seen:
            self._tokens = min(self._capacity, self._tokens + (now_ms - self._seen) * self._per_ms)
        self._seen = now_ms
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._per_ms / 1_000


_Waiting = tuple[SocketCommand, bytes, "bytes | msgspec.Raw"]
"""A command, the id that its acknowledgement bears (empty: none), and its body."""


class Lane:
    """Commands that run one after another."""

    __slots__ = ("bucket", "busy", "waiting")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.busy = False
        self.waiting: deque[tuple[_Waiting, int]] = deque()


class Connection:
    """A client that joined: an `im.live.LocalSocket`.

    What it writes and what else it asks for are two lanes: a long sync does not hold up a message, and one client never has
    more than two commands running, or two answers made, at a time.
    """

    __slots__ = ("_server", "actor", "others", "pending", "pending_bytes", "room", "sid", "socket", "writes")

    def __init__(self, server: "SocketServer", socket: LeanSocket, sid: str, actor: Actor, rate: Rate, now_ms: int) -> None:
        self._server = server
        self.socket = socket
        self.sid = sid
        self.actor = actor
        self.writes = Lane(Bucket(rate, now_ms))
        self.others = Lane(Bucket(rate, now_ms, times=_OTHER_COMMANDS))
        self.pending = self.pending_bytes = 0
        self.room: asyncio.Future[None] | None = None

    @property
    def account_id(self) -> str:
        return self.actor.account_id

    @property
    def session_id(self) -> str:
        return self.actor.session_id or ""

    def write(self, frame: bytes) -> None:
        self.socket.write(frame)

    @property
    def is_full(self) -> bool:
        return self.pending >= _PENDING or self.pending_bytes >= _PENDING_BYTES

    def one_done(self, size: int) -> None:
        """A command was answered: there is room for another."""
        self.pending -= 1
        self.pending_bytes -= size
        if self.room is not None and not self.room.done():
            self.room.set_result(None)

    async def wait_for_room(self) -> None:
        while self.is_full:
            self.room = asyncio.get_running_loop().create_future()
            await self.room
        self.room = None

    def revoke(self, reason: str) -> None:
        log.info("socket.revoked", session_id=self.session_id, socket=self.sid, reason=reason)
        self.socket.inbox = None
        self.socket.write(event_frame(SESSION_REVOKED, as_json(SessionRevoked(reason))))
        self.socket.write(_DISCONNECT)
        self._server.run(self.socket.hang_up())


class SocketServer:
    """All sockets of this process."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        hub: LiveHub,
        runner: CommandRunner,
        clock: Clock,
        options: SocketOptions,
        address_of: Callable[[web.BaseRequest], str | None] = lambda request: request.remote,
        clock_ok: Callable[[], bool] = lambda: True,
    ) -> None:
        """`clock_ok` False: this process's clock is wrong, so nobody is let in, told anything, or sent away for being late."""
        self._sessions = sessions
        self._hub = hub
        self._runner = runner
        self._clock = clock
        self._options = options
        self._address_of = address_of
        self._clock_ok = clock_ok
        self._draining = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._split = msgspec.json.Decoder(tuple[msgspec.Raw, ...]).decode
        quiet = QuietLogger()
        self._sio = _Sio(
            async_mode="aiohttp",
            json=OrjsonForSocketio,
            logger=quiet,
            engineio_logger=quiet,
            transports=["websocket", "polling"] if options.polling else ["websocket"],
            cors_allowed_origins=self._accepts_origin,
            cors_credentials=False,
            max_http_buffer_size=MAX_FRAME_BYTES,
            ping_interval=options.ping_interval_seconds,
            ping_timeout=options.ping_timeout_seconds,
            http_compression=False,
        )
        self._sio.on("connect", self._connect)
        self._sio.on("disconnect", self._disconnect)
        self._eio: LeanServer = self._sio.eio
        self._eio.node = options.node
        self._eio.on_packet = self._on_packet
        self._eio.opened = self._opened
        self._eio.describe = self._describe

    # --- life ---

    def attach(self, app: web.Application) -> None:
        """Serve `/socket.io/` in this application."""
        self._sio.attach(app)

    async def start(self) -> None:
        self._watcher = asyncio.create_task(self._watch_sessions(), name="socket-sessions")

    async def drain(self) -> None:
        """Take no more, let what runs finish, then close every socket so that clients go elsewhere. At most 10 s."""
        self._draining = True
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        try:
            async with asyncio.timeout(DRAIN_SECONDS * 0.6):
                while self._tasks:
                    await asyncio.gather(*self._tasks, return_exceptions=True)
        except TimeoutError:
            log.warning("socket.drain_incomplete", running=len(self._tasks))
        sockets = list(self._eio.sockets.values())
        try:
            async with asyncio.timeout(DRAIN_SECONDS * 0.3):
                await asyncio.gather(*(socket.hang_up(GOING_AWAY) for socket in sockets), return_exceptions=True)
        except TimeoutError:
            for socket in sockets:
                socket.cut("shutdown")

    def run(self, work: Any) -> None:
        """Run a coroutine that somebody owns until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def count(self) -> int:
        """Open connections of this process."""
        return len(self._eio.sockets)

    @property
    def running(self) -> int:
        """Commands and closings that are under way."""
        return len(self._tasks)

    def largest_write_buffer(self) -> int:
        """Bytes that wait for the slowest reader."""
        return max((socket.buffered for socket in self._eio.sockets.values()), default=0)

    # --- who may connect ---

    def _accepts_origin(self, origin: str | None, environ: dict[str, Any]) -> bool:
        """Ours and the allowed ones. The scheme is not compared: a proxy may have taken off the encryption."""
        if origin is None or origin in self._options.allowed_origins:
            return True
        try:
            host = urlsplit(origin).netloc
        except ValueError:
            return False
        return bool(host) and host.lower() == str(environ.get("HTTP_HOST", "")).lower()

    def _describe(self, environ: dict[str, Any]) -> dict[str, Any]:
        """What is kept of the handshake's request."""
        return {"address": self._address_of(environ["aiohttp.request"])}

    def _opened(self, socket: LeanSocket) -> None:
        """Whoever does not join soon is not one of ours."""
        asyncio.get_running_loop().call_later(_JOIN_SECONDS, _cut_stranger, socket)

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any) -> bool:
        """Join the namespace: a live token, and a place among the session's sockets."""
        try:
            if self._draining or not self._clock_ok():
                raise Unavailable()
            token = auth.get("token") if isinstance(auth, dict) else None
            usable = token if isinstance(token, str) and len(token) <= _MAX_TOKEN else ""
            actor = await self._sessions.authenticate(usable, request_id=new_id(), address=environ["address"])
            if self._hub.count_of_session(actor.session_id or "") >= SOCKETS_PER_SESSION:
                raise RequestRateLimited(sockets="a session may hold 10")
        except Exception as failure:
            refusal = failure if isinstance(failure, DomainError) else self._runner.map_failure(failure)
            refusal = refusal if self._clock_ok() else Unavailable()
            raise socketio.exceptions.ConnectionRefusedError(refusal.title, _error_data(refusal)) from None
        eio_sid = self._sio.manager.eio_sid_from_sid(sid, NAMESPACE)
        socket: LeanSocket | None = self._eio.sockets.get(eio_sid)
        if socket is None or socket.closed or socket.closing:
            return False
        connection = Connection(self, socket, sid, actor, self._options.message_rate, self._clock.now_ms())
        socket.inbox = connection
        self._hub.add(connection)
        return True

    async def _disconnect(self, sid: str, reason: Any = None) -> None:
        """The client left, or was sent away. Twice is once."""
        eio_sid = self._sio.manager.eio_sid_from_sid(sid, NAMESPACE)
        socket: LeanSocket | None = self._eio.sockets.get(eio_sid)
        if socket is not None and socket.inbox is not None:
            connection, socket.inbox = socket.inbox, None
            self._hub.remove(connection)
            if not socket.closing:
                self._opened(socket)

    # --- what becomes of a packet ---

    def _on_packet(self, socket: LeanSocket, data: bytes) -> Awaitable[None] | None:
        """One Socket.IO packet. The answer, where there is one, is to be awaited before the next is read."""
        kind = data[:1]
        if kind == b"2":
            return self._on_event(socket, data)
        if kind in (b"0", b"1"):
            return self._on_namespace(socket, data)
        if kind == b"5" and (found := _BINARY_EVENT.match(data)):
            socket.attachments_to_skip = int(found[1])
            if socket.inbox is not None and found[2]:
                _answer(socket, found[2], MALFORMED)
            return None
        return None if kind == b"3" else socket.hang_up(_POLICY_VIOLATION)

    def _on_event(self, socket: LeanSocket, data: bytes) -> Awaitable[None] | None:
        connection: Connection | None = socket.inbox
        start = data.find(b"[")
        ack_id = data[1:start]
        if connection is None or start < 1 or (ack_id and not (ack_id.isdigit() and len(ack_id) <= _MAX_ACK_DIGITS)):
            return None if self._draining or socket.closing else socket.hang_up(_POLICY_VIOLATION)
        try:
            words = self._split(data[start:])
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            words = ()
        if not 1 <= len(words) <= 2:
            return _malformed(socket, ack_id)
        name = bytes(words[0])
        command = self._runner.find(name)
        lane = connection.writes if command is not None and command.writes else connection.others
        if wait := lane.bucket.take(self._clock.now_ms()):
            _answer(socket, ack_id, refuse(RequestRateLimited(retry_after_seconds=max(1, round(wait)))))
            return None
        if command is None:
            _answer(socket, ack_id, UNKNOWN_COMMAND)
            return None
        return self._start(connection, lane, (command, ack_id, words[1] if len(words) == 2 else b"{}"), len(data))

    def _start(self, connection: Connection, lane: Lane, waiting: _Waiting, size: int) -> Awaitable[None] | None:
        connection.pending += 1
        connection.pending_bytes += size
        if lane.busy:
            lane.waiting.append((waiting, size))
        else:
            lane.busy = True
            self.run(self._run_lane(connection, lane, waiting, size))
        return connection.wait_for_room() if connection.is_full else None

    async def _run_lane(self, connection: Connection, lane: Lane, waiting: _Waiting, size: int) -> None:
        """This command and those that came meanwhile, in their order. Nothing is answered to who does not read."""
        socket = connection.socket
        while True:
            if socket.buffered > PAUSE_READING_BYTES:
                await socket.drained()
            command, ack_id, body = waiting
            if self._clock_ok():
                answer = await self._runner.run(command, connection.actor, connection.sid, body)
            else:
                answer = refuse(Unavailable())
            _answer(socket, ack_id, answer)
            connection.one_done(size)
            if not lane.waiting:
                break
            waiting, size = lane.waiting.popleft()
        lane.busy = False

    async def _on_namespace(self, socket: LeanSocket, data: bytes) -> None:
        """Joining and leaving are the library's."""
        try:
            await self._sio._handle_eio_message(socket.sid, data.decode())
        except Exception as failure:  # hostile packets make it raise anything
            log.info("socket.bad_packet", socket=socket.sid, error=type(failure).__name__)
            await socket.hang_up(_POLICY_VIOLATION)

    # --- sessions that end ---

    async def _watch_sessions(self) -> None:
        """Every second one query over the sessions of all sockets here."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if not self._clock_ok() or not (sessions := self._hub.list_sessions()):
                continue
            try:
                dead = await self._sessions.list_dead_sessions(sessions)
            except Exception as failure:  # asked again in a second; each HTTP request asks for itself meanwhile
                log.warning("socket.sessions_unknown", error=type(failure).__name__)
                continue
            if dead:
                self._hub.close_local_sessions(dead, "session_ended")


class _Sio(socketio.AsyncServer):  # type: ignore[misc]
    def _engineio_server_class(self) -> type[LeanServer]:
        return LeanServer


def _answer(socket: LeanSocket, ack_id: bytes, answer: bytes) -> None:
    """Acknowledge, where the client asked for it."""
    if ack_id:
        socket.write(frame(b"43%b[%b]" % (ack_id, answer)))


def _malformed(socket: LeanSocket, ack_id: bytes) -> Awaitable[None] | None:
    if not ack_id:
        return socket.hang_up(_POLICY_VIOLATION)
    _answer(socket, ack_id, MALFORMED)
    return None


def _cut_stranger(socket: LeanSocket) -> None:
    if socket.inbox is None and not socket.closed:
        socket.cut("not_joined")


def _error_data(error: DomainError) -> dict[str, Any]:
    return {"code": error.code, "kind": error.kind.value, "fields": error.fields}
