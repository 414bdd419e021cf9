"""The doctor's screens, on a phone and at a desk."""

import re

from playwright.async_api import Page

from tests.support.browser import sms_code
from tests.support.product import Product
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


_IN_COMPOSER = ("quick-replies", "booking")
_IN_SESSION = (
    *(("gift", "赠送回复"), ("finish", "结束问诊"), ("notes", "备注"), ("search-here", "搜索")),
    *(("quick-replies", "快捷回复"), ("booking", "建议到院就诊")),
)
_WAITING = (("refer", "转诊"), ("decline", "退回订单"))


async def walk(stage: Stage) -> None:
    for size in ("phone", "desk"):
        async with stage.visit(size) as context:
            page = await context.new_page()
            await page.goto("/doctor/")
            await settle(page)
            await stage.shoot(page, APP, "login", size)
            await look(page, "zh-CN", "light")
            await sign_in(stage.product, page, stage.scene["doctor_phone"])
            for name, path in _PATHS.items():
                if stage.only and name not in stage.only:
                    continue
                await page.goto(path.format(**stage.scene))
                await settle(page)
                await stage.shoot(page, APP, name, size)
            await _records(stage, page, size)
            await look(page, "zh-CN", "light")
            await _dialogs(stage, page, size)
        async with stage.visit(size) as context:
            await _empty(stage, await context.new_page(), size)


async def sign_in(product: Product, page: Page, phone: str) -> None:
    await page.goto("/doctor/")
    await page.get_by_label("手机号").fill(phone)
    await page.get_by_role("button", name="获取验证码").click()
    await page.get_by_text("验证码已发送").wait_for()
    await page.get_by_label("验证码", exact=True).fill(await sms_code(product, phone))
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
    phone = size == "phone"
    for order, actions in (("session", _IN_SESSION), ("waiting", _WAITING)):
        await page.goto(f"/doctor/orders/{stage.scene[order]}")
        await settle(page)
        for name, button in actions:
            if phone and name not in _IN_COMPOSER:
                await page.get_by_role("button", name="更多").click()
                await settle(page)
                if name == "gift":
                    await stage.snap(page, APP, "more", size)
            await page.get_by_role("button", name=button, exact=True).last.click()
            await settle(page)
            await stage.snap(page, APP, name, size)
            await page.keyboard.press("Escape")
    await page.goto("/doctor/")
    await settle(page)
    for name, tab in (("open", "进行中"), ("finished", "已结束"), ("offers", "转来")):
        await page.get_by_role("tab", name=re.compile(tab)).click()
        await settle(page)
        await stage.snap(page, APP, name, size)
    await page.get_by_role("button", name="搜索对话").click()
    await page.get_by_role("searchbox").fill("血压")
    await page.keyboard.press("Enter")
    await page.locator(".dr-hit").first.wait_for()
    await stage.snap(page, APP, "search", size)
    if not phone:
        await page.goto("/doctor/")
        await settle(page)
        await page.keyboard.press("?")
        await stage.snap(page, APP, "keys", size)
    await stage.shoot_trouble(page, APP, "desk", size, "/doctor/")
    await stage.shoot_trouble(page, APP, "messages", size, "/doctor/notices")


async def _empty(stage: Stage, page: Page, size: str) -> None:
    """A doctor's first day."""
    _, _, phone = await stage.world.new_doctor(name="沈知远")
    await sign_in(stage.product, page, phone)
    for name in ("desk", "messages", "figures"):
        await page.goto(_PATHS[name])
        await settle(page)
        await stage.snap(page, APP, f"{name}-empty", size)
