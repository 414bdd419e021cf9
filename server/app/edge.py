"""The HTTP edge: one runner for every route of every package.

In this order: request id, rate limit, who asks, role, query, body, idempotency key, handler, error map, answer. Nothing that a
client sent appears in an error; no exception leaves without becoming problem+json.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
import structlog
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import PayloadEncodingError
from pydantic import BaseModel, ValidationError
from pymongo.errors import PyMongoError

from server.app.address import AddressOf
from server.app.idempotency import Claim, IdempotencyStore, StoredAnswer
from server.app.limits import Limiter
from server.app.metrics import HTTP_REQUESTS, HTTP_SECONDS
from server.kernel.actor import Actor, Role, anonymous_actor, network_of
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.edge import Call, Idempotency, Reply, Route
from server.kernel.errors import (
    AuthRequired,
    DomainError,
    ErrorKind,
    Forbidden,
    Internal,
    MethodNotAllowed,
    NotFound,
    RequestInvalid,
    RequestRateLimited,
    RequestTooLarge,
    Unavailable,
)
from server.kernel.ids import is_id, new_id
from server.kernel.wire import unclean

log = structlog.get_logger(__name__)

API: Final = "/api/v1"
MEDIA_COOKIE: Final = "yz_media"
_KEY: Final = re.compile(r"^[\x21-\x7e]{1,200}$")
_FIELD_NAME: Final = re.compile(r"^[a-z_][a-z0-9_]{0,40}$")
_MAX_FIELDS: Final = 20

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}

REQUEST_ID: Final = web.RequestKey("request_id", str)


def _always() -> bool:
    return True


class Authenticator(Protocol):
    async def authenticate(self, token: str, *, request_id: str, address: str | None) -> Actor: ...

    async def authenticate_media(self, token: str, *, request_id: str, address: str | None) -> Actor: ...


@dataclass(frozen=True, slots=True)
class Edge:
    """What the runner needs; one a process."""

    sessions: Authenticator
    idempotency: IdempotencyStore
    limiter: Limiter
    audit: Audit
    clock: Clock
    secure_cookies: bool
    address_of: AddressOf
    clock_ok: Callable[[], bool] = _always
    """False: this process's clock is wrong, so whatever it decided of sessions, payments or deadlines would be too."""
    body_idle_seconds: float = 15.0
    body_seconds: float = 120.0
    """How long a body may pause, and take in all: a line of 64 kbit/s carries the largest one in half a minute."""

    def add(self, app: web.Application, routes: Sequence[Route]) -> None:
        """Serve these routes below `/api/v1`."""
        for route in routes:
            app.router.add_route(route.method, API + route.path, self._runner(route), name=route.name)
            if route.method == "GET":
                app.router.add_route("HEAD", API + route.path, self._runner(route))

    def _runner(self, route: Route) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def run(request: web.Request) -> web.Response:
            started = time.perf_counter()
            try:
                response = await self._run(route, request)
            except Exception as failure:  # the one place where everything becomes an answer
                error = as_domain_error(failure, request[REQUEST_ID])
                if not self.clock_ok():  # set while this was under way: the refusal may be its doing
                    error = Unavailable()
                response = problem(error, request[REQUEST_ID]) if route.on_error is None else _raw(route.on_error(error), self)
            HTTP_REQUESTS.labels(route.name, response.status).inc()
            HTTP_SECONDS.labels(route.name).observe(time.perf_counter() - started)
            return response

        return run

    async def _run(self, route: Route, request: web.Request) -> web.Response:
        if not self.clock_ok():
            raise Unavailable()
        try:
            actor = await self._authenticate(route, request)
        except AuthRequired:  # who tries tokens is anybody
            await self._limit(anonymous_actor(request_id=request[REQUEST_ID], address=self.address_of(request)))
            raise
        if not route.callback:
            await self._limit(actor)
        if actor.role not in route.roles:
            await self._refuse_role(route, actor, request.match_info)
        query = _parse_query(route, request)
        raw = b"" if route.reads_request else await self._read(request, route.max_body_bytes)
        body = None if route.callback else _parse_body(route, request, raw)
        claim = await self._claim(route, request, actor, raw)
        if claim is not None and claim.answer is not None:
            return web.Response(status=claim.answer.status, body=claim.answer.body, content_type="application/json")
        call = Call(
            actor=actor,
            path=dict(request.match_info),
            query=query,
            body=body,
            seed_id=claim.seed_id if claim else new_id(),
            request=request,
            raw_body=raw,
        )
        return await self._handle(route, call, claim)

    async def _handle(self, route: Route, call: Call, claim: Claim | None) -> web.Response:
        if claim is None:
            return _response(route, await route.handler(call), self)
        with self.idempotency.held(claim):
            try:
                response = _response(route, await route.handler(call), self)
                body = response.body if isinstance(response.body, bytes) else b""
                await self.idempotency.complete(claim, StoredAnswer(response.status, body))
            except DomainError as error:
                await (self.idempotency.unlock if error.kind in _UNCERTAIN else self.idempotency.release)(claim)
                raise
            except BaseException:
                await self.idempotency.unlock(claim)
                raise
        return response

    async def _authenticate(self, route: Route, request: web.Request) -> Actor:
        request_id, address = request[REQUEST_ID], self.address_of(request)
        header = request.headers.get("Authorization")
        if header is not None and not route.callback:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise AuthRequired()
            return await self.sessions.authenticate(token.strip(), request_id=request_id, address=address)
        cookie = request.cookies.get(MEDIA_COOKIE)
        if route.takes_media_cookie and cookie:
            return await self.sessions.authenticate_media(cookie, request_id=request_id, address=address)
        return anonymous_actor(request_id=request_id, address=address)

    async def _limit(self, actor: Actor) -> None:
        anonymous = actor.role is Role.ANONYMOUS
        wait = await self.limiter.take(f"address:{network_of(actor.address)}" if anonymous else f"account:{actor.account_id}")
        if wait:
            raise RequestRateLimited(retry_after_seconds=max(1, round(wait)))

    async def _refuse_role(self, route: Route, actor: Actor, path: Mapping[str, str]) -> None:
        if actor.role is Role.ANONYMOUS:
            raise AuthRequired()
        if route.conceal is not None:
            await route.conceal(actor, path)
        order_id = path.get("order_id", "")
        await self.audit.record(
            audit_row(
                actor,
                f"request.{route.name}",
                subject=route.name,
                at=self.clock.now(),
                order_id=order_id if is_id(order_id) else None,
                outcome=Outcome.DENIED,
            )
        )
        raise Forbidden()

    async def _read(self, request: web.Request, limit: int) -> bytes:
        """The whole body, at most `limit` bytes: a larger one is refused before it is read, one that stops is given up."""
        if request.content_length is not None and request.content_length > limit:
            raise RequestTooLarge(max_bytes=limit)
        if not request.can_read_body:
            return b""
        body = bytearray()
        try:
            async with asyncio.timeout(self.body_seconds):
                while not request.content.at_eof():
                    async with asyncio.timeout(self.body_idle_seconds):
                        body += await request.content.readany()
                    if len(body) > limit:
                        raise RequestTooLarge(max_bytes=limit)
        except TimeoutError:
            raise RequestInvalid(body="did not arrive in time") from None
        except (PayloadEncodingError, ClientPayloadError, ConnectionError):
            raise RequestInvalid(body="did not arrive whole") from None
        return bytes(body)

    async def _claim(self, route: Route, request: web.Request, actor: Actor, raw: bytes) -> Claim | None:
        if request.method in ("GET", "HEAD") or route.idempotency is Idempotency.NONE or actor.role is Role.ANONYMOUS:
            return None
        key = request.headers.get("Idempotency-Key")
        if key is None:
            if route.idempotency is Idempotency.REQUIRED:
                raise RequestInvalid(idempotency_key="is required")
            return None
        if not _KEY.match(key):
            raise RequestInvalid(idempotency_key="must be 1 to 200 visible ASCII characters")
        if route.reads_request:
            return None  # an upload is kept once by its content's owner; its body is not held in memory to be compared
        return await self.idempotency.claim(actor, f"{route.name} {request.path}", key, raw)


_UNCERTAIN: Final = frozenset({ErrorKind.UNAVAILABLE, ErrorKind.INTERNAL})


def as_domain_error(failure: Exception, request_id: str) -> DomainError:
    """The error that a client is told of. What we did not foresee is logged here, once, and becomes `service.internal`."""
    if isinstance(failure, DomainError):
        return failure
    if isinstance(failure, web.HTTPRequestEntityTooLarge):
        return RequestTooLarge()
    if isinstance(failure, web.HTTPException) and failure.status < 500:
        return RequestInvalid()
    if isinstance(failure, (PyMongoError, ConnectionError, TimeoutError)):
        log.warning("request.unavailable", request_id=request_id, error=type(failure).__name__)
        return Unavailable()
    log.error("request.failed", request_id=request_id, exc_info=failure)
    return Internal()


def problem(error: DomainError, request_id: str, *, status: int | None = None) -> web.Response:
    """RFC 9457. `status` where it is not the error's own."""
    status = status or error.status
    body = {
        "type": "about:blank",
        "code": error.code,
        "title": error.title,
        "status": status,
        "fields": error.fields,
        "request_id": request_id,
    }
    headers = {}
    if "retry_after_seconds" in error.fields:
        headers["Retry-After"] = str(error.fields["retry_after_seconds"])
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/problem+json", headers=headers)


def _parse_query(route: Route, request: web.Request) -> Any:
    names = [name for name, _ in request.query.items()]
    if len(names) != len(set(names)):
        raise RequestInvalid(query="names a parameter twice")
    if any(unclean(v) for v in request.query.values()) or any(unclean(v) for v in request.match_info.values()):
        raise RequestInvalid(query="holds a character that is not allowed")
    if route.query is None:
        if names:
            raise RequestInvalid(query="takes no parameters")
        return None
    try:
        return route.query.model_validate(dict(request.query))
    except ValidationError as error:
        raise RequestInvalid(**fields_of(error)) from None


def _parse_body(route: Route, request: web.Request, raw: bytes) -> BaseModel | None:
    if route.reads_request:
        return None
    if route.body is None:
        if raw.strip() not in (b"", b"{}"):
            raise RequestInvalid(body="is not taken here")
        return None
    if raw and request.content_type != "application/json":
        raise RequestInvalid(content_type="must be application/json")
    try:
        return route.body.model_validate_json(raw or b"{}")
    except ValidationError as error:
        raise RequestInvalid(**fields_of(error)) from None


def fields_of(error: ValidationError) -> dict[str, str]:
    """Where and why, by the names of our fields; nothing of what was sent."""
    fields: dict[str, str] = {}
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:_MAX_FIELDS]:
        path = [str(part) if isinstance(part, int) or _FIELD_NAME.match(part) else "?" for part in item["loc"]]
        fields[".".join(path) or "body"] = item["type"].replace("_", " ") if item["type"] != "value_error" else item["msg"]
    return fields


def _response(route: Route, answer: BaseModel | Reply | None, edge: Edge) -> web.Response:
    if isinstance(answer, Reply):
        return _raw(answer, edge, default_status=route.status)
    if answer is None:
        return web.Response(status=route.status if route.status != 200 else 204)
    return web.Response(status=route.status, body=answer.model_dump_json().encode(), content_type="application/json")


def _raw(reply: Reply, edge: Edge, default_status: int = 200) -> web.Response:
    status = reply.status or default_status
    body: bytes | AsyncIterator[bytes]
    if isinstance(reply.body, BaseModel):
        body, content_type = reply.body.model_dump_json().encode(), reply.content_type or "application/json"
    else:
        body, content_type = reply.body or b"", reply.content_type or "application/octet-stream"
    response = web.Response(status=status, body=body or None, headers=dict(reply.headers))
    if body:
        response.headers["Content-Type"] = content_type
    for cookie in reply.cookies:
        response.set_cookie(
            cookie.name,
            cookie.value,
            path=cookie.path,
            max_age=cookie.max_age_seconds,
            httponly=True,
            secure=edge.secure_cookies,
            samesite="Strict",
        )
    return response


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def outermost(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Gives every request its id and every answer its security headers, also where no route matched."""
    request[REQUEST_ID] = new_id()
    try:
        response = await handler(request)
    except web.HTTPNotFound:
        response = problem(NotFound(), request[REQUEST_ID])
    except web.HTTPMethodNotAllowed as error:
        response = problem(MethodNotAllowed(allowed=sorted(error.allowed_methods)), request[REQUEST_ID])
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    except web.HTTPException as error:
        response = problem(as_domain_error(error, request[REQUEST_ID]), request[REQUEST_ID])
    return response if response.prepared else dress(response, request[REQUEST_ID])


def dress(response: web.StreamResponse, request_id: str) -> web.StreamResponse:
    """With the headers that every answer has."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = request_id
    return response
