"""The lean Engine.IO path: how WebSocket frames travel.

The reason for it: python-engineio makes two tasks, a queue and a `wait_for` of every frame, python-socketio another task and
another encoding of every event. That is 105 µs of processor for one event in, one ack and one event out, where the socket
itself needs 16. Here the handshake, sessions, polling, upgrade and namespaces stay the libraries'; only this changes:

- the read loop hands a frame straight to `on_packet`, without a task of its own;
- an event is encoded once, header and all (`frame`), and the same bytes are written to every socket that wants it;
- pings are timers, not tasks; nothing is compressed (a zlib window would double the memory of an idle connection);
- buffers are bounded: who asks faster than he reads is not listened to until he has read; who does not read what others
  send him is cut (`WRITE_LIMIT_BYTES`). He comes back and syncs, nothing is lost.

A client notices nothing of this.
"""

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import engineio
import structlog
from aiohttp import web
from engineio import async_socket, exceptions, packet

from server.app.frames import frame, unframe

log = structlog.get_logger(__name__)

WRITE_LIMIT_BYTES: Final = 2 * 1024 * 1024
"""What may wait in a socket's write buffer; one more event and the socket is cut."""

PAUSE_READING_BYTES: Final = 256 * 1024
"""Above this in the write buffer a client's own commands wait until it has read."""

_POLLING_LIMIT_PACKETS: Final = 2_000
_CLOSE_SECONDS: Final = 2.0

GOING_AWAY: Final = 1001
"""WebSocket close code of a server that stops: clients reconnect."""

OnPacket = Callable[["LeanSocket", bytes], Awaitable[None] | None]


class QuietLogger(logging.Logger):
    """The libraries' logger. What clients do wrong is not an error of ours and may hold what they sent: it is dropped. What
    the libraries could not handle is logged by its type and place alone."""

    def __init__(self) -> None:
        super().__init__("engine", logging.ERROR)

    def isEnabledFor(self, level: int) -> bool:
        return False

    def exception(self, msg: object, *args: object, **_: Any) -> None:
        kind, _value, trace = sys.exc_info()
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else None
        log.error("engine.failed", error=kind.__name__ if kind else None, place=place)


class LeanWebSocket:
    """Takes the place of the library's adapter to aiohttp: text stays bytes, nothing is compressed."""

    def __init__(self, handler: Callable[["LeanWebSocket"], Awaitable[None]], server: "LeanServer") -> None:
        self._handler = handler
        self._server = server
        self.response: web.WebSocketResponse[Any]
        self.transport: asyncio.Transport

    async def __call__(self, environ: dict[str, Any]) -> web.StreamResponse:
        request: web.Request = environ["aiohttp.request"]
        self.response = web.WebSocketResponse(
            max_msg_size=self._server.max_http_buffer_size, compress=False, decode_text=False, timeout=_CLOSE_SECONDS
        )
        await self.response.prepare(request)
        if request.transport is None:
            raise ConnectionResetError("gone during the handshake")
        self.transport = request.transport
        self._protocol = request.protocol
        await self._handler(self)
        return self.response

    async def drained(self) -> None:
        """Wait until the client has read enough of what was written, or is gone."""
        with contextlib.suppress(ConnectionError):
            await self._protocol._drain_helper()


class LeanSocket(async_socket.AsyncSocket):  # type: ignore[misc]
    """One Engine.IO connection. `inbox` is whatever the product keeps for it (None before the namespace is joined)."""

    server: "LeanServer"
    connected: bool
    closing: bool
    closed: bool

    def __init__(self, server: "LeanServer", sid: str) -> None:
        super().__init__(server, sid)
        self.inbox: Any = None
        self.attachments_to_skip = 0
        self._ws: LeanWebSocket | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._silent = False

    # --- writing ---

    def write(self, data: bytes) -> None:
        """Send a `frame`, now; never waits. A client that does not read is cut instead of waited for."""
        ws = self._ws
        if ws is not None:
            transport = ws.transport
            if transport.get_write_buffer_size() > WRITE_LIMIT_BYTES:
                self.cut("slow_reader")
            elif not (self._silent or transport.is_closing()):
                transport.write(data)
        elif not self.closed:
            if self.queue.qsize() > _POLLING_LIMIT_PACKETS:
                self.cut("slow_reader")
            else:
                self.queue.put_nowait(packet.Packet(encoded_packet=unframe(data).decode()))

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the client has not taken yet."""
        return 0 if self._ws is None else self._ws.transport.get_write_buffer_size()

    async def drained(self) -> None:
        """Wait until the client has read enough of what was written, or is gone."""
        if self._ws is not None:
            await self._ws.drained()

    async def send(self, pkt: packet.Packet) -> None:
        """What the libraries send: handshake, connect, disconnect, no-op."""
        if self._ws is not None:
            self.write(frame(cast(str, pkt.encode()).encode()))
        elif not self.closed:
            self.queue.put_nowait(pkt)

    def cut(self, reason: str) -> None:
        """End the connection at once, without a word and without its buffers."""
        log.info("socket.cut", socket=self.sid, reason=reason)
        if self._ws is not None:
            self._ws.transport.abort()
        else:
            self._end(self.server.reason.TRANSPORT_ERROR)

    async def check_ping_timeout(self) -> bool:
        """Timers watch the pings; the library's own round asks in vain."""
        if self.closed:
            raise exceptions.SocketIsClosedError()
        return True

    # --- pings ---

    def schedule_ping(self) -> None:
        """The client is there: ping it again one interval from now."""
        self._set_timer(self.server.ping_interval, self._ping)

    def _ping(self) -> None:
        if self._ws is not None:
            self.write(_PING)
        else:
            self.queue.put_nowait(packet.Packet(packet.PING))
        self._set_timer(self.server.ping_timeout, self._pong_overdue)

    def _pong_overdue(self) -> None:
        if self._ws is not None:
            self._ws.transport.abort()
        else:
            self._end(self.server.reason.PING_TIMEOUT)

    def _set_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if self.closed else self._loop.call_later(seconds, callback)

    # --- reading ---

    async def _websocket_handler(self, ws: LeanWebSocket) -> None:
        if self.connected and not await self._upgrade(ws):
            return
        self.connected = self.upgraded = True
        while not self.queue.empty():
            waiting = self.queue.get_nowait()
            self.queue.task_done()
            if waiting is not None:
                ws.transport.write(frame(waiting.encode().encode()))
        self._ws = ws
        reason = self.server.reason.TRANSPORT_CLOSE
        try:
            reason = await self._read(ws)
        finally:
            self._ws = None
            await self.close(wait=False, abort=True, reason=reason)
            if not ws.response.closed:
                await ws.response.close()

    async def _read(self, ws: LeanWebSocket) -> str:
        """Take frames until the connection ends; the answer is why it did."""
        receive, buffered, on_packet = ws.response.receive, ws.transport.get_write_buffer_size, self.server.on_packet
        while True:
            message = await receive()
            data = message.data
            if message.type is web.WSMsgType.TEXT and data:
                kind = data[0]
                if kind == _MESSAGE:
                    rare = on_packet(self, data[1:])
                    if rare is not None:
                        await rare
                elif kind == _PONG:
                    self.schedule_ping()
                elif kind == _CLOSE:
                    return cast(str, self.server.reason.CLIENT_DISCONNECT)
                elif kind not in _IGNORED:
                    return cast(str, self.server.reason.TRANSPORT_ERROR)
            elif message.type is web.WSMsgType.BINARY and self.attachments_to_skip > 0:
                self.attachments_to_skip -= 1
            else:
                return cast(str, self.server.reason.TRANSPORT_CLOSE)
            if self.closed:
                return cast(str, self.server.reason.SERVER_DISCONNECT)
            if buffered() > PAUSE_READING_BYTES:
                await ws.drained()

    async def _upgrade(self, ws: LeanWebSocket) -> bool:
        """From polling: probe, answer, end the poll that waits, then take over. False when the client did not go on."""
        self.upgrading = True
        try:
            probe = await ws.response.receive(self.server.ping_timeout)
            if probe.type is not web.WSMsgType.TEXT or probe.data != b"2probe":
                return False
            ws.transport.write(frame(b"3probe"))
            self.queue.put_nowait(packet.Packet(packet.NOOP))
            upgrade = await ws.response.receive(self.server.ping_timeout)
            return upgrade.type is web.WSMsgType.TEXT and upgrade.data == b"5"
        except TimeoutError:
            return False
        finally:
            self.upgrading = False

    async def receive(self, pkt: packet.Packet) -> None:
        """A packet of a polling client: the same way as a frame."""
        if pkt.packet_type == packet.MESSAGE and not pkt.binary:
            text = pkt.encode()[1:]
            if (rare := self.server.on_packet(self, text.encode())) is not None:
                await rare
        elif pkt.packet_type == packet.MESSAGE and self.attachments_to_skip > 0:
            self.attachments_to_skip -= 1
        elif pkt.packet_type in (packet.PONG, packet.CLOSE, packet.UPGRADE):
            await super().receive(pkt)
        else:
            raise exceptions.UnknownPacketError()

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Several packets of a polling client. What is not Engine.IO ends the session with a 400, never a trace in the log."""
        try:
            await super().handle_post_request(environ)
        except (ValueError, KeyError, IndexError) as error:
            raise exceptions.EngineIOError("not Engine.IO") from error

    # --- ending ---

    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """End the session: tell the product, then the client (unless `abort`). Twice is once."""
        if self.closed or self.closing:
            return
        self.closing = True
        if self._timer is not None:
            self._timer.cancel()
        await self.server._trigger_event(
            "disconnect", self.sid, reason or self.server.reason.SERVER_DISCONNECT, run_async=False
        )
        if not abort:
            await self.send(packet.Packet(packet.CLOSE))
        self.closed = True
        if self._ws is None:
            self.queue.put_nowait(None)  # ends the poll that waits
            self._loop.call_later(_CLOSE_SECONDS, self.server.sockets.pop, self.sid, None)

    async def hang_up(self, code: int = 1000) -> None:
        """End the session after what was written was taken, or after a moment: the client may be between two polls."""
        ws = self._ws
        if ws is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.queue.join(), _CLOSE_SECONDS)
            await self.close(wait=False)
            return
        self._silent = True
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await ws.response.close(code=code)
        except TimeoutError:
            ws.transport.abort()

    def _end(self, reason: str) -> None:
        task = self._loop.create_task(self.close(wait=False, abort=True, reason=reason))
        self.server.ending.add(task)
        task.add_done_callback(self.server.ending.discard)


_MESSAGE, _PONG, _CLOSE = ord("4"), ord("3"), ord("1")
_IGNORED: Final = frozenset(b"256")
"""A client's ping, a late upgrade, a no-op: harmless."""

_PING: Final = frame(b"2")


class LeanServer(engineio.AsyncServer):  # type: ignore[misc]
    """The library's server with lean sockets. `on_packet` gets every Socket.IO packet; `opened` each new connection."""

    _async: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._async = {**self._async, "websocket": LeanWebSocket}
        self.on_packet: OnPacket = _nobody
        self.opened: Callable[[LeanSocket], None] = _nothing
        self.describe: Callable[[dict[str, Any]], dict[str, Any]] = _describe
        self.ending: set[asyncio.Task[None]] = set()
        self.node = ""

    def generate_id(self) -> str:
        """As secret as the library's, with the process's name before it."""
        secret = cast(str, super().generate_id())
        return f"{self.node}.{secret}" if self.node else secret

    async def _handle_connect(self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None) -> Any:
        """As the library does it, with our socket, and with no way out that leaves a session behind."""
        if jsonp_index is not None:
            return self._bad_request("JSONP is not served")
        if transport == "websocket" and "upgrade" not in environ.get("HTTP_CONNECTION", "").lower():
            return self._bad_request("Invalid websocket upgrade")
        sid = self.generate_id()
        socket = self.sockets[sid] = LeanSocket(self, sid)
        await socket.send(packet.Packet(packet.OPEN, self._welcome(sid, transport)))
        await self._trigger_event("connect", sid, self.describe(environ), run_async=False)
        socket.schedule_ping()
        self.opened(socket)
        if transport != "websocket":
            socket.connected = True
            return self._ok(await socket.poll())
        try:
            return await socket.handle_get_request(environ)
        finally:
            await socket.close(wait=False, abort=True, reason=self.reason.TRANSPORT_ERROR)
            self.sockets.pop(sid, None)

    def _bad_request(self, message: str | None = None) -> dict[str, Any]:
        """One answer for all: the library's say what was sent, and fail where that is no text."""
        return {"status": "400 BAD REQUEST", "headers": [("Content-Type", "text/plain")], "response": b'"Bad Request"'}

    def _welcome(self, sid: str, transport: str) -> dict[str, Any]:
        return {
            "sid": sid,
            "upgrades": self._upgrades(sid, transport),
            "pingTimeout": int(self.ping_timeout * 1000),
            "pingInterval": int(self.ping_interval * 1000),
            "maxPayload": self.max_http_buffer_size,
        }


def _nobody(_socket: LeanSocket, _data: bytes) -> None:
    return None


def _nothing(_socket: LeanSocket) -> None:
    return None


def _describe(_environ: dict[str, Any]) -> dict[str, Any]:
    return {}


def tune_collector() -> None:
    """Once, when everything is loaded: what lives as long as the process is not looked at again, and a young generation is
    collected after 50 000 allocations instead of 700. Messages leave no cycles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
