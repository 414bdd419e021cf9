"""What axe finds wrong with a page."""

from pathlib import Path
from typing import Final

from playwright.async_api import Page

AXE: Final = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
# A colour that is still on its way to another is nobody's fault: what moves is let begin, and what ends by itself, end.
_RUN: Final = """async (rules) => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  await frame();
  await frame();
  const lasting = (each) => each.effect?.getComputedTiming().endTime !== Infinity;
  await Promise.allSettled(document.getAnimations().filter(lasting).map((each) => each.finished));
  const options = { resultTypes: ["violations"], ...(rules.length && { runOnly: rules }) };
  const at = (node) => `${node.target.join(" ")} ${node.html}`;
  return (await axe.run(document, options)).violations
    .filter((found) => ["serious", "critical"].includes(found.impact))
    .map((found) => `${found.id}: ${found.nodes.slice(0, 3).map(at).join(", ")}`);
}"""


async def serious_findings(page: Page, rules: tuple[str, ...] = ()) -> list[str]:
    """
    Each finding of level serious or worse, with where it is; by these rules alone where some are named. `web/node_modules`
    must be there, as every build leaves it.
    """
    # Through the debugger: the page's own policy lets no script in from elsewhere.
    if not await page.evaluate("() => 'axe' in window"):
        await page.evaluate(AXE.read_text())
    found: list[str] = await page.evaluate(_RUN, list(rules))
    return found
