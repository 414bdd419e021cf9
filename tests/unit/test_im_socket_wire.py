"""Bodies, errors and frames, without a network."""

import asyncio
import json
import re
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from im.commands import CommandRunner, SocketCall, SocketCommand, acknowledge, refuse
from im.domain import Draft, Entry, EntryKind
from im.errors import ConversationClosed
from im.names import NameBook
from im.wire import EmptyAck, Message, SendBody, SendModel, TypingBody, fields_of, instant, render
from server.app.asyncapi import asyncapi, product_events
from server.app.frames import frame, unframe
from server.app.sockets import Bucket
from server.kernel.actor import Actor, Role
from server.kernel.clock import iso_ms
from server.kernel.errors import DomainError, Internal, registered_errors
from server.kernel.settings import parse_rate
from tests.support.clock import ManualClock

decode = msgspec.json.Decoder(SendBody).decode
PATIENT = Actor("a" * 32, Role.PATIENT, "default", "r" * 32)


def over_socket(body: dict[str, Any]) -> bool:
    try:
        decode(json.dumps({"conversation_id": "c", **body}))
    except (msgspec.MsgspecError, UnicodeError):
        return False
    return True


def over_http(body: dict[str, Any]) -> bool:
    try:
        SendModel.model_validate_json(json.dumps(body))
    except ValidationError:
        return False
    return True


texts = st.one_of(
    st.text(max_size=5),
    st.sampled_from(["", " ", "x" * 4_000, "x" * 4_001, "界" * 4_000, "a\0b", "\u202e", "\x07", "\x85", "a\tb\nc", "\u2067"]),
)
card_data = st.fixed_dictionaries(
    {},
    optional={
        "record_id": st.sampled_from(["a" * 32, "A" * 32, "a" * 31, ""]),
        "department": st.sampled_from(["心内科", "", " ", "字" * 40, "字" * 41, "\u202e"]),
        "date": st.sampled_from(["2026-01-05", "2026-1-5", "20260105", "2026-02-30", "2026-W01-1"]),
        "period": st.sampled_from(["morning", "night", ""]),
        "note": st.one_of(st.sampled_from(["请空腹", "", "字" * 200, "字" * 201, "\0"]), st.integers(), st.none()),
        "title": st.just("血常规"),
    },
)
parts = st.one_of(
    st.fixed_dictionaries({"kind": st.just("text"), "text": texts}),
    st.fixed_dictionaries({"kind": st.sampled_from(["image", "voice", "card", "system", "text"]), "media_id": texts}),
    st.fixed_dictionaries(
        {"kind": st.just("card"), "card": st.sampled_from(["record_shared", "booking", "gift", "rating", "x"])},
        optional={"data": st.one_of(card_data, st.none()), "more": st.none()},
    ),
    st.fixed_dictionaries({"kind": st.just("text")}, optional={"text": st.integers(), "more": st.none()}),
)
bodies = st.fixed_dictionaries(
    {
        "client_id": st.one_of(
            st.sampled_from(["client-1", "short", "x" * 64, "x" * 65, "client 12", "client-1\n", "é" * 9]), st.none()
        ),
        "parts": st.one_of(st.lists(parts, max_size=10), st.none(), st.just("text")),
    },
    optional={"corrects": st.one_of(st.integers(-1, 3), st.booleans(), st.floats(0, 3), st.none()), "other": st.integers()},
)


@given(bodies)
def test_a_body_is_good_over_http_exactly_when_it_is_good_over_a_socket(body: dict[str, Any]) -> None:
    assert over_http(body) == over_socket(body)


BOOKING = {"department": "心内科", "date": "2026-01-05", "period": "morning"}


@pytest.mark.parametrize(
    ("card", "data", "good"),
    [
        ("record_shared", {"record_id": "a" * 32}, True),
        ("record_shared", {"record_id": "a" * 32, "title": "血常规"}, False),
        ("record_shared", {"record_id": "../../pages"}, False),
        ("record_shared", {}, False),
        ("booking", BOOKING, True),
        ("booking", {**BOOKING, "note": "请空腹"}, True),
        ("booking", {**BOOKING, "note": "字" * 200}, True),
        ("booking", {**BOOKING, "note": "字" * 201}, False),
        ("booking", {**BOOKING, "note": 1}, False),
        ("booking", {**BOOKING, "department": "bidi\u202e"}, False),
        ("booking", {**BOOKING, "date": "2026-02-29"}, False),
        ("booking", {**BOOKING, "date": "20260105"}, False),
        ("booking", {**BOOKING, "period": "night"}, False),
        ("booking", {**BOOKING, "record_id": "a" * 32}, False),
        ("booking", {name: value for name, value in BOOKING.items() if name != "date"}, False),
        ("gift", {"count": "2"}, False),
        ("rating", {"order_id": "a" * 32}, False),
    ],
)
def test_a_card_holds_exactly_its_fields_on_both_ways_in(card: str, data: dict[str, Any], good: bool) -> None:
    body = {"client_id": "client-1", "parts": [{"kind": "card", "card": card, "data": data}]}
    assert (over_socket(body), over_http(body)) == (good, good)


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (b"{", {"body": "is not JSON in UTF-8"}),
        (b"\xff", {"body": "is not JSON in UTF-8"}),
        (b"[]", {"body": "expected object, got array"}),
        (b"{}", {"conversation_id": "is required"}),
        (b'{"secret":1}', {"body": "holds an unknown field"}),
        (b'{"conversation_id":1}', {"conversation_id": "expected str, got int"}),
        (b'{"conversation_id":"c","client_id":"secret secret"}', {"client_id": "is not valid"}),
        (b'{"conversation_id":"c","client_id":"s"}', {"client_id": "expected str of length >= 8"}),
        (b'{"conversation_id":"c","client_id":"client-1","parts":[{"kind":"secret"}]}', {"parts.0.kind": "is not valid"}),
        (b'{"conversation_id":"c","client_id":"client-1","parts":[{"kind":"text"}]}', {"parts.0.text": "is required"}),
        (
            b'{"conversation_id":"c","client_id":"client-1","parts":[{"kind":"card","card":"booking","data":{"secret":"x"}}]}',
            {"parts.0": "holds a card without its fields, or with others"},
        ),
        (
            b'{"conversation_id":"c","client_id":"client-1","parts":[{"kind":"text","text":"secret\\u0000"}]}',
            {"parts.0": "holds a control character"},
        ),
    ],
)
def test_an_invalid_body_is_told_by_place_and_reason_and_never_by_content(raw: bytes, fields: dict[str, str]) -> None:
    with pytest.raises((msgspec.MsgspecError, UnicodeError)) as caught:
        decode(raw)
    assert fields_of(caught.value) == fields


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s))
)
def test_no_word_of_a_body_comes_back_in_an_error(body: Any) -> None:
    secret = "tellnobody"
    with pytest.raises((msgspec.MsgspecError, UnicodeError)) as caught:
        decode(json.dumps({"conversation_id": body, secret: body, "client_id": secret, "parts": [{secret: body}]}))
    fields = fields_of(caught.value)
    assert secret not in str(fields)
    assert re.fullmatch(r"[a-z0-9_.?]+", next(iter(fields)))


def entry(**changes: Any) -> Entry:
    draft = {"kind": EntryKind.MESSAGE, "sender": "a" * 32, "role": "patient", **changes}
    return Entry("c" * 32, 3, "e" * 32, 1_700_000_000_007, bytes(32), Draft(**draft))


def test_every_field_of_a_message_is_always_there() -> None:
    shown = orjson.loads(render(entry(kind=EntryKind.CLOSED, sender=None, role="system", closes="expired"), None))
    assert tuple(shown) == Message.__struct_fields__
    assert shown == {
        "conversation_id": "c" * 32,
        "seq": 3,
        "kind": "closed",
        "client_id": None,
        "sender": {"account_id": None, "role": "system", "name": None},
        "parts": [{"kind": "system", "event": "closed", "data": {"reason": "expired"}}],
        "sent_at": "2023-11-14T22:13:20.007Z",
        "recalled": False,
        "recalls": None,
        "corrects": None,
        "closes": "expired",
    }


def test_what_the_rules_keep_for_themselves_never_leaves() -> None:
    shown = render(
        entry(kind=EntryKind.SETTLED, sender=None, role="system", data={"outcome": "earned", "fee_fen": 5_000}), None
    )
    assert b"fee_fen" not in shown
    assert b"earned" not in shown


def test_recalled_content_never_leaves() -> None:
    shown = orjson.loads(render(entry(parts=({"kind": "text", "text": "secret"},)), "王小明", recalled=True))
    assert (shown["recalled"], shown["parts"]) == (True, [])


@given(st.integers(0, 4_102_444_800_000))
def test_an_instant_is_written_as_everywhere_else(at_ms: int) -> None:
    assert instant(at_ms) == iso_ms(at_ms)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_frame_gives_its_text_back(size: int) -> None:
    text = b"x" * size
    assert unframe(frame(text)) == text
    assert frame(text)[0] == 0x81


def test_a_bucket_allows_a_burst_then_the_rate() -> None:
    bucket = Bucket(parse_rate("2/s"), 1_000)
    assert [bucket.take(1_000), bucket.take(1_000)] == [0.0, 0.0]
    assert bucket.take(1_000) == pytest.approx(0.5)
    assert bucket.take(1_499) == pytest.approx(0.001)
    assert bucket.take(1_500) == 0.0
    assert bucket.take(900) == pytest.approx(0.5)  # the clock was set back: what was taken stays taken
    assert bucket.take(1_399) == pytest.approx(0.001)
    assert bucket.take(1_400) == 0.0  # and what comes, comes by the clock as it is now
    assert [bucket.take(9_999_999), bucket.take(9_999_999)] == [0.0, 0.0]
    assert bucket.take(9_999_999) == pytest.approx(0.5)


async def test_names_are_learnt_again_after_the_clock_was_set_back(clock: ManualClock) -> None:
    class Registry:
        name = "王小明"

        async def find_names(self, account_ids: Collection[str]) -> dict[str, str]:
            return dict.fromkeys(account_ids, self.name)

    registry = Registry()
    book = NameBook(registry, clock)
    await book.learn(["a"])
    registry.name = "王大明"
    await book.learn(["a"])
    assert book.find("a") == "王小明"
    clock.advance(timedelta(hours=-1))
    await book.learn(["a"])
    assert book.find("a") == "王大明"


async def test_a_name_that_is_old_serves_on_while_it_is_asked_for_anew(clock: ManualClock) -> None:
    class Registry:
        name = "王小明"

        async def find_names(self, account_ids: Collection[str]) -> dict[str, str]:
            if not self.name:
                raise ConnectionError
            return dict.fromkeys(account_ids, self.name)

    registry = Registry()
    book = NameBook(registry, clock)
    assert not book.is_usable("a")
    await book.learn(["a"])
    registry.name = ""
    clock.advance(timedelta(minutes=2))
    for _ in range(2):  # the registry fails, and is asked again
        assert book.is_usable("a")
        await book.close()
    assert book.find("a") == "王小明"
    registry.name = "王大明"
    assert book.is_usable("a")
    await book.close()
    assert book.find("a") == "王大明"
    clock.advance(timedelta(minutes=10))
    assert not book.is_usable("a")


def runner_of(handler: Any) -> tuple[CommandRunner, SocketCommand]:
    command = SocketCommand("typing", "", frozenset({Role.PATIENT}), TypingBody, EmptyAck, handler)
    return CommandRunner([command], lambda failure, request_id: Internal()), command


@pytest.mark.parametrize(
    ("failure", "code"), [(ConversationClosed(), "conversation.closed"), (KeyError("x"), "service.internal")]
)
async def test_whatever_a_handler_raises_is_acknowledged(failure: Exception, code: str) -> None:
    async def handler(_: SocketCall) -> bytes:
        raise failure

    runner, command = runner_of(handler)
    answer = orjson.loads(await runner.run(command, PATIENT, "s", b'{"conversation_id":"c"}'))
    kind = registered_errors()[code].kind.value
    assert answer == {"ok": False, "error": {"code": code, "kind": kind, "fields": {}}}


async def test_cancellation_is_no_answer() -> None:
    async def handler(_: SocketCall) -> bytes:
        raise asyncio.CancelledError

    runner, command = runner_of(handler)
    with pytest.raises(asyncio.CancelledError):
        await runner.run(command, PATIENT, "s", b'{"conversation_id":"c"}')


def test_a_command_is_registered_once() -> None:
    _, command = runner_of(None)
    with pytest.raises(ValueError, match="twice"):
        CommandRunner([command, command], lambda failure, request_id: Internal())


def test_acknowledgements_are_what_the_contract_says() -> None:
    assert acknowledge("message", b'{"seq":1}') == b'{"ok":true,"message":{"seq":1}}'
    error: DomainError = ConversationClosed()
    assert refuse(error) == b'{"ok":false,"error":{"code":"conversation.closed","kind":"conflict","fields":{}}}'


def test_the_published_document_names_every_command_event_and_schema() -> None:
    from im.socket import commands

    nothing: Any = None
    document = asyncapi(commands(nothing, nothing, nothing, nothing, nothing), product_events())
    assert document["asyncapi"] == "3.0.0"
    assert sorted(document["operations"]) == [
        "command.conversation.sync",
        "command.message.recall",
        "command.message.send",
        "command.receipt.delivered",
        "command.receipt.read",
        "command.typing",
        "event.critical.changed",
        "event.message.new",
        "event.note.added",
        "event.notice",
        "event.notices.read",
        "event.order.changed",
        "event.pool.changed",
        "event.receipt",
        "event.record.viewed",
        "event.session.revoked",
        "event.typing",
    ]
    text = orjson.dumps(document).decode()
    for reference in set(re.findall(r'"\$ref":"#/([^"]+)"', text)):
        place = document
        for step in reference.split("/"):
            place = place[step]
