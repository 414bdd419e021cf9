"""What comes before any route, as bytes on a connection."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from server.app import doorway
from server.app.doorway import DoorwayRunner
from server.app.edge import outermost
from server.app.processes import free_port

SECRET = "13800000001"


async def _echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def _fail(_: web.Request) -> web.Response:
    raise RuntimeError(SECRET)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = web.Application(middlewares=[outermost])
    app.router.add_post("/echo", _echo)
    app.router.add_get("/fail", _fail)
    runner = DoorwayRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield port
    await runner.cleanup()


async def _say(port: int, data: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Status line, headers and body of the answer to these bytes; all empty where there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return first, dict(line.decode().lower().split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    "data",
    [
        f"GET /echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\0{SECRET}\r\n\r\n",
        f"GET /echo HTTP/1.1\r\nHost: x\r\nbad {SECRET}: 1\r\n\r\n",
        f"GET /{SECRET * 1000} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET http://[{SECRET}/ HTTP/1.1\r\nHost: x\r\n\r\n",
        f"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {SECRET}x\r\n\r\n",
        f"{SECRET} / HTTP/1.1\r\n\r\n",
    ],
)
async def test_bytes_that_are_no_request_are_a_problem_that_repeats_nothing_of_them(
    port: int, data: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    status, headers, body = await _say(port, data.encode())
    assert status.split()[1:2] == [b"400"]
    problem = json.loads(body)
    assert (problem["code"], problem["status"], problem["fields"]) == ("request.invalid", 400, {})
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    assert SECRET not in body.decode() + caplog.text + "".join(capfd.readouterr())


async def test_a_fault_outside_all_routes_is_told_by_its_type_alone(
    port: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    status, _, body = await _say(port, b"GET /fail HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n")
    assert status.split()[1:2] == [b"500"]
    assert json.loads(body)["code"] == "service.internal"
    said = caplog.text + "".join(capfd.readouterr())
    assert "RuntimeError" in said
    assert SECRET not in body.decode() + said


async def test_an_expectation_that_is_not_known_is_a_problem(port: int) -> None:
    status, _, body = await _say(
        port, f"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: {SECRET}\r\nContent-Length: 0\r\n\r\n".encode()
    )
    assert status.split()[1:2] == [b"422"]
    assert SECRET.encode() not in body


async def test_bodies_are_taken_as_they_are_sent_so_that_none_grows_by_unpacking(port: int) -> None:
    packed = gzip.compress(b"0" * 1_000_000)
    head = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: gzip\r\n"
    head += f"Content-Length: {len(packed)}\r\n\r\n"
    _, _, body = await _say(port, head.encode() + packed)
    assert body == packed


@pytest.mark.parametrize("data", [b"", b"GET /echo HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_connection_that_asks_for_nothing_is_closed_soon(
    port: int, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorway, "FIRST_REQUEST_SECONDS", 0.2)
    async with asyncio.timeout(5):
        assert await _say(port, data) == (b"", {}, b"")
