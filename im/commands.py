"""Socket commands as data, and the one runner that runs them.

A command is a name, a body, roles and a handler. The runner checks the role, parses, calls, maps errors and always gives an
acknowledgement: `{"ok":true,…}` or `{"ok":false,"error":{…}}`. Bad input is never `internal` or `unavailable`, and nothing of
it is echoed.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from im.wire import as_json, fields_of
from server.kernel.actor import Actor, Role
from server.kernel.errors import DomainError, Forbidden, RequestInvalid
from server.kernel.ids import new_id

OK: Final = b'{"ok":true}'

FailureMap = Callable[[Exception, str], DomainError]
"""Makes a DomainError of anything that a handler raised (logging what nobody foresaw); the second argument is a request id."""


class SocketCall(msgspec.Struct, frozen=True):
    """One command as a handler sees it: who asks, from which socket, and the parsed body."""

    actor: Actor
    sid: str
    body: Any


SocketHandler = Callable[[SocketCall], Awaitable[bytes]]
"""Gives the whole acknowledgement as JSON: see `acknowledge`."""


@dataclass(frozen=True, slots=True)
class SocketCommand:
    """What clients may ask for over a socket.

    `writes` commands of one socket run one after another, in the order in which they came, and count against the rate of
    messages. `answer` is what the acknowledgement looks like; `errors` are the command's own.
    """

    name: str
    summary: str
    roles: frozenset[Role]
    body: type[msgspec.Struct]
    answer: type[msgspec.Struct]
    handler: SocketHandler
    errors: tuple[type[DomainError], ...] = ()
    writes: bool = False
    decoder: msgspec.json.Decoder[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder", msgspec.json.Decoder(self.body))


@dataclass(frozen=True, slots=True)
class SocketEvent:
    """What the server tells clients without being asked."""

    name: str
    summary: str
    body: type[msgspec.Struct] | type[BaseModel]


def acknowledge(name: str, value: bytes) -> bytes:
    """`{"ok":true,"<name>":<value>}`."""
    return b'{"ok":true,"%b":%b}' % (name.encode(), value)


def refuse(error: DomainError) -> bytes:
    """The acknowledgement of a refusal."""
    return as_json({"ok": False, "error": {"code": error.code, "kind": error.kind, "fields": error.fields}})


UNKNOWN_COMMAND: Final = refuse(RequestInvalid(command="is not known"))
MALFORMED: Final = refuse(RequestInvalid(body="is not a command"))

_PARSE_ERRORS: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


class CommandRunner:
    """Runs the commands of one registry. Handlers parse nothing and decide nothing that a service should."""

    def __init__(self, commands: Sequence[SocketCommand], failures: FailureMap) -> None:
        self._by_name = {as_json(command.name): command for command in commands}
        if len(self._by_name) != len(commands):
            raise ValueError("a command is registered twice")
        self._failures = failures

    def find(self, name: bytes) -> SocketCommand | None:
        """The command of a name, given as JSON."""
        found = self._by_name.get(name)
        if found is None and b"\\" in name:
            try:
                found = self._by_name.get(as_json(msgspec.json.decode(name, type=str)))
            except _PARSE_ERRORS:
                return None
        return found

    def map_failure(self, failure: Exception) -> DomainError:
        """What a client is told of an exception outside a command."""
        return self._failures(failure, new_id())

    async def run(self, command: SocketCommand, actor: Actor, sid: str, body: bytes | msgspec.Raw) -> bytes:
        """Always an acknowledgement; never raises, except for cancellation."""
        try:
            if actor.role not in command.roles:
                raise Forbidden()
            return await command.handler(SocketCall(actor, sid, command.decoder.decode(body)))
        except DomainError as error:
            return refuse(error)
        except _PARSE_ERRORS as error:
            return refuse(RequestInvalid(**fields_of(error)))
        except Exception as failure:  # the one place where everything becomes an answer
            return refuse(self._failures(failure, actor.request_id))
