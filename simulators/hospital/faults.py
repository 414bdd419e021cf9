"""The hospital's levers: what goes wrong with its answers."""

import asyncio
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulators.levers import NORMAL, Lever

HUGE_NOTE_BYTES: Final = 10 * 1024 * 1024
HUGE_LAB_ROWS: Final = 5_000

Mode = Literal["normal", "slow", "down", "nonsense", "other_patient"]


class FaultSettings(BaseModel):
    """The whole setting: what is not named is normal.

    `requests` goes wrong for `count` answers (None: until it is moved) about `resources` (None: all; names as in FHIR, and
    `dicomweb`). `huge_note` makes the newest note 10 MB long, `huge_lab` adds a report of 5 000 rows.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    requests: Mode = "normal"
    resources: list[str] | None = Field(default=None, max_length=20)
    count: int | None = Field(default=None, ge=1, le=1_000_000)
    late_seconds: float | None = Field(default=None, ge=0, le=86_400)
    huge_note: bool = False
    huge_lab: bool = False


class Faults:
    def __init__(self, late_seconds: float) -> None:
        self._default_late = late_seconds
        self._lever = Lever()
        self._settings = FaultSettings()

    def put(self, settings: FaultSettings) -> None:
        self._settings = settings
        self._lever.move(settings.requests, settings.count)

    def shown(self) -> dict[str, Any]:
        return {**self._settings.model_dump(), "requests": self._lever.mode, "count": self._lever.remaining}

    @property
    def huge_note(self) -> bool:
        return self._settings.huge_note

    @property
    def huge_lab(self) -> bool:
        return self._settings.huge_lab

    async def take(self, resource: str) -> str:
        """What happens to an answer about this resource; waits first where it is slow."""
        wanted = self._settings.resources
        if wanted is not None and resource not in wanted:
            return NORMAL
        mode = self._lever.take()
        if mode == "slow":
            late = self._settings.late_seconds
            await asyncio.sleep(self._default_late if late is None else late)
        return mode
