"""The patient's app against the running product, as a patient uses it; the doctor answers through the API."""

import re
import uuid
from pathlib import Path

from playwright.async_api import Browser, expect

from tests.support.accessibility import serious_findings
from tests.support.browser import visit
from tests.support.contract import Pair, World, new_phone, world_of
from tests.support.patient_app import TWO_SECONDS, open_chat, pair_of, say, sign_in
from tests.support.product import Product, start_product

PICTURE = Path(__file__).parents[2] / "web" / "dist" / "patient" / "icon-192.png"


async def test_a_patient_asks_pays_talks_and_rates(product: Product, world: World, chrome: Browser, trace: Path) -> None:
    phone = new_phone()
    pair = await pair_of(world, phone)
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


async def test_a_voice_message_is_spoken_sent_and_played(product: Product, world: World, chrome: Browser, trace: Path) -> None:
    phone = new_phone()
    pair = await pair_of(world, phone)
    order = await pair.paid()
    async with visit(chrome, product, trace) as context:
        page = await context.new_page()
        await sign_in(page, product, phone)
        await open_chat(page, order)
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
        await expect(page.get_by_text(TWO_SECONDS)).to_be_visible()
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
            pair = await pair_of(world, phone)
            page = await context.new_page()
            await sign_in(page, hurried, phone)
            order = await pair.paid()
            await page.goto(f"/patient/orders/{order['id']}")
            await expect(page.get_by_text("没有在时间内回复")).to_be_visible()
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
    pair = await pair_of(world, phone)
    order, unpaid, handed_over, over = await pair.paid(), await pair.place(), await pair.paid(), await pair.paid()
    card = {"department": "骨科", "date": "2027-01-05", "period": "morning"}
    said = {"client_id": uuid.uuid4().hex, "parts": [{"kind": "card", "card": "booking", "data": card}]}
    await pair.reply(order["conversation_id"], "请多喝水。")
    await pair.doctor.post(f"/conversations/{order['conversation_id']}/messages", said, 201)
    await pair.doctor.post(f"/orders/{order['id']}/gifts", {"count": 2})
    await _offered_and_accepted(world, pair, handed_over["id"])
    await pair.reply(over["conversation_id"], "一周后复查。")
    await pair.doctor.post(f"/orders/{over['id']}/finish", {})
    screens = ["", "orders", "notices", "me", "doctors", f"doctors/{pair.doctor_id}", f"doctors/{pair.doctor_id}/order"]
    screens += [f"orders/{order['id']}{more}" for more in ("", "/chat", "/views")]
    screens += [
        f"orders/{handed_over['id']}",
        f"orders/{unpaid['id']}/pay",
        f"orders/{over['id']}/chat",
        f"orders/{over['id']}/rate",
    ]
    screens += ["search?q=多喝水", "search?q=没有", "patients", "patients/new", "settings", "devices", "password", "nowhere"]
    async with visit(chrome, product, trace) as context:
        page = await context.new_page()
        await page.goto("/patient/")
        await expect(page.get_by_label("手机号")).to_be_visible()
        assert await serious_findings(page) == []
        await sign_in(page, product, phone)
        for screen in screens:
            await page.goto(f"/patient/{screen}")
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.locator(".p-skeleton")).to_have_count(0)
            assert (screen, await serious_findings(page)) == (screen, [])
            await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
            await expect(page.locator("html[data-theme=dark]")).to_be_attached()
            assert (screen, await serious_findings(page, ("color-contrast",))) == (screen, [])
            await page.emulate_media(color_scheme="light", reduced_motion="reduce")
            assert (screen, await page.evaluate("() => document.documentElement.scrollWidth")) == (screen, 390)


async def _offered_and_accepted(world: World, pair: Pair, order_id: str) -> None:
    """Another doctor would take it; the patient has not said yet."""
    other, other_id, _ = await world.new_doctor(name="苏景行")
    offered = await pair.doctor.post(f"/orders/{order_id}/referrals", {"doctor_id": other_id, "reason": "他专做这个。"}, 201)
    await other.post(f"/orders/{order_id}/referrals/{offered['id']}/accept", {})


async def test_a_patient_finds_what_was_said_and_decides_who_answers(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    pair = await pair_of(world, phone)
    asked = await pair.paid(complaint="头晕")
    await pair.reply(asked["conversation_id"], "清晨量一次血压，记下来。")
    order = await pair.paid(complaint="甲状腺结节")
    await _offered_and_accepted(world, pair, order["id"])
    async with visit(chrome, product, trace) as context:
        page = await context.new_page()
        await sign_in(page, product, phone)
        await page.goto("/patient/search")
        await page.get_by_role("searchbox").fill("量")
        await expect(page.get_by_role("heading", name="再多写一个字")).to_be_visible()
        await page.get_by_role("searchbox").fill("血压")
        hit = page.get_by_role("link", name=re.compile("清晨量一次血压"))
        await expect(hit.locator("mark")).to_have_text("血压")
        await hit.click()
        await expect(page.locator("[data-found=true]").get_by_text("清晨量一次血压")).to_be_visible()
        await page.goto("/patient/notices")
        await page.get_by_role("button", name=re.compile("是否换一位医生")).click()
        await expect(page.get_by_text("陆远舟的说明：他专做这个。")).to_be_visible()
        await page.get_by_role("button", name="同意转诊").click()
        await expect(page.get_by_text("已转给苏景行")).to_be_visible()
        await expect(page.get_by_role("link", name=re.compile("苏景行"))).to_be_visible()
        await expect(page.get_by_role("button", name="同意转诊")).to_have_count(0)
    assert (await pair.patient.get(f"/orders/{order['id']}"))["doctor"]["name"] == "苏景行"
