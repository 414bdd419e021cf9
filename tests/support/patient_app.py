"""What a patient does with the app, for tests that drive it in a browser."""

import asyncio
import re
from typing import Any

from playwright.async_api import BrowserContext, Page, WebSocketRoute, expect

from tests.support.contract import Pair, World
from tests.support.product import Product

TWO_SECONDS = re.compile(r"0:(0[2-9]|[1-5]\d) / 1:00")
"""Of a recording's length, or more: a busy machine shows not every second."""


async def pair_of(world: World, phone: str) -> Pair:
    """A new account with a patient of its own, and a new doctor."""
    patient = await world.patient(phone)
    patient_id = (await world.new_patient(patient))["id"]
    doctor, doctor_id, _ = await world.new_doctor(name="陆远舟")
    return Pair(world, patient, patient_id, doctor, doctor_id)


async def open_chat(page: Page, order: Any) -> None:
    """The conversation of an order that is open."""
    await page.goto(f"/patient/orders/{order['id']}/chat")
    await expect(page.get_by_label("输入消息")).to_be_visible()


async def sign_in(page: Page, product: Product, phone: str) -> None:
    """By SMS code, up to the home screen."""
    messages = f"{product.simulators_url}/sms/messages?phone={phone}"
    before = len(await (await page.request.get(messages)).json())
    await page.goto("/patient/")
    await page.get_by_label("手机号").fill(phone)
    await page.get_by_role("button", name="获取验证码").click()
    await expect(page.get_by_text("验证码已发送")).to_be_visible()
    async with asyncio.timeout(20):
        while len(received := await (await page.request.get(messages)).json()) == before:
            await asyncio.sleep(0.05)
    await page.get_by_label("验证码", exact=True).fill(received[0]["params"]["code"])
    await page.get_by_role("button", name="登录", exact=True).click()
    await expect(page.get_by_role("heading", name="您好")).to_be_visible()


async def say(page: Page, words: str) -> None:
    """Write it and press send; that it arrives is another matter."""
    await page.get_by_label("输入消息").fill(words)
    await page.get_by_role("button", name="发送", exact=True).click()


class Line:
    """The line of one browser, to be cut and mended: requests and the live connection alike."""

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._open: list[WebSocketRoute] = []
        self._cut = False

    async def lay(self) -> "Line":
        await self._context.route_web_socket("**/socket.io/**", self._connect)
        return self

    async def cut(self) -> None:
        self._cut = True
        await self._context.set_offline(True)
        for each in self._open:
            await each.close()
        self._open.clear()

    async def mend(self) -> None:
        self._cut = False
        await self._context.set_offline(False)

    async def _connect(self, route: WebSocketRoute) -> None:
        if self._cut:
            await route.close()
            return
        route.connect_to_server()
        self._open.append(route)
        await asyncio.sleep(0)
