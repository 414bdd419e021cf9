"""What the gateway knows and its rules: values and the present milliseconds in, a new value or a GatewayError out.

Codes and statuses are those of the real gateway's published tables. Money is integer fen, instants are milliseconds.
"""

from enum import StrEnum
from typing import Final

import msgspec

_PREPAY_LIVES_MS: Final = 2 * 60 * 60 * 1000
"""A prepay_id is worth nothing after two hours, whatever `time_expire` says."""


class GatewayError(Exception):
    """A refusal in the gateway's own words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message


class TradeState(StrEnum):
    SUCCESS = "SUCCESS"
    REFUND = "REFUND"
    NOTPAY = "NOTPAY"
    CLOSED = "CLOSED"


class RefundStatus(StrEnum):
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    ABNORMAL = "ABNORMAL"
    CLOSED = "CLOSED"


HOLDS_MONEY: Final = frozenset({RefundStatus.PROCESSING, RefundStatus.SUCCESS})
"""Refunds that count against what may still be refunded. One that failed for good has given its amount back."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the merchant asked for. The same number with other terms is another order, and refused."""

    trade_type: str
    out_trade_no: str
    description: str
    amount_fen: int
    notify_url: str
    expires_ms: int | None = None
    attach: str | None = None
    payer_openid: str | None = None


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    terms: Terms
    prepay_id: str
    package: str
    created_ms: int
    closed_ms: int | None = None
    paid_ms: int | None = None
    transaction_id: str | None = None

    @property
    def dies_ms(self) -> int:
        """From this instant on nobody can pay it."""
        limit = self.created_ms + _PREPAY_LIVES_MS
        return limit if self.terms.expires_ms is None else min(limit, self.terms.expires_ms)


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """`outcome` is what it will be from `settles_ms` on, PROCESSING before. `told`: its callback was begun."""

    out_refund_no: str
    out_trade_no: str
    transaction_id: str
    refund_id: str
    amount_fen: int
    total_fen: int
    created_ms: int
    settles_ms: int
    outcome: RefundStatus
    notify_url: str | None = None
    reason: str | None = None
    told: bool = False

    def status(self, now_ms: int) -> RefundStatus:
        return self.outcome if now_ms >= self.settles_ms else RefundStatus.PROCESSING


class RefundTerms(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as the merchant asks for it."""

    out_refund_no: str
    amount_fen: int
    total_fen: int
    notify_url: str | None = None
    reason: str | None = None


def decide_prepay(existing: Transaction | None, terms: Terms, now_ms: int) -> Transaction | None:
    """The transaction that stands already for these terms, or None when a new one may begin."""
    if terms.expires_ms is not None and terms.expires_ms <= now_ms and existing is None:
        raise GatewayError(400, "PARAM_ERROR", "time_expire 已过")
    if existing is None:
        return None
    if existing.paid_ms is not None:
        raise GatewayError(400, "ORDERPAID", "该订单已支付")
    if existing.closed_ms is not None or now_ms >= existing.dies_ms:
        raise GatewayError(400, "ORDER_CLOSED", "该订单已关闭")
    if existing.terms != terms:
        raise GatewayError(403, "OUT_TRADE_NO_USED", "商户订单号重复")
    return existing


def decide_close(transaction: Transaction, now_ms: int) -> Transaction:
    """Closing twice is closing once; what is paid cannot be closed."""
    if transaction.paid_ms is not None:
        raise GatewayError(400, "ORDERPAID", "该订单已支付，不能关单")
    if transaction.closed_ms is not None:
        return transaction
    return msgspec.structs.replace(transaction, closed_ms=now_ms)


def decide_payment(transaction: Transaction, transaction_id: str, now_ms: int) -> Transaction:
    """The wallet pays: once, before it is closed, before it expires (at that instant it is late)."""
    if transaction.paid_ms is not None:
        raise GatewayError(409, "ORDERPAID", "该订单已支付")
    if transaction.closed_ms is not None:
        raise GatewayError(409, "ORDER_CLOSED", "该订单已关闭")
    if now_ms >= transaction.dies_ms:
        raise GatewayError(409, "ORDER_EXPIRED", "该订单已过期")
    return msgspec.structs.replace(transaction, paid_ms=now_ms, transaction_id=transaction_id)


def trade_state(transaction: Transaction, refunds: list[Refund], now_ms: int) -> TradeState:
    if transaction.paid_ms is not None:
        held = any(refund.status(now_ms) in HOLDS_MONEY for refund in refunds)
        return TradeState.REFUND if held else TradeState.SUCCESS
    if transaction.closed_ms is not None or now_ms >= transaction.dies_ms:
        return TradeState.CLOSED
    return TradeState.NOTPAY


def decide_refund(transaction: Transaction, refunds: list[Refund], terms: RefundTerms, now_ms: int) -> None:
    """Refuse a new refund that the order does not allow."""
    if transaction.paid_ms is None:
        raise GatewayError(400, "INVALID_REQUEST", "订单未支付")
    if terms.total_fen != transaction.terms.amount_fen:
        raise GatewayError(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致")
    held = sum(refund.amount_fen for refund in refunds if refund.status(now_ms) in HOLDS_MONEY)
    if held + terms.amount_fen > transaction.terms.amount_fen:
        raise GatewayError(400, "INVALID_REQUEST", "申请退款金额大于订单剩余可退金额")


def same_refund(existing: Refund, out_trade_no: str, terms: RefundTerms) -> Refund:
    """The refund that a number stands for. One number is one refund of one amount."""
    if (existing.out_trade_no, existing.amount_fen, existing.total_fen) != (out_trade_no, terms.amount_fen, terms.total_fen):
        raise GatewayError(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致")
    return existing
