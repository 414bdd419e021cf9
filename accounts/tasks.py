"""Background work of accounts."""

from datetime import timedelta

from accounts.service import CodeService, SessionService
from server.kernel.jobs import Job


def jobs(codes: CodeService, sessions: SessionService) -> list[Job]:
    """SMS that a crash or the provider left open, and what is of no use any more."""

    async def settle_sms() -> None:
        await codes.sweep()

    async def tidy() -> None:
        await codes.tidy()
        await sessions.tidy()

    return [
        Job(
            name="accounts.settle_sms",
            summary="Send the SMS that were not sent, ask the provider about those in doubt.",
            handler=settle_sms,
            every=timedelta(seconds=5),
        ),
        Job(
            name="accounts.tidy",
            summary="Forget codes, windows, SMS and sessions that are long over.",
            handler=tidy,
            every=timedelta(hours=1),
        ),
    ]
