"""Critical results of a hospital that is asked: noticed in the next round, told once, withdrawn when it corrects them."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ehr_view.critical.ports import Watched
from ehr_view.critical.watch import HospitalWatch
from ehr_view.dicomweb import DicomWebClient
from ehr_view.fhir import FhirClient
from ehr_view.hospital import FhirHospital
from ehr_view.lab_feed import FhirLabFeed
from server.kernel.audit import AuditLog
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.critical import NOW, ORDER, CriticalWorld, critical_world
from tests.support.records import PERSON, hospital_server

ROUND = timedelta(seconds=2)


@dataclass
class World:
    """A hospital, who is told, and whoever asks it."""

    critical: CriticalWorld
    base: str
    client: FhirClient
    audit: AuditLog
    watched: list[Watched] = field(default_factory=lambda: [Watched(ORDER, PERSON)])
    watch: HospitalWatch = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """As another process begins, which knows nothing."""
        feed, clock = FhirLabFeed(self.client), self.critical.clock
        self.watch = HospitalWatch("default", self, feed, self.critical.service, self.audit, clock)

    async def list_watched(self, hospital_id: str, *, limit: int) -> Sequence[Watched]:
        return self.watched

    async def outside(self, method: str, path: str, body: Any = None) -> Any:
        async with aiohttp.ClientSession() as session, session.request(method, f"{self.base}{path}", json=body) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def find(self, **more: Any) -> None:
        """The laboratory has found something."""
        await self.outside("POST", "/hospital/results", {"number": PERSON.id_number, "values": {"K": 6.8}, **more})

    async def faults(self, **body: Any) -> None:
        await self.outside("PUT", "/hospital/faults", body)

    async def round(self) -> int:
        self.critical.clock.advance(ROUND)
        count = await self.watch.run()
        await self.critical.relay.close()
        return count

    async def statuses(self) -> list[str]:
        return sorted(value["status"] for value in await self.critical.values())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[World]:
    async with hospital_server(tmp_path, clock) as base, critical_world(database, clock) as critical:
        client, audit = FhirClient(f"{base}/fhir", limit_seconds=0.25), AuditLog(database)
        made = World(critical, base, client, audit)
        yield made
        await client.close()
        await audit.close()


async def test_what_the_laboratory_finds_is_told_in_the_next_round_and_once(world: World) -> None:
    assert [await world.round() for _ in range(2)] == [0, 0]
    await world.find()
    assert [await world.round() for _ in range(3)] == [1, 0, 0]
    assert (await world.statuses(), world.critical.did()) == (["told"], ["notice"])
    world.begin()
    assert await world.round() == 1
    await world.find(values={"K": 4.4}, report="later")
    assert await world.round() == 1
    assert (await world.statuses(), world.critical.did()) == (["told"], ["notice"])


@pytest.mark.parametrize("correction", [{"values": {"K": 4.4}, "status": "corrected"}, {"status": "entered-in-error"}])
async def test_a_correction_withdraws_it_and_what_is_said_again_is_told_again(world: World, correction: dict[str, Any]) -> None:
    await world.find()
    await world.round()
    await world.find(**correction)
    assert (await world.round(), await world.statuses()) == (1, ["withdrawn"])
    assert world.critical.told.events[-1][2]["status"] == "withdrawn"
    await world.find()
    assert (await world.round(), await world.statuses()) == (1, ["told", "withdrawn"])
    assert world.critical.did().count("notice") == 2


@pytest.mark.parametrize("correction", [{"values": {"K": 4.4}, "status": "corrected"}, {"status": "entered-in-error"}])
async def test_results_that_stand_in_no_report_are_told_and_shown_and_taken_back(
    world: World, correction: dict[str, Any]
) -> None:
    hospital = FhirHospital(FhirClient(f"{world.base}/fhir"), DicomWebClient(f"{world.base}/dicomweb"))
    before = len((await hospital.fetch_chart("default", PERSON)).records)
    await world.find(in_report=False)
    assert (await world.round(), await world.statuses()) == (1, ["told"])
    records = (await hospital.fetch_chart("default", PERSON)).records
    assert (len(records), records[0].title, records[0].critical) == (before + 1, "检验结果", True)
    assert records[0].id == (await world.critical.only())["record_id"]
    await world.find(in_report=False, **correction)
    assert (await world.round(), await world.statuses()) == (1, ["withdrawn"])
    await hospital.close()


@pytest.mark.parametrize("fault", [{"requests": "down"}, {"requests": "nonsense"}, {"requests": "slow", "late_seconds": 30}])
async def test_a_hospital_that_answers_nothing_is_left_alone_and_heard_when_it_is_back(
    world: World, fault: dict[str, Any]
) -> None:
    await world.round()
    await world.faults(count=1_000, **fault)
    await world.find()
    assert [await world.round() for _ in range(20)] == [0] * 20
    asked = 1_000 - (await world.outside("GET", "/hospital/faults"))["count"]
    assert asked == 10  # two questions each after 2, 4, 8, 16 and 30 seconds
    await world.faults()
    for _ in range(15):
        await world.round()
    assert await world.statuses() == ["told"]


async def test_a_part_that_fails_withdraws_nothing(world: World) -> None:
    await world.find()
    await world.round()
    await world.find(values={"NA": 139})
    await world.faults(requests="down", resources=["Observation"])
    assert (await world.round(), await world.statuses()) == (0, ["told"])


async def test_who_does_not_agree_any_more_is_not_asked_for(world: World, clock: ManualClock) -> None:
    await world.round()
    rows = await world.critical.hl7.database["audit"].find({"hospital_id": "default", "action": "critical.watched"}).to_list()
    assert [(row["subject"], row["order_id"]) for row in rows] == [(ORDER, ORDER)]
    world.watched = []
    await world.find()
    await world.faults(requests="down", count=1_000)
    assert [await world.round() for _ in range(2)] == [0, 0]
    assert (await world.outside("GET", "/hospital/faults"))["count"] == 1_000
    assert await world.statuses() == []


async def test_somebody_elses_results_are_nobodys(world: World) -> None:
    await world.round()
    await world.find()
    await world.faults(requests="other_patient", resources=["Observation", "DiagnosticReport"])
    assert (await world.round(), await world.statuses()) == (0, [])
    world.begin()
    await world.faults(requests="other_patient", resources=["Patient"])
    assert (await world.round(), await world.statuses()) == (0, [])


async def test_what_was_found_yesterday_is_not_news(world: World, clock: ManualClock) -> None:
    await world.find()
    clock.advance(timedelta(hours=24))
    await world.round()
    assert await world.statuses() == []
