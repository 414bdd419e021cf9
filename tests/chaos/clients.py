"""The people: a patient and a doctor who talk, one consult after another, each on an app that does what good apps do.

An app says a thing until it is answered, under one client id, by its socket or over HTTP, whichever answers; it takes entries
by their number, from live events and from `conversation.sync`, and asks for what it lacks. One app is here, on Python's client;
the other is `tests/node/chaos.mjs`, on the JavaScript one.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import socketio
from socketio.exceptions import SocketIOError

from examples.consult import text
from tests.functional.test_sockets_node import FOLDER, node_binary
from tests.support.devices import TRY_SECONDS, Customer, Device, Sent, insist, sign_in

_TOKEN_SECONDS: Final = 600.0
_THINK_SECONDS: Final = (0.05, 0.5)
_SETTLED_SECONDS: Final = 600.0
_PATIENCE_SECONDS: Final = 600.0
"""Beyond what any fault takes, also where the machine has other work: who gives up on a slow one shows nothing."""

OVER: Final = frozenset({"conversation.closed", "conversation.quota_exhausted"})
"""The refusals that end a talk. Any other is a fault of the product."""


@dataclass
class Said:
    """What one side of a consult sent and how it was answered, by client id; and which numbers it took back."""

    sent: dict[str, Sent] = field(default_factory=dict)
    recalled: set[int] = field(default_factory=set)
    gifts: int = 0
    strange: list[str] = field(default_factory=list)
    """Answers that should not have come."""
    over_http: int = 0
    reconnects: int = 0


class App(Protocol):
    """One side's app in one consult."""

    async def chat(self, order: Mapping[str, Any], name: str, seed: str) -> Said:
        """Talk until the consult is over."""
        ...

    async def log(self, conversation_id: str) -> list[dict[str, Any]]:
        """All that the app holds of it, once it was settled."""
        ...

    def end(self) -> None:
        """Whatever it does."""
        ...


@dataclass
class Phone(Device):
    """The app on python-socketio. Signs in anew before its token is old; a refused token before that is a fault."""

    demo: dict[str, Any] = field(default_factory=dict)
    role: str = ""
    number: str = ""
    held: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    came: int = 0
    refused: list[str] = field(default_factory=list)
    _signed_in_at: float = field(default_factory=time.monotonic)
    _syncing: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    async def open(cls, device: Device, demo: dict[str, Any], role: str, number: str) -> "Phone":
        return cls(device.http, device.base_url, device.token, device.account_id, demo=demo, role=role, number=number)

    async def _timed(self, what: str, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """More patience than other devices have: here everything fails at once."""
        began = time.monotonic()
        try:
            return await insist(attempt, seconds=_PATIENCE_SECONDS)
        finally:
            self.slowest = max(self.slowest, (time.monotonic() - began, what))

    async def renew(self) -> None:
        if time.monotonic() - self._signed_in_at > _TOKEN_SECONDS:
            self._signed_in_at = time.monotonic()
            self.token = (await sign_in(self.http, self.demo, self.role, self.number)).token

    async def request(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> tuple[int, Any]:
        await self.renew()
        status, content = await super().request(method, path, body, key=key)
        if status == 401:
            self.refused.append(f"{method} {path}: {content['code']}")
        return status, content

    async def say_somehow(self, conversation_id: str, words: str, client_id: str, *, by_socket: bool) -> tuple[Sent, bool]:
        """Sent by one way, and by the other when the first does not answer; whether HTTP had the answer."""
        await self.renew()
        body = {"client_id": client_id, "parts": [text(words)]}
        ways = [by_socket]

        async def attempt() -> tuple[Sent, bool] | None:
            ways[0] = not (was := ways[0])
            sent = await (self._by_socket(conversation_id, body) if was else self._over_http(conversation_id, body))
            return None if sent is None else (sent, not was)

        found: tuple[Sent, bool] = await self._timed("say", attempt)
        return found

    async def _by_socket(self, conversation_id: str, body: Mapping[str, Any]) -> Sent | None:
        socket = await self._connected()
        try:
            ack = await socket.call("message.send", {"conversation_id": conversation_id, **body}, timeout=TRY_SECONDS)
        except SocketIOError:
            await self.disconnect()
            raise
        if ack["ok"]:
            self.take(ack["message"])
            return Sent(ack["message"]["seq"], None)
        return self._refusal(ack["error"]["kind"], ack["error"]["code"], "message.send")

    async def _over_http(self, conversation_id: str, body: Mapping[str, Any]) -> Sent | None:
        url = f"{self.base_url}/api/v1/conversations/{conversation_id}/messages"
        async with self.http.post(url, json=body, headers={"Authorization": f"Bearer {self.token}"}) as answer:
            content = await answer.json()
        if answer.status == 201:
            self.take(content)
            return Sent(content["seq"], None)
        if answer.status == 401:
            self.refused.append(f"POST messages: {content['code']}")
        kind = {500: "internal", 503: "unavailable", 429: "rate_limited"}.get(answer.status, "refused")
        return self._refusal(kind, content["code"], "POST messages")

    def _refusal(self, kind: str, code: str, what: str) -> Sent | None:
        if kind == "internal":
            self.internal.append(what)
        return None if kind in ("internal", "unavailable", "rate_limited") else Sent(None, code)

    # --- what it holds ---

    def take(self, message: dict[str, Any]) -> None:
        """An entry, wherever it came from. A recall takes the words off the one that it recalls, whichever came first: what was
        said live before the recall may be heard after it."""
        held = self.held.setdefault(message["conversation_id"], {})
        if message["seq"] not in held or not held[message["seq"]]["recalled"]:
            held[message["seq"]] = message
        recalled = {each["recalls"] for each in held.values()}
        for seq in {message["seq"], message["recalls"]} & recalled & held.keys():
            held[seq] = {**held[seq], "recalled": True, "parts": []}

    async def catch_up(self, conversation_id: str) -> None:
        """Ask for what comes after the last number without a hole before it."""
        while True:
            held = self.held.setdefault(conversation_id, {})
            cursor = next(seq for seq in range(len(held) + 1) if seq + 1 not in held)
            ack = await self.emit("conversation.sync", {"cursors": {conversation_id: cursor}})
            (found,) = ack["conversations"]
            for message in found["messages"]:
                self.take(message)
            if not found["more"]:
                return

    async def _connected(self) -> socketio.AsyncClient:
        async with self._opening:
            if self._socket is None or not self._socket.connected:
                await self.disconnect()
                socket = socketio.AsyncClient(reconnection=False, http_session=self.http)
                socket.on("message.new", self._heard)
                socket.on("connect_error", self._not_let_in)
                socket.on("session.revoked", self._sent_away)
                await socket.connect(self.base_url, auth={"token": self.token}, transports=["websocket"], wait_timeout=2)
                self._socket = socket
                self.came += 1
            return self._socket

    def _not_let_in(self, told: Any) -> None:
        code = told.get("data", {}).get("code", "") if isinstance(told, dict) else ""
        if code.startswith("auth."):
            self.refused.append(f"connect: {code}")

    def _sent_away(self, told: Any) -> None:
        self.refused.append(f"session.revoked: {told}")

    async def _heard(self, message: dict[str, Any]) -> None:
        self.take(message)
        held = self.held[message["conversation_id"]]
        if len(held) < message["seq"] and not self._syncing:
            task = asyncio.create_task(self.catch_up(message["conversation_id"]))
            self._syncing.add(task)
            task.add_done_callback(self._syncing.discard)

    async def close(self) -> None:
        for task in self._syncing:
            task.cancel()
        await asyncio.gather(*self._syncing, return_exceptions=True)
        await self.disconnect()


@dataclass
class PythonApp:
    """A side that talks on a `Phone`. `gives`: it is the doctor's and gives replies away now and then."""

    phone: Phone
    gives: bool

    async def chat(self, order: Mapping[str, Any], name: str, seed: str) -> Said:
        said, chance, conversation, number = Said(), random.Random(seed), order["conversation_id"], 0
        before = self.phone.came
        while True:
            number += 1
            client_id = f"{name}-{number:05d}"
            sent, over_http = await self.phone.say_somehow(
                conversation, f"第{number}句 {name}", client_id, by_socket=chance.random() < 0.7
            )
            said.over_http += over_http
            said.sent[client_id] = sent
            if sent.seq is None:
                if sent.code not in OVER:
                    said.strange.append(f"{client_id}: {sent.code}")
                said.reconnects = self.phone.came - before
                return said
            await self.phone.emit("receipt.read", {"conversation_id": conversation, "seq": sent.seq})
            if (draw := chance.random()) < 0.15:
                await self._recall(conversation, sent.seq, f"{client_id}-recall", said)
            elif draw < 0.2:
                await self.phone.disconnect()
            elif draw < 0.24 and self.gives:
                await self._gift(order["id"], f"{client_id}-gift", said)
            await asyncio.sleep(chance.uniform(*_THINK_SECONDS))

    async def _recall(self, conversation: str, seq: int, client_id: str, said: Said) -> None:
        recall = await self.phone.recall(conversation, seq, client_id)
        if recall.seq is not None:
            said.sent[client_id] = recall
            said.recalled.add(seq)
        elif recall.code not in ("message.recall_expired", *OVER):
            said.strange.append(f"{client_id}: {recall.code}")

    async def _gift(self, order_id: str, key: str, said: Said) -> None:
        status, content = await self.phone.request("POST", f"/orders/{order_id}/gifts", {"count": 1}, key=key)
        if status == 200:
            said.gifts += 1
        elif content["code"] not in ("order.transition_refused", *OVER):
            said.strange.append(f"{key}: {content['code']}")

    async def log(self, conversation_id: str) -> list[dict[str, Any]]:
        until = time.monotonic() + _SETTLED_SECONDS
        while True:
            await self.phone.catch_up(conversation_id)
            held = self.phone.held[conversation_id]
            if any(entry["kind"] == "settled" for entry in held.values()):
                return [held[seq] for seq in sorted(held)]
            if time.monotonic() > until:
                last = [(seq, held[seq]["kind"], held[seq]["sent_at"], held[seq]["closes"]) for seq in sorted(held)[-3:]]
                raise AssertionError(f"not settled after {_SETTLED_SECONDS:.0f} s, the last entries are {last}")
            await asyncio.sleep(0.2)

    def end(self) -> None:
        return


@dataclass
class NodeApp:
    """A side that talks on the JavaScript client: a process a consult."""

    device: Phone
    _process: asyncio.subprocess.Process | None = None

    async def chat(self, order: Mapping[str, Any], name: str, seed: str) -> Said:
        await self.device.renew()
        self._process = await asyncio.create_subprocess_exec(
            node_binary(), "chaos.mjs", self.device.base_url, self.device.token, order["conversation_id"], name, seed,
            cwd=FOLDER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=16 << 20,
        )  # fmt: skip
        told = await self._read()
        said = Said(over_http=told["over_http"], reconnects=told["reconnects"], recalled=set(told["recalled"]))
        said.sent = {client_id: Sent(seq, code) for client_id, seq, code in told["sent"]}
        said.strange = told["strange"]
        self.device.internal += told["internal"]
        self.device.refused += told["refused"]
        self.device.slowest = max(self.device.slowest, (told["slowest"], "say, on Node"))
        return said

    async def log(self, conversation_id: str) -> list[dict[str, Any]]:
        assert self._process is not None, "it talked before"
        assert self._process.stdin is not None, "it was started with one"
        async with asyncio.timeout(_SETTLED_SECONDS):
            self._process.stdin.write(b"log\n")
            log: list[dict[str, Any]] = (await self._read())["log"]
            await self._process.wait()
        return log

    async def _read(self) -> dict[str, Any]:
        assert self._process is not None, "it was started"
        assert self._process.stdout is not None, "it was started with one"
        line = await self._process.stdout.readline()
        assert line, "the app on Node ended without a word"
        told: dict[str, Any] = json.loads(line)
        return told

    def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()


@dataclass
class Consult:
    """One paid order: who talked, on what, and what they were told."""

    customer: Customer
    patient: App
    doctor: App
    phones: tuple[Phone, Phone]
    name: str
    seed: str
    order: dict[str, Any] = field(default_factory=dict)
    prepay_id: str = ""
    by: dict[str, Said] = field(default_factory=dict)
    """By account."""

    async def run(self) -> None:
        order = await self.customer.order(self.name)
        self.prepay_id = await pay(self.customer, order["id"], self.name)
        self.order = await self.customer.until(
            order["id"], "awaiting_doctor", "refunding", "refunded", seconds=_PATIENCE_SECONDS
        )
        if self.order["status"] != "awaiting_doctor":
            return  # the payment came through only after its own deadline
        patient, doctor = await asyncio.gather(
            self.patient.chat(self.order, f"{self.name}-p", f"{self.seed} patient"),
            self.doctor.chat(self.order, f"{self.name}-d", f"{self.seed} doctor"),
        )
        self.by = {self.phones[0].account_id: patient, self.phones[1].account_id: doctor}


async def pay(customer: Customer, order_id: str, key: str) -> str:
    """As `Customer.pay`, with a wallet that may be dead for a while too."""
    payment = await customer.device.call("POST", f"/orders/{order_id}/payments", {"channel": "wechat_h5"}, key=f"pay-{key}")
    prepay_id = str(payment["prepay_id"])

    async def attempt() -> bool | None:
        async with customer.device.http.post(f"{customer.simulators_url}/wechatpay/wallet/{prepay_id}/pay") as answer:
            return True if answer.status < 400 or answer.status == 409 else None

    await insist(attempt, seconds=_PATIENCE_SECONDS)
    return prepay_id
