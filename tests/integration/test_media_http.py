"""Media through real HTTP and the product's own runner, with real worker processes."""

import asyncio
import io
import random
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from aiohttp import ClientError, FormData, web
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from media import http as media_http
from media.codecs import CodecPool
from media.domain import Medium, Rendition
from media.http import routes
from media.links import LinkSigner
from media.mongo import INDEXES, MongoMedia
from media.service import MediaService
from server.app.address import address_of
from server.app.edge import MEDIA_COOKIE, Edge, outermost
from server.app.idempotency import IdempotencyStore
from server.app.limits import RateLimiter
from server.kernel.actor import PLATFORM, Actor, Role
from server.kernel.audit import AUDIT, AuditLog
from server.kernel.audit import INDEXES as AUDIT_INDEXES
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.errors import AuthRequired
from server.kernel.mongo import Database
from server.kernel.outbox import Relay
from server.kernel.settings import parse_rate
from tests.support.clock import ManualClock
from tests.support.indexes import make_indexes
from tests.support.media_files import exif_of_a_phone, image_file, opened, played_ms, voice_file

Client = TestClient[web.Request, web.Application]


class Sessions:
    """Tokens are `role:account`; the media cookie says `cookie:` before."""

    async def authenticate(self, token: str, *, request_id: str, address: str | None) -> Actor:
        role, _, account = token.partition(":")
        if not account:
            raise AuthRequired()
        hospital_id = PLATFORM if role == "patient" else "default"
        return Actor(account, Role(role), hospital_id, request_id, address=address)

    async def authenticate_media(self, token: str, *, request_id: str, address: str | None) -> Actor:
        if not token.startswith("cookie:"):
            raise AuthRequired()
        return await self.authenticate(token.removeprefix("cookie:"), request_id=request_id, address=address)


class Owners:
    """Shows what is attached to everybody, until it is told not to."""

    shows = True

    async def may_see(self, actor: Actor, owner_kind: str, owner_id: str, media_id: str) -> bool:
        return self.shows

    async def names(self, owner_kind: str, owner_id: str, media_id: str) -> bool:
        return True


class Counting(MongoMedia):
    """Notes how many bytes were asked for at a time."""

    sizes: ClassVar[list[int]] = []

    async def read(self, medium: Medium, rendition: Rendition, start: int, stop: int) -> bytes:
        self.sizes.append(stop - start)
        return await super().read(medium, rendition, start, stop)


@pytest.fixture
async def service(database: Database, clock: ManualClock) -> AsyncIterator[MediaService]:
    await make_indexes(database, INDEXES, AUDIT_INDEXES)
    audit = AuditLog(database)
    relay = Relay(database, audit)
    store = Counting(database, Keyring(MasterKey(bytes(32)), database))
    service = MediaService(store, CodecPool(workers=1), Owners(), LinkSigner(bytes(32)), audit, relay, clock)
    yield service
    await relay.close()
    await service.close()


@pytest.fixture
async def client(database: Database, clock: ManualClock, service: MediaService) -> AsyncIterator[Client]:
    edge = Edge(
        sessions=Sessions(),
        idempotency=IdempotencyStore(database, Keyring(MasterKey(bytes(32)), database), clock),
        limiter=RateLimiter(parse_rate("1000/s"), clock),
        audit=AuditLog(database),
        clock=clock,
        secure_cookies=False,
        address_of=address_of(0),
    )
    app = web.Application(middlewares=[outermost])
    edge.add(app, routes(service))
    async with TestClient(TestServer(app)) as client:
        yield client


def _as(account: str = "patient:a", **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {account}", **more}


def _form(data: bytes, *, purpose: str | None = "message", name: str = "file", filename: str = "x.jpg") -> FormData:
    form = FormData()
    form.add_field(name, io.BytesIO(data), filename=filename, content_type="application/octet-stream")
    if purpose is not None:
        form.add_field("purpose", purpose)
    return form


async def _upload(client: Client, data: bytes, **more: Any) -> tuple[int, dict[str, Any]]:
    answer = await client.post("/api/v1/media", data=_form(data, **more), headers=_as())
    return answer.status, await answer.json()


async def _link(client: Client, media_id: str, account: str = "patient:a", **body: str) -> tuple[int, dict[str, Any]]:
    answer = await client.post(f"/api/v1/media/{media_id}/links", json=body, headers=_as(account))
    return answer.status, await answer.json()


async def _nothing_stored(database: Database) -> bool:
    names = ("media", "media_uploads", "media_content.files", "media_content.chunks")
    return [await database[name].count_documents({}) for name in names] == [0, 0, 0, 0]


async def test_a_picture_goes_up_and_comes_back_without_its_place(client: Client) -> None:
    data = image_file("jpeg", size=(320, 200), exif=exif_of_a_phone())
    status, medium = await _upload(client, data, filename="../../../etc/passwd.svg")
    assert status == 201
    assert medium == {
        "media_id": medium["media_id"],
        "kind": "image",
        "mime": "image/jpeg",
        "bytes": medium["bytes"],
        "width": 320,
        "height": 200,
    }
    status, link = await _link(client, medium["media_id"])
    assert (status, link["expires_in_seconds"]) == (200, 60)
    answer = await client.get(link["url"], headers=_as())
    body = await answer.read()
    assert (answer.status, answer.content_type, len(body)) == (200, "image/jpeg", medium["bytes"])
    assert (opened(body).size, dict(opened(body).getexif())) == ((320, 200), {})
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["Content-Disposition"] == "inline"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert answer.headers["ETag"].startswith('"')


async def test_a_recording_goes_up_once_and_plays_as_aac_and_as_opus(client: Client) -> None:
    status, medium = await _upload(client, voice_file("webm", 1.5), filename="voice.webm")
    assert status == 201
    assert medium["duration_ms"] == pytest.approx(1_500, abs=50)
    assert set(medium) == {"media_id", "kind", "mime", "bytes", "duration_ms"}
    for rendition, mime, codec in (("m4a", "audio/mp4", "aac"), ("opus", "audio/ogg", "opus")):
        _, link = await _link(client, medium["media_id"], rendition=rendition)
        answer = await client.get(link["url"], headers=_as())
        name, duration_ms = played_ms(await answer.read())
        assert (answer.content_type, name.removeprefix("lib")) == (mime, codec)
        assert duration_ms == pytest.approx(1_500, abs=50)


async def test_a_bad_file_is_refused_by_its_name_and_leaves_nothing(client: Client, database: Database) -> None:
    for data, status, code in (
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "media.unsupported"),
        (b"%PDF-1.7 ...", 415, "media.unsupported"),
        (b"GIF89a" + bytes(100), 415, "media.unsupported"),
        (image_file("jpeg") + b"<script>alert(1)</script>", 415, "media.unsupported"),
        (image_file("jpeg")[:200], 422, "media.damaged"),
        (b"", 422, "media.damaged"),
        (voice_file("wav", 0.5), 422, "media.duration_refused"),
    ):
        answer = await _upload(client, data)
        assert (answer[0], answer[1]["code"]) == (status, code)
    assert await _nothing_stored(database)


async def test_a_file_may_have_twenty_megabytes_and_not_one_byte_more(client: Client, database: Database) -> None:
    limit = 20 * 1024 * 1024
    for size in (limit + 1, limit + 1024 * 1024):
        status, problem = await _upload(client, image_file() + bytes(size - len(image_file())))
        assert (status, problem["code"]) == (413, "media.too_large")
        assert await _nothing_stored(database)
    assert (await _upload(client, image_file() + bytes(limit - len(image_file()))))[0] == 201


async def test_a_form_of_another_shape_is_invalid(client: Client, database: Database) -> None:
    twice = _form(image_file())
    twice.add_field("file", image_file(), filename="y.jpg")
    extra = _form(image_file())
    extra.add_field("note", "hello")
    forms: list[Any] = [
        _form(image_file(), purpose=None),
        _form(image_file(), purpose="avatar"),
        _form(image_file(), purpose="m" * 1_000),
        _form(image_file(), name="picture"),
        twice,
        extra,
        {"purpose": "message"},
        b"",
    ]
    for form in forms:
        answer = await client.post("/api/v1/media", data=form, headers=_as())
        assert (answer.status, (await answer.json())["code"]) == (422, "request.invalid")
    assert await _nothing_stored(database)


BROKEN_BODIES = (
    ("application/json", b"{}"),
    ("multipart/form-data", b"--x--"),
    ("multipart/mixed; boundary=x", b"--x--"),
    ("multipart/form-data; boundary=" + "x" * 100, b"--x--"),
    ("multipart/form-data; boundary=x", b""),
    ("multipart/form-data; boundary=x", b"--x--"),
    ("multipart/form-data; boundary=x", b"--y\r\n\r\n--y--"),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nno end'),
    ("multipart/form-data; boundary=x", b"--x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n--x--"),
    ("multipart/form-data; boundary=x", b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--"),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n\xff\xfe\r\n--x--'),
    ("multipart/form-data; boundary=x", b"--x\r\n\xff\xfe\x00: \x00\r\n\r\n\r\n--x--"),
)


async def test_a_broken_body_is_invalid(client: Client, database: Database) -> None:
    for content_type, body in BROKEN_BODIES:
        answer = await client.post("/api/v1/media", data=body, headers=_as(**{"Content-Type": content_type}))
        assert (answer.status, (await answer.json())["code"]) == (422, "request.invalid"), content_type
    assert await _nothing_stored(database)


async def test_an_upload_that_breaks_off_leaves_nothing(client: Client, database: Database) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + image_file()[:300]
        raise ConnectionResetError

    with pytest.raises((ClientError, ConnectionResetError)):
        await client.post("/api/v1/media", data=half(), headers=_as(**{"Content-Type": "multipart/form-data; boundary=x"}))
    assert (await _upload(client, image_file()))[0] == 201
    assert await database["media"].count_documents({}) == 1
    assert await database["media_uploads"].count_documents({}) == 0


async def test_an_upload_repeated_under_its_key_is_one_medium(client: Client, database: Database) -> None:
    async def send(data: bytes, account: str = "patient:a") -> tuple[int, str]:
        headers = _as(account, **{"Idempotency-Key": "k1"})
        answer = await client.post("/api/v1/media", data=_form(data), headers=headers)
        body = await answer.json()
        return answer.status, body.get("media_id") or body["code"]

    first = await send(image_file())
    assert await asyncio.gather(*(send(image_file()) for _ in range(3))) == [first] * 3
    assert await send(image_file(size=(65, 48))) == (409, "idempotency.mismatch")
    status, other = await send(image_file(), "patient:b")
    assert (status, other != first[1]) == (201, True)
    assert await database["media"].count_documents({}) == 2


async def test_nobody_else_fetches_and_nobody_without_a_session(client: Client) -> None:
    _, medium = await _upload(client, image_file())
    _, link = await _link(client, medium["media_id"])
    expected = {
        None: (401, "auth.required"),
        "Bearer patient:b": (403, "media.link_refused"),
        "Bearer doctor:d": (403, "media.link_refused"),
        "Bearer nonsense": (401, "auth.required"),
    }
    for authorization, answered in expected.items():
        answer = await client.get(link["url"], headers={"Authorization": authorization} if authorization else {})
        assert (answer.status, (await answer.json())["code"]) == answered
    for media_id in (medium["media_id"], "0" * 32, "nonsense", "..%2f"):
        status, problem = await _link(client, media_id, "patient:b")
        assert (status, problem["code"]) == (404, "media.not_found")
    anonymous = await client.post(f"/api/v1/media/{medium['media_id']}/links", json={})
    assert anonymous.status == 401


async def test_the_cookie_for_media_fetches_for_its_account_and_makes_no_links(client: Client) -> None:
    _, medium = await _upload(client, image_file())
    _, link = await _link(client, medium["media_id"])
    for value, status in (("cookie:patient:a", 200), ("cookie:patient:b", 403), ("nonsense", 401)):
        answer = await client.get(link["url"], headers={"Cookie": f"{MEDIA_COOKIE}={value}"})
        assert answer.status == status
    cookie = {"Cookie": f"{MEDIA_COOKIE}=cookie:patient:a"}
    assert (await client.post(f"/api/v1/media/{medium['media_id']}/links", json={}, headers=cookie)).status == 401
    assert (await client.post("/api/v1/media", data=_form(image_file()), headers=cookie)).status == 401


async def test_a_link_that_is_over_or_bare_is_refused(client: Client, clock: ManualClock) -> None:
    _, medium = await _upload(client, image_file())
    _, link = await _link(client, medium["media_id"])
    bare = link["url"].partition("?")[0]
    for url in (bare, bare + "?rendition=original", bare + "?rendition=original&token=AAAA", link["url"][:-4]):
        assert (await client.get(url, headers=_as())).status == 403
    clock.advance(timedelta(seconds=60))
    answer = await client.get(link["url"], headers=_as())
    assert (answer.status, (await answer.json())["code"]) == (403, "media.link_refused")


async def test_what_its_owner_shows_no_more_is_missing_at_the_next_fetch(client: Client, service: MediaService) -> None:
    _, medium = await _upload(client, image_file())
    actor = Actor("a", Role.PATIENT, PLATFORM, "r")
    await service.claim_for_conversation(actor, "default", "c" * 32, {medium["media_id"]: "image"})
    status, link = await _link(client, medium["media_id"], "doctor:d")
    assert status == 200
    assert (await client.get(link["url"], headers=_as("doctor:d"))).status == 200
    Owners.shows = False
    try:
        answer = await client.get(link["url"], headers=_as("doctor:d"))
        assert (answer.status, (await answer.json())["code"]) == (404, "media.not_found")
        assert (await _link(client, medium["media_id"], "doctor:d"))[0] == 404
    finally:
        Owners.shows = True


async def test_the_product_itself_reads_what_an_owner_has_and_nothing_else(client: Client, service: MediaService) -> None:
    _, medium = await _upload(client, image_file())
    media_id, order, other = medium["media_id"], "a" * 32, "b" * 32
    assert await service.read_attached("default", "order", order, media_id, most_bytes=10**9) is None
    await service.claim_for_order(Actor("a", Role.PATIENT, PLATFORM, "r"), "default", order, [media_id])
    found = await service.read_attached("default", "order", order, media_id, most_bytes=10**9)
    assert found is not None
    assert (found[0], found[1][:2]) == ("image/jpeg", b"\xff\xd8")
    for hospital, kind, owner, most in (
        ("default", "order", other, 10**9),
        ("default", "conversation", order, 10**9),
        ("another", "order", order, 10**9),
        ("default", "order", order, len(found[1]) - 1),
    ):
        assert await service.read_attached(hospital, kind, owner, media_id, most_bytes=most) is None


async def test_parts_of_a_content_are_fetched_by_range(client: Client) -> None:
    _, medium = await _upload(client, voice_file("wav", 2.0))
    _, link = await _link(client, medium["media_id"])
    whole = await (await client.get(link["url"], headers=_as())).read()
    size = len(whole)
    for wanted, start, stop in (
        ("bytes=0-1", 0, 2),
        ("bytes=100-", 100, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=5-{size + 100}", 5, size),
    ):
        answer = await client.get(link["url"], headers=_as(Range=wanted))
        assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes {start}-{stop - 1}/{size}")
        assert await answer.read() == whole[start:stop]
    beyond = await client.get(link["url"], headers=_as(Range=f"bytes={size}-"))
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert (await beyond.json())["code"] == "media.range_refused"
    etag = beyond.headers["ETag"]
    for condition, status in ((etag, 206), ('"other"', 200)):
        answer = await client.get(link["url"], headers=_as(Range="bytes=0-1", **{"If-Range": condition}))
        assert answer.status == status
    for odd in ("bytes=3-2", "bytes=0-1,3-4", "lines=1-2"):
        answer = await client.get(link["url"], headers=_as(Range=odd))
        assert (answer.status, await answer.read()) == (200, whole)


async def test_head_tells_what_get_would_send_and_sends_nothing(client: Client) -> None:
    _, medium = await _upload(client, image_file())
    _, link = await _link(client, medium["media_id"])
    answer = await client.head(link["url"], headers=_as())
    assert (answer.status, answer.headers["Content-Length"], answer.content_type) == (200, str(medium["bytes"]), "image/jpeg")
    assert await answer.read() == b""
    assert (await client.head(link["url"])).status == 401


async def test_a_link_for_what_a_medium_is_not_is_invalid(client: Client) -> None:
    _, medium = await _upload(client, image_file())
    for body in ({"rendition": "opus"}, {"rendition": "raw"}, {"rendition": 1}, {"other": "x"}):
        answer = await client.post(f"/api/v1/media/{medium['media_id']}/links", json=body, headers=_as())
        assert (answer.status, (await answer.json())["code"]) == (422, "request.invalid")
    answer = await client.post(f"/api/v1/media/{medium['media_id']}/links", headers=_as())
    assert answer.status == 200


async def test_looks_and_refused_looks_are_audited(client: Client, database: Database) -> None:
    _, medium = await _upload(client, image_file())
    await _link(client, medium["media_id"])
    await _link(client, medium["media_id"], "patient:b")
    rows = database[AUDIT].find({"subject": medium["media_id"], "action": "media.viewed"}).sort("_id", 1)
    assert sorted([(r["account_id"], r["outcome"]) async for r in rows]) == [("a", "ok"), ("b", "denied")]


def _noise() -> bytes:
    """A picture that does not get smaller."""
    out = io.BytesIO()
    Image.frombytes("RGB", (900, 900), random.Random(7).randbytes(900 * 900 * 3)).save(out, "PNG")
    return out.getvalue()


async def test_a_large_content_leaves_in_pieces_of_which_one_at_a_time_is_in_memory(client: Client) -> None:
    _, medium = await _upload(client, _noise(), filename="noise.png")
    _, link = await _link(client, medium["media_id"])
    Counting.sizes.clear()
    whole = await client.get(link["url"], headers=_as())
    data = await whole.read()
    assert (whole.status, len(data), whole.content_length) == (200, medium["bytes"], medium["bytes"])
    assert opened(data).size == (900, 900)
    assert (max(Counting.sizes), sum(Counting.sizes)) == (512 * 1024, medium["bytes"])
    part = await client.get(link["url"], headers=_as(Range="bytes=100-1500000"))
    assert (part.status, await part.read()) == (206, data[100:1_500_001])
    assert part.headers["Content-Range"] == f"bytes 100-1500000/{medium['bytes']}"


async def test_a_client_that_takes_nothing_of_what_it_asked_for_is_cut_off(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_http, "_STALLED_SECONDS", 0.3)
    _, medium = await _upload(client, _noise(), filename="noise.png")
    _, link = await _link(client, medium["media_id"])
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, (client.host, client.port))
        for _ in range(10):  # more than the system's own buffers hold
            head = f"GET {link['url']} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer patient:a\r\n\r\n"
            await loop.sock_sendall(slow, head.encode())
        got = 0
        await asyncio.sleep(1.0)
        with suppress(ConnectionResetError):
            while data := await asyncio.wait_for(loop.sock_recv(slow, 65_536), 10):
                got += len(data)
    assert got < 10 * medium["bytes"]
