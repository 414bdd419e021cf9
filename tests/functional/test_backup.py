"""A backup of the running product, everything else lost, and the product restored from it and the key."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.contract import Pair, World, text, world_of
from tests.support.media_files import image_file
from tests.support.product import Product, start_product

pytestmark = pytest.mark.timeout(300)

KEPT = ("keys", "simulators")
"""What lies elsewhere: the key and the outside world."""

PROOFS = (("audit", "verify"), ("ledger", "verify"), ("check", "deadlines"))


async def _live(pair: Pair) -> tuple[dict[str, Any], dict[str, Any]]:
    """A consult with a picture and a recall in it, and an order that was cancelled and refunded."""
    order = await pair.paid()
    conversation = order["conversation_id"]
    media = (await pair.patient.upload(image_file())).ok(201)
    path = f"/conversations/{conversation}/messages"
    parts = [text("夜里咳得睡不着"), {"kind": "image", "media_id": media["media_id"]}]
    await pair.patient.post(path, {"client_id": "with-a-picture", "parts": parts}, 201)
    await pair.reply(conversation, "先量体温。")
    socket = await pair.world.socket(pair.doctor)
    said = await socket.say(conversation, "写错了")
    body = {"conversation_id": conversation, "client_id": "taken-back", "seq": said["seq"]}
    await socket.ok("message.recall", body)
    other = await pair.paid()
    await pair.patient.post(f"/orders/{other['id']}/cancel", {})
    return order, await pair.until(other["id"], "refunded")


async def _seen(pair: Pair, *orders: dict[str, Any]) -> dict[str, Any]:
    """What both see of these orders, the picture included."""
    seen: dict[str, Any] = {}
    for order in orders:
        path = f"/conversations/{order['conversation_id']}/messages?after_seq=0&limit=100"
        for name, who in (("patient", pair.patient), ("doctor", pair.doctor)):
            seen[f"{name}, {order['id']}"] = await who.get(f"/orders/{order['id']}"), (await who.get(path))["items"]
    log = seen[f"doctor, {orders[0]['id']}"][1]
    media_id = log[1]["parts"][1]["media_id"]
    link = (await pair.doctor.ask("POST", f"/media/{media_id}/links", {})).ok()["url"]
    seen["picture"] = (await pair.doctor.ask("GET", link[link.index("/api/v1/") :])).ok()
    return seen


async def _proved(product: Product) -> None:
    """The file of checkpoints is gone too: the keeper writes it anew from the database, which takes it a moment."""
    async with asyncio.timeout(60):
        while not any(file.stat().st_size for file in (product.data_dir / "checkpoints").glob("*")):
            await asyncio.sleep(0.1)
    for command in PROOFS:
        code, output = 1, ""
        async with asyncio.timeout(60):
            while code:
                code, output = await product.yunzhen(*command)
        assert code == 0, output


async def _epoch(world: World, pair: Pair) -> int:
    socket = await world.socket(pair.patient)
    return int((await socket.ok("conversation.sync", {}))["epoch"])


async def test_a_product_that_lost_all_but_key_and_backup_is_the_same_again(tmp_path: Path) -> None:
    """Whoever was signed in still is. Devices are told another epoch, so that they fetch anew; life goes on."""
    data, file = tmp_path / "var", tmp_path / "yunzhen.backup"
    product = await start_product(data, YZ_DEMO_DOCTORS="1", YZ_DEMO_PATIENTS="1")
    try:
        async with world_of(product) as world:
            pair = await world.pair()
            orders = await _live(pair)
            before, epoch = await _seen(pair, *orders), await _epoch(world, pair)
            code, output = await product.yunzhen("backup", str(file))
            assert code == 0, output
            await pair.reply(orders[0]["conversation_id"], "备份以后说的。")
    finally:
        await product.stop()
    for path in data.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    code, output = await product.yunzhen("restore", str(file))
    assert code == 0, output
    code, output = await product.yunzhen("restore", str(file))
    assert (code, "not empty" in output) == (1, True), output
    product = await start_product(data, YZ_PORT=product.environment["YZ_PORT"], YZ_SIM_PORT=product.environment["YZ_SIM_PORT"])
    try:
        async with world_of(product) as world:
            people = [world.client(who.session) for who in (pair.patient, pair.doctor) if who.session is not None]
            again = Pair(world, people[0], pair.patient_id, people[1], pair.doctor_id)
            assert await _seen(again, *orders) == before
            assert await _epoch(world, again) > epoch
            await _proved(product)
            said = await again.reply(orders[0]["conversation_id"], "恢复以后说的。")
            assert said["seq"] == len(before[f"patient, {orders[0]['id']}"][1]) + 1
            await again.patient.post(f"/orders/{(await again.paid())['id']}/cancel", {})
    finally:
        await product.stop()
