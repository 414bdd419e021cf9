"""Our client of the SMS provider against the provider's stand-in."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer, unused_port

from accounts.ports import Delivered, SmsResult
from accounts.sms import AliyunSms, AliyunSmsConfig
from simulators.app import build_app
from simulators.config import SimulatorConfig
from simulators.keys import ensure_sms_keys
from tests.support.clock import ManualClock

PHONE = "13800000001"
TODAY = date(2026, 1, 5)


@dataclass
class World:
    base: str
    http: aiohttp.ClientSession
    sms: AliyunSms
    config: AliyunSmsConfig
    clock: ManualClock

    async def received(self) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.base}/sms/messages", params={"phone": PHONE}) as answer:
            messages: list[dict[str, Any]] = await answer.json()
            return messages

    async def break_next(self, **fault: object) -> None:
        async with self.http.put(f"{self.base}/sms/faults", json=fault) as answer:
            assert answer.status < 300, await answer.text()


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncIterator[World]:
    config = SimulatorConfig(data_dir=tmp_path, port=0, server_url="")
    async with TestServer(build_app(config, clock)) as server, aiohttp.ClientSession() as http:
        base = str(server.make_url("")).rstrip("/")
        keys = ensure_sms_keys(tmp_path)
        ours = AliyunSmsConfig(base + "/sms", keys.access_key_id, keys.access_key_secret, keys.sign_name, timeout_seconds=1.0)
        yield World(base, http, AliyunSms(http, ours, clock), ours, clock)


async def test_a_signed_call_is_taken_and_the_code_arrives(world: World) -> None:
    assert await world.sms.send(PHONE, "SMS_LOGIN_CODE", {"code": "012345"}, "out-1") == SmsResult(Delivered.ACCEPTED)
    [message] = await world.received()
    assert (message["template"], message["params"]) == ("SMS_LOGIN_CODE", {"code": "012345"})
    assert await world.sms.query("out-1", phone=PHONE, day=TODAY) == SmsResult(Delivered.ACCEPTED)
    assert (await world.sms.query("out-2", phone=PHONE, day=TODAY)).delivered is Delivered.UNSENT


async def test_every_character_survives_signing(world: World) -> None:
    params = {"code": "1", "text": "空格 +&=?/~*'()%\"\\ é"}
    assert await world.sms.send(PHONE, "SMS_OTHER", params, "out *1~") == SmsResult(Delivered.ACCEPTED)
    assert (await world.received())[0]["params"] == params


async def test_a_lost_answer_is_doubt_and_the_query_settles_it(world: World) -> None:
    await world.break_next(sends="lost_answer", late_seconds=0, count=1)
    assert (await world.sms.send(PHONE, "SMS_LOGIN_CODE", {"code": "1"}, "out-1")).delivered is Delivered.IN_DOUBT
    assert (await world.sms.query("out-1", phone=PHONE, day=TODAY)).delivered is Delivered.ACCEPTED


async def test_an_answer_that_takes_too_long_is_doubt(world: World) -> None:
    await world.break_next(sends="slow", late_seconds=5, count=1)
    sms = AliyunSms(
        world.http,
        AliyunSmsConfig(
            world.config.url, world.config.access_key_id, world.config.access_key_secret, "云诊", timeout_seconds=0.1
        ),
        world.clock,
    )
    assert (await sms.send(PHONE, "SMS_LOGIN_CODE", {"code": "1"}, "out-1")).delivered is Delivered.IN_DOUBT


async def test_a_refusal_is_final_and_names_the_providers_reason(world: World) -> None:
    await world.break_next(sends="refused", count=1)
    refused = await world.sms.send(PHONE, "SMS_LOGIN_CODE", {"code": "1"}, "out-1")
    assert refused == SmsResult(Delivered.REFUSED, "isv.BUSINESS_LIMIT_CONTROL")


async def test_an_undelivered_sms_is_known_as_such(world: World) -> None:
    await world.break_next(sends="undelivered", count=1)
    await world.sms.send(PHONE, "SMS_LOGIN_CODE", {"code": "1"}, "out-1")
    assert (await world.sms.query("out-1", phone=PHONE, day=TODAY)).delivered is Delivered.REFUSED


async def test_a_wrong_key_is_refused_and_the_secret_is_never_shown(world: World) -> None:
    config = AliyunSmsConfig(world.config.url, world.config.access_key_id, "not the secret", "云诊")
    sent = await AliyunSms(world.http, config, world.clock).send(PHONE, "SMS_LOGIN_CODE", {"code": "1"}, "out-1")
    assert sent == SmsResult(Delivered.REFUSED, "SignatureDoesNotMatch")
    assert "not the secret" not in repr(config)


async def test_a_provider_that_is_not_there_has_surely_sent_nothing(world: World) -> None:
    config = AliyunSmsConfig(f"http://127.0.0.1:{unused_port()}", "k", "s", "云诊")
    sms = AliyunSms(world.http, config, world.clock)
    assert (await sms.send(PHONE, "SMS_LOGIN_CODE", {"code": "1"}, "out-1")).delivered is Delivered.UNSENT
    assert (await sms.query("out-1", phone=PHONE, day=TODAY)).delivered is Delivered.IN_DOUBT


async def test_a_message_is_found_on_a_later_page(world: World) -> None:
    for index in range(52):
        await world.sms.send(PHONE, "SMS_LOGIN_CODE", {"code": "1"}, f"out-{index}")
    assert (await world.sms.query("out-0", phone=PHONE, day=TODAY)).delivered is Delivered.ACCEPTED
