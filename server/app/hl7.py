"""The listener for HL7 v2, which every keeper has, and what operators do with messages that failed.

It lives in the keeper because that is there anyway and serves nobody who waits: a process of its own would cost a start and a
hundred megabytes. Whether its keeper leads does not matter: what it stores carries its own guards.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Final

import structlog

from ehr_view.hl7.mllp import MllpLimits, MllpServer, networks_of, tls_of
from ehr_view.hl7.service import Intake
from server.app.settings import Settings

log = structlog.get_logger(__name__)

_LISTED: Final = 1_000


@asynccontextmanager
async def listening(settings: Settings, intake: Intake) -> AsyncIterator[None]:
    """Take messages for the length of the block; nothing where no port is set."""
    if settings.hl7_port == 0:
        yield
        return
    limits = MllpLimits(
        most_bytes=settings.hl7_max_bytes,
        connections=settings.hl7_connections,
        idle_seconds=settings.hl7_idle.total_seconds(),
    )
    allowed = networks_of(settings.hl7_allow)
    server = MllpServer(intake, allowed=allowed, limits=limits, tls=_tls(settings))
    port = await server.start(settings.hl7_host, settings.hl7_port)
    log.info("hl7.listening", port=port, tls=settings.hl7_tls_certificate_file is not None)
    try:
        yield
    finally:
        await server.close()


def _tls(settings: Settings) -> SSLContext | None:
    certificate, key = settings.hl7_tls_certificate_file, settings.hl7_tls_key_file
    if certificate is None or key is None:
        return None
    return tls_of(certificate, key, client_authority=settings.hl7_tls_client_ca_file)


async def failed_lines(intake: Intake) -> list[str]:
    """One line a message that waits for repair, oldest first; nothing of its words."""
    return [
        f"{m.id}  {m.received_at:%Y-%m-%dT%H:%M:%SZ}  {m.kind or '?'}  {m.control_id or '-'}  {m.tries}x  {m.reason} {m.where}"
        for m in await intake.list_failed(_LISTED)
    ]


async def retry_lines(intake: Intake, message_id: str) -> tuple[list[str], bool]:
    """Take one again, or all (`all`); whether all that were tried are accepted now."""
    wanted = [m.id for m in await intake.list_failed(_LISTED)] if message_id == "all" else [message_id]
    lines, good = [], True
    for each in wanted:
        repair = await intake.retry(each)
        good = good and repair is not None and repair.is_accepted
        outcome = "no such failed message" if repair is None else "accepted" if repair.is_accepted else repair.reason
        lines.append(f"{each}  {outcome}")
    return lines, good
