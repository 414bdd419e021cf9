"""Records through real HTTP and the product's own runner."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ehr_view.http import routes
from server.app.address import address_of
from server.app.edge import Edge, outermost
from server.app.idempotency import IdempotencyStore
from server.app.limits import RateLimiter
from server.kernel.actor import Actor
from server.kernel.audit import AuditLog
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.errors import AuthRequired
from server.kernel.mongo import Database
from server.kernel.settings import parse_rate
from tests.support.clock import ManualClock
from tests.support.records import NOW, ORDER, Records, doctor, hospital_server, opened, patient, records

Client = TestClient[web.Request, web.Application]
PATH = f"/api/v1/orders/{ORDER}/records"
DOCTOR, PATIENT = {"Authorization": "Bearer doctor"}, {"Authorization": "Bearer patient"}


class SignedIn:
    async def authenticate(self, token: str, *, request_id: str, address: str | None) -> Actor:
        known = {"doctor": doctor(), "patient": patient(), "other": doctor(account_id="0" * 32)}
        if token not in known:
            raise AuthRequired
        return known[token]

    async def authenticate_media(self, token: str, *, request_id: str, address: str | None) -> Actor:
        raise AuthRequired


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Records]:
    async with hospital_server(tmp_path, clock) as base, records(database, clock, base) as made:
        yield made


@pytest.fixture
async def client(database: Database, clock: ManualClock, world: Records) -> AsyncIterator[Client]:
    audit = AuditLog(database)
    edge = Edge(
        sessions=SignedIn(),
        idempotency=IdempotencyStore(database, Keyring(MasterKey(bytes(32)), database), clock),
        limiter=RateLimiter(parse_rate("1000/s"), clock),
        audit=audit,
        clock=clock,
        secure_cookies=False,
        address_of=address_of(0),
    )
    app = web.Application(middlewares=[outermost])
    edge.add(app, routes(world.service))
    async with TestClient(TestServer(app)) as client:
        yield client
    await audit.close()


async def test_a_record_is_listed_and_its_page_is_an_image_that_nobody_keeps(client: Client) -> None:
    listed = await (await client.get(PATH, headers=DOCTOR)).json()
    assert {item["kind"] for item in listed["items"]} == {"note", "lab", "exam", "imaging"}
    assert (listed["next_cursor"], listed["missing"], listed["known"]) == (None, [], True)
    item = next(item for item in listed["items"] if item["kind"] == "lab")
    page = await client.get(f"{PATH}/{item['record_id']}/pages/1", headers=DOCTOR)
    image = opened(await page.read())
    assert (page.status, page.content_type, image.size) == (200, "image/jpeg", (1080, 1920))
    assert (page.headers["Cache-Control"], page.headers["X-Record-Pages"]) == ("no-store", str(item["pages"]))


async def test_a_page_can_be_had_wide_dark_and_as_png(client: Client) -> None:
    listed = await (await client.get(PATH, headers=DOCTOR)).json()
    url = f"{PATH}/{listed['items'][0]['record_id']}/pages/1?width=1440&theme=dark&format=png"
    page = await client.get(url, headers=DOCTOR)
    image = opened(await page.read()).convert("L")
    assert (page.content_type, image.width) == ("image/png", 1600)
    assert image.getpixel((800, image.height - 5)) < 60


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [(None, 401, "auth.required"), ("patient", 403, "record.access_denied"), ("other", 404, "request.not_found")],
)
async def test_others_are_refused_with_the_code_that_is_theirs(
    client: Client, token: str | None, status: int, code: str
) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    for path in (PATH, f"{PATH}/{'0' * 32}/pages/1"):
        answer = await client.get(path, headers=headers)
        assert (answer.status, (await answer.json())["code"]) == (status, code)


@pytest.mark.parametrize("page", ["0", "-1", "x", "999999", "1e3"])
async def test_a_page_that_is_none_is_not_found(client: Client, page: str) -> None:
    listed = await (await client.get(PATH, headers=DOCTOR)).json()
    answer = await client.get(f"{PATH}/{listed['items'][0]['record_id']}/pages/{page}", headers=DOCTOR)
    assert (answer.status, (await answer.json())["code"]) == (404, "record.not_found")


@pytest.mark.parametrize("query", ["width=1", "width=x", "theme=pink", "format=gif", "unknown=1"])
async def test_a_wish_that_is_none_is_invalid(client: Client, query: str) -> None:
    answer = await client.get(f"{PATH}/{'0' * 32}/pages/1?{query}", headers=DOCTOR)
    assert (answer.status, (await answer.json())["code"]) == (422, "request.invalid")


async def test_the_patient_pages_through_who_looked(client: Client, clock: ManualClock) -> None:
    listed = await (await client.get(PATH, headers=DOCTOR)).json()
    note = next(item for item in listed["items"] if item["kind"] == "note")
    for _ in range(3):
        assert (await client.get(f"{PATH}/{note['record_id']}/pages/1", headers=DOCTOR)).status == 200
        clock.advance(timedelta(seconds=1))
    views = f"/api/v1/orders/{ORDER}/record-views"
    first = await (await client.get(f"{views}?limit=2", headers=PATIENT)).json()
    rest = await (await client.get(f"{views}?limit=2&cursor={first['next_cursor']}", headers=PATIENT)).json()
    seen = [*first["items"], *rest["items"]]
    assert [item["viewed_at"] for item in seen] == [
        "2026-11-22T02:00:02.000Z",
        "2026-11-22T02:00:01.000Z",
        "2026-11-22T02:00:00.000Z",
    ]
    assert {(item["title"], item["page"], item["doctor"]["name"]) for item in seen} == {(note["title"], 1, "王慧敏")}
    assert rest["next_cursor"] is None
    assert (await client.get(f"{views}?cursor=x", headers=PATIENT)).status == 422
