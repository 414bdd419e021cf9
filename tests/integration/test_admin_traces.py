"""From a leaked picture to whose view it was."""

import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from typing import Any, cast

import numpy as np
import pytest
from aiohttp import FormData, web
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from admin_console.domain.access import View
from admin_console.domain.traces import MAX_PICTURE_BYTES, Trace
from admin_console.errors import LeakPictureDamaged, LeakPictureTooLarge, LeakPictureUnsupported
from admin_console.http import routes
from admin_console.mongo import MongoIssuedViews
from admin_console.service.traces import FOUND, LeakTracing
from admin_console.tracer import ProcessReader
from ehr_view.domain.access import RecordView, Viewer, view_text
from ehr_view.mongo import MongoViews
from server.app.address import address_of
from server.app.commands import trace_lines
from server.app.edge import Edge, outermost
from server.app.idempotency import IdempotencyStore
from server.app.limits import RateLimiter
from server.kernel.actor import PLATFORM, Actor, Role, StaffRole, system_actor
from server.kernel.audit import AUDIT, AuditLog
from server.kernel.crypto import Keyring
from server.kernel.errors import AuthRequired, Forbidden, Unavailable
from server.kernel.mongo import Database
from server.kernel.outbox import event_of
from server.kernel.settings import parse_rate
from tests.support.clock import ManualClock
from tests.support.supervision import DOCTOR, MASTER, staff
from watermark.forensic import PAPER
from watermark.page import mark_page
from watermark.visible import VisibleMark

KEY = b"t" * 32
ORDER = "0192aaaa0000700080000000000000aa"
VIEW_ID = 0x5A17_93C0_11FE
AUDITOR = staff(StaffRole.AUDITOR)


@lru_cache
def marked(view_id: int, key: bytes = KEY) -> Image.Image:
    """A page with some text-like strokes, marked both ways."""
    pixels = np.full((1200, 1000, 3), PAPER, dtype=np.uint8)
    for row in range(60, 1100, 50):
        pixels[row : row + 22, 60 : 300 + row % 400 : 3] = 30
    clock = ManualClock()
    mark = VisibleMark("王慧敏", "D10023", "5678", clock.now(), "YZ202611220001")
    return mark_page(Image.fromarray(pixels), mark, view_id, key=key, dark=False)


def encoded(picture: Image.Image, kind: str = "JPEG") -> bytes:
    out = BytesIO()
    picture.save(out, kind, quality=50)
    return out.getvalue()


def leaked(view_id: int = VIEW_ID) -> bytes:
    """A screenshot, cropped, scaled down and sent on as JPEG."""
    return encoded(marked(view_id).crop((90, 70, 950, 1130)).resize((645, 795), Image.Resampling.BICUBIC))


@pytest.fixture
async def audit(database: Database) -> AsyncIterator[AuditLog]:
    log = AuditLog(database)
    yield log
    await log.close()


@pytest.fixture
def tracing(database: Database, clock: ManualClock, audit: AuditLog) -> LeakTracing:
    return LeakTracing(audit, clock, ProcessReader(KEY), MongoIssuedViews(database, Keyring(MASTER, database)))


async def look(database: Database, clock: ManualClock, view_id: int = VIEW_ID, *, hospital_id: str = "default") -> RecordView:
    """A look at a page, as stored."""
    view = RecordView(
        view_id=view_id,
        hospital_id=hospital_id,
        order_id=ORDER,
        order_number="YZ202611220001",
        record_id="b" * 32,
        form="note",
        title="门诊病历",
        page=2,
        viewer=Viewer(DOCTOR, "王慧敏", "D10023", "5678"),
        patient_account="a" * 32,
        session_id="s",
        device_id=None,
        at=clock.now(),
        drawn={"width": 1080, "theme": "light"},
    )
    event = event_of(system_actor(hospital_id), "record.page_viewed", subject=view_text(view_id), at=view.at)
    assert await MongoViews(database, Keyring(MASTER, database)).add(view, event)
    return view


async def audited(database: Database) -> list[tuple[str, str, str | None, str, str]]:
    rows = await database[AUDIT].find({"action": {"$in": [View.LEAK.value, FOUND]}}, sort=[("_id", 1)]).to_list()
    return [(r["action"], r["subject"], r["order_id"], r["outcome"], r["account_id"]) for r in rows]


async def test_a_leaked_picture_names_the_view_and_both_are_recorded(
    tracing: LeakTracing, database: Database, clock: ManualClock
) -> None:
    view = await look(database, clock)
    picture = leaked()
    found = await tracing.trace(AUDITOR, picture)
    (traced,) = found.views
    assert traced.view == view
    assert (traced.hint.decoded, traced.hint.confidence > 0.8) == (True, True)
    assert (found.width, found.height) == (645, 795)
    digest = sha256(picture).hexdigest()
    assert found.sha256 == digest
    assert await audited(database) == [
        ("admin.leak_traced", digest, None, "ok", AUDITOR.account_id),
        ("admin.leak_found", "5a1793c011fe", ORDER, "ok", AUDITOR.account_id),
    ]


async def test_a_line_for_the_operator_says_who_what_and_when(
    tracing: LeakTracing, database: Database, clock: ManualClock
) -> None:
    view = await look(database, clock, hospital_id="another")
    found = await tracing.trace(system_actor(PLATFORM, name="operator:li"), leaked())
    (traced,) = found.views
    *facts, confidence = trace_lines(traced)
    assert facts == [
        "view       5a1793c011fe",
        "doctor     王慧敏 (D10023)",
        f"order      YZ202611220001 ({ORDER})",
        "record     门诊病历, page 2",
        f"time       {view.at + timedelta(hours=8):%Y-%m-%d %H:%M:%S} (China)",
    ]
    assert confidence.endswith("(read and checked)")
    rows = await database[AUDIT].find({"account_id": "operator:li"}, sort=[("_id", 1)]).to_list()
    assert [(r["action"], r["hospital_id"]) for r in rows] == [
        ("admin.leak_traced", PLATFORM),
        ("admin.leak_found", "another"),
    ]


async def test_two_who_mixed_their_views_are_both_named(tracing: LeakTracing, database: Database, clock: ManualClock) -> None:
    ids = [11, 22, 33, 44, 55]
    for view_id in ids:
        await look(database, clock, view_id)
    both = np.mean([np.asarray(marked(view_id), dtype=np.float32) for view_id in (22, 44)], axis=0)
    found = await tracing.trace(AUDITOR, encoded(Image.fromarray(np.rint(both).astype(np.uint8))))
    assert {traced.view.view_id for traced in found.views} == {22, 44}


async def _names_nobody(tracing: LeakTracing, picture: bytes) -> Trace:
    found = await tracing.trace(AUDITOR, picture)
    assert found.views == ()
    return found


async def test_nobody_is_named_without_a_mark_of_ours(tracing: LeakTracing, database: Database, clock: ManualClock) -> None:
    await look(database, clock)
    await _names_nobody(tracing, encoded(Image.new("RGB", (900, 1200), PAPER)))
    await _names_nobody(tracing, encoded(marked(VIEW_ID, b"o" * 32)))
    found = await _names_nobody(tracing, encoded(Image.new("1", (9, 7)), "PNG"))
    assert (found.width, found.height) == (9, 7)


async def test_a_mark_that_was_never_issued_names_nobody(tracing: LeakTracing, database: Database, clock: ManualClock) -> None:
    await look(database, clock, 7)
    await _names_nobody(tracing, leaked())


async def test_a_view_of_another_hospital_is_not_named_to_this_ones_staff(
    tracing: LeakTracing, database: Database, clock: ManualClock
) -> None:
    await look(database, clock, hospital_id="another")
    await _names_nobody(tracing, leaked())
    assert [row[0] for row in await audited(database)] == ["admin.leak_traced"]


@pytest.mark.parametrize(
    "actor",
    [
        *(staff(role) for role in (StaffRole.FINANCE, StaffRole.AGENT, StaffRole.OPERATOR)),
        Actor(DOCTOR, Role.DOCTOR, "default", "r", staff_roles=frozenset(StaffRole)),
    ],
)
async def test_others_may_not_trace_and_their_wish_is_recorded(
    tracing: LeakTracing, database: Database, clock: ManualClock, actor: Actor
) -> None:
    await look(database, clock)
    with pytest.raises(Forbidden):
        await tracing.trace(actor, leaked())
    digest = sha256(leaked()).hexdigest()
    assert await audited(database) == [("admin.leak_traced", digest, None, "denied", actor.account_id)]


def _bomb() -> bytes:
    return encoded(Image.new("1", (30_000, 30_000)), "PNG")


@pytest.mark.parametrize(
    ("picture", "error"),
    [
        (b"", LeakPictureUnsupported),
        (b"<svg/>", LeakPictureUnsupported),
        (encoded(Image.new("RGB", (40, 40)), "GIF"), LeakPictureUnsupported),
        (leaked()[:2000], LeakPictureDamaged),
        (_bomb(), LeakPictureTooLarge),
    ],
)
async def test_what_is_no_picture_is_refused(tracing: LeakTracing, picture: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await tracing.trace(AUDITOR, picture)


@pytest.mark.parametrize("script", ["import os; os.abort()", "print('{}x')", "import time; time.sleep(60)"])
async def test_a_picture_that_kills_or_stalls_its_process_is_refused(script: str) -> None:
    reader = ProcessReader(KEY, limit_seconds=1, command=(sys.executable, "-c", script))
    with pytest.raises(LeakPictureDamaged):
        await reader.read(b"picture", [])


async def test_no_process_no_answer() -> None:
    with pytest.raises(Unavailable):
        await ProcessReader(KEY, command=(os.devnull,)).read(b"picture", [])


class _SignedIn:
    async def authenticate(self, token: str, *, request_id: str, address: str | None) -> Actor:
        if token != "auditor":
            raise AuthRequired
        return AUDITOR

    async def authenticate_media(self, token: str, *, request_id: str, address: str | None) -> Actor:
        raise AuthRequired


@pytest.fixture
async def client(
    database: Database, clock: ManualClock, audit: AuditLog, tracing: LeakTracing
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    edge = Edge(
        sessions=_SignedIn(),
        idempotency=IdempotencyStore(database, Keyring(MASTER, database), clock),
        limiter=RateLimiter(parse_rate("1000/s"), clock),
        audit=audit,
        clock=clock,
        secure_cookies=False,
        address_of=address_of(0),
    )
    app = web.Application(middlewares=[outermost], client_max_size=MAX_PICTURE_BYTES)
    services: Any = [None] * 4
    made = routes(cast(Any, None), cast(Any, None), tracing, cast(Any, None), *services)
    mine = [route for route in made if route.name == "trace_leak"]
    edge.add(app, mine)
    async with TestClient(TestServer(app)) as client:
        yield client


SIGNED = {"Authorization": "Bearer auditor"}
PATH = "/api/v1/admin/traces"


def form(picture: bytes | BytesIO, name: str = "file") -> FormData:
    made = FormData()
    made.add_field(name, picture, filename="x.jpg", content_type="image/jpeg")
    return made


async def test_the_console_uploads_a_picture_and_is_told_whose_view_it_was(
    client: TestClient[web.Request, web.Application], database: Database, clock: ManualClock
) -> None:
    await look(database, clock)
    answer = await client.post(f"{PATH}?since=2026-01-01T00:00:00Z", data=form(leaked()), headers=SIGNED)
    body = await answer.json()
    (item,) = body["items"]
    assert (answer.status, body["sha256"]) == (200, sha256(leaked()).hexdigest())
    assert (item["view_id"], item["order_id"], item["page"], item["decoded"]) == ("5a1793c011fe", ORDER, 2, True)
    assert item["doctor"] == {"id": DOCTOR, "name": "王慧敏", "staff_number": "D10023"}


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (form(b"no picture"), 415, "leak.picture_unsupported"),
        (form(leaked()[:2000]), 422, "leak.picture_damaged"),
        (lambda: form(BytesIO(bytes(MAX_PICTURE_BYTES + 100_000))), 413, "leak.picture_too_large"),
        (form(b"x", "other"), 422, "request.invalid"),
        ({"file": "text"}, 422, "request.invalid"),
        (b"{}", 422, "request.invalid"),
    ],
)
async def test_an_upload_that_is_none_is_refused(
    client: TestClient[web.Request, web.Application], data: object, status: int, code: str
) -> None:
    answer = await client.post(PATH, data=data() if callable(data) else data, headers=SIGNED)  # type: ignore[arg-type]
    assert (answer.status, (await answer.json())["code"]) == (status, code)
