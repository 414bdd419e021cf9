"""One server process: HTTP and sockets on one port, health and metrics on another, until told to stop."""

import asyncio
import gc
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from hashlib import blake2b
from typing import Final

import orjson
import structlog
from aiohttp import web

from im.commands import CommandRunner
from server.app.address import address_of
from server.app.asyncapi import asyncapi, product_events
from server.app.doorway import DoorwayRunner
from server.app.edge import API, Edge, as_domain_error, outermost
from server.app.embedded import databases
from server.app.health import Health
from server.app.idempotency import IdempotencyStore
from server.app.limits import Limiter, RateLimiter, SharedRateLimiter
from server.app.metrics import LIVE_FROM_LOG, LIVE_HEARD, SLOWEST_READER, SOCKETS
from server.app.migrations import until_current
from server.app.notify import notify_ready
from server.app.openapi import openapi
from server.app.pages import BUILT, Pages
from server.app.settings import Settings
from server.app.sockets import SocketOptions, SocketServer
from server.app.wiring import Addresses, Product, product

log = structlog.get_logger(__name__)

_STOP_SECONDS: Final = 8.0
_BACKLOG: Final = 1_024
_KEEPALIVE_SECONDS: Final = 75.0


def allow_many_files() -> None:
    """Each connection is an open file, and many systems allow a thousand unless they are asked for more."""
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if few != most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve_until_stopped(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; then take no more, finish what is under way, and end within 10 s."""
    allow_many_files()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with databases(settings) as found:
        addresses = Addresses(found.mongo_url, found.redis_url)
        async with product(settings, addresses, listens=True) as made:
            if not await until_current(made.database, stop):
                return 0
            async with _limiter(settings, made, addresses.redis_url) as limiter:
                await _serve(settings, made, limiter, stop)
    return 0


@asynccontextmanager
async def _limiter(settings: Settings, made: Product, redis_url: str) -> AsyncIterator[Limiter]:
    """Counted by this process where it is the only one, else by all together."""
    local = RateLimiter(settings.http_rate, made.clock)
    if settings.processes == 1 and settings.redis_url is None:
        yield local
        return
    key = made.master.secret("rate-limits")

    def digest(subject: str) -> str:
        return blake2b(subject.encode(), key=key, digest_size=16).hexdigest()

    shared = SharedRateLimiter(redis_url, settings.http_rate, local, digest)
    try:
        yield shared
    finally:
        await shared.close()


async def _serve(settings: Settings, made: Product, limiter: Limiter, stop: asyncio.Event) -> None:
    health = Health(made.database, made.clock_guard, lambda: made.bus.healthy)
    sockets = SocketServer(
        sessions=made.sessions,
        hub=made.hub,
        runner=CommandRunner(made.commands, as_domain_error),
        clock=made.clock,
        options=SocketOptions(
            message_rate=settings.message_rate,
            allowed_origins=settings.allowed_origins,
            polling=settings.processes == 1,
            node=settings.node,
        ),
        address_of=address_of(settings.proxies),
        clock_ok=made.clock_guard.is_ok,
    )
    runner = DoorwayRunner(
        _application(settings, made, health, sockets, limiter),
        access_log=None,
        shutdown_timeout=_STOP_SECONDS / 2,
        keepalive_timeout=_KEEPALIVE_SECONDS,
        handler_cancellation=False,
    )
    await runner.setup()
    operations = await _start_operations(settings, health)
    await sockets.start()
    SOCKETS.set_function(lambda: sockets.count)
    SLOWEST_READER.set_function(sockets.largest_write_buffer)
    LIVE_HEARD.set_function(lambda: made.bus.healthy)
    LIVE_FROM_LOG.set_function(lambda: made.bus.deaf_since is not None)
    # With one process a port that is taken must fail loudly; with several they share it.
    site = web.TCPSite(runner, settings.host, settings.port, backlog=_BACKLOG, reuse_port=settings.processes > 1 or None)
    await site.start()
    gc.collect()
    gc.freeze()  # what is there now stays: the collector need not look at it again and again
    gc.set_threshold(50_000, 20, 100)
    log.info("serve.started", port=settings.port, operations=operations.addresses[0][1])
    notify_ready()
    await stop.wait()
    log.info("serve.stopping")
    health.stopping = True
    await site.stop()
    await sockets.drain()
    await runner.cleanup()
    await operations.cleanup()


def _application(settings: Settings, made: Product, health: Health, sockets: SocketServer, limiter: Limiter) -> web.Application:
    app = web.Application(middlewares=[outermost])
    edge = Edge(
        sessions=made.sessions,
        idempotency=IdempotencyStore(made.database, made.keyring, made.clock),
        limiter=limiter,
        audit=made.audit,
        clock=made.clock,
        secure_cookies=settings.public_url.startswith("https://"),
        address_of=address_of(settings.proxies),
        clock_ok=made.clock_guard.is_ok,
    )
    edge.add(app, made.routes)
    app.router.add_get(f"{API}/openapi.json", _document(lambda: openapi(made.routes)))
    app.router.add_get(f"{API}/asyncapi.json", _document(lambda: asyncapi(made.commands, product_events())))
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)
    sockets.attach(app)
    Pages(BUILT, settings.public_url).add(app)
    return app


def _document(make: Callable[[], object]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Serve a document that is made when it is first asked for: it costs more than all else at the start."""

    @cache
    def body() -> bytes:
        return orjson.dumps(make(), option=orjson.OPT_SORT_KEYS)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body(), content_type="application/json")

    return answer


async def _start_operations(settings: Settings, health: Health) -> web.AppRunner:
    """Health and metrics on loopback. Where several processes want one port, the later ones take a free one."""
    app = web.Application()
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/metrics", health.metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", settings.ops_port).start()
    except OSError:
        if settings.processes == 1:
            raise
        await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner
