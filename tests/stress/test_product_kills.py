"""The whole product while its processes are killed with SIGKILL, one after another, at any moment.

`YZ_TEST_KILL_SECONDS` asks for a longer siege, `YZ_TEST_KILL_SEED` for another order of deaths.
"""

import asyncio
import json
import os
import random
import signal
import sys
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import pytest
import redis.asyncio as redis

from server.kernel.mongo import connect
from tests.support.devices import Customer, Device, Sent, customer, insist
from tests.support.product import Product

pytestmark = [pytest.mark.stress, pytest.mark.slow, pytest.mark.timeout(3_600)]

SECONDS = float(os.environ.get("YZ_TEST_KILL_SECONDS", "12"))
SEED = int(os.environ.get("YZ_TEST_KILL_SEED", "1"))
MORTALS = ("serve", "keeper", "worker", "beat", "redis-server", "mongod")
CONVERSATIONS = 3
FINAL = ("completed", "refunded")


def _kill(product: Product, word: str) -> int:
    """SIGKILL to one process of that kind; 0 when it is dead already."""
    alive = product.processes(word)
    if not alive:
        return 0
    os.kill(alive[0].pid, signal.SIGKILL)
    return alive[0].pid


async def _flush_redis(product: Product) -> None:
    """All that Redis knows is gone."""
    port = await insist(lambda: _redis_port(product))
    client = redis.Redis(port=port)
    try:
        await client.flushall()
    finally:
        await client.aclose()


async def _redis_port(product: Product) -> int | None:
    for process in product.processes("redis-server"):
        words = process.cmdline()
        return int(words[words.index("--port") + 1])
    return None


async def _until_in_order(product: Product, http: aiohttp.ClientSession) -> None:
    """Every part runs, and the server says that all is well."""

    async def attempt() -> bool | None:
        async with http.get(f"{product.base_url}/readyz") as answer:
            ready = answer.status == 200 and (await answer.json())["status"] == "ready"
        return True if ready and all(product.processes(word) for word in (*MORTALS, "simulators")) else None

    await insist(attempt)


async def _refunds(customer: Customer, prepay_id: str) -> list[tuple[int, str]]:
    return [(refund["amount_fen"], refund["status"]) for refund in (await customer.wallet(prepay_id))["refunds"]]


@dataclass
class Talk:
    """One paid order, and what both said in it and were told."""

    customer: Customer
    doctor: Device
    name: str
    order: dict[str, Any] = field(default_factory=dict)
    prepay_id: str = ""
    sent: dict[tuple[str, str], Sent] = field(default_factory=dict)
    recalled: set[int] = field(default_factory=set)

    async def open(self) -> None:
        order = await self.customer.order(self.name)
        self.prepay_id = await self.customer.pay(order["id"], self.name)
        self.order = await self.customer.until(order["id"], "awaiting_doctor", *FINAL, "refunding")

    async def chat(self, device: Device, chance: random.Random) -> None:
        """Talk until the consult is over: by socket and by HTTP, each message until it is answered, some of them taken back."""
        conversation, number = self.order["conversation_id"], 0
        while True:
            number += 1
            client_id = f"{self.name}-{number:05d}"
            sent = await device.say(conversation, f"第{number}句", client_id, by_socket=chance.random() < 0.7)
            self.sent[device.account_id, client_id] = sent
            if sent.seq is None:
                assert sent.code == "conversation.closed"
                return
            await device.emit("receipt.read", {"conversation_id": conversation, "seq": sent.seq})
            if chance.random() < 0.2:
                recall = await device.recall(conversation, sent.seq, f"{client_id}-recall")
                assert recall.seq is not None or recall.code == "message.recall_expired"
                if recall.seq is not None:
                    self.sent[device.account_id, f"{client_id}-recall"] = recall
                    self.recalled.add(sent.seq)

    async def run(self, seed: int) -> None:
        await self.open()
        if self.order["status"] != "awaiting_doctor":
            return  # the payment came through only after its own deadline: the siege was long
        people = (self.customer.device, self.doctor)
        await asyncio.gather(*(self.chat(each, random.Random(seed + n)) for n, each in enumerate(people)))

    def check_log(self, log: list[dict[str, Any]]) -> None:
        """No hole, no double; what was acknowledged is there under that number, and nothing else is."""
        assert [message["seq"] for message in log] == list(range(1, len(log) + 1))
        ours = [(m["sender"]["account_id"], m["client_id"]) for m in log if m["kind"] in ("message", "recall")]
        assert len(set(ours)) == len(ours)
        there = {key: message["seq"] for key, message in zip(ours, _said(log), strict=True)}
        assert there == {key: sent.seq for key, sent in self.sent.items() if sent.seq is not None}
        assert {message["seq"] for message in log if message["recalled"]} == self.recalled
        assert [message["kind"] for message in log if message["kind"] not in ("message", "recall")] == [
            "opened",
            "closed",
            "settled",
        ]

    def replies(self, log: list[dict[str, Any]]) -> int:
        """What counts in the end: the doctor's messages that were not taken back."""
        said = (m for m in log if m["kind"] == "message" and m["sender"]["role"] == "doctor")
        return sum(not message["recalled"] for message in said)


def _said(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in log if message["kind"] in ("message", "recall")]


async def _siege(product: Product, http: aiohttp.ClientSession, chance: random.Random, seconds: float) -> list[str]:
    """Kill each part in turn, in an order drawn anew each round, whether the last one is back or not, and empty Redis once a
    round; who died. Between two rounds everything comes back: a siege that never lets up shows only who gives up first."""
    died: list[str] = []
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        for word in chance.sample((*MORTALS, "flush"), len(MORTALS) + 1):
            await asyncio.sleep(chance.uniform(0.3, 2.5))
            if word == "flush":
                await _flush_redis(product)
            else:
                _kill(product, word)
            died.append(word)
        await _until_in_order(product, http)
    return died


async def test_nothing_acknowledged_is_lost_or_doubled_and_no_money_either_whoever_dies(
    product: Product, http: aiohttp.ClientSession
) -> None:
    chance = random.Random(SEED)
    people = [await customer(http, product.demo, number) for number in range(CONVERSATIONS)]
    talks: list[Talk] = []
    silent: list[tuple[Customer, str, dict[str, Any]]] = []
    over = asyncio.Event()

    async def talk_on(number: int) -> None:
        """One consult after another."""
        while not over.is_set():
            talk = Talk(*people[number], name=f"talk-{SEED}-{number}-{len(talks)}")
            talks.append(talk)
            await talk.run(SEED * 1000 + len(talks))

    async def pay_in_vain() -> None:
        """Orders that nobody answers."""
        while not over.is_set():
            who, name = people[len(silent) % CONVERSATIONS][0], f"silent-{SEED}-{len(silent)}"
            order = await who.order(name)
            silent.append((who, await who.pay(order["id"], name), order))
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as all_of_it:
        for number in range(CONVERSATIONS):
            all_of_it.create_task(talk_on(number))
        all_of_it.create_task(pay_in_vain())
        died = await _siege(product, http, chance, SECONDS)
        over.set()
    assert set(died) == {*MORTALS, "flush"}
    for who, prepay_id, order in silent:
        done = await who.until(order["id"], "refunded")
        assert (done["close_reason"], done["refunded_fen"]) == ("expired", order["fee_fen"])
        assert await _refunds(who, prepay_id) == [(order["fee_fen"], "SUCCESS")]
    for talk in talks:
        logs = [await _until_settled(device, talk.order["conversation_id"]) for device in (talk.customer.device, talk.doctor)]
        for log in logs:
            talk.check_log(log)
        status, refunds = ("completed", []) if talk.replies(logs[0]) else ("refunded", [(talk.order["fee_fen"], "SUCCESS")])
        await talk.customer.until(talk.order["id"], status)
        assert await _refunds(talk.customer, talk.prepay_id) == refunds
    for number, (who, doctor) in enumerate(people):
        assert who.device.internal == doctor.internal == []
        await _compare_with_a_new_device(http, product, number, [talk for talk in talks if talk.customer is who])
        await who.device.disconnect()
        await doctor.disconnect()
    commands = sum(len(talk.sent) for talk in talks)
    slowest = max(device.slowest for who, doctor in people for device in (who.device, doctor))
    print(
        f"{len(died)} deaths, {len(talks)} consults with {commands} commands, {len(silent)} orders refunded, "
        f"slowest answer {slowest[0]:.1f} s ({slowest[1]})"
    )


async def _until_settled(device: Device, conversation_id: str) -> list[dict[str, Any]]:
    async def attempt() -> list[dict[str, Any]] | None:
        log = await device.log_of(conversation_id)
        return log if log[-1]["kind"] == "settled" else None

    log: list[dict[str, Any]] = await insist(attempt)
    return log


async def _compare_with_a_new_device(http: aiohttp.ClientSession, product: Product, number: int, talks: list[Talk]) -> None:
    """Whoever comes later sees the same log as whoever was there."""
    patient, doctor = await customer(http, product.demo, number)
    for talk in talks:
        conversation_id = talk.order["conversation_id"]
        seen = await talk.doctor.log_of(conversation_id)
        assert await patient.device.log_of(conversation_id) == await doctor.log_of(conversation_id) == seen
    await patient.device.disconnect()
    await doctor.disconnect()


async def test_an_order_opens_when_the_server_dies_between_the_callback_and_the_opening(
    product: Product, http: aiohttp.ClientSession
) -> None:
    """Killed so many milliseconds after the wallet paid: before, in and after the booking of the capture."""
    who, doctor = await customer(http, product.demo, 4)
    paid: list[dict[str, Any]] = []
    for number, milliseconds in enumerate((3, 10, 25)):
        order = await who.order(f"opening-{number}")
        await who.pay(order["id"], f"opening-{number}")
        await asyncio.sleep(milliseconds / 1000)
        assert _kill(product, "serve")
        paid.append(order)
    for order in paid:
        opened = await who.until(order["id"], "awaiting_doctor", "refunding", "refunded")
        assert opened["paid_at"] is not None
        log = await doctor.log_of(order["conversation_id"])
        assert [message["kind"] for message in log if message["kind"] == "opened"] == ["opened"]
        assert log[0]["seq"] == 1
    await who.device.disconnect()
    await doctor.disconnect()


async def test_what_a_killed_process_was_booking_is_free_again_in_seconds(product: Product) -> None:
    """Its transaction lives on in MongoDB, and whoever else writes there waits."""
    embedded = json.loads((product.data_dir / "embedded.json").read_text())
    url = f"mongodb://127.0.0.1:{embedded['mongo']['port']}/?directConnection=true"
    booking = await asyncio.create_subprocess_exec(sys.executable, "-c", _BOOKING, url, stdout=asyncio.subprocess.PIPE)
    assert booking.stdout is not None
    assert await booking.stdout.readline() == b"booking\n"
    booking.kill()
    await booking.wait()
    client = connect(url)
    async with asyncio.timeout(15):
        await client["stress"]["things"].update_one({"_id": 1}, {"$inc": {"booked": 1}})
    assert await client["stress"]["things"].find_one() == {"_id": 1, "booked": 1}
    await client.drop_database("stress")
    await client.close()


_BOOKING = """
import sys, time, pymongo
client = pymongo.MongoClient(sys.argv[1])
things = client["stress"]["things"]
things.insert_one({"_id": 1, "booked": 0})
session = client.start_session()
session.start_transaction()
things.update_one({"_id": 1}, {"$inc": {"booked": 100}}, session=session)
print("booking", flush=True)
time.sleep(60)
"""


async def test_a_keeper_that_dies_at_the_deadline_refunds_once_and_in_time(
    product: Product, http: aiohttp.ClientSession
) -> None:
    who, doctor = await customer(http, product.demo, 5)
    orders = [await who.order(f"deadline-{number}") for number in range(8)]
    prepay_ids = await asyncio.gather(*(who.pay(o["id"], f"deadline-{n}") for n, o in enumerate(orders)))
    open_orders = [await who.until(order["id"], "awaiting_doctor") for order in orders]
    deadline = min(datetime.fromisoformat(order["deadline_at"]) for order in open_orders)
    await asyncio.sleep(_seconds_until(deadline))
    for _ in range(3):
        _kill(product, "keeper")
        await asyncio.sleep(0.7)
    for order, prepay_id in zip(open_orders, prepay_ids, strict=True):
        done = await who.until(order["id"], "refunded")
        assert (done["close_reason"], done["refunded_fen"]) == ("expired", order["fee_fen"])
        late = datetime.fromisoformat(done["closed_at"]) - datetime.fromisoformat(done["deadline_at"])
        assert 0 <= late.total_seconds() < 20
        assert await _refunds(who, prepay_id) == [(order["fee_fen"], "SUCCESS")]
        kinds = [message["kind"] for message in await doctor.log_of(order["conversation_id"])]
        assert kinds == ["opened", "closed", "settled"]
    await who.device.disconnect()
    await doctor.disconnect()


def _seconds_until(instant: datetime) -> float:
    return max(0.0, (instant - datetime.now(instant.tzinfo)).total_seconds())
