"""Quick consults and referrals on the screens of those who are about them."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.accessibility import serious_findings
from tests.support.browser import DESK, sms_code, visit
from tests.support.contract import Client, World, new_phone
from tests.support.patient_app import sign_in
from tests.support.product import Product


async def _at_desk(page: Page, world: World) -> Client:
    """A new doctor of the first department, signed in on this page and over the wire."""
    doctor, _, phone = await world.new_doctor(name="沈知远")
    await page.goto("/doctor/")
    await page.get_by_label("手机号").fill(phone)
    await page.get_by_role("button", name="获取验证码").click()
    await expect(page.get_by_text("验证码已发送")).to_be_visible()
    await page.get_by_label("验证码", exact=True).fill(await sms_code(world.product, phone))
    await page.get_by_role("button", name="登录").click()
    await expect(page.get_by_role("navigation", name="主导航")).to_be_visible()
    return doctor


@pytest.mark.timeout(300)  # two people in two browsers, on a machine that may be busy
async def test_a_patient_asks_a_department_and_its_doctor_takes_the_order_with_one_tap_and_hands_it_on(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    patient = await world.patient(phone)
    await world.new_patient(patient)
    colleague, colleague_id, _ = await world.new_doctor(name="柳如是")
    async with (
        visit(chrome, product, trace.with_suffix(".desk.zip"), **DESK) as at_desk,
        visit(chrome, product, trace) as on_phone,
    ):
        desk, page = await at_desk.new_page(), await on_phone.new_page()
        doctor = await _at_desk(desk, world)
        department = (await doctor.get(f"/doctors/{doctor.account_id}"))["department"]
        await sign_in(page, product, phone)
        await page.get_by_role("link", name=re.compile("极速咨询")).click()
        await expect(page.get_by_role("link", name=f"咨询{department}")).to_be_visible()
        assert await serious_findings(page) == []
        await page.get_by_role("link", name=f"咨询{department}").click()
        await page.get_by_label("哪里不舒服？").fill("夜里心慌，已有三天。")
        await page.get_by_label(re.compile("我已阅读并同意")).check()
        await page.get_by_role("button", name=re.compile("提交")).click()
        await expect(page.get_by_text("等待医生接诊")).to_be_visible()
        (order,) = (await patient.get("/orders"))["items"]
        payment = await patient.post(f"/orders/{order['id']}/payments", {"channel": "wechat_h5"}, 201, key=order["id"])
        await world.outside("POST", f"/wechatpay/wallet/{payment['prepay_id']}/pay")

        pool = desk.get_by_role("region", name="科室极速咨询")
        await expect(pool.get_by_text("夜里心慌，已有三天。")).to_be_visible()
        await expect(pool.get_by_text("陈小雨")).to_have_count(0)
        await pool.get_by_role("button", name="接诊").click()
        await expect(desk.get_by_role("heading", name="陈小雨")).to_be_visible()
        await page.goto(f"/patient/orders/{order['id']}/chat")
        await expect(page.get_by_text("沈知远医生已接诊")).to_be_visible()

        path = f"/orders/{order['id']}/referrals"
        referral = await doctor.post(path, {"doctor_id": colleague_id, "reason": "请心律专科看看"}, 201)
        await expect(desk.get_by_text("医生建议转给柳如是医生")).to_be_visible()
        await colleague.post(f"{path}/{referral['id']}/accept", {})
        await page.goto(f"/patient/orders/{order['id']}")
        await page.get_by_role("button", name="同意转诊").click()
        await expect(page.get_by_role("button", name="同意转诊")).to_have_count(0)
        await expect(page.get_by_text("柳如是").first).to_be_visible()
        assert (await colleague.get(f"/orders/{order['id']}"))["doctor"]["id"] == colleague_id
        (await doctor.ask("GET", f"/orders/{order['id']}")).refused(404, "order.not_found")
        await desk.goto("/doctor/")
        await expect(desk.get_by_text("暂时没有待接诊的患者")).to_be_visible()
