"""After-sales over the wire: an answered patient asks for the fee, a medical administrator decides, the wallet has it."""

import asyncio
from typing import Any

import pytest

from tests.support.contract import PATIENCE_SECONDS, Client, Pair, World, instant
from tests.support.media_files import image_file

STATE = {"state", "amount_fen", "asked_at", "decided_at"}


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


async def finished(pair: Pair) -> Any:
    order = await pair.paid()
    await pair.reply(order["conversation_id"])
    await pair.doctor.post(f"/orders/{order['id']}/finish", {})
    return order


async def ask(pair: Pair, order: Any, **changes: Any) -> Any:
    body = {"reason": "没有回答我的问题", "text": "只说了多喝水", "image_ids": []} | changes
    return await pair.patient.post(f"/orders/{order['id']}/after-sales", body)


async def refunds_of(pair: Pair, order: Any, seconds: float = PATIENCE_SECONDS) -> list[Any]:
    """What the wallet has back, once it is there."""
    async with asyncio.timeout(seconds):
        while True:
            wallet = await pair.world.wallet(order["prepay_id"])
            if wallet["refunds"] and all(each["status"] == "SUCCESS" for each in wallet["refunds"]):
                return [each["amount_fen"] for each in wallet["refunds"]]
            await asyncio.sleep(0.1)


async def postings(staff: Client, order: Any) -> dict[str, int]:
    dossier = await staff.get(f"/admin/orders/{order['id']}/dossier")
    return {each["entry"]: each["amount_fen"] for each in dossier["postings"]}


async def test_a_part_goes_back_the_ledger_says_what_was_decided_and_the_order_stays_completed(pair: Pair) -> None:
    order, staff = await finished(pair), await pair.world.staff()
    asked = await ask(pair, order)
    assert (asked["status"], asked["after_sales"]["state"], asked["after_sales"].keys()) == ("completed", "requested", STATE)
    (case,) = [
        each for each in (await staff.get("/admin/after-sales?state=requested"))["items"] if each["order_id"] == order["id"]
    ]
    assert (case["reason"], case["text"], case["order_number"]) == ("没有回答我的问题", "只说了多喝水", order["number"])
    decision = {"granted": True, "amount_fen": 1_200, "answer": "退还部分费用"}
    decided = await staff.post(f"/admin/after-sales/{case['after_sales_id']}/decision", decision)
    assert (decided["state"], decided["amount_fen"]) == ("granted", 1_200)
    assert await refunds_of(pair, order) == [1_200]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (shown := await pair.patient.get(f"/orders/{order['id']}"))["refunded_fen"] != 1_200:
            await asyncio.sleep(0.1)
    assert (shown["status"], shown["close_reason"]) == ("completed", "finished")
    assert (await postings(staff, order))["refunded"] == 1_200
    own = await pair.patient.get(f"/orders/{order['id']}/after-sales")
    assert (own["answer"], own["amount_fen"]) == ("退还部分费用", 1_200)
    instant(own["decided_at"])


async def test_the_whole_fee_goes_back_and_the_order_ends_refunded_by_after_sales(pair: Pair) -> None:
    order, staff = await finished(pair), await pair.world.staff()
    await ask(pair, order)
    await staff.post(f"/admin/after-sales/{order['id']}/decision", {"granted": True})
    refunded = await pair.until(order["id"], "refunded")
    assert (refunded["close_reason"], refunded["refunded_fen"]) == ("after_sales", order["fee_fen"])
    assert await refunds_of(pair, order) == [order["fee_fen"]]
    again = await staff.ask("POST", f"/admin/after-sales/{order['id']}/decision", {"granted": True})
    again.refused(409, "after_sales.transition_refused")


async def test_who_can_no_longer_cancel_asks_while_the_consult_goes_on(pair: Pair) -> None:
    order, staff = await pair.paid(), await pair.world.staff()
    (await pair.patient.ask("POST", f"/orders/{order['id']}/after-sales", {"reason": "退款"})).refused(
        409, "order.transition_refused"
    )
    await pair.reply(order["conversation_id"])
    (await pair.patient.ask("POST", f"/orders/{order['id']}/cancel", {})).refused(409, "order.transition_refused")
    assert (await ask(pair, order))["status"] == "in_session"
    await staff.post(f"/admin/after-sales/{order['id']}/decision", {"granted": True, "answer": "全额退还"})
    assert (await pair.until(order["id"], "refunded"))["close_reason"] == "after_sales"
    assert [entry["kind"] for entry in await pair.log(order["conversation_id"])] == ["opened", "message", "closed", "settled"]


async def test_pictures_of_a_case_are_the_patients_and_whose_who_decides(pair: Pair) -> None:
    order, world = await finished(pair), pair.world
    upload = await pair.patient.upload(image_file("png"), "chat.png")
    media_id = upload.ok(201)["media_id"]
    await ask(pair, order, image_ids=[media_id])
    for who, status in ((pair.patient, 200), (await world.staff(), 200), (pair.doctor, 404), (await world.staff(2), 404)):
        assert (await who.ask("POST", f"/media/{media_id}/links", {})).status == status


async def test_nobody_else_asks_or_decides_and_no_words_cross_over(pair: Pair) -> None:
    world, order = pair.world, await finished(pair)
    stranger, path = await world.patient(), f"/orders/{order['id']}/after-sales"
    (await stranger.ask("POST", path, {"reason": "退款"})).refused(404, "order.not_found")
    (await pair.doctor.ask("POST", path, {"reason": "退款"})).refused(403, "request.forbidden")
    (await pair.patient.ask("GET", path)).refused(404, "after_sales.not_found")
    decision, staff = f"/admin/after-sales/{order['id']}/decision", await world.staff()
    (await staff.ask("POST", decision, {"granted": True})).refused(404, "after_sales.not_found")
    await ask(pair, order)
    (await pair.patient.ask("POST", path, {"reason": "再次"})).refused(409, "order.transition_refused")
    for bad in ({}, {"reason": "  "}, {"reason": 1}, {"reason": "x", "more": 1}, {"reason": "x", "image_ids": ["x"]}):
        (await pair.patient.ask("POST", path, bad)).refused(422, "request.invalid")
    for who in (pair.patient, pair.doctor, await world.staff(2), await world.staff(4)):
        (await who.ask("POST", decision, {"granted": True})).refused(403, "request.forbidden")
    for bad in ({"granted": True, "amount_fen": 0}, {"granted": True, "amount_fen": 10**9}, {"granted": "yes"}):
        (await staff.ask("POST", decision, bad)).refused(422, "request.invalid")
    seen = await pair.doctor.get(f"/orders/{order['id']}")
    assert seen["after_sales"].keys() == STATE
    assert "多喝水" not in str(seen)
