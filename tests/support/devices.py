"""Devices that do not give up: whatever the product's processes go through, each command is sent until it is answered.

What a person's app does on a bad line: the same client id or idempotency key, again and again, until the server says yes or no.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import socketio
from socketio.exceptions import SocketIOError

from examples.consult import text

TRY_SECONDS = 3.0
PAUSE_SECONDS = 0.1
_PASSING = frozenset({"unavailable", "internal", "rate_limited"})


class GaveUp(AssertionError):
    """A command was not answered in all the time it had."""


async def insist(attempt: Callable[[], Awaitable[Any]], *, seconds: float = 60.0) -> Any:
    """The first answer of `attempt` that is not None; what the network throws meanwhile is no answer."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                with suppress(aiohttp.ClientError, SocketIOError, TimeoutError, OSError):
                    async with asyncio.timeout(TRY_SECONDS):
                        answer = await attempt()
                    if answer is not None:
                        return answer
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        raise GaveUp(f"no answer in {seconds} s") from None


@dataclass
class Sent:
    """A command that was answered: its number in the log, or the code of its refusal."""

    seq: int | None
    code: str | None


@dataclass
class Device:
    """One signed-in app: HTTP, and a socket that is opened again whenever it is gone."""

    http: aiohttp.ClientSession
    base_url: str
    token: str
    account_id: str
    internal: list[str] = field(default_factory=list)
    """Answers that a client must never see, whatever dies: `service.internal`."""
    slowest: tuple[float, str] = (0.0, "")
    """The longest that a command took until it was answered, in seconds, and which."""
    _socket: socketio.AsyncClient | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def request(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> tuple[int, Any]:
        """Status and content, once it is not the server's trouble any more."""
        headers = {"Authorization": f"Bearer {self.token}"} | ({} if key is None else {"Idempotency-Key": key})

        async def attempt() -> tuple[int, Any] | None:
            url = f"{self.base_url}/api/v1{path}"
            async with self.http.request(method, url, json=body, headers=headers) as answer:
                content = await answer.json() if "json" in answer.content_type else None
                if answer.status == 500:
                    self.internal.append(f"{method} {path}: {content}")
                passing = answer.status >= 500 or (answer.status == 409 and content["code"] == "idempotency.in_progress")
                return None if passing else (answer.status, content)

        found: tuple[int, Any] = await self._timed(f"{method} {path}", attempt)
        return found

    async def _timed(self, what: str, attempt: Callable[[], Awaitable[Any]]) -> Any:
        began = time.monotonic()
        try:
            return await insist(attempt)
        finally:
            self.slowest = max(self.slowest, (time.monotonic() - began, what))

    async def call(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        status, content = await self.request(method, path, body, key=key)
        assert status < 400, f"{method} {path}: {status} {content}"
        return content

    async def emit(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The acknowledgement, once it is yes or a no that stays."""

        async def attempt() -> dict[str, Any] | None:
            socket = await self._connected()
            try:
                ack: dict[str, Any] = await socket.call(name, dict(body), timeout=TRY_SECONDS)
            except SocketIOError:
                await self.disconnect()  # a line that does not answer may be half dead
                raise
            if not ack["ok"] and ack["error"]["kind"] == "internal":
                self.internal.append(f"{name}: {ack['error']}")
            return None if not ack["ok"] and ack["error"]["kind"] in _PASSING else ack

        found: dict[str, Any] = await self._timed(name, attempt)
        return found

    async def say(self, conversation_id: str, words: str, client_id: str, *, by_socket: bool) -> Sent:
        body = {"client_id": client_id, "parts": [text(words)]}
        if by_socket:
            return _sent(await self.emit("message.send", {"conversation_id": conversation_id, **body}))
        status, content = await self.request("POST", f"/conversations/{conversation_id}/messages", body)
        return Sent(content["seq"], None) if status == 201 else Sent(None, content["code"])

    async def recall(self, conversation_id: str, seq: int, client_id: str) -> Sent:
        return _sent(
            await self.emit("message.recall", {"conversation_id": conversation_id, "client_id": client_id, "seq": seq})
        )

    async def log_of(self, conversation_id: str) -> list[dict[str, Any]]:
        """The whole conversation, as a new device catches up with it."""
        messages: list[dict[str, Any]] = []
        while True:
            cursor = messages[-1]["seq"] if messages else 0
            ack = await self.emit("conversation.sync", {"cursors": {conversation_id: cursor}})
            (found,) = ack["conversations"]
            messages += found["messages"]
            if not found["more"]:
                assert not messages or found["seq"] == messages[-1]["seq"]
                return messages

    async def disconnect(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            with suppress(SocketIOError, TimeoutError, OSError):
                async with asyncio.timeout(TRY_SECONDS):
                    await socket.disconnect()

    async def _connected(self) -> socketio.AsyncClient:
        async with self._opening:
            if self._socket is None or not self._socket.connected:
                await self.disconnect()
                socket = socketio.AsyncClient(reconnection=False, http_session=self.http)
                await socket.connect(self.base_url, auth={"token": self.token}, transports=["websocket"], wait_timeout=2)
                self._socket = socket
            return self._socket


def _sent(ack: dict[str, Any]) -> Sent:
    return Sent(ack["message"]["seq"], None) if ack["ok"] else Sent(None, ack["error"]["code"])


async def sign_in(http: aiohttp.ClientSession, demo: dict[str, Any], role: str, phone: str) -> Device:
    """A session by SMS code, insisted on like everything else."""
    base = demo["base_url"]

    async def attempt() -> Device | None:
        async with http.post(f"{base}/api/v1/auth/sms-codes", json={"phone": phone, "purpose": "login"}) as answer:
            if answer.status != 202:
                return None
        code = await _newest_code(http, demo, phone)
        body = {"phone": phone, "code": code, "device_id": uuid.uuid4().hex, "device_name": "stress"}
        async with http.post(f"{base}/api/v1/auth/{role}/sessions", json=body) as answer:
            session = await answer.json()
            if answer.status != 201:
                return None
        return Device(http, base, session["access_token"], session["account"]["account_id"])

    device: Device = await insist(attempt)
    return device


async def _newest_code(http: aiohttp.ClientSession, demo: dict[str, Any], phone: str) -> str:
    while True:
        async with http.get(f"{demo['simulators_url']}/sms/messages", params={"phone": phone}) as answer:
            messages = await answer.json()
        if messages:
            return str(messages[0]["params"]["code"])
        await asyncio.sleep(PAUSE_SECONDS)


@dataclass
class Customer:
    """A patient with one patient record, who orders from one doctor."""

    device: Device
    patient_id: str
    doctor_id: str
    simulators_url: str

    async def order(self, key: str) -> dict[str, Any]:
        """An order that waits for its payment; the same key is the same order."""
        consent = await self.device.call("GET", "/consents/consult")
        body = {
            "doctor_id": self.doctor_id,
            "patient_id": self.patient_id,
            "kind": "consult",
            "complaint": "反复咳嗽两周。",
            "image_ids": [],
            "consent": {"version": consent["version"], "sha256": consent["sha256"], "record_access": True},
        }
        order: dict[str, Any] = await self.device.call("POST", "/orders", body, key=f"order-{key}")
        return order

    async def pay(self, order_id: str, key: str) -> str:
        """Begin to pay and pay in the wallet; the prepay id."""
        payment = await self.device.call("POST", f"/orders/{order_id}/payments", {"channel": "wechat_h5"}, key=f"pay-{key}")
        prepay_id = str(payment["prepay_id"])
        async with self.device.http.post(f"{self.simulators_url}/wechatpay/wallet/{prepay_id}/pay") as answer:
            assert answer.status < 400, await answer.text()
        return prepay_id

    async def wallet(self, prepay_id: str) -> dict[str, Any]:
        async with self.device.http.get(f"{self.simulators_url}/wechatpay/wallet/{prepay_id}") as answer:
            content: dict[str, Any] = await answer.json()
            return content

    async def until(self, order_id: str, *statuses: str, seconds: float = 60.0) -> dict[str, Any]:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    order: dict[str, Any] = await self.device.call("GET", f"/orders/{order_id}")
                    if order["status"] in statuses:
                        return order
                    await asyncio.sleep(PAUSE_SECONDS)
        except TimeoutError:
            raise GaveUp(f"order {order_id} is {order['status']}, not {statuses}, after {seconds} s") from None


async def customer(http: aiohttp.ClientSession, demo: dict[str, Any], number: int) -> tuple[Customer, Device]:
    """The demo's patient of that number, and the doctor of that number."""
    patient = await sign_in(http, demo, "patient", demo["patients"][number]["phone"])
    doctor = await sign_in(http, demo, "doctor", demo["doctors"][number]["phone"])
    mine = (await patient.call("GET", "/patients"))["items"]
    found = Customer(patient, mine[0]["id"], demo["doctors"][number]["doctor_id"], demo["simulators_url"])
    return found, doctor
