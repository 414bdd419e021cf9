"""A Socket.IO client that costs next to nothing, so that what is measured is the server.

It speaks RFC 6455, Engine.IO 4 and Socket.IO 5 as a real client does, over the socket, without any library in between. Frames
are masked with the key 0, which the protocol allows and which changes no byte.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import orjson

_TEXT = 0x81
_PONG = b"\x81\x81\0\0\0\x003"


def masked(text: bytes) -> bytes:
    """One whole text frame of a client."""
    size = len(text)
    if size < 126:
        return struct.pack("!BBI", _TEXT, 0x80 | size, 0) + text
    if size < 65_536:
        return struct.pack("!BBHI", _TEXT, 0xFE, size, 0) + text
    return struct.pack("!BBQI", _TEXT, 0xFF, size, 0) + text


class RawClient(asyncio.Protocol):
    """One connection. `on_packet` gets every Socket.IO packet after joining: `43<id>[…]`, `42[…]`."""

    def __init__(self, host: str, token: str) -> None:
        self._host = host
        self._token = token
        self._buffer = b""
        self._upgraded = False
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_packet: Callable[[bytes], None] = lambda packet: None
        self.transport: asyncio.Transport

    @classmethod
    async def open(
        cls, host: str, port: int, token: str, timeout: float = 20.0, local_address: str | None = None
    ) -> "RawClient":
        """`local_address`: where it comes from, on a machine that has several."""
        loop = asyncio.get_running_loop()
        from_there = None if local_address is None else (local_address, 0)
        _, client = await loop.create_connection(lambda: cls(f"{host}:{port}", token), host, port, local_addr=from_there)
        async with asyncio.timeout(timeout):
            await client.joined
        return client

    def send(self, packet: bytes) -> None:
        self.transport.write(masked(packet))

    def close(self) -> None:
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
            b"Host: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" % self._host.encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.joined.done():
            self.joined.set_exception(exc or ConnectionError("closed before joining"))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self._upgraded:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = buffer
                return
            if b" 101 " not in buffer[:20]:
                self.transport.abort()
                return
            self._upgraded = True
            buffer = buffer[end + 4 :]
        at, size = 0, len(buffer)
        while size - at >= 2:
            length, header = buffer[at + 1], 2
            if length == 126:
                if size - at < 4:
                    break
                length, header = int.from_bytes(buffer[at + 2 : at + 4], "big"), 4
            elif length == 127:
                if size - at < 10:
                    break
                length, header = int.from_bytes(buffer[at + 2 : at + 10], "big"), 10
            if size - at < header + length:
                break
            if buffer[at] == _TEXT:
                self._take(buffer[at + header : at + header + length])
            at += header + length
        self._buffer = buffer[at:]

    def _take(self, text: bytes) -> None:
        kind = text[:1]
        if kind == b"4":
            if text[1:2] in b"23":
                self.on_packet(text)
            elif text[1:2] == b"0" and not self.joined.done():
                self.joined.set_result(None)
            elif text[1:2] == b"4" and not self.joined.done():
                self.joined.set_exception(ConnectionRefusedError(text[2:].decode()))
        elif kind == b"2":
            self.transport.write(_PONG)
        elif kind == b"0":
            self.send(b"40" + orjson.dumps({"token": self._token}))


def command(number: int, name: str, body: Any) -> bytes:
    """A command that wants to be acknowledged under this number."""
    return b"42%d%b" % (number, orjson.dumps([name, body]))
