"""Signing in to the apps, as people do it."""

from pathlib import Path

from playwright.async_api import Browser, Page, expect

from tests.support.browser import DESK, sms_code, visit
from tests.support.product import Product


async def _sign_in(page: Page, product: Product, app: str, phone: str) -> None:
    await page.goto(f"/{app}/")
    await page.get_by_label("手机号").fill(phone)
    await page.get_by_role("button", name="获取验证码").click()
    await expect(page.get_by_text("验证码已发送")).to_be_visible()
    await page.get_by_label("验证码", exact=True).fill(await sms_code(product, phone))
    await page.get_by_role("button", name="登录", exact=True).click()


async def test_a_patient_signs_in_stays_so_over_a_reload_and_signs_out(product: Product, chrome: Browser, trace: Path) -> None:
    async with visit(chrome, product, trace) as context:
        page, complaints = await context.new_page(), []
        page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await _sign_in(page, product, "patient", product.demo["patients"][0]["phone"])
        await expect(page.get_by_role("heading", name="您好")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("heading", name="您好")).to_be_visible()
        kept = await page.evaluate(
            "() => JSON.stringify([Object.values(localStorage), Object.values(sessionStorage), document.cookie])"
        )
        assert "eyJ" not in kept  # no token, whose JSON always begins so
        assert "yz_" not in kept  # nor a cookie that a script can read
        await page.get_by_role("link", name="我的", exact=True).click()
        await page.get_by_role("button", name="退出登录").click()
        await page.get_by_role("dialog").get_by_role("button", name="退出登录").click()
        await expect(page.get_by_role("heading", name="登录云诊")).to_be_visible()
        assert await context.cookies() == []
        assert complaints == []


async def test_a_code_that_is_wrong_is_explained_and_the_language_changes_at_once(
    product: Product, chrome: Browser, trace: Path
) -> None:
    async with visit(chrome, product, trace, **DESK) as context:
        page = await context.new_page()
        await page.goto("/doctor/")
        await page.get_by_label("手机号").fill("13912345678")
        await page.get_by_label("验证码", exact=True).fill("000000")
        await page.get_by_role("button", name="登录", exact=True).click()
        await expect(page.get_by_text("验证码或密码不正确，或已失效")).to_be_visible()
        await page.get_by_role("button", name="English").click()
        await expect(page.get_by_role("heading", name="Doctor sign-in")).to_be_visible()
        assert await page.evaluate("() => document.documentElement.lang") == "en"
