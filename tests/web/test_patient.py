"""The patient's app against the running product, as a patient uses it; the doctor answers through the API."""

import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.browser import visit
from tests.support.contract import Pair, World, new_phone, world_of
from tests.support.patient_app import Line, say, serious, sign_in
from tests.support.product import Product, start_product

expect.set_options(timeout=20_000)  # a busy machine is slow, not wrong
PICTURE = Path(__file__).parents[2] / "web" / "dist" / "patient" / "icon-192.png"


@pytest.fixture
async def world(product: Product) -> AsyncIterator[World]:
    async with world_of(product) as people:
        yield people


async def _pair(world: World, phone: str) -> Pair:
    """A new account with a patient of its own, and a new doctor."""
    patient = await world.patient(phone)
    patient_id = (await world.new_patient(patient))["id"]
    doctor, doctor_id, _ = await world.new_doctor(name="陆远舟")
    return Pair(world, patient, patient_id, doctor, doctor_id)


async def _chat(page: Page, order_id: str) -> None:
    await page.goto(f"/patient/orders/{order_id}/chat")
    await expect(page.get_by_label("输入消息")).to_be_visible()


async def test_a_patient_asks_pays_talks_and_rates(product: Product, world: World, chrome: Browser, trace: Path) -> None:
    phone = new_phone()
    pair = await _pair(world, phone)
    async with visit(chrome, product, trace) as context:
        page, complaints = await context.new_page(), []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await sign_in(page, product, phone)
        await page.goto("/patient/doctors")
        await page.get_by_role("searchbox").fill("luyuanzhou")
        await page.get_by_role("link", name=re.compile("陆远舟")).first.click()
        await page.goto(f"/patient/doctors/{pair.doctor_id}")
        await page.get_by_role("link", name="立即咨询").click()
        await page.get_by_role("button", name=re.compile("提交")).click()
        await expect(page.get_by_text("请写下您的情况。")).to_be_visible()
        await page.get_by_label("哪里不舒服？").fill("反复咳嗽两周，夜间加重。")
        await page.get_by_label("添加图片").set_input_files(PICTURE)
        await expect(page.get_by_label("查看第 1 张图片")).to_be_visible()
        await expect(page.get_by_label("正在上传")).to_have_count(0)
        await page.get_by_label(re.compile("我已阅读并同意")).check()
        await page.get_by_role("button", name=re.compile("提交")).click()
        async with context.expect_page() as opened:
            await page.get_by_role("button", name=re.compile("确认付款 ¥50")).click()
        wallet = await opened.value
        await wallet.get_by_role("button", name="立即支付").click()
        await expect(page.get_by_role("heading", name="付款成功")).to_be_visible()
        await page.get_by_role("link", name="进入问诊").click()

        order_id = page.url.split("/orders/")[1].split("/")[0]
        order = await pair.until(order_id, "awaiting_doctor")
        assert (order["complaint"], len(order["image_ids"]), order["record_access"]) == ("反复咳嗽两周，夜间加重。", 1, False)
        await say(page, "昨晚又咳了<b>一夜</b>")
        await expect(page.get_by_text("已发送")).to_be_visible()
        await expect(page.get_by_text("昨晚又咳了<b>一夜</b>")).to_be_visible()  # text is text
        await expect(page.get_by_text("还剩 3 次回复")).to_be_visible()
        await pair.reply(order["conversation_id"], "有痰吗？")
        await expect(page.get_by_text("有痰吗？")).to_be_visible()
        await expect(page.get_by_text("还剩 2 次回复")).to_be_visible()
        await pair.doctor.post(f"/orders/{order_id}/finish", {}, key=uuid.uuid4().hex)
        await page.get_by_role("link", name="评价医生").click()
        await page.get_by_role("radio", name="5 星").check()
        await page.get_by_role("button", name="讲得明白").click()
        await page.get_by_role("button", name="提交评价").click()
        await expect(page.get_by_role("heading", name="我的评价")).to_be_visible()
        rated = (await pair.doctor.get(f"/orders/{order_id}"))["rating"]
        assert (rated["stars"], rated["tags"]) == (5, ["讲得明白"])
        await page.goto("/patient/notices")
        await expect(page.get_by_text("医生已回复")).to_be_visible()
        assert complaints == []


async def test_what_is_written_without_a_network_is_kept_and_arrives_once(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    pair = await _pair(world, phone)
    order = await pair.paid()
    async with visit(chrome, product, trace) as context:
        line = await Line(context).lay()
        page = await context.new_page()
        await sign_in(page, product, phone)
        await page.evaluate("() => navigator.serviceWorker.ready")
        await _chat(page, order["id"])
        await say(page, "第一句")
        await expect(page.get_by_text("已发送")).to_have_count(1)
        await page.wait_for_timeout(2_000)  # what is shown is put aside for reading offline a moment later
        await line.cut()
        await say(page, "第二句")
        await say(page, "第三句")
        await expect(page.get_by_text("发送中…")).to_have_count(2)
        await page.reload()  # the app opens without a network, with all that was said and written
        for words in ("第一句", "第二句", "第三句"):
            await expect(page.get_by_text(words)).to_be_visible()
        await expect(page.get_by_text("发送中…")).to_have_count(2)
        await line.mend()
        await expect(page.get_by_text("已发送")).to_have_count(3, timeout=30_000)
    said = [entry["parts"][0]["text"] for entry in await pair.log(order["conversation_id"]) if entry["kind"] == "message"]
    assert said == ["第一句", "第二句", "第三句"]


async def test_a_voice_message_is_spoken_sent_and_played(product: Product, world: World, chrome: Browser, trace: Path) -> None:
    phone = new_phone()
    pair = await _pair(world, phone)
    order = await pair.paid()
    async with visit(chrome, product, trace) as context:
        page = await context.new_page()
        await sign_in(page, product, phone)
        await _chat(page, order["id"])
        await page.get_by_role("button", name="改用语音").click()
        hold = page.get_by_role("button", name="按住 说话")
        place = await hold.bounding_box()
        assert place is not None
        x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
        await page.mouse.move(x, y)
        await page.mouse.down()
        await expect(page.get_by_text("上滑取消")).to_be_visible()
        await page.mouse.move(x, y - 200)
        await page.mouse.up()
        await expect(page.get_by_text("已取消")).to_be_visible()  # slid away: nothing is sent
        await page.mouse.move(x, y)
        await page.mouse.down()
        await expect(page.get_by_text("0:02 / 1:00")).to_be_visible()
        await page.mouse.up()
        await expect(page.get_by_text("已发送")).to_be_visible()
        await page.reload()  # what is played comes from the server
        await page.get_by_role("button", name=re.compile("播放语音")).click()
        await expect(page.get_by_role("button", name="暂停")).to_be_visible()
        await page.get_by_role("button", name="播放速度 1 倍").click()
        assert await page.evaluate("() => document.querySelector('audio').playbackRate") == 1.5
        await expect(page.get_by_role("button", name=re.compile("播放语音"))).to_be_visible()  # it came to its end
    (spoken,) = [entry for entry in await pair.log(order["conversation_id"]) if entry["kind"] == "message"]
    assert [part["kind"] for part in spoken["parts"]] == ["voice"]


async def test_a_consult_without_an_answer_shows_how_the_money_comes_back(tmp_path: Path, chrome: Browser, trace: Path) -> None:
    hurried = await start_product(tmp_path / "var", YZ_CONSULT_VALIDITY="5s", YZ_RECALL_WINDOW="1s")
    try:
        async with world_of(hurried) as world, visit(chrome, hurried, trace) as context:
            phone = new_phone()
            pair = await _pair(world, phone)
            page = await context.new_page()
            await sign_in(page, hurried, phone)
            order = await pair.paid()
            await page.goto(f"/patient/orders/{order['id']}")
            await expect(page.get_by_text("没有在时间内回复")).to_be_visible(timeout=30_000)
            await expect(page.get_by_text("退款已到账")).to_be_visible()
            await expect(page.get_by_text("¥50 已按原路退回", exact=False)).to_be_visible()
            await page.goto("/patient/notices")
            await expect(page.get_by_text("退款成功")).to_be_visible()
    finally:
        await hurried.stop()


async def test_no_screen_has_a_serious_fault_for_those_who_see_or_move_badly(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    pair = await _pair(world, phone)
    order = await pair.paid()
    await pair.reply(order["conversation_id"], "请多喝水。")
    screens = ["", "orders", "notices", "me", "doctors", f"doctors/{pair.doctor_id}", f"doctors/{pair.doctor_id}/order"]
    screens += [
        f"orders/{order['id']}",
        f"orders/{order['id']}/chat",
        f"orders/{order['id']}/views",
        "patients",
        "patients/new",
    ]
    screens += ["settings", "devices", "password", "nowhere"]
    async with visit(chrome, product, trace) as context:
        page = await context.new_page()
        await sign_in(page, product, phone)
        for screen in screens:
            await page.goto(f"/patient/{screen}")
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.locator(".p-skeleton")).to_have_count(0)
            assert (screen, await serious(page)) == (screen, [])
            assert (screen, await page.evaluate("() => document.documentElement.scrollWidth")) == (screen, 390)
