"""Offline push: one a message and device, to devices that are away, through stand-ins of the real providers."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp.test_utils import TestServer, unused_port
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec

from im.domain import Marks, Receipt
from im.push.domain import (
    COALESCE_EVERY,
    GRACE,
    LONG_ABSENCE,
    LONGEST_REST,
    MOST_TRIES,
    ONE_MESSAGE,
    WORTH,
    Channel,
    Occasion,
    Push,
    Subscription,
    subscription_id_of,
)
from im.push.http import routes
from im.push.mongo import INDEXES, MongoPushes, MongoSubscriptions
from im.push.ports import Answer, Taken
from im.push.providers import AppPush, AppPushConfig, WebPush
from im.push.service import PushService
from im.push.watch import DeviceWatch
from server.kernel.actor import PLATFORM, Actor, Role
from server.kernel.audit import AuditLog
from server.kernel.clock import SystemClock
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.errors import RequestInvalid
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from server.kernel.outbox import event_of
from simulators.app import build_app
from simulators.config import SimulatorConfig
from simulators.keys import ensure_push_keys
from tests.support.clock import ManualClock
from tests.support.indexes import make_indexes
from tests.support.web_push import PushBrowser, decoded

TALK = "c0" * 16
MINUTE = timedelta(minutes=1)


class Provider:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Push]] = []
        self.next: list[Taken] = []
        self.rest: timedelta | None = None
        self.asked = 0

    async def push(self, subscription: Subscription, push: Push) -> Answer:
        self.asked += 1
        taken = self.next.pop(0) if self.next else Taken.ACCEPTED
        if taken is Taken.ACCEPTED:
            self.sent.append((subscription.device_id, push))
        return Answer(taken, self.rest if taken is Taken.LATER else None)

    def to(self, device_id: str) -> list[Push]:
        return [push for device, push in self.sent if device == device_id]


class Book:
    """Receipts and open conversations, as an account has them."""

    def __init__(self) -> None:
        self.delivered = self.read = self.unread = 0

    async def marks_of(self, account_id: str, conversation_ids: Sequence[str], *, fresh: bool = False) -> Mapping[str, Marks]:
        receipt = Receipt(TALK, account_id, self.delivered, self.read)
        return {each: Marks((receipt,), self.unread) for each in conversation_ids}

    async def list_open_conversations(self, actor: Actor, limit: int) -> Sequence[str]:
        return [TALK]


class Queue:
    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def request(self, name: str, *arguments: str) -> None:
        self.asked.append((name, *arguments))


@dataclass
class World:
    database: Database
    clock: ManualClock
    service: PushService
    app: Provider
    web: Provider
    book: Book
    queue: Queue
    watch: DeviceWatch
    account: str = field(default_factory=new_id)

    async def sign_in(self, device_id: str, account: str | None = None, role: Role = Role.PATIENT) -> Actor:
        actor = Actor(account or self.account, role, PLATFORM, new_id(), session_id=new_id(), device_id=device_id)
        event = event_of(
            actor, "accounts.session_opened", subject=actor.session_id or "", at=self.clock.now(), device_id=device_id
        )
        await self.service.session_opened(event)
        return actor

    def message(self, seq: int, **changes: Any) -> Occasion:
        base = Occasion(
            cause=f"entry-{seq}", hospital_id="default", account_id=self.account, kind="message", text=ONE_MESSAGE,
            at=self.clock.now(), order_id="0d" * 16, conversation_id=TALK, seq=seq,
        )  # fmt: skip
        return replace(base, **changes)

    async def socket(self, actor: Actor, here: bool) -> None:
        self.watch.presence(actor.session_id or "", here)
        await self.watch.flush()

    async def states(self) -> list[str]:
        return sorted([row["state"] for row in await self.database["pushes"].find().to_list()])


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> AsyncIterator[World]:
    await make_indexes(database, INDEXES)
    audit, app, web, book, queue = AuditLog(database), Provider(), Provider(), Book(), Queue()
    subscriptions = MongoSubscriptions(database, Keyring(MasterKey(bytes(32)), database))
    service = PushService(
        subscriptions, MongoPushes(database), {Channel.APP: app, Channel.WEB: web}, book, book, queue, audit, clock,
        web_hosts=("push.example", "*.push.example"),
    )  # fmt: skip
    yield World(database, clock, service, app, web, book, queue, DeviceWatch(subscriptions, clock, service.hasten))
    await audit.close()


async def test_each_device_that_is_away_gets_one_push_a_message_however_often_it_is_told_and_swept(world: World) -> None:
    for device in ("phone", "tablet"):
        await world.sign_in(device)
    await world.sign_in("stranger", account=new_id())
    world.book.unread = 2
    for _ in range(3):
        await world.service.tell([world.message(2), world.message(3)])
        await asyncio.gather(*(world.service.sweep() for _ in range(4)))
    for device in ("phone", "tablet"):
        pushes = world.app.to(device)
        assert sorted(push.seq or 0 for push in pushes) == [2, 3]
        assert {push.badge for push in pushes} == {2}
        assert len({push.id for push in pushes}) == 2
    assert world.app.to("stranger") == []
    assert {name for name, _ in world.queue.asked} == {"im.send_pushes"}


async def test_a_device_that_is_connected_gets_none_and_what_it_has_it_gets_none_of_later(world: World) -> None:
    actor = await world.sign_in("phone")
    await world.socket(actor, True)
    await world.service.tell([world.message(2)])
    assert await world.service.sweep() == 0
    world.book.delivered = 2
    await world.socket(actor, False)
    assert world.queue.asked[-1] == ("im.send_pushes", subscription_id_of(world.account, "phone"))
    assert await world.service.sweep() == 0
    assert (world.app.sent, await world.states()) == ([], ["dropped"])


async def test_a_line_that_was_dead_though_it_looked_alive_is_made_up_for(world: World) -> None:
    actor = await world.sign_in("phone")
    await world.socket(actor, True)
    await world.service.tell([world.message(2)])
    await world.service.sweep()
    world.clock.advance(timedelta(seconds=50))
    await world.socket(actor, False)
    await world.service.sweep()
    assert [push.seq for push in world.app.to("phone")] == [2]


async def test_of_messages_told_at_once_only_the_last_waits_for_a_device_that_is_connected(world: World) -> None:
    await world.socket(await world.sign_in("laptop"), True)
    await world.sign_in("phone")
    elsewhere = world.message(9, conversation_id="0e" * 16)
    await world.service.tell([*(world.message(seq) for seq in (3, 2, 4)), elsewhere])
    waiting = await world.database["pushes"].find({"subscription_id": subscription_id_of(world.account, "laptop")}).to_list()
    assert {(row["conversation_id"], row["seq"]) for row in waiting} == {(TALK, 4), ("0e" * 16, 9)}
    await world.service.sweep()
    assert sorted(push.seq or 0 for push in world.app.to("phone")) == [2, 3, 4, 9]


async def test_a_device_that_stays_connected_is_left_alone_after_the_grace(world: World) -> None:
    actor = await world.sign_in("phone")
    await world.socket(actor, True)
    await world.service.tell([world.message(2)])
    await world.service.sweep()
    for _ in range(20):
        world.clock.advance(timedelta(seconds=4))
        world.watch._beat_at = 0.0
        await world.watch.flush()
    assert world.clock.now() - GRACE >= world.message(2).at - GRACE
    await world.service.sweep()
    assert (world.app.sent, await world.states()) == ([], ["dropped"])


async def test_the_sockets_of_a_process_that_died_count_for_nothing(world: World) -> None:
    actor = await world.sign_in("phone")
    await world.socket(actor, True)
    world.clock.advance(timedelta(seconds=16))
    await world.service.tell([world.message(2)])
    assert await world.service.sweep() == 1


async def test_the_other_device_is_pushed_to_while_one_is_connected_unless_the_message_was_read(world: World) -> None:
    here = await world.sign_in("laptop")
    await world.sign_in("phone")
    await world.socket(here, True)
    world.book.delivered = 3
    await world.service.tell([world.message(2)])
    await world.service.sweep()
    assert [push.seq for push in world.app.to("phone")] == [2]
    assert world.app.to("laptop") == []
    world.book.read = 3
    await world.service.tell([world.message(3)])
    await world.service.sweep()
    assert len(world.app.to("phone")) == 1


async def test_after_a_long_absence_one_push_an_hour_speaks_for_all(world: World) -> None:
    await world.sign_in("phone")
    world.clock.advance(LONG_ABSENCE)
    await world.service.tell([world.message(seq) for seq in range(2, 52)])
    await world.service.sweep()
    (first,) = world.app.to("phone")
    assert (first.kind, first.conversation_id, first.text) == ("summary", TALK, "您有 50 条新的消息与提醒，请查看。")
    await world.service.tell([world.message(seq) for seq in range(52, 60)])
    world.clock.advance(COALESCE_EVERY - MINUTE)
    assert await world.service.sweep() == 0
    world.clock.advance(MINUTE)
    assert await world.service.sweep() == 1
    first, second = world.app.to("phone")
    assert (second.text, second.collapse) == ("您有 8 条新的消息与提醒，请查看。", first.collapse)


async def test_what_the_provider_does_not_take_is_tried_again_so_often_and_then_given_up(world: World) -> None:
    await world.sign_in("phone")
    world.app.next = [Taken.LATER, Taken.LATER]
    await world.service.tell([world.message(2)])
    for _ in range(3):
        await world.service.sweep()
        world.clock.advance(timedelta(seconds=20))
    assert [push.id for push in world.app.to("phone")] == [(await world.database["pushes"].find_one() or {})["_id"]]
    world.app.next = [Taken.LATER] * 20
    await world.service.tell([world.message(3)])
    for _ in range(20):
        await world.service.sweep()
        world.clock.advance(timedelta(minutes=30))
    assert len(world.app.next) == 20 - MOST_TRIES
    assert await world.states() == ["failed", "sent"]


async def test_a_provider_that_wants_rest_is_asked_nothing_for_the_device_until_it_is_over_and_then_gets_all(
    world: World,
) -> None:
    actor = await world.sign_in("phone")
    await world.sign_in("tablet")
    world.app.next, world.app.rest = [Taken.LATER], 2 * MINUTE
    await world.service.tell([world.message(2)])
    await world.service.send_due(subscription_id_of(world.account, "phone"))
    world.clock.advance(MINUTE)
    await world.service.tell([world.message(3)])
    for here in (True, False):
        await world.socket(actor, here)  # comes and goes: what would be due at once is not
    await world.service.sweep()
    assert (world.app.to("phone"), [push.seq for push in world.app.to("tablet")], world.app.asked) == ([], [2, 3], 3)
    world.clock.advance(MINUTE - timedelta(milliseconds=1))
    assert await world.service.sweep() == 0
    world.clock.advance(timedelta(milliseconds=1))
    assert await world.service.sweep() == 2
    assert sorted(push.seq or 0 for push in world.app.to("phone")) == [2, 3]


async def test_a_provider_that_wants_rest_for_a_week_is_asked_after_an_hour(world: World) -> None:
    await world.sign_in("phone")
    world.app.next, world.app.rest = [Taken.LATER], timedelta(days=7)
    await world.service.tell([world.message(2)])
    assert await world.service.sweep() == 0
    world.clock.advance(LONGEST_REST)
    assert await world.service.sweep() == 1


async def test_an_address_that_is_dead_is_removed_and_a_refused_push_is_not_repeated(world: World) -> None:
    await world.sign_in("phone")
    world.app.next = [Taken.REFUSED, Taken.GONE]
    await world.service.tell([world.message(2)])
    await world.service.sweep()
    assert await world.database["push_subscriptions"].count_documents({}) == 1
    await world.service.tell([world.message(3)])
    await world.service.sweep()
    assert await world.database["push_subscriptions"].count_documents({}) == 0
    assert await world.states() == ["dropped", "failed"]


async def test_signing_out_ends_it_and_signing_in_again_on_the_device_leaves_one(world: World) -> None:
    first = await world.sign_in("phone")
    second = await world.sign_in("phone")
    await world.service.tell([world.message(2)])
    for actor in (first, second):
        event = event_of(
            actor, "accounts.session_revoked", subject=actor.session_id or "", at=world.clock.now(), session_id=actor.session_id
        )
        await world.service.session_revoked(event)
        assert await world.database["push_subscriptions"].count_documents({}) == (1 if actor is first else 0)
    assert await world.service.sweep() == 0
    assert await world.states() == ["dropped"]


async def test_a_browser_takes_the_place_of_the_app_and_no_two_accounts_keep_one_browser(world: World) -> None:
    actor, other = await world.sign_in("laptop"), await world.sign_in("laptop", account=new_id())
    keys = {"p256dh": "B" * 87, "auth": "A" * 22}
    for each in (other, actor):
        await world.service.subscribe_web(each, host="a.push.example", endpoint="https://a.push.example/1", **keys)
    assert await world.database["push_subscriptions"].count_documents({}) == 1
    await world.service.tell([world.message(2)])
    await world.service.sweep()
    assert (len(world.app.sent), [push.seq for push in world.web.to("laptop")]) == (0, [2])
    assert "push.example" not in str(await world.database["push_subscriptions"].find().to_list())
    await world.service.unsubscribe(actor)
    await world.service.tell([world.message(3)])
    assert await world.service.sweep() == 0


async def test_no_two_accounts_keep_one_installed_app(world: World) -> None:
    other, actor = await world.sign_in("phone", account=new_id()), await world.sign_in("phone")
    for each in (other, actor):
        await world.service.subscribe_app(each, "registration-1")
    await world.service.tell([world.message(2), world.message(2, account_id=other.account_id)])
    await world.service.sweep()
    (kept,) = await world.database["push_subscriptions"].find().to_list()
    assert (kept["account_id"], len(world.app.sent)) == (actor.account_id, 1)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.0.0.1/x", "https://evil.example/x", "https://push.example.evil.example/x", "http://push.example/x",
        "https://push.example:8443/x", "https://user@push.example/x", "https://[::1]/x",
    ],
)  # fmt: skip
async def test_a_client_cannot_make_the_server_call_whatever_address_it_likes(world: World, endpoint: str) -> None:
    actor = await world.sign_in("laptop")
    put = next(route for route in routes(world.service, "key") if route.method == "PUT")
    assert put.body is not None
    body = {"subscription": {"channel": "web", "endpoint": endpoint, "keys": {"p256dh": "B" * 87, "auth": "A" * 22}}}
    call: Any = type("Call", (), {"actor": actor, "body": put.body.model_validate(body)})
    with pytest.raises(RequestInvalid):
        await put.handler(call)


async def test_old_news_is_not_pushed_and_its_traces_go(world: World) -> None:
    await world.sign_in("phone")
    old = world.message(2)
    world.clock.advance(WORTH)
    await world.service.tell([old])
    assert await world.states() == []
    await world.service.tell([world.message(3)])
    await world.service.sweep()
    world.clock.advance(timedelta(days=8))
    await world.service.tidy()
    assert await world.states() == []


# --- the providers ---


@dataclass
class Outside:
    base: str
    http: aiohttp.ClientSession
    app: AppPush
    web: WebPush

    async def shown(self, device_id: str) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.base}/push/messages", params={"device_id": device_id}) as answer:
            messages: list[dict[str, Any]] = await answer.json()
            return messages

    async def browser(self, device_id: str, **more: Any) -> Subscription:
        async with self.http.post(f"{self.base}/push/web/subscriptions", json={"device_id": device_id, **more}) as answer:
            made = orjson.loads(await answer.read())
        return replace(_subscription(made["endpoint"], Channel.WEB), **made["keys"])

    async def waits(self, browser: Subscription) -> Any:
        token = browser.address.rsplit("/", 1)[1]
        async with self.http.get(f"{self.base}/push/web/messages/{token}") as answer:
            return await answer.json()

    async def break_web(self, **settings: Any) -> None:
        async with self.http.put(f"{self.base}/push/web/faults", json=settings) as answer:
            assert answer.status == 200


def _subscription(address: str, channel: Channel) -> Subscription:
    return Subscription(new_id(), new_id(), Role.PATIENT, PLATFORM, address, new_id(), channel, address)


PUSH = Push("ab" * 16, "云诊", "您有一条新消息，请查看。", 3, "cd" * 16, "message", "0d" * 16, TALK, 7, timedelta(hours=1))
EXTRAS = {"kind": "message", "order_id": "0d" * 16, "conversation_id": TALK, "seq": 7}


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    config = SimulatorConfig(data_dir=tmp_path, port=0, server_url="", late_seconds=0.05)
    async with TestServer(build_app(config)) as server, aiohttp.ClientSession() as http:
        base = str(server.make_url("")).rstrip("/")
        keys = ensure_push_keys(tmp_path)
        app = AppPush(http, AppPushConfig(f"{base}/push", keys.app_key, keys.master_secret))
        yield Outside(base, http, app, WebPush(http, bytes(range(32)), "mailto:a@b.example", SystemClock()))


async def test_the_app_provider_shows_one_push_for_one_id_with_badge_and_ids(outside: Outside) -> None:
    for _ in range(2):
        assert await outside.app.push(_subscription("phone", Channel.APP), PUSH) == Answer(Taken.ACCEPTED)
    (shown,) = await outside.shown("phone")
    assert (shown["alert"], shown["title"], shown["badge"], shown["extras"]) == (PUSH.text, "云诊", 3, EXTRAS)
    async with outside.http.put(f"{outside.base}/push/faults", json={"pushes": "refused", "count": 1}) as answer:
        assert answer.status == 200
    assert await outside.app.push(_subscription("phone", Channel.APP), PUSH) == Answer(Taken.LATER)
    nobody = AppPush(outside.http, AppPushConfig(f"http://127.0.0.1:{unused_port()}", "a", "b"))
    assert await nobody.push(_subscription("phone", Channel.APP), PUSH) == Answer(Taken.LATER)
    wrong = AppPush(outside.http, AppPushConfig(f"{outside.base}/push", "a", "b"))
    assert await wrong.push(_subscription("phone", Channel.APP), PUSH) == Answer(Taken.REFUSED)


async def test_a_browser_opens_what_was_signed_and_encrypted_for_it(outside: Outside) -> None:
    browser = await outside.browser("laptop")
    assert await outside.web.push(browser, PUSH) == Answer(Taken.ACCEPTED)
    (shown,) = await outside.shown("laptop")
    assert (shown["cid"], shown["alert"], shown["badge"], shown["extras"]) == (PUSH.id, PUSH.text, 3, EXTRAS)
    other = await outside.browser("tablet")
    assert await outside.web.push(replace(browser, p256dh=other.p256dh), PUSH) == Answer(Taken.REFUSED)
    assert await outside.web.push(replace(browser, p256dh="A" * 87), PUSH) == Answer(Taken.GONE)
    token = browser.address.rsplit("/", 1)[1]
    async with outside.http.delete(f"{outside.base}/push/web/subscriptions/{token}") as answer:
        assert answer.status == 204
    assert await outside.web.push(browser, PUSH) == Answer(Taken.GONE)
    assert await outside.web.push(replace(browser, address=f"{outside.base}/push/web/nobody"), PUSH) == Answer(Taken.GONE)
    assert await outside.web.push(replace(browser, address=f"http://127.0.0.1:{unused_port()}/x"), PUSH) == Answer(Taken.LATER)


def test_the_browser_of_these_tests_opens_the_example_of_rfc_8291() -> None:
    secret = int.from_bytes(decoded("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"), "big")
    browser = PushBrowser(ec.derive_private_key(secret, ec.SECP256R1()), decoded("BTBZMqHH6r4Tts7J_aSIgg"))
    sealed = (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95b"
        "Qpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert browser.open(decoded(sealed)) == b"When I grow up, I want to be a watermelon"


async def test_a_browser_that_keeps_its_key_gets_what_it_alone_can_open_by_whom_it_subscribed_for(outside: Outside) -> None:
    phone, stranger = PushBrowser(), PushBrowser()
    browser = await outside.browser("phone", keys=phone.keys, application_server_key=outside.web.public_key)
    assert await outside.web.push(browser, PUSH) == Answer(Taken.ACCEPTED)
    assert await outside.web.push(browser, replace(PUSH, badge=4)) == Answer(Taken.ACCEPTED)
    (waiting,) = (await outside.waits(browser))["messages"]  # the later one of the same topic
    content = {"id": PUSH.id, "title": "云诊", "text": PUSH.text, "badge": 4, "collapse": PUSH.collapse, "extras": EXTRAS}
    assert phone.read(waiting["body"]) == content
    assert (waiting["ttl_seconds"], waiting["urgency"], waiting["topic"]) == (3_600, "high", PUSH.collapse)
    with pytest.raises(InvalidTag):
        stranger.read(waiting["body"])
    other_key = WebPush(outside.http, bytes(32), "mailto:a@b.example", SystemClock())
    assert await other_key.push(browser, PUSH) == Answer(Taken.REFUSED)


async def test_the_token_of_a_push_says_for_whom_till_when_and_whom_to_ask_in_the_types_that_strict_services_read(
    outside: Outside,
) -> None:
    browser = await outside.browser("phone", keys=PushBrowser().keys)
    before = SystemClock().now_ms() // 1_000
    await outside.web.push(browser, PUSH)
    (waiting,) = (await outside.waits(browser))["messages"]
    token = waiting["authorization"].removeprefix("vapid t=").split(",")[0]
    header, claims = (orjson.loads(decoded(part)) for part in token.split(".")[:2])
    assert header == {"typ": "JWT", "alg": "ES256"}
    assert (claims["aud"], claims["sub"]) == (outside.base, "mailto:a@b.example")
    assert type(claims["exp"]) is int
    assert before + 43_200 <= claims["exp"] <= before + 43_260
    shameless = WebPush(
        outside.http, bytes(range(32)), "mailto:a@b.example", ManualClock(SystemClock().now() + timedelta(hours=13))
    )
    assert await shameless.push(browser, PUSH) == Answer(Taken.REFUSED)  # a day and more: no service takes it


@pytest.mark.parametrize(("said", "waited"), [("120", timedelta(minutes=2)), ("soon", None), ("-5", None)])
async def test_a_push_service_that_is_busy_says_how_long(outside: Outside, said: str, waited: timedelta | None) -> None:
    browser = await outside.browser("phone")
    await outside.break_web(pushes="busy", retry_after=said, count=1)
    assert await outside.web.push(browser, PUSH) == Answer(Taken.LATER, waited)
    await outside.break_web(pushes="down", count=1)
    assert await outside.web.push(browser, PUSH) == Answer(Taken.LATER)
    assert await outside.web.push(browser, PUSH) == Answer(Taken.ACCEPTED)


async def test_a_push_service_may_name_the_instant_until_which_it_is_busy(outside: Outside) -> None:
    browser = await outside.browser("phone")
    clock = ManualClock(SystemClock().now().replace(microsecond=0))
    web = WebPush(outside.http, bytes(range(32)), "mailto:a@b.example", clock)
    until = format_datetime(clock.now() + timedelta(minutes=3), usegmt=True)
    await outside.break_web(pushes="busy", retry_after=until, count=1)
    answer = await web.push(browser, PUSH)
    assert (answer.taken, answer.retry_after) == (Taken.LATER, timedelta(minutes=3))
