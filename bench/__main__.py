"""`python -m bench [NAME] [OPTIONS]`: run one of the measurements, `messages` where none is named. `--list` names them.

Each is a module of this package that can be run by itself, and says there what it measures and what it takes.
"""

import ast
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

DEFAULT = "messages"
_FOLDER = Path(__file__).parent
_RUNS = 'if __name__ == "__main__":'
_PARTS = frozenset({"relay", "__main__"})
"""Can be run too, but measure nothing."""


def benches() -> dict[str, str]:
    """What can be measured: the name, and the first line of what it says of itself."""
    found = {}
    for path in sorted(_FOLDER.glob("*.py")):
        text = path.read_text()
        if path.stem not in _PARTS and _RUNS in text:
            found[path.stem] = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return found


def chosen(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Which bench is meant, and its own options."""
    if arguments and arguments[0] in benches():
        return arguments[0], list(arguments[1:])
    return DEFAULT, list(arguments)


def main() -> None:
    if sys.argv[1:] == ["--list"]:
        for name, about in benches().items():
            print(f"{name:<12}{about}")
        return
    name, options = chosen(sys.argv[1:])
    sys.argv = [f"bench.{name}", *options]
    runpy.run_module(f"bench.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
