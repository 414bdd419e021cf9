"""The doctor's app at a desk and on a phone, against the running product; the patient acts over the wire."""

import re
import secrets
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Route, WebSocketRoute, expect

from tests.support.accessibility import serious_findings
from tests.support.browser import DESK, sms_code, visit
from tests.support.contract import Pair, World, identity_number, text
from tests.support.media_files import image_file
from tests.support.product import Product

WIDE = {"viewport": {"width": 1440, "height": 900}, "permissions": ["microphone"]}
WITHIN_MS = 1_000
LOOKS = [{**WIDE, "color_scheme": "light"}, {"color_scheme": "dark"}]

TWO_SECONDS = re.compile(r"0:(0[2-9]|[1-5]\d) / 1:00")  # or more: a busy machine shows not every second

TWO_KEYS_AT_ONCE = """() => {
    const key = () => dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", altKey: true }));
    key();
    key();
}"""


@dataclass(slots=True)
class Desk:
    pair: Pair
    page: Page
    phone: str

    async def open_order(self, order: Any) -> None:
        await self.page.goto(f"/doctor/orders/{order['id']}")
        await expect(self.page.get_by_role("log")).to_be_visible()

    async def send(self, words: str) -> None:
        await self.page.get_by_label("输入消息").or_(self.page.locator("textarea")).first.fill(words)
        await self.page.get_by_role("button", name="发送", exact=True).click()


async def _desk(world: World, context: BrowserContext, *, known: bool = False) -> Desk:
    """A new doctor at the desk; `known`: the patient is one of the demo's, whom the hospital knows."""
    doctor, doctor_id, phone = await world.new_doctor(name="沈知远")
    patient = await world.patient(world.product.demo["patients"][0]["phone"] if known else None)
    patient_id = (await patient.get("/patients"))["items"][0]["id"] if known else (await world.new_patient(patient))["id"]
    page = await context.new_page()
    await page.goto("/doctor/")
    await page.get_by_label("手机号").fill(phone)
    await page.get_by_role("button", name="获取验证码").click()
    await expect(page.get_by_text("验证码已发送")).to_be_visible()
    await page.get_by_label("验证码", exact=True).fill(await sms_code(world.product, phone))
    await page.get_by_role("button", name="登录").click()
    await expect(page.get_by_role("navigation", name="主导航")).to_be_visible()
    return Desk(Pair(world, patient, patient_id, doctor, doctor_id), page, phone)


async def test_an_order_arrives_live_and_is_answered_with_words_a_picture_and_a_voice_until_the_last_reply_ends_it(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    async with visit(chrome, product, trace, **WIDE) as context:
        desk = await _desk(world, context)
        page, pair = desk.page, desk.pair
        await expect(page.get_by_text("暂时没有待接诊的患者")).to_be_visible()
        order = await pair.paid(complaint="<b>咳嗽</b>两周，夜里加重")
        row = page.get_by_role("link", name=re.compile("陈小雨"))
        await expect(row).to_be_visible(timeout=5_000)
        await row.click()
        await expect(page.get_by_label("病情描述").get_by_text("<b>咳嗽</b>两周，夜里加重")).to_be_visible()
        await page.get_by_role("textbox", name="输入消息").fill("请看图，并听说明。")
        await page.get_by_test_id("picture-input").set_input_files(
            {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": image_file("jpeg", size=(600, 400))}
        )
        await page.get_by_role("button", name="录制语音").click()
        await expect(page.get_by_text(TWO_SECONDS)).to_be_visible()
        await page.get_by_role("button", name="完成").click()
        await expect(page.get_by_text("还可回复 3 次（共 3 次）").last).to_be_visible()
        await page.get_by_role("button", name="发送", exact=True).click()
        bubble = page.get_by_role("article").filter(has_text="请看图，并听说明。")
        await expect(bubble.get_by_text("已发送").or_(bubble.get_by_text("已送达"))).to_be_visible()
        sent = (await pair.log(order["conversation_id"]))[-1]
        assert [part["kind"] for part in sent["parts"]] == ["text", "image", "voice"]
        await bubble.get_by_role("button", name="播放语音").click()
        await expect(bubble.get_by_role("button", name="暂停")).to_be_visible()
        await bubble.get_by_role("button", name="查看图片").click()
        await expect(page.get_by_role("dialog", name="图片").get_by_role("img")).to_be_visible()
        await page.keyboard.press("Escape")
        await desk.send("第二次回复")
        await expect(page.get_by_text("这是最后 1 次回复，发送后问诊结束")).to_be_visible()
        await desk.send("第三次回复")
        await page.get_by_role("button", name="取消").click()  # thought better of it: nothing was sent, nothing was lost
        await expect(page.get_by_role("textbox", name="输入消息")).to_have_value("第三次回复")
        await page.get_by_role("button", name="发送", exact=True).click()
        await page.get_by_role("button", name="发送并结束").click()
        await expect(page.get_by_text("问诊已结束，不能再回复")).to_be_visible()
        await expect(page.get_by_text("回复次数已用完，问诊结束")).to_be_visible()
        assert [entry["closes"] for entry in await pair.log(order["conversation_id"])][3] == "quota"


async def test_records_leave_the_page_within_a_second_of_a_withdrawal_and_of_the_close_and_are_kept_nowhere(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    async with visit(chrome, product, trace, **WIDE) as context:
        desk = await _desk(world, context, known=True)
        page, pair = desk.page, desk.pair
        order = await pair.paid()
        await desk.open_order(order)
        records = page.get_by_role("complementary", name="病历")
        shown = records.get_by_role("img", name=re.compile("病历页面"))
        await records.locator(".dr-files button").first.click()
        await expect(shown).to_be_visible()
        await pair.patient.post(f"/orders/{order['id']}/record-access", {"granted": False})
        await expect(shown).to_have_count(0, timeout=WITHIN_MS)
        await expect(records.get_by_text("患者撤回了病历授权，病历已关闭")).to_be_visible()
        await pair.patient.post(f"/orders/{order['id']}/record-access", {"granted": True})
        await records.locator(".dr-files button").first.click()
        await expect(shown).to_be_visible()
        await pair.reply(order["conversation_id"])
        await pair.doctor.post(f"/orders/{order['id']}/finish", {})
        await expect(shown).to_have_count(0, timeout=WITHIN_MS)
        await expect(records.get_by_text("问诊已结束，病历已关闭")).to_be_visible()
        kept = await page.evaluate(
            "async () => JSON.stringify([await caches.keys(), {...localStorage}, {...sessionStorage}, history.state])"
        )
        assert "record" not in kept


async def test_the_app_is_blank_while_it_is_not_looked_at_and_signed_out_when_its_session_ends(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    async with visit(chrome, product, trace, **DESK) as context:
        desk = await _desk(world, context)
        page = desk.page
        root = page.locator("#root")
        await page.evaluate("""() => {
            Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""")
        assert await root.evaluate("(element) => getComputedStyle(element).visibility") == "hidden"
        await page.evaluate("""() => {
            Object.defineProperty(document, "visibilityState", { value: "visible", configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""")
        assert await root.evaluate("(element) => getComputedStyle(element).visibility") == "visible"
        devices = (await desk.pair.doctor.get("/me"))["devices"]
        here = next(device for device in devices if not device["current"])
        (await desk.pair.doctor.ask("DELETE", f"/me/sessions/{here['session_id']}")).ok(204)
        await expect(page.get_by_text("登录已失效，请重新登录。")).to_be_visible(timeout=3_000)


async def test_a_reply_written_while_cut_off_is_sent_once_when_the_network_is_back_and_records_hide_meanwhile(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    lines: list[WebSocketRoute] = []
    cut = False

    async def line(socket: WebSocketRoute) -> None:
        if cut:
            await socket.close()
            return
        socket.connect_to_server()
        lines.append(socket)

    async def request(route: Route) -> None:
        await (route.abort("internetdisconnected") if cut else route.continue_())

    async with visit(chrome, product, trace, **WIDE) as context:
        await context.route_web_socket(re.compile("/socket.io/"), line)
        await context.route(re.compile("/api/"), request)
        desk = await _desk(world, context, known=True)
        page, pair = desk.page, desk.pair
        order = await pair.paid()
        await desk.open_order(order)
        records = page.get_by_role("complementary", name="病历")
        await expect(records.locator(".dr-files button").first).to_be_visible()
        cut = True
        for socket in lines:
            await socket.close()
        await expect(records.get_by_text("连接中断，病历已隐藏")).to_be_visible(timeout=WITHIN_MS)
        await desk.send("断网时写的回复")
        await expect(page.get_by_text("发送中")).to_be_visible()
        await expect(page.get_by_text("还可回复 2 次（共 3 次）").last).to_be_visible()
        asked = {"client_id": "while-you-were-away", "parts": [text("还在吗")]}
        await pair.patient.post(f"/conversations/{order['conversation_id']}/messages", asked, 201)
        cut = False
        await expect(page.get_by_text("还在吗")).to_be_visible(timeout=25_000)
        await expect(page.get_by_text("发送中")).to_have_count(0)
        said = [entry["parts"][0]["text"] for entry in await pair.log(order["conversation_id"]) if entry["kind"] == "message"]
        assert said == ["还在吗", "断网时写的回复"]
        await expect(records.locator(".dr-files button").first).to_be_visible()


@pytest.mark.parametrize(
    "look", [{**WIDE, "color_scheme": "light"}, {"color_scheme": "dark"}], ids=["desk-light", "phone-dark"]
)
async def test_no_screen_has_a_serious_finding(
    product: Product, world: World, chrome: Browser, trace: Path, look: dict[str, Any]
) -> None:
    found: dict[str, list[str]] = {}
    async with visit(chrome, product, trace, **look) as context:
        desk = await _desk(world, context, known=True)
        page = desk.page
        order = await desk.pair.paid()
        await desk.pair.reply(order["conversation_id"])
        await expect(page.get_by_role("tab", name="进行中 1")).to_be_visible()
        found["desk"] = await serious_findings(page)
        await desk.open_order(order)
        await expect(page.get_by_role("article").first).to_be_visible()
        found["order"] = await serious_findings(page)
        if not await page.get_by_role("complementary", name="病历").is_visible():
            await page.get_by_role("button", name="病历", exact=True).click()
        await expect(page.locator(".dr-files button").first).to_be_visible()
        found["records"] = await serious_findings(page)
        await page.locator(".dr-files button").first.click()
        await expect(page.get_by_role("img", name=re.compile("病历页面"))).to_be_visible()
        found["page"] = await serious_findings(page)
        await page.get_by_role("button", name="关闭病历").click()
        await expect(page.get_by_role("article").first).to_be_visible()
        if await (more := page.get_by_role("button", name="更多", exact=True)).is_visible():
            await more.click()
            found["more"] = await serious_findings(page)
        await page.get_by_role("button", name="赠送回复").click()
        found["gift"] = await serious_findings(page)
        await page.keyboard.press("Escape")
        for place, heading in (("notices", "消息中心"), ("figures", "我的数据"), ("settings", "沈知远")):
            await page.goto(f"/doctor/{place}")
            await expect(page.get_by_role("heading", name=heading)).to_be_visible()
            await expect(page.get_by_text("正在加载")).to_have_count(0)
            found[place] = await serious_findings(page)
    assert found == {name: [] for name in found}


async def test_a_critical_value_stands_over_every_screen_until_the_doctor_acknowledges_it(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    async with visit(chrome, product, trace, **WIDE) as context:
        desk = await _desk(world, context)
        page, pair = desk.page, desk.pair
        number = identity_number(date(1961, 5, 5), secrets.randbelow(999))
        patient = await world.new_patient(pair.patient, name="危小急", id_number=number)
        order = await pair.paid(patient_id=patient["id"])
        await page.goto("/doctor/figures")
        await expect(page.get_by_role("heading", name="我的数据")).to_be_visible()
        await world.outside("POST", "/hospital/hl7", {"number": number, "name": "危小急", "values": {"K": 7.1}})
        bar = page.get_by_role("alert", name="危急值")
        await expect(bar).to_be_visible()
        await bar.get_by_role("button", name="查看结果").click()
        await expect(page).to_have_url(re.compile(order["id"]))
        await expect(page.get_by_role("img", name=re.compile("病历页面"))).to_be_visible()
        await bar.get_by_role("button", name="我已知悉，立即处理").click()
        await expect(bar).to_have_count(0)
        assert [value["status"] for value in (await pair.doctor.get("/critical-values"))["items"]] == ["acknowledged"]


async def test_a_word_is_found_in_all_conversations_and_in_one_and_leads_to_its_place(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    async with visit(chrome, product, trace, **WIDE) as context:
        desk = await _desk(world, context)
        page, pair = desk.page, desk.pair
        order = await pair.paid()
        for number in range(30):
            words = "夜里出现荨麻疹" if number == 2 else f"第 {number} 句"
            body = {"client_id": secrets.token_hex(16), "parts": [text(words)]}
            await pair.patient.post(f"/conversations/{order['conversation_id']}/messages", body, 201)
        await page.keyboard.press("Alt+f")
        await page.get_by_role("searchbox", name="输入要找的词").fill("荨麻疹")
        await page.keyboard.press("Enter")
        hit = page.get_by_role("link", name=re.compile("夜里出现荨麻疹"))
        await expect(hit).to_be_visible()
        await expect(hit.locator("mark")).to_have_text("荨麻疹")
        assert await serious_findings(page) == []
        await hit.click()
        await expect(page.get_by_role("article").filter(has_text="夜里出现荨麻疹")).to_be_in_viewport()
        await expect(page.get_by_role("article").filter(has_text="第 29 句")).not_to_be_in_viewport()
        await page.keyboard.press("Alt+s")
        await page.get_by_role("dialog").get_by_role("searchbox").fill("没有说过的词")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").get_by_text("没有找到")).to_be_visible()


async def test_a_suggested_visit_and_a_record_go_along_with_one_reply(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    async with visit(chrome, product, trace, **WIDE) as context:
        desk = await _desk(world, context, known=True)
        page, pair = desk.page, desk.pair
        order = await pair.paid()
        await desk.open_order(order)
        await page.get_by_role("button", name="建议到院就诊").click()
        day = await page.get_by_label("日期").input_value()
        await page.get_by_role("button", name="下午").click()
        await page.get_by_label("备注（可不填）").fill("请空腹")
        assert await serious_findings(page) == []
        await page.get_by_role("button", name="加入回复").click()
        await page.locator(".dr-files button").first.click()
        await page.get_by_role("button", name="请患者看这份病历").click()
        along = page.get_by_role("list", name="随回复一起发送").get_by_role("listitem")
        await expect(along).to_have_count(2)
        other = await pair.paid(complaint="另一位的问题")
        await page.get_by_role("link", name=re.compile("另一位的问题")).click()
        await expect(page).to_have_url(re.compile(other["id"]))
        await expect(page.get_by_label("病情描述").get_by_text("另一位的问题")).to_be_visible()
        await expect(along).to_have_count(0)  # nothing of one patient's goes to another
        await page.keyboard.press("Alt+ArrowUp")
        await expect(page).to_have_url(re.compile(order["id"]))
        await expect(along).to_have_count(2)
        await desk.send("请到医院复查。")
        await expect(page.get_by_text("还可回复 2 次（共 3 次）").last).to_be_visible()
        await expect(page.get_by_role("list", name="随回复一起发送")).to_have_count(0)
        await expect(page.get_by_role("article").get_by_text(re.compile("已发送|已送达"))).to_be_visible()
        said, booking, record = (await pair.log(order["conversation_id"]))[-1]["parts"]
        assert (said["text"], booking["card"], record["card"]) == ("请到医院复查。", "booking", "record_shared")
        expected = {"department": order["doctor"]["department"], "date": day, "period": "afternoon", "note": "请空腹"}
        assert booking["data"] == expected


async def test_an_order_is_offered_to_a_colleague_and_gone_from_the_desk_within_a_second_of_the_patients_consent(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    async with visit(chrome, product, trace, **WIDE) as context, visit(chrome, product, trace, **WIDE) as elsewhere:
        desk, other = await _desk(world, context, known=True), await _desk(world, elsewhere)
        page, pair = desk.page, desk.pair
        order = await pair.paid(complaint="胸口发闷")
        await desk.open_order(order)
        await page.get_by_role("button", name="转诊").click()
        to = (await pair.doctor.get(f"/doctors/{other.pair.doctor_id}"))["name"]
        await page.get_by_placeholder("姓名、拼音、科室或擅长").fill(to)
        await page.get_by_role("radio").first.wait_for()
        await page.locator(f"input[type=radio][value='{other.pair.doctor_id}']").check()
        await page.get_by_label("转诊原因").fill("请专科医生看看")
        assert await serious_findings(page) == []
        await page.get_by_role("button", name="提出转诊").click()
        await expect(page.get_by_text(re.compile("等待对方接受"))).to_be_visible()
        await other.page.get_by_role("tab", name="转来 1").click()
        offer = other.page.get_by_role("article").filter(has_text="请专科医生看看")
        await expect(offer).to_be_visible()
        assert "胸口发闷" not in await other.page.content()
        assert await serious_findings(other.page) == []
        await offer.get_by_role("button", name="接受", exact=True).click()
        await expect(page.get_by_text(re.compile("愿意接诊，等待患者同意")).last).to_be_visible()
        path = f"/orders/{order['id']}/referrals"
        referral = (await pair.patient.get(path))["items"][0]
        await pair.patient.post(f"{path}/{referral['id']}/agree", {})
        await expect(page.get_by_text("胸口发闷")).to_have_count(0, timeout=WITHIN_MS)
        await other.page.get_by_role("tab", name="待接诊 1").click()
        await expect(other.page.get_by_role("link", name=re.compile("胸口发闷"))).to_be_visible()


async def test_the_keyboard_is_explained_by_a_question_mark_and_moves_between_patients(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    async with visit(chrome, product, trace, **WIDE) as context:
        desk = await _desk(world, context)
        page = desk.page
        first, second = await desk.pair.paid(complaint="第一位"), await desk.pair.paid(complaint="第二位")
        await expect(page.get_by_role("tab", name="待接诊 2")).to_be_visible()
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="键盘操作").get_by_text("打开或关闭病历")).to_be_visible()
        assert await serious_findings(page) == []
        await page.keyboard.press("Escape")
        await page.keyboard.press("Alt+ArrowDown")
        await expect(page).to_have_url(re.compile(first["id"]))
        await page.evaluate(TWO_KEYS_AT_ONCE)  # on from where the first of them leads, though nothing of it is drawn yet
        await expect(page).to_have_url(re.compile(first["id"]))
        await page.keyboard.press("Alt+ArrowDown")
        await expect(page).to_have_url(re.compile(second["id"]))
        await page.get_by_role("textbox", name="输入消息").fill("是吗?")
        await expect(page.get_by_role("dialog")).to_have_count(0)
