"""The documents that are published and committed: OpenAPI, AsyncAPI and the list of errors.

Routes and commands are data, so they can be listed without a database: their services are only named here, never called.
"""

from typing import Any, Final, cast

import orjson

import accounts.http
import admin_console.custody_http
import admin_console.http
import admin_console.search_http
import billing.http
import billing.reconciliation.http
import consult.http
import consult.http.quick
import consult.http.referrals
import consult.socket
import ehr_view.critical.http
import ehr_view.http
import im.favourites.http
import im.http
import im.push.http
import im.search.http
import im.socket
import media.http
from im.commands import SocketCommand
from server.app.asyncapi import asyncapi, product_events
from server.app.docs import errors_markdown
from server.app.openapi import openapi
from server.kernel.edge import Route


class _Unmade:
    """Stands for any service where routes are listed and nothing is called."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *_: Any) -> Any:
        raise RuntimeError("only listed, never called")


_UNMADE: Final = cast(Any, _Unmade())


def listed_routes() -> tuple[Route, ...]:
    """Every route of the product, without anything behind it."""
    return (
        *accounts.http.routes(*[_UNMADE] * 8),
        *consult.http.routes(*[_UNMADE] * 12),
        *consult.http.quick.quick_routes(*[_UNMADE] * 3),
        *consult.http.referrals.referral_routes(_UNMADE),
        *im.http.routes(*[_UNMADE] * 5),
        *media.http.routes(_UNMADE),
        *ehr_view.http.routes(_UNMADE),
        *im.favourites.http.routes(_UNMADE),
        *im.search.http.routes(_UNMADE),
        *im.push.http.routes(*[_UNMADE] * 2),
        *ehr_view.critical.http.routes(_UNMADE),
        *billing.http.routes(*[_UNMADE] * 3),
        *billing.reconciliation.http.routes(_UNMADE),
        *admin_console.http.routes(*[_UNMADE] * 8),
        *admin_console.search_http.routes(_UNMADE),
        *admin_console.custody_http.custody_routes(_UNMADE),
    )


def listed_commands() -> tuple[SocketCommand, ...]:
    """Every socket command of the product, without anything behind it."""
    return (*im.socket.commands(*[_UNMADE] * 5), *consult.socket.commands(*[_UNMADE] * 3))


def schema_files() -> dict[str, str]:
    """The committed documents by file name."""

    def pretty(document: object) -> str:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"

    return {
        "openapi.json": pretty(openapi(listed_routes())),
        "asyncapi.json": pretty(asyncapi(listed_commands(), product_events())),
        "errors.md": errors_markdown(),
    }
