"""How quick the patient's app is: the first screen on a slow line and a slow phone, and scrolling through a long conversation.

    python -m tests.web.screens.speed [--messages 2000]

JSON out. Times are of this machine as it is: give it nothing else to do. `cpu` counts the page's own work alone.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, CDPSession, Page, expect

from tests.support.browser import PHONE, browser
from tests.support.contract import Pair, new_phone, text, world_of
from tests.support.patient_app import sign_in
from tests.support.product import Product, start_product

expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong
SLOW_4G: Final = {"offline": False, "latency": 150, "downloadThroughput": 1_600_000 / 8, "uploadThroughput": 750_000 / 8}
SLOWER_CPU: Final = 4
_ROUNDS: Final = 4
_SWIPES: Final = 12
_SWIPE_PX: Final = 2_400
_SPEED: Final = 2_400
_WORDS: Final = (
    "昨晚又咳了，白天好一些。",
    "体温三十七度八，吃了退烧药以后出汗，睡得还可以，早上起来嗓子还是疼，吞口水的时候明显，没有鼻塞流涕。",
    "好的，谢谢医生。",
    "药盒上写一天三次，一次一片，饭后吃。请问可以和降压药一起吃吗？我在吃氨氯地平，早上一片，吃了两年了，血压一般 130/80。",
)
_INTERACTIVE: Final = """() => {
  window.longTasks = [];
  new PerformanceObserver((list) => list.getEntries().forEach((e) => longTasks.push([e.startTime, e.duration])))
    .observe({ type: "longtask", buffered: true });
  const look = () => {
    const field = document.querySelector(".yz-login input:not([disabled])");
    if (field && !window.usable) window.usable = performance.now();
    if (!window.usable) requestAnimationFrame(look);
  };
  look();
}"""


async def main(messages: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="yz-speed-") as folder:
        most = str(messages * 2)
        product = await start_product(Path(folder) / "var", YZ_PATIENT_BURST=most, YZ_CONVERSATION_MAX=most)
        try:
            async with browser(Path(folder)) as made:
                first = [await first_screen(made, product) for _ in range(_ROUNDS)]
                scrolling = await long_conversation(made, product, messages)
        finally:
            await product.stop()
    return {"first_screen": min(first, key=lambda one: one["interactive_ms"]) | {"rounds": _ROUNDS}, "scrolling": scrolling}


async def first_screen(made: Browser, product: Product) -> dict[str, float]:
    """A phone that was never here, four times slower than this machine, over slow 4G: until one can type."""
    context = await made.new_context(base_url=product.base_url, locale="zh-CN", **PHONE)
    page = await context.new_page()
    devtools = await _devtools(page)
    await devtools.send("Network.enable")
    await devtools.send("Network.emulateNetworkConditions", SLOW_4G)
    await devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER_CPU})
    await devtools.send("Performance.enable")
    await page.add_init_script(f"({_INTERACTIVE})()")
    await page.goto("/patient/")
    await page.wait_for_function("() => window.usable")
    await page.wait_for_load_state("networkidle")
    seen: dict[str, Any] = await page.evaluate(
        """() => ({
          painted: performance.getEntriesByName("first-contentful-paint")[0].startTime, usable: window.usable,
          busy: Math.max(0, ...longTasks.filter(([at]) => at < window.usable).map(([at, ms]) => at + ms)),
          bytes: performance.getEntriesByType("resource").reduce((sum, e) => sum + e.transferSize, 0),
        })"""
    )
    metrics = {each["name"]: each["value"] for each in (await devtools.send("Performance.getMetrics"))["metrics"]}
    await context.close()
    return {
        "first_paint_ms": round(seen["painted"]),
        "interactive_ms": round(max(seen["usable"], seen["busy"])),
        "cpu_ms": round(metrics["TaskDuration"] * 1_000),
        "bytes": seen["bytes"],
    }


async def long_conversation(made: Browser, product: Product, messages: int) -> dict[str, Any]:
    """All of its history is here; swipe up and down through it, at this machine's own speed: a processor that is
    slowed by the clock counts others' work as the page's."""
    phone = new_phone()
    async with world_of(product) as world:
        doctor, doctor_id, _ = await world.new_doctor(name="陆远舟")
        patient = await world.patient(phone)
        pair = Pair(world, patient, (await world.new_patient(patient))["id"], doctor, doctor_id)
        order = await pair.paid()
        for number in range(messages):
            body = {"client_id": uuid.uuid4().hex, "parts": [text(f"{number}：{_WORDS[number % len(_WORDS)]}")]}
            await patient.post(f"/conversations/{order['conversation_id']}/messages", body, 201)
    context = await made.new_context(base_url=product.base_url, locale="zh-CN", **PHONE)
    page = await context.new_page()
    await sign_in(page, product, phone)
    await page.goto(f"/patient/orders/{order['id']}/chat?seq=2")
    await page.locator("[data-found=true]").wait_for(timeout=180_000)
    found = await _swiped(page, await _devtools(page))
    rows = await page.locator(".yz-chat__row").count()
    await context.close()
    return {"messages": messages, "rows_in_page": rows, **found}


async def _swiped(page: Page, devtools: CDPSession) -> dict[str, Any]:
    events: list[dict[str, Any]] = []
    over = asyncio.Event()
    devtools.on("Tracing.dataCollected", lambda part: events.extend(part["value"]))
    devtools.on("Tracing.tracingComplete", lambda _: over.set())
    categories = "devtools.timeline,disabled-by-default-devtools.timeline.frame,devtools.timeline.frame,toplevel,__metadata"
    await devtools.send(
        "Tracing.start", {"transferMode": "ReportEvents", "traceConfig": {"includedCategories": categories.split(",")}}
    )
    for number in range(_SWIPES):
        down = -1 if number < _SWIPES // 2 else 1  # first towards the end, then back
        swipe = {"x": 195, "y": 420, "yDistance": down * _SWIPE_PX, "speed": _SPEED, "gestureSourceType": "touch"}
        await devtools.send("Input.synthesizeScrollGesture", swipe)
    await devtools.send("Tracing.end")
    await over.wait()
    return frames(events)


def frames(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Intervals between frames that were drawn while the page moved, and the page's own work in each, ms."""
    drawn = sorted(each["ts"] for each in events if each["name"] == "DrawFrame")
    intervals = sorted((b - a) / 1_000 for a, b in pairwise(drawn) if (b - a) < 1_000_000)
    mains = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"}
    begun = sorted(e["ts"] for e in events if e["name"] == "BeginMainThreadFrame")
    tasks = sorted(
        (e["ts"], e.get("tdur", e.get("dur", 0)) / 1_000)
        for e in events
        if e["name"] in ("RunTask", "ThreadControllerImpl::RunTask") and (e["pid"], e["tid"]) in mains
    )
    work = sorted(sum(ms for ts, ms in tasks if a <= ts < b) for a, b in pairwise(begun))
    longest = max((ms for _, ms in tasks), default=0.0)
    return {
        "frames": len(drawn),
        "interval_ms": _spread(intervals),
        "cpu_per_frame_ms": _spread(work),
        "longest_task_cpu_ms": round(longest, 1),
    }


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {
        name: round(values[min(len(values) - 1, int(len(values) * share))], 1)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


async def _devtools(page: Page) -> CDPSession:
    return await page.context.new_cdp_session(page)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=2_000)
    json.dump(asyncio.run(main(parser.parse_args().messages)), sys.stdout, indent=2)
    print()
