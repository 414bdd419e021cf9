"""After-sales over HTTP. Which staff, the service decides."""

from consult.errors import AfterSalesNotFound, AfterSalesTransitionRefused, OrderNotFound, OrderTransitionRefused
from consult.service.after_sales import AfterSalesService
from consult.wire import OrderOut, order_out
from consult.wire.after_sales import (
    AfterSalesDecisionIn,
    AfterSalesIn,
    AfterSalesOut,
    AfterSalesPage,
    AfterSalesQuery,
    after_sales_out,
)
from media.errors import MediaNotFound
from server.kernel.edge import PATIENT, STAFF, Call, Conceal, Route
from server.kernel.errors import Forbidden


def after_sales_routes(after_sales: AfterSalesService, conceal: Conceal) -> list[Route]:
    return [*_patient_routes(after_sales, conceal), *_staff_routes(after_sales)]


def _patient_routes(after_sales: AfterSalesService, conceal: Conceal) -> list[Route]:
    async def ask(call: Call) -> OrderOut:
        body: AfterSalesIn = call.body
        order_id, images = call.path["order_id"], tuple(dict.fromkeys(body.image_ids))
        return order_out(await after_sales.ask(call.actor, order_id, body.reason, body.text, images))

    async def view(call: Call) -> AfterSalesOut:
        return after_sales_out(await after_sales.view_own(call.actor, call.path["order_id"]))

    return [
        Route(
            "POST",
            "/orders/{order_id}/after-sales",
            "ask_after_sales",
            "Ask for the fee of an answered order, once, within seven days of its close.",
            PATIENT,
            ask,
            body=AfterSalesIn,
            answer=OrderOut,
            errors=(OrderNotFound, OrderTransitionRefused, MediaNotFound),
            conceal=conceal,
            tag="orders",
        ),
        Route(
            "GET",
            "/orders/{order_id}/after-sales",
            "get_after_sales",
            "One's own case, and the hospital's answer.",
            PATIENT,
            view,
            answer=AfterSalesOut,
            errors=(OrderNotFound, AfterSalesNotFound),
            conceal=conceal,
            tag="orders",
        ),
    ]


def _staff_routes(after_sales: AfterSalesService) -> list[Route]:
    async def list_cases(call: Call) -> AfterSalesPage:
        query: AfterSalesQuery = call.query
        found, cursor = await after_sales.list_cases(call.actor, query.state, query.limit, query.cursor)
        return AfterSalesPage(items=[after_sales_out(order) for order in found], next_cursor=cursor)

    async def view(call: Call) -> AfterSalesOut:
        return after_sales_out(await after_sales.view_case(call.actor, call.path["after_sales_id"]))

    async def decide(call: Call) -> AfterSalesOut:
        body: AfterSalesDecisionIn = call.body
        order = await after_sales.decide(
            call.actor, call.path["after_sales_id"], granted=body.granted, amount_fen=body.amount_fen, answer=body.answer
        )
        return after_sales_out(order)

    one = "/admin/after-sales/{after_sales_id}"
    return [
        Route(
            "GET",
            "/admin/after-sales",
            "list_after_sales",
            "What patients ask for, asked last first.",
            STAFF,
            list_cases,
            query=AfterSalesQuery,
            answer=AfterSalesPage,
            errors=(Forbidden,),
            tag="admin",
        ),
        Route(
            "GET",
            one,
            "view_after_sales",
            "A case, with the patient's words.",
            STAFF,
            view,
            answer=AfterSalesOut,
            errors=(Forbidden, AfterSalesNotFound),
            tag="admin",
        ),
        Route(
            "POST",
            f"{one}/decision",
            "decide_after_sales",
            "Refuse, or give the fee back, whole or in part; once.",
            STAFF,
            decide,
            body=AfterSalesDecisionIn,
            answer=AfterSalesOut,
            errors=(Forbidden, AfterSalesNotFound, AfterSalesTransitionRefused, OrderTransitionRefused),
            tag="admin",
        ),
    ]
