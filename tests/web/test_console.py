"""The audit console, as its people use it."""

import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.browser import DESK, visit
from tests.support.contract import Pair, World, world_of
from tests.support.product import Product
from tests.web.screens.console import sign_in

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
_STILL = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  await frame();
  await frame();
  const ends = document.getAnimations().filter((each) => each.effect.getComputedTiming().iterations !== Infinity);
  await Promise.allSettled(ends.map((each) => each.finished));
}"""
ANSWER = "先观察体温，多饮水。"


@pytest.fixture
async def world(product: Product) -> AsyncIterator[World]:
    async with world_of(product) as people:
        yield people


async def _staff_page(context: BrowserContext, product: Product, username: str) -> Page:
    """Signed in as one of the demo's staff. Each test takes another one, since a one-time code is good once."""
    page = await context.new_page()
    await sign_in(page, next(each for each in product.demo["staff"] if each["username"] == username))
    return page


async def _consult(world: World) -> tuple[Pair, dict[str, Any], str]:
    """An order in session whose doctor has looked at a record; the page of the record, and the doctor's name."""
    patient = await world.patient(world.product.demo["patients"][0]["phone"])
    doctor, doctor_id, _ = await world.new_doctor(name="沈青禾")
    patient_id = (await patient.get("/patients"))["items"][0]["id"]
    pair = Pair(world, patient, patient_id, doctor, doctor_id)
    order = await pair.paid()
    await pair.reply(order["conversation_id"], ANSWER)
    record = (await doctor.get(f"/orders/{order['id']}/records"))["items"][0]["record_id"]
    return pair, order, f"/orders/{order['id']}/records/{record}/pages/1"


async def _screenshot(chrome: Browser, drawn: bytes) -> bytes:
    """The page of a record as somebody's screen showed it, and was shot."""
    picture = io.BytesIO()
    image = Image.open(io.BytesIO(drawn)).convert("RGB")
    image.save(picture, "PNG")
    page = await chrome.new_page(viewport={"width": image.width, "height": min(image.height, 1600)})
    shown = base64.b64encode(picture.getvalue()).decode()
    await page.set_content(f'<!doctype html><style>{_STYLE}</style><img src="data:image/png;base64,{shown}">')
    await page.wait_for_function("() => document.images[0].complete && document.images[0].naturalWidth > 0")
    shot = await page.screenshot()
    await page.close()
    return shot


_STYLE = "body{margin:0}img{display:block;width:100%}"


async def _require_accessible(page: Page, where: str) -> None:
    """No finding of axe that is serious or worse."""
    if not await page.evaluate("() => 'axe' in window"):
        await page.evaluate(AXE.read_text())
    await page.evaluate(_STILL)  # colours on their way from one look to the other are no finding
    found = await page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    bad = [
        (each["id"], [node["target"] for node in each["nodes"]][:3])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert bad == [], (where, bad)


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
        await _require_accessible(page, "order")
        await page.get_by_role("link", name="查看审计").click()
        await expect(page.get_by_role("cell", name="发送消息 im.message")).to_be_visible()
        assert pair.patient.account_id not in page.url
        await _require_accessible(page, "audit")
        async with page.expect_download() as download:
            await page.get_by_role("button", name="导出所示").click()
        saved = Path(await (await download.value).path()).read_text("utf-8-sig")
        assert "im.message" in saved
        assert ANSWER not in saved


async def test_a_screenshot_of_a_record_names_the_doctor_who_looked(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    pair, order, path = await _consult(world)
    drawn = await pair.doctor.ask("GET", path)
    leak = await _screenshot(chrome, drawn.body)
    async with visit(chrome, product, trace, **DESK) as context:
        page = await _staff_page(context, product, "auditor")
        await page.get_by_role("link", name="泄露溯源").click()
        await _require_accessible(page, "trace")
        picture = {"name": "leak.png", "mimeType": "image/png", "buffer": leak}
        await page.locator("input[type=file]").set_input_files(files=[picture])  # type: ignore[list-item]
        await expect(page.get_by_text("沈青禾")).to_be_visible(timeout=60_000)
        await expect(page.get_by_role("link", name=order["number"])).to_be_visible()
        await _require_accessible(page, "traced")


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
            await _require_accessible(page, name)
            await page.emulate_media(color_scheme="dark")
            await _require_accessible(page, f"{name}, dark")
            await page.emulate_media(color_scheme="light")
        assert complaints == []


async def test_staff_see_only_the_doors_of_their_roles(product: Product, chrome: Browser, trace: Path) -> None:
    async with visit(chrome, product, trace, **DESK) as context:
        page = await _staff_page(context, product, "finance")
        doors = await page.get_by_role("navigation").get_by_role("link").all_inner_texts()
        assert doors == ["实时总览", "退款", "统计"]
        await page.goto("/console/orders")
        await expect(page.get_by_text("您的角色不能进行此操作")).to_be_visible()
