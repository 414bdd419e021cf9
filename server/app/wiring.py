"""Which implementation goes where. The only module that knows all of them; it holds no rule."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from accounts.service import (
    SessionService,
)
from admin_console.domain.checkpoints import Signer
from admin_console.files import CheckpointFiles
from admin_console.service.checkpoints import Checkpoints
from admin_console.service.export import ConsultExport
from admin_console.service.traces import LeakTracing
from admin_console.service.verification import Verifier
from billing.domain import Channel
from billing.http import routes as billing_routes
from billing.mongo import MongoPayments
from billing.ports import Gateways
from billing.reconciliation.http import routes as reconciliation_routes
from billing.reconciliation.mongo import MongoBooks, MongoReconciliations
from billing.reconciliation.service import ReconciliationService
from billing.reconciliation.tasks import jobs as reconciliation_jobs
from billing.reconciliation.wechatpay import WechatBills
from billing.service.payments import PaymentService
from billing.service.refunds import RefundService
from billing.tasks import jobs as billing_jobs
from billing.wechatpay import WechatChannel, WechatPay
from consult.assembly import Consult, assemble, parts_of
from consult.domain.reminders import parse_ladder
from consult.mongo.notices import MongoNotices, notice_from
from consult.service.billing import OrderPayments
from consult.service.cards import OrderCards
from consult.service.conversations import MediaOwners
from consult.service.notices import NOTICE
from consult.service.orders import OrderSettings
from consult.service.proofs import DeadlineProof
from consult.service.records import OfflineVisits
from consult.socket import commands as consult_commands
from consult.tellers import speaks_for, tellers
from ehr_view.critical.service import CriticalService
from ehr_view.critical.watch import HospitalWatch
from ehr_view.hl7.service import Intake
from im.announcer import Announcer
from im.bus import RedisBus
from im.domain import Part
from im.favourites.http import routes as favourite_routes
from im.favourites.mongo import MongoFavourites
from im.favourites.service import FavouriteService
from im.follower import Follower
from im.history import History
from im.http import routes as im_routes
from im.listing import ConversationList
from im.live import LiveHub
from im.mongo import LogStore
from im.names import NameBook
from im.presence import Presence
from im.reading import LogReader
from im.receipts import Receipts
from im.search.http import routes as search_routes
from im.search.mongo import MongoTerms
from im.search.projection import SearchTerms
from im.search.service import MessageSearch
from im.service import ConversationLog
from im.socket import commands as im_commands
from im.stand_in import StandIn
from im.stand_in_documents import DocumentStandIn, ReceiptTeller
from media.codecs import CodecPool
from media.http import routes as media_routes
from media.links import LinkSigner
from media.mongo import MongoMedia
from media.service import MediaService
from media.tasks import jobs as media_jobs
from server.app.entrance import entrance
from server.app.frames import event_frame
from server.app.ground import ground
from server.app.migrations import find_epoch
from server.app.partners import hospital_of, wechat_config
from server.app.pushing import pushing
from server.app.queue import CeleryQueue
from server.app.records import records_of
from server.app.settings import Settings
from server.app.supervision import supervision_of
from server.kernel.actor import Actor
from server.kernel.audit import AuditLog
from server.kernel.clock import Clock
from server.kernel.clock_guard import ClockGuard, TrustedClock
from server.kernel.crypto import Keyring, MasterKey, SealingKey
from server.kernel.edge import Route
from server.kernel.jobs import Job
from server.kernel.leases import Leases
from server.kernel.mongo import Database
from server.kernel.outbox import Event, Relay

if TYPE_CHECKING:
    from im.commands import SocketCommand

_CLOCK_SECONDS: Final = 10.0
_DOUBTED_CLOCK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where this process finds the databases."""

    mongo_url: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class Product:
    """Everything that a process may need, put together."""

    settings: Settings
    database: Database
    clock: Clock
    clock_guard: ClockGuard
    master: MasterKey
    keyring: Keyring
    audit: AuditLog
    relay: Relay
    leases: Leases
    hub: LiveHub
    bus: RedisBus
    sessions: SessionService
    log: ConversationLog
    follower: Follower
    search_terms: SearchTerms
    consult: Consult
    books: MongoPayments
    checkpoints: Checkpoints
    verifier: Verifier
    intake: Intake
    critical: CriticalService
    watch: HospitalWatch
    tracing: LeakTracing
    export: ConsultExport
    routes: tuple[Route, ...]
    commands: "tuple[SocketCommand, ...]"
    jobs: tuple[Job, ...]

    def deadline_proof(self) -> DeadlineProof:
        """A new one: each is made for one check."""
        return DeadlineProof(LogReader(self.database, self.keyring), self.consult.parts.orders, self.clock)

    def checkpoint_files(self, folder: Path) -> CheckpointFiles:
        """Checkpoints that are kept elsewhere than below YZ_DATA_DIR."""
        return CheckpointFiles(folder, Signer(self.master.secret("checkpoint")).public_key)


@asynccontextmanager
async def product(settings: Settings, addresses: Addresses, *, listens: bool) -> AsyncIterator[Product]:
    """The product for the running event loop, until the end of the block. `listens`: this process has sockets, so it hears
    live events of others. On the way out what is under way is finished: nothing that was acknowledged waits in memory."""
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(ground(settings, addresses.mongo_url))
        db, clock, master, keyring, audit, relay = base.database, base.clock, base.master, base.keyring, base.audit, base.relay
        guard = ClockGuard(db, clock)
        await guard.check()
        trusted = TrustedClock(clock, guard)
        over = asyncio.Event()
        watching = asyncio.create_task(_watch_clock(guard, over), name="clock-guard")
        stack.push_async_callback(_end, watching, over)
        bus = RedisBus(
            addresses.redis_url, SealingKey(master.secret("live")), channel=master.secret("live-channel").hex()[:16],
            receives=listens,
        )  # fmt: skip
        await bus.start()
        stack.push_async_callback(bus.close)
        hub = LiveHub(event_frame, bus)
        queue = CeleryQueue(addresses.redis_url)
        stack.push_async_callback(queue.close)

        # accounts
        http = await stack.enter_async_context(aiohttp.ClientSession())
        doors = await stack.enter_async_context(entrance(base, settings, http))
        people = doors.people

        # billing
        wechat = WechatPay(wechat_config(settings), clock)
        await wechat.start()
        stack.push_async_callback(wechat.close)
        gateways: Gateways = {each: WechatChannel(wechat, each) for each in (Channel.WECHAT_H5, Channel.WECHAT_JSAPI)}
        books = MongoPayments(db)
        payments = PaymentService(books, gateways, trusted, relay, audit)
        refunds = RefundService(books, gateways, trusted, relay, audit, queue)
        reconciliations = ReconciliationService(
            WechatBills(wechat), MongoBooks(db), MongoReconciliations(db), trusted, relay, audit
        )

        # the hospital
        hospital = hospital_of(settings)
        stack.push_async_callback(hospital.close)

        # the product, its conversations and media; media asks the product who may see what, and the product is made after it
        parts = parts_of(db, keyring, hub, relay, clock, people.doctors)
        owners, cards = _LateOwners(), _LateCards()
        codecs = CodecPool()
        stack.push_async_callback(codecs.close)
        media = MediaService(
            MongoMedia(db, keyring), codecs, owners, LinkSigner(master.secret("media-link")), audit, relay, clock
        )
        name_book = NameBook(people.names, clock)
        announcer = Announcer(parts.rules, hub, name_book)
        log = ConversationLog(
            db,
            keyring,
            parts.rules,
            parts.opener,
            clock,
            max_entries=settings.conversation_max,
            listeners=(announcer, parts.announcer, parts.pool),
            hints=(hub.entry_stored,),
            clock_ok=guard.is_ok,
            audit=audit,
            media=media,
            cards=cards,
        )
        hub.fold_hints_with(log.fold_hint)
        if listens:
            stand_in = StandIn(db, log, announcer, hub)
            log.add_listener(stand_in)
            await stand_in.start()
            stack.push_async_callback(stand_in.close)
            receipt_teller = ReceiptTeller(log, announcer, hub)
            document_tellers = {
                receipt_teller.collection: receipt_teller.tell,
                **tellers(hub, parts.orders.read_document, notice_from, MongoNotices(db).badge),
            }
            documents = DocumentStandIn(db, hub, document_tellers, once=(NOTICE,), speaks_for=speaks_for)
            await documents.start()
            stack.push_async_callback(documents.close)
        receipts = Receipts(db, log)
        push = await stack.enter_async_context(
            pushing(
                settings,
                db,
                keyring,
                master,
                http,
                receipts,
                parts.directory,
                hub,
                queue,
                audit,
                relay,
                trusted,
                listens=listens,
            )
        )
        consult = assemble(
            parts,
            db,
            log=log,
            live=hub,
            relay=relay,
            audit=audit,
            clock=trusted,
            clock_ok=guard.is_ok,
            doctors=people.doctors,
            patients=people.patients,
            consents=doors.consents,
            media=media,
            billing=OrderPayments(payments, refunds),
            reads=receipts,
            texts=doors.texts,
            pushes=push.service,
            names=people.names,
            ladder=parse_ladder(settings.reminders),
            settings=OrderSettings(
                validity=settings.consult_validity,
                replies=settings.consult_replies,
                recall_window=settings.recall_window,
                patient_burst=settings.patient_burst,
                unpaid_timeout=settings.unpaid_timeout,
                quick_patience=settings.quick_patience,
            ),
            visits=OfflineVisits(hospital),
        )
        owners.owners = consult.media_owners
        history = History(log, receipts, parts.directory, name_book, audit, clock, epoch=await find_epoch(db))
        presence = Presence(log, receipts, announcer, clock)
        terms = MongoTerms(db, keyring)
        search = MessageSearch(terms, parts.directory, log, history, audit, clock)
        # In this order at the end: what waits for the log, then the log, then who tells of it.
        stack.push_async_callback(parts.announcer.close)
        stack.push_async_callback(parts.pool.close)
        stack.push_async_callback(announcer.close)
        stack.push_async_callback(log.close)
        stack.push_async_callback(receipts.close)

        records = await stack.enter_async_context(
            records_of(
                base, settings, guard, people=people, consult=consult, log=log, hub=hub, hospital=hospital, texts=doors.texts
            )
        )
        cards.gate = records.cards
        for consumers in (people.sessions.consumers(), records.critical.consumers(), consult.consumers):
            for action, consumer in consumers.items():
                relay.on(action, consumer)
        relay.on("accounts.session_revoked", _closing_sockets(hub))
        supervision = supervision_of(
            base,
            settings,
            people=people,
            consult=consult,
            log=log,
            media=media,
            books=books,
            records=records,
            search=search,
            queue=queue,
        )

        yield Product(
            settings=settings,
            database=db,
            clock=clock,
            clock_guard=guard,
            master=master,
            keyring=keyring,
            audit=audit,
            relay=relay,
            leases=Leases(db),
            hub=hub,
            bus=bus,
            sessions=people.sessions,
            log=log,
            follower=Follower(db, keyring),
            search_terms=SearchTerms(terms, LogStore(db), keyring),
            consult=consult,
            books=books,
            checkpoints=supervision.checkpoints,
            tracing=supervision.tracing,
            export=supervision.export,
            verifier=supervision.verifier,
            intake=records.intake,
            critical=records.critical,
            watch=records.watch,
            routes=(
                *doors.routes,
                *consult.routes,
                *im_routes(log, announcer, name_book, history, ConversationList(parts.directory, history, receipts)),
                *media_routes(media),
                *records.routes,
                *push.routes,
                *favourite_routes(FavouriteService(MongoFavourites(db, keyring), history, audit, clock)),
                *search_routes(search),
                *billing_routes(payments, refunds, wechat),
                *reconciliation_routes(reconciliations),
                *supervision.routes,
            ),
            commands=(
                *im_commands(log, announcer, name_book, history, presence),
                *consult_commands(records.critical, consult.notes, consult.pool),
            ),
            jobs=(
                *doors.jobs,
                *billing_jobs(payments, refunds),
                *reconciliation_jobs(reconciliations),
                *media_jobs(media),
                *push.jobs,
                *supervision.jobs,
            ),
        )


class _LateCards:
    """`im.ports.CardGate`, answered once there are records."""

    gate: OrderCards | None = None

    async def check_cards(self, actor: Actor, order_id: str, cards: Sequence[Part]) -> None:
        assert self.gate is not None, "the product is assembled before anything is asked"
        await self.gate.check_cards(actor, order_id, cards)


class _LateOwners:
    """`media.ports.Owners`, answered by the product once it is there."""

    owners: MediaOwners | None = None

    async def may_see(self, actor: Actor, owner_kind: str, owner_id: str, media_id: str) -> bool:
        assert self.owners is not None, "the product is assembled before anything is asked"
        return await self.owners.may_see(actor, owner_kind, owner_id, media_id)

    async def names(self, owner_kind: str, owner_id: str, media_id: str) -> bool:
        assert self.owners is not None, "the product is assembled before anything is asked"
        return await self.owners.names(owner_kind, owner_id, media_id)


def _closing_sockets(hub: LiveHub) -> Callable[[Event], Awaitable[None]]:
    async def close(event: Event) -> None:
        hub.close_sessions([event.data["session_id"]], event.data["reason"])

    return close


async def _watch_clock(guard: ClockGuard, over: asyncio.Event) -> None:
    """Until `over`: a cancellation that meets the driver at a bad moment is lost. Who is in doubt looks again soon."""
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), _CLOCK_SECONDS if guard.is_ok() else _DOUBTED_CLOCK_SECONDS)
        if not over.is_set():
            await guard.check()


async def _end(task: asyncio.Task[None], over: asyncio.Event) -> None:
    over.set()
    await asyncio.gather(task, return_exceptions=True)
