"""Critical values over HTTP: what one was told of, and that one has it."""

from ehr_view.critical.service import CriticalService
from ehr_view.critical.wire import CriticalOut, critical_out
from ehr_view.errors import CriticalNotFound, CriticalTransitionRefused
from server.kernel.actor import Role
from server.kernel.clock import to_ms
from server.kernel.edge import Call, Idempotency, Route
from server.kernel.wire import NoBody, Page, PageQuery, cursor_instant, decode_cursor, encode_cursor

_ROLES = frozenset({Role.PATIENT, Role.DOCTOR})


def routes(service: CriticalService) -> list[Route]:
    async def list_values(call: Call) -> Page[CriticalOut]:
        query: PageQuery = call.query
        after = None
        if query.cursor is not None:
            at_ms, value_id = decode_cursor(query.cursor, int, str)
            after = (cursor_instant(at_ms), value_id)
        found = await service.list_values(call.actor, limit=query.limit + 1, after=after)
        page = found[: query.limit]
        cursor = encode_cursor(to_ms(page[-1].raised_at), page[-1].id) if len(found) > query.limit else None
        return Page[CriticalOut](items=[critical_out(value) for value in page], next_cursor=cursor)

    async def acknowledge(call: Call) -> CriticalOut:
        return critical_out(await service.acknowledge(call.actor, call.path["critical_id"]))

    return [
        Route(
            method="GET",
            path="/critical-values",
            name="list_critical_values",
            summary="Critical results that the account was told of, newest first",
            roles=_ROLES,
            handler=list_values,
            query=PageQuery,
            answer=Page[CriticalOut],
            idempotency=Idempotency.NONE,
            tag="records",
        ),
        Route(
            method="POST",
            path="/critical-values/{critical_id}/acknowledge",
            name="acknowledge_critical_value",
            summary="Say that one has seen it and acts on it",
            roles=_ROLES,
            handler=acknowledge,
            body=NoBody,
            answer=CriticalOut,
            errors=(CriticalNotFound, CriticalTransitionRefused),
            tag="records",
        ),
    ]
