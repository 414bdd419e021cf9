"""A consult as a FHIR bundle: what is in it, what never is, and who may have it."""

from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from admin_console.domain.fhir import ConsultFile, bundle
from admin_console.service.export import MAX_INLINE_BYTES
from billing.domain import Channel, Payment, PaymentStatus, Refund, RefundStatus
from consult.domain.order import Order
from consult.domain.status import CloseReason, Phase
from consult.errors import OrderNotFound
from im.domain import RecallMessage, SendMessage
from server.kernel.actor import PLATFORM, Actor, Role, StaffRole, system_actor
from server.kernel.audit import AUDIT
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.fhir import validated
from tests.support.supervision import DOCTOR, PATIENT, Supervision, staff, supervision

ADMIN = staff(StaffRole.MEDICAL_ADMIN)
OWNER = Actor(PATIENT, Role.PATIENT, PLATFORM, new_id())


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Supervision]:
    made = await supervision(database, clock, tmp_path)
    yield made
    await made.close()


async def _show(world: Supervision, order: Order, kind: str) -> str:
    media_id = new_id()
    actor = Actor(PATIENT, Role.PATIENT, PLATFORM, new_id())
    command = SendMessage(PATIENT, new_id(), ({"kind": kind, "media_id": media_id}, {"kind": "text", "text": "请看"}))
    await world.log.send(actor, order.conversation_id, command)
    return media_id


async def test_a_consult_is_a_bundle_that_validates(world: Supervision, clock: ManualClock) -> None:
    order = await world.order()
    clock.advance(timedelta(minutes=5))
    await world.say(order, PATIENT, "发热两天，最高 39℃")
    clock.advance(timedelta(minutes=5))
    await world.say(order, DOCTOR, "有没有咳嗽？")
    media_id = await _show(world, order, "image")
    found = validated(await world.export.for_staff(ADMIN, order.id, inline=False))
    (patient,), (doctor,), (encounter,) = found["Patient"], found["Practitioner"], found["Encounter"]
    assert (patient["name"][0]["text"], patient["gender"]) == ("王小明", "male")
    assert (doctor["name"][0]["text"], doctor["qualification"][0]["code"]["text"]) == ("李医生", "主任医师")
    assert (encounter["status"], encounter["class"]["code"]) == ("in-progress", "VR")
    assert encounter["reasonCode"] == [{"text": "发热两天"}]
    first, second, third = found["Communication"]
    assert [first["payload"], second["payload"]] == [
        [{"contentString": "发热两天，最高 39℃"}],
        [{"contentString": "有没有咳嗽？"}],
    ]
    assert [c["sender"]["type"] for c in (first, second)] == ["Patient", "Practitioner"]
    picture = third["payload"][0]["contentAttachment"]["url"]
    assert picture.replace("urn:uuid:", "").replace("-", "") == media_id
    assert (found["Invoice"][0]["status"], found["Invoice"][0]["totalNet"]) == ("balanced", {"value": 50.0, "currency": "CNY"})
    assert [c["provision"]["type"] for c in found["Consent"]] == ["permit", "permit"]
    (source,) = found["Provenance"][0]["entity"]
    assert source["what"]["identifier"]["value"].startswith(f"{order.conversation_id}:4:")


async def test_what_was_recalled_is_named_and_not_told(world: Supervision) -> None:
    order = await world.order()
    secret = await world.say(order, DOCTOR, "这是发错的内容")
    await world.log.recall(
        Actor(DOCTOR, Role.DOCTOR, "default", new_id()), order.conversation_id, RecallMessage(DOCTOR, new_id(), secret)
    )
    for made in (
        await world.export.for_staff(ADMIN, order.id, inline=True),
        await world.export.for_patient(OWNER, order.id, inline=True),
    ):
        (message,) = validated(made)["Communication"]
        assert (message["status"], "payload" in message) == ("entered-in-error", False)
        assert "发错" not in orjson.dumps(made).decode()


async def test_attachments_go_inline_where_that_is_wanted_and_they_fit(world: Supervision) -> None:
    order = await world.order()
    small, large = await _show(world, order, "image"), await _show(world, order, "voice")
    world.shelf.contents = {
        ("conversation", order.conversation_id, small): ("image/jpeg", b"picture"),
        ("conversation", order.conversation_id, large): ("audio/mp4", bytes(MAX_INLINE_BYTES)),
    }
    messages = validated(await world.export.for_patient(OWNER, order.id, inline=True))["Communication"]
    inline, named = (message["payload"][0]["contentAttachment"] for message in messages)
    assert inline == {"contentType": "image/jpeg", "data": b64encode(b"picture").decode(), "size": 7}
    assert named.keys() == {"url"}


async def test_an_order_that_nobody_paid_is_exported_as_planned(world: Supervision) -> None:
    order = await world.order(paid=False)
    found = validated(await world.export.for_staff(ADMIN, order.id, inline=False))
    assert (found["Encounter"][0]["status"], found["Invoice"][0]["status"]) == ("planned", "issued")
    assert "Communication" not in found
    assert "PaymentNotice" not in found


async def test_each_export_is_a_row_and_so_is_each_refusal(world: Supervision, database: Database) -> None:
    order = await world.order()
    await world.export.for_patient(OWNER, order.id, inline=False)
    await world.export.for_staff(ADMIN, order.id, inline=False)
    await world.export.for_operator(system_actor(name="operator:li"), "default", order.id, inline=False)
    for actor in (Actor(new_id(), Role.PATIENT, PLATFORM, new_id()), Actor(DOCTOR, Role.DOCTOR, "default", new_id())):
        with pytest.raises(OrderNotFound):
            await world.export.for_patient(actor, order.id, inline=False)
    with pytest.raises(OrderNotFound):
        await world.export.for_staff(staff(StaffRole.MEDICAL_ADMIN, hospital_id="another"), order.id, inline=False)
    with pytest.raises(OrderNotFound):
        await world.export.for_operator(ADMIN, "default", order.id, inline=False)
    rows = await database[AUDIT].find({"order_id": order.id, "action": {"$regex": "exported"}}, sort=[("_id", 1)]).to_list()
    assert [(r["action"], r["account_id"] in (PATIENT, ADMIN.account_id, "operator:li"), r["outcome"]) for r in rows] == [
        ("consult.order_exported", True, "ok"),
        ("admin.order_exported", True, "ok"),
        ("admin.order_exported", True, "ok"),
        ("consult.order_exported", False, "denied"),
        ("consult.order_exported", False, "denied"),
        ("admin.order_exported", True, "denied"),
    ]


async def test_money_that_came_and_went_is_reconciled(world: Supervision, clock: ManualClock) -> None:
    order = await world.order()
    now = clock.now()
    payment = Payment(
        id=new_id(),
        hospital_id="default",
        order_id=order.id,
        payer_account_id=PATIENT,
        channel=Channel.WECHAT_H5,
        amount_fen=5000,
        description="咨询",
        expires_at=now,
        out_trade_no="YZP1",
        status=PaymentStatus.CAPTURED,
        created_at=now,
        captured_at=now,
        captured_fen=5000,
    )
    refund = Refund(
        id=new_id(),
        hospital_id="default",
        order_id=order.id,
        payment_id=payment.id,
        cause="expired",
        amount_fen=5000,
        status=RefundStatus.REFUNDED,
        out_refund_no="YZR1",
        created_at=now,
        next_try_at=None,
        refunded_at=now + timedelta(minutes=1),
    )
    waiting = replace(payment, id=new_id(), status=PaymentStatus.OPEN, captured_at=None)
    cancelled = replace(order, phase=Phase.CANCELLED, cancelled_at=now, cancel_reason=CloseReason.CANCELLED)
    file = ConsultFile(cancelled, (), (payment, waiting), (refund,))
    found = validated(bundle(file, now=now, exporter="x"))
    (reconciliation,), (notice,) = found["PaymentReconciliation"], found["PaymentNotice"]
    assert [d["amount"]["value"] for d in reconciliation["detail"]] == [50.0, -50.0]
    assert (notice["amount"]["value"], notice["paymentStatus"]["coding"][0]["code"]) == (50.0, "paid")
    assert found["Invoice"][0]["status"] == "cancelled"
    assert "entity" not in found["Provenance"][0]


async def test_the_validator_that_these_tests_trust_refuses_what_fhir_refuses(world: Supervision) -> None:
    order = await world.order()
    made = await world.export.for_staff(ADMIN, order.id, inline=False)
    encounter = next(e["resource"] for e in made["entry"] if e["resource"]["resourceType"] == "Encounter")
    del encounter["class"]
    with pytest.raises(ValueError, match="class"):
        validated(made)
