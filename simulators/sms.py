"""The SMS provider: Alibaba Cloud Dysmsapi 2017-05-25 with ACS3-HMAC-SHA256 signatures at `/sms/`, the phones that receive
at `/sms/messages`, and the levers at `/sms/faults`.

Refusals of the business kind come with status 200 and a `Code` other than `OK`, as the real service gives them; refusals of
the signature with 4xx.
"""

import asyncio
import hmac
import re
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, quote

import msgspec
import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.kernel.clock import Clock, from_ms, iso_ms
from server.kernel.ids import new_id
from simulators.keys import SmsKeys
from simulators.levers import Lever
from simulators.shelf import Shelf, Store

VERSION: Final = "2017-05-25"
_ALGORITHM: Final = "ACS3-HMAC-SHA256"
_KEPT: Final = 20_000
_SHOWN: Final = 100
_WINDOW: Final = timedelta(minutes=15)
_BEIJING: Final = timedelta(hours=8)
_PHONE: Final = re.compile(r"^1\d{10}$")
_CODE_TEMPLATE: Final = re.compile(r"CODE|LOGIN|RESET|VERIFY", re.IGNORECASE)
_DELIVERED, _FAILED = 3, 2

TEMPLATES: Final = {
    "SMS_LOGIN_CODE": "您的登录验证码为 {code}，5 分钟内有效，请勿告诉他人。",
    "SMS_RESET_CODE": "您正在重置密码，验证码为 {code}，5 分钟内有效，请勿告诉他人。",
    "SMS_CRITICAL_VALUE": "有一项检查结果需要您立即处理，请登录互联网医院查看。",
    "SMS_ORDER_WAITING": "有一位患者正在等待您的回复，距咨询结束还有 {left}，请尽快登录处理。",
}
"""Texts of templates by code; any other template's text is its parameters."""


class Sms(msgspec.Struct, frozen=True, kw_only=True):
    biz_id: str
    phone: str
    sign_name: str
    template: str
    params: dict[str, Any]
    text: str
    out_id: str | None
    sent_ms: int
    delivered: bool


class SmsFaultSettings(BaseModel):
    """The whole setting: what is not named is normal."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sends: Literal["normal", "refused", "slow", "lost_answer", "undelivered"] = "normal"
    late_seconds: float | None = Field(default=None, ge=0, le=86_400)
    count: int | None = Field(default=None, ge=1, le=1_000_000)


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message


class SmsProvider:
    def __init__(self, keys: SmsKeys, store: Store, clock: Clock, *, late_seconds: float) -> None:
        self._keys = keys
        self._clock = clock
        self._messages = Shelf(store, "sms.messages", Sms, limit=_KEPT)
        self._lever = Lever()
        self._default_late_seconds = self._late_seconds = late_seconds

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/sms", self._call),
            web.post("/sms/", self._call),
            web.get("/sms/messages", self._phone),
            web.get("/sms/faults", self._show_faults),
            web.put("/sms/faults", self._put_faults),
        ]

    async def _call(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            self._verify(request, raw)
            params = dict(request.query)
            if request.content_type == "application/x-www-form-urlencoded":
                params |= dict(parse_qsl(raw.decode(errors="replace"), keep_blank_values=True))
            action = request.headers.get("x-acs-action")
            if action == "SendSms":
                return await self._send(request, params)
            if action == "QuerySendDetails":
                return _answer(200, self._details(params))
            raise _Refused(404, "InvalidAction.NotFound", "Specified api is not found.")
        except _Refused as error:
            return _answer(error.status, {"Code": error.code, "Message": error.message})

    def _verify(self, request: web.Request, raw: bytes) -> None:
        """ACS3: HMAC-SHA-256 over the canonical request, within fifteen minutes."""
        schema, _, rest = request.headers.get("Authorization", "").partition(" ")
        fields = dict(field.strip().partition("=")[::2] for field in rest.split(","))
        if schema != _ALGORITHM or not {"Credential", "SignedHeaders", "Signature"} <= fields.keys():
            raise _Refused(400, "MissingAuthorization", "Authorization is mandatory for this action.")
        if fields["Credential"] != self._keys.access_key_id:
            raise _Refused(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        if request.headers.get("x-acs-version") != VERSION:
            raise _Refused(404, "InvalidVersion", "Specified parameter Version is not valid.")
        self._check_date(request.headers.get("x-acs-date", ""))
        payload_hash = sha256(raw).hexdigest()
        if request.headers.get("x-acs-content-sha256") != payload_hash:
            raise _Refused(400, "SignatureDoesNotMatch", "x-acs-content-sha256 does not match the body.")
        names = fields["SignedHeaders"].split(";")
        if not {"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date"} <= set(names):
            raise _Refused(400, "IncompleteSignature", "SignedHeaders must cover host and the x-acs headers.")
        canonical = _canonical_request(request, names, payload_hash)
        to_sign = f"{_ALGORITHM}\n{sha256(canonical.encode()).hexdigest()}"
        expected = hmac.digest(self._keys.access_key_secret.encode(), to_sign.encode(), "sha256").hex()
        if not hmac.compare_digest(expected.encode(), fields["Signature"].encode()):
            raise _Refused(400, "SignatureDoesNotMatch", "Specified signature does not match our calculation.")

    def _check_date(self, text: str) -> None:
        try:
            at = datetime.fromisoformat(text.replace("Z", "+00:00"))
            near = abs(self._clock.now() - at) <= _WINDOW
        except (ValueError, TypeError):
            raise _Refused(400, "InvalidTimeStamp.Format", "x-acs-date is not well formed.") from None
        if not near:
            raise _Refused(400, "InvalidTimeStamp.Expired", "x-acs-date is expired.")

    async def _send(self, request: web.Request, params: dict[str, str]) -> web.StreamResponse:
        fault = self._lever.take()
        if fault == "refused":
            raise _Refused(200, "isv.BUSINESS_LIMIT_CONTROL", "触发小时级流控Permits:5")
        sent = self._accept(params, delivered=fault != "undelivered")
        if fault in ("slow", "lost_answer"):
            await asyncio.sleep(self._late_seconds)
        if fault == "lost_answer" and request.transport is not None:
            request.transport.abort()
        return _answer(200, {"Code": "OK", "Message": "OK", "BizId": sent.biz_id})

    def _accept(self, params: dict[str, str], *, delivered: bool) -> Sms:
        phone = normal_phone(params.get("PhoneNumbers", ""))
        if not _PHONE.match(phone):
            raise _Refused(200, "isv.MOBILE_NUMBER_ILLEGAL", "手机号码格式错误")
        if params.get("SignName") != self._keys.sign_name:
            raise _Refused(200, "isv.SMS_SIGNATURE_ILLEGAL", "短信签名不合法")
        template = params.get("TemplateCode", "")
        if not template:
            raise _Refused(200, "isv.SMS_TEMPLATE_ILLEGAL", "短信模版不合法")
        values = _template_params(template, params.get("TemplateParam", ""))
        now_ms = self._clock.now_ms()
        message = Sms(
            biz_id=f"{now_ms:d}{new_id()[-10:]}^0",
            phone=phone,
            sign_name=self._keys.sign_name,
            template=template,
            params=values,
            text=f"【{self._keys.sign_name}】{_text(template, values)}",
            out_id=params.get("OutId"),
            sent_ms=now_ms,
            delivered=delivered,
        )
        return self._messages.put(message.biz_id, message)

    def _details(self, params: dict[str, str]) -> dict[str, Any]:
        """What became of the messages to one phone on one Beijing day, newest first; `BizId` narrows."""
        phone, day = normal_phone(params.get("PhoneNumber", "")), params.get("SendDate", "")
        try:
            size, page = int(params.get("PageSize", "10")), int(params.get("CurrentPage", "1"))
        except ValueError:
            raise _Refused(200, "isv.INVALID_PARAMETERS", "参数异常") from None
        if not _PHONE.match(phone) or not re.fullmatch(r"\d{8}", day) or not 1 <= size <= 50 or page < 1:
            raise _Refused(200, "isv.INVALID_PARAMETERS", "参数异常")
        found = [
            sms
            for sms in self._messages.newest()
            if sms.phone == phone and f"{_beijing(sms.sent_ms):%Y%m%d}" == day and params.get("BizId") in (None, sms.biz_id)
        ]
        rows = [_detail(sms) for sms in found[(page - 1) * size : page * size]]
        body = {"Code": "OK", "Message": "OK", "TotalCount": str(len(found))}
        return {**body, "SmsSendDetailDTOs": {"SmsSendDetailDTO": rows}}

    async def _phone(self, request: web.Request) -> web.Response:
        """What arrived at a phone, newest first; without `?phone=` what arrived anywhere."""
        phone = normal_phone(request.query["phone"]) if "phone" in request.query else None
        arrived = (sms for sms in self._messages.newest() if sms.delivered and phone in (None, sms.phone))
        shown = [sms for sms, _ in zip(arrived, range(_SHOWN), strict=False)]
        return _json(
            200,
            [
                {"template": sms.template, "params": sms.params, "text": sms.text, "sent_at": iso_ms(sms.sent_ms)}
                | {"phone": sms.phone}
                for sms in shown
            ],
        )

    async def _show_faults(self, request: web.Request) -> web.Response:
        return _json(200, self._faults())

    async def _put_faults(self, request: web.Request) -> web.Response:
        try:
            settings = SmsFaultSettings.model_validate_json(await request.read() or b"{}")
        except ValidationError as error:
            return _json(400, {"Code": "InvalidParameter", "Message": ".".join(map(str, error.errors()[0]["loc"]))})
        self._lever.move(settings.sends, settings.count)
        self._late_seconds = self._default_late_seconds if settings.late_seconds is None else settings.late_seconds
        return _json(200, self._faults())

    def _faults(self) -> dict[str, Any]:
        return {"sends": self._lever.mode, "late_seconds": self._late_seconds, "remaining": self._lever.remaining}


def normal_phone(text: str) -> str:
    """A mainland mobile number without its country code."""
    digits = re.sub(r"[\s\-+]", "", text)
    return digits[-11:] if re.fullmatch(r"(0086|86)1\d{10}", digits) else digits


def _template_params(template: str, text: str) -> dict[str, Any]:
    try:
        values = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        values = None
    if not isinstance(values, dict):
        raise _Refused(200, "isv.INVALID_JSON_PARAM", "参数格式错误，请修改为字符串值")
    if "code" not in values and _CODE_TEMPLATE.search(template):
        raise _Refused(200, "isv.TEMPLATE_MISSING_PARAMETERS", "模版缺少变量")
    return values


def _text(template: str, values: dict[str, Any]) -> str:
    if template in TEMPLATES:
        return TEMPLATES[template].format_map(values)
    return "，".join(f"{name}：{value}" for name, value in values.items())


def _detail(sms: Sms) -> dict[str, Any]:
    at = f"{_beijing(sms.sent_ms):%Y-%m-%d %H:%M:%S}"
    return {
        "PhoneNum": sms.phone,
        "TemplateCode": sms.template,
        "Content": sms.text,
        "OutId": sms.out_id or "",
        "SendDate": at,
        "ReceiveDate": at if sms.delivered else "",
        "SendStatus": _DELIVERED if sms.delivered else _FAILED,
        "ErrCode": "DELIVERED" if sms.delivered else "MK:0001",
    }


def _canonical_request(request: web.Request, names: list[str], payload_hash: str) -> str:
    pairs = sorted(request.query.items())
    query = "&".join(f"{_escape(name)}={_escape(value)}" for name, value in pairs)
    headers = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in names)
    path = request.rel_url.raw_path or "/"
    return "\n".join([request.method, path, query, headers, ";".join(names), payload_hash])


def _escape(text: str) -> str:
    return quote(text, safe="~")


def _beijing(milliseconds: int) -> datetime:
    return from_ms(milliseconds) + _BEIJING


def _answer(status: int, body: dict[str, Any]) -> web.Response:
    return _json(status, {"RequestId": new_id().upper(), **body})


def _json(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
