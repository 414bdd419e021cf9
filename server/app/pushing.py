"""Offline push put together: the providers, the worker's service, and the watch over this process's sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import orjson
from yarl import URL

from im.live import LiveHub
from im.ports import Directory
from im.push.domain import Channel
from im.push.http import routes
from im.push.mongo import MongoPushes, MongoSubscriptions
from im.push.providers import AppPush, AppPushConfig, WebPush
from im.push.service import PushService
from im.push.tasks import jobs
from im.push.watch import DeviceWatch
from im.receipts import Receipts
from server.app.settings import Settings
from server.kernel.audit import Audit
from server.kernel.clock import Clock
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.edge import Route
from server.kernel.jobs import Job, JobQueue
from server.kernel.mongo import Database
from server.kernel.outbox import Relay

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Pushing:
    service: PushService
    routes: "Sequence[Route]"
    jobs: "Sequence[Job]"


@asynccontextmanager
async def pushing(
    settings: Settings,
    database: Database,
    keyring: Keyring,
    master: MasterKey,
    http: aiohttp.ClientSession,
    receipts: Receipts,
    directory: Directory,
    hub: LiveHub,
    queue: JobQueue,
    audit: Audit,
    relay: Relay,
    clock: Clock,
    *,
    listens: bool,
) -> AsyncIterator[Pushing]:
    """`listens`: this process has sockets, and says whose."""
    web = WebPush(http, master.secret("web-push"), settings.web_push_contact, clock)
    plain = None if settings.push_url is not None else _authority(settings.simulators_url)
    subscriptions = MongoSubscriptions(database, keyring)
    service = PushService(
        subscriptions=subscriptions,
        rows=MongoPushes(database),
        providers={Channel.APP: AppPush(http, _app_config(settings)), Channel.WEB: web},
        marks=receipts,
        directory=directory,
        queue=queue,
        audit=audit,
        clock=clock,
        web_hosts=(*settings.web_push_hosts, *([plain] if plain else [])),
    )
    relay.on("accounts.session_opened", service.session_opened)
    relay.on("accounts.session_revoked", service.session_revoked)
    made = Pushing(service, routes(service, web.public_key, plain_http_host=plain), jobs(service))
    if not listens:
        yield made
        return
    watch = DeviceWatch(subscriptions, clock, service.hasten)
    hub.report_presence_to(watch.presence)
    await watch.start()
    try:
        yield made
    finally:
        await watch.close()


def _authority(url: str) -> str:
    parsed = URL(url)
    return f"{parsed.host}:{parsed.port}"


def _app_config(settings: Settings) -> AppPushConfig:
    path = settings.push_key_file
    if path is None:
        from simulators.keys import ensure_push_keys

        path = ensure_push_keys(settings.data_dir).config_path
    config = orjson.loads(path.read_bytes())
    return AppPushConfig(
        url=settings.push_url or f"{settings.simulators_url}/push",
        app_key=config["app_key"],
        master_secret=config["master_secret"],
    )
