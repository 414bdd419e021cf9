"""Callbacks of the gateways, and what staff sees and does with refunds."""

import asyncio
from typing import Final

from billing.domain import TradeReport
from billing.errors import (
    PaymentMismatch,
    PaymentNotFound,
    PaymentSignatureInvalid,
    RefundNotFound,
    RefundStillAlive,
    RefundTransitionRefused,
)
from billing.ports import CallbackReader
from billing.service.payments import PaymentService
from billing.service.refunds import RefundService
from billing.wire import CallbackFailure, RefundList, RefundModel, RefundQuery, refund_model
from server.kernel.edge import ANYONE, STAFF, Call, Idempotency, Reply, Route
from server.kernel.errors import DomainError
from server.kernel.wire import NoBody

_ANSWER_SECONDS: Final = 4.0
"""The gateway waits five; what is not stored by then it will tell again."""

_CALLBACK_ERRORS: Final = (PaymentSignatureInvalid, PaymentMismatch, PaymentNotFound, RefundNotFound)


def routes(payments: PaymentService, refunds: RefundService, wechatpay: CallbackReader) -> list[Route]:
    handlers = _Handlers(payments, refunds, wechatpay)
    return [
        *(
            Route(
                "POST",
                f"/callbacks/wechatpay/{what}",
                f"wechatpay_{what}_callback",
                f"WeChat Pay tells of {what}; signed and encrypted",
                ANYONE,
                handlers.wechatpay,
                status=204,
                idempotency=Idempotency.NONE,
                callback=True,
                on_error=_refuse,
                error_answer=CallbackFailure,
                errors=_CALLBACK_ERRORS,
                tag="callbacks",
            )
            for what in ("payments", "refunds")
        ),
        Route(
            "GET",
            "/admin/refunds",
            "list_refunds",
            "Refunds of the hospital, newest first",
            STAFF,
            handlers.list_refunds,
            query=RefundQuery,
            answer=RefundList,
            tag="admin",
        ),
        Route(
            "POST",
            "/admin/refunds/{refund_id}/restart",
            "restart_refund",
            "Begin a failed refund again under a new number, once the gateway says that the old one is dead",
            STAFF,
            handlers.restart_refund,
            body=NoBody,
            answer=RefundModel,
            errors=(RefundNotFound, RefundStillAlive, RefundTransitionRefused),
            tag="admin",
        ),
    ]


class _Handlers:
    def __init__(self, payments: PaymentService, refunds: RefundService, wechatpay: CallbackReader) -> None:
        self._payments = payments
        self._refunds = refunds
        self._wechatpay = wechatpay

    async def wechatpay(self, call: Call) -> None:
        async with asyncio.timeout(_ANSWER_SECONDS):
            try:
                report = await self._wechatpay.read_callback(_headers(call), call.raw_body)
                if isinstance(report, TradeReport):
                    await self._payments.report(report)
                else:
                    await self._refunds.report(report)
            except _CALLBACK_ERRORS as error:
                await self._payments.refuse_callback(call.actor, "wechatpay", error)
                raise

    async def list_refunds(self, call: Call) -> RefundList:
        query: RefundQuery = call.query
        status = None if query.status is None else query.status.value
        page = await self._refunds.list_refunds(call.actor, status=status, limit=query.limit, cursor=query.cursor)
        return RefundList(items=[refund_model(refund) for refund in page.items], next_cursor=page.next_cursor)

    async def restart_refund(self, call: Call) -> RefundModel:
        return refund_model(await self._refunds.restart_refund(call.actor, call.path["refund_id"]))


def _headers(call: Call) -> dict[str, str]:
    """Header names as the protocol writes them, whatever the proxy made of them."""
    return {name.title(): value for name, value in call.request.headers.items()}


def _refuse(error: DomainError) -> Reply:
    return Reply(CallbackFailure(message=error.code), status=error.status)
