"""Compared bills over HTTP."""

from billing.errors import GatewayRefused, GatewayUnknown
from billing.reconciliation.errors import BillNotReady
from billing.reconciliation.service import ReconciliationService
from billing.reconciliation.wire import (
    ReconcileIn,
    ReconciliationModel,
    ReconciliationPage,
    ReconciliationsQuery,
    reconciliation_model,
)
from server.kernel.edge import STAFF, Call, Route
from server.kernel.errors import Forbidden

_PATH = "/admin/reconciliations"


def routes(reconciliations: ReconciliationService) -> list[Route]:
    async def list_all(call: Call) -> ReconciliationPage:
        query: ReconciliationsQuery = call.query
        found, cursor = await reconciliations.list_all(call.actor, query.limit, query.cursor)
        return ReconciliationPage(items=[reconciliation_model(each) for each in found], next_cursor=cursor)

    async def compare(call: Call) -> ReconciliationModel:
        body: ReconcileIn = call.body
        return reconciliation_model(await reconciliations.compare(call.actor, body.day))

    return [
        Route(
            "GET",
            _PATH,
            "list_reconciliations",
            "Each day's bill against our books, newest day first",
            STAFF,
            list_all,
            query=ReconciliationsQuery,
            answer=ReconciliationPage,
            errors=(Forbidden,),
            tag="admin",
        ),
        Route(
            "POST",
            _PATH,
            "compare_bill",
            "Fetch a day's bill and compare it now, or once more",
            STAFF,
            compare,
            body=ReconcileIn,
            answer=ReconciliationModel,
            status=201,
            errors=(Forbidden, BillNotReady, GatewayRefused, GatewayUnknown),
            tag="admin",
        ),
    ]
