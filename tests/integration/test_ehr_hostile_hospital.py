"""A hospital that means ill, or has gone mad: whatever it sends, the answer comes in time and nothing of it is believed."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ehr_view.dicomweb import DicomWebClient
from ehr_view.domain.records import Chart, Frame, ImagingStudy
from ehr_view.errors import RecordIdentityMismatch, RecordSourceUnavailable
from ehr_view.fhir import FhirClient
from ehr_view.hospital import FhirHospital
from tests.support.records import PERSON

LIMIT_SECONDS = 1.0
STUDY = ImagingStudy("2.25.1", "CR", "胸部正位", (Frame("2.25.2", "2.25.3", 1, "PA"),), patient_numbers=frozenset({"M1"}))
PATIENT = {"resourceType": "Patient", "id": "p1", "identifier": [{"value": PERSON.id_number}]}


@cache
def _bomb() -> bytes:
    return gzip.compress(b'{"resourceType":"Bundle","x":"' + b"0" * 100_000_000, 1)


class Hospital:
    """Answers as `ill` says; of `Patient` what is right, but where `about` names it too."""

    def __init__(self) -> None:
        self.ill, self.about, self.asked, self.elsewhere = "", "", 0, 0
        self.base = ""
        self._over = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/fhir/{kind}", self.fhir)
        app.router.add_route("*", "/fhir/{kind}/_search", self.fhir)
        app.router.add_get("/other/{kind}", self.wrong_place)
        app.router.add_get("/dicomweb/{rest:.*}", self.misbehave)
        app.on_shutdown.append(self._end)
        return app

    async def _end(self, _: web.Application) -> None:
        self._over.set()

    async def wrong_place(self, _: web.Request) -> web.Response:
        self.elsewhere += 1
        return web.json_response({"resourceType": "Bundle"})

    async def fhir(self, request: web.Request) -> web.StreamResponse:
        kind = request.match_info["kind"]
        if kind == "Patient" and self.about != "Patient":
            return web.json_response({"resourceType": "Bundle", "entry": [{"resource": PATIENT}]})
        return await self.misbehave(request)

    async def misbehave(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        match self.ill:
            case "silent":
                await self._over.wait()
                return web.Response()
            case "drips" | "floods":
                return await self._streamed(request)
            case "bomb":
                return web.Response(body=_bomb(), headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
            case "deep":
                return web.Response(body=b'{"a":' * 200_000)
            case "redirects":
                raise web.HTTPFound(f"{self.base}/other/x")
            case _:
                return web.json_response(self._bundle(request))

    async def _streamed(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        piece = b" " if self.ill == "drips" else b" " * 1_000_000
        while not self._over.is_set():
            await answer.write(piece)
            await asyncio.sleep(0.05 if self.ill == "drips" else 0)
        return answer

    def _bundle(self, request: web.Request) -> dict[str, Any]:
        following = {
            "pages without end": f"{self.base}/fhir/{request.match_info.get('kind')}?page={self.asked}",
            "points elsewhere": f"{self.base}/other/x",
            "points to a file": "file:///etc/passwd",
            "points to a host": "http://169.254.169.254/latest/meta-data",
            "points up": "../../other/x",
        }.get(self.ill, "")
        links = [{"relation": "next", "url": following}] if following else []
        return {"resourceType": "Bundle", "link": links, "entry": [{"resource": 7}, None, "x"]}


@pytest.fixture
async def ill() -> AsyncIterator[Hospital]:
    hospital = Hospital()
    async with TestServer(hospital.app()) as server:
        hospital.base = str(server.make_url("")).rstrip("/")
        yield hospital
        hospital._over.set()


async def _chart(ill: Hospital) -> Chart:
    limits = {"limit_seconds": LIMIT_SECONDS}
    hospital = FhirHospital(FhirClient(f"{ill.base}/fhir", **limits), DicomWebClient(f"{ill.base}/dicomweb", **limits))
    began = time.monotonic()
    try:
        return await hospital.fetch_chart("default", PERSON)
    finally:
        await hospital.close()
        assert time.monotonic() - began < LIMIT_SECONDS + 4  # of which all but a second is for a busy machine


@pytest.mark.parametrize("about", ["Patient", ""])
@pytest.mark.parametrize(
    "how",
    [
        "silent",
        "drips",
        "floods",
        "bomb",
        "deep",
        "redirects",
        "points elsewhere",
        "points to a file",
        "points to a host",
    ],
)
async def test_a_hospital_that_sends_no_sense_is_as_one_that_does_not_answer(ill: Hospital, how: str, about: str) -> None:
    ill.ill, ill.about = how, about
    _bomb()
    with pytest.raises(RecordSourceUnavailable):
        await _chart(ill)
    assert ill.elsewhere == 0


async def test_pages_without_end_end(ill: Hospital) -> None:
    ill.ill = "pages without end"
    with pytest.raises(RecordSourceUnavailable):
        await _chart(ill)
    assert ill.asked <= 6 * 60


async def test_a_path_that_climbs_is_not_followed(ill: Hospital) -> None:
    ill.ill = "points up"
    with pytest.raises(RecordSourceUnavailable):
        await _chart(ill)
    assert ill.elsewhere == 0


async def test_what_is_no_resource_is_none_and_hides_nothing(ill: Hospital) -> None:
    chart = await _chart(ill)
    assert (chart.records, chart.missing, chart.is_known) == ((), (), True)


@pytest.mark.parametrize("how", ["silent", "drips", "floods", "bomb", "deep", "redirects", "other"])
async def test_pictures_that_do_not_come_are_none_in_time(ill: Hospital, how: str) -> None:
    ill.ill = how
    _bomb()
    client = DicomWebClient(f"{ill.base}/dicomweb", limit_seconds=LIMIT_SECONDS)
    began = time.monotonic()
    assert await client.fetch(STUDY, STUDY.frames) == [None]
    await client.close()
    assert time.monotonic() - began < LIMIT_SECONDS + 4


async def test_a_series_of_somebody_else_is_a_mismatch(ill: Hospital) -> None:
    other = {"00080018": {"Value": ["2.25.3"]}, "00100020": {"Value": ["M2"]}}

    async def metadata(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps([other]))

    app = web.Application()
    app.router.add_get("/dicomweb/{rest:.*}", metadata)
    async with TestServer(app) as server:
        client = DicomWebClient(str(server.make_url("/dicomweb")), limit_seconds=LIMIT_SECONDS)
        with pytest.raises(RecordIdentityMismatch):
            await client.fetch(STUDY, STUDY.frames)
        await client.close()
