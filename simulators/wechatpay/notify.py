"""Callbacks: encrypted, signed, sent to `notify_url` until the merchant says 200 or 204, at the documented intervals.

A notification waits on a shelf until it was taken or given up, so that a gateway that is started again goes on. Every try is
kept in a bounded list that `GET /wechatpay/callbacks` shows.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Literal

import aiohttp
import msgspec
import orjson
from cryptography.hazmat.primitives.asymmetric import rsa

from server.kernel.clock import Clock, iso_ms
from server.kernel.ids import new_id
from simulators.schedule import Schedule
from simulators.shelf import Shelf
from simulators.wechatpay.faults import Faults
from simulators.wechatpay.protocol import Protocol, signed_headers

RETRY_SECONDS: Final = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
"""Between one try and the next, as the gateway documents them; after the last one it gives up."""

Forgery = Literal["unknown_key", "wrong_serial", "changed_body", "stale", "probe", "wrong_amount", "wrong_merchant"]
SIGNATURE_FORGERIES: Final[tuple[Forgery, ...]] = ("unknown_key", "wrong_serial", "changed_body", "stale", "probe")
"""What a stranger can send. The other two are signed by the platform and say something wrong."""

_ANSWER_SECONDS: Final = 5.0
_AT_ONCE: Final = 50
_STALE_MS: Final = 10 * 60 * 1000
_LOG_LENGTH: Final = 2000
_COPIES: Final = 2


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    event_type: str
    summary: str
    original_type: str
    subject: str
    resource: dict[str, Any]
    notify_url: str
    created_ms: int
    due_ms: int
    tries: int = 0
    fault: str = "normal"


class Notifier:
    def __init__(
        self,
        protocol: Protocol,
        shelf: Shelf[Notification],
        clock: Clock,
        schedule: Schedule,
        faults: Faults,
        *,
        retry_scale: float,
    ) -> None:
        self._protocol = protocol
        self._shelf = shelf
        self._clock = clock
        self._schedule = schedule
        self._faults = faults
        self._retry_scale = retry_scale
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._stranger: rsa.RSAPrivateKey | None = None
        self._session: aiohttp.ClientSession | None = None
        self.log: deque[dict[str, Any]] = deque(maxlen=_LOG_LENGTH)

    def start(self) -> None:
        """Go on with what an earlier run left."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS))
        for waiting in self._shelf:
            self._plan(waiting)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def notify(self, event_type: str, summary: str, subject: str, resource: dict[str, Any], notify_url: str) -> None:
        """Tell the merchant, as the levers say. A lost notification is lost with all its retries."""
        fault, now_ms = self._faults.callbacks.take(), self._clock.now_ms()
        notification = Notification(
            id=new_id(),
            event_type=event_type,
            summary=summary,
            original_type="transaction" if event_type.startswith("TRANSACTION") else "refund",
            subject=subject,
            resource=resource,
            notify_url=notify_url,
            created_ms=now_ms,
            due_ms=now_ms + (self._faults.late_ms if fault == "late" else 0),
            fault=fault,
        )
        if fault == "lost":
            self._note(notification, None, lost=True)
            return
        self._plan(self._shelf.put(notification.id, notification))

    async def forge(self, kind: Forgery, subject: str, resource: dict[str, Any], notify_url: str) -> dict[str, Any]:
        """Send one forged TRANSACTION.SUCCESS now. Returns what the merchant answered: `{status, body}`."""
        now_ms = self._clock.now_ms()
        notification = Notification(
            id=new_id(),
            event_type="TRANSACTION.SUCCESS",
            summary="支付成功",
            original_type="transaction",
            subject=subject,
            resource=resource,
            notify_url=notify_url,
            created_ms=now_ms,
            due_ms=now_ms,
        )
        status, body = await self._post(notification, kind)
        return {"kind": kind, "status": status, "body": body}

    def _plan(self, notification: Notification) -> None:
        self._schedule.at(notification.due_ms, partial(self._try, notification))

    async def _try(self, notification: Notification) -> None:
        async with self._at_once:
            taken = await self._deliver(notification)
        if taken or notification.tries == len(RETRY_SECONDS):
            self._shelf.remove(notification.id)
            return
        pause_ms = int(RETRY_SECONDS[notification.tries] * 1000 * self._retry_scale)
        again = msgspec.structs.replace(
            notification, tries=notification.tries + 1, due_ms=self._clock.now_ms() + pause_ms, fault="normal"
        )
        self._plan(self._shelf.put(again.id, again))

    async def _deliver(self, notification: Notification) -> bool:
        if notification.fault == "forged":
            for kind in SIGNATURE_FORGERIES:
                await self._post(notification, kind)
        if notification.fault == "duplicated":
            answers = await asyncio.gather(*(self._post(notification) for _ in range(_COPIES)))
            if all(status in (200, 204) for status, _ in answers):
                answers.append(await self._post(notification))
        else:
            answers = [await self._post(notification)]
        return any(status in (200, 204) for status, _ in answers)

    async def _post(self, notification: Notification, forged: Forgery | None = None) -> tuple[int | None, str]:
        """One try: the status (None: no answer in time) and the beginning of the body."""
        assert self._session is not None, "start() first"
        body, headers = self._envelope(notification, forged)
        try:
            async with self._session.post(
                notification.notify_url,
                data=body,
                headers={**headers, "Content-Type": "application/json", "Request-ID": new_id()},
                allow_redirects=False,
            ) as response:
                answer = (await response.content.read(2000)).decode(errors="replace")
                status: int | None = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError):
            status, answer = None, ""
        self._note(notification, status, forged=forged)
        return status, answer

    def _envelope(self, notification: Notification, forged: Forgery | None) -> tuple[bytes, Mapping[str, str]]:
        now_ms = self._clock.now_ms()
        resource = _falsified(notification.resource, forged)
        sealed = self._protocol.encrypt(orjson.dumps(resource), notification.original_type)
        document = {
            "id": notification.id,
            "create_time": iso_ms(notification.created_ms),
            "resource_type": "encrypt-resource",
            "event_type": notification.event_type,
            "summary": notification.summary,
            "resource": {"original_type": notification.original_type, **sealed},
        }
        body = orjson.dumps(document)
        headers = self._protocol.sign(body, now_ms - _STALE_MS if forged == "stale" else now_ms)
        if forged == "unknown_key":
            headers = signed_headers(self._stranger_key(), headers["Wechatpay-Serial"], body, now_ms)
        elif forged == "wrong_serial":
            headers["Wechatpay-Serial"] = "0" * 40
        elif forged == "changed_body":
            body = orjson.dumps({**document, "id": new_id()})
        elif forged == "probe":
            headers["Wechatpay-Signature"] = "WECHATPAY/SIGNTEST/" + headers["Wechatpay-Signature"]
        return body, headers

    def _stranger_key(self) -> rsa.RSAPrivateKey:
        if self._stranger is None:
            self._stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._stranger

    def _note(self, notification: Notification, status: int | None, *, forged: str | None = None, lost: bool = False) -> None:
        self.log.appendleft(
            {
                "id": notification.id,
                "event_type": notification.event_type,
                "subject": notification.subject,
                "try": notification.tries + 1,
                "status": status,
                "forged": forged,
                "lost": lost,
                "at": iso_ms(self._clock.now_ms()),
            }
        )


def _falsified(resource: dict[str, Any], forged: Forgery | None) -> dict[str, Any]:
    if forged == "wrong_amount":
        amount = resource["amount"]
        return {**resource, "amount": {**amount, "total": amount["total"] + 1, "payer_total": amount["total"] + 1}}
    if forged == "wrong_merchant":
        return {**resource, "mchid": "1900000999"}
    return resource
