"""Records over HTTP: list, page, who looked."""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from ehr_view.domain.access import RecordView, view_text
from ehr_view.domain.records import Form
from ehr_view.errors import (
    RecordAccessDenied,
    RecordIdentityMismatch,
    RecordNotDrawable,
    RecordNotFound,
    RecordSourceUnavailable,
)
from ehr_view.ports import ImageFormat
from ehr_view.service import ListedRecord, Look, RecordService
from ehr_view.wire import (
    REMINDER,
    ChatMarkOut,
    ImageKind,
    LookQuery,
    MissingOut,
    RecordKind,
    RecordListOut,
    RecordOut,
    RecordViewOut,
    ViewingDoctorOut,
)
from server.kernel.clock import from_ms, to_ms
from server.kernel.edge import SIGNED_IN, Call, Idempotency, Reply, Route
from server.kernel.errors import RequestInvalid
from server.kernel.wire import Page, PageQuery, decode_cursor, encode_cursor

NARROW: Final = 1080
WIDE: Final = 1600
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,5}")
_FORMATS: Final[Mapping[ImageKind, ImageFormat]] = {
    ImageKind.JPEG: ImageFormat.JPEG,
    ImageKind.PNG: ImageFormat.PNG,
    ImageKind.WEBP: ImageFormat.WEBP,
}
_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Disposition": "inline",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_DENIED: Final = (RecordAccessDenied,)


def routes(service: RecordService) -> list[Route]:
    """Everything about records that the network can ask for. Whoever is signed in may ask: the service decides, so that who may
    see an order and who may not are told apart there and nowhere else."""
    handlers = _Handlers(service)
    return [
        Route(
            method="GET",
            path="/orders/{order_id}/records",
            name="list_records",
            summary="The patient's records at the hospital, for the order's doctor",
            roles=SIGNED_IN,
            handler=handlers.list_records,
            answer=RecordListOut,
            idempotency=Idempotency.NONE,
            errors=(*_DENIED, RecordSourceUnavailable, RecordIdentityMismatch),
            tag="records",
        ),
        Route(
            method="GET",
            path="/orders/{order_id}/records/{record_id}/pages/{n}",
            name="render_record_page",
            summary="One page of a record, as a marked image",
            roles=SIGNED_IN,
            handler=handlers.render_page,
            query=LookQuery,
            answer_type="image/jpeg",
            idempotency=Idempotency.NONE,
            errors=(*_DENIED, RecordNotFound, RecordNotDrawable, RecordSourceUnavailable, RecordIdentityMismatch),
            tag="records",
        ),
        Route(
            method="GET",
            path="/orders/{order_id}/record-views",
            name="list_record_views",
            summary="Who looked at the patient's records for this order, and when",
            roles=SIGNED_IN,
            handler=handlers.list_views,
            query=PageQuery,
            answer=Page[RecordViewOut],
            idempotency=Idempotency.NONE,
            errors=_DENIED,
            tag="records",
        ),
        Route(
            method="GET",
            path="/orders/{order_id}/chat-mark",
            name="get_chat_mark",
            summary="The doctor's visible mark, as a tile to lay over the chat of this order",
            roles=SIGNED_IN,
            handler=handlers.mark_chat,
            answer=ChatMarkOut,
            idempotency=Idempotency.NONE,
            errors=(*_DENIED, RecordNotDrawable),
            tag="records",
        ),
    ]


class _Handlers:
    def __init__(self, service: RecordService) -> None:
        self._service = service

    async def list_records(self, call: Call) -> RecordListOut:
        found = await self._service.list_records(call.actor, call.path["order_id"])
        return RecordListOut(
            items=[_record(item) for item in found.items],
            next_cursor=None,
            missing=[MissingOut(part=m.part, reason=m.reason, count=m.count) for m in found.missing],
            known=found.is_known,
            reminder=REMINDER,
        )

    async def mark_chat(self, call: Call) -> Reply:
        tile = await self._service.mark_chat(call.actor, call.path["order_id"])
        words = b64encode(tile.data).decode("ascii")
        answer = ChatMarkOut(tile=words, width=tile.width, height=tile.height, reminder=REMINDER)
        return Reply(body=answer, headers={"Cache-Control": "no-store"})

    async def render_page(self, call: Call) -> Reply:
        query: LookQuery = call.query
        look = Look(
            width=NARROW if query.width < (NARROW + WIDE) // 2 else WIDE, theme=query.theme, format=_FORMATS[query.format]
        )
        n = call.path["n"]
        number = int(n) if _NUMBER.fullmatch(n) else 0
        shown = await self._service.render_page(call.actor, call.path["order_id"], call.path["record_id"], number, look)
        return Reply(
            body=shown.page.data,
            content_type=shown.page.format.value,
            headers={**_HEADERS, "X-Record-Pages": str(shown.pages)},
        )

    async def list_views(self, call: Call) -> Page[RecordViewOut]:
        query: PageQuery = call.query
        before = None
        if query.cursor is not None:
            at_ms, view_id = decode_cursor(query.cursor, int, int)
            try:
                before = (from_ms(at_ms), view_id)
            except OverflowError as error:
                raise RequestInvalid(cursor="is not one of ours") from error
        found = await self._service.list_views(call.actor, call.path["order_id"], before=before, limit=query.limit + 1)
        page = found[: query.limit]
        more = len(found) > query.limit
        cursor = encode_cursor(to_ms(page[-1].at), page[-1].view_id) if more else None
        return Page[RecordViewOut](items=[_view(view) for view in page], next_cursor=cursor)


def _record(item: ListedRecord) -> RecordOut:
    record = item.record
    kind = RecordKind.NOTE if record.form is Form.PRESCRIPTION else RecordKind(record.form.value)
    return RecordOut(
        record_id=record.id,
        kind=kind,
        form=record.form.value,
        title=record.title,
        department=record.department,
        occurred_at=record.occurred_at,
        pages=item.pages,
        abnormal=record.abnormal,
        critical=record.critical,
        source=record.source,
    )


def _view(view: RecordView) -> RecordViewOut:
    return RecordViewOut(
        view_id=view_text(view.view_id),
        order_id=view.order_id,
        record_id=view.record_id,
        title=view.title,
        page=view.page,
        viewed_at=view.at,
        doctor=ViewingDoctorOut(id=view.viewer.account_id, name=view.viewer.name),
    )
