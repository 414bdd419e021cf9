"""The patient's app without a network: it opens, shows what is kept; what is written is sent once or said to be unsent."""

import asyncio
import re
from pathlib import Path

from playwright.async_api import Browser, Page, Route, expect

from tests.support.browser import visit
from tests.support.contract import World, new_phone
from tests.support.patient_app import Line, open_chat, pair_of, say, sign_in
from tests.support.product import Product

PICTURE = Path(__file__).parents[2] / "web" / "dist" / "patient" / "icon-192.png"
_CACHED = """async () => {
  const kept = (await caches.keys()).map(async (name) => (await (await caches.open(name)).keys()).map(({ url }) => url));
  return (await Promise.all(kept)).flat();
}"""

_KEPT = """async ([kind, words]) => {
  const answer = (asked) => new Promise((done, failed) => {
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => failed(asked.error);
  });
  const database = await answer(indexedDB.open("yunzhen-patient"));
  try {
    return JSON.stringify(await answer(database.transaction(kind).objectStore(kind).getAll())).includes(words);
  } finally {
    database.close();
  }
}"""


async def _kept(page: Page, kind: str, words: str) -> None:
    """What is shown is put aside a moment later. A page that is left before that may not come to it."""
    async with asyncio.timeout(60):
        while not await page.evaluate(_KEPT, [kind, words]):
            await asyncio.sleep(0.1)


async def _ready(page: Page) -> None:
    """What opens the app without a network is there."""
    await page.evaluate("() => navigator.serviceWorker.ready")


async def test_what_is_written_without_a_network_is_kept_and_arrives_once(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    pair = await pair_of(world, phone)
    order = await pair.paid()
    async with visit(chrome, product, trace) as context:
        line = await Line(context).lay()
        page = await context.new_page()
        await sign_in(page, product, phone)
        await _ready(page)
        await open_chat(page, order)
        await say(page, "第一句")
        await expect(page.get_by_text("已发送")).to_have_count(1)
        await _kept(page, "logs", "第一句")
        await line.cut()
        await say(page, "第二句")
        await page.get_by_test_id("picture-input").set_input_files(PICTURE)
        await say(page, "看图")
        await say(page, "第三句")
        await expect(page.get_by_text("发送中…")).to_have_count(3)
        await page.reload()  # the app opens without a network, with all that was said and written
        for words in ("第一句", "第二句", "看图", "第三句"):
            await expect(page.get_by_text(words)).to_be_visible()
        await expect(page.get_by_text("发送中…")).to_have_count(3)
        await line.mend()
        await expect(page.get_by_text("已发送")).to_have_count(4)
    said = [entry["parts"] for entry in await pair.log(order["conversation_id"]) if entry["kind"] == "message"]
    assert [parts[0]["text"] for parts in said] == ["第一句", "第二句", "看图", "第三句"]
    assert [part["kind"] for part in said[2]] == ["text", "image"]


async def test_what_was_written_without_a_network_and_came_too_late_is_said_to_be_unsent_and_can_be_taken_elsewhere(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    pair = await pair_of(world, phone)
    order = await pair.paid()
    async with visit(chrome, product, trace, permissions=["clipboard-read", "clipboard-write"]) as context:
        line = await Line(context).lay()
        page = await context.new_page()
        await sign_in(page, product, phone)
        await _ready(page)
        await open_chat(page, order)
        await line.cut()
        await say(page, "刚才又晕了一次")
        await page.get_by_test_id("picture-input").set_input_files(PICTURE)
        await page.get_by_role("button", name="发送", exact=True).click()
        await expect(page.get_by_text("发送中…")).to_have_count(2)
        await pair.reply(order["conversation_id"], "多休息，少熬夜。")
        await pair.doctor.post(f"/orders/{order['id']}/finish", {})
        await line.mend()
        unsent = page.get_by_role("alert").filter(has_text="没有发出：发送前问诊已经结束")
        await expect(unsent).to_have_count(2)
        await expect(page.get_by_label("输入消息")).to_have_count(0)
        await expect(page.get_by_text("医生结束了问诊").last).to_be_visible()
        await expect(page.get_by_role("button", name="重新发送")).to_have_count(0)  # it would be refused again

        await page.goto("/patient/")  # said where the app begins too: the consult is no longer among those that run
        await page.get_by_role("alert").get_by_role("link", name="有消息没有发给医生").click()
        await expect(unsent).to_have_count(2)
        words = page.get_by_role("article").filter(has_text="刚才又晕了一次")
        await words.get_by_role("button", name="复制文字").click()
        await expect(words.get_by_text("已复制")).to_be_visible()
        assert await page.evaluate("() => navigator.clipboard.readText()") == "刚才又晕了一次"
        await page.goto("/patient/orders")
        await page.get_by_role("link", name=re.compile("有消息没有发出")).click()
        for left in (1, 0):
            await page.get_by_role("button", name="删除").first.click()
            await expect(unsent).to_have_count(left)
        await page.goto("/patient/")
        await expect(page.get_by_role("heading", name="正在接诊")).to_be_visible()
        await expect(page.get_by_text("有消息没有发给医生")).to_have_count(0)
    said = [entry for entry in await pair.log(order["conversation_id"]) if entry["kind"] == "message"]
    assert [entry["parts"][0]["text"] for entry in said] == ["多休息，少熬夜。"]


async def test_the_app_can_be_installed_and_opens_without_a_network_at_what_was_read_before(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    pair = await pair_of(world, phone)
    order = await pair.paid(complaint="夜里咳嗽")
    await pair.reply(order["conversation_id"], "睡前喝点温水。")
    async with visit(chrome, product, trace) as context:
        line = await Line(context).lay()
        page = await context.new_page()
        await sign_in(page, product, phone)
        await _ready(page)
        devtools = await context.new_cdp_session(page)
        manifest = await devtools.send("Page.getAppManifest")
        assert (manifest["errors"], manifest["url"]) == ([], f"{product.base_url}/patient/manifest.webmanifest")
        found = await devtools.send("Page.getInstallabilityErrors")
        assert {each["errorId"] for each in found["installabilityErrors"]} <= {"in-incognito"}  # as all browsers of tests are
        await page.goto("/patient/orders")
        await expect(page.get_by_text("夜里咳嗽")).to_be_visible()
        await _kept(page, "notes", "夜里咳嗽")
        await open_chat(page, order)
        await expect(page.get_by_text("睡前喝点温水。")).to_be_visible()
        await _kept(page, "logs", "睡前喝点温水。")
        await _kept(page, "notes", f'["order","{order["id"]}"]')
        await line.cut()
        await page.goto("/patient/orders")
        await expect(page.get_by_role("status").filter(has_text=re.compile("网络已断开|连接中断"))).to_be_visible()
        await page.get_by_role("link", name=re.compile("夜里咳嗽")).click()
        await expect(page.get_by_text("睡前喝点温水。")).to_be_visible()
        await page.goto("/patient/settings")  # a screen that was never opened before
        await expect(page.get_by_role("switch", name="大字模式")).to_be_visible()
        kept = await page.evaluate(_CACHED)
        assert [url for url in kept if "/api/" in url or "/media/" in url] == []


async def test_what_changed_while_the_app_was_closed_is_shown_however_young_the_copy_is(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    pair = await pair_of(world, phone)
    order = await pair.paid(complaint="夜里咳嗽")
    await pair.reply(order["conversation_id"], "睡前喝点温水。")
    async with visit(chrome, product, trace) as context:
        page = await context.new_page()
        await sign_in(page, product, phone)
        await page.goto(f"/patient/orders/{order['id']}")
        await expect(page.get_by_text("问诊中").first).to_be_visible()
        await _kept(page, "notes", f'["order","{order["id"]}"]')
        await page.goto("about:blank")
        await pair.doctor.post(f"/orders/{order['id']}/finish", {})
        await page.goto(f"/patient/orders/{order['id']}")
        await expect(page.get_by_text("已完成").first).to_be_visible()
        await expect(page.get_by_text("问诊中")).to_have_count(0)


async def test_an_order_whose_answer_was_lost_is_not_made_twice(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    pair = await pair_of(world, phone := new_phone())
    async with visit(
        chrome, product, trace, service_workers="block"
    ) as context:  # what a worker asks for passes by the line below
        page = await context.new_page()
        await sign_in(page, product, phone)
        await page.goto(f"/patient/doctors/{pair.doctor_id}/order")
        await page.get_by_label("哪里不舒服？").fill("夜里咳嗽")
        await page.get_by_label(re.compile("我已阅读并同意")).check()
        lost: list[int] = []

        async def lose(route: Route) -> None:
            lost.append((await route.fetch()).status)
            await route.abort()

        await page.route("**/api/v1/orders", lose)
        submit = page.get_by_role("button", name=re.compile("提交"))
        await submit.click()
        await expect(submit).to_be_enabled()
        await expect(page.get_by_text(re.compile("网络不通"))).to_be_visible()
        await page.unroute("**/api/v1/orders")
        await submit.click()
        await expect(page.get_by_role("button", name=re.compile("确认付款"))).to_be_visible()
    assert set(lost) == {201}
    assert len((await pair.patient.get("/orders"))["items"]) == 1
