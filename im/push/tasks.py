"""Background work of pushing."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from server.kernel.jobs import Job

if TYPE_CHECKING:
    from im.push.service import PushService

_SEND: Final = "im.send_pushes"
_SWEEP: Final = "im.sweep_pushes"
_TIDY: Final = "im.tidy_pushes"
EVERY: Final[Mapping[str, timedelta]] = {_SWEEP: timedelta(seconds=5), _TIDY: timedelta(hours=1)}


def jobs(pushes: "PushService") -> list[Job]:
    """What waits for one device, for any, and what is long over."""

    async def send(subscription_id: str) -> None:
        await pushes.send_due(subscription_id)

    async def sweep() -> None:
        await pushes.sweep()

    return [
        Job(_SEND, "Push what waits for one device.", send),
        Job(_SWEEP, "Push what waits for any device.", sweep, every=EVERY[_SWEEP]),
        Job(_TIDY, "Forget pushes that are long over.", pushes.tidy, every=EVERY[_TIDY]),
    ]
