"""One consult from log-in to rating, and one that nobody answers, against a running `make run`.

    .venv/bin/python examples/consult.py [var/demo.json]

Steps 1 to 5 take a few seconds. Step 6 waits for a deadline: start the product with `YZ_CONSULT_VALIDITY=20s make run` to see
it; with the usual 48 h the script says so and shows a cancellation instead. Everything goes over the real wire: HTTP,
Socket.IO, the simulated wallet and the simulated phone.
"""

import asyncio
import io
import json
import sys
import uuid
import wave
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import socketio
from PIL import Image

PATIENT_NUMBER = "110105199003072370"
PATIENCE_SECONDS = 120


class Person:
    """Someone with a phone: signed in over HTTP, and connected to the socket."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, session: dict[str, Any]) -> None:
        self.http, self.base_url, self.session = http, base_url, session
        self.socket = socketio.AsyncClient()
        self.events: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        for name in ("message.new", "order.changed", "notice", "receipt", "typing", "record.viewed"):
            self.socket.on(name, self._listener(name))

    def _listener(self, name: str) -> Any:
        async def listen(body: dict[str, Any]) -> None:
            await self.events.put((name, body))

        return listen

    async def connect(self) -> None:
        await self.socket.connect(self.base_url, auth={"token": self.session["access_token"]}, transports=["websocket"])

    async def request(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, form: Any = None
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.session['access_token']}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        url = f"{self.base_url}/api/v1{path}"
        async with self.http.request(method, url, json=body, data=form, headers=headers) as answer:
            return answer.status, await answer.json() if "json" in answer.content_type else await answer.read()

    async def call(self, method: str, path: str, body: Any = None, *, key: bool = False, form: Any = None) -> Any:
        """The answer of a request that must succeed."""
        status, content = await self.request(method, path, body, key=uuid.uuid4().hex if key else None, form=form)
        if status >= 400:
            raise SystemExit(f"{method} {path} → {status}: {content}")
        return content

    async def emit(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        ack: dict[str, Any] = await self.socket.call(name, body, timeout=15)
        return ack

    async def say(self, conversation_id: str, *parts: dict[str, Any]) -> dict[str, Any]:
        ack = await self.emit(
            "message.send", {"conversation_id": conversation_id, "client_id": uuid.uuid4().hex, "parts": list(parts)}
        )
        if not ack["ok"]:
            raise SystemExit(f"message.send → {ack['error']}")
        message: dict[str, Any] = ack["message"]
        return message

    async def wait_for(self, name: str, match: Any, seconds: float = 15) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while True:
                event, body = await self.events.get()
                if event == name and match(body):
                    return body

    async def upload(self, data: bytes, filename: str, purpose: str) -> str:
        form = aiohttp.FormData()
        form.add_field("purpose", purpose)
        form.add_field("file", data, filename=filename)
        media = await self.call("POST", "/media", form=form)
        return str(media["media_id"])


def text(words: str) -> dict[str, Any]:
    return {"kind": "text", "text": words}


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (640, 480), (210, 140, 120)).save(out, "JPEG")
    return out.getvalue()


def voice(seconds: int = 2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(
            b"".join((12_000 * ((i // 40) % 2) - 6_000).to_bytes(2, "little", signed=True) for i in range(16_000 * seconds))
        )
    return out.getvalue()


async def sign_in(http: aiohttp.ClientSession, demo: dict[str, Any], role: str, phone: str) -> Person:
    """Ask for an SMS code, read it on the simulated phone, sign in."""
    base, outside = demo["base_url"], demo["simulators_url"]
    async with http.post(f"{base}/api/v1/auth/sms-codes", json={"phone": phone, "purpose": "login"}) as answer:
        if answer.status != 202:
            raise SystemExit(f"sms-codes → {answer.status}: {await answer.text()}")
    for _ in range(50):
        async with http.get(f"{outside}/sms/messages", params={"phone": phone}) as answer:
            messages = await answer.json()
        if messages:
            break
        await asyncio.sleep(0.1)
    body = {"phone": phone, "code": messages[0]["params"]["code"], "device_id": uuid.uuid4().hex, "device_name": "example"}
    async with http.post(f"{base}/api/v1/auth/{role}/sessions", json=body) as answer:
        session = await answer.json()
        if answer.status != 201:
            raise SystemExit(f"{role}/sessions → {answer.status}: {session}")
    person = Person(http, base, session)
    await person.connect()
    return person


async def place_order(patient: Person, patient_id: str, doctor_id: str, image_ids: list[str]) -> Any:
    """An order that waits for its payment."""
    consent = await patient.call("GET", "/consents/consult")
    body = {
        "doctor_id": doctor_id,
        "patient_id": patient_id,
        "kind": "consult",
        "complaint": "反复咳嗽两周，夜间加重，无发热。",
        "image_ids": image_ids,
        "consent": {"version": consent["version"], "sha256": consent["sha256"], "record_access": True},
    }
    return await patient.call("POST", "/orders", body, key=True)


async def start_payment(patient: Person, order_id: str) -> str:
    """Ask for a payment; the answer is what the wallet needs."""
    payment = await patient.call("POST", f"/orders/{order_id}/payments", {"channel": "wechat_h5"}, key=True)
    return str(payment["prepay_id"])


async def pay(http: aiohttp.ClientSession, demo: dict[str, Any], prepay_id: str) -> None:
    """The patient confirms in the wallet; the gateway then calls the server back."""
    async with http.post(f"{demo['simulators_url']}/wechatpay/wallet/{prepay_id}/pay") as answer:
        if answer.status >= 400:
            raise SystemExit(f"the wallet → {answer.status}: {await answer.text()}")


async def order_and_pay(patient: Person, demo: dict[str, Any], patient_id: str, doctor_id: str, image_ids: list[str]) -> Any:
    order = await place_order(patient, patient_id, doctor_id, image_ids)
    await pay(patient.http, demo, await start_payment(patient, order["id"]))
    return await until(patient, order["id"], "awaiting_doctor")


async def until(person: Person, order_id: str, status: str, seconds: float = 15) -> Any:
    """The order, once it has that status."""
    async with asyncio.timeout(seconds):
        while True:
            order = await person.call("GET", f"/orders/{order_id}")
            if order["status"] == status:
                return order
            await asyncio.sleep(0.2)


async def main(demo: dict[str, Any]) -> None:
    async with aiohttp.ClientSession() as http:
        print("1. log in, add a patient, choose a doctor")
        patient = await sign_in(http, demo, "patient", demo["patients"][0]["phone"])
        doctor = await sign_in(http, demo, "doctor", demo["doctors"][0]["phone"])
        doctor_id = demo["doctors"][0]["doctor_id"]
        mine = (await patient.call("GET", "/patients"))["items"]
        if not any(p["name"] == "陈小雨" for p in mine) and len(mine) < 5:
            added = await patient.call(
                "POST",
                "/patients",
                {
                    "name": "陈小雨",
                    "id_type": "resident",
                    "id_number": PATIENT_NUMBER,
                    "phone": demo["patients"][0]["phone"],
                    "default": False,
                },
            )
            print("   added", added["name"], added["id_number"])
        chosen = await patient.call("GET", f"/doctors/{doctor_id}")
        print("   chose", chosen["name"], chosen["title"], f"{chosen['fee_fen'] / 100:.2f} yuan")

        print("2. order with a picture, pay")
        image_id = await patient.upload(picture(), "throat.jpg", "complaint")
        order = await order_and_pay(patient, demo, mine[0]["id"], doctor_id, [image_id])
        print("   order", order["number"], order["status"], "until", order["deadline_at"])
        await doctor.wait_for("order.changed", lambda o: o["id"] == order["id"])

        print("3. talk: text, picture, voice")
        conversation = order["conversation_id"]
        await patient.say(conversation, text("医生您好，需要做检查吗？"))
        asked = await doctor.wait_for("message.new", lambda m: m["kind"] == "message" and m["conversation_id"] == conversation)
        await doctor.emit("receipt.read", {"conversation_id": conversation, "seq": asked["seq"]})
        await patient.wait_for("receipt", lambda r: r["read_seq"] >= asked["seq"])
        clip = await doctor.upload(voice(), "advice.wav", "message")
        shot = await doctor.upload(picture(), "where.png", "message")
        first = await doctor.say(
            conversation, text("先拍一张胸片。"), {"kind": "image", "media_id": shot}, {"kind": "voice", "media_id": clip}
        )
        print("   first reply is number", first["seq"], "with", len(first["parts"]), "parts")
        slip = await doctor.say(conversation, text("每日三次。"))
        ack = await doctor.emit(
            "message.recall", {"conversation_id": conversation, "client_id": uuid.uuid4().hex, "seq": slip["seq"]}
        )
        print("   recalled number", ack["message"]["recalls"])
        sync = await patient.emit("conversation.sync", {"cursors": {conversation: 0}})
        print("   a new device catches up with", len(sync["conversations"][0]["messages"]), "entries")

        print("4. the hospital's records: the doctor looks, the patient sees it and ends it")
        records = (await doctor.call("GET", f"/orders/{order['id']}/records"))["items"]
        page = f"/orders/{order['id']}/records/{records[0]['record_id']}/pages/1"
        print(
            "   the newest of",
            len(records),
            "is",
            records[0]["title"],
            "of",
            len(await doctor.call("GET", page)),
            "bytes as a page",
        )
        seen = await patient.wait_for("record.viewed", lambda v: v["order_id"] == order["id"])
        print("   seen by", seen["doctor"]["name"], "at", seen["viewed_at"])
        await patient.call("POST", f"/orders/{order['id']}/record-access", {"granted": False})
        status, refusal = await doctor.request("GET", page)
        print("   after the withdrawal:", status, refusal["code"])

        print("5. a gift, the last replies, a rating")
        await doctor.call("POST", f"/orders/{order['id']}/gifts", {"count": 1})
        for words in ("每日两次，饭后服用。", "三天后复诊。", "多喝温水，注意休息。"):
            last = await doctor.say(conversation, text(words))
        print("   the last reply closes:", last["closes"])
        await until(patient, order["id"], "completed")
        rated = await patient.call("POST", f"/orders/{order['id']}/rating", {"stars": 5, "tags": [], "text": "很耐心，谢谢！"})
        print("   rated", rated["rating"]["stars"], "stars")

        print("6. an order that nobody answers")
        order = await order_and_pay(patient, demo, mine[0]["id"], doctor_id, [])
        left = (datetime.fromisoformat(order["deadline_at"]) - datetime.fromisoformat(order["paid_at"])).total_seconds()
        if left > PATIENCE_SECONDS:
            print(f"   its deadline is {left / 3600:.0f} h away: cancelled instead")
            await patient.call("POST", f"/orders/{order['id']}/cancel", {})
            left = 0
        refunded = await until(patient, order["id"], "refunded", left + 60)
        print("   refunded", refunded["refunded_fen"], "fen, because:", refunded["close_reason"])
        for person in (patient, doctor):
            await person.socket.disconnect()
    print("done")


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else "var/demo.json").read_text())))
