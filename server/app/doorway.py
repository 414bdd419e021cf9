"""What of HTTP comes before any route: connections that never ask, and bytes that are no request.

aiohttp answers bytes that it cannot read with what it read of them, and logs them. Both would carry what people sent, and
whoever sends it fills the log. Here such bytes are answered like any other fault, and a connection that has not asked for
anything within seconds is closed, so that slow headers hold no place for long.
"""

import asyncio
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from server.app.edge import as_domain_error, dress, problem
from server.kernel.errors import Internal, RequestInvalid
from server.kernel.ids import new_id

log = structlog.get_logger(__name__)

FIRST_REQUEST_SECONDS: Final = 15.0
"""A whole request head has to be there by then; on a line of 64 kbit/s one of the greatest length takes eight."""


class Doorway(RequestHandler):
    """One connection."""

    __slots__ = ("_first_request",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._first_request = self._loop.call_later(FIRST_REQUEST_SECONDS, self._close_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._first_request.cancel()
        super().connection_lost(exc)

    def _close_if_silent(self) -> None:
        if not self._request_count:
            self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """A fault outside all routes: nothing of what came is said or logged."""
        if status >= 500:
            self.log_exception("outside of all routes", exc_info=exc)
        else:
            log.debug("http.malformed", error=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer was sent already")
        request_id = new_id()
        error = Internal() if status >= 500 else RequestInvalid()
        response = dress(problem(error, request_id, status=None if status >= 500 else status), request_id)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):  # raised before our own middleware: an expectation, a bad path
            request_id = new_id()
            resp = dress(problem(as_domain_error(resp, request_id), request_id), request_id)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """By its type and place alone: what it says may hold what was sent."""
        error = kw.get("exc_info")
        trace = error.__traceback__ if isinstance(error, BaseException) else None
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else None
        log.error("http.failed", error=type(error).__name__, place=place)


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return Doorway(self, loop=self._loop, **self._kwargs)


class DoorwayRunner(web.AppRunner):
    """`web.AppRunner` whose connections come through the doorway. Bodies are taken as they are sent: none is unpacked."""

    def __init__(self, app: web.Application, **options: Any) -> None:
        super().__init__(app, auto_decompress=False, **options)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
