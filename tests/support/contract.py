"""People of every role against a running product, seen only through the wire: for tests that hold it to its contract."""

import asyncio
import io
import itertools
import re
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import aiohttp
import pyotp
import socketio

from accounts.domain.identity import check_character
from tests.support.product import Product

INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
PATIENCE_SECONDS = 15.0
_STAFF_TOKEN_SECONDS = 600.0

ORDER_FIELDS = {
    *("id", "number", "status", "kind", "doctor", "patient", "complaint", "image_ids", "fee_fen", "refunded_fen"),
    *("replies", "conversation_id", "created_at", "paid_at", "deadline_at", "closed_at", "close_reason", "rating", "version"),
    *("unpaid_until", "record_access", "quick", "after_sales"),
}
MESSAGE_FIELDS = {
    *("conversation_id", "seq", "kind", "client_id", "sender", "parts", "sent_at", "recalled", "recalls", "corrects"),
    "closes",
}
EVENTS = (
    "message.new",
    "receipt",
    "order.changed",
    "notice",
    "notices.read",
    "typing",
    "session.revoked",
    "record.viewed",
    "critical.changed",
    "note.added",
    "pool.changed",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is the parsed JSON, or the bytes of anything else."""

    status: int
    body: Any
    headers: Any
    cookies: Any

    def refused(self, status: int, code: str) -> Any:
        """The problem of this very refusal, whose shape is checked too."""
        assert (self.status, self.body.get("code")) == (status, code), self.body
        assert self.headers["Content-Type"].startswith("application/problem+json")
        assert {"code", "title", "status", "fields", "request_id"} <= self.body.keys()
        assert self.body["status"] == status
        assert isinstance(self.body["title"], str) and self.body["title"]
        assert isinstance(self.body["fields"], dict)
        assert isinstance(self.body["request_id"], str) and self.body["request_id"]
        return self.body

    def ok(self, status: int = 200) -> Any:
        """The body of a request that went well."""
        assert self.status == status, (self.status, self.body)
        return self.body


class Client:
    """HTTP as one account, or as nobody."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, session: dict[str, Any] | None = None) -> None:
        self.http, self.base_url, self.session = http, base_url, session

    @property
    def token(self) -> str | None:
        return None if self.session is None else str(self.session["access_token"])

    @property
    def account_id(self) -> str:
        assert self.session is not None, "nobody has no account"
        return str(self.session["account"]["account_id"])

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        raw: bytes | None = None,
        form: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if key is not None:
            sent["Idempotency-Key"] = key
        url = path if path.startswith("http") else f"{self.base_url}{path if path.startswith('/api/') else f'/api/v1{path}'}"
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        content: dict[str, Any] = {"json": body} if raw is None and form is None else {"data": raw if form is None else form}
        async with self.http.request(method, url, headers=sent, allow_redirects=False, **content) as answer:
            read = await answer.read()
            parsed = await answer.json(content_type=None) if read and "json" in answer.content_type else read
            assert answer.status < 500, parsed
            return Answer(answer.status, parsed, answer.headers.copy(), answer.cookies)

    async def get(self, path: str) -> Any:
        return (await self.ask("GET", path)).ok()

    async def post(self, path: str, body: Any, status: int = 200, *, key: str | None = None) -> Any:
        return (await self.ask("POST", path, body, key=key)).ok(status)

    async def upload(self, data: bytes, filename: str = "file", purpose: str = "message", *, key: str | None = None) -> Answer:
        form = aiohttp.FormData()
        form.add_field("purpose", purpose)
        form.add_field("file", io.BytesIO(data), filename=filename)
        return await self.ask("POST", "/media", form=form, key=key)

    async def pages(self, path: str, limit: int) -> list[list[Any]]:
        """All pages of a list, by its cursor."""
        joint = "&" if "?" in path else "?"
        pages, cursor = [], ""
        while True:
            page = await self.get(f"{path}{joint}limit={limit}{cursor}")
            assert page.keys() == {"items", "next_cursor"}
            pages.append(page["items"])
            if page["next_cursor"] is None:
                return pages
            assert isinstance(page["next_cursor"], str)
            cursor = f"&cursor={page['next_cursor']}"


class Socket:
    """One connection, and all that it was told, with when."""

    def __init__(self, base_url: str, token: str | None) -> None:
        self._base_url, self._token = base_url, token
        self.client = socketio.AsyncClient(reconnection=False)
        self.told: list[tuple[str, Any]] = []
        self.closed_at: float | None = None
        self._changed = asyncio.Condition()
        for name in EVENTS:
            self.client.on(name, self._listener(name))
        self.client.on("disconnect", self._ended)

    def _listener(self, name: str) -> Any:
        async def listen(body: Any) -> None:
            async with self._changed:
                self.told.append((name, body))
                self._changed.notify_all()

        return listen

    async def _ended(self, *_: Any) -> None:
        async with self._changed:
            self.closed_at = time.monotonic()
            self._changed.notify_all()

    async def connect(self) -> "Socket":
        auth = {} if self._token is None else {"token": self._token}
        await self.client.connect(self._base_url, auth=auth, transports=["websocket"])
        return self

    async def call(self, name: str, *body: Any) -> Any:
        return await self.client.call(name, *body, timeout=PATIENCE_SECONDS)

    async def ok(self, name: str, body: Any) -> Any:
        ack = await self.call(name, body)
        assert ack["ok"] is True, ack
        return ack

    async def refused(self, name: str, body: Any, code: str, kind: str) -> Any:
        ack = await self.call(name, body)
        assert (ack["ok"], ack["error"]["code"], ack["error"]["kind"]) == (False, code, kind), ack
        assert ack.keys() == {"ok", "error"}
        assert ack["error"].keys() == {"code", "kind", "fields"}
        return ack

    async def say(self, conversation_id: str, words: str = "您好", **more: Any) -> Any:
        body = {"conversation_id": conversation_id, "client_id": uuid.uuid4().hex, "parts": [text(words)], **more}
        return (await self.ok("message.send", body))["message"]

    async def wait_for(
        self, name: str, match: Callable[[Any], bool] = lambda _: True, seconds: float = PATIENCE_SECONDS
    ) -> Any:
        """The first such event, also one that came before."""
        async with asyncio.timeout(seconds), self._changed:
            while True:
                for event, body in self.told:
                    if event == name and match(body):
                        return body
                await self._changed.wait()

    async def wait_closed(self, seconds: float) -> None:
        async with asyncio.timeout(seconds), self._changed:
            while self.closed_at is None:
                await self._changed.wait()

    def all(self, name: str) -> list[Any]:
        return [body for event, body in self.told if event == name]

    async def quiet(self, seconds: float = 0.3) -> None:
        """Long enough for what is on its way to have arrived."""
        await asyncio.sleep(seconds)


def text(words: str) -> dict[str, Any]:
    return {"kind": "text", "text": words}


_numbers = itertools.count(secrets.randbelow(10**7) * 10)


def new_phone() -> str:
    """A phone that nobody has."""
    return f"17{next(_numbers) % 10**9:09d}"


def identity_number(born: date, order: int = 1) -> str:
    """A well-formed resident number; even orders are women's."""
    body = f"110105{born:%Y%m%d}{order:03d}"
    return body + check_character(body)


def instant(value: str) -> datetime:
    """The instant that RFC 3339 text in UTC with milliseconds names."""
    assert INSTANT.match(value), value
    return datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


_staff_sessions: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}


@dataclass(slots=True)
class World:
    """A running product, and whoever a test needs in it."""

    product: Product
    http: aiohttp.ClientSession
    sockets: list[Socket] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return self.product.base_url

    @property
    def nobody(self) -> Client:
        return Client(self.http, self.base_url)

    def client(self, session: dict[str, Any]) -> Client:
        return Client(self.http, self.base_url, session)

    async def outside(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the simulators."""
        async with self.http.request(method, f"{self.product.simulators_url}{path}", json=body) as answer:
            assert answer.status < 400, await answer.text()
            return await answer.json()

    async def code(self, phone: str, purpose: str = "login") -> str:
        """Ask for a code and read it on the phone."""
        before = len(await self.outside("GET", f"/sms/messages?phone={phone}"))
        (await self.nobody.ask("POST", "/auth/sms-codes", {"phone": phone, "purpose": purpose})).ok(202)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(messages := await self.outside("GET", f"/sms/messages?phone={phone}")) == before:
                await asyncio.sleep(0.05)
        return str(messages[0]["params"]["code"])

    async def sign_in(self, role: str, phone: str, device_id: str | None = None) -> Answer:
        code = await self.code(phone)
        body = {"phone": phone, "code": code, "device_id": device_id or uuid.uuid4().hex, "device_name": "测试机"}
        return await self.nobody.ask("POST", f"/auth/{role}/sessions", body)

    async def patient(self, phone: str | None = None) -> Client:
        """A signed-in patient account; a new one without a phone."""
        return self.client((await self.sign_in("patient", phone or new_phone())).ok(201))

    async def doctor(self, phone: str) -> Client:
        return self.client((await self.sign_in("doctor", phone)).ok(201))

    async def staff(self, number: int = 0) -> Client:
        """Somebody of the demo's staff. The session is shared by all tests, since a one-time code is good once."""
        person = self.product.demo["staff"][number]
        key = (self.base_url, person["username"])
        opened_at, session = _staff_sessions.get(key, (0.0, {}))
        if time.monotonic() - opened_at > _STAFF_TOKEN_SECONDS or not session:
            session = (await self.sign_in_staff(person)).ok(201)
            _staff_sessions[key] = (time.monotonic(), session)
        return self.client(session)

    async def sign_in_staff(self, person: dict[str, Any], **changes: str) -> Answer:
        """With the code of now; where that was used already, with the next one."""
        totp, now = pyotp.TOTP(person["totp_secret"]), int(time.time())
        body = {"username": person["username"], "password": person["password"], "device_id": uuid.uuid4().hex}
        body |= {"device_name": "工作站", "totp": totp.at(now), **changes}
        answer = await self.nobody.ask("POST", "/auth/staff/sessions", body)
        if answer.status == 401 and not changes:
            answer = await self.nobody.ask("POST", "/auth/staff/sessions", {**body, "totp": totp.at(now + 30)})
        return answer

    async def socket(self, client: Client) -> Socket:
        socket = await Socket(self.base_url, client.token).connect()
        self.sockets.append(socket)
        return socket

    async def new_doctor(self, **details: Any) -> tuple[Client, str, str]:
        """A doctor who was just put on the list: signed in, with id and phone."""
        staff, phone = await self.staff(), new_phone()
        departments = (await staff.get("/departments"))["items"]
        body = {
            "name": "测试医生",
            "title": "主任医师",
            "department_id": departments[0]["id"],
            "good_at": "咳嗽",
            "fee_fen": 5000,
            "phone": phone,
        }
        added = await staff.post("/admin/doctors", body | details, 201)
        doctor = await self.doctor(phone)
        settings = await doctor.get("/desk/settings")
        if not settings["accepting"]:
            (await doctor.ask("PUT", "/desk/settings", {**settings, "accepting": True})).ok()
        return doctor, str(added["id"]), phone

    async def new_patient(self, client: Client, **details: Any) -> Any:
        """One more patient of this account."""
        body = {
            "name": "陈小雨",
            "id_type": "resident",
            "id_number": identity_number(date(1990, 3, 7), secrets.randbelow(999)),
            "phone": new_phone(),
            "default": False,
        }
        return await client.post("/patients", body | details, 201)

    async def pair(self) -> "Pair":
        """A new patient account with one patient, and a new doctor."""
        patient = await self.patient()
        patient_id = (await self.new_patient(patient))["id"]
        doctor, doctor_id, _ = await self.new_doctor()
        return Pair(self, patient, patient_id, doctor, doctor_id)

    async def wallet(self, prepay_id: str) -> Any:
        return await self.outside("GET", f"/wechatpay/wallet/{prepay_id}")


@dataclass(slots=True)
class Pair:
    """Who asks and who answers."""

    world: World
    patient: Client
    patient_id: str
    doctor: Client
    doctor_id: str

    async def order_body(self, **changes: Any) -> dict[str, Any]:
        consent = await self.patient.get("/consents/consult")
        body = {
            "doctor_id": self.doctor_id,
            "patient_id": self.patient_id,
            "kind": "consult",
            "complaint": "反复咳嗽两周，夜间加重。",
            "image_ids": [],
            "consent": {"version": consent["version"], "sha256": consent["sha256"], "record_access": True},
        }
        return body | changes

    async def place(self, **changes: Any) -> Any:
        """An order that waits for its payment."""
        return await self.patient.post("/orders", await self.order_body(**changes), 201, key=uuid.uuid4().hex)

    async def start_payment(self, order_id: str, channel: str = "wechat_h5") -> Any:
        path = f"/orders/{order_id}/payments"
        return await self.patient.post(path, {"channel": channel}, 201, key=uuid.uuid4().hex)

    async def paid(self, **changes: Any) -> Any:
        """An order that was paid, as it stands then; its prepay id beside it."""
        order = await self.place(**changes)
        payment = await self.start_payment(order["id"])
        await self.world.outside("POST", f"/wechatpay/wallet/{payment['prepay_id']}/pay")
        return await self.until(order["id"], "awaiting_doctor") | {"prepay_id": payment["prepay_id"]}

    async def until(self, order_id: str, status: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """The order, as its patient sees it, once it has that status."""
        order: Any = None
        try:
            async with asyncio.timeout(seconds):
                while (order := await self.patient.get(f"/orders/{order_id}"))["status"] != status:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not {status}: {order}") from None
        return order

    async def reply(self, conversation_id: str, words: str = "请多喝水。") -> Any:
        body = {"client_id": uuid.uuid4().hex, "parts": [text(words)]}
        return await self.doctor.post(f"/conversations/{conversation_id}/messages", body, 201)

    async def log(self, conversation_id: str) -> list[Any]:
        page = await self.patient.get(f"/conversations/{conversation_id}/messages?after_seq=0&limit=100")
        return list(page["items"])


@asynccontextmanager
async def world_of(product: Product) -> AsyncIterator[World]:
    """The product and its people; all sockets are closed in the end."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        world = World(product, http)
        try:
            yield world
        finally:
            await asyncio.gather(*(socket.client.disconnect() for socket in world.sockets))
