"""The patient's screens: phone and desk, both languages, light and dark, with large type, and when things go wrong."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import BrowserContext, Page, Route, expect

from tests.support.contract import new_phone
from tests.support.patient_app import sign_in
from tests.web.screens.patient_story import Story, tell
from tests.web.screens.stage import Stage, look, settle

expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong
APP = "patient"
_PATHS = {
    "home": "",
    "doctors": "doctors",
    "doctors-none": "doctors?q=zzzz",
    "quick": "quick",
    "doctor": "doctors/{doctor_id}",
    "new": "doctors/{doctor_id}/order",
    "pay": "orders/{unpaid}/pay",
    "orders": "orders",
    "order-unpaid": "orders/{unpaid}",
    "order-waiting": "orders/{waiting}",
    "order-session": "orders/{session}",
    "order-completed": "orders/{completed}",
    "order-refunded": "orders/{refunded}",
    "order-cancelled": "orders/{cancelled}",
    "referral": "orders/{referred}",
    "chat": "orders/{session}/chat",
    "chat-closed": "orders/{refunded}/chat",
    "chat-ended": "orders/{completed}/chat",
    "rate": "orders/{completed}/rate",
    "views": "orders/{session}/views",
    "views-none": "orders/{waiting}/views",
    "search": "search?q=膝关节",
    "search-begin": "search",
    "search-none": "search?q=zzzz",
    "notices": "notices",
    "me": "me",
    "patients": "patients",
    "patient-new": "patients/new",
    "settings": "settings",
    "devices": "devices",
    "password": "password",
    "lost": "nowhere",
}
_OF_A_NEWCOMER = {
    "empty-home": "",
    "empty-orders": "orders",
    "empty-notices": "notices",
    "empty-patients": "patients",
    "empty-new": "doctors/{doctor_id}/order",
}


async def walk(stage: Stage, sizes: tuple[str, ...] = ("phone", "desk")) -> None:
    story = await tell(stage.world, stage.scene)
    for size in sizes:
        async with stage.visit(size) as context:
            page = await context.new_page()
            await page.goto("/patient/")
            await settle(page)
            if _wanted(stage, "login"):
                await stage.shoot(page, APP, "login", size)
            await look(page, "zh-CN", "light")
            await sign_in(page, stage.product, stage.scene["patient_phone"])
            await _each(stage, page, size, _PATHS, story)
            await _dialogs(stage, page, size, story)
            await _troubles(stage, context, page, size, story)
        async with stage.visit(size) as context:
            page = await context.new_page()
            await sign_in(page, stage.product, new_phone())
            await _each(stage, page, size, _OF_A_NEWCOMER, story)


def _wanted(stage: Stage, name: str) -> bool:
    return not stage.only or name in stage.only


async def _each(stage: Stage, page: Page, size: str, paths: dict[str, str], story: Story) -> None:
    for name, path in paths.items():
        if not _wanted(stage, name):
            continue
        await page.goto("/patient/" + path.format(**story))
        await settle(page)
        await _quiet(page)
        await stage.shoot(page, APP, name, size)
        if size == "phone":
            await _large(stage, page, name)


async def _quiet(page: Page) -> None:
    """Until no grey shapes stand for what is coming."""
    await page.wait_for_function("() => !document.querySelector('.p-skeleton')")


async def _large(stage: Stage, page: Page, name: str) -> None:
    await look(page, "zh-CN", "light")
    await page.evaluate("() => localStorage.setItem('yz.large', 'true')")
    await page.reload()
    await settle(page)
    await _quiet(page)
    await stage.snap(page, APP, f"{name}-large", "phone")
    await page.evaluate("() => localStorage.setItem('yz.large', 'false')")
    await page.reload()


async def _dialogs(stage: Stage, page: Page, size: str, story: Story) -> None:
    """What only a hand opens."""
    await look(page, "zh-CN", "light")
    for name, path, opens in (
        ("dialog-cancel", "orders/{waiting}", lambda: page.get_by_role("button", name="取消问诊").click()),
        ("dialog-consent", "doctors/{doctor_id}/order", lambda: page.get_by_role("button", name=re.compile("^阅读《")).click()),
        ("dialog-message", "orders/{session}/chat", lambda: page.get_by_label("更多操作").last.click()),
        ("chat-picture", "orders/{session}/chat", lambda: page.get_by_role("button", name="查看图片").last.click()),
        ("chat-speak", "orders/{session}/chat", lambda: page.get_by_role("button", name="改用语音").click()),
        ("form-wrong", "doctors/{doctor_id}/order", lambda: page.get_by_role("button", name=re.compile("提交")).click()),
        ("chosen-stars", "orders/{completed}/rate", lambda: page.get_by_role("radio", name="5 星").check()),
        ("child", "patients/new", lambda: page.get_by_label("出生证明").check()),
    ):
        if not _wanted(stage, name):
            continue
        await page.goto("/patient/" + path.format(**story))
        await settle(page)
        await _open(opens)
        await settle(page)
        await stage.snap(page, APP, name, size)


async def _open(opens: Callable[[], Awaitable[None]]) -> None:
    await opens()


async def _troubles(stage: Stage, context: BrowserContext, page: Page, size: str, story: Story) -> None:
    """While it loads, when the server fails, and without a network."""
    await look(page, "zh-CN", "light")
    if _wanted(stage, "loading"):
        await page.route("**/api/v1/doctors*", _hold)
        await page.goto("/patient/doctors?q=等", wait_until="commit")
        await page.locator(".p-skeleton").first.wait_for()
        await stage.snap(page, APP, "loading", size)
        await page.unroute("**/api/v1/doctors*")
    if _wanted(stage, "failed"):
        answer: dict[str, Any] = {
            "status": 503,
            "content_type": "application/problem+json",
            "body": '{"code":"service.unavailable","status":503}',
        }
        await page.route("**/api/v1/doctors*", lambda route: route.fulfill(**answer))
        await page.goto("/patient/doctors?q=错")
        await page.get_by_role("alert").wait_for()
        await stage.snap(page, APP, "failed", size)
        await page.unroute("**/api/v1/doctors*")
    if _wanted(stage, "offline"):
        await page.goto("/patient/" + "orders/{session}/chat".format(**story))
        await settle(page)
        await context.set_offline(True)
        await page.get_by_label("输入消息").fill("晚上又疼了一次，走路有点跛。")
        await page.get_by_role("button", name="发送", exact=True).click()
        await page.get_by_text("发送中…").wait_for()
        await stage.snap(page, APP, "offline-chat", size)
        await page.get_by_role("link", name="问诊详情").click()
        await page.get_by_role("link", name="谁看过我的病历").click()
        await page.get_by_role("alert").wait_for()
        await stage.snap(page, APP, "offline", size)
        await context.set_offline(False)


async def _hold(route: Route) -> None:
    """No answer comes."""
    del route
    await asyncio.sleep(0)
