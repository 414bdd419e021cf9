"""A WebSocket under a test's own hand: sends whatever it is told, answers nothing by itself."""

import asyncio
from types import TracebackType
from typing import Self

import aiohttp
import orjson


class RawSocket:
    """Engine.IO by hand. With a `token` it joins the namespace first."""

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self._url = url
        self._token = token

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        self.ws = await self._http.ws_connect(f"{self._url}/socket.io/?EIO=4&transport=websocket", max_msg_size=0, compress=0)
        if self._token is not None:
            assert (await self.receive() or "")[:1] == "0"
            await self.send("40" + orjson.dumps({"token": self._token}).decode())
            assert (await self.receive() or "")[:2] == "40"
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        transport = self.ws._response.connection and self.ws._response.connection.transport
        if transport is not None:
            transport.abort()
        await self.ws.close()
        await self._http.close()

    async def send(self, data: str | bytes) -> None:
        if isinstance(data, str):
            await self.ws.send_str(data)
        else:
            await self.ws.send_bytes(data)

    async def receive(self) -> str | None:
        """The next text; None when the connection has ended."""
        async with asyncio.timeout(10):
            message = await self.ws.receive()
        return message.data if message.type is aiohttp.WSMsgType.TEXT else None

    async def call(self, number: int, text: str) -> object:
        """Send an event and wait for the acknowledgement of this number."""
        await self.send(f"42{number}{text}")
        while (answer := await self.receive()) is not None:
            if answer.startswith(f"43{number}["):
                return orjson.loads(answer[2 + len(str(number)) :])[0]
        return None

    def stop_reading(self) -> None:
        connection = self.ws._response.connection
        assert connection is not None and connection.transport is not None
        connection.transport.pause_reading()  # type: ignore[attr-defined]

    def read_on(self) -> None:
        connection = self.ws._response.connection
        assert connection is not None and connection.transport is not None
        connection.transport.resume_reading()  # type: ignore[attr-defined]
