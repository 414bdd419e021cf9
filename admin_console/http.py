"""Supervision over HTTP. Staff only; which staff, the services decide."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from admin_console.board_http import board_routes
from admin_console.domain.audit import RowPage
from admin_console.errors import LeakPictureDamaged, LeakPictureTooLarge, LeakPictureUnsupported
from admin_console.service.audit import AuditQuery
from admin_console.service.board import LiveBoard
from admin_console.service.dossier import Dossiers
from admin_console.service.export import ConsultExport
from admin_console.service.orders import StaffDesk
from admin_console.service.proofs import Proofs
from admin_console.service.repairs import Hl7Repairs
from admin_console.service.traces import LeakTracing
from admin_console.upload import read_picture
from admin_console.wire import (
    Attachments,
    AuditPage,
    AuditSearch,
    ExportQuery,
    HospitalFiguresOut,
    StaffOrderPage,
    StaffOrdersQuery,
    TraceOut,
    TraceQuery,
    figures_out,
    order_place_from,
    place_from,
    row_out,
    staff_order_out,
    trace_out,
)
from consult.errors import OrderNotFound
from consult.wire import OrderOut
from server.kernel.actor import Actor
from server.kernel.clock import to_ms
from server.kernel.edge import PATIENT, STAFF, Call, Idempotency, Reply, Route
from server.kernel.errors import Forbidden
from server.kernel.wire import PageQuery, encode_cursor

_TAG = "admin"
FHIR_JSON: Final = "application/fhir+json"


class _Handlers:
    def __init__(self, query: AuditQuery, desk: StaffDesk, tracing: LeakTracing, export: ConsultExport) -> None:
        self._query = query
        self._desk = desk
        self._tracing = tracing
        self._export = export

    async def search_audit(self, call: Call) -> AuditPage:
        asked: AuditSearch = call.query
        wanted = asked.to_filter(call.actor.hospital_id)
        return _rows(await self._query.search(call.actor, wanted, limit=asked.limit, after=place_from(asked.cursor)))

    async def list_orders(self, call: Call) -> StaffOrderPage:
        asked: StaffOrdersQuery = call.query
        wanted = asked.to_filter(call.actor.hospital_id)
        after = order_place_from(asked.cursor)
        orders, more = await self._desk.list_orders(call.actor, wanted, limit=asked.limit, after=after)
        cursor = encode_cursor(to_ms(orders[-1].created_at), orders[-1].id) if more else None
        return StaffOrderPage(items=[staff_order_out(order) for order in orders], next_cursor=cursor)

    async def view_order(self, call: Call) -> OrderOut:
        return staff_order_out(await self._desk.view_order(call.actor, call.path["order_id"]))

    async def view_timeline(self, call: Call) -> AuditPage:
        asked: PageQuery = call.query
        order_id, after = call.path["order_id"], place_from(asked.cursor)
        return _rows(await self._desk.view_timeline(call.actor, order_id, limit=asked.limit, after=after))

    async def view_figures(self, call: Call) -> HospitalFiguresOut:
        return figures_out(await self._desk.view_figures(call.actor))

    async def trace_leak(self, call: Call) -> TraceOut:
        asked: TraceQuery = call.query
        picture = await read_picture(call.request)
        return trace_out(await self._tracing.trace(call.actor, picture, since=asked.since))

    async def export_order(self, call: Call) -> Reply:
        inline = call.query.attachments is Attachments.INLINE
        return _fhir(await self._export.for_staff(call.actor, call.path["order_id"], inline=inline))

    async def export_own_order(self, call: Call) -> Reply:
        inline = call.query.attachments is Attachments.INLINE
        return _fhir(await self._export.for_patient(call.actor, call.path["order_id"], inline=inline))

    async def conceal_order(self, actor: Actor, path: Mapping[str, str]) -> None:
        await self._export.conceal(actor, path["order_id"])


def _fhir(bundle: dict[str, Any]) -> Reply:
    headers = {"Cache-Control": "no-store", "Content-Disposition": "attachment; filename=consult.json"}
    return Reply(body=orjson.dumps(bundle), content_type=FHIR_JSON, headers=headers)


def _rows(page: RowPage) -> AuditPage:
    place = page.next
    cursor = None if place is None else encode_cursor(place.at_ms, place.audit_id, place.seq)
    return AuditPage(items=[row_out(row) for row in page.rows], next_cursor=cursor)


def routes(
    query: AuditQuery,
    desk: StaffDesk,
    tracing: LeakTracing,
    export: ConsultExport,
    board: LiveBoard,
    dossiers: Dossiers,
    proofs: Proofs,
    repairs: Hl7Repairs,
) -> list[Route]:
    handlers = _Handlers(query, desk, tracing, export)
    return [
        *board_routes(board, dossiers, proofs, repairs),
        Route(
            method="GET",
            path="/admin/audit",
            name="search_audit",
            summary="Who did what, when; with an order, its conversation's entries too",
            roles=STAFF,
            handler=handlers.search_audit,
            query=AuditSearch,
            answer=AuditPage,
            errors=(Forbidden,),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/admin/orders",
            name="list_staff_orders",
            summary="Orders of the hospital, newest first",
            roles=STAFF,
            handler=handlers.list_orders,
            query=StaffOrdersQuery,
            answer=StaffOrderPage,
            errors=(Forbidden,),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/admin/orders/{order_id}",
            name="view_staff_order",
            summary="One order as it stands now",
            roles=STAFF,
            handler=handlers.view_order,
            answer=OrderOut,
            errors=(Forbidden, OrderNotFound),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/admin/orders/{order_id}/timeline",
            name="view_order_timeline",
            summary="All that was done and refused about an order, oldest first",
            roles=STAFF,
            handler=handlers.view_timeline,
            query=PageQuery,
            answer=AuditPage,
            errors=(Forbidden, OrderNotFound),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/admin/figures",
            name="view_hospital_figures",
            summary="Orders by status, money, and how many were answered",
            roles=STAFF,
            handler=handlers.view_figures,
            answer=HospitalFiguresOut,
            errors=(Forbidden,),
            tag=_TAG,
        ),
        Route(
            method="POST",
            path="/admin/traces",
            name="trace_leak",
            summary="Which views of records a leaked picture shows: a form with one `file`",
            roles=STAFF,
            handler=handlers.trace_leak,
            query=TraceQuery,
            answer=TraceOut,
            idempotency=Idempotency.NONE,  # it changes nothing, and every time it is asked is a row of its own
            errors=(Forbidden, LeakPictureUnsupported, LeakPictureTooLarge, LeakPictureDamaged),
            reads_request=True,
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/admin/orders/{order_id}/fhir",
            name="export_order",
            summary="A consult as a FHIR R4 bundle",
            roles=STAFF,
            handler=handlers.export_order,
            query=ExportQuery,
            answer_type=FHIR_JSON,
            errors=(Forbidden, OrderNotFound),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/orders/{order_id}/fhir",
            name="export_own_order",
            summary="A consult as a FHIR R4 bundle, for its patient",
            roles=PATIENT,
            handler=handlers.export_own_order,
            query=ExportQuery,
            answer_type=FHIR_JSON,
            errors=(OrderNotFound,),
            conceal=handlers.conceal_order,
            tag=_TAG,
        ),
    ]
