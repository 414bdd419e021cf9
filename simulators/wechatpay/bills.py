"""The trade bill of one Beijing day: UTF-8 with BOM and CRLF, header cells bare, data cells behind a backtick, yuan.

Columns and the summary are those of the gateway's `bill_type` ALL, SUCCESS and REFUND.
"""

from datetime import date, timedelta
from hashlib import sha1
from typing import Final

from server.kernel.clock import from_ms
from server.kernel.money import yuan_text
from simulators.keys import WechatKeys
from simulators.wechatpay.domain import Refund, RefundStatus, Transaction
from simulators.wechatpay.gateway import SHANGHAI, Gateway, payer_of

_HEADER: Final = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
_SUMMARY: Final = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
_FEE_PER_MYRIAD: Final = 60
_RATE: Final = "0.60%"
_BILL_STATUS: Final = {
    RefundStatus.SUCCESS: "SUCCESS",
    RefundStatus.PROCESSING: "PROCESSING",
    RefundStatus.ABNORMAL: "CHANGE",
    RefundStatus.CLOSED: "FAIL",
}


def trade_bill(gateway: Gateway, keys: WechatKeys, day: date, bill_type: str, now_ms: int) -> bytes | None:
    """The bill's bytes, uncompressed, or None when nothing happened on that day."""
    payments, refunds = _of_day(gateway, day)
    lines = [_payment_line(keys, t) for t in payments] if bill_type != "REFUND" else []
    if bill_type != "SUCCESS":
        lines += [_refund_line(keys, t, refund, now_ms) for t, refund in refunds]
    if not lines:
        return None
    paid = sum(t.terms.amount_fen for t in payments) if bill_type != "REFUND" else 0
    refunded = sum(refund.amount_fen for _, refund in refunds) if bill_type != "SUCCESS" else 0
    fees = sum(_fee(t.terms.amount_fen) for t in payments) if bill_type != "REFUND" else 0
    fees -= sum(_fee(refund.amount_fen) for _, refund in refunds) if bill_type != "SUCCESS" else 0
    totals = [str(len(lines)), *map(yuan_text, (paid, refunded, 0, fees, paid, refunded))]
    text = "\r\n".join([_HEADER, *lines, _SUMMARY, _cells(totals), ""])
    return b"\xef\xbb\xbf" + text.encode()


def bill_hash(content: bytes) -> str:
    """The gateway's SHA1 over the uncompressed bytes."""
    return sha1(content, usedforsecurity=False).hexdigest()


def _of_day(gateway: Gateway, day: date) -> tuple[list[Transaction], list[tuple[Transaction, Refund]]]:
    payments, refunds = [], []
    for transaction in gateway.list_paid():
        if transaction.paid_ms is not None and _day(transaction.paid_ms) == day:
            payments.append(transaction)
        refunds += [
            (transaction, refund)
            for refund in gateway.list_refunds(transaction.terms.out_trade_no)
            if _day(refund.created_ms) == day
        ]
    return payments, refunds


def _payment_line(keys: WechatKeys, transaction: Transaction) -> str:
    terms, none = transaction.terms, yuan_text(0)
    amount = yuan_text(terms.amount_fen)
    return _cells(
        [
            *_common(keys, transaction, transaction.paid_ms or 0, "SUCCESS"),
            *(amount, none, "0", "0", none, none, "", ""),
            *(terms.description, terms.attach or "", f"{_fee(terms.amount_fen) / 100:.5f}", _RATE, amount, none, ""),
        ]
    )


def _refund_line(keys: WechatKeys, transaction: Transaction, refund: Refund, now_ms: int) -> str:
    terms, none, amount = transaction.terms, yuan_text(0), yuan_text(refund.amount_fen)
    status = _BILL_STATUS[refund.status(now_ms)]
    return _cells(
        [
            *_common(keys, transaction, refund.created_ms, "REFUND"),
            *(none, none, refund.refund_id, refund.out_refund_no, amount, none, "ORIGINAL", status),
            *(terms.description, terms.attach or "", f"-{_fee(refund.amount_fen) / 100:.5f}", _RATE, none, amount, ""),
        ]
    )


def _common(keys: WechatKeys, transaction: Transaction, at_ms: int, state: str) -> list[str]:
    terms = transaction.terms
    at = f"{from_ms(at_ms).astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"
    numbers = [transaction.transaction_id or "", terms.out_trade_no, payer_of(transaction)]
    return [at, keys.appid, keys.mchid, "0", "", *numbers, terms.trade_type, state, "OTHERS", "CNY"]


def _cells(values: list[str]) -> str:
    return ",".join("`" + value.replace(",", " ").replace("\n", " ") for value in values)


def _fee(fen: int) -> int:
    return (fen * _FEE_PER_MYRIAD + 5_000) // 10_000


def _day(milliseconds: int) -> date:
    return from_ms(milliseconds).astimezone(SHANGHAI).date()


def earliest_ready(day: date, today: date, hour: int) -> bool:
    """A day's bill is there from ten in the morning of the next day."""
    return today > day + timedelta(days=1) or (today == day + timedelta(days=1) and hour >= 10)
