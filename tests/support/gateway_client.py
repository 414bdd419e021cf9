"""The product's side of the simulated providers, for their tests: a merchant that signs, verifies and receives callbacks."""

import asyncio
import base64
import hmac
import json
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from server.kernel.clock import Clock
from simulators.keys import SmsKeys, WechatKeys


@dataclass(frozen=True)
class Answer:
    status: int
    raw: bytes
    headers: dict[str, str]

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else None


@dataclass
class Callback:
    """One callback as it came; `genuine` says whether the platform's signature holds, `resource` is what was inside."""

    id: str
    event_type: str
    genuine: bool
    age_ms: int
    resource: dict[str, Any]


class Merchant:
    """Signs with the merchant's key and verifies every answer against the platform's certificate."""

    def __init__(self, keys: WechatKeys, base: str, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.keys = keys
        self.base = base
        self.session = session
        self.clock = clock
        self._private = load_pem_private_key(keys.merchant_private_key_path.read_bytes(), None)
        self._platform: Any = x509.load_pem_x509_certificate(keys.platform_certificate_path.read_bytes()).public_key()

    def authorization(self, method: str, path: str, body: bytes, **changed: str) -> str:
        values = {
            "mchid": self.keys.mchid,
            "nonce_str": secrets.token_hex(16),
            "timestamp": str(self.clock.now_ms() // 1000),
            "serial_no": self.keys.merchant_serial,
        } | changed
        message = f"{method}\n{path}\n{values['timestamp']}\n{values['nonce_str']}\n".encode() + body + b"\n"
        signature = self._private.sign(message, PKCS1v15(), SHA256())  # type: ignore[union-attr, call-arg, arg-type]
        values["signature"] = base64.b64encode(signature).decode()
        fields = ",".join(f'{name}="{value}"' for name, value in values.items())
        return f"WECHATPAY2-SHA256-RSA2048 {fields}"

    async def call(self, method: str, path: str, body: Any = None, *, authorization: str | None = None) -> Answer:
        raw = b"" if body is None else json.dumps(body).encode()
        header = authorization or self.authorization(method, path, raw)
        async with self.session.request(
            method, self.base + path, data=raw or None, headers={"Authorization": header, "Accept": "application/json"}
        ) as response:
            answer = Answer(response.status, await response.read(), dict(response.headers))
        assert self.signature_holds(answer.headers, answer.raw)
        return answer

    def signature_holds(self, headers: dict[str, str], body: bytes) -> bool:
        message = f"{headers['Wechatpay-Timestamp']}\n{headers['Wechatpay-Nonce']}\n".encode() + body + b"\n"
        try:
            signature = base64.b64decode(headers["Wechatpay-Signature"], validate=True)
            self._platform.verify(signature, message, PKCS1v15(), SHA256())
        except Exception:
            return False
        return headers["Wechatpay-Serial"] == self.keys.platform_serial

    def decrypt(self, sealed: dict[str, str]) -> bytes:
        assert sealed["algorithm"] == "AEAD_AES_256_GCM"
        return AESGCM(self.keys.api_v3_key.encode()).decrypt(
            sealed["nonce"].encode(), base64.b64decode(sealed["ciphertext"]), sealed["associated_data"].encode()
        )

    async def wallet(self, prepay_id: str, action: str = "pay", body: Any = None) -> Answer:
        async with self.session.post(f"{self.base}/wechatpay/wallet/{prepay_id}/{action}", json=body) as response:
            return Answer(response.status, await response.read(), dict(response.headers))

    async def get(self, path: str) -> Any:
        async with self.session.get(self.base + path) as response:
            return await response.json()

    async def put(self, path: str, body: Any) -> Answer:
        async with self.session.put(self.base + path, json=body) as response:
            return Answer(response.status, await response.read(), dict(response.headers))


@dataclass
class Receiver:
    """Where the gateway calls back. `answers` are the statuses to give next; then 204."""

    merchant: Merchant
    answers: list[int] = field(default_factory=list)
    callbacks: list[Callback] = field(default_factory=list)
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)
    url: str = ""

    async def start(self) -> TestServer:
        app = web.Application()
        app.router.add_post("/notify", self._take)
        server = TestServer(app)
        await server.start_server()
        self.url = str(server.make_url("/notify"))
        return server

    async def wait_for(self, count: int) -> list[Callback]:
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: len(self.callbacks) >= count)
        return self.callbacks

    async def _take(self, request: web.Request) -> web.Response:
        raw, headers = await request.read(), dict(request.headers)
        body = json.loads(raw)
        callback = Callback(
            id=body["id"],
            event_type=body["event_type"],
            genuine=self.merchant.signature_holds(headers, raw),
            age_ms=self.merchant.clock.now_ms() - int(headers["Wechatpay-Timestamp"]) * 1000,
            resource=json.loads(self.merchant.decrypt(body["resource"])),
        )
        trusted = callback.genuine and callback.age_ms <= 300_000
        status = self.answers.pop(0) if self.answers and trusted else (204 if trusted else 401)
        async with self._came:
            self.callbacks.append(callback)
            self._came.notify_all()
        return web.Response(status=status)


def acs3_headers(
    keys: SmsKeys, host: str, path: str, query: dict[str, str], action: str, date: str, body: bytes = b""
) -> dict[str, str]:
    """The signed headers of one Alibaba Cloud call."""
    headers = {
        "host": host,
        "x-acs-action": action,
        "x-acs-version": "2017-05-25",
        "x-acs-date": date,
        "x-acs-signature-nonce": secrets.token_hex(16),
        "x-acs-content-sha256": sha256(body).hexdigest(),
    }
    names = sorted(headers)
    encoded = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(query.items()))
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    canonical = "\n".join(["POST", path, encoded, lines, ";".join(names), headers["x-acs-content-sha256"]])
    to_sign = f"ACS3-HMAC-SHA256\n{sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(keys.access_key_secret.encode(), to_sign.encode(), "sha256").hex()
    credential = f"Credential={keys.access_key_id},SignedHeaders={';'.join(names)},Signature={signature}"
    return headers | {"Authorization": f"ACS3-HMAC-SHA256 {credential}"}
