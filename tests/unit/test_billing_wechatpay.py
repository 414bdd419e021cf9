"""What the WeChat Pay client believes, against a small platform that can lie."""

import base64
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from billing.domain import Channel, Payment, PaymentStatus, Refund, RefundState, RefundStatus, TradeState
from billing.errors import GatewayRefused, GatewayUnknown, PaymentMismatch, PaymentSignatureInvalid
from billing.wechatpay import WechatChannel, WechatPay, WechatPayConfig, openid_of
from tests.support.clock import ManualClock

API_KEY = "k" * 32
MCHID, APPID = "1900000001", "wx0000000000000001"
NUMBER = "a" * 32


@dataclass
class Keys:
    """A key pair with a certificate of some validity."""

    key: rsa.RSAPrivateKey
    serial: str
    certificate: bytes

    @classmethod
    def make(cls, clock: ManualClock, *, days: int = 365) -> "Keys":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "platform")])
        serial = x509.random_serial_number()
        until = clock.now() + timedelta(days=days)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(min(clock.now(), until) - timedelta(days=1))
            .not_valid_after(until)
            .sign(key, SHA256())
        )
        return cls(key, f"{serial:040X}", certificate.public_bytes(serialization.Encoding.PEM))

    def private(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def public(self) -> bytes:
        return self.key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Platform:
    """Answers every path with what stands in `answers`, signed by `signer` (None: not at all)."""

    clock: ManualClock
    merchant: Keys
    signer: Keys | None
    serial: str = ""
    listed: list[Keys] = field(default_factory=list)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any, dict[str, str]]] = field(default_factory=list)
    list_key: str = API_KEY
    in_pieces: bool = False

    def signed(self, body: bytes, signer: Keys | None = None) -> dict[str, str]:
        who = signer or self.signer
        if who is None:
            return {}
        timestamp, nonce = str(self.clock.now_ms() // 1000), secrets.token_hex(8)
        signature = who.key.sign(f"{timestamp}\n{nonce}\n".encode() + body + b"\n", PKCS1v15(), SHA256())
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self.serial or who.serial,
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
        }

    def sealed(self, plaintext: bytes, key: str = API_KEY) -> dict[str, str]:
        nonce = secrets.token_hex(6)
        ciphertext = AESGCM(key.encode()).encrypt(nonce.encode(), plaintext, b"about")
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": "about",
            "ciphertext": base64.b64encode(ciphertext).decode(),
        }

    def callback(self, content: Any, event: str = "TRANSACTION.SUCCESS", signer: Keys | None = None) -> tuple[Any, bytes]:
        resource = content if isinstance(content, dict) and "ciphertext" in content else self.sealed(orjson.dumps(content))
        body = orjson.dumps({"id": "1", "event_type": event, "resource": resource})
        return self.signed(body, signer), body

    async def answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self._verify(request, raw)
        self.asked.append((request.method, request.raw_path, orjson.loads(raw) if raw else None, dict(request.headers)))
        if request.path == "/v3/certificates":
            items = [
                {"serial_no": k.serial, "encrypt_certificate": self.sealed(k.certificate, self.list_key)} for k in self.listed
            ]
            status, body = 200, orjson.dumps({"data": items})
        else:
            status, content = self.answers[request.path]
            body = b"" if content is None else content if isinstance(content, bytes) else orjson.dumps(content)
        headers = self.signed(body)
        if not self.in_pieces:
            return web.Response(status=status, body=body, headers=headers)
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        for at in range(0, len(body), 7):
            await response.write(body[at : at + 7])
        return response

    def _verify(self, request: web.Request, raw: bytes) -> None:
        """The merchant signed exactly this request."""
        schema, _, rest = request.headers["Authorization"].partition(" ")
        fields = {name: value.strip('"') for name, _, value in (part.partition("=") for part in rest.split(","))}
        message = f"{request.method}\n{request.raw_path}\n{fields['timestamp']}\n{fields['nonce_str']}\n".encode() + raw + b"\n"
        assert (schema, fields["mchid"], fields["serial_no"]) == ("WECHATPAY2-SHA256-RSA2048", MCHID, self.merchant.serial)
        public: Any = self.merchant.key.public_key()
        public.verify(base64.b64decode(fields["signature"]), message, PKCS1v15(), SHA256())

    def certificate_requests(self) -> int:
        return sum(path == "/v3/certificates" for _, path, _, _ in self.asked)


@pytest.fixture(scope="module")
def pairs() -> list[Keys]:
    return [Keys.make(ManualClock()) for _ in range(3)]


Make = Callable[..., WechatPay]


@pytest.fixture
async def platform(clock: ManualClock, pairs: list[Keys]) -> Platform:
    return Platform(clock, merchant=pairs[0], signer=pairs[1])


@pytest.fixture
async def client(platform: Platform, clock: ManualClock) -> AsyncIterator[Make]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", platform.answer)
    made: list[WechatPay] = []
    async with TestServer(app) as server:
        assert platform.signer is not None
        config = WechatPayConfig(
            mchid=MCHID,
            appid=APPID,
            api_v3_key=API_KEY,
            merchant_serial=platform.merchant.serial,
            merchant_private_key=platform.merchant.private(),
            platform_serial=platform.signer.serial,
            platform_certificate=platform.signer.certificate,
            base_url=str(server.make_url("")).rstrip("/"),
            payment_notify_url="https://yunzhen.example/payments",
            refund_notify_url="https://yunzhen.example/refunds",
        )

        def make(**changes: Any) -> WechatPay:
            made.append(WechatPay(replace(config, **changes), clock))
            return made[-1]

        yield make
        for each in made:
            await each.close()


async def started(pay: WechatPay) -> WechatPay:
    await pay.start()
    return pay


def payment(clock: ManualClock) -> Payment:
    return Payment(
        id=NUMBER, hospital_id="default", order_id="o", payer_account_id="b" * 32, channel=Channel.WECHAT_H5, amount_fen=5_000,
        description="图文咨询", expires_at=clock.now() + timedelta(minutes=30), out_trade_no=NUMBER, status=PaymentStatus.OPEN,
        created_at=clock.now(),
    )  # fmt: skip


def transaction(**changes: Any) -> dict[str, Any]:
    return {
        "mchid": MCHID,
        "appid": APPID,
        "out_trade_no": NUMBER,
        "transaction_id": "4200",
        "trade_state": "SUCCESS",
        "success_time": "2026-01-05T10:00:00+08:00",
        "amount": {"total": 5_000, "currency": "CNY"},
        **changes,
    }


def refund(clock: ManualClock) -> Refund:
    return Refund("r" * 32, "default", "o", NUMBER, "cause", 2_000, RefundStatus.RESERVED, "r" * 32, clock.now(), clock.now())


QUERY = f"/v3/pay/transactions/out-trade-no/{NUMBER}"
CLOSE = f"{QUERY}/close"
REFUND = "/v3/refund/domestic/refunds"


async def test_what_is_asked_for_says_amount_expiry_and_where_to_call_back(
    client: Make, platform: Platform, clock: ManualClock
) -> None:
    pay = await started(client())
    platform.answers["/v3/pay/transactions/h5"] = (200, {"h5_url": "https://wx.example/pay?prepay_id=wx123&package=1"})
    platform.answers["/v3/pay/transactions/jsapi"] = (200, {"prepay_id": "wx456"})
    h5 = await WechatChannel(pay, Channel.WECHAT_H5).prepay(payment(clock), "203.0.113.9")
    jsapi = await WechatChannel(pay, Channel.WECHAT_JSAPI).prepay(payment(clock), "203.0.113.9")
    assert (h5.prepay_id, jsapi.prepay_id, jsapi.params["package"]) == ("wx123", "wx456", "prepay_id=wx456")
    first, second = platform.asked[0][2], platform.asked[1][2]
    assert first == {
        "appid": APPID,
        "mchid": MCHID,
        "description": "图文咨询",
        "out_trade_no": NUMBER,
        "time_expire": "2026-01-05T10:30:00+08:00",
        "notify_url": "https://yunzhen.example/payments",
        "amount": {"total": 5_000, "currency": "CNY"},
        "scene_info": {"payer_client_ip": "203.0.113.9", "h5_info": {"type": "Wap"}},
    }
    assert second["payer"] == {"openid": openid_of("b" * 32)}
    bridge = jsapi.params
    message = f"{APPID}\n{bridge['timeStamp']}\n{bridge['nonceStr']}\nprepay_id=wx456\n".encode()
    public: Any = platform.merchant.key.public_key()
    public.verify(base64.b64decode(bridge["paySign"]), message, PKCS1v15(), SHA256())


def test_a_stand_in_for_an_openid_is_stable_and_has_its_form() -> None:
    assert openid_of("b" * 32) == openid_of("b" * 32)
    assert openid_of("b" * 32) != openid_of("c" * 32)
    assert (len(openid_of("b" * 32)), openid_of("b" * 32)[0]) == (28, "o")


async def test_an_answer_that_comes_in_pieces_is_read_whole(client: Make, platform: Platform) -> None:
    pay = await started(client())
    platform.in_pieces = True
    platform.answers[QUERY] = (200, transaction(attach="x" * 5_000))
    report = await WechatChannel(pay, Channel.WECHAT_H5).query(NUMBER)
    assert (report.state, report.amount_fen, report.paid_at) == (TradeState.PAID, 5_000, datetime(2026, 1, 5, 2, tzinfo=UTC))
    assert platform.asked[0][1] == f"{QUERY}?mchid={MCHID}"


@pytest.mark.parametrize("status", [200, 204, 400, 404])
async def test_an_answer_that_is_not_signed_decides_nothing(client: Make, platform: Platform, status: int) -> None:
    pay = await started(client())
    channel = WechatChannel(pay, Channel.WECHAT_H5)
    platform.signer = None
    platform.answers |= {QUERY: (status, None), CLOSE: (status, None), f"{REFUND}/x": (status, None)}
    for asking in (channel.query(NUMBER), channel.close(NUMBER), channel.query_refund("x")):
        with pytest.raises(GatewayUnknown):
            await asking


@pytest.mark.parametrize(
    "answer",
    [
        (500, {"code": "SYSTEM_ERROR"}), (429, {"code": "FREQUENCY_LIMITED"}), (302, None), (200, []), (200, b"{"), (200, {}),
        (200, transaction(out_trade_no="b" * 32)), (200, transaction(amount=7)), (200, transaction(success_time="soon")),
        (200, b"x" * 300_000),
    ],
)  # fmt: skip
async def test_an_answer_that_makes_no_sense_decides_nothing(client: Make, platform: Platform, answer: tuple[int, Any]) -> None:
    pay = await started(client())
    platform.answers[QUERY] = answer
    with pytest.raises((GatewayUnknown, PaymentMismatch, GatewayRefused)):
        await WechatChannel(pay, Channel.WECHAT_H5).query(NUMBER)


@pytest.mark.parametrize(
    ("answer", "closed"),
    [
        ((204, None), True),
        ((404, {"code": "ORDER_NOT_EXIST"}), True),
        ((400, {"code": "ORDER_CLOSED"}), True),
        ((400, {"code": "ORDERPAID"}), False),
        ((400, {"code": "ORDER_PAID"}), False),
    ],
)
async def test_what_closing_says(client: Make, platform: Platform, answer: tuple[int, Any], closed: bool) -> None:
    pay = await started(client())
    platform.answers[CLOSE] = answer
    assert await WechatChannel(pay, Channel.WECHAT_H5).close(NUMBER) is closed


async def test_a_refund_speaks_of_itself_or_of_nothing(client: Make, platform: Platform, clock: ManualClock) -> None:
    channel = WechatChannel(await started(client()), Channel.WECHAT_H5)
    body = {"out_refund_no": "r" * 32, "status": "PROCESSING", "amount": {"refund": 2_000}, "refund_id": "5030"}
    platform.answers[REFUND] = (200, body)
    report = await channel.refund(refund(clock), payment(clock))
    assert (report.state, report.amount_fen, report.gateway_refund_id) == (RefundState.PROCESSING, 2_000, "5030")
    assert platform.asked[0][2] == {
        "out_trade_no": NUMBER,
        "out_refund_no": "r" * 32,
        "notify_url": "https://yunzhen.example/refunds",
        "amount": {"refund": 2_000, "total": 5_000, "currency": "CNY"},
    }
    platform.answers[REFUND] = (200, {**body, "out_refund_no": "another"})
    with pytest.raises(GatewayUnknown):
        await channel.refund(refund(clock), payment(clock))
    platform.answers[REFUND] = (403, {"code": "NOT_ENOUGH", "message": "基本账户余额不足"})
    with pytest.raises(GatewayRefused) as refusal:
        await channel.refund(refund(clock), payment(clock))
    assert refusal.value.fields == {"reason": "NOT_ENOUGH"}


async def test_a_serial_that_is_not_known_lets_the_certificates_be_fetched_and_forged_ones_do_not_flood(
    client: Make, platform: Platform, pairs: list[Keys], clock: ManualClock
) -> None:
    pay = await started(client())
    old, new = pairs[1], pairs[2]
    headers, body = platform.callback(transaction(), signer=new)
    platform.listed = [old, new]
    await pay.read_callback(headers, body)
    await pay.read_callback(*platform.callback(transaction(), signer=old))
    assert platform.certificate_requests() == 1
    for n in range(20):
        with pytest.raises(PaymentSignatureInvalid):
            await pay.read_callback({**headers, "Wechatpay-Serial": f"{n:040X}"}, body)
    assert platform.certificate_requests() == 1
    clock.advance(timedelta(seconds=31))
    with pytest.raises(PaymentSignatureInvalid):
        await pay.read_callback({**headers, "Wechatpay-Serial": "F" * 40}, body)
    assert platform.certificate_requests() == 2
    clock.advance(timedelta(minutes=-4))  # set back: new certificates are not waited for any longer than else
    with pytest.raises(PaymentSignatureInvalid):
        await pay.read_callback({**headers, "Wechatpay-Serial": "E" * 40}, body)
    assert platform.certificate_requests() == 3


async def test_certificates_are_believed_only_when_encrypted_for_us_signed_and_valid(
    client: Make, platform: Platform, pairs: list[Keys], clock: ManualClock
) -> None:
    known, stranger = pairs[1], pairs[2]
    platform.listed = [stranger]
    platform.list_key = "x" * 32
    with pytest.raises(PaymentSignatureInvalid):  # not encrypted under our key
        await (await started(client())).read_callback(*platform.callback(transaction(), signer=stranger))
    platform.list_key, platform.signer = API_KEY, None
    with pytest.raises(PaymentSignatureInvalid):  # not signed
        await (await started(client())).read_callback(*platform.callback(transaction(), signer=stranger))
    platform.signer = known
    expired = Keys.make(clock, days=-1)
    platform.listed = [expired]
    with pytest.raises(PaymentSignatureInvalid):  # expired
        await (await started(client())).read_callback(*platform.callback(transaction(), signer=expired))
    assert platform.certificate_requests() == 3


async def test_the_platforms_public_key_serves_like_a_certificate(client: Make, platform: Platform) -> None:
    assert platform.signer is not None
    key_id = "PUB_KEY_ID_0119000000012026"
    pay = await started(client(platform_serial=key_id, platform_certificate=platform.signer.public()))
    platform.serial = key_id
    platform.answers[QUERY] = (200, transaction())
    assert (await WechatChannel(pay, Channel.WECHAT_H5).query(NUMBER)).state is TradeState.PAID
    assert platform.asked[0][3]["Wechatpay-Serial"] == key_id
    await pay.read_callback(*platform.callback(transaction()))
    assert platform.certificate_requests() == 0


@pytest.mark.parametrize("off", [-301, 301])
async def test_what_is_more_than_five_minutes_off_is_not_believed(
    client: Make, platform: Platform, clock: ManualClock, off: int
) -> None:
    pay = await started(client())
    clock.advance(timedelta(seconds=off))
    headers, body = platform.callback(transaction())
    clock.advance(timedelta(seconds=-off))
    with pytest.raises(PaymentSignatureInvalid):
        await pay.read_callback(headers, body)


@pytest.mark.parametrize(
    "content",
    [
        transaction(mchid="1900000999"),
        transaction(appid="wx9"), transaction(amount={"total": 5_000, "currency": "USD"}),
        transaction(amount={"total": 5_000}), transaction(amount=3), transaction(success_time="x"), transaction(success_time=3),
        {"mchid": MCHID, "appid": APPID}, [], "x", None,
    ],
)  # fmt: skip
async def test_what_is_signed_and_wrong_is_a_mismatch(client: Make, platform: Platform, content: Any) -> None:
    pay = await started(client())
    with pytest.raises(PaymentMismatch):
        await pay.read_callback(*platform.callback(content))
    with pytest.raises(PaymentMismatch):
        await pay.read_callback(
            *platform.callback({**content, "mchid": "1"} if isinstance(content, dict) else content, "REFUND.X")
        )


async def test_a_resource_that_does_not_open_is_not_believed(client: Make, platform: Platform) -> None:
    pay = await started(client())
    good = platform.sealed(orjson.dumps(transaction()))
    for bad in (
        {**good, "algorithm": "NONE"},
        {**good, "associated_data": "other"},
        {**good, "nonce": "0" * 12},
        {**good, "nonce": ""},
        {**good, "ciphertext": "!"},
        {**good, "ciphertext": ""},
        {**good, "nonce": 3},
        {**platform.sealed(b"{}", "y" * 32)},
    ):
        with pytest.raises(PaymentSignatureInvalid):
            await pay.read_callback(*platform.callback(bad))
