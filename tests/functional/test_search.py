"""Search in the running product: the keeper's follower makes what a message is found by."""

import asyncio
from typing import Any

from tests.support.contract import PATIENCE_SECONDS, Client, World


async def _until_found(client: Client, words: str) -> list[Any]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (items := (await client.post("/messages/search", {"q": words}))["items"]):
            await asyncio.sleep(0.1)
    return list(items)


async def test_a_member_finds_a_message_soon_after_it_was_said_and_an_auditor_by_order(world: World) -> None:
    pair, other = await world.pair(), await world.pair()
    order = await pair.paid()
    await other.paid()
    await pair.reply(order["conversation_id"], "右佐匹克隆每晚一片。")
    for client in (pair.patient, pair.doctor):
        (hit,) = await _until_found(client, "佐匹")
        assert (hit["order_id"], hit["conversation_id"]) == (order["id"], order["conversation_id"])
        assert hit["message"]["parts"] == [{"kind": "text", "text": "右佐匹克隆每晚一片。"}]
    assert (await other.patient.post("/messages/search", {"q": "佐匹"}))["items"] == []
    where = {"q": "佐匹", "conversation_id": order["conversation_id"]}
    (await other.patient.ask("POST", "/messages/search", where)).refused(404, "conversation.not_found")
    (await pair.patient.ask("POST", "/messages/search", {"q": "匹"})).refused(422, "request.invalid")
    staff = await world.staff()
    found = await staff.post("/admin/messages/search", {"q": "佐匹", "order_id": order["id"]})
    assert [(item["order_id"], item["corrected_by"]) for item in found["items"]] == [(order["id"], None)]
    code, output = await world.product.yunzhen("search", "rebuild")
    assert code == 0, output
    assert len(await _until_found(pair.patient, "佐匹")) == 1
