"""The load: pairs that talk, latency at a given rate, connections that only wait."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from bench.client import RawClient, command

# Each is sent with its number and place: the same words in many orders would be flagged, each to its patient.
TEXT = "今天体温三十七度八，咳嗽比昨天少一些，夜里能睡，药按时吃了。" * 2


class Pair(msgspec.Struct):
    """A conversation and a token of each side."""

    conversation_id: str
    patient_token: str
    doctor_token: str


@dataclass(frozen=True, slots=True)
class Throughput:
    pairs: int
    seconds: float
    messages: int

    @property
    def per_second(self) -> float:
        return self.messages / self.seconds


class Talk:
    """One direction of one conversation. A message counts when its sender has the ack *and* the other side has it."""

    def __init__(self, pair: Pair, sender: RawClient, receiver: RawClient, name: str) -> None:
        self._pair = pair
        self._sender = sender
        self._name = name
        self._number = 0
        self._missing = 0
        self._started = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._turn = asyncio.Lock()
        self.count = 0
        self.running = False
        self.samples: list[float] = []
        sender.on_packet = self._on_ack
        receiver.on_packet = self._on_event

    def start(self) -> None:
        self.running = True
        self._send()

    async def say(self) -> None:
        """One message, until it is acknowledged and delivered; its time begins now, also if the one before is on its way."""
        due = time.perf_counter()
        async with self._turn:
            self._waiter = asyncio.get_running_loop().create_future()
            self._send(due)
            await self._waiter

    def _send(self, due: float | None = None) -> None:
        self._number += 1
        self._missing = 2
        self._started = due or time.perf_counter()
        body = {
            "conversation_id": self._pair.conversation_id,
            "client_id": f"{self._name}-{self._number:012d}",
            "parts": [{"kind": "text", "text": f"{self._number} {self._pair.conversation_id[-8:]} {TEXT}"}],
        }
        self._sender.send(command(self._number, "message.send", body))

    def _on_ack(self, packet: bytes) -> None:
        if packet.startswith(b"43"):
            if b'"ok":true' not in packet[:40]:
                raise RuntimeError(packet[:300].decode())
            self._arrived()

    def _on_event(self, packet: bytes) -> None:
        if packet.startswith(b'42["message.new"'):
            self._arrived()

    def _arrived(self) -> None:
        self._missing -= 1
        if self._missing:
            return
        self.count += 1
        self.samples.append(time.perf_counter() - self._started)
        if self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None
        elif self.running:
            self._send()


async def connect_pairs(host: str, port: int, pairs: Sequence[Pair], run: str) -> list[tuple[Talk, RawClient, RawClient]]:
    """Both sides of each pair; every second pair the doctor talks."""
    talks = []
    for number, pair in enumerate(pairs):
        patient = await RawClient.open(host, port, pair.patient_token)
        doctor = await RawClient.open(host, port, pair.doctor_token)
        sender, receiver = (patient, doctor) if number % 2 else (doctor, patient)
        talks.append((Talk(pair, sender, receiver, run), sender, receiver))
    return talks


async def hang_up(talks: Sequence[tuple[Talk, RawClient, RawClient]]) -> None:
    for _, sender, receiver in talks:
        sender.close()
        receiver.close()
    await asyncio.sleep(0.5)


async def talk_for(talks: Sequence[tuple[Talk, RawClient, RawClient]], seconds: float) -> Throughput:
    """Every pair has one message on its way at any time."""
    before, started = sum(t.count for t, _, _ in talks), time.perf_counter()
    for talk, _, _ in talks:
        if not talk.running:
            talk.start()
    await asyncio.sleep(seconds)
    after, ended = sum(t.count for t, _, _ in talks), time.perf_counter()
    return Throughput(len(talks), ended - started, after - before)


async def stop(talks: Sequence[tuple[Talk, RawClient, RawClient]]) -> None:
    for talk, _, _ in talks:
        talk.running = False
    await asyncio.sleep(0.5)


async def latency_at(
    talks: Sequence[tuple[Talk, RawClient, RawClient]], per_second: float, seconds: float
) -> tuple[float, float]:
    """p50 and p99 in milliseconds, from sending to both acknowledged and delivered, at a steady rate over all pairs."""
    for talk, _, _ in talks:
        talk.samples.clear()
    loop = asyncio.get_running_loop()
    began, sent, running = loop.time(), 0, set()
    while (elapsed := loop.time() - began) < seconds:
        while sent < elapsed * per_second:
            task = asyncio.create_task(talks[sent % len(talks)][0].say())
            running.add(task)
            task.add_done_callback(running.discard)
            sent += 1
        await asyncio.sleep(0.5 / per_second)
    await asyncio.gather(*running)
    samples = sorted(s * 1_000 for talk, _, _ in talks for s in talk.samples)
    cuts = statistics.quantiles(samples, n=100)
    return cuts[49], cuts[98]


async def connect_many(host: str, port: int, tokens: Sequence[str], at_once: int = 32) -> tuple[float, list[RawClient]]:
    """Connections a second, each joined with its token, and the connections."""
    gate = asyncio.Semaphore(at_once)

    async def one(token: str) -> RawClient:
        async with gate:
            return await RawClient.open(host, port, token)

    started = time.perf_counter()
    clients = await asyncio.gather(*(one(token) for token in tokens))
    return len(clients) / (time.perf_counter() - started), list(clients)
