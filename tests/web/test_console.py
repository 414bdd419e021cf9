"""The audit console, as its people use it."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.accessibility import serious_findings
from tests.support.browser import DESK, visit
from tests.support.contract import PATIENCE_SECONDS, Pair, World, identity_number
from tests.support.product import Product
from tests.web.screens.console import sign_in
from tests.web.screens.doctor import sign_in as sign_in_as_doctor

ANSWER = "先观察体温，多饮水。"


async def _staff_page(context: BrowserContext, product: Product, username: str) -> Page:
    """Signed in as one of the demo's staff. Each test takes another one, since a one-time code is good once."""
    page = await context.new_page()
    await sign_in(page, next(each for each in product.demo["staff"] if each["username"] == username))
    return page


async def _consult(world: World) -> tuple[Pair, dict[str, Any], str]:
    """An order in session whose doctor can look at records; the address of a page, by which the doctor does."""
    patient = await world.patient(world.product.demo["patients"][0]["phone"])
    doctor, doctor_id, _ = await world.new_doctor(name="沈青禾")
    patient_id = (await patient.get("/patients"))["items"][0]["id"]
    pair = Pair(world, patient, patient_id, doctor, doctor_id)
    order = await pair.paid()
    await pair.reply(order["conversation_id"], ANSWER)
    record = (await doctor.get(f"/orders/{order['id']}/records"))["items"][0]["record_id"]
    return pair, order, f"/orders/{order['id']}/records/{record}/pages/1"


async def _screenshot(chrome: Browser, product: Product, trace: Path, phone: str, order_id: str) -> bytes:
    """The doctor's screen at a desk, with a record open beside the chat, as it is shot."""
    async with visit(chrome, product, trace, viewport={"width": 1600, "height": 1000}, color_scheme="light") as context:
        page = await context.new_page()
        await sign_in_as_doctor(product, page, phone)
        await page.goto(f"/doctor/orders/{order_id}")
        await page.locator(".dr-files button").first.click()
        await page.locator(".dr-pages__page").wait_for()
        await page.wait_for_function("() => document.querySelector('.dr-pages__page').complete")
        return await page.screenshot()


async def test_staff_see_an_orders_whole_story_and_find_it_in_the_audit(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    pair, order, path = await _consult(world)
    assert (await pair.doctor.ask("GET", path)).status == 200
    async with visit(chrome, product, trace, **DESK) as context:
        page = await _staff_page(context, product, "medical")
        await expect(page.get_by_role("heading", name="实时总览")).to_be_visible()
        await page.get_by_role("link", name="订单", exact=True).click()
        await page.get_by_role("textbox", name="订单号").fill(order["number"])
        await page.get_by_role("button", name="查询").click()
        await page.get_by_role("link", name=order["number"]).click()
        await expect(page.get_by_text(ANSWER)).to_be_visible()
        await expect(page.get_by_text("收到付款")).to_be_visible()
        await expect(page.get_by_text("查看一页病历").first).to_be_visible()
        await expect(page.get_by_text("目前为止全部正确，下一个时限尚未到")).to_be_visible()
        assert ("order", await serious_findings(page)) == ("order", [])
        await page.get_by_role("link", name="查看审计").click()
        await expect(page.get_by_role("cell", name="发送消息 im.message")).to_be_visible()
        assert pair.patient.account_id not in page.url
        assert ("audit", await serious_findings(page)) == ("audit", [])
        async with page.expect_download() as download:
            await page.get_by_role("button", name="导出所示").click()
        saved = Path(await (await download.value).path()).read_text("utf-8-sig")
        assert "im.message" in saved
        assert ANSWER not in saved


async def test_a_screenshot_of_the_doctors_screen_names_the_doctor_who_looked(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    doctor, doctor_id, phone = await world.new_doctor(name="沈青禾")
    patient = await world.patient(product.demo["patients"][0]["phone"])
    pair = Pair(world, patient, (await patient.get("/patients"))["items"][0]["id"], doctor, doctor_id)
    order = await pair.paid()
    await pair.reply(order["conversation_id"], ANSWER)
    leak = await _screenshot(chrome, product, trace, phone, order["id"])
    async with visit(chrome, product, trace, **DESK) as context:
        page = await _staff_page(context, product, "auditor")
        await page.get_by_role("link", name="泄露溯源").click()
        assert ("trace", await serious_findings(page)) == ("trace", [])
        picture = {"name": "leak.png", "mimeType": "image/png", "buffer": leak}
        await page.locator("input[type=file]").set_input_files(files=[picture])  # type: ignore[list-item]
        await expect(page.get_by_text("沈青禾")).to_be_visible(timeout=60_000)
        await expect(page.get_by_role("link", name=order["number"])).to_be_visible()
        assert ("traced", await serious_findings(page)) == ("traced", [])
        await page.get_by_role("link", name=order["number"]).click()
        await page.get_by_role("button", name="搜索对话").click()
        await page.get_by_role("searchbox", name="要找的词").fill("多饮水")
        await page.keyboard.press("Enter")
        await expect(page.locator(".c-hit").get_by_text(ANSWER)).to_be_visible()
        assert ("messages found", await serious_findings(page)) == ("messages found", [])


async def test_every_screen_opens_without_an_error_and_is_accessible_light_and_dark(
    product: Product, chrome: Browser, trace: Path
) -> None:
    async with visit(chrome, product, trace, **DESK, color_scheme="light") as context:
        page, complaints = await _staff_page(context, product, "admin"), []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for name in ("实时总览", "人工任务", "退款", "统计", "授权医生", "提醒规则", "工作人员", "HL7 消息"):
            await page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
            await expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
            await page.wait_for_load_state("networkidle")
            assert (name, await serious_findings(page)) == (name, [])
            await page.emulate_media(color_scheme="dark")
            assert (f"{name}, dark", await serious_findings(page)) == (f"{name}, dark", [])
            await page.emulate_media(color_scheme="light")
        assert complaints == []


async def test_staff_see_only_the_doors_of_their_roles(product: Product, chrome: Browser, trace: Path) -> None:
    async with visit(chrome, product, trace, **DESK) as context:
        page = await _staff_page(context, product, "finance")
        doors = await page.get_by_role("navigation").get_by_role("link").all_inner_texts()
        assert doors == ["实时总览", "退款", "统计"]
        await page.goto("/console/orders")
        await expect(page.get_by_text("您的角色不能进行此操作")).to_be_visible()


async def test_staff_decide_a_contested_reply_by_keyboard_and_the_policy_refuses_nothing_of_ours(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    pair, _, _ = await _consult(world)
    order = await pair.paid(complaint="头晕两天")
    said = await pair.reply(order["conversation_id"], "嗯")
    flags = f"/orders/{order['id']}/reply-flags"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await pair.patient.get(flags))["items"]:
            await asyncio.sleep(0.2)
    await pair.patient.post(f"{flags}/{said['seq']}/contest", {"reason": "只回了一个字。"})
    async with visit(chrome, product, trace, **DESK, color_scheme="light") as context:
        page = await _staff_page(context, product, "medical")
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text) if "Content Security Policy" in message.text else None)
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="键盘操作").get_by_text("人工任务")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog", name="键盘操作")).to_be_hidden()
        await page.keyboard.press("g")
        await page.keyboard.press("t")
        await expect(page.get_by_role("heading", level=1, name="人工任务")).to_be_visible()
        task = (
            page.get_by_role("listitem")
            .filter(has=page.get_by_role("link", name="打开订单"))
            .filter(has_text="回复被患者质疑")
            .first
        )
        await expect(task).to_be_visible(timeout=45_000)  # the list is asked for again every 20 s
        await task.get_by_role("button", name="认领").click()
        await page.get_by_text("处理中", exact=True).first.click()
        await expect(page.get_by_text("只回了一个字。")).to_be_visible()
        await page.get_by_role("button", name="完成…").first.click()
        dialog = page.get_by_role("dialog", name="任务结果")
        await dialog.get_by_role("radio", name="质疑成立").check()
        await dialog.get_by_role("button", name="保存").click()
        await expect(dialog).to_be_hidden()
        await page.get_by_text("已完成", exact=True).first.click()
        await expect(page.get_by_text("处理结果: 质疑成立").first).to_be_visible()
        assert refused == []


async def test_a_message_of_the_hospitals_that_could_not_be_taken_waits_for_repair(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    number = identity_number(date(1961, 5, 5), 21)
    sent = await world.outside("POST", "/hospital/hl7", {"number": number, "name": "周桂英", "fault": "other_birth_date"})
    assert sent["code"] != "AA"
    async with visit(chrome, product, trace, **DESK) as context:
        page = await _staff_page(context, product, "operator")
        await page.get_by_role("link", name="HL7 消息").click()
        row = page.get_by_role("row").filter(has_text=sent["sent_as"])
        await expect(row).to_be_visible()
        assert "周桂英" not in await page.content()
        await row.get_by_role("button", name="重新处理").click()
        await expect(page.get_by_text("仍未能处理")).to_be_visible()
        await expect(row.get_by_role("cell", name="2", exact=True)).to_be_visible()
