"""A department's sentences, over HTTP: who keeps them, for which departments, and who has them at hand."""

import secrets
from typing import Any

from tests.support.contract import Client, World


async def _own(doctor: Client) -> list[Any]:
    return [item for item in (await doctor.get("/desk/quick-replies"))["items"] if item["scope"] == "department"]


async def test_a_department_s_sentences_reach_its_doctors_and_an_unknown_department_has_none(world: World) -> None:
    staff = await world.staff()
    mine, other = (await staff.get("/departments"))["items"][:2]
    doctor, doctor_id, _ = await world.new_doctor(department_id=mine["id"])
    stranger, _, _ = await world.new_doctor(department_id=other["id"])
    path = f"/admin/departments/{mine['id']}/quick-replies"
    text = f"请空腹来院复查。{secrets.token_hex(4)}"
    made = await staff.post(path, {"text": text}, 201)
    assert made["text"] == text
    assert made in (await staff.get(path))["items"]
    assert text in [item["text"] for item in await _own(doctor)]
    assert text not in [item["text"] for item in await _own(stranger)]
    for missing in (secrets.token_hex(16), doctor_id, "nonsense"):
        bad = f"/admin/departments/{missing}/quick-replies"
        (await staff.ask("GET", bad)).refused(404, "department.not_found")
        (await staff.ask("POST", bad, {"text": "x"})).refused(404, "department.not_found")
        (await staff.ask("PATCH", f"{bad}/{made['id']}", {"text": "x"})).refused(404, "department.not_found")
        (await staff.ask("DELETE", f"{bad}/{made['id']}")).refused(404, "department.not_found")
    second = await staff.post(path, {"text": "请带上既往检查。"}, 201)
    ids = [item["id"] for item in (await staff.get(path))["items"]]
    turned = [second["id"], *(each for each in ids if each != second["id"])]
    (await staff.ask("PUT", f"{path}/order", {"ids": turned})).ok()
    assert [item["id"] for item in await _own(doctor)] == turned
    assert text in [item["text"] for item in await _own(doctor)]
    for wrong in (turned[1:], [*turned, turned[0]], [*turned[1:], secrets.token_hex(16)], [*turned[1:], turned[1]]):
        (await staff.ask("PUT", f"{path}/order", {"ids": wrong})).refused(409, "desk.quick_replies_changed")
    (await doctor.ask("PUT", f"{path}/order", {"ids": ids})).refused(403, "request.forbidden")
    assert [item["id"] for item in await _own(doctor)] == turned
    patient = await world.patient()
    for who in (doctor, patient):
        (await who.ask("GET", path)).refused(403, "request.forbidden")
        (await who.ask("POST", path, {"text": "x"})).refused(403, "request.forbidden")
    (await world.nobody.ask("GET", path)).refused(401, "auth.required")
    assert (await staff.ask("DELETE", f"{path}/{made['id']}")).status == 204
    assert text not in [item["text"] for item in await _own(doctor)]
