"""HL7 messages that were kept for repair, for the hospital's operators."""

from collections.abc import Sequence
from typing import Final

from admin_console.domain.access import View
from admin_console.ports import Hl7Intake
from admin_console.service.guard import Guard
from ehr_view.hl7.domain import HeldMessage, Repair
from server.kernel.actor import Actor
from server.kernel.audit import Audit
from server.kernel.clock import Clock
from server.kernel.ids import is_id

MOST_LISTED: Final = 200


class Hl7Repairs:
    """Only for the hospital that the listener belongs to; messages are told without their words."""

    def __init__(self, audit: Audit, clock: Clock, intake: Hl7Intake, hospital_id: str) -> None:
        self._guard = Guard(audit, clock)
        self._intake = intake
        self._hospital_id = hospital_id

    async def list_failed(self, actor: Actor) -> Sequence[HeldMessage]:
        """Oldest first. Raises Forbidden."""
        await self._guard.require(actor, View.HL7, subject="hl7")
        found = await self._intake.list_failed(MOST_LISTED) if actor.hospital_id == self._hospital_id else ()
        await self._guard.record(actor, View.HL7, subject="hl7")
        return found

    async def retry(self, actor: Actor, message_id: str) -> Repair | None:
        """Take one again; None where there is no such failed message. Raises Forbidden."""
        subject = message_id if is_id(message_id) else "hl7"
        await self._guard.require(actor, View.HL7, subject=subject)
        await self._guard.record(actor, View.HL7, subject=subject)
        return await self._intake.retry(message_id) if actor.hospital_id == self._hospital_id else None
