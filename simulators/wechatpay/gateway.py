"""The gateway's state and what it does with it. Every method decides and stores without an await in between."""

import secrets
from collections import defaultdict
from datetime import timedelta, timezone
from functools import partial
from typing import Any, Final

import msgspec

from server.kernel.clock import Clock, from_ms
from simulators.keys import WechatKeys
from simulators.schedule import Schedule
from simulators.shelf import Shelf, Store
from simulators.wechatpay import domain
from simulators.wechatpay.domain import (
    GatewayError,
    Refund,
    RefundStatus,
    RefundTerms,
    Terms,
    TradeState,
    Transaction,
)
from simulators.wechatpay.faults import Faults
from simulators.wechatpay.notify import Notifier

SHANGHAI: Final = timezone(timedelta(hours=8))
_KEPT: Final = 200_000
_TRADE_STATES: Final = {
    TradeState.SUCCESS: "支付成功",
    TradeState.REFUND: "转入退款",
    TradeState.NOTPAY: "订单未支付",
    TradeState.CLOSED: "订单已关闭",
}
_REFUND_EVENTS: Final = {
    RefundStatus.SUCCESS: ("REFUND.SUCCESS", "退款成功"),
    RefundStatus.ABNORMAL: ("REFUND.ABNORMAL", "退款异常"),
    RefundStatus.CLOSED: ("REFUND.CLOSED", "退款关闭"),
}
_OUTCOMES: Final = {"abnormal": RefundStatus.ABNORMAL, "closed": RefundStatus.CLOSED}


class Gateway:
    """Transactions by `out_trade_no`, refunds by `out_refund_no`."""

    def __init__(
        self,
        keys: WechatKeys,
        store: Store,
        clock: Clock,
        schedule: Schedule,
        faults: Faults,
        notifier: Notifier,
        *,
        refund_delay: timedelta,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._schedule = schedule
        self._faults = faults
        self._notifier = notifier
        self._refund_delay_ms = refund_delay // timedelta(milliseconds=1)
        self._transactions = Shelf(store, "wechatpay.transactions", Transaction, limit=_KEPT)
        self._refunds = Shelf(store, "wechatpay.refunds", Refund, limit=_KEPT)
        self._by_prepay = {t.prepay_id: t.terms.out_trade_no for t in self._transactions}
        self._by_transaction = {t.transaction_id: t.terms.out_trade_no for t in self._transactions if t.transaction_id}
        self._refunds_of: defaultdict[str, list[str]] = defaultdict(list)
        for refund in self._refunds:
            self._refunds_of[refund.out_trade_no].append(refund.out_refund_no)

    def start(self) -> None:
        """Go on with the refunds that an earlier run was working on."""
        for refund in self._refunds:
            if not refund.told:
                self._plan(refund)

    def prepay(self, terms: Terms) -> Transaction:
        now_ms = self._clock.now_ms()
        standing = domain.decide_prepay(self._transactions.find(terms.out_trade_no), terms, now_ms)
        if standing is not None:
            return standing
        born = from_ms(now_ms).astimezone(SHANGHAI)
        fresh = Transaction(
            terms=terms,
            prepay_id=f"wx{born:%Y%m%d%H%M%S}{secrets.token_hex(10)}",
            package=str(secrets.randbelow(10**10)),
            created_ms=now_ms,
        )
        self._by_prepay[fresh.prepay_id] = terms.out_trade_no
        return self._transactions.put(terms.out_trade_no, fresh)

    def get_transaction(self, out_trade_no: str) -> Transaction:
        found = self._transactions.find(out_trade_no)
        if found is None:
            raise GatewayError(404, "ORDER_NOT_EXIST", "订单不存在")
        return found

    def get_by_transaction_id(self, transaction_id: str) -> Transaction:
        return self.get_transaction(self._by_transaction.get(transaction_id, ""))

    def get_by_prepay_id(self, prepay_id: str) -> Transaction:
        return self.get_transaction(self._by_prepay.get(prepay_id, ""))

    def close(self, out_trade_no: str) -> None:
        closed = domain.decide_close(self.get_transaction(out_trade_no), self._clock.now_ms())
        self._transactions.put(out_trade_no, closed)

    def pay(self, prepay_id: str) -> Transaction:
        """The wallet pays, and the merchant is told."""
        transaction_id = f"4200{secrets.randbelow(10**24):024d}"
        paid = domain.decide_payment(self.get_by_prepay_id(prepay_id), transaction_id, self._clock.now_ms())
        self._transactions.put(paid.terms.out_trade_no, paid)
        self._by_transaction[transaction_id] = paid.terms.out_trade_no
        self._notifier.notify(
            "TRANSACTION.SUCCESS", "支付成功", paid.terms.out_trade_no, self.transaction_body(paid), paid.terms.notify_url
        )
        return paid

    def refund(self, transaction: Transaction, terms: RefundTerms) -> Refund:
        """Begin a refund, or find the one that this number stands for already."""
        out_trade_no, now_ms = transaction.terms.out_trade_no, self._clock.now_ms()
        if (existing := self._refunds.find(terms.out_refund_no)) is not None:
            return domain.same_refund(existing, out_trade_no, terms)
        domain.decide_refund(transaction, self.list_refunds(out_trade_no), terms, now_ms)
        fault = self._faults.refunds.take()
        if fault == "refused":
            raise GatewayError(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
        assert transaction.transaction_id is not None, "paid, so it has a number"
        refund = Refund(
            out_refund_no=terms.out_refund_no,
            out_trade_no=out_trade_no,
            transaction_id=transaction.transaction_id,
            refund_id=f"5030{secrets.randbelow(10**25):025d}",
            amount_fen=terms.amount_fen,
            total_fen=terms.total_fen,
            created_ms=now_ms,
            settles_ms=now_ms + (self._faults.late_ms if fault == "slow" else self._refund_delay_ms),
            outcome=_OUTCOMES.get(fault, RefundStatus.SUCCESS),
            notify_url=terms.notify_url,
            reason=terms.reason,
        )
        self._refunds.put(refund.out_refund_no, refund)
        self._refunds_of[out_trade_no].append(refund.out_refund_no)
        self._plan(refund)
        return refund

    def get_refund(self, out_refund_no: str) -> Refund:
        found = self._refunds.find(out_refund_no)
        if found is None:
            raise GatewayError(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return found

    def list_refunds(self, out_trade_no: str) -> list[Refund]:
        """Oldest first."""
        found = (self._refunds.find(number) for number in self._refunds_of.get(out_trade_no, ()))
        return [refund for refund in found if refund is not None]

    def list_paid(self) -> list[Transaction]:
        return [transaction for transaction in self._transactions if transaction.paid_ms is not None]

    def transaction_body(self, transaction: Transaction) -> dict[str, Any]:
        """A transaction as queries and callbacks show it."""
        terms, now_ms = transaction.terms, self._clock.now_ms()
        state = domain.trade_state(transaction, self.list_refunds(terms.out_trade_no), now_ms)
        body: dict[str, Any] = {
            "appid": self._keys.appid,
            "mchid": self._keys.mchid,
            "out_trade_no": terms.out_trade_no,
            "trade_type": terms.trade_type,
            "trade_state": state,
            "trade_state_desc": _TRADE_STATES[state],
            "amount": {"total": terms.amount_fen, "currency": "CNY"},
            "promotion_detail": [],
        }
        if terms.attach is not None:
            body["attach"] = terms.attach
        if transaction.paid_ms is None:
            return body
        body["amount"] |= {"payer_total": terms.amount_fen, "payer_currency": "CNY"}
        return body | {
            "transaction_id": transaction.transaction_id,
            "bank_type": "OTHERS",
            "success_time": gateway_time(transaction.paid_ms),
            "payer": {"openid": payer_of(transaction)},
        }

    def forged_body(self, transaction: Transaction) -> dict[str, Any]:
        """What a forger would say: paid, whatever is true."""
        now_ms = self._clock.now_ms()
        claimed = msgspec.structs.replace(
            transaction, paid_ms=transaction.paid_ms or now_ms, transaction_id=transaction.transaction_id or "4200" + "9" * 24
        )
        return self.transaction_body(claimed)

    def refund_body(self, refund: Refund) -> dict[str, Any]:
        """A refund as the API answers it."""
        status = refund.status(self._clock.now_ms())
        body: dict[str, Any] = {
            "refund_id": refund.refund_id,
            "out_refund_no": refund.out_refund_no,
            "transaction_id": refund.transaction_id,
            "out_trade_no": refund.out_trade_no,
            "channel": "ORIGINAL",
            "user_received_account": "支付用户零钱",
            "create_time": gateway_time(refund.created_ms),
            "status": status,
            "funds_account": "AVAILABLE",
            "amount": {
                "total": refund.total_fen,
                "refund": refund.amount_fen,
                "payer_total": refund.total_fen,
                "payer_refund": refund.amount_fen,
                "settlement_refund": refund.amount_fen,
                "settlement_total": refund.total_fen,
                "discount_refund": 0,
                "currency": "CNY",
            },
        }
        if status is RefundStatus.SUCCESS:
            body["success_time"] = gateway_time(refund.settles_ms)
        return body

    def _plan(self, refund: Refund) -> None:
        self._schedule.at(refund.settles_ms, partial(self._tell, refund.out_refund_no))

    async def _tell(self, out_refund_no: str) -> None:
        """The refund is decided: tell the merchant once (the notifier repeats)."""
        refund = self.get_refund(out_refund_no)
        if refund.told:
            return
        if refund.notify_url is not None:
            event, summary = _REFUND_EVENTS[refund.outcome]
            self._notifier.notify(event, summary, out_refund_no, self._refund_notice(refund), refund.notify_url)
        self._refunds.put(out_refund_no, msgspec.structs.replace(refund, told=True))

    def _refund_notice(self, refund: Refund) -> dict[str, Any]:
        """A refund as callbacks show it: other names than in the API's answer, as the gateway has them."""
        notice: dict[str, Any] = {
            "mchid": self._keys.mchid,
            "transaction_id": refund.transaction_id,
            "out_trade_no": refund.out_trade_no,
            "refund_id": refund.refund_id,
            "out_refund_no": refund.out_refund_no,
            "refund_status": refund.outcome,
            "user_received_account": "支付用户零钱",
            "amount": {
                "total": refund.total_fen,
                "refund": refund.amount_fen,
                "payer_total": refund.total_fen,
                "payer_refund": refund.amount_fen,
            },
        }
        if refund.outcome is RefundStatus.SUCCESS:
            notice["success_time"] = gateway_time(refund.settles_ms)
        return notice


def gateway_time(milliseconds: int) -> str:
    """`2018-06-08T10:34:56+08:00`: the gateway speaks Beijing time and whole seconds."""
    return from_ms(milliseconds).astimezone(SHANGHAI).isoformat(timespec="seconds")


def payer_of(transaction: Transaction) -> str:
    return transaction.terms.payer_openid or "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
