"""`/v3/…`: the merchant's API. Each request's signature is verified, each answer is signed, refusals too."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from server.kernel.clock import Clock, from_ms, to_ms
from server.kernel.ids import new_id
from simulators.keys import WechatKeys
from simulators.wechatpay import bills
from simulators.wechatpay.domain import GatewayError, RefundTerms, Terms, Transaction
from simulators.wechatpay.faults import Faults
from simulators.wechatpay.gateway import SHANGHAI, Gateway
from simulators.wechatpay.protocol import Protocol

M = TypeVar("M", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[web.Request, bytes], Awaitable[tuple[int, Any]]]

_TRADE_TYPES: Final = {"h5": "MWEB", "jsapi": "JSAPI"}
_LINK_MS: Final = 5 * 60 * 1000
_BILLS_KEPT: Final = 100
_INSTANT: Final = TypeAdapter(AwareDatetime)


class _Body(BaseModel):
    """A request's body. The gateway ignores what it does not know."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _Amount(_Body):
    total: int = Field(ge=1, le=10**10)
    currency: str = Field(default="CNY", pattern="^CNY$")


class _Payer(_Body):
    openid: str = Field(min_length=1, max_length=128)


class _H5Info(_Body):
    type: str = Field(min_length=1, max_length=32)


class _SceneInfo(_Body):
    payer_client_ip: str = Field(min_length=1, max_length=45)
    h5_info: _H5Info | None = None


class _Prepay(_Body):
    appid: str
    mchid: str
    description: str = Field(min_length=1, max_length=127)
    out_trade_no: str = Field(pattern=r"^[0-9A-Za-z_\-|*]{6,32}$")
    time_expire: str | None = None
    attach: str | None = Field(default=None, max_length=128)
    notify_url: str = Field(pattern=r"^https?://[^?]+$", max_length=255)
    amount: _Amount
    payer: _Payer | None = None
    scene_info: _SceneInfo | None = None


class _Close(_Body):
    mchid: str


class _RefundAmount(_Body):
    refund: int = Field(ge=1)
    total: int = Field(ge=1)
    currency: str = Field(pattern="^CNY$")


class _Refund(_Body):
    transaction_id: str | None = None
    out_trade_no: str | None = None
    out_refund_no: str = Field(pattern=r"^[0-9A-Za-z_\-|*@]{1,64}$")
    reason: str | None = Field(default=None, max_length=80)
    notify_url: str | None = Field(default=None, pattern=r"^https?://[^?]+$", max_length=256)
    amount: _RefundAmount


class Api:
    def __init__(self, keys: WechatKeys, protocol: Protocol, gateway: Gateway, faults: Faults, clock: Clock) -> None:
        self._keys = keys
        self._protocol = protocol
        self._gateway = gateway
        self._faults = faults
        self._clock = clock
        self._bills: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        number = "/v3/pay/transactions/out-trade-no/{out_trade_no}"
        return [
            web.post("/v3/pay/transactions/{kind:h5|jsapi}", self._signed(self._prepay, moves_money=True)),
            web.get(number, self._signed(self._query)),
            web.get("/v3/pay/transactions/id/{transaction_id}", self._signed(self._query_by_id)),
            web.post(number + "/close", self._signed(self._close, moves_money=True)),
            web.post("/v3/refund/domestic/refunds", self._signed(self._refund, moves_money=True)),
            web.get("/v3/refund/domestic/refunds/{out_refund_no}", self._signed(self._query_refund)),
            web.get("/v3/certificates", self._signed(self._certificates)),
            web.get("/v3/bill/tradebill", self._signed(self._trade_bill)),
            web.get("/v3/billdownload/file", self._download),
            web.route("*", "/v3/{rest:.*}", self._signed(self._unknown)),
        ]

    def _signed(self, answer: Answer, *, moves_money: bool = False) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            raw = await request.read()
            try:
                authorization = request.headers.get("Authorization", "")
                self._protocol.verify(authorization, request.method, request.raw_path, raw, self._clock.now_ms())
                status, body = await answer(request, raw)
            except GatewayError as error:
                return self._respond(error.status, {"code": error.code, "message": error.message})
            if moves_money and self._faults.take_timeout():
                await self._say_nothing(request)
            return self._respond(status, body)

        return handle

    def _respond(self, status: int, body: Any) -> web.Response:
        content = b"" if body is None else orjson.dumps(body)
        headers = {"Request-ID": new_id(), **self._protocol.sign(content, self._clock.now_ms())}
        if body is None:
            return web.Response(status=status, headers=headers)
        return web.Response(status=status, body=content, content_type="application/json", charset="utf-8", headers=headers)

    async def _say_nothing(self, request: web.Request) -> None:
        """It was done, but the answer never arrives: hang, then drop the connection."""
        await asyncio.sleep(self._faults.late_seconds)
        if request.transport is not None:
            request.transport.abort()

    async def _prepay(self, request: web.Request, raw: bytes) -> tuple[int, Any]:
        body, kind = _parse(_Prepay, raw), request.match_info["kind"]
        self._check_merchant(body.mchid)
        if body.appid != self._keys.appid:
            raise GatewayError(400, "APPID_MCHID_NOT_MATCH", "appid 和 mch_id 不匹配")
        if kind == "jsapi" and body.payer is None:
            raise GatewayError(400, "PARAM_ERROR", "payer 必填")
        if kind == "h5" and (body.scene_info is None or body.scene_info.h5_info is None):
            raise GatewayError(400, "PARAM_ERROR", "scene_info.h5_info 必填")
        terms = Terms(
            trade_type=_TRADE_TYPES[kind],
            out_trade_no=body.out_trade_no,
            description=body.description,
            amount_fen=body.amount.total,
            notify_url=body.notify_url,
            expires_ms=None if body.time_expire is None else _instant_ms(body.time_expire),
            attach=body.attach,
            payer_openid=None if body.payer is None else body.payer.openid,
        )
        transaction = self._gateway.prepay(terms)
        if kind == "jsapi":
            return 200, {"prepay_id": transaction.prepay_id}
        page = f"{request.scheme}://{request.host}/wechatpay/wallet-page"
        return 200, {"h5_url": f"{page}?prepay_id={transaction.prepay_id}&package={transaction.package}"}

    async def _query(self, request: web.Request, raw: bytes) -> tuple[int, Any]:
        self._check_merchant(request.query.get("mchid", ""))
        return 200, self._gateway.transaction_body(self._gateway.get_transaction(request.match_info["out_trade_no"]))

    async def _query_by_id(self, request: web.Request, raw: bytes) -> tuple[int, Any]:
        self._check_merchant(request.query.get("mchid", ""))
        found = self._gateway.get_by_transaction_id(request.match_info["transaction_id"])
        return 200, self._gateway.transaction_body(found)

    async def _close(self, request: web.Request, raw: bytes) -> tuple[int, Any]:
        self._check_merchant(_parse(_Close, raw).mchid)
        self._gateway.close(request.match_info["out_trade_no"])
        return 204, None

    async def _refund(self, request: web.Request, raw: bytes) -> tuple[int, Any]:
        body = _parse(_Refund, raw)
        terms = RefundTerms(
            out_refund_no=body.out_refund_no,
            amount_fen=body.amount.refund,
            total_fen=body.amount.total,
            notify_url=body.notify_url,
            reason=body.reason,
        )
        return 200, self._gateway.refund_body(self._gateway.refund(self._refunded_order(body), terms))

    def _refunded_order(self, body: _Refund) -> Transaction:
        """The order of a refund, by either number; one is required."""
        try:
            if body.transaction_id is not None:
                return self._gateway.get_by_transaction_id(body.transaction_id)
            if body.out_trade_no is not None:
                return self._gateway.get_transaction(body.out_trade_no)
        except GatewayError:
            raise GatewayError(404, "RESOURCE_NOT_EXISTS", "订单号不存在") from None
        raise GatewayError(400, "PARAM_ERROR", "transaction_id 和 out_trade_no 必须二选一")

    async def _query_refund(self, request: web.Request, raw: bytes) -> tuple[int, Any]:
        return 200, self._gateway.refund_body(self._gateway.get_refund(request.match_info["out_refund_no"]))

    async def _certificates(self, request: web.Request, raw: bytes) -> tuple[int, Any]:
        sealed = self._protocol.encrypt(self._protocol.certificate.encode(), "certificate")
        certificate = {
            "serial_no": self._keys.platform_serial,
            "effective_time": "2020-01-01T08:00:00+08:00",
            "expire_time": "2049-12-24T08:00:00+08:00",
            "encrypt_certificate": sealed,
        }
        return 200, {"data": [certificate]}

    async def _trade_bill(self, request: web.Request, raw: bytes) -> tuple[int, Any]:
        try:
            day = date.fromisoformat(request.query.get("bill_date", ""))
        except ValueError:
            raise GatewayError(400, "PARAM_ERROR", "bill_date 格式错误") from None
        kind = request.query.get("bill_type", "ALL")
        if kind not in ("ALL", "SUCCESS", "REFUND"):
            raise GatewayError(400, "PARAM_ERROR", "bill_type 错误")
        content = self._bill_of(day, kind)
        now_ms, token = self._clock.now_ms(), secrets.token_urlsafe(24)
        self._bills[token] = (now_ms + _LINK_MS, content)
        while len(self._bills) > _BILLS_KEPT:
            self._bills.popitem(last=False)
        link = f"{request.scheme}://{request.host}/v3/billdownload/file?token={token}"
        return 200, {"hash_type": "SHA1", "hash_value": bills.bill_hash(content), "download_url": link}

    def _bill_of(self, day: date, kind: str) -> bytes:
        fault, now_ms = self._faults.bills.take(), self._clock.now_ms()
        today = from_ms(now_ms).astimezone(SHANGHAI)
        early = not bills.earliest_ready(day, today.date(), today.hour)
        if fault == "creating" or (early and fault != "early"):
            raise GatewayError(400, "STATEMENT_CREATING", "账单文件正在生成，请稍后再试")
        content = bills.trade_bill(self._gateway, self._keys, day, kind, now_ms)
        if content is None or fault == "missing":
            raise GatewayError(400, "NO_STATEMENT_EXIST", "账单文件不存在")
        return content

    async def _download(self, request: web.Request) -> web.StreamResponse:
        """The file behind a link of the last five minutes. The answer is not signed; the link's hash is what proves it. A
        signature on the request is verified where there is one."""
        expires_ms, content = self._bills.get(request.query.get("token", ""), (0, b""))
        try:
            if authorization := request.headers.get("Authorization"):
                self._protocol.verify(authorization, request.method, request.raw_path, b"", self._clock.now_ms())
            if self._clock.now_ms() >= expires_ms:
                raise GatewayError(400, "INVALID_REQUEST", "下载链接已失效")
        except GatewayError as error:
            return self._respond(error.status, {"code": error.code, "message": error.message})
        return web.Response(body=content, content_type="text/plain", charset="utf-8")

    async def _unknown(self, request: web.Request, raw: bytes) -> tuple[int, Any]:
        raise GatewayError(404, "RESOURCE_NOT_EXISTS", "无此接口")

    def _check_merchant(self, mchid: str) -> None:
        if mchid != self._keys.mchid:
            raise GatewayError(400, "PARAM_ERROR", "mchid 与签名的商户号不一致")


def _parse(model: type[M], raw: bytes) -> M:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        where = ".".join(str(place) for place in error.errors()[0]["loc"])
        raise GatewayError(400, "PARAM_ERROR", f"参数错误：{where or 'body'}") from None


def _instant_ms(text: str) -> int:
    """RFC 3339 with an offset, as `time_expire` is written."""
    try:
        parsed: datetime = _INSTANT.validate_python(text)
    except ValidationError:
        raise GatewayError(400, "PARAM_ERROR", "time_expire 格式错误") from None
    return to_ms(parsed)
