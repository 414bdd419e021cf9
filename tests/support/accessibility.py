"""What axe finds wrong with a page."""

from pathlib import Path
from typing import Final

from playwright.async_api import Page

AXE: Final = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
_RUN: Final = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .filter((found) => ["serious", "critical"].includes(found.impact))
  .map((found) => `${found.id}: ${found.nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ")}`)"""


async def serious_findings(page: Page) -> list[str]:
    """Each finding of level serious or worse, with where it is. `web/node_modules` must be there, as every build leaves it."""
    await page.evaluate(AXE.read_text())
    found: list[str] = await page.evaluate(_RUN)
    return found
