"""Critical values over a real database, and people to be told of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ehr_view.critical.domain import DEFAULT_LIMITS, CriticalPolicy, CriticalValue, People, Recipient
from ehr_view.critical.mongo import INDEXES, MongoCriticalValues
from ehr_view.critical.service import CriticalService
from ehr_view.hl7.domain import Identity
from server.kernel.actor import Actor, Role
from server.kernel.audit import AuditLog
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.mongo import Database
from server.kernel.outbox import Relay
from tests.support.clock import ManualClock
from tests.support.hl7 import NUMBER, Hl7World, connected, intake_world, result, verdict
from tests.support.indexes import make_indexes
from tests.support.records import Told

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
POLICY = CriticalPolicy(timedelta(minutes=10), timedelta(minutes=20))
DOCTOR = Actor("d" * 32, Role.DOCTOR, "default", "r", session_id="s")
PATIENT = Actor("a" * 32, Role.PATIENT, "platform", "r", session_id="s")
STRANGER = Actor("b" * 32, Role.DOCTOR, "default", "r", session_id="s")
ORDER = "e" * 32


@dataclass
class CriticalWorld:
    """The service, its surroundings, and what they were asked to do. `broken` names an alarm that fails once."""

    clock: ManualClock
    told: Told = field(default_factory=Told)
    people: People = field(default_factory=lambda: People((PATIENT.account_id,), (Recipient(ORDER, DOCTOR.account_id),)))
    asked: list[tuple[str, str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    service: CriticalService = field(init=False)
    relay: Relay = field(init=False)
    hl7: Hl7World = field(init=False)

    async def find_people(self, hospital_id: str, identity: Identity, names: tuple[str, ...]) -> People:
        assert (hospital_id, identity.id_number, names) == ("default", NUMBER, ("唐玉兰",))
        return self.people

    def _done(self, what: str, value: CriticalValue) -> None:
        if what in self.broken:
            self.broken.remove(what)
            raise OSError(what)
        self.asked.append((what, value.id))

    async def tell(self, value: CriticalValue) -> None:
        self._done("notice", value)

    async def text_doctors(self, value: CriticalValue, at: datetime) -> None:
        self._done("sms", value)

    async def open_task(self, value: CriticalValue, at: datetime) -> None:
        self._done("task", value)

    async def withdraw_task(self, value: CriticalValue) -> None:
        self._done("withdraw_task", value)

    def did(self) -> list[str]:
        return [what for what, _ in self.asked]

    async def send(self, **more: Any) -> None:
        async with connected(self.hl7.port) as sender:
            assert verdict(await sender.send(result(**more)))[0] == "AA"
        await self.relay.close()

    async def wait(self, span: timedelta) -> int:
        self.clock.advance(span)
        count = await self.service.escalate_due()
        await self.relay.close()
        await self.relay.sweep(self.clock.now() + timedelta(seconds=1))
        return count

    async def values(self) -> list[dict[str, Any]]:
        found = self.hl7.database["critical_values"].find({"hospital_id": "default"}, sort=[("_id", 1)])
        return [document async for document in found]

    async def only(self) -> dict[str, Any]:
        (value,) = await self.values()
        return value

    async def actions(self) -> list[str]:
        rows = self.hl7.database["audit"].find({"hospital_id": "default", "action": {"$regex": "^critical"}}, sort=[("_id", 1)])
        return [f"{row['action']} {row['outcome']}" async for row in rows]


@asynccontextmanager
async def critical_world(database: Database, clock: ManualClock) -> AsyncIterator[CriticalWorld]:
    await make_indexes(database, INDEXES)
    audit = AuditLog(database)
    world = CriticalWorld(clock)
    world.relay = Relay(database, audit)
    world.relay.watch("critical_values")
    world.service = CriticalService(
        values=MongoCriticalValues(database, Keyring(MasterKey(bytes(32)), database)),
        people=world,
        alarms=world,
        live=world.told,
        audit=audit,
        relay=world.relay,
        clock=clock,
        limits=DEFAULT_LIMITS,
        policy=POLICY,
    )
    for action, consumer in world.service.consumers().items():
        world.relay.on(action, consumer)
    async with intake_world(database, clock, critical=world.service) as hl7:
        world.hl7 = hl7
        yield world
        await world.service.close()
        await world.relay.close()
    await audit.close()
