"""A referral over the wire: offered, accepted, agreed to; the old doctor is out at once."""

import asyncio

from tests.support.contract import PATIENCE_SECONDS, World


async def test_an_order_goes_to_another_doctor_and_the_one_before_loses_all_of_it(world: World) -> None:
    pair = await world.pair()
    order = await pair.paid()
    order_id, talk = order["id"], order["conversation_id"]
    new, doctor_id, _ = await world.new_doctor()
    old_socket, new_socket = await world.socket(pair.doctor), await world.socket(new)
    path = f"/orders/{order_id}/referrals"
    body = {"doctor_id": doctor_id, "reason": "请专科医生看看"}
    for client, status, code in ((pair.patient, 403, "request.forbidden"), (new, 404, "order.not_found")):
        (await client.ask("POST", path, body)).refused(status, code)
    (await world.nobody.ask("POST", path, body)).refused(401, "auth.required")
    referral = await pair.doctor.post(path, body, 201)
    assert referral["state"] == "proposed"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (offers := (await new.get("/desk/referrals"))["items"]):  # the list may lag behind the log
            await asyncio.sleep(0.1)
    (offer,) = offers
    assert offer["referral"] == referral
    (await new.ask("GET", f"/conversations/{talk}/messages")).refused(404, "conversation.not_found")
    (await pair.patient.ask("POST", f"{path}/{referral['id']}/agree", {})).refused(409, "order.transition_refused")
    await new.post(f"{path}/{referral['id']}/accept", {})
    assert (await pair.patient.get(path))["items"][0]["state"] == "accepted"
    assert (await pair.patient.post(f"{path}/{referral['id']}/agree", {}))["state"] == "agreed"
    for gone in (f"/orders/{order_id}", f"/orders/{order_id}/records", path):
        (await pair.doctor.ask("GET", gone)).refused(404, "order.not_found")
    (await pair.doctor.ask("GET", f"/conversations/{talk}/messages")).refused(404, "conversation.not_found")
    await old_socket.refused("conversation.sync", {"cursors": {talk: 0}}, "conversation.not_found", "not_found")
    message = await new_socket.say(talk, "我来看看。")
    assert message["sender"]["account_id"] == new.account_id
    await pair.until(order_id, "in_session")
    shown = await pair.patient.get(f"/orders/{order_id}")
    assert (shown["doctor"]["id"], shown["replies"]) == (doctor_id, {"limit": 3, "used": 1, "gifted": 0})
    await old_socket.quiet()
    assert all(each["seq"] <= 4 for each in old_socket.all("message.new"))
