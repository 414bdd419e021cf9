"""Which implementation goes where. The only module that knows all of them; it holds no rule."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp

from accounts import mongo as accounts_mongo
from accounts.domain.codes import SmsPolicy
from accounts.domain.sessions import SessionPolicy
from accounts.http import routes as account_routes
from accounts.passwords import Argon2Passwords, PyotpTotp
from accounts.service import (
    CodeService,
    ConsentService,
    DoctorService,
    NameService,
    PasswordService,
    PatientService,
    SessionService,
    SignInService,
    StaffService,
    TextService,
)
from accounts.sms import AliyunSms
from accounts.tasks import jobs as account_jobs
from accounts.tokens import SessionTokens
from admin_console.domain.checkpoints import Signer
from admin_console.files import CheckpointFiles
from admin_console.http import routes as admin_routes
from admin_console.mongo import (
    MongoArchive,
    MongoAuditRows,
    MongoBoard,
    MongoCheckpoints,
    MongoFeed,
    MongoIssuedViews,
    MongoLedger,
    MongoProofs,
    MongoStaffOrders,
)
from admin_console.search_http import routes as staff_search_routes
from admin_console.service.audit import AuditQuery
from admin_console.service.board import LiveBoard
from admin_console.service.checkpoints import Checkpoints
from admin_console.service.dossier import Dossiers
from admin_console.service.export import ConsultExport
from admin_console.service.orders import StaffDesk
from admin_console.service.proofs import Proofs
from admin_console.service.repairs import Hl7Repairs
from admin_console.service.search import StaffSearch
from admin_console.service.traces import LeakTracing
from admin_console.service.verification import Verifier
from admin_console.tasks import jobs as admin_jobs
from admin_console.tracer import ProcessReader
from billing.domain import Channel
from billing.http import routes as billing_routes
from billing.mongo import MongoPayments
from billing.ports import Gateways
from billing.service.payments import PaymentService
from billing.service.refunds import RefundService
from billing.tasks import jobs as billing_jobs
from billing.wechatpay import WechatChannel, WechatPay
from consult.assembly import Consult, assemble, parts_of
from consult.domain.reminders import parse_ladder
from consult.service.billing import OrderPayments
from consult.service.cards import OrderCards
from consult.service.conversations import MediaOwners
from consult.service.critical import ConcernedPeople, CriticalAlarms
from consult.service.orders import OrderSettings
from consult.service.proofs import DeadlineProof
from consult.service.records import OfflineVisits, OrderRecordAccess
from consult.socket import commands as consult_commands
from ehr_view.critical.domain import DEFAULT_LIMITS, CriticalPolicy, limits_from
from ehr_view.critical.http import routes as critical_routes
from ehr_view.critical.mongo import MongoCriticalValues
from ehr_view.critical.service import CriticalService
from ehr_view.domain.access import VIEWED as RECORD_PAGE_VIEWED
from ehr_view.hl7.mongo import MongoHeldRecords, MongoMessages
from ehr_view.hl7.service import Intake
from ehr_view.http import routes as record_routes
from ehr_view.joined import JoinedHospital
from ehr_view.mongo import MongoLeases, MongoViews
from ehr_view.painter import PagePainter
from ehr_view.service import LeaseEnder, RecordService, ViewAnnouncer
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
from media.codecs import CodecPool
from media.http import routes as media_routes
from media.links import LinkSigner
from media.mongo import MongoMedia
from media.service import MediaService
from media.tasks import jobs as media_jobs
from server.app.migrations import OUTBOXES, find_epoch
from server.app.partners import hospital_of, sms_config, wechat_config
from server.app.pushing import pushing
from server.app.queue import CeleryQueue
from server.app.settings import Settings
from server.app.sockets import event_frame
from server.kernel.actor import Actor
from server.kernel.audit import AuditLog
from server.kernel.clock import Clock, SystemClock
from server.kernel.clock_guard import ClockGuard
from server.kernel.crypto import Keyring, MasterKey, SealingKey
from server.kernel.edge import Route
from server.kernel.jobs import Job
from server.kernel.leases import Leases
from server.kernel.mongo import Database, connect, database
from server.kernel.outbox import Event, Relay
from server.kernel.settings import Rate

if TYPE_CHECKING:
    from im.commands import SocketCommand

_POOL: Final = 100
_CLOCK_SECONDS: Final = 10.0
_GUESSES_A_CODE: Final = 10
"""So many wrong codes and passwords an address may try for each SMS that it may ask for."""


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
    doctors: DoctorService
    patients: PatientService
    staff: StaffService
    patient_accounts: accounts_mongo.MongoPatientAccounts
    log: ConversationLog
    follower: Follower
    search_terms: SearchTerms
    consult: Consult
    books: MongoPayments
    checkpoints: Checkpoints
    verifier: Verifier
    intake: Intake
    critical: CriticalService
    tracing: LeakTracing
    export: ConsultExport
    routes: tuple[Route, ...]
    commands: "tuple[SocketCommand, ...]"
    jobs: tuple[Job, ...]

    def deadline_proof(self) -> DeadlineProof:
        """A new one: each is made for one check."""
        return DeadlineProof(LogReader(self.database, self.keyring), self.consult.parts.orders, self.clock)


@asynccontextmanager
async def product(settings: Settings, addresses: Addresses, *, listens: bool) -> AsyncIterator[Product]:
    """The product for the running event loop, until the end of the block. `listens`: this process has sockets, so it hears
    live events of others. On the way out what is under way is finished: nothing that was acknowledged waits in memory."""
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        client = connect(addresses.mongo_url, pool_size=_POOL)
        stack.push_async_callback(client.close)
        db = database(client)
        settings.key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        master = MasterKey.load_or_create(settings.key_file)
        keyring = Keyring(master, db)
        audit = AuditLog(db)
        stack.push_async_callback(audit.close)
        relay = Relay(db, audit)
        relay.watch(*OUTBOXES)
        stack.push_async_callback(relay.close)
        guard = ClockGuard(db, clock)
        await guard.check()
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
        accounts = accounts_mongo.MongoPatientAccounts(db, keyring, relay)
        patient_books = accounts_mongo.MongoPatients(db, keyring, relay)
        doctor_list = accounts_mongo.MongoDoctors(db, keyring, relay)
        staff_list = accounts_mongo.MongoStaff(db, keyring, relay)
        code_book = accounts_mongo.MongoCodes(db, keyring, relay)
        limits = accounts_mongo.MongoLimits(db, keyring)
        names = NameService(accounts, patient_books, doctor_list, staff_list, clock)
        tokens = SessionTokens(master.secret("access-token"), master.secret("refresh-token"))
        wrong_ones = Rate(settings.sms_per_address.count * _GUESSES_A_CODE, settings.sms_per_address.per)
        sessions = SessionService(
            accounts_mongo.MongoSessions(db, keyring, relay), tokens, names, audit, clock, SessionPolicy(guesses=wrong_ones)
        )
        sms = AliyunSms(http, sms_config(settings), clock)
        codes = CodeService(
            code_book,
            accounts_mongo.MongoSmsAttempts(db, keyring),
            limits,
            sms,
            clock,
            SmsPolicy(settings.sms_resend_after, settings.sms_per_phone, settings.sms_per_address),
        )
        stack.push_async_callback(codes.close)
        texts = TextService(accounts_mongo.MongoTexts(db), doctor_list, sms, clock)
        passwords = Argon2Passwords()
        stack.callback(passwords.close)
        sign_in = SignInService(
            accounts, doctor_list, staff_list, code_book, limits, codes, sessions, passwords, PyotpTotp(), audit, clock
        )
        password_service = PasswordService(accounts, limits, codes, sessions, passwords, audit, clock)
        doctors = DoctorService(doctor_list, sessions, audit, clock)
        patients = PatientService(patient_books, audit, clock, settings.patients_per_account)
        staff = StaffService(staff_list, sessions, passwords, clock, audit)
        consents = ConsentService.load()

        # billing
        wechat = WechatPay(wechat_config(settings), clock)
        await wechat.start()
        stack.push_async_callback(wechat.close)
        gateways: Gateways = {each: WechatChannel(wechat, each) for each in (Channel.WECHAT_H5, Channel.WECHAT_JSAPI)}
        books = MongoPayments(db)
        payments = PaymentService(books, gateways, clock, relay, audit)
        refunds = RefundService(books, gateways, clock, relay, audit, queue)

        # the hospital
        hospital = hospital_of(settings)
        stack.push_async_callback(hospital.close)

        # the product, its conversations and media; media asks the product who may see what, and the product is made after it
        parts = parts_of(db, keyring, hub, relay, clock)
        owners, cards = _LateOwners(), _LateCards()
        codecs = CodecPool()
        stack.push_async_callback(codecs.close)
        media = MediaService(
            MongoMedia(db, keyring), codecs, owners, LinkSigner(master.secret("media-link")), audit, relay, clock
        )
        name_book = NameBook(names, clock)
        announcer = Announcer(parts.rules, hub, name_book)
        log = ConversationLog(
            db,
            keyring,
            parts.rules,
            parts.opener,
            clock,
            max_entries=settings.conversation_max,
            listeners=(announcer, parts.announcer),
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
        receipts = Receipts(db, log)
        push = await stack.enter_async_context(
            pushing(
                settings, db, keyring, master, http, receipts, parts.directory, hub, queue, audit, relay, clock, listens=listens
            )
        )
        consult = assemble(
            parts,
            db,
            log=log,
            live=hub,
            relay=relay,
            audit=audit,
            clock=clock,
            clock_ok=guard.is_ok,
            doctors=doctors,
            patients=patients,
            consents=consents,
            media=media,
            billing=OrderPayments(payments, refunds),
            texts=texts,
            pushes=push.service,
            names=names,
            ladder=parse_ladder(settings.reminders),
            settings=OrderSettings(
                validity=settings.consult_validity,
                replies=settings.consult_replies,
                recall_window=settings.recall_window,
                patient_burst=settings.patient_burst,
                unpaid_timeout=settings.unpaid_timeout,
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
        stack.push_async_callback(announcer.close)
        stack.push_async_callback(log.close)
        stack.push_async_callback(receipts.close)

        # the hospital's records: the drawing processes start with the first page
        views = MongoViews(db, keyring)
        leases = MongoLeases(db)
        painter = PagePainter(master.secret("watermark"))
        stack.push_async_callback(painter.close)
        held = MongoHeldRecords(db, keyring)
        limits_file = settings.critical_limits_file
        critical = CriticalService(
            values=MongoCriticalValues(db, keyring),
            people=ConcernedPeople(patient_books, consult.parts.orders, log, clock),
            alarms=CriticalAlarms(consult.notices, consult.tasks, texts),
            live=hub,
            audit=audit,
            relay=relay,
            clock=clock,
            limits=DEFAULT_LIMITS if limits_file is None else limits_from(limits_file.read_text()),
            policy=CriticalPolicy(settings.critical_text_after, settings.critical_task_after),
        )
        stack.push_async_callback(critical.close)
        intake = Intake(
            hospital_id=settings.hl7_hospital,
            messages=MongoMessages(db, keyring, kept=settings.hl7_kept),
            records=held,
            critical=critical,
            audit=audit,
            clock=clock,
        )
        records = RecordService(
            access=OrderRecordAccess(consult.parts.orders, log, doctors, clock, guard.is_ok),
            leases=leases,
            sessions=sessions,
            hospital=JoinedHospital(hospital, held, critical.watch_chart),
            painter=painter,
            views=views,
            audit=audit,
            relay=relay,
            clock=clock,
        )
        cards.gate = OrderCards(records)
        relay.on("consult.record_access_changed", LeaseEnder(leases).consume)
        relay.on(RECORD_PAGE_VIEWED, ViewAnnouncer(views, hub).consume)

        for consumers in (sessions.consumers(), critical.consumers(), consult.consumers):
            for action, consumer in consumers.items():
                relay.on(action, consumer)
        relay.on("accounts.session_revoked", _closing_sockets(hub))

        # supervision
        signer = Signer(master.secret("checkpoint"))
        files = CheckpointFiles(settings.data_dir / "checkpoints", signer.public_key)
        staff_orders = MongoStaffOrders(db, keyring)
        query = AuditQuery(audit, clock, MongoAuditRows(db), log, staff_orders)
        desk = StaffDesk(audit, clock, staff_orders, log, MongoLedger(db), query)
        tracing = LeakTracing(audit, clock, ProcessReader(master.secret("watermark")), MongoIssuedViews(db, keyring))
        export = ConsultExport(audit, clock, staff_orders, consult.access, log, books, media)
        verifier = Verifier(MongoArchive(db), files, signer.public_key, clock)
        proofs = Proofs(audit, clock, MongoProofs(db), verifier, queue)
        dossiers = Dossiers(
            audit,
            clock,
            orders=staff_orders,
            log=log,
            money=books,
            views=views,
            names=names,
            accounts=accounts,
            query=query,
        )
        repairs = Hl7Repairs(audit, clock, intake, settings.hl7_hospital)

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
            sessions=sessions,
            doctors=doctors,
            patients=patients,
            staff=staff,
            patient_accounts=accounts,
            log=log,
            follower=Follower(db, keyring),
            search_terms=SearchTerms(terms, LogStore(db), keyring),
            consult=consult,
            books=books,
            checkpoints=Checkpoints(MongoFeed(db), MongoCheckpoints(db), files, signer, clock),
            tracing=tracing,
            export=export,
            verifier=verifier,
            intake=intake,
            critical=critical,
            routes=(
                *account_routes(codes, sign_in, sessions, password_service, doctors, patients, consents, staff),
                *consult.routes,
                *im_routes(log, announcer, name_book, history, ConversationList(parts.directory, history, receipts)),
                *media_routes(media),
                *record_routes(records),
                *critical_routes(critical),
                *push.routes,
                *favourite_routes(FavouriteService(MongoFavourites(db, keyring), history, audit, clock)),
                *search_routes(search),
                *billing_routes(payments, refunds, wechat),
                *admin_routes(query, desk, tracing, export, LiveBoard(audit, clock, MongoBoard(db)), dossiers, proofs, repairs),
                *staff_search_routes(StaffSearch(audit, clock, staff_orders, search)),
            ),
            commands=(*im_commands(log, announcer, name_book, history, presence), *consult_commands(critical, consult.notes)),
            jobs=(
                *account_jobs(codes, sessions, texts),
                *billing_jobs(payments, refunds),
                *media_jobs(media),
                *push.jobs,
                *admin_jobs(proofs),
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


def _closing_sockets(hub: LiveHub) -> Callable[[Event], Awaitable[None]]:
    async def close(event: Event) -> None:
        hub.close_sessions([event.data["session_id"]], event.data["reason"])

    return close


async def _watch_clock(guard: ClockGuard, over: asyncio.Event) -> None:
    """Until `over`: a cancellation that meets the driver at a bad moment is lost."""
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), _CLOCK_SECONDS)
        if not over.is_set():
            await guard.check()


async def _end(task: asyncio.Task[None], over: asyncio.Event) -> None:
    over.set()
    await asyncio.gather(task, return_exceptions=True)
