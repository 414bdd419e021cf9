"""The console's screens, as somebody with every role sees them."""

import asyncio
import io
import time
from typing import Any

import pyotp
from PIL import Image
from playwright.async_api import Page

from tests.web.screens.stage import Stage, look, settle

APP = "console"
_SIZES = ("desk", "small", "phone")
_PATHS = {
    "board": "/console/",
    "orders": "/console/orders",
    "order": "/console/orders/{session}",
    "order-completed": "/console/orders/{completed}",
    "tasks": "/console/tasks",
    "refunds": "/console/refunds",
    "audit": "/console/audit",
    "trace": "/console/trace",
    "reveals": "/console/reveals",
    "sentences": "/console/sentences",
    "figures": "/console/figures",
    "doctors": "/console/doctors",
    "staff": "/console/staff",
    "policy": "/console/policy",
    "hl7": "/console/hl7",
    "account": "/console/account",
}


async def sign_in(page: Page, person: dict[str, Any]) -> None:
    """With the code of the next half minute where that of this one was used."""
    totp = pyotp.TOTP(person["totp_secret"])
    await page.goto("/console/")
    await page.get_by_label("用户名").wait_for(timeout=60_000)  # the first page of a browser on a busy machine
    for attempt, ahead in enumerate((0, 30, 30, 30, 30)):
        if attempt > 1:
            await asyncio.sleep(10)  # both codes of now were used
        await page.get_by_label("用户名").fill(person["username"])
        await page.get_by_label("密码").fill(person["password"])
        await page.get_by_label("动态验证码").fill(totp.at(int(time.time()) + ahead))
        await page.get_by_role("button", name="登录").click()
        await page.locator(".c-frame, .yz-notice--bad").first.wait_for()
        if await page.locator(".c-frame").count():
            return
    raise AssertionError("nobody could sign in to the console")


_SENTENCES = (
    "{patient}您好，我是{department}{doctor}，已看到您的资料。",
    "复查当天请空腹，上午十点前到{department}门诊，带上既往检查和正在服用的药。",
)


async def _sentences(stage: Stage) -> None:
    staff = await stage.world.staff()
    department = (await staff.get("/departments"))["items"][0]["id"]
    for words in _SENTENCES:
        await staff.post(f"/admin/departments/{department}/quick-replies", {"text": words}, 201)


async def walk(stage: Stage) -> None:
    await _sentences(stage)
    for size in _SIZES:
        async with stage.visit(size) as context:
            page = await context.new_page()
            await page.goto("/console/")
            await settle(page)
            await stage.shoot(page, APP, "login", size)
            await look(page, "zh-CN", "light")
            await sign_in(page, stage.product.demo["staff"][0])
            for name, path in _PATHS.items():
                if stage.only and name not in stage.only:
                    continue
                await page.goto(path.format(**stage.scene))
                await settle(page)
                await stage.shoot(page, APP, name, size)
            await look(page, "zh-CN", "light")
            await _dialogs(page, stage, size)


async def _dialogs(page: Page, stage: Stage, size: str) -> None:
    """What only a hand opens: the verdict on history, a trace, forms."""
    await page.goto("/console/audit")
    await page.get_by_role("tab", name="链条核验").click()
    await page.get_by_role("button", name="立即核验").click()
    await page.get_by_text("历史完整").first.wait_for(timeout=60_000)
    await settle(page)
    await stage.snap(page, APP, "verified", size)
    await page.goto("/console/trace")
    await page.locator("input[type=file]").set_input_files(
        files=[{"name": "leak.png", "mimeType": "image/png", "buffer": await _leak(stage)}]
    )
    await page.get_by_text("查看医生").first.wait_for(timeout=120_000)
    await settle(page)
    await stage.snap(page, APP, "traced", size)
    await page.goto("/console/doctors")
    await page.get_by_role("button", name="新增医生").click()
    await settle(page)
    await stage.snap(page, APP, "doctor-form", size)
    await page.goto(f"/console/orders/{stage.scene['session']}")
    await page.get_by_role("button", name="搜索对话").click()
    await page.get_by_role("searchbox", name="要找的词").fill("退热药")
    await page.keyboard.press("Enter")
    await page.locator(".c-hit").first.wait_for()
    await settle(page)
    await stage.snap(page, APP, "said", size)
    await page.goto("/console/refunds?status=needs_person")
    await settle(page)
    await page.keyboard.press("?")
    await settle(page)
    await stage.snap(page, APP, "keys", size)
    for name in ("board", "orders", "order"):
        await stage.shoot_trouble(page, APP, name, size, _PATHS[name].format(**stage.scene))
    await look(page, "zh-CN", "light")
    await page.goto("/console/staff")
    await page.get_by_role("button", name="新增工作人员").click()
    await settle(page)
    await stage.snap(page, APP, "staff-form", size)


async def _leak(stage: Stage) -> bytes:
    """A record page as the doctor was shown it, kept as somebody's screenshot would be."""
    doctor = await stage.world.doctor(stage.scene["doctor_phone"])
    order_id = stage.scene["session"]
    record = (await doctor.get(f"/orders/{order_id}/records"))["items"][0]["record_id"]
    page = await doctor.ask("GET", f"/orders/{order_id}/records/{record}/pages/1")
    kept = io.BytesIO()
    Image.open(io.BytesIO(page.body)).convert("RGB").save(kept, "PNG")
    return kept.getvalue()
