"""Something going on in the hospital: orders in every state, words, money, looks at records, a refused look."""

import asyncio
import io
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from tests.support.contract import PATIENCE_SECONDS, Client, Pair, World, identity_number, text

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

_PEOPLE = (
    ("何晓芸", date(1958, 4, 12), 420, "高血压八年，近一周晨起头胀，血压 150/95 左右，想调整用药。"),
    ("孟庆山", date(1971, 9, 30), 131, "心电图提示窦性心动过缓，平时没有不适。"),
    ("蔺雨桐", date(1996, 2, 3), 208, "心慌、手抖两周，喝咖啡后明显，想知道需要做哪些检查。"),
    ("费志强", date(1949, 11, 8), 317, "支架术后三个月，牙龈出血，抗凝药能停吗？"),
)
_QUICK = (
    "您好，我是{department}{doctor}，已看到您的资料，请稍等。",
    "请补充最近一次化验单的照片，我看过后给您建议。",
    "如出现胸痛持续超过 15 分钟、呼吸困难或意识不清，请立即拨打 120。",
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
    await _desk_of(world, pairs[0], demo["doctors"][0]["doctor_id"], demo["doctors"][2]["doctor_id"])
    scene["flagged"] = await _contested(pairs[1])
    await _goes_wrong(world, pairs[3])
    return scene


async def _desk_of(world: World, pair: Pair, doctor_id: str, colleague_id: str) -> None:
    """The first doctor's morning: several people wait, some were answered, one rated, a colleague asks for help."""
    for name, born, order, words in _PEOPLE:
        patient = await world.new_patient(pair.patient, name=name, id_number=identity_number(born, order))
        him = Pair(world, pair.patient, patient["id"], pair.doctor, doctor_id)
        placed = await him.paid(complaint=words)
        if name == "何晓芸":
            await _talk(him, placed["conversation_id"])
        if name == "孟庆山":
            for answer in _ANSWERED:
                await him.reply(placed["conversation_id"], f"{name}：{answer}")
            await him.until(placed["id"], "completed")
            words = "回复很快，解释得清楚，按医生说的做已经好多了。"
            await pair.patient.post(f"/orders/{placed['id']}/rating", {"stars": 5, "tags": [], "text": words})
    for text_ in _QUICK:
        await pair.doctor.post("/desk/quick-replies", {"text": text_}, 201)
    colleague = Pair(world, pair.patient, pair.patient_id, await world.doctor(_phone_of(world, colleague_id)), colleague_id)
    offered = await colleague.paid(complaint="胃镜提示慢性萎缩性胃炎，同时有胸闷。")
    why = {"doctor_id": doctor_id, "reason": "患者胸闷症状更突出，请心内科医生判断是否需要进一步检查。"}
    await colleague.doctor.post(f"/orders/{offered['id']}/referrals", why, 201)


def _phone_of(world: World, doctor_id: str) -> str:
    return str(next(each["phone"] for each in world.product.demo["doctors"] if each["doctor_id"] == doctor_id))


async def _talk(pair: Pair, conversation: str) -> None:
    """Words, a picture, a card: what a conversation looks like."""
    await _say(pair.patient, conversation, "王医生好，我妈妈早上量的血压是 152/96，药是按时吃的。")
    picture = (await pair.patient.upload(_reading())).ok(201)
    parts = [text("这是血压计上的读数。"), {"kind": "image", "media_id": picture["media_id"]}]
    await pair.patient.post(f"/conversations/{conversation}/messages", {"client_id": uuid.uuid4().hex, "parts": parts}, 201)
    day = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
    booking = {"department": "心血管内科", "date": day, "period": "morning", "note": "请空腹，带上家里的血压记录"}
    parts = [
        text("先别急着加量。请连测三天早晚血压并记下来，再到门诊看一次。"),
        {"kind": "card", "card": "booking", "data": booking},
    ]
    await pair.doctor.post(f"/conversations/{conversation}/messages", {"client_id": uuid.uuid4().hex, "parts": parts}, 201)
    await _say(pair.patient, conversation, "好的，谢谢医生！需要停掉降脂药吗？")


def _reading() -> bytes:
    """What a monitor of blood pressure shows, as somebody photographed it."""
    image = Image.new("RGB", (900, 640), "#d8dee2")
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((90, 60, 810, 580), 48, fill="#f7f9fa", outline="#aab6bd", width=6)
    draw.rounded_rectangle((170, 120, 730, 520), 20, fill="#c9d6c4")
    for row, (name, value) in enumerate((("SYS mmHg", "152"), ("DIA mmHg", "96"), ("PUL /min", "78"))):
        draw.text((200, 160 + row * 120), name, "#39463a", font=ImageFont.load_default(34))
        draw.text((690, 135 + row * 120), value, "#1c261d", font=ImageFont.load_default(96), anchor="ra")
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=88)
    return kept.getvalue()


async def _contested(pair: Pair) -> str:
    """A reply that says too little, and a patient who says so: a task for the staff."""
    order = await pair.paid(complaint="头晕两天，站起来时明显。")
    said = await pair.reply(order["conversation_id"], "嗯")
    path = f"/orders/{order['id']}/reply-flags"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await pair.patient.get(path))["items"]:
            await asyncio.sleep(0.2)
    await pair.patient.post(f"{path}/{said['seq']}/contest", {"reason": "只回了一个字，没有回答我的问题。"})
    return str(order["id"])


async def _goes_wrong(world: World, pair: Pair) -> None:
    """A refund that the gateway cannot make, and a message of the hospital's that cannot be taken."""
    order = await pair.paid(complaint=_ASKED[5])
    await world.outside("PUT", "/wechatpay/faults", {"refunds": "abnormal", "count": 1})
    await pair.doctor.post(f"/orders/{order['id']}/decline", {"reason": "请先到急诊就诊。"})
    await asyncio.sleep(3)  # until the gateway has said no
    await world.outside("PUT", "/wechatpay/faults", {})
    number = identity_number(date(1961, 5, 5), 21)
    await world.outside("POST", "/hospital/hl7", {"number": number, "name": "周桂英", "fault": "other_birth_date"})


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
