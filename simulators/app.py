"""All stand-ins in one aiohttp application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from aiohttp import web

from server.kernel.clock import Clock, SystemClock
from simulators.config import SimulatorConfig
from simulators.hospital.http import Hospital
from simulators.keys import ensure_push_keys, ensure_sms_keys, ensure_wechat_keys
from simulators.push import PushProvider
from simulators.schedule import Schedule
from simulators.shelf import Shelf, Store
from simulators.sms import SmsProvider
from simulators.webpush import WebPushService
from simulators.wechatpay.faults import Faults
from simulators.wechatpay.gateway import Gateway
from simulators.wechatpay.http import Api
from simulators.wechatpay.notify import Notification, Notifier
from simulators.wechatpay.protocol import Protocol
from simulators.wechatpay.wallet import Wallet

_BODY_BYTES: Final = 256 * 1024
_NOTIFICATIONS_KEPT: Final = 100_000


def build_app(config: SimulatorConfig, clock: Clock | None = None) -> web.Application:
    """The outside world. Makes its keys at the first start and goes on with what an earlier run left."""
    clock = clock or SystemClock()
    store = Store(config.data_dir / "simulators" / "state.sqlite")
    schedule = Schedule(clock)
    keys = ensure_wechat_keys(config.data_dir)
    protocol, faults = Protocol(keys), Faults(config.late_seconds)
    waiting = Shelf(store, "wechatpay.notifications", Notification, limit=_NOTIFICATIONS_KEPT)
    notifier = Notifier(protocol, waiting, clock, schedule, faults, retry_scale=config.callback_retry_scale)
    gateway = Gateway(keys, store, clock, schedule, faults, notifier, refund_delay=config.refund_delay)
    sms = SmsProvider(ensure_sms_keys(config.data_dir), store, clock, late_seconds=config.late_seconds)
    push = PushProvider(ensure_push_keys(config.data_dir), store, clock, late_seconds=config.late_seconds)
    web_push = WebPushService(store, clock, push.arrived)
    hospital = Hospital(store, clock, late_seconds=config.late_seconds, hl7_port=config.hl7_port)

    async def run(app: web.Application) -> AsyncIterator[None]:
        notifier.start()
        gateway.start()
        loop = asyncio.create_task(schedule.run(), name="simulators-schedule")
        yield
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        await notifier.close()
        store.close()

    async def index(request: web.Request) -> web.Response:
        return web.json_response({"stands_for": ["wechatpay", "sms", "push", "hospital"], "server_url": config.server_url})

    app = web.Application(client_max_size=_BODY_BYTES)
    app.cleanup_ctx.append(run)
    app.add_routes([web.get("/", index), web.get("/healthz", _alive)])
    app.add_routes(Wallet(gateway, notifier, faults, clock).routes())
    app.add_routes(Api(keys, protocol, gateway, faults, clock).routes())
    app.add_routes(sms.routes())
    app.add_routes(push.routes())
    app.add_routes(web_push.routes())
    app.add_routes(hospital.routes())
    return app


async def _alive(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
