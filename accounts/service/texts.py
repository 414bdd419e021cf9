"""SMS to doctors: stored by their cause, sent once; in doubt the provider is asked and nothing is sent again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from accounts.domain.codes import SmsState
from accounts.domain.identity import local_day
from accounts.domain.texts import DoctorText
from accounts.ports import DoctorRepository, SmsSender, TextRepository
from accounts.service.codes import after_query, after_send
from server.kernel.clock import Clock

log = structlog.get_logger(__name__)

_LEASE: Final = timedelta(seconds=30)
_SWEEP_LIMIT: Final = 200
_KEEP: Final = timedelta(days=180)
"""How long the trace of an SMS stays; longer than its cause can be told again."""


@dataclass(slots=True)
class TextService:
    texts: TextRepository
    doctors: DoctorRepository
    sender: SmsSender
    clock: Clock

    async def tell_doctor(
        self, text_id: str, hospital_id: str, doctor_id: str, template: str, params: Mapping[str, str], expires_at: datetime
    ) -> None:
        """Send this SMS, if it was not asked for before under this id. What the network does is the sweep's to mend."""
        now = self.clock.now()
        text = DoctorText(text_id, hospital_id, doctor_id, template, params, SmsState.PENDING, now, expires_at, now)
        await self.texts.insert(text)
        await self.send_text(text_id)

    async def send_text(self, text_id: str) -> None:
        """Send one that was surely not sent yet. Who takes it first sends it."""
        now = self.clock.now()
        text = await self.texts.claim(text_id, SmsState.PENDING, now=now, until=now + _LEASE)
        if text is None:
            return
        doctor = await self.doctors.find(text.doctor_id)
        if now >= text.expires_at or doctor is None or not doctor.active:
            await self.texts.finish(text, SmsState.DROPPED, next_at=now)
            return
        result = await self.sender.send(await self.doctors.get_phone(doctor), text.template, text.params, text.id)
        state, wait = after_send(result, text)
        await self.texts.finish(text, state, next_at=self.clock.now() + wait)
        log.info("accounts.text_tried", sms_id=text.id, state=state.value, reason=result.reason, tries=text.tries)

    async def settle_text(self, text_id: str, state: SmsState) -> None:
        """Ask the provider what became of one whose sending nobody saw the end of."""
        now = self.clock.now()
        text = await self.texts.claim(text_id, state, now=now, until=now + _LEASE)
        if text is None:
            return
        doctor = await self.doctors.find(text.doctor_id)
        if doctor is None or not doctor.active:
            await self.texts.finish(text, SmsState.DROPPED, next_at=now)
            return
        phone = await self.doctors.get_phone(doctor)
        result = await self.sender.query(text.id, phone=phone, day=local_day(text.created_at))
        settled, wait = after_query(result, text)
        await self.texts.finish(text, settled, next_at=self.clock.now() + wait)
        log.info("accounts.text_queried", sms_id=text.id, state=settled.value, reason=result.reason)

    async def sweep(self) -> int:
        """Take up what a crash or the provider left open. Returns how many were due."""
        due = await self.texts.list_due(self.clock.now(), _SWEEP_LIMIT)
        for text_id, state in due:
            if state is SmsState.PENDING:
                await self.send_text(text_id)
            else:
                await self.settle_text(text_id, state)
        return len(due)

    async def tidy(self) -> None:
        await self.texts.tidy(self.clock.now() - _KEEP)
