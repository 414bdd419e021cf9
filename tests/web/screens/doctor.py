"""The doctor's screens, on a phone and at a desk."""

import re

from playwright.async_api import Page

from tests.support.browser import sms_code
from tests.web.screens.stage import LANGUAGES, THEMES, Stage, look, settle

APP = "doctor"
_PATHS = {
    "desk": "/doctor/",
    "consult": "/doctor/orders/{session}",
    "waiting": "/doctor/orders/{waiting}",
    "messages": "/doctor/notices",
    "figures": "/doctor/figures",
    "settings": "/doctor/settings",
}


async def walk(stage: Stage) -> None:
    for size in ("phone", "desk"):
        async with stage.visit(size) as context:
            page = await context.new_page()
            await page.goto("/doctor/")
            await settle(page)
            await stage.shoot(page, APP, "login", size)
            await look(page, "zh-CN", "light")
            await _sign_in(stage, page)
            for name, path in _PATHS.items():
                if stage.only and name not in stage.only:
                    continue
                await page.goto(path.format(**stage.scene))
                await settle(page)
                await stage.shoot(page, APP, name, size)
            await _records(stage, page, size)
            await look(page, "zh-CN", "light")
            await _dialogs(stage, page, size)


async def _sign_in(stage: Stage, page: Page) -> None:
    phone = stage.scene["doctor_phone"]
    await page.goto("/doctor/")
    await page.get_by_label("手机号").fill(phone)
    await page.get_by_role("button", name="获取验证码").click()
    await page.get_by_text("验证码已发送").wait_for()
    await page.get_by_label("验证码", exact=True).fill(await sms_code(stage.product, phone))
    await page.get_by_role("button", name="登录").click()
    await page.locator(".dr-nav").wait_for()


async def _open_records(page: Page) -> None:
    if not await page.locator(".dr-records").is_visible():
        await page.get_by_role("button", name=re.compile("^(病历|Records)$")).click()
    await page.locator(".dr-files button").first.wait_for()
    await settle(page)


async def _records(stage: Stage, page: Page, size: str) -> None:
    """The list, and a page with a trend; both are gone with a reload, so that each look opens them anew."""
    for language, code in LANGUAGES.items():
        for theme in THEMES:
            await look(page, code, theme)
            await page.goto(_PATHS["consult"].format(**stage.scene))
            await settle(page)
            await _open_records(page)
            await stage.snap(page, APP, "records", size, language, theme)
            await page.locator(".dr-files button").first.click()
            await page.locator(".dr-pages__page").wait_for()
            await settle(page)
            await stage.snap(page, APP, "record-page", size, language, theme)


async def _dialogs(stage: Stage, page: Page, size: str) -> None:
    """What only a hand opens."""
    await page.goto(_PATHS["consult"].format(**stage.scene))
    await settle(page)
    for name, button in (("quick-replies", "快捷回复"), ("gift", "赠送回复"), ("finish", "结束问诊")):
        await page.get_by_role("button", name=button).click()
        await settle(page)
        await stage.snap(page, APP, name, size)
        await page.keyboard.press("Escape")
