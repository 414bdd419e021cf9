"""What goes wrong at the gateway next. `docs/simulators.md` describes each."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulators.levers import Lever

CallbackFault = Literal["normal", "lost", "late", "duplicated", "forged"]
RefundFault = Literal["normal", "refused", "slow", "abnormal", "closed"]
BillFault = Literal["normal", "early", "creating", "missing"]

_TIMEOUT: Final = "timeout"


class FaultSettings(BaseModel):
    """The whole setting: what is not named is normal. `count`: for how many next ones (callbacks, refunds, requests, each
    counted apart); without it until the next PUT."""

    model_config = ConfigDict(extra="forbid", strict=True)

    callbacks: CallbackFault = "normal"
    refunds: RefundFault = "normal"
    bills: BillFault = "normal"
    timeouts_after_success: bool = False
    late_seconds: float | None = Field(default=None, ge=0, le=86_400)
    count: int | None = Field(default=None, ge=1, le=1_000_000)


class Faults:
    """The levers as they stand now."""

    def __init__(self, late_seconds: float) -> None:
        self._default_late_seconds = late_seconds
        self.late_seconds = late_seconds
        self.callbacks, self.refunds, self.bills, self.timeouts = Lever(), Lever(), Lever(), Lever()

    def put(self, settings: FaultSettings) -> None:
        self.callbacks.move(settings.callbacks, settings.count)
        self.refunds.move(settings.refunds, settings.count)
        self.bills.move(settings.bills, settings.count)
        self.timeouts.move(_TIMEOUT if settings.timeouts_after_success else "normal", settings.count)
        self.late_seconds = self._default_late_seconds if settings.late_seconds is None else settings.late_seconds

    def take_timeout(self) -> bool:
        return self.timeouts.take() == _TIMEOUT

    @property
    def late_ms(self) -> int:
        return int(self.late_seconds * 1000)

    def show(self) -> dict[str, object]:
        """The levers and how many each still has to spoil (None: all that come)."""
        return {
            "callbacks": self.callbacks.mode,
            "refunds": self.refunds.mode,
            "bills": self.bills.mode,
            "timeouts_after_success": self.timeouts.mode == _TIMEOUT,
            "late_seconds": self.late_seconds,
            "remaining": {
                "callbacks": self.callbacks.remaining,
                "refunds": self.refunds.remaining,
                "bills": self.bills.remaining,
                "timeouts_after_success": self.timeouts.remaining,
            },
        }
