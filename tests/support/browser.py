"""A real browser for the tests of the apps: Debian's Chromium, driven by Playwright. Nothing is downloaded for it."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import manimgx_fonts_cjk
from playwright.async_api import Browser, BrowserContext, Playwright, async_playwright

from tests.support.product import Product

HOW_TO_GET_IT: Final = "no Chromium: install Debian's with `apt-get install -y chromium`, or name another in YZ_CHROMIUM"
BUILT: Final = Path(__file__).parents[2] / "web" / "dist"
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
_FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>{fonts}</dir>
  <cachedir>{cache}</cachedir>
</fontconfig>
"""
PATIENCE_MS: Final = 60_000
"""How long a browser may take to show what it will show: a busy machine is slow, not wrong."""

PHONE: Final = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
DESK: Final = {"viewport": {"width": 1280, "height": 800}}


def chromium() -> str | None:
    """Where it is; None where there is none."""
    named = os.environ.get("YZ_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browsers:
    """One browser after another: the same one as long as it lives."""

    def __init__(self, playwright: Playwright, fonts: Path) -> None:
        self._playwright = playwright
        self._fonts = fonts
        self._made: Browser | None = None

    async def get(self) -> Browser:
        if self._made is None or not self._made.is_connected():
            environment: dict[str, str | float | bool] = {**os.environ, "FONTCONFIG_FILE": str(self._fonts)}
            self._made = await self._playwright.chromium.launch(executable_path=chromium(), args=list(_FLAGS), env=environment)
        return self._made

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()


@asynccontextmanager
async def browsers(folder: Path) -> AsyncIterator[Browsers]:
    """Headless, with Chinese letters also where the machine has none. `folder` takes what they leave."""
    config = folder / "fonts.conf"
    config.write_text(_FONTS.format(fonts=Path(manimgx_fonts_cjk.__file__).parent, cache=folder / "fonts-cache"))
    async with async_playwright() as playwright:
        made = Browsers(playwright, config)
        try:
            yield made
        finally:
            await made.close()


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Browser]:
    """One of them."""
    async with browsers(folder) as made:
        yield await made.get()


@asynccontextmanager
async def visit(made: Browser, product: Product, trace: Path, **options: Any) -> AsyncIterator[BrowserContext]:
    """One person's browser, at the product. What happened is kept as a trace, to open in Playwright's viewer, when it fails."""
    context = await made.new_context(base_url=product.base_url, **{"locale": "zh-CN", **PHONE, **options})
    context.set_default_timeout(PATIENCE_MS)
    await context.tracing.start(snapshots=True)
    try:
        yield context
    except BaseException:
        trace.parent.mkdir(parents=True, exist_ok=True)
        await context.tracing.stop(path=trace)
        raise
    else:
        await context.tracing.stop()
    finally:
        await context.close()


async def sms_code(product: Product, phone: str) -> str:
    """The latest code that this phone was sent."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{product.simulators_url}/sms/messages", params={"phone": phone}) as answer,
    ):
        messages = await answer.json()
    code: str = messages[0]["params"]["code"]
    return code
