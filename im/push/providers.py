"""The two ways to a device: an HTTP push provider for apps (JPush's API v3), and Web Push for browsers.

App: `POST <url>/v3/push`, Basic authentication by app key and master secret; `cid` is our id of the push, so that one that is
asked for again is not shown twice. Web: the body is encrypted for the browser (RFC 8291), the sender is known by a signed
token (RFC 8292, VAPID); both by pywebpush and py_vapid, the request by our own session, since theirs may not be bounded.
"""

import asyncio
import base64
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import orjson
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02
from yarl import URL

from im.push.domain import Push, Subscription
from im.push.ports import Answer, Taken
from server.kernel.clock import Clock

log = structlog.get_logger(__name__)

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, sock_connect=3)
_TOKEN_LIFE: Final = timedelta(hours=12)
_UNKNOWN_AUDIENCE: Final = 1011
_MOST_DIGITS: Final = 9
_FAILURES: Final = (aiohttp.ClientError, TimeoutError, OSError)
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256."""


@dataclass(frozen=True, slots=True)
class AppPushConfig:
    """`url` is the provider's, or a stand-in's."""

    url: str
    app_key: str
    master_secret: str

    def __repr__(self) -> str:
        return f"AppPushConfig(url={self.url!r})"


class AppPush:
    """`ports.Provider` for apps."""

    def __init__(self, http: aiohttp.ClientSession, config: AppPushConfig) -> None:
        self._http = http
        self._url = URL(config.url.rstrip("/") + "/v3/push")
        self._authorization = aiohttp.encode_basic_auth(config.app_key, config.master_secret)

    async def push(self, subscription: Subscription, push: Push) -> Answer:
        extras = _extras(push)
        body = {
            "platform": "all",
            "cid": push.id,
            "audience": {"registration_id": [subscription.address]},
            "notification": {
                "alert": push.text,
                "android": {"alert": push.text, "title": push.title, "badge_set_num": push.badge, "extras": extras},
                "ios": {"alert": {"title": push.title, "body": push.text}, "badge": push.badge, "extras": extras},
            },
            "options": {
                "time_to_live": int(push.expires_in.total_seconds()),
                "apns_collapse_id": push.collapse,
                "apns_production": True,
            },
        }
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        try:
            async with asyncio.timeout(_TIMEOUT.total):
                async with self._http.post(
                    self._url, data=orjson.dumps(body), headers=headers, timeout=_TIMEOUT, allow_redirects=False
                ) as answer:
                    status, raw = answer.status, await answer.content.read(4_096)
        except _FAILURES as error:
            log.info("push.no_answer", error=type(error).__name__)
            return Answer(Taken.LATER)
        if status == 200:
            return Answer(Taken.ACCEPTED)
        if status == 429 or status >= 500:
            return Answer(Taken.LATER)
        return Answer(Taken.GONE if _error_code(raw) == _UNKNOWN_AUDIENCE else Taken.REFUSED)


class WebPush:
    """`ports.Provider` for browsers. `secret` is 32 bytes of the deployment: the key that browsers subscribe for follows from
    it. `contact` is a `mailto:` or `https:` address for the push services' people."""

    def __init__(self, http: aiohttp.ClientSession, secret: bytes, contact: str, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._contact = contact
        private = ec.derive_private_key(int.from_bytes(secret, "big") % (_ORDER - 1) + 1, ec.SECP256R1())
        pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self._vapid = Vapid02.from_pem(pem)
        point = private.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        self.public_key = base64.urlsafe_b64encode(point).decode().rstrip("=")
        """As `applicationServerKey` takes it."""

    async def push(self, subscription: Subscription, push: Push) -> Answer:
        url = URL(subscription.address, encoded=True)
        content = {"id": push.id, "title": push.title, "text": push.text, "badge": push.badge, "collapse": push.collapse}
        body = self._encrypt(subscription, orjson.dumps(content | {"extras": _extras(push)}))
        if body is None:
            return Answer(Taken.GONE)
        claims: dict[str, Any] = {
            "aud": str(url.origin()),
            "exp": self._clock.now_ms() // 1_000 + int(_TOKEN_LIFE.total_seconds()),  # a number: strict services refuse text
            "sub": self._contact,
        }
        headers = {
            **self._vapid.sign(claims),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(int(push.expires_in.total_seconds())),
            "Topic": push.collapse,
            "Urgency": "high",
        }
        try:
            async with asyncio.timeout(_TIMEOUT.total):
                async with self._http.post(url, data=body, headers=headers, timeout=_TIMEOUT, allow_redirects=False) as answer:
                    return self._answer_of(answer)
        except _FAILURES as error:
            log.info("push.no_answer", error=type(error).__name__)
            return Answer(Taken.LATER)

    def _answer_of(self, answer: aiohttp.ClientResponse) -> Answer:
        taken = _web_taken(answer.status)
        return Answer(taken, self._rest(answer.headers.get("Retry-After", "")) if taken is Taken.LATER else None)

    def _rest(self, text: str) -> timedelta | None:
        """`Retry-After`: seconds, or an instant (RFC 9110). None where it is neither."""
        if text.isascii() and text.isdigit():
            return timedelta(seconds=int(text[:_MOST_DIGITS]))
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(timedelta(), (at if at.tzinfo else at.replace(tzinfo=UTC)) - self._clock.now())

    @staticmethod
    def _encrypt(subscription: Subscription, content: bytes) -> bytes | None:
        """None for keys that no browser has. The library brings an HTTP client along, so it comes with the first push: most
        processes never send one, and all would start later."""
        from pywebpush import WebPusher, WebPushException

        keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
        try:
            encoded: bytes = WebPusher({"endpoint": subscription.address, "keys": keys}).encode(content)["body"]
        except (ValueError, WebPushException) as error:
            log.info("push.not_encrypted", error=type(error).__name__)
            return None
        return encoded


def _web_taken(status: int) -> Taken:
    if 200 <= status < 300:
        return Taken.ACCEPTED
    if status in (404, 410):
        return Taken.GONE
    return Taken.LATER if status == 429 or status >= 500 else Taken.REFUSED


def _extras(push: Push) -> dict[str, Any]:
    """Where the app goes when it is tapped: ids only."""
    found = {"kind": push.kind, "order_id": push.order_id, "conversation_id": push.conversation_id, "seq": push.seq}
    return {name: value for name, value in found.items() if value is not None}


def _error_code(raw: bytes) -> int | None:
    try:
        code = orjson.loads(raw)["error"]["code"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return code if isinstance(code, int) else None
