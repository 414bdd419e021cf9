"""A hospital, an order and a doctor, to look at records with."""

import io
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer
from PIL import Image

from ehr_view.dicomweb import DicomWebClient
from ehr_view.domain.access import ChatView, Grant, PatientView, Refused, Viewer
from ehr_view.domain.records import PatientRef
from ehr_view.errors import RecordAccessDenied
from ehr_view.fhir import FhirClient
from ehr_view.hospital import FhirHospital
from ehr_view.mongo import INDEXES, MongoLeases, MongoViews
from ehr_view.painter import PagePainter
from ehr_view.ports import Painter
from ehr_view.service import LeaseEnder, RecordService, ViewAnnouncer
from server.kernel.actor import PLATFORM, Actor, Role
from server.kernel.audit import INDEXES as AUDIT_INDEXES
from server.kernel.audit import Audit, AuditLog
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.errors import NotFound
from server.kernel.mongo import Database
from server.kernel.outbox import Relay
from simulators.app import build_app
from simulators.config import SimulatorConfig
from simulators.keys import ensure_wechat_keys
from tests.support.clock import ManualClock
from tests.support.indexes import make_indexes

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
ORDER = "0192aaaa0000700080000000000000aa"
DOCTOR = "0192aaaa0000700080000000000000dd"
PATIENT_ACCOUNT = "0192aaaa0000700080000000000000bb"
KEY = b"k" * 32

PERSON = PatientRef("resident", "110105196602150023", "唐玉兰", date(1966, 2, 15), "female")


def doctor(**more: Any) -> Actor:
    return Actor(
        **{"account_id": DOCTOR, "role": Role.DOCTOR, "hospital_id": "default", "request_id": "r", "session_id": "s1"} | more
    )


def patient() -> Actor:
    return Actor(PATIENT_ACCOUNT, Role.PATIENT, PLATFORM, "r", session_id="s2")


@dataclass
class Orders:
    """Implements `RecordAccess` and `Sessions` over one order that tests change."""

    clock: ManualClock
    person: PatientRef = PERSON
    current_doctor: str = DOCTOR
    closes_at: datetime = NOW + timedelta(hours=48)
    consented: bool = True
    dead: set[str] = field(default_factory=set)
    checks: int = 0
    close_after: int | None = None

    async def check(self, actor: Actor, order_id: str) -> Grant | Refused:
        self.checks += 1
        members = {self.current_doctor, PATIENT_ACCOUNT}
        if order_id != ORDER or actor.account_id not in members:
            return Refused(NotFound(), "default" if order_id == ORDER else None)
        open_now = self.clock.now() < self.closes_at and (self.close_after is None or self.checks <= self.close_after)
        if actor.account_id != self.current_doctor or not self.consented or not open_now:
            return Refused(RecordAccessDenied(), "default")
        viewer = Viewer(DOCTOR, "王慧敏", "D10023", "5678")
        return Grant(ORDER, "YZ202611220001", "default", self.person, PATIENT_ACCOUNT, viewer, self.closes_at)

    async def check_patient(self, actor: Actor, order_id: str) -> PatientView | Refused:
        if order_id == ORDER and actor.account_id == PATIENT_ACCOUNT:
            return PatientView(ORDER, "default")
        member = order_id == ORDER and actor.account_id == self.current_doctor
        return Refused(RecordAccessDenied() if member else NotFound(), "default" if order_id == ORDER else None)

    async def check_chat(self, actor: Actor, order_id: str) -> ChatView | Refused:
        if order_id != ORDER or actor.account_id not in (self.current_doctor, PATIENT_ACCOUNT):
            return Refused(NotFound(), "default" if order_id == ORDER else None)
        if actor.account_id != self.current_doctor:
            return Refused(RecordAccessDenied(), "default")
        return ChatView(ORDER, "YZ202611220001", "default", Viewer(DOCTOR, "王慧敏", "D10023", "5678"))

    async def list_dead_sessions(self, session_ids: Collection[str]) -> set[str]:
        return self.dead & set(session_ids)


class Told:
    """Implements `Live`."""

    def __init__(self) -> None:
        self.events: list[tuple[tuple[str, ...], str, Mapping[str, Any]]] = []

    def send(self, account_ids: Iterable[str], event: str, payload: Mapping[str, Any]) -> None:
        self.events.append((tuple(account_ids), event, payload))


@dataclass
class Records:
    """Everything put together against a simulated hospital."""

    service: RecordService
    orders: Orders
    views: MongoViews
    relay: Relay
    told: Told
    ender: LeaseEnder
    hospital: FhirHospital
    base: str
    database: Database
    clock: ManualClock

    async def faults(self, **body: Any) -> None:
        async with aiohttp.ClientSession() as session, session.put(f"{self.base}/hospital/faults", json=body) as answer:
            answer.raise_for_status()

    async def audit_rows(self, **query: Any) -> list[dict[str, Any]]:
        found = self.database["audit"].find({"hospital_id": "default", **query}, sort=[("_id", 1)])
        return [row async for row in found]


@asynccontextmanager
async def hospital_server(folder: Path, clock: ManualClock) -> AsyncIterator[str]:
    ensure_wechat_keys(folder)
    config = SimulatorConfig(data_dir=folder, port=0, server_url="http://127.0.0.1:1", late_seconds=0.5)
    async with TestServer(build_app(config, clock)) as server:
        yield str(server.make_url("")).rstrip("/")


@asynccontextmanager
async def records(
    database: Database,
    clock: ManualClock,
    base: str,
    *,
    painter: Painter | None = None,
    audit: Audit | None = None,
    limit_seconds: float = 3.0,
) -> AsyncIterator[Records]:
    await make_indexes(database, INDEXES, AUDIT_INDEXES)
    log = AuditLog(database)
    relay = Relay(database, log)
    views = MongoViews(database, Keyring(MasterKey(bytes(32)), database))
    leases = MongoLeases(database)
    orders, told = Orders(clock), Told()
    relay.on("record.page_viewed", ViewAnnouncer(views, told).consume)
    hospital = FhirHospital(FhirClient(f"{base}/fhir", limit_seconds=limit_seconds), DicomWebClient(f"{base}/dicomweb"))
    chosen = painter or PagePainter(KEY, workers=1)
    service = RecordService(
        access=orders,
        leases=leases,
        sessions=orders,
        hospital=hospital,
        painter=chosen,
        views=views,
        audit=audit or log,
        relay=relay,
        clock=clock,
    )
    try:
        yield Records(service, orders, views, relay, told, LeaseEnder(leases), hospital, base, database, clock)
    finally:
        await relay.close()
        await log.close()
        await chosen.close()
        await hospital.close()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
