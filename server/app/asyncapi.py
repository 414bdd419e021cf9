"""AsyncAPI 3.0 from the registry of socket commands and events: what stands here is what the runner does."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from consult.service.announcer import ORDER_CHANGED
from consult.service.notes import NOTE_EVENT
from consult.service.notices import NOTICE, NOTICES_READ
from consult.service.quick import POOL_CHANGED
from consult.wire import OrderOut
from consult.wire.notes import NoteAddedOut
from consult.wire.notices import BadgeOut, NoticeOut
from consult.wire.quick import PoolChangedOut
from ehr_view.critical.service import CRITICAL_CHANGED
from ehr_view.critical.wire import CriticalOut
from ehr_view.service import RECORD_VIEWED
from ehr_view.wire import RecordViewOut
from im.commands import SocketCommand, SocketEvent
from im.socket import events as conversation_events
from im.wire import ErrorAck
from server import __version__
from server.app.docs import THROUGH_PORTS
from server.kernel.errors import (
    AuthRequired,
    DomainError,
    Forbidden,
    Internal,
    RequestInvalid,
    RequestRateLimited,
    Unavailable,
)

_REF: Final = "#/components/schemas/{name}"
_MODEL_REF: Final = "#/components/schemas/{model}"
_COMMON: Final = (RequestInvalid, RequestRateLimited, Forbidden, Unavailable, Internal)
"""What the runner itself can answer to any command."""

_CONNECT: Final = "Connect with `auth: {token}`. Refused: `connect_error` with `data: {code, kind, fields}`."


def product_events() -> list[SocketEvent]:
    """All that clients are told without asking."""
    return [
        *conversation_events(),
        SocketEvent(ORDER_CHANGED, "An order changed; as this account may see it.", OrderOut),
        SocketEvent(RECORD_VIEWED, "A doctor looked at a page of the patient's records; for the patient.", RecordViewOut),
        SocketEvent(CRITICAL_CHANGED, "A critical value that concerns the account: how it stands.", CriticalOut),
        SocketEvent(NOTICE, "Something that the account should know.", NoticeOut),
        SocketEvent(NOTE_EVENT, "An internal note was added to an order that the doctor or staff has open.", NoteAddedOut),
        SocketEvent(POOL_CHANGED, "An order came to the pool of the doctor's department, or left it.", PoolChangedOut),
        SocketEvent(NOTICES_READ, "Notices were read on some device; what is unread then.", BadgeOut),
    ]


def asyncapi(commands: Sequence[SocketCommand], events: Sequence[SocketEvent]) -> dict[str, Any]:
    """The document of these commands and events."""
    types = [t for command in commands for t in (command.body, command.answer)]
    types += [event.body for event in events if issubclass(event.body, msgspec.Struct)]
    references, components = msgspec.json.schema_components([*types, ErrorAck], ref_template=_REF)
    schemas: dict[type, Any] = dict(zip([*types, ErrorAck], references, strict=True))
    models = [event.body for event in events if issubclass(event.body, BaseModel)]
    found, definitions = models_json_schema([(m, "serialization") for m in models], ref_template=_MODEL_REF)
    schemas |= {model: found[model, "serialization"] for model in models}
    components |= definitions.get("$defs", {})
    commands, events = sorted(commands, key=lambda c: c.name), sorted(events, key=lambda e: e.name)
    messages: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for command in commands:
        messages[f"command.{command.name}"] = _message(command.name, command.summary, schemas[command.body])
        acknowledgement = {"oneOf": [schemas[command.answer], schemas[ErrorAck]]}
        messages[f"ack.{command.name}"] = _message(command.name, "The acknowledgement.", acknowledgement)
        operations[f"command.{command.name}"] = _command(command)
    for event in events:
        messages[f"event.{event.name}"] = _message(event.name, event.summary, schemas[event.body])
        operations[f"event.{event.name}"] = {
            "action": "send",
            "channel": {"$ref": "#/channels/socket"},
            "summary": event.summary,
            "messages": [_on_channel(f"event.{event.name}")],
        }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Yunzhen", "version": __version__, "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": "/socket.io/",
                "title": "Socket.IO, namespace `/`",
                "description": _CONNECT,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "x-refusals": sorted(error.code for error in (AuthRequired, RequestRateLimited, Unavailable)),
            }
        },
        "operations": operations,
        "components": {"messages": messages, "schemas": components},
    }


def _command(command: SocketCommand) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/socket"},
        "summary": command.summary,
        "messages": [_on_channel(f"command.{command.name}")],
        "reply": {"channel": {"$ref": "#/channels/socket"}, "messages": [_on_channel(f"ack.{command.name}")]},
        "x-roles": sorted(command.roles),
        "x-errors": sorted({error.code for error in _errors(command)}),
    }


def _errors(command: SocketCommand) -> tuple[type[DomainError], ...]:
    return (*command.errors, *THROUGH_PORTS.get(command.name, ()), *_COMMON)


def _message(name: str, summary: str, schema: Any) -> dict[str, Any]:
    return {"name": name, "summary": summary, "payload": schema}


def _on_channel(name: str) -> dict[str, Any]:
    return {"$ref": f"#/channels/socket/messages/{name}"}
