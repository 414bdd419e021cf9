"""What can go wrong, as values: a stable code, a kind, and fields that are safe to show.

Every code is a subclass of `DomainError`, declared in its package's `errors.py`. Declaring registers it: two classes with
one code fail at import. `docs/errors.md` is made from the registry.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final


class ErrorKind(StrEnum):
    """What a client can do about it; each maps to one HTTP status and one socket `kind`."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


HTTP_STATUS: Final[Mapping[ErrorKind, int]] = MappingProxyType(
    {
        ErrorKind.INVALID: 422,
        ErrorKind.UNAUTHENTICATED: 401,
        ErrorKind.FORBIDDEN: 403,
        ErrorKind.NOT_FOUND: 404,
        ErrorKind.CONFLICT: 409,
        ErrorKind.RATE_LIMITED: 429,
        ErrorKind.UNAVAILABLE: 503,
        ErrorKind.INTERNAL: 500,
    }
)

_REGISTRY: dict[str, type["DomainError"]] = {}


class DomainError(Exception):
    """A refusal that the caller is told of.

    `fields` name what was wrong, never what was sent: input is patient data. `title` is for people; the default is used
    where a client has no text of its own for the code.
    """

    code: ClassVar[str]
    kind: ClassVar[ErrorKind]
    title: ClassVar[str]
    http_status: ClassVar[int | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        other = _REGISTRY.setdefault(cls.code, cls)
        if other is not cls and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"error code {cls.code!r} is declared twice")

    def __init__(self, **fields: str | int | list[str]) -> None:
        super().__init__(self.code)
        self.fields = fields

    @property
    def status(self) -> int:
        """The HTTP status of this error."""
        return self.http_status or HTTP_STATUS[self.kind]


def registered_errors() -> Mapping[str, type[DomainError]]:
    """All declared errors by code."""
    return MappingProxyType(_REGISTRY)


class RequestInvalid(DomainError):
    code = "request.invalid"
    kind = ErrorKind.INVALID
    title = "The request is not well formed; `fields` says where."


class RequestTooLarge(DomainError):
    code = "request.too_large"
    kind = ErrorKind.INVALID
    title = "The request is larger than this address takes."
    http_status = 413


class RequestRateLimited(DomainError):
    code = "request.rate_limited"
    kind = ErrorKind.RATE_LIMITED
    title = "Too many requests; wait `retry_after_seconds`."


class NotFound(DomainError):
    code = "request.not_found"
    kind = ErrorKind.NOT_FOUND
    title = "There is nothing at this address."


class MethodNotAllowed(DomainError):
    code = "request.method_not_allowed"
    kind = ErrorKind.INVALID
    title = "This address does not take this method."
    http_status = 405


class Forbidden(DomainError):
    code = "request.forbidden"
    kind = ErrorKind.FORBIDDEN
    title = "This account may not do this."


class AuthRequired(DomainError):
    code = "auth.required"
    kind = ErrorKind.UNAUTHENTICATED
    title = "Sign in first; the token is missing, expired or revoked."


class IdempotencyMismatch(DomainError):
    code = "idempotency.mismatch"
    kind = ErrorKind.CONFLICT
    title = "This key or client id was used before with another content."


class IdempotencyInProgress(DomainError):
    code = "idempotency.in_progress"
    kind = ErrorKind.CONFLICT
    title = "The first request with this key is still being worked on."


class Unavailable(DomainError):
    code = "service.unavailable"
    kind = ErrorKind.UNAVAILABLE
    title = "A part that is needed does not answer; try again."


class Internal(DomainError):
    code = "service.internal"
    kind = ErrorKind.INTERNAL
    title = "Something went wrong on our side; the request id finds it in our log."
