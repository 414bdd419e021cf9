"""MLLP: messages in frames over TCP (`VT message FS CR`), several a connection, one answer each, in order.

Everything is bounded: who may connect, how many, how long a frame may be and take. A connection that breaks a bound is closed;
one whose message could not be stored is closed without an answer, so that the sender sends again.
"""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

START: Final = b"\x0b"
END: Final = b"\x1c"
_READ: Final = 64 * 1024
_MOST_NOISE: Final = 4_096
_CLOSE_SECONDS: Final = 2.0
_HANDSHAKE_SECONDS: Final = 10.0

Handler = Callable[[bytes, str], Awaitable[bytes]]
"""Takes a message and the address it came from; gives the answer. What it raises closes the connection."""

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

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that these bytes complete. Raises FrameTooLarge and NotFrames; then nothing more can be read."""
        self._buffer += data
        messages: list[bytes] = []
        while self._buffer:
            if not self._inside and not self._skip():
                break
            end = self._buffer.find(END, self._searched)
            if (len(self._buffer) if end < 0 else end) > self._most:
                raise FrameTooLarge(bytes(self._buffer[:2_000]))
            if end < 0:
                self._searched = len(self._buffer)
                break
            messages.append(bytes(self._buffer[:end]))
            del self._buffer[: end + 1]
            self._inside = False
        return messages

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
    hangs does not keep the others out.
    """

    most_bytes: int = 8 * 1024 * 1024
    connections: int = 32
    idle_seconds: float = 300.0
    frame_seconds: float = 30.0

    @property
    def of_one_address(self) -> int:
        return (self.connections + 1) // 2


class MllpServer:
    def __init__(
        self,
        handler: Handler,
        too_large: Callable[[bytes], bytes],
        *,
        allowed: Sequence[Network],
        limits: MllpLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`too_large` answers a message that began so and was too long. `tls` None: in the clear."""
        self._handler = handler
        self._too_large = too_large
        self._allowed = allowed
        self._limits = limits or MllpLimits()
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._by_address: Counter[str] = Counter()

    async def start(self, host: str, port: int) -> int:
        """Listen; the port. Several processes may listen at one."""
        handshake = {} if self._tls is None else {"ssl_handshake_timeout": _HANDSHAKE_SECONDS}
        self._server = await asyncio.start_server(
            self._connected, host, port, limit=_READ, reuse_port=True, ssl=self._tls, **handshake
        )
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        """Stop listening; what is being answered is answered."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
        address = _address(writer)
        self._by_address[address] += 1
        try:
            if not self._is_allowed(address):
                log.warning("hl7.not_allowed")
            elif len(self._connections) > self._limits.connections:
                log.warning("hl7.too_many_connections")
            elif self._by_address[address] > self._limits.of_one_address:
                log.warning("hl7.too_many_of_one_address")
            else:
                await self._serve(reader, writer, address)
        except (TimeoutError, ConnectionError, NotFrames) as error:
            log.info("hl7.connection_ended", error=type(error).__name__)
        except asyncio.CancelledError:  # the process stops
            pass
        except Exception:  # not stored, not answered: it comes again
            log.exception("hl7.not_taken")
        finally:
            if task is not None:
                self._connections.discard(task)
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
            writer.close()
            with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        framer = Framer(self._limits.most_bytes)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.idle_seconds
        while True:
            async with asyncio.timeout_at(until):
                data = await reader.read(_READ)
            if not data:
                return
            was_inside = framer.is_inside
            try:
                messages = framer.feed(data)
            except FrameTooLarge as error:
                writer.write(frame(self._too_large(error.head)))
                await self._drain(writer)
                return
            for message in messages:
                answer = await self._handler(message, address)
                writer.write(frame(answer))
                await self._drain(writer)
            if not framer.is_inside:
                until = loop.time() + self._limits.idle_seconds
            elif messages or not was_inside:
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


def _address(writer: asyncio.StreamWriter) -> str:
    peer = writer.get_extra_info("peername")
    return str(peer[0]) if peer else ""
