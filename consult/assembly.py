"""The product's parts put together, for the composition root and for tests.

First `parts_of`: what the conversation log needs of the product. Then, with the log made, `assemble`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from consult.deadlines import Deadlines
from consult.domain.reminders import DEFAULT_LADDER, Ladder
from consult.events import consumers
from consult.http import routes
from consult.http.quick import quick_routes
from consult.http.referrals import referral_routes
from consult.mongo import (
    MongoDesks,
    MongoFairness,
    MongoNotes,
    MongoNotices,
    MongoOrders,
    MongoPlaces,
    MongoQuickPrices,
    MongoReminders,
    MongoTasks,
)
from consult.ports import (
    AccountNames,
    ClockOk,
    Consents,
    Doctors,
    DoctorTexts,
    Live,
    Log,
    OrderMedia,
    Outboxes,
    Patients,
    Payments,
    ReadMarks,
    VisitHistory,
)
from consult.rules import ConsultRules
from consult.service.access import OrderAccess
from consult.service.after_sales import AfterSalesService
from consult.service.announcer import OrderAnnouncer
from consult.service.consults import ConsultService
from consult.service.conversations import ConsultDirectory, ConsultOpener, MediaOwners
from consult.service.desk import DeskService, DoctorBoard
from consult.service.fairness import FairnessService
from consult.service.figures import FigureBook
from consult.service.notes import NoteService
from consult.service.notices import NoticeService
from consult.service.offers import FreeDoctors, QuickOffers
from consult.service.orders import OrderService, OrderSettings
from consult.service.payments import OrderPaymentService
from consult.service.places import HeldPlaces
from consult.service.projection import OrderProjection
from consult.service.quick import PoolAnnouncer, PoolService
from consult.service.referrals import ReferralService
from consult.service.reminders import ReminderService
from consult.service.tasks import TaskService
from im.push.ports import Pushes
from server.kernel.audit import Audit
from server.kernel.clock import Clock
from server.kernel.crypto import Keyring
from server.kernel.edge import Route
from server.kernel.mongo import Database
from server.kernel.outbox import Event


@dataclass(frozen=True, slots=True)
class ConsultParts:
    """What the log is made with: `rules`, `opener`, `announcer` and `pool` among its listeners; `directory` for sync."""

    keyring: Keyring
    orders: MongoOrders
    rules: ConsultRules
    opener: ConsultOpener
    directory: ConsultDirectory
    announcer: OrderAnnouncer
    pool: PoolAnnouncer
    free: FreeDoctors


@dataclass(frozen=True, slots=True)
class Consult:
    """The product. `media_owners` is for media, `projection` for the keeper's follower, `deadlines` for its sweep, `consumers`
    for the relay. `announcer.close()` and `parts.pool.close()` at the end."""

    parts: ConsultParts
    access: OrderAccess
    orders: OrderService
    payments: OrderPaymentService
    consults: ConsultService
    desk: DeskService
    board: DoctorBoard
    notices: NoticeService
    tasks: TaskService
    reminders: ReminderService
    fairness: FairnessService
    notes: NoteService
    after_sales: AfterSalesService
    projection: OrderProjection
    deadlines: Deadlines
    media_owners: MediaOwners
    consumers: Mapping[str, Callable[[Event], Awaitable[None]]]
    referrals: ReferralService
    offers: QuickOffers
    pool: PoolService
    held: HeldPlaces
    routes: tuple[Route, ...]


def parts_of(database: Database, keyring: Keyring, live: Live, relay: Outboxes, clock: Clock, doctors: Doctors) -> ConsultParts:
    orders = MongoOrders(database, keyring)
    free = FreeDoctors(doctors, MongoDesks(database), clock)
    return ConsultParts(
        keyring=keyring,
        orders=orders,
        rules=ConsultRules(),
        opener=ConsultOpener(orders),
        directory=ConsultDirectory(orders),
        announcer=OrderAnnouncer(orders, live, relay, clock),
        pool=PoolAnnouncer(free, live),
        free=free,
    )


def assemble(
    parts: ConsultParts,
    database: Database,
    *,
    log: Log,
    live: Live,
    relay: Outboxes,
    audit: Audit,
    clock: Clock,
    clock_ok: ClockOk,
    doctors: Doctors,
    patients: Patients,
    consents: Consents,
    media: OrderMedia,
    billing: Payments,
    settings: OrderSettings,
    reads: ReadMarks,
    visits: VisitHistory | None = None,
    texts: DoctorTexts | None = None,
    pushes: Pushes | None = None,
    names: AccountNames | None = None,
    ladder: Ladder = DEFAULT_LADDER,
) -> Consult:
    orders, announcer = parts.orders, parts.announcer
    desks, places = MongoDesks(database), MongoPlaces(database)
    access = OrderAccess(orders, log, audit, clock)
    notices = NoticeService(MongoNotices(database), live, clock, pushes)
    tasks = TaskService(MongoTasks(database, parts.keyring), audit, relay, clock)
    fairness = FairnessService(MongoFairness(database, parts.keyring), access, notices, tasks, audit, relay, clock)
    notes = NoteService(MongoNotes(database, parts.keyring), orders, log, names, audit, relay, live, clock)
    offers = QuickOffers(MongoQuickPrices(database), doctors, parts.free, audit, relay, clock)
    held = HeldPlaces(places, orders, log, clock)
    pool = PoolService(orders, doctors, parts.free, held, log, notices, audit, clock)
    reminders = ReminderService(
        MongoReminders(database), log, notices, tasks, pool, texts, audit, relay, clock, clock_ok, ladder
    )
    figures = FigureBook(desks)
    board = DoctorBoard(doctors, desks, figures, clock)
    desk = DeskService(desks, places, figures, audit, relay, clock, doctors)
    order_service = OrderService(
        access=access,
        orders=orders,
        desks=desks,
        doctors=doctors,
        offers=offers,
        patients=patients,
        consents=consents,
        media=media,
        announcer=announcer,
        relay=relay,
        clock=clock,
        settings=settings,
        visits=visits,
    )
    payments = OrderPaymentService(
        access=access,
        orders=orders,
        places=places,
        desks=desks,
        doctors=doctors,
        offers=offers,
        payments=billing,
        log=log,
        notices=notices,
        announcer=announcer,
        relay=relay,
        clock=clock,
        settings=settings,
    )
    consults = ConsultService(access, orders, payments, log, notices, announcer, relay, clock, figures)
    after_sales = AfterSalesService(access, orders, log, billing, media, notices, tasks, announcer, audit, relay, clock)
    referrals = ReferralService(access, orders, doctors, held, log, audit, clock)
    return Consult(
        parts=parts,
        access=access,
        orders=order_service,
        payments=payments,
        consults=consults,
        desk=desk,
        board=board,
        notices=notices,
        tasks=tasks,
        reminders=reminders,
        fairness=fairness,
        notes=notes,
        after_sales=after_sales,
        projection=OrderProjection(orders, log, notices, reminders, fairness, places, pool, relay, clock),
        deadlines=Deadlines(orders, orders, places, payments, log, relay, clock, clock_ok, held, reads),
        media_owners=MediaOwners(orders, log),
        consumers=consumers(payments, consults, desk, reminders, fairness, notes, after_sales),
        referrals=referrals,
        offers=offers,
        pool=pool,
        held=held,
        routes=(
            *quick_routes(order_service, offers, pool),
            *referral_routes(referrals),
            *routes(
                order_service, payments, consults, desk, board, notices, tasks, reminders, fairness, notes, after_sales, clock
            ),
        ),
    )
