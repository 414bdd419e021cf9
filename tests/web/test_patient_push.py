"""What a browser shows a patient of a push, and who is told. The service worker is the real one, the push service ours."""

import asyncio
import json
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.browser import visit
from tests.support.contract import PATIENCE_SECONDS, World, new_phone
from tests.support.patient_app import pair_of, sign_in
from tests.support.product import Product

_SUBSCRIBES = """(made) => {
  const kept = () => JSON.parse(localStorage.getItem("test.push") ?? "null");
  const subscription = () => kept() && {
    options: { applicationServerKey: Uint8Array.from(kept()).buffer }, toJSON: () => made,
    unsubscribe: async () => { localStorage.removeItem("test.push"); return true; },
  };
  PushManager.prototype.getSubscription = async () => subscription();
  PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
    localStorage.setItem("test.push", JSON.stringify([...applicationServerKey]));
    return subscription();
  };
}"""
"""The part of a browser that asks its maker's push service, which is out of reach: it gets a subscription at ours."""

_CLICK = """async () => {
  const [notification] = await registration.getNotifications();
  const event = new NotificationEvent("notificationclick", { notification });
  let over = Promise.resolve();
  Object.defineProperty(event, "waitUntil", { value: (work) => { over = work; } });
  dispatchEvent(event);
  await over;
}"""
_SHOWN = """async () => (await registration.getNotifications()).map(
  ({ title, body, tag, data }) => ({ title, body, tag, path: data.path }))"""


async def test_a_patient_who_wants_to_be_told_is_pushed_to_and_a_tap_opens_the_conversation(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    pair = await pair_of(world, phone)
    order = await pair.paid()
    browser = await world.outside("POST", "/push/web/subscriptions", {"device_id": f"browser-{phone}"})
    async with visit(chrome, product, trace, permissions=["notifications"]) as context:
        await context.add_init_script(f"({_SUBSCRIBES})({json.dumps(browser)})")
        page = await context.new_page()
        await sign_in(page, product, phone)
        await page.evaluate("() => navigator.serviceWorker.ready")
        await page.goto("/patient/settings")
        wish = page.get_by_role("switch", name="新消息提醒")
        await wish.click()
        await expect(page.get_by_text("已开启。提醒里不会出现病情。")).to_be_visible()
        await expect(wish).to_be_checked()
        await page.goto("about:blank")  # away: no socket
        said = await pair.reply(order["conversation_id"], "请做胸片检查。")
        pushed = await _arrived(world, f"browser-{phone}")
        assert "胸片" not in str(pushed)

        await page.goto("/patient/settings")
        await expect(wish).to_be_checked()  # the next start knows of it
        worker = context.service_workers[0]
        extras = {"kind": "message", "order_id": order["id"], "conversation_id": order["conversation_id"], "seq": said["seq"]}
        assert pushed["extras"] == extras
        content = {"id": pushed["cid"], "title": pushed["title"], "text": pushed["alert"], "badge": pushed["badge"]}
        await _deliver(context, page, product, content | {"collapse": "one", "extras": extras})
        await _deliver(context, page, product, content | {"collapse": "one", "extras": extras})
        shown = {
            "title": "云诊",
            "body": "您有一条新消息，请查看。",
            "tag": "one",
            "path": f"/patient/orders/{order['id']}/chat",
        }
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await worker.evaluate(_SHOWN) != [shown]:  # one for both
                await asyncio.sleep(0.05)
        await worker.evaluate(_CLICK)
        await page.wait_for_url(f"**/patient/orders/{order['id']}/chat")
        await expect(page.get_by_text("请做胸片检查。")).to_be_visible()
        assert await worker.evaluate(_SHOWN) == []  # tapped: gone

        await _deliver(context, page, product, {"title": "云诊", "text": "退款成功", "extras": {"kind": "refunded"}})
        async with asyncio.timeout(PATIENCE_SECONDS):
            while [each["path"] for each in await worker.evaluate(_SHOWN)] != ["/patient/notices"]:
                await asyncio.sleep(0.05)

        await page.goto("/patient/me")
        await page.get_by_role("button", name="退出登录").click()
        await page.get_by_role("dialog").get_by_role("button", name="退出登录").click()
        await expect(page.get_by_role("heading", name="登录云诊")).to_be_visible()
        other = new_phone()
        await pair_of(world, other)
        await sign_in(page, product, other)  # somebody else at the same browser did not ask to be told
        await page.wait_for_function("() => localStorage.getItem('test.push') === null")
        await page.goto("/patient/settings")
        await expect(wish).not_to_be_checked()


async def _arrived(world: World, device_id: str) -> Any:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (shown := await world.outside("GET", f"/push/messages?device_id={device_id}")):
            await asyncio.sleep(0.1)
    return shown[0]


async def _deliver(context: BrowserContext, page: Page, product: Product, content: dict[str, Any]) -> None:
    """As the browser hands it to the worker when its push service brings something."""
    devtools = await context.new_cdp_session(page)
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def look(event: dict[str, Any]) -> None:
        for each in event["registrations"]:
            if each["scopeURL"].endswith("/patient/") and not each["isDeleted"] and not found.done():
                found.set_result(each["registrationId"])

    devtools.on("ServiceWorker.workerRegistrationUpdated", look)
    await devtools.send("ServiceWorker.enable")
    async with asyncio.timeout(PATIENCE_SECONDS):
        registration = await found
    sent = {"origin": product.base_url, "registrationId": registration, "data": json.dumps(content)}
    await devtools.send("ServiceWorker.deliverPushMessage", sent)
    await devtools.detach()
