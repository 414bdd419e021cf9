"""Browsers and their push service: subscriptions at `POST /push/web/subscriptions`, pushes at their endpoints (RFC 8030), what
waits for a browser at `GET /push/web/messages/{token}`, and the levers at `/push/web/faults`.

What arrives is checked as the strictest of the real ones do: a token of the sender for this origin that ends within a day and
names whom to ask (RFC 8292), signed by the key that the browser subscribed for, where it named one; one sealed record of at
most 4096 bytes; a lifetime, an urgency and a topic of their alphabets. A browser that this stand-in plays opens what it gets
(RFC 8291), and shows it with the other pushes of the device. One that keeps its keys to itself has its pushes waiting here,
sealed: of two with one `Topic` the later stays. A subscription that its browser gave up answers 410, one that never was 404.
"""

import base64
import re
import secrets
from collections.abc import Callable
from typing import Any, Final, Literal

import http_ece
import jwt
import msgspec
import orjson
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.kernel.clock import Clock, iso_ms
from simulators.levers import Lever
from simulators.shelf import Shelf, Store

_KEPT: Final = 10_000
_RAW: Final = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
_MOST_BYTES: Final = 4_096
_HEADER: Final = 16 + 4 + 1 + 65
"""Of a sealed body: salt, record size, the length of a key, and the sender's key of this one push."""

_LONGEST_TOKEN_SECONDS: Final = 86_400
_URGENCIES: Final = frozenset({"very-low", "low", "normal", "high"})
_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_CONTACT: Final = re.compile(r"(mailto:[^@\s]+@\S+|https://\S+)")


class Browser(msgspec.Struct, frozen=True, kw_only=True):
    """`private` is the browser's key in DER, empty where it keeps it to itself. `sender` is the key that it subscribed for."""

    device_id: str
    private: bytes
    auth: bytes
    sender: str | None = None
    gone: bool = False
    answers: list[tuple[int, int]] = []
    """To each push for it: when (ms), and the status."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A push that its browser has not fetched."""

    token: str
    body: bytes
    ttl_seconds: int
    urgency: str
    topic: str | None
    authorization: str
    sent_ms: int


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    p256dh: str = Field(pattern=r"^[A-Za-z0-9_-]{87}$")
    auth: str = Field(pattern=r"^[A-Za-z0-9_-]{22}$")


class _Subscribe(BaseModel):
    """`keys`: of a browser that keeps its private key; without them one is played here. `application_server_key`: as
    `pushManager.subscribe` takes it; then nobody else's pushes are taken."""

    model_config = ConfigDict(extra="forbid", strict=True)

    device_id: str = Field(min_length=1, max_length=128)
    keys: _Keys | None = None
    application_server_key: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{87}$")


class WebPushFaultSettings(BaseModel):
    """The whole setting: what is not named is normal. `busy`: 429 with `Retry-After`; `down`: 503."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pushes: Literal["normal", "busy", "down"] = "normal"
    retry_after: str = Field(default="60", max_length=64)
    count: int | None = Field(default=None, ge=1, le=1_000_000)


class WebPushService:
    """`arrived` takes what a browser opened: its device, and the content."""

    def __init__(self, store: Store, clock: Clock, arrived: Callable[[str, dict[str, Any]], None]) -> None:
        self._browsers = Shelf(store, "push.browsers", Browser, limit=_KEPT)
        self._waiting = Shelf(store, "push.waiting", Waiting, limit=_KEPT)
        self._clock = clock
        self._arrived = arrived
        self._lever = Lever()
        self._retry_after = "60"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/push/web/subscriptions", self._subscribe),
            web.delete("/push/web/subscriptions/{token}", self._unsubscribe),
            web.get("/push/web/messages/{token}", self._messages),
            web.put("/push/web/faults", self._put_faults),
            web.post("/push/web/{token}", self._push),
        ]

    async def _subscribe(self, request: web.Request) -> web.Response:
        """What `pushManager.subscribe` does: the answer is the subscription as a page gets it."""
        try:
            wanted = _Subscribe.model_validate_json(await request.read())
        except ValidationError:
            return web.Response(status=400)
        token = secrets.token_urlsafe(24)
        if wanted.keys is None:
            key, auth = ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(16)
            private = key.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            keys = {"p256dh": _text(key.public_key().public_bytes(*_RAW)), "auth": _text(auth)}
        else:
            private, auth, keys = b"", b"", wanted.keys.model_dump()
        made = Browser(device_id=wanted.device_id, private=private, auth=auth, sender=wanted.application_server_key)
        self._browsers.put(token, made)
        return _json(201, {"endpoint": f"{request.url.origin()}/push/web/{token}", "keys": keys})

    async def _unsubscribe(self, request: web.Request) -> web.Response:
        browser = self._browsers.find(request.match_info["token"])
        if browser is None:
            return web.Response(status=404)
        self._browsers.put(request.match_info["token"], msgspec.structs.replace(browser, gone=True))
        return web.Response(status=204)

    async def _push(self, request: web.Request) -> web.Response:
        token = request.match_info["token"]
        browser = self._browsers.find(token)
        if browser is None:
            return web.Response(status=404)
        answer = await self._answer(request, token, browser)
        answers = [*browser.answers, (self._clock.now_ms(), answer.status)]
        self._browsers.put(token, msgspec.structs.replace(browser, answers=answers[-100:]))
        return answer

    async def _answer(self, request: web.Request, token: str, browser: Browser) -> web.Response:
        if browser.gone:
            return web.Response(status=410)
        if "Authorization" not in request.headers:
            return web.Response(status=401)
        if not self._is_signed(request, browser.sender):
            return web.Response(status=403)
        match self._lever.take():
            case "busy":
                return web.Response(status=429, headers={"Retry-After": self._retry_after})
            case "down":
                return web.Response(status=503)
        body = await request.read()
        if len(body) > _MOST_BYTES:
            return web.Response(status=413)
        if not _is_well_formed(request, body) or not self._take(request, token, browser, body):
            return web.Response(status=400)
        return web.Response(status=201, headers={"Location": f"/push/web/messages/{secrets.token_hex(8)}"})

    def _take(self, request: web.Request, token: str, browser: Browser, body: bytes) -> bool:
        """Open it, or keep it for its browser; False where it cannot be opened."""
        topic = request.headers.get("Topic")
        if not browser.private:
            waiting = Waiting(
                token=token,
                body=body,
                ttl_seconds=int(request.headers["TTL"]),
                urgency=request.headers.get("Urgency", "normal"),
                topic=topic,
                authorization=request.headers["Authorization"],
                sent_ms=self._clock.now_ms(),
            )
            self._waiting.put(f"{token}:{topic or secrets.token_hex(8)}", waiting)
            return True
        key = serialization.load_der_private_key(browser.private, None)
        try:
            content = http_ece.decrypt(body, private_key=key, auth_secret=browser.auth, version="aes128gcm")
            opened = orjson.loads(content)
        except (http_ece.ECEException, ValueError):
            return False
        self._arrived(browser.device_id, opened)
        return True

    async def _messages(self, request: web.Request) -> web.Response:
        """What waits for one browser, oldest first, as it came; and how each push for it was answered."""
        token = request.match_info["token"]
        browser = self._browsers.find(token)
        if browser is None:
            return web.Response(status=404)
        waiting = [
            {
                "body": _text(each.body),
                "ttl_seconds": each.ttl_seconds,
                "urgency": each.urgency,
                "topic": each.topic,
                "authorization": each.authorization,
                "sent_at": iso_ms(each.sent_ms),
            }
            for each in self._waiting
            if each.token == token
        ]
        answers = [{"at": iso_ms(at), "status": status} for at, status in browser.answers]
        return _json(200, {"messages": waiting, "answers": answers})

    async def _put_faults(self, request: web.Request) -> web.Response:
        try:
            settings = WebPushFaultSettings.model_validate_json(await request.read() or b"{}")
        except ValidationError:
            return web.Response(status=400)
        self._lever.move(settings.pushes, settings.count)
        self._retry_after = settings.retry_after
        return _json(200, {"pushes": self._lever.mode, "remaining": self._lever.remaining})

    def _is_signed(self, request: web.Request, sender: str | None) -> bool:
        """`vapid t=<token>, k=<public key>`, for this origin, of now, by whom the browser subscribed for."""
        scheme, _, rest = request.headers["Authorization"].partition(" ")
        fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        if scheme.lower() != "vapid" or not fields.keys() >= {"t", "k"} or sender not in (None, fields["k"]):
            return False
        try:
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _bytes(fields["k"]))
            options: Any = {"require": ["exp", "aud", "sub"]}
            claims = jwt.decode(fields["t"], key, algorithms=["ES256"], audience=str(request.url.origin()), options=options)
        except (ValueError, jwt.InvalidTokenError):
            return False
        ends, contact = claims["exp"], claims["sub"]
        if type(ends) is not int or ends > self._clock.now_ms() / 1_000 + _LONGEST_TOKEN_SECONDS:
            return False
        return isinstance(contact, str) and _CONTACT.fullmatch(contact) is not None


def _is_well_formed(request: web.Request, body: bytes) -> bool:
    ttl, topic = request.headers.get("TTL", ""), request.headers.get("Topic")
    return (
        ttl.isascii()
        and ttl.isdigit()
        and request.headers.get("Content-Encoding") == "aes128gcm"
        and request.headers.get("Urgency", "normal") in _URGENCIES
        and (topic is None or _TOPIC.fullmatch(topic) is not None)
        and len(body) > _HEADER
        and body[20] == 65
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _json(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
