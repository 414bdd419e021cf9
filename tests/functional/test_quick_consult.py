"""Quick consults over the wire: a department is asked, many grab, one has it; back to the pool; over to another doctor."""

import asyncio
import os
import signal
import uuid
from typing import Any

import aiohttp

from tests.support.contract import PATIENCE_SECONDS, Answer, Client, Socket, World
from tests.support.hosts import start_host
from tests.support.product import Product


async def doctors(world: World, count: int) -> list[tuple[Client, Socket]]:
    """Doctors of the first department, each with a socket."""
    found = []
    for _ in range(count):
        client, _, _ = await world.new_doctor()
        found.append((client, await world.socket(client)))
    return found


async def quick_body(world: World, patient: Client, department_id: str) -> dict[str, Any]:
    consent = await patient.get("/consents/consult")
    return {
        "department_id": department_id,
        "patient_id": (await world.new_patient(patient))["id"],
        "kind": "consult",
        "complaint": "夜里心慌，已有三天。",
        "image_ids": [],
        "consent": {"version": consent["version"], "sha256": consent["sha256"], "record_access": True},
    }


async def test_two_grab_one_wins_and_declined_it_is_back_for_the_others(world: World) -> None:
    people = await doctors(world, 4)
    staff = await world.staff()
    department = (await staff.get("/departments"))["items"][0]
    (await staff.ask("PUT", f"/admin/departments/{department['id']}/quick-consult", {"fee_fen": 1900})).ok()
    patient = await world.patient()
    (offer,) = [o for o in (await patient.get("/quick-consults"))["items"] if o["department_id"] == department["id"]]
    assert (offer["department"], offer["fee_fen"]) == (department["name"], 1900)
    assert offer["doctors"] >= 4
    body = await quick_body(world, patient, department["id"])
    (await patient.ask("POST", "/quick-consults", body)).refused(422, "request.invalid")
    unknown = body | {"department_id": uuid.uuid4().hex}
    (await patient.ask("POST", "/quick-consults", unknown, key=uuid.uuid4().hex)).refused(404, "department.not_found")
    order = await patient.post("/quick-consults", body, 201, key=uuid.uuid4().hex)
    nobody = {"id": "", "name": "", "title": "", "department": department["name"]}
    assert (order["doctor"], order["fee_fen"], order["quick"]["taken"]) == (nobody, 1900, False)
    payment = await patient.post(f"/orders/{order['id']}/payments", {"channel": "wechat_h5"}, 201, key=uuid.uuid4().hex)
    take = f"/desk/pool/{order['id']}/take"
    (await people[0][0].ask("POST", take, {})).refused(404, "order.not_found")  # not paid yet
    await world.outside("POST", f"/wechatpay/wallet/{payment['prepay_id']}/pay")
    for _, socket in people:
        hint = await socket.wait_for("pool.changed", lambda each: each["order_id"] == order["id"])
        assert hint == {"order_id": order["id"], "department_id": department["id"], "waiting": True}
        told = await socket.wait_for("notice", lambda each: each["order_id"] == order["id"])
        assert told["kind"] == "quick_waiting"
        assert told["data"].keys() == {"deadline_at"}
    first = people[0][0]
    (waiting,) = [each for each in (await first.get("/desk/pool"))["items"] if each["order_id"] == order["id"]]
    assert waiting.keys() == {
        *("order_id", "kind", "sex", "age", "complaint", "images", "fee_fen", "paid_at", "deadline_at"),
    }
    assert (waiting["complaint"], waiting["fee_fen"]) == ("夜里心慌，已有三天。", 1900)
    (await first.ask("GET", f"/orders/{order['id']}/records")).refused(404, "order.not_found")
    (await patient.ask("POST", take, {})).refused(403, "request.forbidden")
    (await world.nobody.ask("POST", take, {})).refused(401, "auth.required")

    over_http = [client.ask("POST", take, {}) for client, _ in people[:2]]
    over_sockets = [socket.call("pool.take", {"order_id": order["id"]}) for _, socket in people[2:]]
    answers = await asyncio.gather(*over_http, *over_sockets)
    won = [answers[0].status == 200, answers[1].status == 200, answers[2]["ok"], answers[3]["ok"]]
    assert won.count(True) == 1
    lost = [each.body["code"] for each in answers[:2] if each.status != 200]
    lost += [each["error"]["code"] for each in answers[2:] if not each["ok"]]
    assert lost == ["order.taken"] * 3
    winner, _ = people[won.index(True)]
    others = [client for client, _ in people if client is not winner]

    assert (await winner.get(f"/orders/{order['id']}"))["quick"]["taken"] is True
    assert (await winner.get(f"/orders/{order['id']}/records"))["items"]
    for client in others:
        (await client.ask("GET", f"/orders/{order['id']}")).refused(404, "order.not_found")
    back = await winner.post(f"/orders/{order['id']}/decline", {"reason": "这不是我的专长"})
    assert (back["status"], back["doctor"], back["quick"]["taken"]) == ("awaiting_doctor", nobody, False)
    for gone in (f"/orders/{order['id']}", f"/orders/{order['id']}/records"):
        (await winner.ask("GET", gone)).refused(404, "order.not_found")
    (await winner.ask("POST", take, {})).refused(409, "order.taken")

    taken = await others[0].post(take, {})
    assert taken["doctor"]["id"] == others[0].account_id
    talk = order["conversation_id"]
    reply = {"client_id": uuid.uuid4().hex, "parts": [{"kind": "text", "text": "请先做心电图。"}]}
    await others[0].post(f"/conversations/{talk}/messages", reply, 201)
    shown = await patient.get(f"/orders/{order['id']}")
    assert (shown["status"], shown["replies"]) == ("in_session", {"limit": 3, "used": 1, "gifted": 0})
    entries = (await patient.get(f"/conversations/{talk}/messages?after_seq=0"))["items"]
    acts = [each["parts"][0]["data"]["act"] for each in entries if each["kind"] == "referred"]
    assert acts == ["taken", "returned", "taken"]


async def test_prices_of_quick_consults_are_the_staffs_to_decide(world: World) -> None:
    staff, patient = await world.staff(), await world.patient()
    department = (await staff.get("/departments"))["items"][1]
    path = f"/admin/departments/{department['id']}/quick-consult"
    assert (await staff.ask("PUT", path, {"fee_fen": 2500})).ok() == {"fee_fen": 2500} == await staff.get(path)
    for wrong in ({"fee_fen": 0}, {"fee_fen": "1"}, {}, {"fee_fen": 1, "more": 1}):
        (await staff.ask("PUT", path, wrong)).refused(422, "request.invalid")
    (await patient.ask("PUT", path, {"fee_fen": 1})).refused(403, "request.forbidden")
    (await staff.ask("GET", f"/admin/departments/{uuid.uuid4().hex}/quick-consult")).refused(404, "department.not_found")
    (await staff.ask("PUT", path, {"fee_fen": None})).ok()
    offered = {each["department_id"] for each in (await patient.get("/quick-consults"))["items"]}
    assert department["id"] not in offered


async def test_of_doctors_who_grab_one_order_while_a_server_dies_exactly_one_has_it(world: World, product: Product) -> None:
    """Half of them through a process that is killed so many milliseconds after; whoever got no answer asks the other one."""
    people = [client for client, _ in await doctors(world, 6)]
    staff, patient = await world.staff(), await world.patient()
    department = (await staff.get("/departments"))["items"][0]
    (await staff.ask("PUT", f"/admin/departments/{department['id']}/quick-consult", {"fee_fen": 1900})).ok()
    body = await quick_body(world, patient, department["id"])
    for round_, milliseconds in enumerate((10, 40)):
        order = await patient.post("/quick-consults", body, 201, key=uuid.uuid4().hex)
        payment = await patient.post(f"/orders/{order['id']}/payments", {"channel": "wechat_h5"}, 201, key=uuid.uuid4().hex)
        await world.outside("POST", f"/wechatpay/wallet/{payment['prepay_id']}/pay")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await patient.get(f"/orders/{order['id']}"))["status"] != "awaiting_doctor":
                await asyncio.sleep(0.05)
        host = await start_host(product, "ab"[round_])
        path = f"/desk/pool/{order['id']}/take"

        async def grab(client: Client, url: str, path: str = path) -> Answer:
            try:
                return await Client(world.http, url, client.session).ask("POST", path, {})
            except aiohttp.ClientError:
                return await client.ask("POST", path, {})

        urls = [host.url, world.base_url] * 3
        grabs = [asyncio.create_task(grab(client, url)) for client, url in zip(people, urls, strict=True)]
        await asyncio.sleep(milliseconds / 1000)
        os.kill(host.child.pid, signal.SIGKILL)
        answers = await asyncio.gather(*grabs)
        await host.child.stop(5)
        won = [client for client, answer in zip(people, answers, strict=True) if answer.status == 200]
        assert len(won) == 1, [answer.body for answer in answers]
        assert {answer.body["code"] for answer in answers if answer.status != 200} == {"order.taken"}
        entries = (await won[0].get(f"/conversations/{order['conversation_id']}/messages?after_seq=0"))["items"]
        assert [each["kind"] for each in entries] == ["opened", "referred"]
        assert (await patient.get(f"/orders/{order['id']}"))["doctor"]["id"] == won[0].account_id
