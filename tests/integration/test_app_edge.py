"""The runner, through real HTTP, with routes that only exist here."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from server.app.address import address_of
from server.app.edge import Edge, outermost
from server.app.idempotency import IDEMPOTENCY, IdempotencyStore, StoredAnswer
from server.app.limits import RateLimiter
from server.kernel.actor import Actor, Role
from server.kernel.audit import AUDIT, AuditLog
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.edge import ANYONE, PATIENT, Call, Idempotency, Route
from server.kernel.errors import AuthRequired, Forbidden, IdempotencyInProgress, Unavailable
from server.kernel.mongo import Database
from server.kernel.settings import parse_rate
from server.kernel.wire import CleanText, NoBody, PageQuery, WireModel
from tests.support.clock import ManualClock

Client = TestClient[web.Request, web.Application]


class Thing(WireModel):
    name: CleanText
    size: int = 1


class Sessions:
    """Tokens are `role:account`."""

    async def authenticate(self, token: str, *, request_id: str, address: str | None) -> Actor:
        role, _, account = token.partition(":")
        if not account:
            raise AuthRequired()
        return Actor(account_id=account, role=Role(role), hospital_id="default", request_id=request_id, address=address)

    authenticate_media = authenticate


class World:
    def __init__(self) -> None:
        self.calls = 0
        self.failure: Exception | None = None
        self.seeds: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.clock_ok = True

    async def make(self, call: Call) -> Thing:
        self.calls += 1
        self.seeds.append(call.seed_id)
        await self.gate.wait()
        if self.failure:
            raise self.failure
        return Thing(name=call.body.name, size=self.calls)

    async def read(self, call: Call) -> NoBody:
        return NoBody()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def client(database: Database, clock: ManualClock, world: World) -> AsyncIterator[Client]:
    keyring = Keyring(MasterKey(bytes(32)), database)
    edge = Edge(
        sessions=Sessions(),
        idempotency=IdempotencyStore(database, keyring, clock),
        limiter=RateLimiter(parse_rate("10/s"), clock),
        audit=AuditLog(database),
        clock=clock,
        secure_cookies=False,
        address_of=address_of(0),
        body_idle_seconds=0.2,
        clock_ok=lambda: world.clock_ok,
    )
    app = web.Application(middlewares=[outermost])
    edge.add(
        app,
        [
            Route("POST", "/things", "make_thing", "Make", PATIENT, world.make, body=Thing, answer=Thing, status=201,
                  idempotency=Idempotency.REQUIRED),
            Route("GET", "/things", "list_things", "List", ANYONE, world.read, query=PageQuery, answer=NoBody),
        ],
    )  # fmt: skip
    async with TestClient(TestServer(app)) as client:
        yield client


def _headers(key: str = "k", account: str = "patient:a") -> dict[str, str]:
    return {"Authorization": f"Bearer {account}", "Idempotency-Key": key}


async def _post(client: Client, body: object = None, **more: str) -> tuple[int, dict[str, object]]:
    answer = await client.post("/api/v1/things", json={"name": "x"} if body is None else body, headers=_headers(**more))
    return answer.status, await answer.json()


async def test_by_a_wrong_clock_nothing_is_decided(client: Client, world: World) -> None:
    """Not even whether a token is too old: its owner would be signed out."""
    world.clock_ok = False
    status, problem = await _post(client, account="")
    assert (status, problem["code"], world.calls) == (503, "service.unavailable", 0)
    world.clock_ok = True
    assert await _post(client) == (201, {"name": "x", "size": 1})


async def test_the_same_key_and_body_give_the_first_answer(client: Client, world: World) -> None:
    assert await _post(client) == (201, {"name": "x", "size": 1})
    assert await _post(client) == (201, {"name": "x", "size": 1})
    assert world.calls == 1


async def test_what_is_kept_of_a_body_cannot_be_guessed_without_the_key(client: Client, database: Database) -> None:
    await _post(client)
    (claim,) = await database["idempotency"].find({"hospital_id": "platform"}).to_list()
    assert bytes(claim["digest"]) != sha256(b'{"name": "x"}').digest()
    assert len(claim["digest"]) == 16


async def test_the_same_key_with_another_body_is_a_mismatch_and_another_account_is_another_key(client: Client) -> None:
    await _post(client)
    status, problem = await _post(client, {"name": "y"})
    assert (status, problem["code"]) == (409, "idempotency.mismatch")
    assert (await _post(client, account="patient:b"))[0] == 201


async def test_a_second_request_while_the_first_runs_is_told_so(client: Client, world: World) -> None:
    world.gate.clear()
    first = asyncio.create_task(_post(client))
    while not world.calls:
        await asyncio.sleep(0)
    status, problem = await _post(client)
    assert (status, problem["code"]) == (409, "idempotency.in_progress")
    world.gate.set()
    assert (await first)[0] == 201


async def test_the_key_of_a_server_that_died_is_free_after_seconds_and_that_of_one_that_works_is_not(
    client: Client, world: World, database: Database, clock: ManualClock
) -> None:
    world.gate.clear()
    first = asyncio.create_task(_post(client))
    while not world.calls:
        await asyncio.sleep(0)
    begun = await database[IDEMPOTENCY].find_one({})
    clock.advance(timedelta(seconds=4))
    async with asyncio.timeout(10):
        while await database[IDEMPOTENCY].find_one({}) == begun:
            await asyncio.sleep(0.05)
    clock.advance(timedelta(seconds=4))
    status, problem = await _post(client)
    assert (status, problem["code"]) == (409, "idempotency.in_progress")
    await database[IDEMPOTENCY].update_one({}, {"$set": {"locked_until": clock.now()}})
    second = asyncio.create_task(_post(client))
    while world.calls == 1:
        await asyncio.sleep(0)
    world.gate.set()
    assert (await first)[0] == (await second)[0] == 201
    assert world.seeds[0] == world.seeds[1]


async def test_after_a_fault_the_next_attempt_goes_on_from_the_same_seed_and_after_a_refusal_the_key_is_free(
    client: Client, world: World
) -> None:
    world.failure = Unavailable()
    assert (await _post(client))[0] == 503
    world.failure = RuntimeError("a bug")
    assert (await _post(client))[0] == 500
    world.failure = Forbidden()
    assert (await _post(client))[0] == 403
    world.failure = None
    assert (await _post(client, {"name": "other"}))[0] == 201
    assert world.seeds[0] == world.seeds[1] == world.seeds[2] != world.seeds[3]


async def test_an_attempt_that_lost_its_key_neither_frees_nor_answers_what_came_after_it(
    database: Database, clock: ManualClock
) -> None:
    store = IdempotencyStore(database, Keyring(MasterKey(bytes(32)), database), clock)
    actor = Actor("a", Role.PATIENT, "default", "r")
    slow = await store.claim(actor, "make", "k", b"one")
    clock.advance(timedelta(seconds=5))
    heir = await store.claim(actor, "make", "k", b"one")
    await store.release(slow)
    await store.unlock(slow)
    with pytest.raises(IdempotencyInProgress):  # the heir's claim stands, and is locked
        await store.claim(actor, "make", "k", b"one")
    await store.release(heir)
    other = await store.claim(actor, "make", "k", b"two")
    await store.complete(slow, StoredAnswer(201, b"one"))
    await store.complete(other, StoredAnswer(201, b"two"))
    assert (await store.claim(actor, "make", "k", b"two")).answer == StoredAnswer(201, b"two")


async def test_a_lock_does_not_outlast_a_clock_that_is_set_back(database: Database, clock: ManualClock) -> None:
    store = IdempotencyStore(database, Keyring(MasterKey(bytes(32)), database), clock)
    actor = Actor("a", Role.PATIENT, "default", "r")
    first = await store.claim(actor, "make", "k", b"one")
    clock.advance(timedelta(seconds=-4))
    with pytest.raises(IdempotencyInProgress):
        await store.claim(actor, "make", "k", b"one")
    clock.advance(timedelta(hours=-1))
    assert (await store.claim(actor, "make", "k", b"one")).seed_id == first.seed_id


async def test_stored_answers_are_sealed(client: Client, database: Database) -> None:
    await _post(client, {"name": "咳嗽两周"})
    stored = await database[IDEMPOTENCY].find_one({})
    assert stored is not None
    assert "咳嗽".encode() not in stored["answer"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {"name": "missing"}),
        (b"{", {"body": "json invalid"}),
        (b"[]", {"body": "model type"}),
        (b'{"name": 3}', {"name": "string type"}),
        (b'{"name": "a", "other": 1}', {"other": "extra forbidden"}),
        (b'{"name": "a", "<script>": 1}', {"?": "extra forbidden"}),
        (b'{"name": "a\\u0000"}', {"name": "Value error, holds a control character"}),
        (b'{"name": "a\\u202e"}', {"name": "Value error, holds a bidi character"}),
        (b'{"name": "\xff"}', {"body": "json invalid"}),
        (b'{"name": "\\ud800"}', {"body": "json invalid"}),
        (b'{"name": "a", "size": "1"}', {"size": "int type"}),
    ],
)
async def test_bad_bodies_name_the_field_and_echo_nothing(client: Client, body: bytes, fields: dict[str, str]) -> None:
    answer = await client.post("/api/v1/things", data=body, headers={**_headers(), "Content-Type": "application/json"})
    problem = await answer.json()
    assert (answer.status, answer.content_type, problem["code"]) == (422, "application/problem+json", "request.invalid")
    assert problem["fields"] == fields
    assert problem["request_id"] == answer.headers["X-Request-Id"]


async def test_a_write_without_its_key_is_refused(client: Client) -> None:
    answer = await client.post("/api/v1/things", json={"name": "x"}, headers={"Authorization": "Bearer patient:a"})
    assert (answer.status, (await answer.json())["code"]) == (422, "request.invalid")


async def test_a_body_over_the_limit_is_refused_before_it_is_read(client: Client, world: World) -> None:
    status, problem = await _post(client, {"name": "x" * 300_000})
    assert (status, problem["code"], world.calls) == (413, "request.too_large", 0)


async def test_the_wrong_role_is_refused_and_audited_and_nobody_is_asked_to_sign_in(client: Client, database: Database) -> None:
    status, problem = await _post(client, account="doctor:d")
    assert (status, problem["code"]) == (403, "request.forbidden")
    row = await database[AUDIT].find_one({"account_id": "d"})
    assert row is not None
    assert (row["action"], row["outcome"], row["request_id"]) == ("request.make_thing", "denied", problem["request_id"])
    answer = await client.post("/api/v1/things", json={"name": "x"})
    assert (answer.status, (await answer.json())["code"]) == (401, "auth.required")


async def test_floods_are_told_to_wait(client: Client, clock: ManualClock) -> None:
    statuses = [(await client.get("/api/v1/things")).status for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    assert (await client.get("/api/v1/things", headers={"Authorization": "Bearer patient:a"})).status == 200


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "other=1", "limit=1&limit=2", "cursor=%00"])
async def test_bad_queries_are_refused(client: Client, query: str) -> None:
    answer = await client.get(f"/api/v1/things?{query}")
    assert (answer.status, (await answer.json())["code"]) == (422, "request.invalid")


async def test_unknown_places_and_methods_are_problems_too(client: Client) -> None:
    nowhere = await client.get("/nowhere")
    assert (nowhere.status, (await nowhere.json())["code"]) == (404, "request.not_found")
    wrong = await client.delete("/api/v1/things")
    assert (wrong.status, (await wrong.json())["code"], wrong.headers["Allow"]) == (
        405,
        "request.method_not_allowed",
        "GET,HEAD,POST".replace(",", ", "),
    )
    assert wrong.headers["X-Content-Type-Options"] == "nosniff"


async def test_who_tries_tokens_is_limited_like_anybody_and_disturbs_nobody_who_has_one(client: Client) -> None:
    forged = {"Authorization": "Bearer forged"}
    statuses = [(await client.get("/api/v1/things", headers=forged)).status for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert (await client.get("/api/v1/things", headers={"Authorization": "Bearer patient:a"})).status == 200


async def test_a_body_that_stops_coming_is_given_up(client: Client, world: World) -> None:
    async def drip() -> AsyncIterator[bytes]:
        yield b'{"name": '
        await asyncio.sleep(0.6)
        yield b'"x"}'

    headers = {**_headers(), "Content-Type": "application/json"}
    answer = await client.post("/api/v1/things", data=drip(), headers=headers)
    assert (answer.status, (await answer.json())["fields"]) == (422, {"body": "did not arrive in time"})
    assert world.calls == 0


async def test_what_was_refused_while_the_clock_was_set_is_not_refused_for_good(client: Client, world: World) -> None:
    world.gate.clear()
    world.failure = Forbidden()
    asking = asyncio.create_task(_post(client))
    async with asyncio.timeout(5):
        while not world.calls:
            await asyncio.sleep(0)
    world.clock_ok = False
    world.gate.set()
    status, problem = await asking
    assert (status, problem["code"]) == (503, "service.unavailable")
    world.clock_ok, world.failure = True, None
    assert await _post(client) == (201, {"name": "x", "size": 2})
