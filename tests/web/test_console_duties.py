"""What two offices do together in the console, and what a medical administrator keeps for the departments."""

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.accessibility import serious_findings
from tests.support.browser import DESK, visit
from tests.support.contract import Pair, World
from tests.web.screens.console import sign_in

WORDS = "请把用药改为每日两次"


@dataclass(slots=True)
class Console:
    """Opens the console for people who were added for this test alone, since a one-time code is good once."""

    world: World
    chrome: Browser
    trace: Path
    open: AsyncExitStack

    async def member(self, *roles: str, name: str) -> dict[str, Any]:
        staff, password = await self.world.staff(), "correct horse"
        body = {"username": f"{roles[0]}.{secrets.token_hex(4)}", "name": name, "password": password, "roles": roles}
        return body | await staff.post("/admin/staff", body, 201)

    async def page(self, member: dict[str, Any]) -> Page:
        context = await self.open.enter_async_context(visit(self.chrome, self.world.product, self.trace, **DESK))
        page = await context.new_page()
        await sign_in(page, member)
        return page


@pytest_asyncio.fixture(loop_scope="session")
async def console(world: World, chrome: Browser, trace: Path) -> AsyncIterator[Console]:
    async with AsyncExitStack() as stack:
        yield Console(world, chrome, trace, stack)


async def _recalled(world: World) -> dict[str, Any]:
    """An order in which the patient took something back."""
    patient = await world.patient()
    doctor, doctor_id, _ = await world.new_doctor(name="沈青禾")
    pair = Pair(world, patient, (await world.new_patient(patient))["id"], doctor, doctor_id)
    order: dict[str, Any] = await pair.paid()
    said = await pair.reply(order["conversation_id"], WORDS)
    socket = await world.socket(doctor)
    body = {"conversation_id": order["conversation_id"], "client_id": secrets.token_hex(8), "seq": said["seq"]}
    await socket.ok("message.recall", body)
    return order | {"seq": said["seq"]}


async def test_what_was_taken_back_is_seen_by_two_who_agreed_and_by_nobody_alone(world: World, console: Console) -> None:
    order = await _recalled(world)
    reason = f"投诉：用药前后不一致 {secrets.token_hex(3)}"
    auditor = await console.page(await console.member("auditor", name="孙丽"))
    await auditor.goto(f"/console/orders/{order['id']}")
    await auditor.get_by_role("button", name="申请查看").click()
    dialog = auditor.get_by_role("dialog", name=f"申请查看已撤回的第 {order['seq']} 条消息")
    await expect(dialog.get_by_role("button", name="申请查看")).to_be_disabled()  # not without a reason
    await dialog.get_by_label("理由").fill(reason)
    assert ("asking", await serious_findings(auditor)) == ("asking", [])
    await dialog.get_by_role("button", name="申请查看").click()
    await expect(auditor.get_by_text("已提出申请，等待医务管理员答复")).to_be_visible()
    await auditor.get_by_role("link", name="已撤回内容").click()
    own = auditor.get_by_role("row").filter(has_text=reason)
    await expect(own.get_by_text("等待答复")).to_be_visible()
    await expect(
        own.get_by_role("button", name="查看", exact=True).or_(own.get_by_role("button", name="答复申请"))
    ).to_have_count(0)
    assert WORDS not in await auditor.content()

    medical = await console.page(await console.member("medical_admin", name="何清"))
    await medical.goto(f"/console/orders/{order['id']}")
    await expect(medical.get_by_text("已撤回，内容不予显示")).to_be_visible()
    await expect(medical.get_by_role("button", name="申请查看")).to_have_count(0)  # whose office agrees does not ask
    await medical.get_by_role("link", name="已撤回内容").click()
    row = medical.get_by_role("row").filter(has_text=reason)
    await row.get_by_role("button", name="答复申请").click()
    assert ("answering", await serious_findings(medical)) == ("answering", [])
    await medical.get_by_role("dialog", name="答复申请").get_by_role("button", name="同意", exact=True).click()
    await row.get_by_role("button", name="查看", exact=True).click()
    await expect(medical.get_by_role("dialog", name="已撤回的消息").get_by_text(WORDS)).to_be_visible()

    await auditor.reload()
    await own.get_by_role("button", name="查看", exact=True).click()
    shown = auditor.get_by_role("dialog", name="已撤回的消息")
    await expect(shown.get_by_text(WORDS)).to_be_visible()
    assert ("shown", await serious_findings(auditor)) == ("shown", [])
    await auditor.keyboard.press("Escape")
    await expect(shown).to_be_hidden()
    third = await console.page(await console.member("auditor", name="周敏"))
    await third.get_by_role("link", name="已撤回内容").click()
    others = third.get_by_role("row").filter(has_text=reason)
    await expect(others.get_by_text("已同意")).to_be_visible()
    await expect(others.get_by_role("button", name="查看", exact=True)).to_have_count(0)


async def test_a_department_s_sentences_are_added_put_in_order_changed_and_deleted_and_its_doctors_have_them(
    world: World, console: Console
) -> None:
    staff = await world.staff()
    department = (await staff.get("/departments"))["items"][-1]
    path = f"/admin/departments/{department['id']}/quick-replies"
    for item in (await staff.get(path))["items"]:
        assert (await staff.ask("DELETE", f"{path}/{item['id']}")).status == 204
    doctor, _, _ = await world.new_doctor(department_id=department["id"])
    page = await console.page(await console.member("medical_admin", name="何清"))
    await page.get_by_role("link", name="科室快捷回复").click()
    await page.get_by_role("combobox", name="科室").fill(department["name"])
    await page.keyboard.press("Enter")
    await expect(page.get_by_text(f"{department['name']}还没有快捷回复")).to_be_visible()
    assert ("empty", await serious_findings(page)) == ("empty", [])
    for words in ("请空腹来院复查。", "请带上既往检查。"):
        await page.get_by_role("button", name=re.compile("新增$")).click()
        form = page.get_by_role("dialog", name=f"为{department['name']}新增快捷回复")
        await form.get_by_role("button", name="患者姓名").click()
        await form.get_by_role("textbox", name="内容").press_sequentially(words)
        await expect(form.get_by_text(f"李小明{words}")).to_be_visible()  # as a doctor sees it
        assert ("form", await serious_findings(page)) == ("form", [])
        await form.get_by_role("button", name="保存").click()
        await expect(form).to_be_hidden()
    rows = page.locator(".c-sentence__text")
    await expect(rows).to_have_text(["患者姓名请空腹来院复查。", "患者姓名请带上既往检查。"])
    await page.get_by_role("button", name="将第 2 条上移").press("Enter")
    await expect(rows).to_have_text(["患者姓名请带上既往检查。", "患者姓名请空腹来院复查。"])
    await expect(page.get_by_role("button", name="将第 1 条上移")).to_be_focused()
    await page.get_by_role("button", name="修改 1").click()
    edited = page.get_by_role("dialog", name=f"修改{department['name']}的快捷回复")
    await edited.get_by_role("textbox", name="内容").fill("{patient}您好，请带上既往检查和{dose}。")
    await edited.get_by_role("button", name="保存").click()
    await expect(rows).to_have_text(["患者姓名您好，请带上既往检查和{dose}。", "患者姓名请空腹来院复查。"])
    assert ("list", await serious_findings(page)) == ("list", [])
    own = [item["text"] for item in (await doctor.get("/desk/quick-replies"))["items"] if item["scope"] == "department"]
    assert own == ["{patient}您好，请带上既往检查和{dose}。", "{patient}请空腹来院复查。"]
    await page.get_by_role("button", name="删除 2").click()
    await page.get_by_role("dialog", name="删除这条快捷回复？").get_by_role("button", name="删除").click()
    await expect(rows).to_have_count(1)


async def test_a_department_s_price_is_set_and_taken_away_and_patients_see_it(world: World, console: Console) -> None:
    department = (await (await world.staff()).get("/departments"))["items"][-2]
    doctor, _, _ = await world.new_doctor(department_id=department["id"])
    assert (await doctor.get("/desk/settings"))["accepting"] is True
    patient = await world.patient()
    page = await console.page(await console.member("medical_admin", name="何清"))
    await page.get_by_role("link", name="提醒规则").click()
    price = page.get_by_role("textbox", name=department["name"], exact=True)
    await price.fill("-3")
    await expect(page.get_by_text("请输入 0.01 到 100000 之间的金额")).to_be_visible()
    await price.fill("23.5")
    await page.get_by_role("button", name=f"保存{department['name']}的价格").click()
    await expect(page.get_by_text("价格已保存")).to_be_visible()
    assert ("prices", await serious_findings(page)) == ("prices", [])

    async def offered() -> list[int]:
        items = (await patient.get("/quick-consults"))["items"]
        return [item["fee_fen"] for item in items if item["department_id"] == department["id"]]

    assert await offered() == [2350]
    await page.reload()
    await expect(price).to_have_value("23.50")
    await price.fill("")
    await page.get_by_role("button", name=f"保存{department['name']}的价格").click()
    await expect(page.get_by_text("价格已保存")).to_be_visible()
    assert await offered() == []


async def test_who_lost_the_phone_is_let_in_again_by_an_operator_and_an_auditor(world: World, console: Console) -> None:
    lost = await console.member("medical_admin", name=f"何清{secrets.token_hex(3)}")
    theirs = await console.page(lost)
    operator = await console.page(await console.member("operator", name="韩立"))
    auditor = await console.page(await console.member("auditor", name="孙丽"))
    await expect(operator.get_by_role("heading", level=1, name="工作人员")).to_be_visible()
    row = operator.get_by_role("row").filter(has_text=lost["name"])
    await row.get_by_role("button", name=f"重置登录 {lost['name']}").click()
    asking = operator.get_by_role("dialog", name=f"为 {lost['name']} 申请重置登录")
    await expect(asking.get_by_text("一位审计员与本人核实后同意")).to_be_visible()
    assert ("asking", await serious_findings(operator)) == ("asking", [])
    await asking.get_by_role("button", name="提出申请").click()
    await expect(row.get_by_text("申请重置中")).to_be_visible()
    await theirs.reload()
    await expect(theirs.get_by_text("有人申请重置您的登录")).to_be_visible()  # and nothing has ended for the member
    assert ("warned", await serious_findings(theirs)) == ("warned", [])

    await auditor.get_by_role("link", name="工作人员").click()
    asked = auditor.get_by_role("row").filter(has_text=lost["name"])
    await expect(asked.get_by_role("button", name=f"答复申请 {lost['name']}")).to_be_visible()
    await expect(asked.get_by_role("button", name=f"重置登录 {lost['name']}")).to_have_count(0)
    await asked.get_by_role("button", name=f"答复申请 {lost['name']}").click()
    answer = auditor.get_by_role("dialog", name=f"重置 {lost['name']} 的登录？")
    await expect(answer.get_by_text("本人核实")).to_be_visible()
    assert ("answering", await serious_findings(auditor)) == ("answering", [])
    await answer.get_by_role("button", name="同意", exact=True).click()
    await expect(asked.get_by_text("已同意重置")).to_be_visible()

    await operator.reload()
    await row.get_by_role("button", name=f"设置新登录 {lost['name']}").click()
    await operator.get_by_label("新密码").fill("another horse")
    await operator.get_by_role("dialog").get_by_role("button", name="重置登录").click()
    secret = await operator.get_by_role("dialog", name=f"请让 {lost['name']} 现在扫描").locator("code").inner_text()
    await expect(operator.locator(".ant-qrcode")).to_be_visible()
    await theirs.reload()
    await expect(theirs.get_by_label("用户名")).to_be_visible()
    again = await console.page(lost | {"password": "another horse", "totp_secret": secret})
    await expect(again.get_by_text("有人申请重置您的登录")).to_have_count(0)
