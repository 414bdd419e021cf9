"""The patient's side of the gateway, and its levers: `/wechatpay/…`. Unsigned: a person with a phone, or a test."""

from html import escape
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from server.kernel.clock import Clock, iso_ms
from server.kernel.money import yuan_text
from simulators.wechatpay.domain import GatewayError, Transaction, trade_state
from simulators.wechatpay.faults import Faults, FaultSettings
from simulators.wechatpay.gateway import Gateway
from simulators.wechatpay.notify import Forgery, Notifier

_PAGE: Final = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>微信支付（模拟）</title>
<style>body{{font:16px/1.6 sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem;text-align:center}}
b{{font-size:2.4rem;display:block}}button{{font-size:1.1rem;padding:.7rem 3rem;border:0;border-radius:.4rem;
background:#07c160;color:#fff}}button[disabled]{{background:#bbb}}</style></head>
<body><p>{description}</p><b>¥{amount}</b><p id="state" role="status">{state}</p>
<button id="pay" data-prepay="{prepay_id}" data-next="{next}"{disabled}>立即支付</button>
<script>
const button = document.getElementById("pay"), state = document.getElementById("state");
button.onclick = async () => {{
  button.disabled = true;
  const answer = await fetch(`/wechatpay/wallet/${{button.dataset.prepay}}/pay`, {{method: "POST"}});
  state.textContent = answer.ok ? "支付成功" : (await answer.json()).message;
  if (answer.ok && button.dataset.next) location.href = button.dataset.next;
}};
</script></body></html>"""
_STATES: Final = {"NOTPAY": "待支付", "SUCCESS": "支付成功", "REFUND": "已退款", "CLOSED": "订单已关闭"}


class _Forge(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Forgery = "unknown_key"


class Wallet:
    def __init__(self, gateway: Gateway, notifier: Notifier, faults: Faults, clock: Clock) -> None:
        self._gateway = gateway
        self._notifier = notifier
        self._faults = faults
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        wallet = "/wechatpay/wallet/{prepay_id}"
        return [
            web.get(wallet, self._show),
            web.post(wallet + "/pay", self._pay),
            web.post(wallet + "/forge", self._forge),
            web.get("/wechatpay/wallet-page", self._page),
            web.get("/wechatpay/faults", self._show_faults),
            web.put("/wechatpay/faults", self._put_faults),
            web.get("/wechatpay/callbacks", self._callbacks),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        try:
            return _json(200, self._body(self._gateway.get_by_prepay_id(request.match_info["prepay_id"])))
        except GatewayError as error:
            return _refusal(error)

    async def _pay(self, request: web.Request) -> web.Response:
        try:
            return _json(200, self._body(self._gateway.pay(request.match_info["prepay_id"])))
        except GatewayError as error:
            return _refusal(error)

    async def _forge(self, request: web.Request) -> web.Response:
        """Send one forged success of this payment now, paid or not, and say how it was answered."""
        try:
            kind = _Forge.model_validate_json(await request.read() or b"{}").kind
            transaction = self._gateway.get_by_prepay_id(request.match_info["prepay_id"])
        except ValidationError:
            return _json(400, {"code": "PARAM_ERROR", "message": "kind"})
        except GatewayError as error:
            return _refusal(error)
        terms = transaction.terms
        claimed = self._gateway.forged_body(transaction)
        return _json(200, await self._notifier.forge(kind, terms.out_trade_no, claimed, terms.notify_url))

    async def _page(self, request: web.Request) -> web.Response:
        try:
            transaction = self._gateway.get_by_prepay_id(request.query.get("prepay_id", ""))
        except GatewayError as error:
            return _refusal(error)
        state = self._state(transaction)
        onward = request.query.get("redirect_url", "")
        page = _PAGE.format(
            description=escape(transaction.terms.description),
            amount=yuan_text(transaction.terms.amount_fen),
            state=_STATES[state],
            prepay_id=escape(transaction.prepay_id),
            next=escape(onward if onward.startswith(("http://", "https://")) else ""),
            disabled="" if state == "NOTPAY" else " disabled",
        )
        return web.Response(text=page, content_type="text/html")

    async def _show_faults(self, request: web.Request) -> web.Response:
        return _json(200, self._faults.show())

    async def _put_faults(self, request: web.Request) -> web.Response:
        try:
            settings = FaultSettings.model_validate_json(await request.read() or b"{}")
        except ValidationError as error:
            return _json(400, {"code": "PARAM_ERROR", "message": ".".join(map(str, error.errors()[0]["loc"]))})
        self._faults.put(settings)
        return _json(200, self._faults.show())

    async def _callbacks(self, request: web.Request) -> web.Response:
        """The last tries, newest first; `?subject=` (out_trade_no or out_refund_no) narrows."""
        subject = request.query.get("subject")
        return _json(200, [note for note in self._notifier.log if subject in (None, note["subject"])])

    def _state(self, transaction: Transaction) -> str:
        return trade_state(transaction, self._gateway.list_refunds(transaction.terms.out_trade_no), self._clock.now_ms())

    def _body(self, transaction: Transaction) -> dict[str, Any]:
        terms, now_ms = transaction.terms, self._clock.now_ms()
        refunds = self._gateway.list_refunds(terms.out_trade_no)
        return {
            "prepay_id": transaction.prepay_id,
            "out_trade_no": terms.out_trade_no,
            "transaction_id": transaction.transaction_id,
            "amount_fen": terms.amount_fen,
            "paid": transaction.paid_ms is not None,
            "paid_at": None if transaction.paid_ms is None else iso_ms(transaction.paid_ms),
            "trade_state": self._state(transaction),
            "refunds": [
                {"out_refund_no": r.out_refund_no, "amount_fen": r.amount_fen, "status": r.status(now_ms)} for r in refunds
            ],
        }


def _json(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def _refusal(error: GatewayError) -> web.Response:
    return _json(error.status, {"code": error.code, "message": error.message})
