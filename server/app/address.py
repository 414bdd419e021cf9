"""Whose request it is, by network address: the peer's, or what trusted proxies say that they saw."""

from collections.abc import Callable
from ipaddress import ip_address

from aiohttp import web

AddressOf = Callable[[web.BaseRequest], str | None]


def address_of(proxies: int) -> AddressOf:
    """Reads a request's address behind so many proxies of ours. Each appends whom it saw to `X-Forwarded-For`, so with n of
    them the n-th entry from the right is the client; whatever stands left of it the client wrote, and is never believed."""
    if proxies == 0:
        return lambda request: request.remote

    def read(request: web.BaseRequest) -> str | None:
        seen = [each.strip() for line in request.headers.getall("X-Forwarded-For", []) for each in line.split(",")]
        if len(seen) < proxies:
            return request.remote
        try:
            return str(ip_address(seen[-proxies]))
        except ValueError:
            return request.remote

    return read
