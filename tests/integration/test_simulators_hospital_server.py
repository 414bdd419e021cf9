import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from PIL import Image

from simulators.app import build_app
from simulators.config import SimulatorConfig
from simulators.keys import ensure_wechat_keys
from tests.support.clock import ManualClock

WOMAN = "110105198803120022"
NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital")
    ensure_wechat_keys(folder)
    return folder


@dataclass
class World:
    base: str
    session: aiohttp.ClientSession

    async def get(self, path: str, status: int = 200) -> Any:
        url = path if path.startswith("http") else self.base + path
        async with self.session.get(url) as response:
            assert response.status == status
            return await response.json(content_type=None) if status == 200 else None

    async def faults(self, **body: Any) -> None:
        async with self.session.put(f"{self.base}/hospital/faults", json=body) as response:
            assert response.status == 200

    async def patient_id(self, number: str = WOMAN) -> str:
        found = await self.get(f"/fhir/Patient?identifier=urn:oid:2.16.156.10011.1.3|{number}")
        return str(found["entry"][0]["resource"]["id"])


@pytest.fixture
async def world(data_dir: Path) -> AsyncIterator[World]:
    config = SimulatorConfig(data_dir=data_dir, port=0, server_url="http://127.0.0.1:1", late_seconds=0.01)
    async with TestServer(build_app(config, ManualClock(NOW))) as server, aiohttp.ClientSession() as session:
        yield World(str(server.make_url("")).rstrip("/"), session)


async def test_a_person_is_found_by_the_identity_number_alone(world: World) -> None:
    found = await world.get(f"/fhir/Patient?identifier=urn:oid:2.16.156.10011.1.3|{WOMAN}")
    person = found["entry"][0]["resource"]
    assert (found["total"], person["gender"], person["birthDate"]) == (1, "female", "1988-03-12")
    assert person["identifier"][0]["value"] == WOMAN
    assert "name" not in person


async def test_a_number_with_a_wrong_check_character_is_nobodys(world: World) -> None:
    assert (await world.get("/fhir/Patient?identifier=110105198803120020"))["total"] == 0


async def test_observations_come_in_pages_that_link_to_the_next_and_miss_none(world: World) -> None:
    patient, seen = await world.patient_id(), []
    url: str | None = f"/fhir/Observation?patient={patient}&category=laboratory&_count=100"
    total = 0
    while url is not None:
        page = await world.get(url)
        total = page["total"]
        seen += [entry["resource"]["id"] for entry in page["entry"]]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    assert len(seen) == len(set(seen)) == total
    assert total > 400


async def test_figures_keep_their_digits(world: World) -> None:
    patient = await world.patient_id()
    async with world.session.get(f"{world.base}/fhir/Observation?patient={patient}&code=2823-3&_count=1") as response:
        text = await response.text()
    value = text.partition('"valueQuantity":{"value":')[2].partition(",")[0]
    assert len(value.partition(".")[2]) == 2


@pytest.mark.parametrize(
    "kind", ["Encounter", "Condition", "DocumentReference", "Composition", "MedicationRequest", "ImagingStudy"]
)
async def test_every_kind_of_resource_belongs_to_the_patient_asked_for(world: World, kind: str) -> None:
    patient = await world.patient_id()
    page = await world.get(f"/fhir/{kind}?patient=Patient/{patient}&_count=500")
    assert page["total"] == len(page["entry"]) > 0
    assert {entry["resource"]["subject"]["reference"] for entry in page["entry"]} == {f"Patient/{patient}"}


async def test_a_study_is_listed_and_rendered_over_dicomweb(world: World) -> None:
    patient = await world.patient_id()
    page = await world.get(f"/fhir/ImagingStudy?patient={patient}")
    study = next(e["resource"] for e in page["entry"] if e["resource"]["modality"][0]["code"] == "CT")
    study_uid = study["identifier"][0]["value"].removeprefix("urn:oid:")
    [series] = await world.get(f"/dicomweb/studies/{study_uid}/series")
    series_uid = series["0020000E"]["Value"][0]
    instances = await world.get(f"/dicomweb/studies/{study_uid}/series/{series_uid}/metadata")
    assert len(instances) == study["numberOfInstances"] == 24
    assert instances[0]["00280030"]["Value"] == [0.72, 0.72]
    instance = instances[10]["00080018"]["Value"][0]
    url = f"{world.base}/dicomweb/studies/{study_uid}/series/{series_uid}/instances/{instance}/frames/1/rendered"
    async with world.session.get(url, params={"window": "40,400,linear"}) as response:
        picture = Image.open(io.BytesIO(await response.read()))
    assert (picture.format, picture.size) == ("JPEG", (512, 512))


async def test_a_lever_breaks_the_next_answers_about_what_it_names(world: World) -> None:
    patient = await world.patient_id()
    await world.faults(requests="down", resources=["Observation"], count=1)
    await world.get(f"/fhir/Observation?patient={patient}", status=503)
    await world.get(f"/fhir/Observation?patient={patient}")
    await world.faults(requests="other_patient")
    page = await world.get(f"/fhir/Encounter?patient={patient}")
    assert page["entry"][0]["resource"]["subject"]["reference"] != f"Patient/{patient}"
    await world.faults()


async def test_a_huge_report_and_a_huge_note_can_be_had(world: World) -> None:
    patient = await world.patient_id()
    await world.faults(huge_note=True, huge_lab=True)
    page = await world.get(f"/fhir/DiagnosticReport?patient={patient}&category=LAB&_count=500")
    assert len(page["entry"][-1]["resource"]["result"]) == 5000
    notes = await world.get(f"/fhir/DocumentReference?patient={patient}&_count=500")
    assert len(notes["entry"][-1]["resource"]["content"][0]["attachment"]["data"]) > 10_000_000
    await world.faults()


async def test_a_name_that_was_registered_is_sent(world: World) -> None:
    number = "110101195001010017"
    async with world.session.post(f"{world.base}/hospital/patients", json={"number": number, "name": "韩思源"}) as response:
        status = response.status
    found = await world.get(f"/fhir/Patient?identifier={number}")
    assert (status, found["entry"][0]["resource"]["name"][0]["text"]) == (201, "韩思源")
