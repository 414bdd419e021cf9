"""The hospital's records, put together: who may look, what is drawn, what arrives by HL7 v2, what is critical. The drawing
processes start with the first page."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from accounts.service.texts import TextService
from consult.assembly import Consult
from consult.service.cards import OrderCards
from consult.service.critical import ConcernedPeople, CriticalAlarms, WatchedOrders
from consult.service.records import OrderRecordAccess
from ehr_view.critical.domain import DEFAULT_LIMITS, CriticalPolicy, limits_from
from ehr_view.critical.http import routes as critical_routes
from ehr_view.critical.mongo import MongoCriticalValues
from ehr_view.critical.service import CriticalService
from ehr_view.critical.watch import HospitalWatch
from ehr_view.domain.access import VIEWED
from ehr_view.hl7.mongo import MongoHeldRecords, MongoMessages
from ehr_view.hl7.service import Intake
from ehr_view.hospital import FhirHospital
from ehr_view.http import routes as record_routes
from ehr_view.joined import JoinedHospital
from ehr_view.lab_feed import FhirLabFeed
from ehr_view.mongo import MongoLeases, MongoViews
from ehr_view.painter import PagePainter
from ehr_view.service import LeaseEnder, RecordService, ViewAnnouncer
from im.live import LiveHub
from im.service import ConversationLog
from server.app.ground import Ground
from server.app.people import People
from server.app.settings import Settings
from server.kernel.clock_guard import ClockGuard
from server.kernel.edge import Route


@dataclass(frozen=True, slots=True)
class Records:
    views: MongoViews
    critical: CriticalService
    watch: HospitalWatch
    intake: Intake
    cards: OrderCards
    routes: tuple[Route, ...]


@asynccontextmanager
async def records_of(
    ground: Ground,
    settings: Settings,
    guard: ClockGuard,
    *,
    people: People,
    consult: Consult,
    log: ConversationLog,
    hub: LiveHub,
    hospital: FhirHospital,
    texts: TextService,
) -> AsyncIterator[Records]:
    """Until the end of the block."""
    db, keyring, audit, relay, clock = ground.database, ground.keyring, ground.audit, ground.relay, ground.clock
    async with AsyncExitStack() as stack:
        views, leases, held = MongoViews(db, keyring), MongoLeases(db), MongoHeldRecords(db, keyring)
        painter = PagePainter(ground.master.secret("watermark"))
        stack.push_async_callback(painter.close)
        limits_file = settings.critical_limits_file
        critical = CriticalService(
            values=MongoCriticalValues(db, keyring),
            people=ConcernedPeople(people.patient_books, consult.parts.orders, log, clock),
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
        watch = HospitalWatch(
            hospital_id=settings.hl7_hospital,
            orders=WatchedOrders(consult.parts.orders),
            feed=FhirLabFeed(hospital.fhir),
            reviewer=critical,
            audit=audit,
            clock=clock,
        )
        service = RecordService(
            access=OrderRecordAccess(consult.parts.orders, log, people.doctors, clock, guard.is_ok),
            leases=leases,
            sessions=people.sessions,
            hospital=JoinedHospital(hospital, held, critical.watch_chart),
            painter=painter,
            views=views,
            audit=audit,
            relay=relay,
            clock=clock,
        )
        relay.on("consult.record_access_changed", LeaseEnder(leases).consume)
        relay.on(VIEWED, ViewAnnouncer(views, hub).consume)
        routes = (*record_routes(service), *critical_routes(critical))
        yield Records(views, critical, watch, intake, OrderCards(service), routes)
