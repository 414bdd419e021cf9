"""MLLP: messages in frames over TCP (`VT message FS CR`), several a connection at once, one answer each, in order.

Everything is bounded: who may connect, how many, how long a frame may be and take. A connection that breaks a bound is closed;
one whose message could not be stored is closed without an answer, so that the sender sends again.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import structlog

from ehr_view.hl7.pipeline import Pipeline

log = structlog.get_logger(__name__)

START: Final = b"\x0b"
END: Final = b"\x1c"
_READ: Final = 64 * 1024
_MOST_NOISE: Final = 4_096
_CLOSE_SECONDS: Final = 2.0
_BACKLOG: Final = 100
_ACCEPT_AGAIN_SECONDS: Final = 0.5

_AT_ONCE: Final = 32
"""Messages that are being stored, of all connections."""


class Read(Protocol):
    """A message taken apart."""

    @property
    def lanes(self) -> frozenset[str]:
        """Of two messages of a connection that share one, the first is stored before the second is looked at."""
        ...


R = TypeVar("R", bound=Read)


class Handler(Protocol[R]):
    """What is done with messages. What it raises closes the connection."""

    async def read(self, data: bytes) -> R:
        """Called for one after the other, in the order in which they came."""
        ...

    async def take(self, read: R, address: str) -> bytes:
        """The answer to a message from this address, once it is stored; for several at once."""
        ...

    def too_large(self, head: bytes) -> bytes:
        """The answer to a message that began so and was too long."""
        ...


Network = IPv4Network | IPv6Network


class FrameTooLarge(Exception):
    """`head` is how the message began."""

    def __init__(self, head: bytes) -> None:
        super().__init__("frame too large")
        self.head = head


class NotFrames(Exception):
    """What comes is no MLLP."""


def frame(message: bytes) -> bytes:
    return START + message + END + b"\r"


class Framer:
    """Bytes in, whole messages out. A frame ends with FS: the CR after it belongs to it where it comes."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._buffer = bytearray()
        self._inside = False
        self._searched = 0
        self._noise = 0

    @property
    def is_inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._inside

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that these bytes complete. Raises FrameTooLarge and NotFrames; then nothing more can be read."""
        self._buffer += data
        while self._buffer:
            if not self._inside and not self._skip():
                break
            end = self._buffer.find(END, self._searched)
            if (len(self._buffer) if end < 0 else end) > self._most:
                raise FrameTooLarge(bytes(self._buffer[:2_000]))
            if end < 0:
                self._searched = len(self._buffer)
                break
            message = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._inside = False
            yield message

    def _skip(self) -> bool:
        """Up to the next frame, which begins; False when there is none yet. Line ends between frames are nothing."""
        start = self._buffer.find(START)
        before = bytes(self._buffer) if start < 0 else bytes(self._buffer[:start])
        self._noise += len(before.strip(b"\r\n"))
        if self._noise > _MOST_NOISE:
            raise NotFrames
        if start < 0:
            self._buffer.clear()
            return False
        del self._buffer[: start + 1]
        self._inside, self._searched = True, 0
        return True


@dataclass(frozen=True, slots=True)
class MllpLimits:
    """`idle_seconds` between messages, `frame_seconds` within one. One address may hold half of the connections: a sender that
    hangs does not keep the others out. Who has not ended the handshake of TLS holds a connection as everybody does.
    """

    most_bytes: int = 8 * 1024 * 1024
    connections: int = 32
    idle_seconds: float = 300.0
    frame_seconds: float = 30.0
    handshake_seconds: float = 10.0

    @property
    def of_one_address(self) -> int:
        return (self.connections + 1) // 2


class MllpServer(Generic[R]):
    def __init__(
        self,
        handler: Handler[R],
        *,
        allowed: Sequence[Network],
        limits: MllpLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` None: in the clear."""
        self._handler = handler
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._allowed = allowed
        self._limits = limits or MllpLimits()
        self._tls = tls
        self._listening: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._by_address: Counter[str] = Counter()

    async def start(self, host: str, port: int) -> int:
        """Listen; the port. Several processes may listen at one."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=True)
        listener.setblocking(False)
        found: int = listener.getsockname()[1]
        self._listening = asyncio.create_task(self._listen(listener), name="hl7-listen")
        return found

    async def close(self) -> None:
        """Stop listening. What is not answered yet is not answered."""
        tasks = {*self._connections} | ({self._listening} if self._listening is not None else set())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, listener: socket.socket) -> None:
        """Accepted here, and not by a server of asyncio's: that one says nothing of a connection before its handshake ended."""
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    peer, place = await loop.sock_accept(listener)
                except OSError as error:  # no descriptor is left, or who came is gone
                    log.warning("hl7.not_accepted", error=type(error).__name__)
                    await asyncio.sleep(_ACCEPT_AGAIN_SECONDS)
                    continue
                self._admit(peer, str(place[0]))

    def _admit(self, peer: socket.socket, address: str) -> None:
        if not self._is_allowed(address):
            log.warning("hl7.not_allowed")
        elif len(self._connections) >= self._limits.connections:
            log.warning("hl7.too_many_connections")
        elif self._by_address[address] >= self._limits.of_one_address:
            log.warning("hl7.too_many_of_one_address")
        else:
            self._by_address[address] += 1
            task = asyncio.create_task(self._connected(peer, address), name="hl7-connection")
            self._connections.add(task)
            task.add_done_callback(partial(self._left, peer, address))
            return
        peer.close()

    def _left(self, peer: socket.socket, address: str, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # before it began
            peer.close()
        self._connections.discard(task)
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    async def _connected(self, peer: socket.socket, address: str) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await self._opened(peer)
            await self._serve(reader, writer, address)
        except (TimeoutError, ConnectionError, ssl.SSLError, NotFrames) as error:
            log.info("hl7.connection_ended", error=type(error).__name__)
        except asyncio.CancelledError:  # the process stops
            pass
        except Exception:  # not stored, not answered: it comes again
            log.exception("hl7.not_taken")
        finally:
            if writer is None:
                peer.close()
            else:
                await _closed(writer)

    async def _opened(self, peer: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection's streams, after the handshake where there is one. Raises ConnectionError, SSLError."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_READ)
        protocol = asyncio.StreamReaderProtocol(reader)
        patience = None if self._tls is None else self._limits.handshake_seconds
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, peer, ssl=self._tls, ssl_handshake_timeout=patience)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        """However what comes ends, what came before is answered."""

        async def answer(message: bytes) -> None:
            writer.write(frame(message))
            await self._drain(writer)

        ended: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                line = Pipeline(group, answer, most_bytes=self._limits.most_bytes, room=self._room)
                try:
                    await self._read(reader, line, address)
                except (TimeoutError, ConnectionError, NotFrames, FrameTooLarge) as error:
                    ended = error
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        if isinstance(ended, FrameTooLarge):
            await answer(self._handler.too_large(ended.head))
        elif ended is not None:
            raise ended

    async def _read(self, reader: asyncio.StreamReader, line: Pipeline, address: str) -> None:
        """Until the sender ends it. Raises TimeoutError, NotFrames, FrameTooLarge."""
        framer = Framer(self._limits.most_bytes)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.idle_seconds
        while True:
            async with asyncio.timeout_at(until):
                data = await reader.read(_READ)
            if not data:
                return
            was_inside, is_complete = framer.is_inside, False
            for message in framer.feed(data):
                is_complete = True
                read = await self._handler.read(message)
                await line.begin(partial(self._handler.take, read, address), read.lanes, len(message))
            if not framer.is_inside:
                until = loop.time() + self._limits.idle_seconds
            elif is_complete or not was_inside:
                until = loop.time() + self._limits.frame_seconds

    async def _drain(self, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._limits.frame_seconds):
            await writer.drain()

    def _is_allowed(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self._allowed)


def tls_of(certificate: Path, key: Path, *, client_authority: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later with this certificate (and its chain). `client_authority`: who does not show a certificate that it
    signed is not let in. Raises OSError and ssl.SSLError for files that are none."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def networks_of(text: str) -> tuple[Network, ...]:
    """`10.0.0.0/8, 192.168.1.7`. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await writer.wait_closed()
