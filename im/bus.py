"""Hints between processes through Redis pub/sub, sealed, since they hold what people wrote.

Redis may die, hang or come back at any time. The publisher drops what it cannot carry; the listener starts again with
back-off and is watched: every process that listens publishes a heartbeat and must hear its own, else its listener is dead,
however alive its connection looks. The same heartbeats say whether anybody else listens: a process that is alone publishes
nothing. Letters are numbered, so that one that was lost on its way is missed by those who hear the next. `deaf_since` says from
when on something may be missing; `im.stand_in` then looks in the log.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from im.live import Hint
from server.kernel.crypto import Damaged, SealingKey
from server.kernel.ids import new_id

log = structlog.get_logger(__name__)

_PURPOSE: Final = b"live"
_HEARTBEAT_SECONDS: Final = 0.5
_DEAF_SECONDS: Final = 2.0
_TIMEOUT_SECONDS: Final = 1.0
"""A Redis that hangs is noticed within a heartbeat and this, so that the log can be asked instead within three seconds."""

_PEER_SECONDS: Final = 5.0
_CERTAIN_SECONDS: Final = 4.0
"""Who is there says so within this, also one that just lost Redis: its longest back-off, a time-out and a heartbeat."""

_FORGET_PEER_SECONDS: Final = 600.0
_MAX_BACK_OFF_SECONDS: Final = 2.0
_CANCEL_SECONDS: Final = 0.2
_GATHER_SECONDS: Final = 0.004
"""Between two letters, so that in a busy hour one carries many hints: a letter costs its sender and each who hears it as much
as many hints do. The first after a pause leaves at once."""

_WAITING: Final = 5_000
_BATCH: Final = 200

_FAILURES: Final = (RedisError, OSError, TimeoutError, EOFError)


class _Letter(msgspec.Struct, frozen=True, array_like=True):
    """What travels: who sent it, whether he listens, his hints (none: a heartbeat), and the letter's number among his (0: he is
    of a version that did not count)."""

    sender: str
    listens: bool
    hints: list[Hint]
    number: int = 0


class _Peer:
    """Another process: when it was last heard, the number of its last letter, whether it listens."""

    __slots__ = ("listens", "number", "seen")

    def __init__(self, number: int, seen: float, listens: bool) -> None:
        self.number, self.seen, self.listens = number, seen, listens


class RedisBus:
    """`key` is the deployment's; processes of another one neither read nor forge. `receives` False: publishes only."""

    def __init__(self, url: str, key: SealingKey, *, channel: str, receives: bool) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            socket_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._key = key
        self._channel = f"yz:live:{channel}"
        self._receives = receives
        self._id = new_id()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(_Letter)
        self._waiting: deque[Hint] = deque(maxlen=_WAITING)
        self._wake = asyncio.Event()
        self._heard: Callable[[Hint], None] | None = None
        self._peers: dict[str, _Peer] = {}
        self._number = 0
        self._last_own = 0.0
        self._listening_from = 0.0
        self._certain_from = float("inf")
        self._beat_at = 0.0
        self._listening = self._publishing = False
        self.is_alone = False
        """Whether nobody else listens, for certain. Looked at for every message, so it is kept, not computed."""
        self.deaf_since: float | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def healthy(self) -> bool:
        return self._publishing and (self._listening or not self._receives)

    def listen(self, heard: Callable[[Hint], None]) -> None:
        self._heard = heard

    def all_heard(self) -> None:
        self.deaf_since = None

    def _missed(self, since: float) -> None:
        if self._receives:
            self.deaf_since = since if self.deaf_since is None else min(since, self.deaf_since)

    def publish(self, hint: Hint) -> None:
        if self._tasks and not self.is_alone:
            if len(self._waiting) == _WAITING:
                self._number += 1  # the oldest is lost, and whoever hears the next letter shall know
            self._waiting.append(hint)
            self._wake.set()

    async def start(self) -> None:
        self._missed(asyncio.get_running_loop().time())
        self._tasks = [asyncio.create_task(self._publish_forever(), name="live-publisher")]
        if self._receives:
            self._tasks.append(asyncio.create_task(self._listen_forever(), name="live-listener"))

    async def close(self) -> None:
        """Let what waits leave, if it leaves soon; then end."""
        tasks, self._tasks = set(self._tasks), []
        while tasks:  # the client can swallow a cancellation that comes while it connects: then ask again
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                if self._waiting and self._publishing:
                    await self._post(list(self._waiting))
                await self._redis.aclose()
        except _FAILURES as error:
            log.info("live.not_closed", error=type(error).__name__)

    @property
    def certain(self) -> bool:
        """Whether we listened long enough to know who else does."""
        return self._listening and asyncio.get_running_loop().time() >= self._certain_from

    @property
    def waiting(self) -> int:
        """Hints that are not published yet."""
        return len(self._waiting)

    # --- out ---

    async def _publish_forever(self) -> None:
        back_off = _HEARTBEAT_SECONDS / 10
        loop = asyncio.get_running_loop()
        gathered_at = 0.0
        while True:
            if not self._waiting:
                self._wake.clear()
                await _wait(self._wake, max(0.0, self._beat_at - loop.time()))
            try:
                if loop.time() >= self._beat_at:
                    await self._post([])
                    self._beat_at = loop.time() + _HEARTBEAT_SECONDS
                if self._waiting:
                    if (early := gathered_at - loop.time()) > 0:
                        await asyncio.sleep(early)
                    await self._post([self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))])
                    gathered_at = loop.time() + _GATHER_SECONDS
            except _FAILURES as error:
                if self._publishing:
                    log.warning("live.publisher_lost", error=type(error).__name__)
                self._publishing = False
                self._number += 1
                self._waiting.clear()
                self._missed(loop.time() - _TIMEOUT_SECONDS)
                await asyncio.sleep(back_off)
                back_off = min(back_off * 2, _MAX_BACK_OFF_SECONDS)
            else:
                self._publishing, back_off = True, _HEARTBEAT_SECONDS / 10

    async def _post(self, hints: list[Hint]) -> None:
        self._number += 1
        letter = self._encoder.encode(_Letter(self._id, self._receives, hints, self._number))
        await self._redis.publish(self._channel, self._key.seal(letter, _PURPOSE))

    # --- in ---

    async def _listen_forever(self) -> None:
        back_off = _HEARTBEAT_SECONDS / 10
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await self._listen_once()
            except _FAILURES as error:
                if self._listening or back_off == _HEARTBEAT_SECONDS / 10:
                    log.warning("live.listener_lost", error=type(error).__name__)
            self._missed((self._last_own if self._listening else loop.time()) - _HEARTBEAT_SECONDS)
            self._listening = self.is_alone = False
            if loop.time() - started > _DEAF_SECONDS * 2:
                back_off = _HEARTBEAT_SECONDS / 10
            await asyncio.sleep(back_off)
            back_off = min(back_off * 2, _MAX_BACK_OFF_SECONDS)

    async def _listen_once(self) -> None:
        """Subscribe and hear until the connection ends or falls silent."""
        loop = asyncio.get_running_loop()
        pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
        try:
            await pubsub.subscribe(self._channel)
            self._last_own = self._listening_from = loop.time()
            self._certain_from = loop.time() + _CERTAIN_SECONDS
            self._beat_at = 0.0  # say at once that we are here
            self._wake.set()
            while True:
                message = await pubsub.get_message(timeout=_HEARTBEAT_SECONDS)
                if message is not None and message["type"] == "message":
                    self._take(message["data"])
                if loop.time() - self._last_own > _DEAF_SECONDS:
                    raise TimeoutError("own heartbeat not heard")
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    def _take(self, sealed: bytes) -> None:
        try:
            letter = self._decoder.decode(self._key.open(sealed, _PURPOSE))
        except (Damaged, msgspec.MsgspecError):
            log.warning("live.foreign_letter")
            return
        now = asyncio.get_running_loop().time()
        if letter.sender == self._id:
            self._last_own = now
            self._listening = True
            self.is_alone = self.certain and not any(p.listens and now - p.seen < _PEER_SECONDS for p in self._peers.values())
            return
        self._note_peer(letter, now)
        if self._heard is not None:
            for hint in letter.hints:
                self._heard(hint)

    def _note_peer(self, letter: _Letter, now: float) -> None:
        """Who else is there, and whether his letter before this one came."""
        peer = self._peers.get(letter.sender)
        if peer is None:
            self._peers = {name: each for name, each in self._peers.items() if now - each.seen < _FORGET_PEER_SECONDS}
            self._peers[letter.sender] = _Peer(letter.number, now, letter.listens)
            if letter.number > 1:  # since we listen he may have said something that did not come
                self._missed(self._listening_from)
        else:
            if letter.number and letter.number != peer.number + 1:
                log.warning("live.letters_lost", count=letter.number - peer.number - 1)
                self._missed(peer.seen)
            peer.number, peer.seen, peer.listens = letter.number, now, letter.listens
        if letter.listens:
            self.is_alone = False


async def _wait(event: asyncio.Event, seconds: float) -> None:
    if seconds > 0:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
