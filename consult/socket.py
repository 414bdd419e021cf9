"""The product's own commands over sockets."""

import msgspec

from ehr_view.critical.service import CriticalService
from ehr_view.critical.wire import critical_out
from ehr_view.errors import CriticalNotFound, CriticalTransitionRefused
from im.commands import SocketCall, SocketCommand
from im.commands import acknowledge as acknowledged
from server.kernel.edge import PATIENT_OR_DOCTOR


class CriticalBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    critical_id: str


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


def commands(critical: CriticalService) -> list[SocketCommand]:
    async def take(call: SocketCall) -> bytes:
        value = await critical.acknowledge(call.actor, call.body.critical_id)
        return acknowledged("critical", critical_out(value).model_dump_json().encode())

    return [
        SocketCommand(
            name="critical.acknowledge",
            summary="Say that one has seen a critical value and acts on it.",
            roles=PATIENT_OR_DOCTOR,
            body=CriticalBody,
            answer=CriticalAck,
            handler=take,
            errors=(CriticalNotFound, CriticalTransitionRefused),
            writes=True,
        )
    ]
