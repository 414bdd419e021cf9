import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from accounts.ports import Delivered
from accounts.sms import AliyunSms, AliyunSmsConfig
from simulators.app import build_app
from simulators.config import SimulatorConfig
from simulators.keys import PushKeys, SmsKeys, ensure_push_keys, ensure_sms_keys, ensure_wechat_keys
from tests.support.clock import ManualClock
from tests.support.gateway_client import acs3_headers

PHONE = "13800000001"
AT = "2026-01-05T02:00:00Z"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("providers")
    ensure_wechat_keys(folder)
    return folder


@dataclass
class World:
    base: str
    session: aiohttp.ClientSession
    sms: SmsKeys
    push: PushKeys

    @property
    def host(self) -> str:
        return self.base.removeprefix("http://")

    async def sms_call(self, action: str, headers: dict[str, str] | None = None, **query: str) -> tuple[int, Any]:
        signed = headers or acs3_headers(self.sms, self.host, "/sms/", query, action, AT)
        async with self.session.post(self.base + "/sms/", params=query, headers=signed) as response:
            return response.status, await response.json()

    async def send(self, phone: str = PHONE, code: str = "123456", **more: str) -> tuple[int, Any]:
        query = {
            "PhoneNumbers": phone,
            "SignName": "云诊",
            "TemplateCode": "SMS_LOGIN_CODE",
            "TemplateParam": f'{{"code":"{code}"}}',
        } | more
        return await self.sms_call("SendSms", None, **query)

    async def get(self, path: str) -> Any:
        async with self.session.get(self.base + path) as response:
            return await response.json()

    async def put(self, path: str, body: Any) -> int:
        async with self.session.put(self.base + path, json=body) as response:
            return response.status

    async def push_call(self, body: Any, auth: str | None = None) -> tuple[int, Any]:
        login = {"Authorization": auth or aiohttp.encode_basic_auth(self.push.app_key, self.push.master_secret)}
        async with self.session.post(self.base + "/push/v3/push", json=body, headers=login) as response:
            return response.status, await response.json()


@pytest.fixture
async def world(data_dir: Path, clock: ManualClock) -> AsyncIterator[World]:
    (data_dir / "simulators" / "state.sqlite").unlink(missing_ok=True)
    config = SimulatorConfig(data_dir=data_dir, port=0, server_url="")
    async with TestServer(build_app(config, clock)) as server, aiohttp.ClientSession() as session:
        base = str(server.make_url("")).rstrip("/")
        yield World(base, session, ensure_sms_keys(data_dir), ensure_push_keys(data_dir))


async def test_a_signed_sms_arrives_at_the_phone_newest_first(world: World) -> None:
    status, first = await world.send(code="111111", OutId="o-1")
    assert (status, first["Code"], first["Message"]) == (200, "OK", "OK")
    assert set(first) == {"Code", "Message", "BizId", "RequestId"}
    await world.send(phone="+86" + PHONE, code="222222")
    await world.send(phone="13800000002", code="333333")
    shown = await world.get(f"/sms/messages?phone={PHONE}")
    assert [message["params"] for message in shown] == [{"code": "222222"}, {"code": "111111"}]
    assert shown[0] == {
        "template": "SMS_LOGIN_CODE",
        "params": {"code": "222222"},
        "text": "【云诊】您的登录验证码为 222222，5 分钟内有效，请勿告诉他人。",
        "sent_at": "2026-01-05T02:00:00.000Z",
        "phone": PHONE,
    }


async def test_what_became_of_an_sms_can_be_queried(world: World) -> None:
    _, sent = await world.send(OutId="o-2")
    query = {"PhoneNumber": PHONE, "SendDate": "20260105", "PageSize": "10", "CurrentPage": "1"}
    _, details = await world.sms_call("QuerySendDetails", None, **query)
    assert details["TotalCount"] == "1"
    (row,) = details["SmsSendDetailDTOs"]["SmsSendDetailDTO"]
    assert (row["OutId"], row["SendStatus"], row["ErrCode"]) == ("o-2", 3, "DELIVERED")
    _, narrowed = await world.sms_call("QuerySendDetails", None, **query, BizId=sent["BizId"])
    assert narrowed["TotalCount"] == "1"
    _, other_day = await world.sms_call("QuerySendDetails", None, **(query | {"SendDate": "20260104"}))
    assert other_day["TotalCount"] == "0"


async def test_a_signature_that_does_not_cover_the_call_sends_nothing(world: World) -> None:
    signed_for = {"PhoneNumbers": PHONE, "SignName": "云诊", "TemplateCode": "SMS_LOGIN_CODE", "TemplateParam": '{"code":"1"}'}
    headers = acs3_headers(world.sms, world.host, "/sms/", signed_for, "SendSms", AT)
    changed = signed_for | {"PhoneNumbers": "13800000009"}
    assert (await world.sms_call("SendSms", headers, **changed))[1]["Code"] == "SignatureDoesNotMatch"
    stale = acs3_headers(world.sms, world.host, "/sms/", signed_for, "SendSms", "2026-01-05T01:44:59Z")
    assert (await world.sms_call("SendSms", stale, **signed_for))[1]["Code"] == "InvalidTimeStamp.Expired"
    stranger = SmsKeys(world.sms.config_path, "LTAI-other", "x", "云诊")
    unknown = acs3_headers(stranger, world.host, "/sms/", signed_for, "SendSms", AT)
    assert await _code(world.sms_call("SendSms", unknown, **signed_for)) == (404, "InvalidAccessKeyId.NotFound")
    guessed = acs3_headers(
        SmsKeys(world.sms.config_path, world.sms.access_key_id, "x", "云诊"), world.host, "/sms/", signed_for, "SendSms", AT
    )
    assert await _code(world.sms_call("SendSms", guessed, **signed_for)) == (400, "SignatureDoesNotMatch")
    assert await world.get(f"/sms/messages?phone={PHONE}") == []


async def _code(call: Any) -> tuple[int, str]:
    status, body = await call
    return status, body["Code"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"phone": "12345"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"SignName": "别家"}, "isv.SMS_SIGNATURE_ILLEGAL"),
        ({"TemplateCode": ""}, "isv.SMS_TEMPLATE_ILLEGAL"),
        ({"TemplateParam": "{"}, "isv.INVALID_JSON_PARAM"),
        ({"TemplateParam": "{}"}, "isv.TEMPLATE_MISSING_PARAMETERS"),
    ],
)
async def test_the_provider_refuses_in_its_own_codes(world: World, changed: dict[str, str], code: str) -> None:
    assert (await world.send(**changed))[1]["Code"] == code


async def test_sms_levers_refuse_lose_the_answer_or_the_message(world: World) -> None:
    assert await world.put("/sms/faults", {"sends": "refused", "count": 1}) == 200
    assert (await world.send())[1]["Code"] == "isv.BUSINESS_LIMIT_CONTROL"
    assert await world.put("/sms/faults", {"sends": "lost_answer", "late_seconds": 0, "count": 1}) == 200
    with pytest.raises(aiohttp.ClientError):
        await world.send(code="777777")
    (arrived,) = await world.get(f"/sms/messages?phone={PHONE}")
    assert arrived["params"] == {"code": "777777"}
    assert await world.put("/sms/faults", {"sends": "undelivered"}) == 200
    assert (await world.send(code="888888"))[1]["Code"] == "OK"
    assert len(await world.get(f"/sms/messages?phone={PHONE}")) == 1
    assert await world.put("/sms/faults", {"sends": "?"}) == 400


def _push(*device_ids: str, cid: str | None = None) -> dict[str, Any]:
    return {
        "platform": "all",
        "audience": {"registration_id": list(device_ids)},
        "notification": {
            "alert": "您有新消息",
            "android": {"alert": "您有新消息", "title": "云诊", "badge_set_num": 2},
            "ios": {"alert": "您有新消息", "badge": 2, "extras": {"order_id": "o1"}},
        },
        "options": {"time_to_live": 3600},
    } | ({"cid": cid} if cid else {})


async def test_a_push_arrives_at_each_device_once_for_one_cid(world: World) -> None:
    answers = await asyncio.gather(*(world.push_call(_push("d1", "d2", cid="c-1")) for _ in range(5)))
    assert {status for status, _ in answers} == {200}
    assert len({body["msg_id"] for _, body in answers}) == 1
    (shown,) = await world.get("/push/messages?device_id=d1")
    assert (shown["alert"], shown["title"], shown["badge"], shown["extras"]) == ("您有新消息", "云诊", 2, {"order_id": "o1"})
    await world.push_call(_push("d1"))
    await world.push_call(_push("d1"))
    assert [message["cid"] for message in await world.get("/push/messages?device_id=d1")] == [None, None, "c-1"]
    assert await world.get("/push/messages?device_id=d3") == []


async def test_a_push_needs_the_account_and_an_audience(world: World) -> None:
    status, body = await world.push_call(_push("d1"), aiohttp.encode_basic_auth("a", "b"))
    assert (status, body["error"]["code"]) == (401, 1004)
    status, body = await world.push_call(_push())
    assert (status, body["error"]["code"]) == (400, 1003)
    assert await world.put("/push/faults", {"pushes": "refused", "count": 1}) == 200
    status, body = await world.push_call(_push("d1"))
    assert (status, body["error"]["code"]) == (429, 2002)
    assert await world.get("/push/messages?device_id=d1") == []


async def test_the_product_sends_and_queries_through_the_provider_as_it_would_through_the_real_one(
    world: World, clock: ManualClock
) -> None:
    config = AliyunSmsConfig(f"{world.base}/sms", world.sms.access_key_id, world.sms.access_key_secret, world.sms.sign_name)
    sender = AliyunSms(world.session, config, clock)
    assert (await sender.send(PHONE, "SMS_LOGIN_CODE", {"code": "135790"}, "out-1")).delivered is Delivered.ACCEPTED
    (message,) = await world.get(f"/sms/messages?phone={PHONE}")
    assert message["params"] == {"code": "135790"}
    assert (await sender.query("out-1", phone=PHONE, day=date(2026, 1, 5))).delivered is Delivered.ACCEPTED
    assert (await sender.query("out-2", phone=PHONE, day=date(2026, 1, 5))).delivered is Delivered.UNSENT
