"""What a patient can say to a doctor's replies and cards: object, look, rate."""

import re
import uuid
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.browser import visit
from tests.support.contract import Pair, World, identity_number, new_phone, text, world_of
from tests.support.patient_app import open_chat, pair_of, sign_in
from tests.support.product import Product, start_product

CANNED = "请注意休息，清淡饮食，如有不适请随时就诊。"


@pytest_asyncio.fixture(loop_scope="session")
async def hasty(tmp_path: Path) -> AsyncIterator[Product]:
    """One where a reply can be taken back for a second only: what follows from an order's end follows soon."""
    made = await start_product(tmp_path / "var", YZ_RECALL_WINDOW="1s")
    try:
        yield made
    finally:
        await made.stop()


async def test_a_reply_that_says_nothing_or_was_said_to_others_is_shown_as_such_and_objected_to_once(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    pair = await pair_of(world, phone)
    other = await world.patient()
    told_before = Pair(world, other, (await world.new_patient(other))["id"], pair.doctor, pair.doctor_id)
    await told_before.reply((await told_before.paid())["conversation_id"], CANNED)
    order = await pair.paid()
    async with visit(chrome, product, trace) as context:
        page = await context.new_page()
        await sign_in(page, product, phone)
        await page.goto("/patient/notices")
        empty = await pair.reply(order["conversation_id"], "您好")
        canned = await pair.reply(order["conversation_id"], CANNED)
        about = page.get_by_role("button", name=re.compile("关于医生的一条回复"))
        await expect(about).to_have_count(2)  # told live
        await about.first.click()
        await expect(page.get_by_role("heading", name="有一条回复可能不够认真")).to_be_visible()
        flaws = page.locator(".p-flag")
        await expect(flaws.filter(has_text="这条回复可能过于简短")).to_have_count(1)
        repeated = flaws.filter(has_text="这条回复与医生给别人的相同")
        await repeated.get_by_role("link", name="查看这条回复").click()
        await expect(page.locator("[data-found=true]").get_by_text(CANNED)).to_be_visible()
        await page.get_by_role("button", name="返回").click()
        await repeated.get_by_role("button", name="提出异议").click()
        sheet = page.get_by_role("dialog", name="提出异议")
        await expect(sheet.get_by_role("button", name="提交")).to_be_disabled()
        await sheet.get_by_label("它为什么没有帮到您？").fill("我问的是<咳嗽>，没有回答。")
        await sheet.get_by_role("button", name="提交").click()
        await expect(repeated.get_by_text("您已提出异议，医院会处理。")).to_be_visible()
        await page.reload()
        await expect(repeated.get_by_text("您已提出异议，医院会处理。")).to_be_visible()
        await expect(repeated.get_by_role("button", name="提出异议")).to_have_count(0)
        await expect(page.get_by_role("button", name="提出异议")).to_have_count(1)  # of the other reply
    flags = {each["seq"]: each for each in (await pair.patient.get(f"/orders/{order['id']}/reply-flags"))["items"]}
    assert (flags[empty["seq"]]["flaw"], flags[empty["seq"]]["contested_at"]) == ("empty", None)
    assert (flags[canned["seq"]]["flaw"], flags[canned["seq"]]["reason"]) == ("repeated", "我问的是<咳嗽>，没有回答。")


async def test_cards_of_a_record_a_visit_a_gift_and_a_rating_say_what_they_are_and_lead_on(
    hasty: Product, chrome: Browser, trace: Path
) -> None:
    async with world_of(hasty) as world, visit(chrome, hasty, trace) as context:
        phone = new_phone()
        pair = await pair_of(world, phone)
        page = await context.new_page()
        await sign_in(page, hasty, phone)
        await _cards(page, pair)


async def test_what_a_newcomer_wrote_of_an_order_is_there_after_adding_the_first_patient(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    _, doctor_id, _ = await world.new_doctor(name="陆远舟")
    async with visit(chrome, product, trace) as context:
        page = await context.new_page()
        await sign_in(page, product, new_phone())
        await page.goto("/patient/doctors?q=zzzz")
        await page.get_by_role("button", name="查看全部医生").click()
        await expect(page.locator(".p-doctor").first).to_be_visible()
        await page.goto(f"/patient/doctors/{doctor_id}/order")
        await page.get_by_label("哪里不舒服？").fill("夜里总醒，白天没精神。")
        await page.get_by_role("link", name="添加就诊人").click()
        await page.get_by_label("姓名").fill("陈小雨")
        await page.get_by_label("身份证号").fill(identity_number(date(1956, 3, 8), 2))
        await page.get_by_label("手机号").fill(new_phone())
        await page.get_by_role("button", name="保存").click()
        await expect(page.get_by_role("radio", name="陈小雨 女")).to_be_checked()
        await expect(page.get_by_label("哪里不舒服？")).to_have_value("夜里总醒，白天没精神。")


async def _cards(page: Page, pair: Pair) -> None:
    order = await pair.paid()
    path = f"/conversations/{order['conversation_id']}/messages"
    records = (await pair.doctor.get(f"/orders/{order['id']}/records"))["items"]
    visited = {
        "department": "骨科门诊",
        "date": _in_a_month(order["paid_at"]),
        "period": "morning",
        "note": "请带<外院>的片子。",
    }
    await open_chat(page, order)
    await expect(page.get_by_text("还剩 3 次回复")).to_be_visible()
    shared = _card("record_shared", record_id=records[0]["record_id"])
    await pair.doctor.post(path, _body(text("看这一份。"), shared, _card("booking", **visited)), 201)
    record = page.get_by_role("region", name="医生请您看一份病历")
    await expect(record.get_by_text("病历原件在医院保管")).to_be_visible()
    await expect(page.get_by_text(records[0]["title"])).to_have_count(0)  # nothing of what it says
    visit_card = page.get_by_role("region", name="建议到院就诊")
    await expect(visit_card.get_by_text("骨科门诊")).to_be_visible()
    await expect(visit_card.get_by_text("上午")).to_be_visible()
    await expect(visit_card.get_by_text("请带<外院>的片子。")).to_be_visible()

    await pair.doctor.post(f"/orders/{order['id']}/gifts", {"count": 2})
    await expect(page.get_by_role("region", name="医生赠送了 2 次回复").get_by_text("不另收费")).to_be_visible()
    await expect(page.get_by_text("还剩 4 次回复")).to_be_visible()

    await record.get_by_role("link", name="谁看过我的病历").click()
    await expect(page.get_by_role("heading", name="谁看过我的病历")).to_be_visible()
    await page.get_by_role("button", name="返回").click()
    await pair.doctor.post(f"/orders/{order['id']}/finish", {})
    rating = page.get_by_role("region", name="这次问诊您满意吗？")
    await rating.get_by_role("link", name="评价医生").click()  # asked when no reply can be taken back any more
    await page.get_by_role("radio", name="4 星").check()
    await page.get_by_role("button", name="提交评价").click()
    await expect(page.get_by_role("heading", name="我的评价")).to_be_visible()
    await page.get_by_role("link", name="查看对话").click()
    await expect(page.get_by_role("region", name="医生赠送了 2 次回复")).to_be_visible()
    await expect(rating).to_have_count(0)  # once
    assert (await pair.doctor.get(f"/orders/{order['id']}"))["rating"]["stars"] == 4


def _card(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "card", "card": name, "data": data}


def _body(*parts: Any) -> dict[str, Any]:
    return {"client_id": uuid.uuid4().hex, "parts": list(parts)}


def _in_a_month(instant: str) -> str:
    year, month = int(instant[:4]), int(instant[5:7])
    return f"{year + month // 12}-{month % 12 + 1:02d}-05"
