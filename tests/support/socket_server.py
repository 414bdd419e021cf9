"""The socket edge over a real log, without the rest of the product: two members, a quota, tokens that a test hands out."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import socketio
from aiohttp import web

from im.announcer import Announcer
from im.commands import CommandRunner
from im.history import History
from im.live import Bus, LiveHub
from im.names import NameBook
from im.presence import Presence
from im.receipts import Receipts
from im.socket import commands
from im.stand_in import StandIn
from server.app.edge import as_domain_error
from server.app.frames import event_frame
from server.app.sockets import SocketOptions, SocketServer
from server.kernel.actor import Actor, Role
from server.kernel.audit import AuditLog
from server.kernel.clock import Clock, SystemClock
from server.kernel.errors import AuthRequired
from server.kernel.mongo import Database
from server.kernel.settings import parse_rate
from tests.support.im_log import DOCTOR, HOSPITAL, PATIENT, STRANGER, Openings, QuotaRules, make_log

NAMES = {DOCTOR: "张医生", PATIENT: "王小明"}
FAST = SocketOptions(message_rate=parse_rate("1000000/s"))


class Tokens:
    """Sessions by token: `patient`, `doctor`, `stranger`, `staff`, each with `-2`, `-3` … for another session of the same."""

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.asked = 0

    async def authenticate(self, token: str, *, request_id: str, address: str | None) -> Actor:
        account, _, _ = token.partition("-")
        known = {"patient": PATIENT, "doctor": DOCTOR, "stranger": STRANGER, "staff": "5" * 32}
        roles = {"doctor": Role.DOCTOR, "staff": Role.STAFF}
        if account not in known or token in self.dead:
            raise AuthRequired()
        return Actor(known[account], roles.get(account, Role.PATIENT), HOSPITAL, request_id, session_id=token, address=address)

    async def list_dead_sessions(self, session_ids: Collection[str]) -> Collection[str]:
        self.asked += 1
        return self.dead.intersection(session_ids)


class KnownNames:
    async def find_names(self, account_ids: Collection[str]) -> Mapping[str, str]:
        return {each: NAMES[each] for each in account_ids if each in NAMES}


class OpenOnes:
    def __init__(self, openings: Openings) -> None:
        self._openings = openings

    async def list_open_conversations(self, actor: Actor, limit: int) -> Sequence[str]:
        return sorted(self._openings.known)[:limit] if actor.account_id in NAMES else []


class Edge:
    """One serving process's worth of sockets."""

    def __init__(
        self,
        database: Database,
        *conversation_ids: str,
        quota: int = 1_000_000,
        options: SocketOptions = FAST,
        bus: Bus | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        openings = Openings(*conversation_ids, quota=quota, closes_at_ms=4_102_444_800_000)
        self._conversation_ids = conversation_ids
        self.sessions = Tokens()
        self.hub = LiveHub(event_frame, bus)
        self.audit = AuditLog(database)
        names = NameBook(KnownNames(), clock)
        self.announcer = Announcer(QuotaRules(), self.hub, names)
        self.log = make_log(
            database, openings, clock, listeners=[self.announcer], hints=[self.hub.entry_stored], audit=self.audit
        )
        self.hub.fold_hints_with(self.log.fold_hint)
        self.stand_in = StandIn(database, self.log, self.announcer, self.hub)
        self.log.add_listener(self.stand_in)
        self.receipts = Receipts(database, self.log)
        self.history = History(self.log, self.receipts, OpenOnes(openings), names, self.audit, clock, epoch=7)
        presence = Presence(self.log, self.receipts, self.announcer, clock)
        self.commands = commands(self.log, self.announcer, names, self.history, presence)
        self.server = SocketServer(
            sessions=self.sessions,
            hub=self.hub,
            runner=CommandRunner(self.commands, as_domain_error),
            clock=clock,
            options=options,
            clock_ok=lambda: self.clock_ok,
        )
        self.clock_ok = True
        self.port = 0
        self._clients: list[socketio.AsyncClient] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        self.server.attach(app)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        await self.server.start()
        await self.stand_in.start()
        for conversation_id in self._conversation_ids:
            await self.log.read_fresh(conversation_id)  # writes the opening
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for client in self._clients:
            await client.disconnect()
        await self.server.drain()
        await self.stand_in.close()
        await self.announcer.close()
        await self.receipts.close()
        await self.log.close()
        await self.audit.close()
        await self._runner.cleanup()

    async def client(self, token: str, *, transports: Sequence[str] = ("websocket",), **headers: str) -> "Client":
        """A connected client that keeps what it hears."""
        client = Client()
        self._clients.append(client.sio)
        await client.sio.connect(self.url, auth={"token": token}, transports=list(transports), headers=headers)
        return client


class Client:
    """python-socketio's own client, and all events that it got."""

    def __init__(self) -> None:
        self.sio = socketio.AsyncClient(reconnection=False)
        self.heard: list[tuple[str, Any]] = []
        self._arrived = asyncio.Event()
        self._gone = asyncio.Event()
        self.sio.on("*", self._hear)
        self.sio.on("disconnect", lambda *_: self._gone.set())

    def _hear(self, event: str, body: Any) -> None:
        self.heard.append((event, body))
        self._arrived.set()

    async def call(self, name: str, *body: Any) -> Any:
        return await self.sio.call(name, body if len(body) > 1 else body[0] if body else None, timeout=10)

    async def say(self, conversation_id: str, words: str, client_id: str) -> Any:
        parts = [{"kind": "text", "text": words}]
        return await self.call("message.send", {"conversation_id": conversation_id, "client_id": client_id, "parts": parts})

    def bodies(self, event: str) -> list[Any]:
        return [body for name, body in self.heard if name == event]

    async def hear(self, event: str, count: int = 1) -> list[Any]:
        """The bodies of this event, once there are so many."""
        async with asyncio.timeout(10):
            while len(self.bodies(event)) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.bodies(event)

    async def gone(self) -> None:
        """Until the server has closed the connection."""
        await asyncio.wait_for(self._gone.wait(), 10)
