"""What a package offers to the network, as data: one explicit registry of routes and commands.

A package's `http.py` has `routes(service) -> list[Route]`. `server.app` runs them all through one runner that
authenticates, checks the role, limits, parses, calls the handler, maps errors and writes the answer. Handlers parse and
map; guards are in services.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from server.kernel.actor import Actor, Role
from server.kernel.errors import DomainError

if TYPE_CHECKING:
    from aiohttp.web import Request

JSON_BODY_BYTES: Final = 256 * 1024

ANYONE: Final[frozenset[Role]] = frozenset(Role)
"""Not signed in, or signed in: all the same."""

SIGNED_IN: Final = frozenset({Role.PATIENT, Role.DOCTOR, Role.STAFF})
PATIENT: Final = frozenset({Role.PATIENT})
DOCTOR: Final = frozenset({Role.DOCTOR})
STAFF: Final = frozenset({Role.STAFF})
PATIENT_OR_DOCTOR: Final = PATIENT | DOCTOR


class Idempotency(StrEnum):
    """Whether a write takes an `Idempotency-Key`. ACCEPTED is the rule for writes of whoever is signed in."""

    NONE = "none"
    ACCEPTED = "accepted"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie that an answer sets: always HttpOnly and SameSite=Strict, Secure behind https. `max_age` 0 removes it."""

    name: str
    value: str
    path: str
    max_age_seconds: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with more than a body. `body` is a wire model, or bytes with their `content_type`, or nothing; or pieces of
    bytes, each asked for when the one before has left, with a `Content-Length` among the headers."""

    body: BaseModel | bytes | AsyncIterator[bytes] | None = None
    status: int | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[Cookie, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a handler sees it. `body` and `query` are the route's models, parsed.

    `seed_id` is the id to give to what this request creates: with an `Idempotency-Key` it is the same at every attempt, also
    when the process died in between. `request` is there for multipart uploads and for gateways' callbacks.
    """

    actor: Actor
    path: Mapping[str, str]
    query: Any
    body: Any
    seed_id: str
    request: "Request"
    raw_body: bytes = b""


Handler = Callable[[Call], Awaitable[BaseModel | Reply | None]]

Conceal = Callable[[Actor, Mapping[str, str]], Awaitable[None]]
"""Given who asks and the path's names; raises what a missing thing is answered with, unless the actor may see the thing."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path below `/api/v1`, in aiohttp's notation (`/orders/{order_id}`).

    `name` is the OpenAPI operation id. `errors` are those of its own; what the runner itself can raise need not stand there.
    `reads_request`: the handler reads the body itself (multipart): a `file` and `form_fields`.
    `callback`: a gateway's; its raw body is verified, and errors are answered as the gateway wants them, by `on_error` in the
    shape of `error_answer`. `answer` None with status 204 is no content. `other_statuses`: successes besides `status` that look
    like it (a part of a content). `conceal` is asked about whoever is signed in without the role: a thing that they may not see
    looks as if it did not exist.
    """

    method: str
    path: str
    name: str
    summary: str
    roles: frozenset[Role]
    handler: Handler
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    status: int = 200
    idempotency: Idempotency = Idempotency.ACCEPTED
    errors: tuple[type[DomainError], ...] = ()
    max_body_bytes: int = JSON_BODY_BYTES
    reads_request: bool = False
    form_fields: tuple[str, ...] = ()
    callback: bool = False
    on_error: Callable[[DomainError], Reply] | None = None
    error_answer: type[BaseModel] | None = None
    other_statuses: tuple[int, ...] = ()
    answer_type: str = "application/json"
    takes_media_cookie: bool = False
    conceal: Conceal | None = None
    tag: str = ""
