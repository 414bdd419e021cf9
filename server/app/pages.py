"""The built apps, served: `/` chooses, `/patient/`, `/doctor/` and `/console/` are one page app each.

Files under `assets/` carry a hash of their content in their name and never change; everything else is asked for again each
time. An address below an app that is no file is a place inside the app and gets its page.
"""

import mimetypes
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

_CARRIED: Final = Path(__file__).parent / "built"
BUILT: Final = _CARRIED if _CARRIED.is_dir() else Path(__file__).parents[2] / "web" / "dist"
"""In a wheel beside this module, in a checkout where `make web` puts it."""

APPS: Final = ("patient", "doctor", "console")
NONCE: Final = b"__CSP_NONCE__"
"""In a page of ours: where the nonce of the answer goes. A page without it needs no style elements and is given no nonce."""

WORKER: Final = "sw.js"
"""An app's service worker: it keeps the app's own files, and asks nobody but this server for them."""

_WORKER_POLICY: Final = "default-src 'none'; connect-src 'self'"
_ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
_TYPES: Final = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml"}
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"
_PERMISSIONS: Final = "microphone=(self), camera=(), geolocation=(), payment=(), usb=(), display-capture=()"

_ABSENT: Final = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>云诊</title></head>
<body><h1>应用尚未构建 · The apps are not built</h1>
<p>接口照常工作。请在代码目录执行 <code>make web</code>，然后刷新本页。</p>
<p lang="en">The API works. Run <code>make web</code> in the checkout and load this page again.</p></body></html>"""


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    packed: dict[str, bytes]
    """By encoding, where the build packed it."""


class Pages:
    """Reads each file once, when it is first asked for. `public_url` names the socket's address for old browsers."""

    def __init__(self, built: Path, public_url: str) -> None:
        self._built = built
        self._socket = f"{'wss' if public_url.startswith('https://') else 'ws'}://{urlsplit(public_url).netloc}"
        self._files: dict[str, _File] = {}

    def add(self, app: web.Application) -> None:
        """Serve what is built."""
        app.router.add_get("/", self._serve_chooser)
        app.router.add_get("/favicon.svg", self._serve_chooser)
        for name in APPS:
            app.router.add_get(f"/{name}", self._to_folder)
            app.router.add_get(f"/{name}/{{path:.*}}", self._serve_app)

    async def _to_folder(self, request: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": f"{request.path}/"})

    async def _serve_chooser(self, request: web.Request) -> web.Response:
        return self._answer(request, "chooser", request.path.lstrip("/"))

    async def _serve_app(self, request: web.Request) -> web.Response:
        return self._answer(request, request.path.split("/")[1], request.match_info["path"])

    def _answer(self, request: web.Request, app: str, path: str) -> web.Response:
        file = self._find(f"{app}/{path}") if path else None
        if file is not None and not path.endswith(".html"):
            answer = self._file(request, file, _FOR_EVER if path.startswith("assets/") else _ASK_AGAIN)
            if path == WORKER:  # it lives by the policy that it came with, not by its page's
                answer.headers["Content-Security-Policy"] = _WORKER_POLICY
            return answer
        page = self._find(f"{app}/index.html")
        if page is None:
            return web.Response(status=503, text=_ABSENT, content_type="text/html", headers={"Cache-Control": _ASK_AGAIN})
        if path.startswith("assets/"):
            raise web.HTTPNotFound  # of an older build: a page in its place would be run as a script
        return self._page(request, page)

    def _page(self, request: web.Request, page: _File) -> web.Response:
        nonce = None
        if NONCE in page.content:
            nonce = secrets.token_urlsafe(16)
            page = _File(page.content.replace(NONCE, nonce.encode()), page.media_type, {})
        answer = self._file(request, page, _ASK_AGAIN)
        answer.headers["Content-Security-Policy"] = self.policy(nonce)
        answer.headers["Permissions-Policy"] = _PERMISSIONS
        answer.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return answer

    def policy(self, nonce: str | None) -> str:
        """Scripts and styles from our files alone; style elements only where the component library makes them, by nonce."""
        style = f"'self' 'nonce-{nonce}'" if nonce else "'self'"
        return "; ".join(
            (
                "default-src 'none'",
                "script-src 'self'",
                f"style-src {style}",
                "img-src 'self' blob: data:",
                "media-src 'self' blob:",
                "font-src 'self' data:",
                f"connect-src 'self' {self._socket}",
                "manifest-src 'self'",
                "worker-src 'self'",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
            )
        )

    def _file(self, request: web.Request, file: _File, keep: str) -> web.Response:
        headers = {"Cache-Control": keep, "Vary": "Accept-Encoding"}
        taken = {part.split(";")[0].strip() for part in request.headers.get("Accept-Encoding", "").lower().split(",")}
        encoding = next((name for name, _ in _ENCODINGS if name in taken and name in file.packed), None)
        if encoding is not None:
            headers["Content-Encoding"] = encoding
        content = file.packed[encoding] if encoding is not None else file.content
        charset = "utf-8" if file.media_type.startswith("text/") else None
        return web.Response(body=content, content_type=file.media_type, charset=charset, headers=headers)

    def _find(self, name: str) -> _File | None:
        """A file of the build by its name in it; None for what is none, or is not in it."""
        found = self._files.get(name)
        if found is None and (found := self._read(name)) is not None and "/assets/" in name:
            self._files[name] = found
        return found

    def _read(self, name: str) -> _File | None:
        path = self._built / name
        if "\x00" in name or path.suffix in (".br", ".gz") or not _is_file_below(self._built, path):
            return None
        media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        packed = {name: side.read_bytes() for name, end in _ENCODINGS if (side := Path(f"{path}{end}")).is_file()}
        return _File(path.read_bytes(), media_type, packed)


def _is_file_below(folder: Path, path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve()) and path.is_file()
    except OSError:  # a name that no file system takes: too long
        return False
