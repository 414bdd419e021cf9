"""WeChat Pay's trade bill: a signed link, a file that its hash proves, lines by the names in its header."""

import csv
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final

import structlog

from billing.errors import GatewayRefused, GatewayUnknown
from billing.reconciliation.domain import BillLine, EntryKind, LineState
from billing.reconciliation.errors import BillNotReady
from billing.wechatpay import WechatPay
from server.kernel.money import parse_yuan

log = structlog.get_logger(__name__)

_BILL_BYTES: Final = 256 * 1024 * 1024
_STATES: Final[Mapping[str, LineState]] = {
    "SUCCESS": LineState.DONE,
    "PROCESSING": LineState.UNDER_WAY,
    "FAIL": LineState.FAILED,
    "CHANGE": LineState.FAILED,
}
_STATE, _PAID, _REFUNDED, _REVOKED = "交易状态", "SUCCESS", "REFUND", "REVOKED"
_TRADE_NO, _TRANSACTION, _AMOUNT = "商户订单号", "微信订单号", "订单金额"
_REFUND_NO, _REFUND_AMOUNT, _REFUND_STATE = "商户退款单号", "申请退款金额", "退款状态"
_SUMMARY: Final = "总交易单数"


class WechatBills:
    """Implements `ports.Bills`."""

    def __init__(self, client: WechatPay) -> None:
        self._client = client

    async def fetch(self, day: date) -> Sequence[BillLine]:
        status, answer = await self._client.ask("GET", f"/v3/bill/tradebill?bill_date={day.isoformat()}&bill_type=ALL")
        if status != 200:
            code = str(answer.get("code"))
            if code == "NO_STATEMENT_EXIST":
                return ()
            raise BillNotReady() if code == "STATEMENT_CREATING" else GatewayRefused(reason=code)
        content = await self._client.download(str(answer.get("download_url")), _BILL_BYTES)
        found = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        if answer.get("hash_type") != "SHA1" or not hmac.compare_digest(found, str(answer.get("hash_value")).lower()):
            log.warning("wechatpay.bill_not_proved", day=day.isoformat())
            raise GatewayUnknown()
        try:
            return parse_bill(content)
        except (ValueError, KeyError, StopIteration, csv.Error) as error:
            log.warning("wechatpay.bill_not_read", day=day.isoformat(), error=type(error).__name__)
            raise GatewayUnknown() from error


def parse_bill(content: bytes) -> Sequence[BillLine]:
    """All payments and refunds of a bill (`bill_type` ALL). Raises ValueError or KeyError for what is no bill, and where its
    summary counts other lines than it has."""
    rows = csv.reader(content.decode("utf-8-sig").splitlines())
    header = next(rows)
    lines: list[BillLine] = []
    for row in rows:
        if row and row[0].strip() == _SUMMARY:
            (total, *_) = next(rows)
            if int(total.lstrip("`")) != len(lines):
                raise ValueError("the summary counts other lines")
            return lines
        lines.extend(_lines_of(dict(zip(header, (cell.strip().lstrip("`") for cell in row), strict=True))))
    raise ValueError("there is no summary")


def _lines_of(cells: Mapping[str, str]) -> Iterator[BillLine]:
    if cells[_STATE] == _PAID:
        amount = parse_yuan(cells[_AMOUNT])
        yield BillLine(EntryKind.PAYMENT, cells[_TRADE_NO], amount, LineState.DONE, cells[_TRANSACTION])
    elif cells[_STATE] in (_REFUNDED, _REVOKED):
        amount, state = parse_yuan(cells[_REFUND_AMOUNT]), _STATES[cells[_REFUND_STATE]]
        yield BillLine(EntryKind.REFUND, cells[_REFUND_NO], amount, state, cells[_TRANSACTION])
    else:
        raise ValueError("a line of an unknown kind")
