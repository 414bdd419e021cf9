"""Everything is declared in setup.cfg; here only: a wheel carries the built apps, where `make web` has built them."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_DIST = Path(__file__).parent / "web" / "dist"


class _WithApps(build_py):
    def run(self) -> None:
        super().run()
        if _DIST.is_dir() and not self.editable_mode:
            shutil.copytree(_DIST, Path(self.build_lib) / "server" / "app" / "built", dirs_exist_ok=True)


setup(cmdclass={"build_py": _WithApps})
