"""The built apps as a browser is given them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from server.app.edge import outermost
from server.app.pages import Pages

Http = TestClient[web.Request, web.Application]


async def _serve(folder: Path) -> Http:
    app = web.Application(middlewares=[outermost])
    Pages(folder, "https://hospital.example").add(app)
    return TestClient(TestServer(app), auto_decompress=False)


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[Http]:
    for name, content in {
        "chooser/index.html": "choose",
        "patient/index.html": "patient page",
        "patient/assets/main-1a2b.js": "run()",
        "patient/assets/main-1a2b.js.br": "packed",
        "patient/sw.js": "worker",
        "console/index.html": '<meta content="__CSP_NONCE__">',
        "secret.txt": "not of any app",
    }.items():
        (tmp_path / "dist" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "dist" / name).write_text(content)
    (tmp_path / "outside.txt").write_text("outside")
    async with await _serve(tmp_path / "dist") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "body", "media_type", "keep"),
    [
        ("/", b"choose", "text/html", "no-cache"),
        ("/patient/", b"patient page", "text/html", "no-cache"),
        ("/patient/index.html", b"patient page", "text/html", "no-cache"),
        ("/patient/orders/17", b"patient page", "text/html", "no-cache"),
        ("/patient/sw.js", b"worker", "text/javascript", "no-cache"),
        ("/patient/assets/main-1a2b.js", b"run()", "text/javascript", "public, max-age=31536000, immutable"),
    ],
)
async def test_an_address_gives_its_file_or_the_page_of_its_app(
    http: Http, path: str, body: bytes, media_type: str, keep: str
) -> None:
    async with http.get(path, headers={"Accept-Encoding": "identity"}) as answer:
        assert (answer.status, await answer.read()) == (200, body)
        assert (answer.content_type, answer.headers["Cache-Control"]) == (media_type, keep)


async def test_a_service_worker_may_ask_this_server_alone(http: Http) -> None:
    async with http.get("/patient/sw.js") as worker, http.get("/patient/assets/main-1a2b.js") as script:
        assert worker.headers["Content-Security-Policy"] == "default-src 'none'; connect-src 'self'"
        assert script.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_what_the_build_packed_is_sent_packed_to_who_can_unpack_it(http: Http) -> None:
    async with http.get("/patient/assets/main-1a2b.js", headers={"Accept-Encoding": "gzip, br"}) as answer:
        assert (answer.headers["Content-Encoding"], await answer.read()) == ("br", b"packed")
        assert answer.headers["Vary"] == "Accept-Encoding"


async def test_a_page_may_run_only_our_files_and_be_framed_by_nobody(http: Http) -> None:
    async with http.get("/patient/") as answer:
        assert answer.headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
            "font-src 'self' data:; connect-src 'self' wss://hospital.example; manifest-src 'self'; worker-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        assert answer.headers["Permissions-Policy"].startswith("microphone=(self), camera=()")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_page_that_makes_style_elements_is_given_another_nonce_each_time(http: Http) -> None:
    nonces = []
    for _ in range(2):
        async with http.get("/console/") as answer:
            [nonce] = re.findall(r"style-src 'self' 'nonce-([\w-]{22})';", answer.headers["Content-Security-Policy"])
            assert await answer.text() == f'<meta content="{nonce}">'
            nonces.append(nonce)
    assert nonces[0] != nonces[1]


@pytest.mark.parametrize(
    "path", ["/patient/assets/old-9f.js", "/patient/assets/%2e%2e/%2e%2e/%2e%2e/outside.txt", "/secret.txt", "/other/"]
)
async def test_nothing_else_is_there(http: Http, path: str) -> None:
    async with http.get(path) as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "request.not_found")


async def test_names_that_lead_out_of_the_build_or_to_packed_files_give_the_page(http: Http) -> None:
    for path in ("/patient/%2e%2e/secret.txt", "/patient/%2e%2e/%2e%2e/outside.txt", "/patient/x%00y", "/patient/sw.js.br"):
        async with http.get(path) as answer:
            assert await answer.text() != "outside"
            assert answer.content_type in ("text/html", "application/problem+json")


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 2_500])
async def test_a_name_that_no_file_system_takes_is_a_place_inside_the_app(http: Http, name: str) -> None:
    async with http.get(f"/patient/{name}") as answer:
        assert (answer.status, await answer.read()) == (200, b"patient page")


async def test_an_app_without_its_slash_leads_to_it(http: Http) -> None:
    async with http.get("/doctor", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (308, "/doctor/")


async def test_where_nothing_is_built_one_page_says_how(tmp_path: Path) -> None:
    async with await _serve(tmp_path) as client, client.get("/patient/") as answer:
        assert answer.status == 503
        assert "make web" in await answer.text()
