"""Hospitals are apart: whatever the product asks of MongoDB names the hospital, or says that it crosses hospitals on purpose.

A listener hears every command of every client of this process. It keeps those that break the rule and whose nearest frame in
this repository is the product's own: tests may look at everything.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

from pymongo import monitoring

import server
from server.kernel.mongo import ALL_HOSPITALS

ROOT: Final = Path(server.__file__).parents[1]
_INSIDE: Final = f"{ROOT}/"
_NOT_THE_PRODUCT: Final = tuple(f"{ROOT / folder}/" for folder in ("tests", "bench", "examples", "simulators"))
_INSTALLED: Final = f"{ROOT}/."

EXEMPT: Final = frozenset({"media_content.files", "media_content.chunks"})
"""GridFS keeps contents under the id of a medium whose own document, which names the hospital, was read before."""

_FILTERS: Final = {"find": "filter", "count": "query", "distinct": "query", "findAndModify": "query"}
_STATEMENTS: Final = {"update": "updates", "delete": "deletes"}


class TenancyWatch(monitoring.CommandListener):
    """Keeps what broke the rule, by database."""

    def __init__(self) -> None:
        self._broken: dict[str, list[str]] = {}

    def take(self, database: str) -> list[str]:
        """What broke the rule in this database since the last time, each with its place in the product."""
        return self._broken.pop(database, [])

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        collection = event.command.get(event.command_name)
        if not isinstance(collection, str) or collection in EXEMPT or event.command.get("comment") == ALL_HOSPITALS:
            return
        if not _names_hospital(event.command_name, event.command) and (place := _product_frame()) is not None:
            self._broken.setdefault(event.database_name, []).append(f"{event.command_name} of {collection} at {place}")

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing."""


def _names_hospital(name: str, command: Mapping[str, Any]) -> bool:
    """Whether each filter (or inserted document) of this command has the hospital in it; True for commands without one."""
    if name in _FILTERS:
        return _in_filter(command.get(_FILTERS[name]))
    if name in _STATEMENTS:
        return all(_in_filter(statement["q"]) for statement in command[_STATEMENTS[name]])
    if name == "insert":
        return all("hospital_id" in document for document in command["documents"])
    if name == "aggregate":
        return _in_pipeline(command["pipeline"])
    return True


def _in_filter(condition: Mapping[str, Any] | None) -> bool:
    return condition is not None and ("hospital_id" in condition or any(_in_filter(part) for part in condition.get("$and", ())))


def _in_pipeline(stages: Iterable[Mapping[str, Any]]) -> bool:
    first = next(iter(stages), {})
    return _in_filter(first.get("$match"))


def _product_frame() -> str | None:
    """Where in the product this was asked, if the nearest frame of ours is the product's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_INSIDE) and not file.startswith(_INSTALLED) and file != __file__:
            if file.startswith(_NOT_THE_PRODUCT):
                return None
            return f"{Path(file).relative_to(ROOT)}:{frame.f_lineno} {frame.f_code.co_qualname}"
        frame = frame.f_back
    return None


WATCH: Final = TenancyWatch()
"""Hears every client that is made after `watch` was called."""


def watch() -> None:
    """Let `WATCH` hear all clients of this process from now on."""
    monitoring.register(WATCH)
