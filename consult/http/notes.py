"""Internal notes over HTTP."""

from typing import Final

from consult.errors import NotesFull, OrderNotFound
from consult.service.notes import NoteService
from consult.wire.notes import NoteIn, NoteOut, NotePage, note_out
from server.kernel.edge import DOCTOR, STAFF, Call, Conceal, Route
from server.kernel.errors import Forbidden
from server.kernel.wire import PageQuery

DOCTOR_OR_STAFF: Final = DOCTOR | STAFF
_PATH: Final = "/orders/{order_id}/notes"


def note_routes(notes: NoteService, conceal: Conceal) -> list[Route]:
    async def list_all(call: Call) -> NotePage:
        query: PageQuery = call.query
        found, cursor = await notes.list_notes(call.actor, call.path["order_id"], query.limit, query.cursor)
        names = await notes.names_of(found)
        return NotePage(items=[note_out(note, names) for note in found], next_cursor=cursor)

    async def add(call: Call) -> NoteOut:
        body: NoteIn = call.body
        note = await notes.add_note(call.actor, call.seed_id, call.path["order_id"], body.text)
        return note_out(note, await notes.names_of([note]))

    return [
        Route(
            "GET",
            _PATH,
            "list_notes",
            "What doctors and staff wrote to one another about an order.",
            DOCTOR_OR_STAFF,
            list_all,
            query=PageQuery,
            answer=NotePage,
            errors=(Forbidden, OrderNotFound),
            conceal=conceal,
            tag="notes",
        ),
        Route(
            "POST",
            _PATH,
            "add_note",
            "Write to colleagues about an order; no patient sees it.",
            DOCTOR_OR_STAFF,
            add,
            body=NoteIn,
            answer=NoteOut,
            status=201,
            errors=(Forbidden, OrderNotFound, NotesFull),
            conceal=conceal,
            tag="notes",
        ),
    ]
