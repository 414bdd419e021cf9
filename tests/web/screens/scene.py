"""Something going on in the hospital: orders in every state, words, money, looks at records, a refused look."""

import asyncio
import uuid
from typing import Any

from tests.support.contract import Client, Pair, World, text

_ASKED = (
    "孩子三岁，发热两天，最高 39.2℃，精神尚可。",
    "反复咳嗽两周，夜间加重，没有发热。",
    "体检发现血压偏高，148/95，需要用药吗？",
    "右膝上下楼梯疼痛一个月，片子已上传。",
    "近一周胃部反酸，餐后明显。",
    "皮疹三天，瘙痒，没有换洗护用品。",
)
_ANSWERED = (
    "您好，资料我看过了。先观察体温和精神，超过 38.5℃ 可以用退热药，多饮水，不要捂。",
    "从化验看以病毒感染为主，暂不需要抗生素。三天后若仍发热，请到门诊复查血常规。",
    "可以的，按这个方案先用五天，有变化随时告诉我。",
)


async def play(world: World) -> dict[str, Any]:
    """Ids of orders by what they show; `doctor_phone` and `patient_phone` are demo people to sign in as."""
    demo = world.product.demo
    doctors = [await world.doctor(each["phone"]) for each in demo["doctors"][:3]]
    patients = [await world.patient(each["phone"]) for each in demo["patients"][:4]]
    pairs = []
    for number, patient in enumerate(patients):
        doctor, chosen = doctors[number % 3], demo["doctors"][number % 3]
        patient_id = (await patient.get("/patients"))["items"][0]["id"]
        pairs.append(Pair(world, patient, patient_id, doctor, chosen["doctor_id"]))
    scene: dict[str, Any] = {"doctor_phone": demo["doctors"][0]["phone"], "patient_phone": demo["patients"][0]["phone"]}
    scene["unpaid"] = (await pairs[1].place(complaint=_ASKED[4]))["id"]
    scene["waiting"] = (await pairs[3].paid(complaint=_ASKED[0]))["id"]
    scene["session"] = await _session(pairs[0], _ASKED[3])
    scene["completed"] = await _completed(pairs[1])
    scene["cancelled"] = await _cancelled(pairs[2])
    scene["declined"] = await _declined(pairs[0])
    for number, pair in enumerate(pairs):
        order = await pair.paid(complaint=_ASKED[number])
        if number % 2 == 0:
            await pair.reply(order["conversation_id"], _ANSWERED[1])
    await _nosy(pairs[2], scene["session"])
    return scene


async def _session(pair: Pair, complaint: str) -> str:
    """In session: words, a recalled one, looks at records."""
    order = await pair.paid(complaint=complaint)
    conversation = order["conversation_id"]
    await _say(pair.patient, conversation, "医生您好，昨天开始有点加重。")
    await pair.reply(conversation, _ANSWERED[0])
    wrong = await pair.reply(conversation, "这条发错了")
    path = f"/conversations/{conversation}/messages"
    await _recall(pair, conversation, wrong["seq"])
    await pair.patient.get(f"{path}?after_seq=0&limit=50")
    await _look_at_records(pair.doctor, order["id"])
    return str(order["id"])


async def _recall(pair: Pair, conversation: str, seq: int) -> None:
    socket = await pair.world.socket(pair.doctor)
    await socket.ok("message.recall", {"conversation_id": conversation, "client_id": uuid.uuid4().hex, "seq": seq})


async def _look_at_records(doctor: Client, order_id: str) -> None:
    records = (await doctor.get(f"/orders/{order_id}/records"))["items"]
    for record in records[:3]:
        answer = await doctor.ask("GET", f"/orders/{order_id}/records/{record['record_id']}/pages/1")
        assert answer.status == 200, answer.body


async def _completed(pair: Pair) -> str:
    order = await pair.paid(complaint=_ASKED[1])
    await _look_at_records(pair.doctor, order["id"])
    for words in _ANSWERED:
        await pair.reply(order["conversation_id"], words)
    await pair.until(order["id"], "completed")
    await pair.patient.post(f"/orders/{order['id']}/rating", {"stars": 5, "tags": [], "text": "讲得很清楚，谢谢医生。"})
    return str(order["id"])


async def _cancelled(pair: Pair) -> str:
    order = await pair.paid(complaint=_ASKED[2])
    await pair.patient.post(f"/orders/{order['id']}/cancel", {})
    await asyncio.sleep(0)
    return str(order["id"])


async def _declined(pair: Pair) -> str:
    order = await pair.paid(complaint=_ASKED[5])
    await pair.doctor.post(f"/orders/{order['id']}/decline", {"reason": "建议到皮肤科就诊，已为您退回。"})
    return str(order["id"])


async def _nosy(pair: Pair, order_id: str) -> None:
    """Somebody asks for an order that is not theirs, and is refused."""
    await pair.patient.ask("GET", f"/orders/{order_id}")


async def _say(client: Client, conversation: str, words: str) -> None:
    body = {"client_id": uuid.uuid4().hex, "parts": [text(words)]}
    await client.post(f"/conversations/{conversation}/messages", body, 201)
