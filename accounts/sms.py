"""SMS by Alibaba Cloud's Dysmsapi, version 2017-05-25, in its RPC style with ACS3-HMAC-SHA256 signatures.

A call is `POST <base url>/` with an empty body; the action's parameters are in the query string. Headers: `host`,
`x-acs-action` (`SendSms`, `QuerySendDetails`), `x-acs-version: 2017-05-25`, `x-acs-date` (`2026-11-22T04:05:06Z`),
`x-acs-signature-nonce`, `x-acs-content-sha256` (of the body), all of them signed:

    canonical = METHOD \\n path \\n sorted&escaped=query \\n name:value\\n… \\n signed;header;names \\n sha256(body)
    signature = hex(HMAC-SHA256(secret, "ACS3-HMAC-SHA256\\n" + hex(sha256(canonical))))
    Authorization: ACS3-HMAC-SHA256 Credential=<key id>,SignedHeaders=<names>,Signature=<signature>

`path` is the path that is requested: `/` at the provider, `/sms/` below a base URL that ends in `/sms`. Escaping is RFC 3986.

`SendSms`: PhoneNumbers, SignName, TemplateCode, TemplateParam (JSON), OutId → `{Code, Message, BizId, RequestId}`; `Code` `OK`
means taken, any other with status 200 refused. `QuerySendDetails`: PhoneNumber, SendDate (`yyyyMMdd`, China), PageSize,
CurrentPage → `{Code, TotalCount, SmsSendDetailDTOs: {SmsSendDetailDTO: [{OutId, SendStatus: 1 waiting, 2 failed, 3 delivered,
ErrCode, …}]}}`. It knows no filter by OutId, so the day's messages to the phone are gone through.
"""

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from accounts.ports import Delivered, SmsResult
from server.kernel.clock import Clock
from server.kernel.ids import new_id

API_VERSION: Final = "2017-05-25"
_ALGORITHM: Final = "ACS3-HMAC-SHA256"
_PAGE: Final = 50
_MAX_PAGES: Final = 10
_FAILED: Final = 2
_CONNECT_SECONDS: Final = 3.0
_EMPTY_HASH: Final = sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class AliyunSmsConfig:
    """`url` is `https://dysmsapi.aliyuncs.com`, or a stand-in. `sign_name` stands in brackets before each text."""

    url: str
    access_key_id: str
    access_key_secret: str
    sign_name: str
    timeout_seconds: float = 10.0

    def __repr__(self) -> str:
        return f"AliyunSmsConfig(url={self.url!r})"


@dataclass(frozen=True, slots=True)
class _Answer:
    """`body` empty: none that could be read."""

    status: int
    body: Mapping[str, Any]

    @property
    def code(self) -> str:
        return str(self.body.get("Code", f"http.{self.status}"))


class AliyunSms:
    """`accounts.ports.SmsSender`."""

    def __init__(self, http: aiohttp.ClientSession, config: AliyunSmsConfig, clock: Clock) -> None:
        self._http = http
        self._config = config
        self._clock = clock
        self._url = URL(config.url.rstrip("/") + "/")

    async def send(self, phone: str, template: str, params: Mapping[str, str], out_id: str) -> SmsResult:
        """Ask once. Only a connection that was never made, and throttling, are surely unsent; silence is doubt."""
        query = {
            "PhoneNumbers": phone,
            "SignName": self._config.sign_name,
            "TemplateCode": template,
            "TemplateParam": orjson.dumps(dict(params)).decode(),
            "OutId": out_id,
        }
        try:
            answer = await self._call("SendSms", query)
        except aiohttp.ClientConnectorError:
            return SmsResult(Delivered.UNSENT, "not_connected")
        except (aiohttp.ClientError, TimeoutError) as error:
            return SmsResult(Delivered.IN_DOUBT, type(error).__name__)
        if answer.code == "OK":
            return SmsResult(Delivered.ACCEPTED)
        if answer.code.startswith("Throttling") or answer.status == 429:
            return SmsResult(Delivered.UNSENT, answer.code)
        if not answer.body or answer.status >= 500:
            return SmsResult(Delivered.IN_DOUBT, answer.code)
        return SmsResult(Delivered.REFUSED, answer.code)

    async def query(self, out_id: str, *, phone: str, day: date) -> SmsResult:
        for page in range(1, _MAX_PAGES + 1):
            query = {
                "PhoneNumber": phone,
                "SendDate": f"{day:%Y%m%d}",
                "PageSize": str(_PAGE),
                "CurrentPage": str(page),
            }
            try:
                answer = await self._call("QuerySendDetails", query)
            except (aiohttp.ClientError, TimeoutError) as error:
                return SmsResult(Delivered.IN_DOUBT, type(error).__name__)
            rows = _details(answer)
            if rows is None:
                return SmsResult(Delivered.IN_DOUBT, answer.code)
            for row in rows:
                if row.get("OutId") == out_id:
                    return _result(row)
            if len(rows) < _PAGE:
                return SmsResult(Delivered.UNSENT, "unknown")
        return SmsResult(Delivered.IN_DOUBT, "too_many")

    async def _call(self, action: str, query: Mapping[str, str]) -> _Answer:
        canonical_query = "&".join(f"{_escape(name)}={_escape(value)}" for name, value in sorted(query.items()))
        url = URL(f"{self._url}?{canonical_query}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=self._config.timeout_seconds, sock_connect=_CONNECT_SECONDS)
        headers = self._headers(action, canonical_query)
        async with asyncio.timeout(self._config.timeout_seconds):
            async with self._http.post(url, headers=headers, timeout=timeout, allow_redirects=False) as response:
                raw = await response.read()
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            body = {}
        return _Answer(response.status, body if isinstance(body, dict) else {})

    def _headers(self, action: str, canonical_query: str) -> dict[str, str]:
        signed = {
            "host": self._host(),
            "x-acs-action": action,
            "x-acs-content-sha256": _EMPTY_HASH,
            "x-acs-date": self._clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": new_id(),
            "x-acs-version": API_VERSION,
        }
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        canonical = "\n".join(["POST", self._url.raw_path, canonical_query, lines, names, _EMPTY_HASH])
        to_sign = f"{_ALGORITHM}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._config.access_key_secret.encode(), to_sign.encode(), "sha256").hex()
        credential = self._config.access_key_id
        authorization = f"{_ALGORITHM} Credential={credential},SignedHeaders={names},Signature={signature}"
        return {**signed, "Authorization": authorization}

    def _host(self) -> str:
        """As the client writes it: the port only where it is not the scheme's own."""
        host = self._url.host or ""
        return host if self._url.is_default_port() else f"{host}:{self._url.port}"


def _details(answer: _Answer) -> list[Mapping[str, Any]] | None:
    """The rows of a page; None where the answer is none."""
    if answer.status != 200 or answer.code != "OK":
        return None
    rows = (answer.body.get("SmsSendDetailDTOs") or {}).get("SmsSendDetailDTO") or []
    return [row for row in rows if isinstance(row, dict)]


def _result(row: Mapping[str, Any]) -> SmsResult:
    """The provider has it: it is being delivered, was, or could not be."""
    if row.get("SendStatus") == _FAILED:
        return SmsResult(Delivered.REFUSED, str(row.get("ErrCode") or "undelivered"))
    return SmsResult(Delivered.ACCEPTED)


def _escape(text: str) -> str:
    return quote(text, safe="~")
