"""A whole consult with both apps open side by side: what one of them does, the other sees without being asked."""

import re
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.browser import sms_code, visit
from tests.support.contract import World, new_phone
from tests.support.media_files import image_file
from tests.support.patient_app import say, sign_in
from tests.support.product import Product

WIDE = {"viewport": {"width": 1440, "height": 900}, "permissions": ["microphone"]}
PICTURE = {"name": "knee.jpg", "mimeType": "image/jpeg", "buffer": image_file("jpeg", size=(600, 400))}

TWO_SECONDS = re.compile(r"0:(0[2-9]|[1-5]\d) / 1:00")  # or more: a busy machine shows not every second


async def test_a_consult_from_log_in_to_rating_with_both_apps_open(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    await world.new_patient(await world.patient(phone))
    _, doctor_id, doctors_phone = await world.new_doctor(name="苏景行")
    async with (
        visit(chrome, product, trace, permissions=["microphone"]) as his,
        visit(chrome, product, trace.with_stem(f"{trace.stem}-doctor"), **WIDE) as hers,
    ):
        patient, desk = await his.new_page(), await hers.new_page()
        await _to_the_desk(desk, product, doctors_phone)
        await sign_in(patient, product, phone)
        await _ask_and_pay(his, patient, doctor_id)

        row = desk.get_by_role("link", name=re.compile("陈小雨"))  # told live: the desk was open all the time
        await expect(row).to_be_visible()
        await row.click()
        await expect(desk.get_by_label("病情描述").get_by_text("右膝疼了一个月")).to_be_visible()

        await expect(patient.get_by_text("请勿截屏或转发")).to_be_visible()
        await expect(patient.locator(".yz-chat__mark")).to_have_css(
            "background-image", re.compile("data:image/svg.*20[0-9]{6}")
        )
        await _patient_says_words_a_picture_and_a_voice(patient)
        await expect(desk.get_by_text("走路多了更疼")).to_be_visible()
        await expect(desk.get_by_role("button", name="查看图片")).to_have_count(1)
        await desk.get_by_role("button", name="播放语音").click()
        await expect(desk.get_by_role("button", name="暂停")).to_be_visible()
        await expect(patient.get_by_text("已读")).to_have_count(3)

        await _doctor_replies_with_words_a_picture_and_a_voice(desk)
        reply = patient.get_by_role("article").filter(has_text="先少爬楼梯")
        await expect(reply).to_have_count(1)
        await expect(patient.get_by_text("还剩 2 次回复")).to_be_visible()
        await reply.get_by_role("button", name="查看图片").click()
        await expect(patient.get_by_role("dialog", name="图片").get_by_role("img")).to_be_visible()
        await patient.get_by_role("button", name="关闭图片").click()
        await reply.get_by_role("button", name="播放语音").click()
        await expect(reply.get_by_role("button", name="暂停")).to_be_visible()
        await expect(desk.get_by_text("已读")).to_have_count(1)

        await _write(desk, "热敷十五分钟，一天两次。")
        await expect(patient.get_by_text("热敷十五分钟")).to_be_visible()
        await expect(desk.get_by_text("这是最后 1 次回复，发送后问诊结束")).to_be_visible()
        await _write(desk, "两周不好就来门诊。")
        await desk.get_by_role("button", name="发送并结束").click()
        await expect(desk.get_by_text("问诊已结束，不能再回复")).to_be_visible()
        await expect(patient.get_by_text("两周不好就来门诊。")).to_be_visible()
        await expect(patient.get_by_role("log").get_by_text("回复次数已用完，问诊结束")).to_be_visible()
        await expect(patient.get_by_label("输入消息")).to_have_count(0)

        await patient.get_by_role("link", name="评价医生").first.click()
        await patient.get_by_role("radio", name="5 星").check()
        await patient.get_by_role("button", name="提交评价").click()
        await expect(patient.get_by_role("heading", name="我的评价")).to_be_visible()
        await desk.goto("/doctor/notices")
        await expect(desk.get_by_text("有一位患者给了您 5 星评价。")).to_be_visible()


async def _to_the_desk(desk: Page, product: Product, phone: str) -> None:
    await desk.goto("/doctor/")
    await desk.get_by_label("手机号").fill(phone)
    await desk.get_by_role("button", name="获取验证码").click()
    await expect(desk.get_by_text("验证码已发送")).to_be_visible()
    await desk.get_by_label("验证码", exact=True).fill(await sms_code(product, phone))
    await desk.get_by_role("button", name="登录").click()
    await expect(desk.get_by_text("暂时没有待接诊的患者")).to_be_visible()


async def _ask_and_pay(context: BrowserContext, patient: Page, doctor_id: str) -> None:
    await patient.goto(f"/patient/doctors/{doctor_id}")
    await patient.get_by_role("link", name="立即咨询").click()
    await patient.get_by_label("哪里不舒服？").fill("右膝疼了一个月")
    await patient.get_by_label(re.compile("我已阅读并同意")).check()
    await patient.get_by_role("button", name=re.compile("提交")).click()
    async with context.expect_page() as opened:
        await patient.get_by_role("button", name=re.compile("确认付款")).click()
    wallet = await opened.value
    await wallet.get_by_role("button", name="立即支付").click()
    await patient.get_by_role("link", name="进入问诊").click()
    await expect(patient.get_by_role("log")).to_be_visible()


async def _patient_says_words_a_picture_and_a_voice(patient: Page) -> None:
    await say(patient, "走路多了更疼")
    await patient.get_by_test_id("picture-input").set_input_files(PICTURE)
    await patient.get_by_role("button", name="发送", exact=True).click()
    await expect(patient.get_by_role("button", name="查看图片")).to_have_count(1)
    await patient.get_by_role("button", name="改用语音").click()
    hold = patient.get_by_role("button", name="按住 说话")
    await hold.hover()
    await patient.mouse.down()
    await expect(patient.get_by_text(TWO_SECONDS)).to_be_visible()
    await patient.mouse.up()
    await expect(patient.get_by_role("button", name="播放语音")).to_have_count(1)
    await patient.get_by_role("button", name="改用文字").click()


async def _doctor_replies_with_words_a_picture_and_a_voice(desk: Page) -> None:
    await desk.get_by_label("输入消息").fill("先少爬楼梯，看图。")
    await desk.get_by_test_id("picture-input").set_input_files(PICTURE)
    await desk.get_by_role("button", name="录制语音").click()
    await expect(desk.get_by_text(TWO_SECONDS)).to_be_visible()
    await desk.get_by_role("button", name="完成").click()
    await desk.get_by_role("button", name="发送", exact=True).click()


async def _write(desk: Page, words: str) -> None:
    await desk.get_by_label("输入消息").fill(words)
    await desk.get_by_role("button", name="发送", exact=True).click()
