"""Bring the product up in a folder of its own, let something happen in it, walk every app, and lay out what was seen.

    python -m tests.web.screens [APP …] [--only SCREEN …]

A walk is a module beside this one with `APP` and `async def walk(stage)`; a new one is found by its name.
"""

import argparse
import asyncio
import importlib.util
import shutil
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Final

from tests.support.browser import BUILT, HOW_TO_GET_IT, browser, chromium
from tests.support.contract import world_of
from tests.support.product import start_product
from tests.web.screens.scene import play
from tests.web.screens.stage import Stage

WALKS: Final = ("patient", "doctor", "console")
FOLDER: Final = Path(__file__).parents[3] / "var" / "screens"
_STYLE: Final = (
    "body{font:15px system-ui;margin:2rem;background:#f4f7f7;color:#17282b}"
    "main{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr))}"
    "figure{margin:0;background:#fff;border:1px solid #d9e2e2;padding:.5rem}img{width:100%;display:block}"
    "figcaption{font-size:13px;padding-top:.25rem}"
)


async def main(apps: list[str], only: list[str]) -> int:
    if chromium() is None or not BUILT.is_dir():
        print(HOW_TO_GET_IT if chromium() is None else "the apps are not built: `make web`", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="yz-screens-") as temporary:
        product = await start_product(Path(temporary) / "var")
        try:
            async with world_of(product) as world, browser(Path(temporary)) as made:
                stage = Stage(product, world, made, FOLDER, await play(world), frozenset(only))
                for app in apps:
                    await _walk(stage, app)
        finally:
            await product.stop()
            shutil.rmtree(Path(temporary) / "var", ignore_errors=True)
    _lay_out()
    print(f"{len(stage.shots)} screens: {FOLDER / 'index.html'}")
    return 0


async def _walk(stage: Stage, app: str) -> None:
    """One app; a walk that is not written is left out."""
    name = f"tests.web.screens.{app}"
    if importlib.util.find_spec(name) is None:
        print(f"no walk through {app} yet")
        return
    await importlib.import_module(name).walk(stage)


def _lay_out() -> None:
    """The contact sheet: all pictures that are there, by app and screen."""
    figures = "".join(
        f'<figure><a href="{escape(shot.name)}"><img loading="lazy" src="{escape(shot.name)}" alt=""></a>'
        f"<figcaption>{escape(shot.stem)}</figcaption></figure>"
        for shot in sorted(FOLDER.glob("*.png"))
    )
    page = f'<!doctype html><meta charset="utf-8"><title>Screens</title><style>{_STYLE}</style><main>{figures}</main>'
    (FOLDER / "index.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("apps", nargs="*", metavar="APP", help=", ".join(WALKS))
    parser.add_argument("--only", nargs="*", default=[], help="screens by their names in the walk")
    chosen = parser.parse_args()
    sys.exit(asyncio.run(main(chosen.apps or list(WALKS), chosen.only)))
