"""SMS codes: asked for, sent, used."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Protocol

import structlog

from accounts.domain.codes import (
    CODE_DIGITS,
    CodeRequested,
    NewCode,
    Purpose,
    SmsAttempt,
    SmsPolicy,
    SmsState,
    Verdict,
    whole_seconds,
)
from accounts.domain.identity import local_day
from accounts.domain.phones import check_phone
from accounts.errors import AuthInvalid, AuthLocked
from accounts.ports import CodeRepository, Delivered, LimitRepository, SmsAttemptRepository, SmsResult, SmsSender
from server.kernel.actor import PLATFORM, Actor, network_of
from server.kernel.clock import Clock
from server.kernel.errors import RequestRateLimited
from server.kernel.ids import new_id
from server.kernel.outbox import event_of

log = structlog.get_logger(__name__)

BY_ADDRESS: Final = "sms_address"
_ANSWER_WITHIN_SECONDS: Final = 3.0
_LEASE: Final = timedelta(seconds=30)
_SEND_AGAIN_AFTER: Final = timedelta(seconds=2)
_QUERY_AFTER: Final = timedelta(seconds=10)
_MAX_SENDS: Final = 10
_MAX_UNHEARD: Final = 6
_MAX_QUERIES: Final = 30
_SWEEP_LIMIT: Final = 200
_KEEP: Final = timedelta(days=1)

TEMPLATES: Final[Mapping[Purpose, str]] = MappingProxyType(
    {Purpose.LOGIN: "SMS_LOGIN_CODE", Purpose.RESET_PASSWORD: "SMS_RESET_CODE"}
)


@dataclass(slots=True)
class CodeService:
    """`templates` are the provider's names of our texts. Known and unknown phones are the same to it."""

    codes: CodeRepository
    attempts: SmsAttemptRepository
    limits: LimitRepository
    sender: SmsSender
    clock: Clock
    policy: SmsPolicy = field(default_factory=SmsPolicy)
    templates: Mapping[Purpose, str] = field(default_factory=lambda: TEMPLATES)
    answer_within_seconds: float = _ANSWER_WITHIN_SECONDS
    _sending: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def request_code(self, actor: Actor, phone: str, purpose: Purpose) -> CodeRequested:
        """Grant a code, store its SMS, and give the provider a moment to take it before answering.

        Raises RequestRateLimited with the wait; a refused request uses up nothing.
        """
        check_phone(phone)
        now, code_id = self.clock.now(), new_id()
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        await self._take_address(actor, now)
        hashed = await self.codes.hash_code(phone, purpose, code)
        event = event_of(
            actor,
            "accounts.sms_code_requested",
            subject=await self.codes.subject_of(phone),
            at=now,
            hospital_id=PLATFORM,
            purpose=purpose.value,
            sms_id=code_id,
        )
        expires_at = now + self.policy.life
        wait = await self.codes.grant(phone, NewCode(code_id, purpose, hashed, now, expires_at), self.policy, event)
        if wait:
            await self.limits.give_back(BY_ADDRESS, _address(actor), self.policy.per_address, taken_at=now)
            raise RequestRateLimited(retry_after_seconds=whole_seconds(wait))
        await self.attempts.insert(SmsAttempt(code_id, phone, purpose, code, SmsState.PENDING, now, expires_at, next_at=now))
        await self._send_meanwhile(code_id)
        return CodeRequested(whole_seconds(self.policy.resend_after), whole_seconds(self.policy.life))

    async def use_code(self, phone: str, purpose: Purpose, code: str) -> None:
        """Consume the code. Raises AuthInvalid, and AuthLocked once there were too many wrong ones."""
        check_phone(phone)
        hashed = await self.codes.hash_code(phone, purpose, code)
        match await self.codes.use(phone, purpose, hashed, self.clock.now()):
            case Verdict.RIGHT:
                return
            case Verdict.WRONG:
                raise AuthInvalid
            case Verdict.LOCKED:
                raise AuthLocked

    async def subject_of(self, phone: str) -> str:
        """What stands for a phone in audit rows."""
        return await self.codes.subject_of(phone)

    async def send_attempt(self, attempt_id: str) -> None:
        """Send one SMS that was surely not sent yet. Who takes it first sends it; the code must still be good."""
        now = self.clock.now()
        attempt = await self.attempts.claim(attempt_id, SmsState.PENDING, now=now, until=now + _LEASE)
        if attempt is None:
            return
        if not await self.codes.is_current(attempt, now):
            await self.attempts.finish(attempt, SmsState.DROPPED, next_at=now)
            return
        template = self.templates[attempt.purpose]
        result = await self.sender.send(attempt.phone, template, {"code": attempt.code}, attempt.id)
        state, wait = after_send(result, attempt)
        await self.attempts.finish(attempt, state, next_at=self.clock.now() + wait)
        log.info("accounts.sms_tried", sms_id=attempt.id, state=state.value, reason=result.reason, tries=attempt.tries)

    async def settle_attempt(self, attempt_id: str, state: SmsState) -> None:
        """Ask the provider what became of an SMS whose sending nobody saw the end of. It is never sent again."""
        now = self.clock.now()
        attempt = await self.attempts.claim(attempt_id, state, now=now, until=now + _LEASE)
        if attempt is None:
            return
        day = local_day(attempt.created_at)
        result = await self.sender.query(attempt.id, phone=attempt.phone, day=day)
        settled, wait = after_query(result, attempt)
        await self.attempts.finish(attempt, settled, next_at=self.clock.now() + wait)
        log.info("accounts.sms_queried", sms_id=attempt.id, state=settled.value, reason=result.reason)

    async def sweep(self) -> int:
        """Take up what a crash or the provider left open. Returns how many attempts were due."""
        due = await self.attempts.list_due(self.clock.now(), _SWEEP_LIMIT)
        for attempt_id, state in due:
            if state is SmsState.PENDING:
                await self.send_attempt(attempt_id)
            else:
                await self.settle_attempt(attempt_id, state)
        return len(due)

    async def tidy(self) -> None:
        """Forget codes, windows and SMS that have been of no use for a day."""
        before = self.clock.now() - _KEEP
        await self.codes.tidy(before)
        await self.limits.tidy(before)
        await self.attempts.tidy(before)

    async def close(self) -> None:
        """Let what is being sent come to its end."""
        while self._sending:
            await asyncio.wait(set(self._sending))

    async def _take_address(self, actor: Actor, now: datetime) -> None:
        wait = await self.limits.take(BY_ADDRESS, _address(actor), self.policy.per_address, now=now)
        if wait is not None:
            raise RequestRateLimited(retry_after_seconds=whole_seconds(wait))

    async def _send_meanwhile(self, attempt_id: str) -> None:
        """Send in a task of its own, and wait for it no longer than a person likes to."""
        task = asyncio.create_task(self._send_quietly(attempt_id), name="sms-send")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        await asyncio.wait({task}, timeout=self.answer_within_seconds)

    async def _send_quietly(self, attempt_id: str) -> None:
        try:
            await self.send_attempt(attempt_id)
        except Exception as error:  # whatever fails here, the attempt is stored and the sweep finds it
            log.warning("accounts.sms_failed", sms_id=attempt_id, error=type(error).__name__, exc_info=True)


class Tried(Protocol):
    """How often something was tried and asked about."""

    @property
    def tries(self) -> int: ...

    @property
    def queries(self) -> int: ...


def after_send(result: SmsResult, attempt: Tried) -> tuple[SmsState, timedelta]:
    """The state after a try, and how long to leave it alone."""
    match result.delivered:
        case Delivered.ACCEPTED:
            return SmsState.SENT, timedelta(0)
        case Delivered.REFUSED:
            return SmsState.FAILED, timedelta(0)
        case Delivered.IN_DOUBT:
            return SmsState.IN_DOUBT, _QUERY_AFTER
        case Delivered.UNSENT:
            return (SmsState.FAILED if attempt.tries >= _MAX_SENDS else SmsState.PENDING), _SEND_AGAIN_AFTER * attempt.tries


def after_query(result: SmsResult, attempt: Tried) -> tuple[SmsState, timedelta]:
    """The state after a query. The provider may be slow to know an SMS: only several times unheard of is lost."""
    match result.delivered:
        case Delivered.ACCEPTED:
            return SmsState.SENT, timedelta(0)
        case Delivered.REFUSED:
            return SmsState.FAILED, timedelta(0)
        case Delivered.UNSENT:
            return (SmsState.LOST if attempt.queries >= _MAX_UNHEARD else SmsState.IN_DOUBT), _QUERY_AFTER
        case Delivered.IN_DOUBT:
            return (SmsState.LOST if attempt.queries >= _MAX_QUERIES else SmsState.IN_DOUBT), _QUERY_AFTER


def _address(actor: Actor) -> str:
    return network_of(actor.address)
