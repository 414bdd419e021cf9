"""In the running product: a leaked page leads back to its view, and a consult leaves as FHIR."""

import io
from typing import Any

import aiohttp
import orjson
import pytest
from PIL import Image

from tests.support.contract import Answer, Client, Pair, World
from tests.support.fhir import validated


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


async def _page(pair: Pair, order: Any) -> Image.Image:
    listed = await pair.doctor.get(f"/orders/{order['id']}/records")
    lab = next(item for item in listed["items"] if item["kind"] == "lab")
    page = await pair.doctor.ask("GET", f"/orders/{order['id']}/records/{lab['record_id']}/pages/1")
    assert page.status == 200
    return Image.open(io.BytesIO(page.body))


async def _trace(staff: Client, picture: bytes) -> Answer:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(picture), filename="leak.jpg")
    return await staff.ask("POST", "/admin/traces", form=form)


async def test_a_screenshot_that_was_cropped_and_sent_on_names_the_doctor_who_looked(pair: Pair) -> None:
    order = await pair.paid()
    page = await _page(pair, order)
    out = io.BytesIO()
    page.crop((60, 200, 1020, 1700)).resize((720, 1125), Image.Resampling.BICUBIC).save(out, "JPEG", quality=55)
    staff = await pair.world.staff()
    found = (await _trace(staff, out.getvalue())).ok()
    (item,) = found["items"]
    assert (item["order_id"], item["order_number"], item["page"]) == (order["id"], order["number"], 1)
    assert (item["doctor"]["id"], item["decoded"]) == (pair.doctor_id, True)
    views = (await pair.patient.get(f"/orders/{order['id']}/record-views"))["items"]
    assert [(view["view_id"], view["viewed_at"]) for view in views] == [(item["view_id"], item["viewed_at"])]
    rows = (await staff.get(f"/admin/audit?subject={found['sha256']}"))["items"]
    assert [row["action"] for row in rows] == ["admin.leak_traced"]
    for other in (pair.patient, pair.doctor):
        (await _trace(other, out.getvalue())).refused(403, "request.forbidden")


async def test_a_consult_leaves_as_fhir_for_its_patient_and_staff_and_nobody_else(pair: Pair) -> None:
    order = await pair.paid()
    socket = await pair.world.socket(pair.doctor)
    await socket.say(order["conversation_id"], "请注意休息，多饮水。")
    staff = await pair.world.staff()
    for client, path in ((pair.patient, f"/orders/{order['id']}/fhir"), (staff, f"/admin/orders/{order['id']}/fhir")):
        answer = await client.ask("GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/fhir+json")
        found = validated(answer.body if isinstance(answer.body, dict) else orjson.loads(answer.body))
        assert [m["payload"] for m in found["Communication"]] == [[{"contentString": "请注意休息，多饮水。"}]]
        assert found["PaymentNotice"][0]["amount"]["value"] * 100 == order["fee_fen"]
    (await pair.doctor.ask("GET", f"/orders/{order['id']}/fhir")).refused(403, "request.forbidden")
    stranger = await pair.world.pair()
    for nobody in (stranger.patient, stranger.doctor):
        (await nobody.ask("GET", f"/orders/{order['id']}/fhir")).refused(404, "order.not_found")
