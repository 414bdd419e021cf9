"""A hospital whose server does not render: pictures come as DICOM files and are drawn by us."""

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image

from ehr_view.dicomweb import DicomWebClient
from ehr_view.domain.access import Viewer
from ehr_view.domain.pagination import paginate
from ehr_view.domain.records import Form, Frame, ImagingStudy, Record
from ehr_view.errors import RecordIdentityMismatch
from ehr_view.painter import PagePainter
from ehr_view.ports import Drawing, ImageFormat, Mark, Picture
from tests.support.dicom import dicom_file

AT = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
RAMP = np.tile(np.arange(200, dtype=np.uint16), (150, 1))


@dataclass
class Archive:
    """A DICOMweb server that has files by instance and renders none."""

    files: dict[str, bytes]
    form: str = "multipart"
    asked: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/studies/{s}/series/{e}/metadata", self._metadata)
        app.router.add_get("/studies/{s}/series/{e}/instances/{i}/frames/{f}/rendered", self._rendered)
        app.router.add_get("/studies/{s}/series/{e}/instances/{i}", self._instance)
        return app

    async def _metadata(self, request: web.Request) -> web.Response:
        def one(uid: str) -> dict[str, object]:
            return {"00080018": {"vr": "UI", "Value": [uid]}, "00100020": {"vr": "LO", "Value": ["H00001"]}}

        return web.json_response([one(uid) for uid in self.files], content_type="application/dicom+json")

    async def _rendered(self, request: web.Request) -> web.Response:
        return web.Response(status=406)

    async def _instance(self, request: web.Request) -> web.Response:
        uid = request.match_info["i"]
        self.asked.append(uid)
        assert "application/dicom" in request.headers["Accept"]
        if self.form == "torn":
            return web.Response(body=b"--x\r\nnothing", headers={"Content-Type": "multipart/related; boundary=x"})
        if self.form == "plain":
            return web.Response(body=self.files[uid], content_type="application/dicom")
        body = b"--b1\r\nContent-Type: application/dicom\r\n\r\n" + self.files[uid] + b"\r\n--b1--\r\n"
        return web.Response(body=body, headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary="b1"'})


def study(*frames: tuple[str, int]) -> ImagingStudy:
    named = tuple(Frame("1.2", uid, number, f"第 {number} 幅") for uid, number in frames)
    return ImagingStudy("1.1", "CT", "胸部平扫", named, patient_numbers=frozenset({"H00001"}))


async def fetched(archive: Archive, wanted: ImagingStudy) -> list[Picture | None]:
    async with TestServer(archive.app()) as server:
        client = DicomWebClient(str(server.make_url("")))
        try:
            return await client.fetch(wanted, wanted.frames)
        finally:
            await client.close()


@pytest.fixture
async def painter() -> AsyncIterator[PagePainter]:
    painter = PagePainter(b"q" * 32, workers=1)
    yield painter
    await painter.close()


async def drawn(painter: PagePainter, wanted: ImagingStudy, pictures: list[Picture | None]) -> Image.Image:
    sheet = paginate(Record("i", Form.IMAGING, "胸部 CT", AT, wanted))[0]
    mark = Mark(Viewer("d", "王慧敏", "D10023", "5678"), AT, "YZ1", 7)
    page = await painter.draw(Drawing(sheet, "唐玉兰", mark, format=ImageFormat.PNG, pictures=pictures))
    return Image.open(io.BytesIO(page.data)).convert("L")


@pytest.mark.parametrize("form", ["multipart", "plain"])
async def test_files_come_where_nothing_is_rendered_each_once_however_many_frames(form: str) -> None:
    data = dicom_file(np.stack([RAMP, RAMP[:, ::-1]]), PixelSpacing=[0.7, 0.7])
    archive = Archive({"1.3": data}, form)
    one, other = await fetched(archive, study(("1.3", 1), ("1.3", 2)))
    assert one == Picture(data, None, None, 1, frozenset({"H00001"}))
    assert other == Picture(data, None, None, 2, frozenset({"H00001"}))
    assert archive.asked == ["1.3"]


async def test_an_answer_that_is_no_whole_form_is_no_picture() -> None:
    assert await fetched(Archive({"1.3": b""}, "torn"), study(("1.3", 1))) == [None]


async def test_a_malformed_file_is_refused_in_words_and_the_others_are_shown(painter: PagePainter) -> None:
    good = dicom_file(RAMP, PixelSpacing=[0.7, 0.7], WindowCenter=100, WindowWidth=200)
    wanted = study(("1.4", 1), *[("1.3", 1)] * 7)
    pictures = await fetched(Archive({"1.3": good, "1.4": good[:3000]}), wanted)
    page = await drawn(painter, wanted, pictures)
    whole = await drawn(painter, wanted, [pictures[1], *pictures[1:]])
    absent = await drawn(painter, wanted, [None, *pictures[1:]])
    dark = [int((np.asarray(each) < 40).sum()) for each in (page, whole)]
    assert 0 < dark[0] < dark[1]
    assert page.tobytes() != absent.tobytes()


async def test_a_file_of_another_person_under_this_ones_name_is_a_mismatch(painter: PagePainter) -> None:
    wanted = study(("1.3", 1))
    pictures = await fetched(Archive({"1.3": dicom_file(RAMP, PatientID="H00002")}), wanted)
    with pytest.raises(RecordIdentityMismatch):
        await drawn(painter, wanted, pictures)
