"""What a walk through one app stands on: the running product with something going on in it, and a camera."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, BrowserContext, Page, Route

from tests.support.contract import World
from tests.support.product import Product

PHONE: Final = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
DESK: Final = {"viewport": {"width": 1440, "height": 900}}
SMALL_DESK: Final = {"viewport": {"width": 1024, "height": 768}}
SIZES: Final[dict[str, dict[str, Any]]] = {"phone": PHONE, "desk": DESK, "small": SMALL_DESK}
LANGUAGES: Final = {"zh": "zh-CN", "en": "en"}
THEMES: Final = ("light", "dark")


@dataclass(slots=True)
class Stage:
    """`scene` holds what the walks may look for: ids of orders by what they show."""

    product: Product
    world: World
    browser: Browser
    folder: Path
    scene: dict[str, Any]
    only: frozenset[str] = frozenset()
    shots: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def visit(self, size: str) -> AsyncIterator[BrowserContext]:
        """One person's browser of this size."""
        context = await self.browser.new_context(
            base_url=self.product.base_url, locale="zh-CN", timezone_id="Asia/Shanghai", **SIZES[size]
        )
        context.set_default_timeout(20_000)
        try:
            yield context
        finally:
            await context.close()

    async def shoot(self, page: Page, app: str, name: str, size: str) -> None:
        """This screen as it stands, in both languages, light and dark. The page is reloaded: what the walk opened by hand (a
        dialog, a draft) is for `snap`."""
        for language, code in LANGUAGES.items():
            for theme in THEMES:
                await look(page, code, theme)
                await page.reload()
                await settle(page)
                await self.snap(page, app, name, size, language, theme)

    async def shoot_trouble(self, page: Page, app: str, name: str, size: str, path: str) -> None:
        """This screen while nothing comes, and when it could not be had."""
        for kind in ("loading", "error"):
            async with trouble(page, kind):
                for theme in THEMES:
                    await look(page, LANGUAGES["zh"], theme)
                    await page.goto(path)
                    await asyncio.sleep(4 if kind == "error" else 1.5)  # what is tried again fails again
                    await self.snap(page, app, f"{name}-{kind}", size, "zh", theme)

    async def snap(self, page: Page, app: str, name: str, size: str, language: str = "zh", theme: str = "light") -> None:
        """One picture of what is there now."""
        file = f"{app}-{name}-{size}-{language}-{theme}.png"
        await page.screenshot(path=self.folder / file)
        self.shots.append(file)


@asynccontextmanager
async def trouble(page: Page, kind: str) -> AsyncIterator[None]:
    """While this lasts, what the app asks for never comes (`loading`), or fails (`error`); who is signed in stays signed in."""

    async def answer(route: Route) -> None:
        url = route.request.url
        if "/auth/" in url or url.endswith(("/me", "/admin/me")):
            await route.continue_()
        elif kind == "error":
            body = '{"code": "service.unavailable", "kind": "unavailable", "title": "", "fields": {}}'
            await route.fulfill(status=503, content_type="application/problem+json", body=body)

    await page.route("**/api/**", answer)
    try:
        yield
    finally:
        await page.unroute_all(behavior="ignoreErrors")


async def look(page: Page, language: str, theme: str) -> None:
    """As the settings would: the apps remember both in this browser."""
    script = "([l, t]) => { localStorage.setItem('yz.language', l); localStorage.setItem('yz.theme', t); }"
    await page.evaluate(script, [language, theme])


async def settle(page: Page) -> None:
    """Until nothing loads and nothing moves."""
    await page.wait_for_load_state("networkidle")
    await page.evaluate("() => document.fonts.ready")
    await page.wait_for_function("() => !document.querySelector('.yz-state[role=status], .ant-spin-spinning, .p-skeleton')")
    await asyncio.sleep(0.25)
