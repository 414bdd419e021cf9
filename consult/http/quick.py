"""Quick consults over HTTP: what they cost, asking for one, the department's pool."""

from typing import Final

from accounts.errors import DepartmentNotFound, PatientNotFound
from consult.errors import (
    OrderConsentRequired,
    OrderDailyMaximum,
    OrderDoctorUnavailable,
    OrderNotFound,
    OrderRevisitUnavailable,
    OrderTaken,
    OrderTransitionRefused,
)
from consult.http.requests import order_request
from consult.service.offers import QuickOffers
from consult.service.orders import OrderService
from consult.service.quick import PoolService
from consult.wire import OrderOut, order_out
from consult.wire.quick import (
    PoolOut,
    QuickOfferList,
    QuickOrderIn,
    QuickPriceModel,
    quick_offer_out,
    quick_price_out,
    waiting_out,
)
from ehr_view.errors import RecordSourceUnavailable
from media.errors import MediaNotFound
from server.kernel.edge import DOCTOR, PATIENT, SIGNED_IN, STAFF, Call, Idempotency, Route
from server.kernel.errors import Forbidden
from server.kernel.wire import NoBody

TAKE_ERRORS: Final = (OrderNotFound, OrderTaken, OrderDoctorUnavailable, OrderDailyMaximum, OrderTransitionRefused)
_PRICE: Final = "/admin/departments/{department_id}/quick-consult"


def quick_routes(orders: OrderService, offers: QuickOffers, pool: PoolService) -> list[Route]:
    return [*_patient_routes(orders, offers), *_pool_routes(pool), *_price_routes(offers)]


def _patient_routes(orders: OrderService, offers: QuickOffers) -> list[Route]:
    async def list_offers(call: Call) -> QuickOfferList:
        return QuickOfferList(items=[quick_offer_out(offer) for offer in await offers.list_offers(call.actor)])

    async def create(call: Call) -> OrderOut:
        body: QuickOrderIn = call.body
        request = order_request(body, department_id=body.department_id)
        return order_out(await orders.create_order(call.actor, call.seed_id, request))

    return [
        Route(
            "GET",
            "/quick-consults",
            "list_quick_offers",
            "Departments whose first free doctor can be asked, and what it costs.",
            SIGNED_IN,
            list_offers,
            answer=QuickOfferList,
            tag="doctors",
        ),
        Route(
            "POST",
            "/quick-consults",
            "create_quick_order",
            "Ask the first free doctor of a department; it begins once it is paid.",
            PATIENT,
            create,
            body=QuickOrderIn,
            answer=OrderOut,
            status=201,
            idempotency=Idempotency.REQUIRED,
            errors=(
                OrderConsentRequired,
                OrderDoctorUnavailable,
                OrderRevisitUnavailable,
                RecordSourceUnavailable,
                DepartmentNotFound,
                PatientNotFound,
                MediaNotFound,
            ),
            tag="orders",
        ),
    ]


def _pool_routes(pool: PoolService) -> list[Route]:
    async def list_pool(call: Call) -> PoolOut:
        return PoolOut(items=[waiting_out(waiting) for waiting in await pool.list_pool(call.actor)])

    async def take(call: Call) -> OrderOut:
        return order_out(await pool.take(call.actor, call.path["order_id"], call.seed_id))

    return [
        Route(
            "GET",
            "/desk/pool",
            "list_pool",
            "Quick consults of one's department that nobody has.",
            DOCTOR,
            list_pool,
            answer=PoolOut,
            tag="desk",
        ),
        Route(
            "POST",
            "/desk/pool/{order_id}/take",
            "take_order",
            "Take one; the first has it. Takes a place of one's day.",
            DOCTOR,
            take,
            body=NoBody,
            answer=OrderOut,
            errors=TAKE_ERRORS,
            tag="desk",
        ),
    ]


def _price_routes(offers: QuickOffers) -> list[Route]:
    async def view(call: Call) -> QuickPriceModel:
        return quick_price_out(await offers.view_price(call.actor, call.path["department_id"]))

    async def put(call: Call) -> QuickPriceModel:
        body: QuickPriceModel = call.body
        return quick_price_out(await offers.set_price(call.actor, call.path["department_id"], body.fee_fen))

    return [
        Route(
            "GET",
            _PRICE,
            "get_quick_price",
            "What a department's quick consults cost.",
            STAFF,
            view,
            answer=QuickPriceModel,
            errors=(Forbidden, DepartmentNotFound),
            tag="admin",
        ),
        Route(
            "PUT",
            _PRICE,
            "put_quick_price",
            "Decide it, for orders that are made from now on.",
            STAFF,
            put,
            body=QuickPriceModel,
            answer=QuickPriceModel,
            errors=(Forbidden, DepartmentNotFound),
            tag="admin",
        ),
    ]
