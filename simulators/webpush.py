"""A browser and its push service: subscriptions at `POST /push/web/subscriptions`, pushes at their endpoints (RFC 8030).

What arrives is checked as the real ones do: a signed token of the sender for this origin (RFC 8292), a body that only this
browser can open (RFC 8291). What was opened is shown with the other pushes of the device. A subscription that its browser gave
up answers 410. Of two pushes with one `Topic` that the browser has not looked at, the later one stays.
"""

import base64
import secrets
from collections.abc import Callable
from typing import Any, Final

import http_ece
import jwt
import msgspec
import orjson
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulators.shelf import Shelf, Store

_KEPT: Final = 10_000
_RAW: Final = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


class Browser(msgspec.Struct, frozen=True, kw_only=True):
    """`private` is the browser's key in DER."""

    device_id: str
    private: bytes
    auth: bytes
    gone: bool = False


class _Subscribe(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    device_id: str = Field(min_length=1, max_length=128)


class WebPushService:
    """`arrived` takes what a browser opened: its device, and the content."""

    def __init__(self, store: Store, arrived: Callable[[str, dict[str, Any]], None]) -> None:
        self._browsers = Shelf(store, "push.browsers", Browser, limit=_KEPT)
        self._arrived = arrived

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/push/web/subscriptions", self._subscribe),
            web.delete("/push/web/subscriptions/{token}", self._unsubscribe),
            web.post("/push/web/{token}", self._push),
        ]

    async def _subscribe(self, request: web.Request) -> web.Response:
        """What `pushManager.subscribe` does: the answer is the subscription as a page gets it."""
        try:
            wanted = _Subscribe.model_validate_json(await request.read())
        except ValidationError:
            return web.Response(status=400)
        key, auth, token = ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(16), secrets.token_urlsafe(24)
        private = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self._browsers.put(token, Browser(device_id=wanted.device_id, private=private, auth=auth))
        return _json(
            201,
            {
                "endpoint": f"{request.url.origin()}/push/web/{token}",
                "keys": {"p256dh": _text(key.public_key().public_bytes(*_RAW)), "auth": _text(auth)},
            },
        )

    async def _unsubscribe(self, request: web.Request) -> web.Response:
        browser = self._browsers.find(request.match_info["token"])
        if browser is None:
            return web.Response(status=404)
        self._browsers.put(request.match_info["token"], msgspec.structs.replace(browser, gone=True))
        return web.Response(status=204)

    async def _push(self, request: web.Request) -> web.Response:
        browser = self._browsers.find(request.match_info["token"])
        if browser is None or browser.gone:
            return web.Response(status=404 if browser is None else 410)
        if not _is_signed(request):
            return web.Response(status=403)
        if not request.headers.get("TTL", "").isdigit() or request.headers.get("Content-Encoding") != "aes128gcm":
            return web.Response(status=400)
        key = serialization.load_der_private_key(browser.private, None)
        try:
            content = http_ece.decrypt(await request.read(), private_key=key, auth_secret=browser.auth, version="aes128gcm")
            opened = orjson.loads(content)
        except (http_ece.ECEException, ValueError):
            return web.Response(status=400)
        self._arrived(browser.device_id, opened)
        return web.Response(status=201, headers={"Location": f"/push/web/messages/{secrets.token_hex(8)}"})


def _is_signed(request: web.Request) -> bool:
    """`vapid t=<token>, k=<public key>`, for this origin, of now."""
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    if scheme.lower() != "vapid" or not fields.keys() >= {"t", "k"}:
        return False
    try:
        point = base64.urlsafe_b64decode(fields["k"] + "=" * (-len(fields["k"]) % 4))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        options: Any = {"require": ["exp", "aud"]}
        jwt.decode(fields["t"], key, algorithms=["ES256"], audience=str(request.url.origin()), options=options)
    except (ValueError, jwt.InvalidTokenError):
        return False
    return True


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _json(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
