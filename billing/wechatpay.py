"""WeChat Pay API v3: signed requests out, verified answers and callbacks in.

Requests carry `WECHATPAY2-SHA256-RSA2048` signatures over method, path, time, nonce and body. Answers and callbacks are signed
over time, nonce and body by the platform's key, which the serial names: a certificate, or the public key that newer merchants
get (`PUB_KEY_ID_…`). A serial that is not known lets the certificates be fetched. Only what verifies decides anything. Whatever
is older or newer than five minutes is refused. Callback resources are AES-256-GCM under the API v3 key. Source: the gateway's
published API v3 documentation.
"""

import asyncio
import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import aiohttp
import orjson
import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from billing.domain import (
    Channel,
    Payment,
    Refund,
    RefundReport,
    RefundState,
    StartedPayment,
    TradeReport,
    TradeState,
)
from billing.errors import GatewayRefused, GatewayUnknown, PaymentMismatch, PaymentSignatureInvalid
from server.kernel.clock import Clock
from server.kernel.ids import derived_id

log = structlog.get_logger(__name__)

SCHEMA: Final = "WECHATPAY2-SHA256-RSA2048"
_WINDOW_SECONDS: Final = 300
_TIMEOUT: Final = aiohttp.ClientTimeout(total=8, connect=3)
_CERTIFICATES_TIMEOUT: Final = aiohttp.ClientTimeout(total=2.5)
"""A callback waits for this, and has to be answered within five seconds."""
_FETCH_EVERY_MS: Final = 30_000
_PUBLIC_KEY_ID: Final = "PUB_KEY_ID_"
_SHANGHAI: Final = timezone(timedelta(hours=8))
_PROBE: Final = "WECHATPAY/SIGNTEST/"
_ANSWER_BYTES: Final = 256 * 1024
_TRADE_STATES: Final[Mapping[str, TradeState]] = {
    "SUCCESS": TradeState.PAID,
    "REFUND": TradeState.PAID,
    "NOTPAY": TradeState.OPEN,
    "USERPAYING": TradeState.OPEN,
    "ACCEPT": TradeState.OPEN,
    "PAYERROR": TradeState.OPEN,
    "CLOSED": TradeState.CLOSED,
    "REVOKED": TradeState.CLOSED,
}
_REFUND_STATES: Final[Mapping[str, RefundState]] = {
    "SUCCESS": RefundState.SUCCEEDED,
    "PROCESSING": RefundState.PROCESSING,
    "ABNORMAL": RefundState.ABNORMAL,
    "CLOSED": RefundState.CLOSED,
}


@dataclass(frozen=True, slots=True)
class WechatPayConfig:
    """The merchant's contract. Keys and certificates are PEM; serials are upper-case hexadecimal. `platform_certificate` may be
    a public key instead, with its id (`PUB_KEY_ID_…`) as the serial."""

    mchid: str
    appid: str
    api_v3_key: str
    merchant_serial: str
    merchant_private_key: bytes
    platform_serial: str
    platform_certificate: bytes
    base_url: str
    payment_notify_url: str
    refund_notify_url: str


class WechatPay:
    """The merchant's half of the protocol. One a process; `start` it in the event loop that uses it."""

    def __init__(self, config: WechatPayConfig, clock: Clock) -> None:
        self.config = config
        self._clock = clock
        self._merchant = _private_key(config.merchant_private_key)
        self._platform = {config.platform_serial.upper(): _platform_key(config.platform_certificate)}
        self._aead = AESGCM(config.api_v3_key.encode())
        self._session: aiohttp.ClientSession | None = None
        self._fetching = asyncio.Lock()
        self._fetched_ms = 0

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def now_ms(self) -> int:
        return self._clock.now_ms()

    # --- asking ---

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and body of a verified answer. Raises GatewayUnknown where there is none that verifies, and for 5xx and 429:
        nobody knows then what was done."""
        assert self._session is not None, "start() first"
        raw = b"" if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json", **self._headers(method, path, raw)}
        try:
            async with self._session.request(
                method, self.config.base_url + path, data=raw or None, headers=headers, allow_redirects=False
            ) as answer:
                content = await _read(answer)
                status, answered = answer.status, answer.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.info("wechatpay.no_answer", path=path.partition("?")[0], error=type(error).__name__)
            raise GatewayUnknown() from error
        if status >= 500 or status == 429:
            log.info("wechatpay.not_now", path=path.partition("?")[0], status=status)
            raise GatewayUnknown()
        try:
            await self.verify(answered, content)
            parsed = orjson.loads(content) if content else {}
        except (PaymentSignatureInvalid, orjson.JSONDecodeError) as error:
            log.warning("wechatpay.answer_not_verified", path=path.partition("?")[0], status=status)
            raise GatewayUnknown() from error
        if not isinstance(parsed, dict):
            raise GatewayUnknown()
        return status, parsed

    async def download(self, url: str, most_bytes: int) -> bytes:
        """A file that an answer named, of the gateway's own host. Nothing signs it: what the answer said of it proves it.
        Raises GatewayUnknown."""
        assert self._session is not None, "start() first"
        ours, named = urlsplit(self.config.base_url), urlsplit(url)
        if (named.scheme, named.netloc) != (ours.scheme, ours.netloc):
            log.warning("wechatpay.download_elsewhere")
            raise GatewayUnknown()
        path = f"{named.path}?{named.query}"
        try:
            async with self._session.get(
                self.config.base_url + path, headers=self._headers("GET", path, b""), allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    raise GatewayUnknown()
                parts, size = [], 0
                async for part in answer.content.iter_chunked(256 * 1024):
                    size += len(part)
                    if size > most_bytes:
                        raise GatewayUnknown()
                    parts.append(part)
                return b"".join(parts)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GatewayUnknown() from error

    def _headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        headers = {
            "Authorization": self._authorization(method, path, body),
            "Accept": "application/json",
            "User-Agent": "yunzhen",
        }
        if self.config.platform_serial.startswith(_PUBLIC_KEY_ID):
            headers["Wechatpay-Serial"] = self.config.platform_serial  # asks for answers under this key
        return headers

    def _authorization(self, method: str, path: str, body: bytes) -> str:
        timestamp, nonce = str(self._clock.now_ms() // 1_000), secrets.token_hex(16)
        signature = self.sign(f"{method}\n{path}\n{timestamp}\n{nonce}\n".encode() + body + b"\n")
        return (
            f'{SCHEMA} mchid="{self.config.mchid}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{timestamp}",serial_no="{self.config.merchant_serial}"'
        )

    def sign(self, message: bytes) -> str:
        """RSA PKCS#1 v1.5 with SHA-256 by the merchant's key, in base64."""
        return base64.b64encode(self._merchant.sign(message, PKCS1v15(), SHA256())).decode()

    # --- believing ---

    async def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises PaymentSignatureInvalid unless the platform said exactly this within five minutes."""
        timestamp, nonce = headers.get("Wechatpay-Timestamp", ""), headers.get("Wechatpay-Nonce", "")
        signature, serial = headers.get("Wechatpay-Signature", ""), headers.get("Wechatpay-Serial", "").upper()
        kind = headers.get("Wechatpay-Signature-Type", SCHEMA)
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12 and nonce and serial) or kind != SCHEMA:
            raise PaymentSignatureInvalid()
        if signature.startswith(_PROBE):
            raise PaymentSignatureInvalid()
        if abs(int(timestamp) - self._clock.now_ms() // 1_000) > _WINDOW_SECONDS:
            raise PaymentSignatureInvalid()
        key = self._platform.get(serial) or await self._fetch_key(serial)
        _verify(key, timestamp, nonce, body, signature)

    def decrypt(self, resource: Mapping[str, Any]) -> bytes:
        """The plaintext of an `AEAD_AES_256_GCM` resource. Raises PaymentSignatureInvalid for anything else."""
        try:
            if resource["algorithm"] != "AEAD_AES_256_GCM":
                raise PaymentSignatureInvalid()
            sealed = base64.b64decode(resource["ciphertext"], validate=True)
            return self._aead.decrypt(resource["nonce"].encode(), sealed, (resource.get("associated_data") or "").encode())
        except (KeyError, TypeError, AttributeError, ValueError, InvalidTag) as error:
            raise PaymentSignatureInvalid() from error

    async def _fetch_key(self, serial: str) -> rsa.RSAPublicKey:
        """Fetch the platform's certificates for a serial that is not known; now and then only: forged serials are cheap."""
        async with self._fetching:
            now = self._clock.now_ms()
            if serial not in self._platform and not 0 <= now - self._fetched_ms <= _FETCH_EVERY_MS:
                self._fetched_ms = now
                await self._fetch_certificates()
        try:
            return self._platform[serial]
        except KeyError:
            raise PaymentSignatureInvalid() from None

    async def _fetch_certificates(self) -> None:
        """Trusted because the certificates are encrypted under the API v3 key, and the list is signed by one that is known or
        in it."""
        assert self._session is not None, "start() first"
        path = "/v3/certificates"
        try:
            async with self._session.get(
                self.config.base_url + path,
                headers=self._headers("GET", path, b""),
                allow_redirects=False,
                timeout=_CERTIFICATES_TIMEOUT,
            ) as answer:
                content, status, answered = await _read(answer), answer.status, answer.headers
            if status != 200:
                log.warning("wechatpay.certificates_refused", status=status)
                return
            fetched = {
                str(item["serial_no"]).upper(): self._certificate(self.decrypt(item["encrypt_certificate"]))
                for item in orjson.loads(content)["data"]
            }
            known = {**self._platform, **{serial: key for serial, key in fetched.items() if key is not None}}
            _verify(
                known[answered["Wechatpay-Serial"].upper()],
                answered["Wechatpay-Timestamp"],
                answered["Wechatpay-Nonce"],
                content,
                answered["Wechatpay-Signature"],
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError, PaymentSignatureInvalid) as error:
            log.warning("wechatpay.certificates_failed", error=type(error).__name__)
            return
        self._platform = known
        log.info("wechatpay.certificates_fetched", count=len(fetched))

    def _certificate(self, pem: bytes) -> rsa.RSAPublicKey | None:
        """Its key; None where it is not valid now."""
        certificate = x509.load_pem_x509_certificate(pem)
        if not certificate.not_valid_before_utc <= self._clock.now() < certificate.not_valid_after_utc:
            return None
        return _rsa_public(certificate.public_key())

    # --- callbacks ---

    async def read_callback(self, headers: Mapping[str, str], body: bytes) -> TradeReport | RefundReport:
        """What a verified callback says. Raises PaymentSignatureInvalid, or PaymentMismatch for another merchant's."""
        await self.verify(headers, body)
        try:
            envelope = orjson.loads(body)
            event = str(envelope["event_type"])
            content = orjson.loads(self.decrypt(envelope["resource"]))
            if not isinstance(content, dict):
                raise PaymentMismatch()
            return self.trade_report(content) if event.startswith("TRANSACTION.") else self._refund_notice(content)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise PaymentMismatch() from error

    def trade_report(self, body: Mapping[str, Any]) -> TradeReport:
        """A transaction as queries and callbacks show it. Raises PaymentMismatch for another merchant, app or currency."""
        if body.get("mchid") != self.config.mchid or body.get("appid") != self.config.appid:
            raise PaymentMismatch(merchant="is not us")
        amount = body.get("amount") or {}
        state = _TRADE_STATES.get(str(body.get("trade_state")), TradeState.OPEN)
        if state is TradeState.PAID and amount.get("currency") != "CNY":
            raise PaymentMismatch(currency="is not CNY")
        paid_at = body.get("success_time")
        return TradeReport(
            out_trade_no=str(body["out_trade_no"]),
            state=state,
            amount_fen=amount.get("total"),
            transaction_id=body.get("transaction_id"),
            paid_at=None if paid_at is None else datetime.fromisoformat(str(paid_at)).astimezone(UTC),
        )

    def _refund_notice(self, body: Mapping[str, Any]) -> RefundReport:
        if body.get("mchid") != self.config.mchid:
            raise PaymentMismatch(merchant="is not us")
        return _refund_report(body, "refund_status")


@dataclass(frozen=True, slots=True)
class WechatChannel:
    """One way of paying by WeChat: implements `ports.Gateway`."""

    client: WechatPay
    channel: Channel

    async def prepay(self, payment: Payment, payer_address: str) -> StartedPayment:
        config = self.client.config
        body: dict[str, Any] = {
            "appid": config.appid,
            "mchid": config.mchid,
            "description": payment.description,
            "out_trade_no": payment.out_trade_no,
            "time_expire": payment.expires_at.astimezone(_SHANGHAI).isoformat(timespec="seconds"),
            "notify_url": config.payment_notify_url,
            "amount": {"total": payment.amount_fen, "currency": "CNY"},
        }
        if self.channel is Channel.WECHAT_JSAPI:
            body["payer"] = {"openid": openid_of(payment.payer_account_id)}
            answer = _accepted(await self.client.ask("POST", "/v3/pay/transactions/jsapi", body))
            prepay_id = _said(answer, "prepay_id")
            return StartedPayment(payment.id, self.channel, prepay_id, self._bridge(prepay_id))
        body["scene_info"] = {"payer_client_ip": payer_address, "h5_info": {"type": "Wap"}}
        answer = _accepted(await self.client.ask("POST", "/v3/pay/transactions/h5", body))
        h5_url = _said(answer, "h5_url")
        prepay_id = parse_qs(urlsplit(h5_url).query).get("prepay_id", [""])[0]
        if not prepay_id:
            raise GatewayUnknown()
        return StartedPayment(payment.id, self.channel, prepay_id, {"h5_url": h5_url})

    def _bridge(self, prepay_id: str) -> dict[str, str]:
        """What the page hands to WeChat's own script, signed by us."""
        timestamp, nonce = str(self.client.now_ms() // 1_000), secrets.token_hex(16)
        package = f"prepay_id={prepay_id}"
        appid = self.client.config.appid
        signature = self.client.sign(f"{appid}\n{timestamp}\n{nonce}\n{package}\n".encode())
        return {
            "appId": appid,
            "timeStamp": timestamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": signature,
        }

    async def query(self, out_trade_no: str) -> TradeReport:
        path = f"/v3/pay/transactions/out-trade-no/{out_trade_no}?mchid={self.client.config.mchid}"
        status, answer = await self.client.ask("GET", path)
        if status == 404:
            return TradeReport(out_trade_no, TradeState.UNKNOWN_THERE)
        try:
            report = self.client.trade_report(_accepted((status, answer)))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise GatewayUnknown() from error
        if report.out_trade_no != out_trade_no:
            raise GatewayUnknown()
        return report

    async def close(self, out_trade_no: str) -> bool:
        path = f"/v3/pay/transactions/out-trade-no/{out_trade_no}/close"
        status, answer = await self.client.ask("POST", path, {"mchid": self.client.config.mchid})
        if status in (200, 204, 404) or answer.get("code") in ("ORDER_CLOSED", "ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS"):
            return True
        if answer.get("code") in ("ORDERPAID", "ORDER_PAID"):
            return False
        raise GatewayRefused(reason=_code(answer))

    async def refund(self, refund: Refund, payment: Payment) -> RefundReport:
        body = {
            "out_trade_no": payment.out_trade_no,
            "out_refund_no": refund.out_refund_no,
            "notify_url": self.client.config.refund_notify_url,
            "amount": {"refund": refund.amount_fen, "total": payment.amount_fen, "currency": "CNY"},
        }
        answer = _accepted(await self.client.ask("POST", "/v3/refund/domestic/refunds", body))
        return _answered_refund(answer, refund.out_refund_no)

    async def query_refund(self, out_refund_no: str) -> RefundReport:
        status, answer = await self.client.ask("GET", f"/v3/refund/domestic/refunds/{out_refund_no}")
        if status == 404:
            return RefundReport(out_refund_no, RefundState.UNKNOWN_THERE)
        return _answered_refund(_accepted((status, answer)), out_refund_no)


def openid_of(account_id: str) -> str:
    """The payer's identity at WeChat. Until patients sign in with WeChat there is none: a stable opaque stand-in of the same
    form, which the real gateway refuses."""
    return "o" + derived_id("openid", account_id)[:27]


def _accepted(answer: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    status, body = answer
    if status >= 300:
        raise GatewayRefused(reason=_code(body))
    return body


def _code(body: Mapping[str, Any]) -> str:
    code = str(body.get("code", ""))
    return code if code.replace("_", "").isalnum() and code.isascii() and len(code) <= 40 else "unknown"


def _said(answer: Mapping[str, Any], name: str) -> str:
    """A text that has to be there; an answer without it is none."""
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise GatewayUnknown()
    return value


def _answered_refund(answer: Mapping[str, Any], out_refund_no: str) -> RefundReport:
    """Raises GatewayUnknown for an answer that speaks of another refund, or of none."""
    try:
        report = _refund_report(answer, "status")
    except (KeyError, AttributeError) as error:
        raise GatewayUnknown() from error
    if report.out_refund_no != out_refund_no:
        raise GatewayUnknown()
    return report


def _refund_report(body: Mapping[str, Any], status: str) -> RefundReport:
    amount = body.get("amount") or {}
    return RefundReport(
        out_refund_no=str(body["out_refund_no"]),
        state=_REFUND_STATES.get(str(body.get(status)), RefundState.PROCESSING),
        amount_fen=amount.get("refund"),
        gateway_refund_id=body.get("refund_id"),
    )


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The whole body. Raises ClientPayloadError for one that is longer than any answer is."""
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > _ANSWER_BYTES:
            raise aiohttp.ClientPayloadError("an answer is too long")
    return bytes(content)


def _verify(key: rsa.RSAPublicKey, timestamp: str, nonce: str, body: bytes, signature: str) -> None:
    """Raises PaymentSignatureInvalid unless this key signed exactly this."""
    try:
        message = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
        key.verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (ValueError, InvalidSignature) as error:
        raise PaymentSignatureInvalid() from error


def _private_key(pem: bytes) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(pem, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the merchant's key is not RSA")
    return key


def _platform_key(pem: bytes) -> rsa.RSAPublicKey:
    """Of a certificate, or a public key as such."""
    if b"BEGIN CERTIFICATE" in pem:
        return _rsa_public(x509.load_pem_x509_certificate(pem).public_key())
    return _rsa_public(load_pem_public_key(pem))


def _rsa_public(key: object) -> rsa.RSAPublicKey:
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("the platform's key is not RSA")
    return key
