"""What one patient lives through, for pictures of the app: orders in every state, a conversation with everything in it."""

import io
import uuid
from pathlib import Path
from typing import Any

import manimgx_fonts_cjk
from PIL import Image, ImageDraw, ImageFont

from tests.support.contract import Pair, World, text
from tests.support.media_files import voice_file

Story = dict[str, str]


async def tell(world: World, scene: dict[str, Any]) -> Story:
    """Ids of orders by what they show, of the patient `patient_phone` of the scene; `doctor_id` is a doctor to look at."""
    patient = await world.patient(scene["patient_phone"])
    patient_id = (await patient.get("/patients"))["items"][0]["id"]
    demo = world.product.demo["doctors"]
    pairs = [Pair(world, patient, patient_id, await world.doctor(each["phone"]), each["doctor_id"]) for each in demo[3:6]]
    story: Story = {"doctor_id": pairs[1].doctor_id}
    story["unpaid"] = (await pairs[0].place(complaint="近一周餐后反酸，夜里平躺时明显，没有呕吐。"))["id"]
    story["waiting"] = (await pairs[1].paid(complaint="体检血压 148/95，平时没有不舒服，需要用药吗？"))["id"]
    story["completed"] = await _completed(pairs[2])
    story["refunded"] = await _refunded(pairs[1])
    story["cancelled"] = (await pairs[2].place(complaint="不用了，已经好了。"))["id"]
    await patient.post(f"/orders/{story['cancelled']}/cancel", {})
    story["referred"] = await _referred(pairs[0], pairs[2])
    story["session"] = await _session(pairs[0])
    return story


async def _completed(pair: Pair) -> str:
    order = await pair.paid(complaint="皮疹三天，晚上痒得睡不好，没有换过洗护用品。")
    for words in (
        "看起来像接触性皮炎，先停用新的洗涤用品。",
        "可以外用炉甘石洗剂，一天三次，不要抓。",
        "一周还不退，请到皮肤科门诊复查。",
    ):
        await pair.reply(order["conversation_id"], words)
    await pair.until(order["id"], "completed")
    return str(order["id"])


async def _refunded(pair: Pair) -> str:
    order = await pair.paid(complaint="想问一下孩子打疫苗后发热怎么办。")
    await pair.doctor.post(f"/orders/{order['id']}/decline", {"reason": "建议咨询儿科医生，已为您退回，费用不收。"})
    await pair.until(order["id"], "refunded")
    return str(order["id"])


async def _referred(pair: Pair, other: Pair) -> str:
    order = await pair.paid(complaint="甲状腺结节复查，报告写 TI-RADS 4a，需要穿刺吗？")
    body = {"doctor_id": other.doctor_id, "reason": "他专做甲状腺，看这份报告比我更有把握。"}
    referral = await pair.doctor.post(f"/orders/{order['id']}/referrals", body, 201)
    await other.doctor.post(f"/orders/{order['id']}/referrals/{referral['id']}/accept", {})
    return str(order["id"])


async def _session(pair: Pair) -> str:
    picture = (await pair.patient.upload(slip(), "slip.jpg", "complaint")).ok(201)["media_id"]
    order = await pair.paid(complaint="右膝上下楼梯疼一个月，休息会好一些。外院拍过片，单子见图。", image_ids=[picture])
    conversation = order["conversation_id"]
    await _say(pair.patient, conversation, text("医生您好，昨天走多了，今天有点加重。"))
    heard = (await pair.patient.upload(voice_file("m4a", 6.0), "a.m4a")).ok(201)["media_id"]
    await _say(pair.patient, conversation, {"kind": "voice", "media_id": heard})
    seen = (await pair.patient.upload(slip(), "b.jpg")).ok(201)["media_id"]
    await _say(pair.patient, conversation, text("这是化验单，麻烦您看看。"), {"kind": "image", "media_id": seen})
    await pair.reply(
        conversation,
        "您好，片子和化验单我都看过了。没有骨折，关节间隙略窄，考虑退行性改变。\n\n先少爬楼梯，别久蹲；疼时热敷 15 分钟。",
    )
    await pair.doctor.post(f"/orders/{order['id']}/gifts", {"count": 2})
    card = {
        "kind": "card",
        "card": "booking",
        "data": {"department": "骨科", "date": "2026-12-01", "period": "morning", "note": "带上外院的片子，空腹不需要。"},
    }
    await _say(pair.doctor, conversation, text("方便的话来医院查一下膝关节，我给您留了时间。"), card)
    await _say(pair.patient, conversation, text("好的，谢谢医生！"))
    records = (await pair.doctor.get(f"/orders/{order['id']}/records"))["items"]
    for record in records[:3]:
        (await pair.doctor.ask("GET", f"/orders/{order['id']}/records/{record['record_id']}/pages/1")).ok()
    return str(order["id"])


async def _say(client: Any, conversation: str, *parts: dict[str, Any]) -> None:
    await client.post(f"/conversations/{conversation}/messages", {"client_id": uuid.uuid4().hex, "parts": list(parts)}, 201)


def slip() -> bytes:
    """A laboratory slip as a phone takes it: our own drawing, of nobody."""
    fonts = sorted(Path(manimgx_fonts_cjk.__file__).parent.rglob("*.[ot]t[fc]"))
    big, small = (ImageFont.truetype(str(fonts[0]), size) for size in (44, 30))
    image = Image.new("RGB", (1200, 1500), "#8a7f72")
    sheet = Image.new("RGB", (980, 1300), "#fbfaf6")
    draw = ImageDraw.Draw(sheet)
    draw.text((330, 40), "检验报告单", font=big, fill="#1b2a2d")
    draw.line((50, 120, 930, 120), fill="#31494d", width=3)
    rows = (
        ("血沉 ESR", "18 mm/h", "0–20"),
        ("C 反应蛋白", "12.4 mg/L ↑", "0–8"),
        ("尿酸", "382 µmol/L", "208–428"),
        ("类风湿因子", "阴性", "阴性"),
    )
    for number, row in enumerate(rows):
        for left, words in zip((70, 420, 720), row, strict=True):
            draw.text((left, 170 + 90 * number), words, font=small, fill="#9a2a22" if "↑" in words else "#1b2a2d")
        draw.line((50, 230 + 90 * number, 930, 230 + 90 * number), fill="#c9cfcd", width=2)
    draw.text((70, 600), "仅供医生参考", font=small, fill="#66777a")
    image.paste(sheet.rotate(2.4, expand=True, fillcolor="#8a7f72", resample=Image.Resampling.BICUBIC), (95, 80))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()
