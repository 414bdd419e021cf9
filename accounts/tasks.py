"""Background work of accounts."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from server.kernel.jobs import Job

if TYPE_CHECKING:
    from accounts.service import CodeService, SessionService, TextService

_SETTLE_SMS: Final = "accounts.settle_sms"
_TIDY: Final = "accounts.tidy"
EVERY: Final[Mapping[str, timedelta]] = {_SETTLE_SMS: timedelta(seconds=5), _TIDY: timedelta(hours=1)}


def jobs(codes: "CodeService", sessions: "SessionService", texts: "TextService") -> list[Job]:
    """SMS that a crash or the provider left open, and what is of no use any more."""

    async def settle_sms() -> None:
        await codes.sweep()
        await texts.sweep()

    async def tidy() -> None:
        await codes.tidy()
        await sessions.tidy()
        await texts.tidy()

    return [
        Job(
            name=_SETTLE_SMS,
            summary="Send the SMS that were not sent, ask the provider about those in doubt.",
            handler=settle_sms,
            every=EVERY[_SETTLE_SMS],
        ),
        Job(
            name=_TIDY,
            summary="Forget codes, windows, SMS and sessions that are long over.",
            handler=tidy,
            every=EVERY[_TIDY],
        ),
    ]
