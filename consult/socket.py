"""The product's own commands over sockets."""

from typing import Annotated

import msgspec

from consult.errors import OrderNotFound
from consult.http.notes import DOCTOR_OR_STAFF
from consult.http.quick import TAKE_ERRORS
from consult.service.notes import NoteService
from consult.service.quick import PoolService
from ehr_view.critical.service import CriticalService
from ehr_view.critical.wire import critical_out
from ehr_view.errors import CriticalNotFound, CriticalTransitionRefused
from im.commands import SocketCall, SocketCommand
from im.commands import acknowledge as acknowledged
from im.wire import as_json
from server.kernel.edge import DOCTOR, PATIENT_OR_DOCTOR
from server.kernel.ids import new_id


class TakeBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    order_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class TakeAck(msgspec.Struct, frozen=True):
    """The order is one's own."""

    ok: bool
    conversation_id: str


class CriticalBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    critical_id: str


class WatchBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`notes.watch`: the user has this order open."""

    order_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class WatchAck(msgspec.Struct, frozen=True):
    """Say it again before so many seconds are over."""

    ok: bool
    expires_in_seconds: int


class CriticalState(msgspec.Struct, frozen=True):
    """As `critical.changed` has it."""

    critical_id: str
    record_id: str
    order_ids: list[str]
    status: str
    raised_at: str
    acknowledge_by: str | None
    acknowledged_at: str | None


class CriticalAck(msgspec.Struct, frozen=True):
    ok: bool
    critical: CriticalState


def commands(critical: CriticalService, notes: NoteService, pool: PoolService) -> list[SocketCommand]:
    async def take(call: SocketCall) -> bytes:
        value = await critical.acknowledge(call.actor, call.body.critical_id)
        return acknowledged("critical", critical_out(value).model_dump_json().encode())

    async def watch(call: SocketCall) -> bytes:
        seconds = await notes.watch(call.actor, call.body.order_id)
        return acknowledged("expires_in_seconds", b"%d" % seconds)

    async def take_order(call: SocketCall) -> bytes:
        order = await pool.take(call.actor, call.body.order_id, new_id())
        return acknowledged("conversation_id", as_json(order.conversation_id))

    return [
        SocketCommand(
            name="pool.take",
            summary="Take a quick consult out of one's department's pool; the first has it.",
            roles=DOCTOR,
            body=TakeBody,
            answer=TakeAck,
            handler=take_order,
            errors=TAKE_ERRORS,
            writes=True,
        ),
        SocketCommand(
            name="critical.acknowledge",
            summary="Say that one has seen a critical value and acts on it.",
            roles=PATIENT_OR_DOCTOR,
            body=CriticalBody,
            answer=CriticalAck,
            handler=take,
            errors=(CriticalNotFound, CriticalTransitionRefused),
            writes=True,
        ),
        SocketCommand(
            name="notes.watch",
            summary="Hear of internal notes of an order that one has open: `note.added`.",
            roles=DOCTOR_OR_STAFF,
            body=WatchBody,
            answer=WatchAck,
            handler=watch,
            errors=(OrderNotFound,),
        ),
    ]
