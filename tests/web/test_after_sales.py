"""After-sales on the screens of those who are about it: the patient asks on the phone, the hospital decides at the desk."""

import uuid
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.support.accessibility import serious_findings
from tests.support.browser import DESK, visit
from tests.support.contract import Pair, World, new_phone
from tests.support.patient_app import sign_in
from tests.support.product import Product
from tests.web.screens.console import sign_in as sign_in_as_staff

WORDS = "医生只回了一句话，没有看我的化验单。"


@pytest.mark.timeout(300)  # two people in two browsers, on a machine that may be busy
async def test_a_patient_asks_for_the_fee_and_reads_what_the_hospital_decided(
    product: Product, world: World, chrome: Browser, trace: Path
) -> None:
    phone = new_phone()
    patient = await world.patient(phone)
    patient_id = (await world.new_patient(patient))["id"]
    doctor, doctor_id, _ = await world.new_doctor(name="周慎之")
    pair = Pair(world, patient, patient_id, doctor, doctor_id)
    order = await pair.paid()
    await pair.reply(order["conversation_id"])
    await doctor.post(f"/orders/{order['id']}/finish", {})
    name = f"cases-{uuid.uuid4().hex[:8]}"
    body = {"username": name, "name": "售后专员", "password": f"{name}-correct-horse", "roles": ["medical_admin"]}
    person = {**body, **await (await world.staff()).post("/admin/staff", body, 201)}
    async with (
        visit(chrome, product, trace.with_suffix(".desk.zip"), **DESK) as at_desk,
        visit(chrome, product, trace) as on_phone,
    ):
        desk, page = await at_desk.new_page(), await on_phone.new_page()
        await sign_in(page, product, phone)
        await page.goto(f"/patient/orders/{order['id']}")
        await page.get_by_role("button", name="申请售后").click()
        await page.get_by_label("请说明原因").fill(WORDS)
        assert await serious_findings(page) == []
        await page.get_by_role("button", name="提交申请").click()
        await expect(page.get_by_text("医院正在核实")).to_be_visible()

        await sign_in_as_staff(desk, person)
        await desk.goto("/console/tasks")
        task = desk.get_by_role("listitem").filter(has_text="售后申请").first
        await task.get_by_role("button", name="认领").click()
        await desk.get_by_text("处理中", exact=True).first.click()
        mine = desk.get_by_role("listitem").filter(has_text=WORDS)
        await mine.get_by_label("退费金额（元）").fill("12.50")
        await mine.get_by_label("给患者的答复").fill("已核实，退还部分费用。")
        assert await serious_findings(desk) == []
        await mine.get_by_role("button", name="同意退费").click()
        await expect(desk.get_by_text("售后申请已处理").first).to_be_visible()

        await page.goto(f"/patient/orders/{order['id']}")
        await expect(page.get_by_text("已核实，退还部分费用。")).to_be_visible()
        await expect(page.get_by_text("12.50").first).to_be_visible()
        assert await serious_findings(page) == []
