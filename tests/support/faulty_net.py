"""A poor line: a TCP proxy between a client and the server that delays, stalls, throttles, cuts and goes silent.

A lost segment shows to TCP's users as a pause: what follows waits until it was sent again, twice as long each time. So loss is
a pause here. `tc netem` would need rights that a test has not.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

SEGMENT_BYTES: Final = 1_448
_ON_ITS_WAY_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """What each direction of each connection suffers. `loss` is the share of segments that must be sent again, the first time
    after `resend_seconds`; a connection is cut when it carried `cut_after_bytes` (0.5 to 1.5 times that; 0: never)."""

    delay_seconds: float = 0.0
    loss: float = 0.0
    resend_seconds: float = 0.2
    bits_per_second: float = float("inf")
    cut_after_bytes: int = 0


class _Pair:
    """One client's connection and ours behind it."""

    def __init__(self, up: asyncio.StreamWriter, down: asyncio.StreamWriter, budget: float) -> None:
        self.writers = (up, down)
        self.budget = budget
        self.silent = False
        self.last_way = ""

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class FaultyNet:
    """Listens on loopback and carries what comes to `port` over `line`, which may be changed at any time."""

    def __init__(self, port: int, line: Line | None = None, *, seed: int = 1) -> None:
        self.line = line or Line()
        self.turns = 0
        """How often the client spoke after the server had: the round trips that a talk took."""
        self.connections = self.cuts = 0
        self._target = port
        self._random = random.Random(seed)
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=SEGMENT_BYTES)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End every connection at once, without a word."""
        for pair in tuple(self._pairs):
            pair.abort()

    def go_silent(self) -> None:
        """Every connection that there is stays open and carries nothing any more, as after a change of network: neither side
        is told. New ones work."""
        for pair in self._pairs:
            pair.silent = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target, limit=SEGMENT_BYTES)
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        budget = self.line.cut_after_bytes * self._random.uniform(0.5, 1.5) or float("inf")
        pair = _Pair(writer, far_writer, budget)
        self._pairs.add(pair)
        both = [
            asyncio.create_task(self._carry(reader, far_writer, pair, "up")),
            asyncio.create_task(self._carry(far_reader, writer, pair, "down")),
        ]
        self._tasks.update(both)
        try:
            await asyncio.gather(*both, return_exceptions=True)
        finally:
            pair.abort()
            self._pairs.discard(pair)
            self._tasks.difference_update(both)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair, way: str) -> None:
        """Segments of one direction, in their order, each no sooner than the line allows."""
        loop = asyncio.get_running_loop()
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_ON_ITS_WAY_BYTES // SEGMENT_BYTES)

        async def arrive() -> None:
            while True:
                at, data = await on_its_way.get()
                await asyncio.sleep(max(0.0, at - loop.time()))
                if pair.silent:
                    continue
                if not data:
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()

        arriving = loop.create_task(arrive())
        free_at = 0.0
        try:
            while True:
                data = await reader.read(SEGMENT_BYTES)
                if pair.silent:
                    if not data:
                        await asyncio.Event().wait()
                    continue
                if data and way == "up" and pair.last_way != "up":
                    self.turns += 1
                pair.last_way = way
                pair.budget -= len(data)
                if pair.budget < 0:
                    self.cuts += 1
                    pair.abort()
                    return
                free_at = max(free_at, loop.time()) + len(data) * 8 / self.line.bits_per_second + self._pause()
                await on_its_way.put((free_at + self.line.delay_seconds, data))
                if not data:
                    await arriving
                    return
        except OSError:
            pair.abort()
        finally:
            arriving.cancel()
            await asyncio.gather(arriving, return_exceptions=True)

    def _pause(self) -> float:
        """How long a segment is late because it had to be sent again."""
        pause, resend = 0.0, self.line.resend_seconds
        while self._random.random() < self.line.loss:
            pause += resend
            resend *= 2
        return pause


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
