"""The direction of imports is a failing test: the contracts of setup.cfg hold, cover every package, and bite."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NOT_THE_PRODUCT = {"tests", "bench", "examples"}

_PLANTED = {
    "consult/planted.py": "import server.app.settings",
    "billing/planted.py": "import consult.rules",
    "im/planted.py": "import accounts.errors",
    "server/kernel/planted.py": "import media",
    "admin_console/planted.py": "import simulators.config",
    "simulators/planted.py": "import billing",
    "accounts/service/planted.py": "import pymongo",
    "accounts/domain/planted.py": "import redis.asyncio",
    "accounts/http/planted.py": "import accounts.mongo",
}


def _packages() -> list[str]:
    return sorted(p.parent.name for p in ROOT.glob("*/__init__.py") if p.parent.name not in _NOT_THE_PRODUCT)


def _config() -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def _lint(folder: Path) -> tuple[int, str]:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [str(lint), "--config", "setup.cfg", "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout + result.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources to plant bad imports in."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in _packages():
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", folder)
    return folder


def test_imports_keep_the_contracts() -> None:
    code, output = _lint(ROOT)
    assert code == 0, output


@pytest.mark.parametrize("path", sorted(_PLANTED))
def test_a_planted_bad_import_is_seen(checkout: Path, path: str) -> None:
    planted = checkout / path
    original = planted.read_text() if planted.exists() else None
    planted.write_text(f"{_PLANTED[path]}\n")
    try:
        code, output = _lint(checkout)
    finally:
        planted.unlink()
        if original is not None:
            planted.write_text(original)
    assert code == 1, output
    module = path.removesuffix(".py").replace("/", ".")
    assert f"{module} -> {_PLANTED[path].removeprefix('import ').split('.')[0]}" in output


def test_no_package_is_missing_from_the_contracts() -> None:
    config = _config()
    packages = set(_packages())
    roots = set(config["importlinter"]["root_packages"].split())
    layered = set(config["importlinter:contract:layers"]["layers"].replace("|", " ").split())
    assert roots == packages
    assert {name.split(".")[0] for name in layered} | {"simulators"} == packages
    assert {"server.app", "server.kernel"} <= layered
    inside = set(config["importlinter:contract:inside"]["source_modules"].split())
    assert {name.split(".")[0] for name in inside} | {"simulators"} == packages


def test_the_server_has_no_rooms_but_the_root_and_the_kernel() -> None:
    assert sorted(p.parent.name for p in ROOT.glob("server/*/__init__.py")) == ["app", "kernel"]


def test_every_package_is_installed_and_type_checked() -> None:
    config = _config()
    assert set(config["mypy"]["packages"].split(",")) == set(_packages())
    assert set(config["options.packages.find"]["include"].split()) == {f"{name}*" for name in _packages()}


_DRAWING = frozenset({"numpy", "PIL", "cv2", "av", "skia", "reedsolo"})
_EDGE = frozenset({"aiohttp", "socketio", "redis", "celery", "requests"})


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("server.app.prepare", _DRAWING | _EDGE),
        ("server.app.serve", _DRAWING | {"celery"}),
        ("server.app.background", _DRAWING | {"socketio", "engineio", "celery", "requests"}),
        ("server.app.outside", _DRAWING | {"pymongo", "redis"}),
        ("server.app.supervisor", _DRAWING | _EDGE | {"pymongo"}),
    ],
)
def test_a_process_starts_without_what_it_needs_later_or_never(module: str, unwanted: frozenset[str]) -> None:
    """What all wait for, and what is there many times, must be there soon."""
    ask = f"import sys, {module}; print(*sorted({set(unwanted)!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
